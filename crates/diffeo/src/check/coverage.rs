//! Do regions of highest density hold as many rows as they should?
//!
//! The share of a model's samples that are less likely than a row is uniform for rows of the model itself; a region of highest density that
//! should hold a share `q` holds the rows above `1 - q` (Hyndman. *Computing and graphing highest density regions*. Am. Stat. 50, 1996).

use super::calibration::largest_gap;
use super::ranks::{PosteriorRanks, rank_sorted};
use super::subject::{Draw, Samples, Subject};
use super::{CheckData, CheckResult};
use crate::error::Result;
use crate::host::random::Purpose;

/// The distance of distribution functions that passes beside noise.
const EFFECT: f64 = 0.05;
/// How often noise alone may exceed its part of the limit.
const FALSE_ALARM: f64 = 1e-4;
/// Points that stand for the uniform distribution.
const GRID: usize = 10_000;
const NAME: &str = "coverage";

/// `own` are the ranks of rows at their own contexts, for a conditional model.
pub(super) fn check(
    subject: &Subject<'_>,
    data: &CheckData,
    own: Option<&PosteriorRanks>,
) -> Result<CheckResult> {
    let (ranks, samples) = match own {
        None => unconditional(subject, data)?,
        Some(own) => (own.density.clone(), None),
    };
    let n = ranks.len() as f64;
    // Samples that all rows share have noise too; those of a row are in its rank already.
    let inverse = 1.0 / n + samples.map_or(0.0, |m| 1.0 / m as f64);
    let noise = (-0.5 * (0.5 * FALSE_ALARM).ln()).sqrt() * inverse.sqrt();
    let grid = (0..GRID).map(|i| (i as f64 + 0.5) / GRID as f64).collect();
    let distance = largest_gap(ranks.clone(), grid).distance;
    let held = |share: f64| 100.0 * ranks.iter().filter(|r| **r >= 1.0 - share).count() as f64 / n;
    let detail = format!(
        "{n} rows of data: the regions of highest density that should hold 50, 90 and 99 % of them hold {:.1}, {:.1} and {:.1} %, the distribution \
         functions differ by {distance:.3} at most; limit {EFFECT} + {noise:.3} for noise",
        held(0.5),
        held(0.9),
        held(0.99)
    );
    Ok(CheckResult::measured(NAME, distance, EFFECT + noise, detail))
}

/// Ranks of the rows among samples that all share, and how many these are.
fn unconditional(subject: &Subject<'_>, data: &CheckData) -> Result<(Vec<f64>, Option<usize>)> {
    let log_prob = subject.model.log_prob(&data.x, None, subject.threads)?;
    let options = subject.sample_options(Samples::Coverage);
    let samples = subject.model.sample(subject.samples, None, &options)?;
    // Scored as the data is: the same outcomes must tie.
    let mut of_samples = subject.model.log_prob(&samples, None, subject.threads)?;
    of_samples.sort_by(f64::total_cmp);
    let ranks = log_prob.iter().enumerate().map(|(i, p)| {
        let mut rng = subject.streams().rng(Purpose::Check, Draw::Ranks as u64, i as u64);
        rank_sorted(*p, &of_samples, &mut rng)
    });
    Ok((ranks.collect(), Some(of_samples.len())))
}
