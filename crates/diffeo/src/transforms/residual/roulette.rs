//! `ln det(I + J)` without bias, from a few products with `J`.

use burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo_kernels::ops::sum_rows;

use super::ResidualSpec;
use super::determinant::of_numbers;
use super::network::{Held, Slopes};
use crate::error::Result;
use crate::host::draws::Draws;
use crate::host::linalg::host_values;
use crate::host::random::{below, uniform_open};
use crate::transforms::permutation::indices;

/// Smallest probability of going on: a term costs little beside the ones that are always taken.
const SURVIVAL_MIN: f64 = 0.5;

/// Random numbers of rows.
#[derive(Clone, Debug)]
pub(super) struct Probes {
    /// Signs, `[n, d]`: the mean of `v v^T` is the identity.
    pub(super) signs: Vec<f64>,
    /// Uniform on `(0, 1)`: the series of a row goes on while it is below the probability of having come so far.
    pub(super) chances: Vec<f64>,
}

impl Probes {
    /// Those of `n` rows of `d` numbers.
    pub(super) fn draw(draws: &Draws, [n, d]: [usize; 2]) -> Self {
        let mut probes = Self { signs: Vec::with_capacity(n * d), chances: Vec::with_capacity(n) };
        for row in 0..n {
            let (signs, chance) = Self::of_row(draws, row, d);
            probes.signs.extend(signs);
            probes.chances.push(chance);
        }
        probes
    }

    /// Those of one row.
    pub(super) fn of_row(draws: &Draws, row: usize, d: usize) -> (Vec<f64>, f64) {
        let mut rng = draws.rng(row);
        let signs = (0..d).map(|_| if below(&mut rng, 2) == 0 { 1.0 } else { -1.0 }).collect();
        (signs, uniform_open(&mut rng))
    }
}

/// What the series of each row comes to.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The estimate of `ln det(I + J)`.
    pub(super) log_det: Vec<f64>,
    /// `w`, `[n, d]`, an estimate of `(I + J)^-1 v`: the gradient is that of `v . J w`.
    pub(super) direction: Vec<f64>,
}

/// An estimate of `ln det(I + J)` of each row, `[n]`, without bias, and so is its gradient.
///
/// `ln det(I + J) = sum_k (-1)^(k+1) / k tr J^k`, with `tr J^k = E[v . J^k v]` (Hutchinson) and, after the first terms, each term divided by the probability of
/// coming so far (Kahn's roulette; Chen et al. 2019, eq. 6). The gradient is `tr((I + J)^-1 dJ) = E[v . dJ w]`, `w = sum_k (-1)^k J^k v / P(k + 1)` (eq. 8): the
/// series has no graph, so memory does not grow with its terms, and one derivative of `g` along `w` carries the gradient.
///
/// The probability of one more term is the ratio by which the last one shrank `J^k v`, so no term ever weighs more than the first ones, and the variance is finite for
/// every contraction; a fixed probability below the square of the spectral radius would not do that. It depends on `v` alone, so the mean stays.
pub(super) fn estimate(
    held: &Held,
    slopes: &Slopes,
    probes: &Probes,
    spec: &ResidualSpec,
) -> Result<Tensor<1>> {
    let series = series(&held.detached(), &slopes.detached(), probes, spec)?;
    let value = of_numbers(series.log_det, slopes);
    if !(held.is_tracked() || slopes.is_tracked()) {
        return Ok(value);
    }
    let to = (&slopes.device(), slopes.dtype());
    let moved = along(held, slopes, [probes.signs.clone(), series.direction], to);
    Ok(value + (moved.clone() - moved.detach()))
}

/// `v . J w` of each row.
pub(super) fn along(
    held: &Held,
    slopes: &Slopes,
    [v, w]: [Vec<f64>; 2],
    to: (&Device, DType),
) -> Tensor<1> {
    let d = held.dims();
    sum_rows(held.along(slopes, rows_of(w, d, to)) * rows_of(v, d, to))
}

fn rows_of(values: Vec<f64>, d: usize, to: (&Device, DType)) -> Tensor<2> {
    let n = values.len() / d;
    Tensor::from_data(TensorData::new(values, [n, d]), to)
}

/// The series of each row; rows that have stopped are left out.
pub(super) fn series(
    held: &Held,
    slopes: &Slopes,
    probes: &Probes,
    spec: &ResidualSpec,
) -> Result<Series> {
    let d = held.dims();
    let device = slopes.device();
    let mut walks: Vec<Walk> = probes
        .signs
        .chunks_exact(d)
        .zip(&probes.chances)
        .map(|(v, c)| Walk::new(v, *c, spec))
        .collect();
    let mut going: Vec<usize> = (0..walks.len()).collect();
    let mut slopes = slopes.clone();
    let mut power = rows_of(probes.signs.clone(), d, (&device, slopes.dtype()));
    while !going.is_empty() {
        power = held.along(&slopes, power);
        let values = host_values(power.clone())?;
        let mut on = Vec::with_capacity(going.len());
        for (at, &row) in going.iter().enumerate() {
            if walks[row].take(&values[at * d..][..d], &probes.signs[row * d..][..d], spec) {
                on.push(at);
            }
        }
        if on.len() < going.len() {
            let kept = indices(&on, &device);
            power = power.select(0, kept.clone());
            slopes = slopes.select(&kept);
            going = on.into_iter().map(|at| going[at]).collect();
        }
    }
    Ok(Series {
        log_det: walks.iter().map(|walk| walk.log_det).collect(),
        direction: walks.into_iter().flat_map(|walk| walk.direction).collect(),
    })
}

/// The series of a row on its way.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// The estimate of `ln det(I + J)` so far.
    pub(super) log_det: f64,
    /// `w` so far, see [`Series`].
    pub(super) direction: Vec<f64>,
    chance: f64,
    terms: usize,
    /// The length of the last `J^k v`.
    length: f64,
    /// The probability of having come so far.
    reached: f64,
}

impl Walk {
    /// Of a row with the signs `v`.
    pub(super) fn new(v: &[f64], chance: f64, spec: &ResidualSpec) -> Self {
        let length = spec.norm.length(v);
        Self { log_det: 0.0, direction: v.to_vec(), chance, terms: 0, length, reached: 1.0 }
    }

    /// Adds the next term, of `u = J^k v`; whether there is one more.
    pub(super) fn take(&mut self, u: &[f64], v: &[f64], spec: &ResidualSpec) -> bool {
        self.terms += 1;
        let sign = if self.terms % 2 == 1 { 1.0 } else { -1.0 };
        let dot: f64 = u.iter().zip(v).map(|(u, v)| u * v).sum();
        self.log_det += sign * dot / (self.terms as f64 * self.reached);
        let length = spec.norm.length(u);
        if self.terms >= spec.terms {
            let ratio = length / self.length;
            self.reached *= ratio.max(SURVIVAL_MIN).min(spec.lipschitz.max(SURVIVAL_MIN));
        }
        self.length = length;
        let goes_on = length > 0.0 && self.chance < self.reached;
        if goes_on {
            let reached = self.reached;
            self.direction.iter_mut().zip(u).for_each(|(w, u)| *w -= sign * u / reached);
        }
        goes_on
    }
}
