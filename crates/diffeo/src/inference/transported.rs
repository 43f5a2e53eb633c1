//! The average of an outcome in a population where it was not observed.

use super::weights::{Estimate, Weights};
use crate::error::{Error, ErrorKind, Result};
use crate::host::parallel;
use crate::host::random::{Purpose, Streams, below};

/// An outcome `y` that was observed at rows of one population, weighted so that they stand for another: its average there.
///
/// * Weights alone: `sum w y / sum w`.
/// * With what is expected of the outcome at the rows of both (`m`): `mean of m over the second + sum w (y - m) / sum w`, which is right if either the weights or `m` are,
///   and has the smaller error where both are nearly so (Robins, Rotnitzky, Zhao. JASA 89, 1994; with folds: Chernozhukov et al. Econometrics Journal 21, 2018).
#[derive(Clone, Debug)]
pub struct Transported {
    /// Weights over their sum.
    shares: Vec<f64>,
    /// `y`, or `y - m`.
    residuals: Vec<f64>,
    /// `m` at the rows of the second population.
    expected: Option<Vec<f64>>,
}

/// How an interval is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntervalOptions {
    /// How often it is to hold the truth.
    pub level: f64,
    /// Samples that are drawn of the rows.
    pub resamples: usize,
    /// Seed of these.
    pub seed: u64,
    /// Threads; the result does not depend on it.
    pub threads: usize,
}

impl Default for IntervalOptions {
    fn default() -> Self {
        Self { level: 0.95, resamples: 2000, seed: 0, threads: 1 }
    }
}

impl Transported {
    /// By weights alone.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] unless there is an outcome for each weight, [`ErrorKind::Data`] if one that counts is not finite.
    pub fn new(weights: &Weights, outcome: &[f64]) -> Result<Self> {
        if outcome.len() != weights.len() {
            let (expected, found) = (weights.len(), outcome.len());
            return Err(Error::shape(format!("expected {expected} outcomes, found {found}")));
        }
        let shares = weights.normalised();
        let bad = |i: &usize| shares[*i] > 0.0 && !outcome[*i].is_finite();
        if let Some(i) = (0..outcome.len()).find(bad) {
            let found = outcome[i];
            return Err(Error::data(format!(
                "outcomes must be finite numbers, found {found} in row {i} (counted from 0)"
            )));
        }
        let counted = |(share, y): (&f64, &f64)| if *share > 0.0 { *y } else { 0.0 };
        let residuals = shares.iter().zip(outcome).map(counted).collect();
        Ok(Self { shares, residuals, expected: None })
    }

    /// With what is expected of the outcome at the rows that have weights and at those of the other population.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] unless there is an expectation for each weight and at least one for the other population.
    pub fn with_expected(self, here: &[f64], there: Vec<f64>) -> Result<Self> {
        if here.len() != self.residuals.len() || there.is_empty() {
            return Err(Error::shape(format!(
                "expected an expectation for each of {} rows and some for the other population, found {} and {}",
                self.residuals.len(),
                here.len(),
                there.len()
            )));
        }
        let residuals = self.residuals.iter().zip(here).map(|(y, m)| y - m).collect();
        Ok(Self { residuals, expected: Some(there), ..self })
    }

    /// The average and its standard error.
    pub fn estimate(&self) -> Estimate {
        let ones = || std::iter::repeat(1.0);
        let weighted = self.weighted(ones(), 0.0);
        let (there, variance) = self.there(ones());
        let mean = weighted.mean + there;
        Estimate { mean, standard_error: (weighted.standard_error.powi(2) + variance).sqrt() }
    }

    /// An interval that holds the average as often as asked for: of rows drawn again with replacement from both populations, by how many standard errors each
    /// estimate misses the first (bootstrap t; Efron, Tibshirani. *An Introduction to the Bootstrap*, 1993, chapter 12).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for options out of range, [`ErrorKind::NotConverged`] if too few of the samples have an estimate.
    pub fn interval(&self, options: &IntervalOptions) -> Result<[f64; 2]> {
        let IntervalOptions { level, resamples, seed, threads } = *options;
        if !(level > 0.0 && level < 1.0) || resamples < 100 {
            return Err(Error::config(format!(
                "an interval needs a level between 0 and 1 and at least 100 samples, found {level} and {resamples}"
            )));
        }
        let streams = Streams::new(seed);
        let first = self.estimate();
        let mut misses = parallel::map(resamples, threads, |i| {
            let mut rng = streams.rng(Purpose::Bootstrap, 0, i as u64);
            let mut counts = |n: usize| {
                let mut counts = vec![0_u32; n];
                (0..n).for_each(|_| counts[below(&mut rng, n as u64) as usize] += 1);
                counts
            };
            let here = counts(self.shares.len());
            let there = self.expected.as_ref().map(|m| counts(m.len())).unwrap_or_default();
            let centre = self.weighted_mean();
            let weighted = self.weighted(here.into_iter().map(f64::from), centre);
            let (there, variance) = self.there(there.into_iter().map(f64::from));
            let error = (weighted.standard_error.powi(2) + variance).sqrt();
            Ok((weighted.mean + there - first.mean) / error)
        })?;
        misses.retain(|t| t.is_finite());
        if misses.len() < resamples / 2 {
            if first.standard_error == 0.0 {
                return Ok([first.mean; 2]);
            }
            return Err(Error::new(
                ErrorKind::NotConverged,
                "most samples of the rows have no estimate: too few rows carry weight",
            ));
        }
        misses.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * (misses.len() - 1) as f64).round() as usize;
            first.mean - misses[place] * first.standard_error
        };
        Ok([at(0.5 + 0.5 * level), at(0.5 - 0.5 * level)])
    }

    fn weighted_mean(&self) -> f64 {
        self.shares.iter().zip(&self.residuals).map(|(w, r)| w * r).sum()
    }

    /// Weighted mean of the residuals, each row counted so often; `centre` is near it, so that squares lose no digits.
    fn weighted(&self, counts: impl Iterator<Item = f64>, centre: f64) -> Estimate {
        let (mut total, mut first, mut squares) = (0.0, 0.0, [0.0; 3]);
        for ((share, residual), count) in self.shares.iter().zip(&self.residuals).zip(counts) {
            let (weight, off) = (count * share, residual - centre);
            total += weight;
            first += weight * off;
            let square = weight * share;
            squares[0] += square;
            squares[1] += square * off;
            squares[2] += square * off * off;
        }
        let off = first / total;
        let variance = squares[2] - 2.0 * off * squares[1] + off * off * squares[0];
        Estimate { mean: centre + off, standard_error: variance.max(0.0).sqrt() / total }
    }

    /// Mean of the expectations at the second population, each row counted so often, and the variance of it; nothing if there are none.
    fn there(&self, counts: impl Iterator<Item = f64>) -> (f64, f64) {
        let Some(expected) = &self.expected else { return (0.0, 0.0) };
        let n = expected.len() as f64;
        let centre = expected.iter().sum::<f64>() / n;
        let (mut first, mut squares) = (0.0, 0.0);
        for (m, count) in expected.iter().zip(counts) {
            first += count * (m - centre);
            squares += count * (m - centre).powi(2);
        }
        let off = first / n;
        (centre + off, ((squares / n - off * off) / n).max(0.0))
    }
}
