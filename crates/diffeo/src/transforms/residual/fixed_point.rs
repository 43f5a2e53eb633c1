//! `x` with `x + g(x, c) = z`.

use burn::tensor::{DType, Tensor, TensorData};
use diffeo_kernels::{DualWork, Real, Slot, TILE_ROWS, invert_lanes};

use super::ResidualSpec;
use super::jacobian::{directions, with_identity};
use super::network::Network;
use super::plain::{AnyPlain, Plain};
use crate::error::{Error, ErrorKind, Result};
use crate::host::linalg::host_values;

/// The residual at which a row has arrived, in units of the last digit of a number of the size of `x`.
const ARRIVED: f64 = 4.0;
/// The residual that rounding explains: what one evaluation is off by, over `1 - k`.
const ROUNDING: f64 = 1e4;
/// Newton's steps that shrink the residual by less take a new Jacobian.
const STALE: f64 = 0.1;
/// Powers of e by which a residual may be larger at the start than rows of its size.
const HEADROOM: f64 = 14.0;

/// Which step a row tries next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// `x + r (I + J)^-1`, with a Jacobian of this or an earlier point.
    Newton,
    /// `x + r`, which is `z - g(x)`.
    Plain,
}

/// A row on its way.
#[derive(Clone, Debug)]
struct Row {
    x: Vec<f64>,
    /// `z - x - g(x)` and its length.
    residual: Vec<f64>,
    length: f64,
    /// `(I + J)^-1`.
    inverse: Vec<f64>,
    step: Step,
    attempt: Vec<f64>,
    arrived: bool,
}

/// What has to be done for a row after an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Rest,
    Attempt,
    /// A new Jacobian first.
    Turn,
}

/// The roots, without gradients, of `z: [n, d]` and a context without gradients, too.
///
/// Newton's steps are taken where they shrink the residual as much as the plain iteration `x <- z - g(x)` is certain to, by the contraction `k`, and that one's where not;
/// so no row takes more than twice the steps of the plain one. A row with a residual of rounding rests, so that its bits do not depend on others; one that is not finite becomes
/// NaN.
///
/// # Errors
/// [`ErrorKind::NotConverged`] with the residual, if a row does not arrive within the steps that the contraction guarantees.
pub(super) fn solve(
    network: &Network,
    z: &Tensor<2>,
    context: Option<&Tensor<2>>,
    spec: &ResidualSpec,
) -> Result<Tensor<2>> {
    let [n, d] = z.dims();
    let of = |t: &Tensor<2>| host_values(t.clone());
    let (target, context) = (of(z)?, context.map_or(Ok(vec![]), of)?);
    let given = [&target[..], &context];
    let roots = match network.plain()? {
        AnyPlain::F32(plain) => roots(plain, given, (spec, z.dtype())),
        AnyPlain::F64(plain) => roots(plain, given, (spec, z.dtype())),
    };
    let to = (&z.device(), z.dtype());
    Ok(Tensor::from_data(TensorData::new(roots?, [n, d]), to))
}

/// The same on plain slices, a tile of rows at a time.
fn roots<T: Real>(
    plain: &Plain<T>,
    [target, context]: [&[f64]; 2],
    (spec, dtype): (&ResidualSpec, DType),
) -> Result<Vec<f64>> {
    let (d, c) = (plain.network.inputs(), plain.network.context());
    let slot = Slot { directions: directions(d), number: 0 };
    let matrices = vec![0.0; d * d * TILE_ROWS];
    let mut tile = TileSearch { plain, slot, work: DualWork::default(), matrices };
    let (mut given, mut found) = (vec![T::ZERO; c * TILE_ROWS], Vec::with_capacity(target.len()));
    for (number, target) in target.chunks(d * TILE_ROWS).enumerate() {
        let rows = context.chunks(c.max(1)).skip(number * TILE_ROWS).take(TILE_ROWS);
        for (lane, row) in rows.enumerate() {
            row.iter().enumerate().for_each(|(i, v)| given[i * TILE_ROWS + lane] = T::from_f64(*v));
        }
        let counts = [slot.directions, 1];
        plain.network.prepare(plain.weights(), &given, counts, &mut tile.work);
        let mut rows: Vec<Row> = target.chunks_exact(d).map(Row::start).collect();
        for _ in 0..steps_max(spec, dtype) {
            tile.step(target, &mut rows, (spec, dtype));
            if rows.iter().all(|row| row.arrived) {
                break;
            }
        }
        let left = rows.iter().filter(|row| !row.arrived).map(|row| row.length);
        if let Some(worst) = left.reduce(f64::max) {
            return Err(not_converged(worst));
        }
        tile.even_out(&mut rows, dtype);
        found.extend(rows.into_iter().flat_map(|row| row.x));
    }
    Ok(found)
}

/// The search for the roots of a tile of rows.
struct TileSearch<'a, T> {
    plain: &'a Plain<T>,
    slot: Slot,
    work: DualWork<T>,
    matrices: Vec<f64>,
}

impl<T: Real> TileSearch<'_, T> {
    /// Evaluates the network at each row's attempt, and moves the rows.
    fn step(&mut self, target: &[f64], rows: &mut [Row], (spec, dtype): (&ResidualSpec, DType)) {
        let d = self.plain.network.inputs();
        self.evaluate(rows);
        let values = self.work.output(&self.plain.network, self.slot)[..d * TILE_ROWS].to_vec();
        let mut turned = Vec::new();
        for (lane, row) in rows.iter_mut().enumerate().filter(|(_, row)| !row.arrived) {
            let g = values.iter().skip(lane).step_by(TILE_ROWS);
            let g: Vec<f64> = g.map(|v| v.to_f64()).collect();
            if row.judge(&target[lane * d..][..d], &g, spec, dtype) == Next::Turn {
                turned.push(lane);
            }
        }
        self.turn(rows, &turned);
        rows.iter_mut().filter(|row| !row.arrived).for_each(|row| row.propose(dtype));
    }

    /// One more step for rows that have arrived by the size of their largest number, and not by that of another.
    fn even_out(&mut self, rows: &mut [Row], dtype: DType) {
        let uneven: Vec<usize> =
            (0..rows.len()).filter(|lane| rows[*lane].is_uneven(dtype)).collect();
        if !uneven.is_empty() {
            rows.iter_mut().for_each(|row| row.attempt.clone_from(&row.x));
            self.evaluate(rows);
            self.turn(rows, &uneven);
        }
        for lane in uneven {
            let row = &mut rows[lane];
            row.step = Step::Newton;
            row.propose(dtype);
            row.x.clone_from(&row.attempt);
        }
    }

    /// The network's values at each row's attempt.
    fn evaluate(&mut self, rows: &[Row]) {
        let network = &self.plain.network;
        let input = &mut self.work.input(network, self.slot)[..network.inputs() * TILE_ROWS];
        for (lane, row) in rows.iter().enumerate() {
            let to = input.iter_mut().skip(lane).step_by(TILE_ROWS);
            to.zip(&row.attempt).for_each(|(to, v)| *to = T::from_f64(*v));
        }
        network.values(self.plain.weights(), None, self.slot, &mut self.work);
    }

    /// Gives some rows the Jacobian of where they were evaluated last.
    fn turn(&mut self, rows: &mut [Row], lanes: &[usize]) {
        let Self { plain: Plain { network, .. }, slot, work, matrices } = self;
        if !lanes.is_empty() {
            with_identity(network, self.plain.weights(), *slot, work, matrices);
            invert_lanes(matrices, network.inputs(), &mut [0.0; TILE_ROWS]);
        }
        for &lane in lanes {
            rows[lane].inverse = matrices.iter().skip(lane).step_by(TILE_ROWS).copied().collect();
        }
    }
}

/// Steps that shrink any residual to rounding, two evaluations each.
fn steps_max(spec: &ResidualSpec, dtype: DType) -> usize {
    let per_step = -(0.5 * (1.0 + spec.lipschitz)).ln();
    let wanted = HEADROOM - epsilon(dtype).ln();
    2 * (wanted / per_step).ceil() as usize + 2
}

fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// A number as this precision holds it.
fn rounded(value: f64, dtype: DType) -> f64 {
    if dtype == DType::F64 { value } else { f64::from(value as f32) }
}

fn not_converged(residual: f64) -> Error {
    Error::new(
        ErrorKind::NotConverged,
        format!(
            "the inverse of a residual layer: expected the iteration to contract down to rounding, found a residual of {residual:e}; the precision is too low for numbers of \
             this size, try f64 or a smaller lipschitz"
        ),
    )
}

impl Row {
    /// At `x = z`, of which nothing is known yet.
    fn start(z: &[f64]) -> Self {
        Self {
            x: z.to_vec(),
            residual: vec![],
            length: f64::INFINITY,
            inverse: vec![],
            step: Step::Newton,
            attempt: z.to_vec(),
            arrived: false,
        }
    }

    /// Takes the attempt or not, `g` being the network's value there.
    fn judge(&mut self, z: &[f64], g: &[f64], spec: &ResidualSpec, dtype: DType) -> Next {
        let residual: Vec<f64> = (0..z.len()).map(|i| z[i] - self.attempt[i] - g[i]).collect();
        let length = spec.norm.length(&residual);
        let is_first = self.residual.is_empty();
        if is_first && !length.is_finite() {
            self.x.fill(f64::NAN);
            return self.rest();
        }
        let shrunk = length / self.length;
        // The plain step is certain of `k`; a little more is left to rounding.
        let enough = match self.step {
            Step::Newton => spec.lipschitz,
            Step::Plain => 0.5 * (1.0 + spec.lipschitz),
        };
        let was = self.step;
        if is_first || shrunk <= enough {
            self.take(residual, length);
            self.step = Step::Newton;
            let unit = epsilon(dtype) * (1.0 + spec.norm.length(&self.x));
            return match () {
                () if length <= ARRIVED * unit => self.rest(),
                () if was == Step::Newton && !is_first && shrunk <= STALE => Next::Attempt,
                () => Next::Turn,
            };
        }
        if was == Step::Newton {
            self.step = Step::Plain;
            return Next::Attempt;
        }
        // A contraction that does not contract: what is left is rounding.
        if length < self.length {
            self.take(residual, length);
        }
        let size = 1.0 + spec.norm.length(&self.x).max(spec.norm.length(z));
        if self.length <= ROUNDING * epsilon(dtype) * size { self.rest() } else { Next::Attempt }
    }

    /// Whether a number's residual is more than rounding of its own.
    fn is_uneven(&self, dtype: DType) -> bool {
        let mut pairs = self.x.iter().zip(&self.residual);
        pairs.any(|(x, r)| r.abs() > ARRIVED * epsilon(dtype) * (1.0 + x.abs()))
    }

    fn take(&mut self, residual: Vec<f64>, length: f64) {
        self.x.clone_from(&self.attempt);
        self.residual = residual;
        self.length = length;
    }

    fn rest(&mut self) -> Next {
        self.arrived = true;
        Next::Rest
    }

    /// Sets the next attempt.
    fn propose(&mut self, dtype: DType) {
        let d = self.x.len();
        let moved = |i: usize| match self.step {
            Step::Newton => (0..d).map(|j| self.residual[j] * self.inverse[j * d + i]).sum(),
            Step::Plain => self.residual[i],
        };
        self.attempt = (0..d).map(|i| rounded(self.x[i] + moved(i), dtype)).collect();
    }
}
