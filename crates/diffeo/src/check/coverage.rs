//! Do regions of highest density hold as many rows as they should?
//!
//! The share of a model's samples that are less likely than a row is uniform for rows of the model itself; a region of highest density that
//! should hold a share `q` holds the rows above `1 - q` (Hyndman. *Computing and graphing highest density regions*. Am. Stat. 50, 1996).

use super::calibration::largest_gap;
use super::subject::{Draw, Samples, Subject};
use super::{CheckData, CheckResult};
use crate::error::Result;
use crate::host::random::{Purpose, uniform};
use crate::host::rows::Rows;

/// The distance of distribution functions that passes beside noise.
const EFFECT: f64 = 0.05;
/// How often noise alone may exceed its part of the limit.
const FALSE_ALARM: f64 = 1e-4;
/// Samples at the context of each row, for a conditional model.
const SAMPLES_PER_ROW: usize = 32;
/// Rows of a conditional model that are used.
const ROWS: usize = 2000;
/// Points that stand for the uniform distribution.
const GRID: usize = 10_000;
const NAME: &str = "coverage";

pub(super) fn check(subject: &Subject<'_>, data: &CheckData) -> Result<CheckResult> {
    let (ranks, samples) = match &data.context {
        None => unconditional(subject, data)?,
        Some(context) => conditional(subject, data, context)?,
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
    let ranks = log_prob.iter().enumerate().map(|(i, p)| rank(subject, i, *p, &of_samples));
    Ok((ranks.collect(), Some(of_samples.len())))
}

/// Ranks of the rows among samples at their own context.
fn conditional(
    subject: &Subject<'_>,
    data: &CheckData,
    context: &Rows,
) -> Result<(Vec<f64>, Option<usize>)> {
    let rows: Vec<usize> = (0..data.x.len().min(ROWS)).collect();
    let (x, context) = (data.x.select(&rows), context.select(&rows));
    let log_prob = subject.model.log_prob(&x, Some(&context), subject.threads)?;
    let again: Vec<usize> = rows.iter().flat_map(|i| [*i; SAMPLES_PER_ROW]).collect();
    let given = context.select(&again);
    let options = subject.sample_options(Samples::Coverage);
    let samples = subject.model.sample(again.len(), Some(&given), &options)?;
    let of_samples = subject.model.log_prob(&samples, Some(&given), subject.threads)?;
    let groups = of_samples.chunks(SAMPLES_PER_ROW).zip(log_prob).enumerate();
    let ranks = groups.map(|(i, (samples, p))| {
        let mut samples = samples.to_vec();
        samples.sort_by(f64::total_cmp);
        rank(subject, i, p, &samples)
    });
    Ok((ranks.collect(), None))
}

/// The place of a log-density among sorted ones, at random among its ties and between its neighbours: exactly uniform for one more of them.
fn rank(subject: &Subject<'_>, row: usize, log_prob: f64, sorted: &[f64]) -> f64 {
    let below = sorted.partition_point(|s| *s < log_prob);
    let ties = sorted.partition_point(|s| *s <= log_prob) - below;
    let mut rng = subject.streams().rng(Purpose::Check, Draw::Ranks as u64, row as u64);
    (below as f64 + uniform(&mut rng) * (ties + 1) as f64) / (sorted.len() + 1) as f64
}
