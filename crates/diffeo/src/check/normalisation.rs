//! Does the density integrate to 1?
//!
//! Units are left out: behind them the columns are real numbers of order one, and a density there integrates to 1 if and only if that of
//! the data does.

use super::CheckResult;
use super::importance::{self, Proposal};
use super::subject::{Draw, Samples, Subject};
use crate::columns::{Column, Schema, Within};
use crate::error::Result;
use crate::host::random::Purpose;
use crate::host::rows::Rows;
use crate::inference;
use crate::model::Model;

const NAME: &str = "normalisation";
/// Error of the integral that passes beside its noise: a density off by 2 % is off by 0.02 nats in every row, less than the standard
/// error of most evaluations.
const LIMIT: f64 = 0.02;
/// Standard errors allowed: a false alarm in two million.
const DEVIATIONS: f64 = 5.0;
/// A limit beyond this tells nothing: it would pass a density with half the mass.
const LIMIT_MAX: f64 = 0.5;
/// Points of the grid in one dimension: 1/900 of the spread apart where the samples span six.
const GRID_1: usize = 20_001;
/// Points a side of the grid in two dimensions.
const GRID_2: usize = 512;
/// How many spreads the grid goes beyond the samples: the tails beyond weigh less than the limit.
const MARGIN: f64 = 8.0;
/// Multiplications that may be spent: about ten seconds of one core.
const WORK: f64 = 2e11;
/// Beyond this, covariances take longer than the model and no proposal is close to a density.
const DIMS_MAX: usize = 256;

pub(super) fn check(subject: &Subject<'_>) -> Result<CheckResult> {
    let d = subject.model.flow().numbers();
    if d == 0 {
        let reason =
            "all columns have probabilities, or a density on a circle, which add up to one by construction".to_owned();
        return Ok(CheckResult::skipped(NAME, reason));
    }
    if d > DIMS_MAX {
        let reason = format!("{d} columns, and integrals are taken over at most {DIMS_MAX}");
        return Ok(CheckResult::skipped(NAME, reason));
    }
    let inner = of_numbers(subject.model)?;
    let fixed = fixed(subject)?;
    let context =
        |n: usize| fixed.as_ref().map(|row| Rows::new(row.repeat(n), row.len())).transpose();
    let n = importance::CENTRES + importance::PROBES;
    let options = subject.sample_options(Samples::Normalisation);
    let samples = inner.sample(n, context(n)?.as_ref(), &options)?;
    let log_prob = |x: &Rows| inner.log_prob(x, context(x.len())?.as_ref(), subject.threads);
    let parameters = inner.flow().spec().parameter_count()? as f64;
    let rows_most = (WORK / parameters.max(1.0)) as usize;
    let (value, limit, mut detail) = integral(&samples, rows_most, log_prob, |proposal, n| {
        let rng = |i: usize| subject.streams().rng(Purpose::Check, Draw::Proposal as u64, i as u64);
        proposal.draw(n, subject.threads, rng)
    })?;
    if subject.model.flow().marks().is_some() {
        detail += "; given the outcomes of one sample";
    }
    if !subject.model.schema().context.is_empty() {
        detail += match subject.data() {
            Some(_) => "; at the context of one row of data",
            None => "; at the central context",
        };
    }
    Ok(verdict(value, limit, detail))
}

/// A result, unless it passes only because nothing could be told.
fn verdict(value: f64, limit: f64, detail: String) -> CheckResult {
    if value <= limit && limit > LIMIT_MAX {
        return CheckResult::skipped(NAME, format!("too inexact to hold it to 1: {detail}"));
    }
    CheckResult::measured(NAME, value, limit, detail)
}

/// The error of the integral, its limit, and both in words.
///
/// `draw` takes points from a proposal; `rows_most` bounds the number of points.
fn integral(
    samples: &Rows,
    rows_most: usize,
    log_prob: impl Fn(&Rows) -> Result<Vec<f64>>,
    draw: impl Fn(&Proposal, usize) -> Result<(Rows, Vec<f64>)>,
) -> Result<(f64, f64, String)> {
    if let Some(at) = samples.values().iter().position(|v| !v.is_finite()) {
        let row = at / samples.width() + 1;
        return Ok((f64::NAN, LIMIT, format!("sample {row} is not finite")));
    }
    let mut before = String::new();
    if samples.width() <= 2 {
        let side = if samples.width() == 1 { GRID_1 } else { GRID_2.min(rows_most.isqrt()) };
        let sum = on_grid(samples, side, &log_prob)?;
        let points = format!("grid of {side}{}", if samples.width() == 1 { "" } else { " x " });
        let points = if samples.width() == 1 { points } else { format!("{points}{side}") };
        if (sum - 1.0).abs() <= LIMIT || !sum.is_finite() {
            return Ok((
                (sum - 1.0).abs(),
                LIMIT,
                format!("integral {sum:.4} on a {points} points"),
            ));
        }
        before =
            format!("a {points} points gives {sum:.4}, too coarse or too narrow if this differs: ");
    }
    let n = importance::DRAWS.min(rows_most).max(importance::DRAWS / 10);
    let proposal = Proposal::new(samples, n)?;
    let (points, log_proposal) = draw(&proposal, n)?;
    let estimate = importance::estimate(&log_prob(&points)?, &log_proposal);
    let probes = proposal.probes();
    let ratios =
        log_prob(probes)?.into_iter().zip(proposal.log_density(probes)?).map(|(p, q)| p - q);
    let unseen = inference::unseen(ratios, n);
    let (mean, error) = (estimate.mean, estimate.standard_error);
    // Mass that the draws are likely to miss can make the estimate too small, never too large.
    let missed = if mean < 1.0 { unseen } else { 0.0 };
    let limit = DEVIATIONS * error + LIMIT + missed;
    let mut detail = format!(
        "{before}integral {mean:.4} by importance sampling, standard error {error:.4}, {n} draws"
    );
    if unseen > LIMIT {
        detail += &format!(
            "; {:.0} % of the mass is too narrow for them to hit and may be missing",
            100.0 * unseen
        );
    }
    Ok(((mean - 1.0).abs(), limit, detail))
}

/// The integral by the trapezoidal rule, whose ends do not matter here: nothing is left there.
fn on_grid(
    samples: &Rows,
    side: usize,
    log_prob: impl Fn(&Rows) -> Result<Vec<f64>>,
) -> Result<f64> {
    let d = samples.width();
    let mut axes = Vec::new();
    let mut cell = 1.0;
    for j in 0..d {
        let column = samples.column(j);
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        let square = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let margin = MARGIN * (square / column.len() as f64).sqrt();
        let low = column.iter().copied().fold(f64::INFINITY, f64::min) - margin;
        let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max) + margin;
        let step = (high - low) / (side - 1) as f64;
        axes.push((low, step));
        cell *= step;
    }
    let point = |i: usize| (0..d).map(move |j| i / side.pow(j as u32) % side);
    let values = (0..side.pow(d as u32))
        .flat_map(point)
        .zip(axes.iter().cycle())
        .map(|(k, (low, step))| low + k as f64 * step)
        .collect();
    let density = log_prob(&Rows::new(values, d)?)?;
    Ok(density.iter().map(|p| p.exp()).sum::<f64>() * cell)
}

/// The flow of the numbers behind the units, as a model of real columns.
fn of_numbers(model: &Model) -> Result<Model> {
    let flow = model.flow().of_numbers();
    let real = |n: usize, of: &str| (0..n).map(|i| Column::real(format!("{of}{i}"))).collect();
    let schema = Schema::new(real(flow.dims(), "z"), real(flow.context_dims(), "c"));
    Model::new(flow, schema)
}

/// What the numbers are given where the integral is taken: one context, and the marks of one sample there.
fn fixed(subject: &Subject<'_>) -> Result<Option<Vec<f64>>> {
    let model = subject.model;
    let context =
        subject.fixed_context().map(|row| Rows::new(row.clone(), row.len())).transpose()?;
    let x = model.sample(1, context.as_ref(), &subject.sample_options(Samples::Normalisation))?;
    let encoded = model.encoding().encode(&x, context.as_ref().into(), Within::Middle);
    let (_, given) = model.flow().numbers_of(&encoded.x, encoded.context.as_ref())?;
    Ok(given.map(Rows::into_values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::Streams;

    const ROWS_MOST: usize = 1 << 20;

    /// Samples of a mixture of two Gaussians of deviation `width` at -2 and 2 in each dimension, and its log-density times a fault.
    fn planted(d: usize, width: f64, fault: impl Fn(&[f64]) -> f64) -> (f64, f64, String) {
        let n = importance::CENTRES + importance::PROBES;
        let mut values = vec![0.0; n * d];
        Streams::new(3).fill_normal(Purpose::Sample, 0, 0, d, &mut values);
        for (i, row) in values.chunks_mut(d).enumerate() {
            let centre = if i % 2 == 0 { 2.0 } else { -2.0 };
            row.iter_mut().for_each(|v| *v = centre + width * *v);
        }
        let gaussian = |row: &[f64], centre: f64| -> f64 {
            let square: f64 = row.iter().map(|v| ((v - centre) / width).powi(2)).sum();
            (-0.5 * square).exp() / (width * (2.0 * std::f64::consts::PI).sqrt()).powi(d as i32)
        };
        let log_prob = |x: &Rows| {
            let at = |i: usize| 0.5 * (gaussian(x.row(i), 2.0) + gaussian(x.row(i), -2.0));
            Ok((0..x.len()).map(|i| at(i).ln() + fault(x.row(i))).collect())
        };
        let rng = |i: usize| Streams::new(4).rng(Purpose::Check, 0, i as u64);
        let samples = Rows::new(values, d).unwrap();
        integral(&samples, ROWS_MOST, log_prob, |proposal, n| proposal.draw(n, 2, rng)).unwrap()
    }

    #[track_caller]
    fn passes(found: (f64, f64, String), expected: bool) {
        assert_eq!(found.0 <= found.1, expected, "{found:?}");
    }

    #[test]
    fn noise_that_would_pass_half_the_mass_passes_nothing() {
        let of = |value, limit| verdict(value, limit, String::from("integral"));
        assert!(of(0.3, 0.5).passed && of(0.3, 0.5).value == 0.3);
        let told = of(0.3, 0.6);
        assert!(told.passed && told.value.is_nan(), "{told:?}");
        assert!(told.detail.starts_with("not measured: too inexact"), "{told:?}");
        assert!(!of(0.7, 0.6).passed && !of(f64::NAN, 0.6).passed);
    }

    #[test]
    fn densities_pass_on_grids_and_by_importance_sampling() {
        for d in [1, 2, 3, 6] {
            let found = planted(d, 0.6, |_| 0.0);
            assert!(found.1 < 0.2, "{found:?}");
            passes(found, true);
        }
    }

    #[test]
    fn a_density_that_is_too_large_or_too_small_fails() {
        for d in [1, 2, 4] {
            for factor in [0.8f64, 1.25] {
                passes(planted(d, 0.6, |_| factor.ln()), false);
            }
            // Wrong in one place only, as a wrong log-slope in one bin of a spline is.
            passes(planted(d, 0.6, |x| if x[0] > 2.0 { 1.0 } else { 0.0 }), false);
            passes(planted(d, 0.6, |x| if x[0] > 0.0 { f64::NAN } else { 0.0 }), false);
        }
    }

    #[test]
    fn a_density_too_narrow_for_the_grid_is_integrated_by_draws() {
        let found = planted(1, 1e-4, |_| 0.0);
        assert!(found.2.contains("importance"), "{found:?}");
        passes(found, true);
        let narrow = planted(2, 2e-3, |_| 0.0);
        passes(narrow, true);
    }

    #[test]
    fn what_draws_cannot_see_is_said_and_does_not_fail() {
        let found = planted(16, 0.01, |_| 0.0);
        assert!(found.2.contains("too narrow"), "{found:?}");
        passes(found, true);
        passes(planted(16, 0.6, |_| 2.0), false);
    }
}
