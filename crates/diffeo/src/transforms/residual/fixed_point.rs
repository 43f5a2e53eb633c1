//! `x` with `x + g(x, c) = z`.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::ResidualSpec;
use super::determinant::inverses;
use super::network::Held;
use crate::error::{Error, ErrorKind, Result};
use crate::host::linalg::host_values;
use crate::transforms::permutation::indices;

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

/// The roots, without gradients: `z: [n, d]` and what the context adds without gradients, too.
///
/// Newton's steps are taken where they shrink the residual as much as the plain iteration `x <- z - g(x)` is certain to, by the contraction `k`, and that one's where not;
/// so no row takes more than twice the steps of the plain one. A row with a residual of rounding rests, so that its bits do not depend on others; one that is not finite becomes
/// NaN.
///
/// # Errors
/// [`ErrorKind::NotConverged`] with the residual, if a row does not arrive within the steps that the contraction guarantees.
pub(super) fn solve(
    held: &Held,
    z: &Tensor<2>,
    addend: Option<&Tensor<2>>,
    spec: &ResidualSpec,
) -> Result<Tensor<2>> {
    let [n, d] = z.dims();
    let (device, dtype) = (z.device(), z.dtype());
    let target = host_values(z.clone())?;
    let mut rows: Vec<Row> = target.chunks_exact(d).map(Row::start).collect();
    let mut going: Vec<usize> = (0..n).collect();
    for _ in 0..steps_max(spec, dtype) {
        let attempts = going.iter().flat_map(|&row| rows[row].attempt.clone()).collect();
        let attempts = tensor(attempts, d, (&device, dtype));
        let which = indices(&going, &device);
        let trace = held.at(attempts, addend.map(|addend| addend.clone().select(0, which.clone())));
        let values = host_values(trace.value)?;
        let (mut on, mut turned) = (Vec::new(), Vec::new());
        for (at, &row) in going.iter().enumerate() {
            let of = |values: &[f64], i: usize| values[i * d..][..d].to_vec();
            match rows[row].judge(&of(&target, row), &of(&values, at), spec, dtype) {
                Next::Rest => continue,
                Next::Attempt => {}
                Next::Turn => turned.push(at),
            }
            on.push(row);
        }
        if !turned.is_empty() {
            let jacobian = held.jacobian(&trace.slopes.select(&indices(&turned, &device)));
            for (at, inverse) in turned.into_iter().zip(inverses(jacobian)?) {
                rows[going[at]].inverse = inverse;
            }
        }
        on.iter().for_each(|&row| rows[row].propose(dtype));
        going = on;
        if going.is_empty() {
            break;
        }
    }
    let worst = rows.iter().filter(|row| !row.arrived).map(|row| row.length).fold(0.0, f64::max);
    if rows.iter().any(|row| !row.arrived) {
        return Err(not_converged(worst));
    }
    Ok(tensor(rows.into_iter().flat_map(|row| row.x).collect(), d, (&device, dtype)))
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

fn tensor(values: Vec<f64>, d: usize, to: (&Device, DType)) -> Tensor<2> {
    let n = values.len() / d;
    Tensor::from_data(TensorData::new(values, [n, d]), to)
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
