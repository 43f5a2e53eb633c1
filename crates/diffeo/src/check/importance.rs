//! Integrals by importance sampling around draws from the model.

use std::f64::consts::{PI, TAU};

use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::host::linalg::SquareMatrix;
use crate::host::normal::log_add;
use crate::host::parallel;
use crate::host::random::{fill_normal, normal};
use crate::host::rows::Rows;
use crate::inference::Estimate;

/// Samples that are the centres of kernels.
pub(super) const CENTRES: usize = 2000;
/// Further samples, which tell how much of the mass the proposal can see.
pub(super) const PROBES: usize = 1000;
/// Draws from the proposal.
pub(super) const DRAWS: usize = 20_000;
/// Every fourth draw comes from the wide component: the weights then stay bounded where no kernel is near (defensive mixture, Hesterberg.
/// *Technometrics* 37, 1995).
const WIDE_EVERY: usize = 4;
/// Degrees of freedom of the wide component: its tails are heavier than those of most models.
const DOF: usize = 5;
/// Kernels at least this wide, in deviations: a proposal narrower than the density would miss its tails.
const WIDTH_MIN: f64 = 0.5;
/// Kernel evaluations that may be spent, times dimensions.
const WORK: usize = 400_000_000;

/// A mixture of Gaussian kernels about samples of the model, with their covariance times `width^2`, and of a Student-t distribution with
/// their mean and covariance.
pub(super) struct Proposal {
    mean: Vec<f64>,
    /// Cholesky factor of the covariance: `x = mean + factor w` with `w` white.
    factor: SquareMatrix,
    log_det: f64,
    /// White centres, dimension by dimension.
    centres: Vec<Vec<f64>>,
    width: f64,
    probes: Rows,
}

impl Proposal {
    /// Around the first of the samples; the last [`PROBES`] are kept as probes.
    pub(super) fn new(samples: &Rows, draws: usize) -> Result<Self> {
        let d = samples.width();
        let probes = PROBES.min(samples.len() / 3);
        let (mean, covariance) = moments(samples);
        let diagonal = |i: usize| if i / d == i % d { covariance[i] } else { 0.0 };
        let diagonal = SquareMatrix::new((0..d * d).map(diagonal).collect(), d);
        // Columns that depend on each other, to rounding, still have a proposal: one that does not know it.
        let factor =
            SquareMatrix::new(covariance, d).cholesky().or_else(|_| diagonal.cholesky())?;
        let log_det = (0..d).map(|i| factor.at(i, i).ln()).sum();
        let count = (WORK / (draws * d)).clamp(16, samples.len() - probes);
        let mut proposal = Self {
            mean,
            factor,
            log_det,
            centres: vec![Vec::with_capacity(count); d],
            width: WIDTH_MIN.max(silverman(count, d)),
            probes: samples.slice(samples.len() - probes..samples.len()),
        };
        for i in 0..count {
            let white = proposal.whiten(samples.row(i));
            proposal.centres.iter_mut().zip(white).for_each(|(c, w)| c.push(w));
        }
        Ok(proposal)
    }

    /// Samples that are no centres.
    pub(super) fn probes(&self) -> &Rows {
        &self.probes
    }

    /// `n` draws and their log-density; `rng` makes the random numbers of a draw.
    pub(super) fn draw(
        &self,
        n: usize,
        threads: usize,
        rng: impl Fn(usize) -> ChaCha8Rng + Sync,
    ) -> Result<(Rows, Vec<f64>)> {
        let rows = parallel::map(n, threads, |i| {
            let white = self.draw_white(i, &mut rng(i));
            Ok((self.colour(&white), self.log_density_white(&white)))
        })?;
        let (x, log_density): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        Ok((Rows::new(x.concat(), self.mean.len())?, log_density))
    }

    /// Log-density of given rows.
    pub(super) fn log_density(&self, x: &Rows) -> Result<Vec<f64>> {
        let at = |i| self.log_density_white(&self.whiten(x.row(i)));
        Ok((0..x.len()).map(at).collect())
    }

    /// Components take turns, which is the same density as choosing one at random and has less noise.
    fn draw_white(&self, i: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut white = vec![0.0; self.mean.len()];
        fill_normal(rng, &mut white);
        if i.is_multiple_of(WIDE_EVERY) {
            let square: f64 = (0..DOF).map(|_| normal(rng).powi(2)).sum();
            let scale = (DOF as f64 / square).sqrt();
            white.iter_mut().for_each(|w| *w *= scale);
            return white;
        }
        // The number among the draws from kernels, so that every centre has its turn.
        let turn = i - i / WIDE_EVERY - 1;
        for (w, centres) in white.iter_mut().zip(&self.centres) {
            *w = centres[turn % centres.len()] + self.width * *w;
        }
        white
    }

    fn log_density_white(&self, white: &[f64]) -> f64 {
        let d = white.len() as f64;
        let wide = 1.0 / WIDE_EVERY as f64;
        let square: f64 = white.iter().map(|w| w * w).sum();
        let dof = DOF as f64;
        let student = ln_gamma_half(DOF + white.len())
            - ln_gamma_half(DOF)
            - 0.5 * d * (dof * PI).ln()
            - 0.5 * (dof + d) * (square / dof).ln_1p();
        let count = self.centres[0].len();
        let mut distances = vec![0.0; count];
        for (w, centres) in white.iter().zip(&self.centres) {
            distances.iter_mut().zip(centres).for_each(|(s, c)| *s += (w - c) * (w - c));
        }
        let scale = -0.5 / (self.width * self.width);
        let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        // A kernel e^-40 below the nearest changes no digit.
        let near = distances.iter().map(|s| scale * (s - nearest)).filter(|e| *e > -40.0);
        let sum: f64 = near.map(f64::exp).sum();
        let kernels = scale * nearest + (sum / count as f64).ln()
            - 0.5 * d * (TAU * self.width * self.width).ln();
        log_add((1.0 - wide).ln() + kernels, wide.ln() + student) - self.log_det
    }

    fn whiten(&self, x: &[f64]) -> Vec<f64> {
        let mut white = vec![0.0; x.len()];
        for i in 0..x.len() {
            let known: f64 = (0..i).map(|j| self.factor.at(i, j) * white[j]).sum();
            white[i] = (x[i] - self.mean[i] - known) / self.factor.at(i, i);
        }
        white
    }

    fn colour(&self, white: &[f64]) -> Vec<f64> {
        let at = |i: usize| (0..=i).map(|j| self.factor.at(i, j) * white[j]).sum::<f64>();
        (0..white.len()).map(|i| self.mean[i] + at(i)).collect()
    }
}

/// The integral of `p` from draws of `q`: the mean of `p / q`.
pub(super) fn estimate(log_p: &[f64], log_q: &[f64]) -> Estimate {
    let n = log_p.len() as f64;
    let weights = || log_p.iter().zip(log_q).map(|(p, q)| (p - q).exp());
    let mean = weights().sum::<f64>() / n;
    let variance = weights().map(|w| (w - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Estimate { mean, standard_error: (variance / n).sqrt() }
}

/// Mean and covariance.
fn moments(rows: &Rows) -> (Vec<f64>, Vec<f64>) {
    let (d, n) = (rows.width(), rows.len() as f64);
    let mut mean = vec![0.0; d];
    for i in 0..rows.len() {
        mean.iter_mut().zip(rows.row(i)).for_each(|(m, v)| *m += v / n);
    }
    let mut covariance = vec![0.0; d * d];
    for i in 0..rows.len() {
        let centred: Vec<f64> = rows.row(i).iter().zip(&mean).map(|(v, m)| v - m).collect();
        for (row, a) in covariance.chunks_exact_mut(d).zip(&centred) {
            row.iter_mut().zip(&centred).for_each(|(c, b)| *c += a * b / n);
        }
    }
    (mean, covariance)
}

/// Width of kernels in white coordinates, best for a Gaussian (Silverman. *Density Estimation*, 1986, eq. 4.14).
fn silverman(n: usize, d: usize) -> f64 {
    let d = d as f64;
    (4.0 / ((d + 2.0) * n as f64)).powf(1.0 / (d + 4.0))
}

/// `ln Gamma(k / 2)` by the recurrence from `Gamma(1) = 1` and `Gamma(1/2) = sqrt(pi)`.
fn ln_gamma_half(k: usize) -> f64 {
    let start = if k.is_multiple_of(2) { 0.0 } else { 0.5 * PI.ln() };
    let first = if k.is_multiple_of(2) { 2 } else { 1 };
    start + (first..k).step_by(2).map(|j| (0.5 * j as f64).ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Purpose, Streams};

    fn standard(n: usize, d: usize) -> Rows {
        let mut values = vec![0.0; n * d];
        Streams::new(2).fill_normal(Purpose::Sample, 0, 0, d, &mut values);
        Rows::new(values, d).unwrap()
    }

    fn rng(i: usize) -> ChaCha8Rng {
        Streams::new(4).rng(Purpose::Check, 0, i as u64)
    }

    #[test]
    fn the_proposal_is_a_density_and_its_draws_follow_it() {
        let proposal = Proposal::new(&standard(60, 1), DRAWS).unwrap();
        let step = 0.01;
        let x: Vec<f64> = (-6000..=6000).map(|i| f64::from(i) * step).collect();
        let density = proposal.log_density(&Rows::new(x.clone(), 1).unwrap()).unwrap();
        let mass: f64 = density.iter().map(|p| p.exp() * step).sum();
        assert!((mass - 1.0).abs() < 1e-4, "{mass}");
        let below: f64 =
            x.iter().zip(&density).filter(|(x, _)| **x < 0.4).map(|(_, p)| p.exp() * step).sum();
        let (draws, log_density) = proposal.draw(20_000, 2, rng).unwrap();
        let share = draws.values().iter().filter(|x| **x < 0.4).count() as f64 / 20_000.0;
        assert!((share - below).abs() < 0.015, "{share} {below}");
        let again = proposal.log_density(&draws).unwrap();
        assert!(again.iter().zip(&log_density).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn gamma_at_halves() {
        assert_eq!(ln_gamma_half(2), 0.0);
        assert!((ln_gamma_half(10) - 24f64.ln()).abs() < 1e-14);
        assert!((ln_gamma_half(5) - (0.75 * PI.sqrt()).ln()).abs() < 1e-15);
    }
}
