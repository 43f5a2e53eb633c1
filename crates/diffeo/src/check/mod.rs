//! A self-test of a model that can fail: is it a bijection, a density, and a density of this data?
//!
//! Every check measures one number and holds it against a limit. The limits are constants with their reasons, beside the checks; where
//! a measurement has noise, the limit grows with it, so that a false alarm is rare for any seed: about one in a million, and one in ten
//! thousand for the checks of the base and of coverage.

mod agreement;
mod base;
mod calibration;
mod conditional;
mod coverage;
mod dependence;
mod energy;
mod importance;
mod log_det;
mod normalisation;
mod ranks;
mod round_trip;
mod subject;
mod uniform;

pub use ranks::{PosteriorRanks, posterior_ranks};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::host::rows::Rows;
use crate::model::Model;
use subject::Subject;

/// Rows to hold a model against, in the units of the data. Rows that it was not trained on say more.
#[derive(Clone, Debug)]
pub struct CheckData {
    /// The modelled columns.
    pub x: Rows,
    /// The context of each row, for a conditional model.
    pub context: Option<Rows>,
}

/// How to check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckOptions {
    /// Seed of all draws.
    pub seed: u64,
    /// Threads to use; the results do not depend on it.
    pub threads: usize,
    /// Most rows of data to use, and rows to draw from the model against them; at least 100.
    pub samples: usize,
}

impl CheckOptions {
    /// Fewer samples say nothing.
    pub const SAMPLES_MIN: usize = 100;
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { seed: 0, threads: 1, samples: 10_000 }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckResult {
    /// Name of the check, with the column after a colon if it is about one.
    pub name: String,
    /// Whether `value` is within `limit`, or nothing could be measured (then both are NaN).
    pub passed: bool,
    /// What was measured; 0 is perfect.
    pub value: f64,
    /// The largest value that passes.
    pub limit: f64,
    /// The measurement in words: what, on how many rows, how exact, where it is worst.
    pub detail: String,
}

impl CheckResult {
    /// A value that is NaN does not pass.
    fn measured(name: impl Into<String>, value: f64, limit: f64, detail: String) -> Self {
        Self { name: name.into(), passed: value <= limit, value, limit, detail }
    }

    /// Nothing was measured, for a reason that is no fault of the model.
    fn skipped(name: impl Into<String>, reason: String) -> Self {
        let detail = format!("not measured: {reason}");
        Self { name: name.into(), passed: true, value: f64::NAN, limit: f64::NAN, detail }
    }
}

/// Runs all checks on a model; those of calibration only with data.
///
/// * `round_trip`: samples (and data) to the base and back, the largest error in spreads of the column.
/// * `log_det`: `log|det dz/dx|` against the Jacobian by automatic differentiation, in `f64`.
/// * `normalisation`: the integral of the density less 1, on a grid or by importance sampling; skipped where the limit would pass a
///   density with half the mass.
/// * `sample_score_agreement`: the log-density that comes with samples against that of the same rows.
/// * `calibration:COLUMN`: Kolmogorov-Smirnov distance of data and samples, for every column; of images `calibration`, the worst of them.
/// * `energy_distance`: distance of data and samples in all columns together.
/// * `base_numbers`: the base numbers of data against draws of the base, one by one: a model too narrow or too wide for a column given
///   those before it fails.
/// * `base_dependence`: whether they know of the context or of each other: a model that is blind to its context fails.
/// * `base_energy`: all of them together, and with the context.
/// * `coverage`: how many rows lie in regions of highest density, against how many should.
///
/// and for a conditional model, of rows among draws at their own contexts:
///
/// * `sbc:COLUMN`: simulation-based calibration, whether the places in the column are uniform; of images `sbc`, the worst of them.
/// * `tarp`: whether the places by distance to random points are, in all columns together.
/// * `local_calibration`: whether all of these are near each context.
///
/// The same seed gives the same results for any number of threads.
///
/// # Errors
/// [`ErrorKind::Config`] for fewer than 100 samples, [`ErrorKind::Shape`] or [`ErrorKind::Data`] for data that does not fit the
/// model, has no rows or holds NaN or an infinity. A model that fails is not an error but a result that has not passed.
pub fn check(
    model: &Model,
    data: Option<&CheckData>,
    options: &CheckOptions,
) -> Result<Vec<CheckResult>> {
    let subject = Subject::new(model, data, options)?;
    let mut results = vec![
        completed("round_trip", round_trip::check(&subject))?,
        completed("log_det", log_det::check(&subject))?,
        completed("normalisation", normalisation::check(&subject))?,
        completed("sample_score_agreement", agreement::check(&subject))?,
    ];
    if let Some(data) = subject.data() {
        let samples = subject.samples_like(data)?;
        let of_columns = calibration::check(&subject, data, &samples);
        match model.schema().image {
            Some(_) => results.extend(worst("calibration", of_columns)),
            None => results.extend(of_columns),
        }
        results.push(energy::check(&subject, data, &samples)?);
        results.extend(base::check(&subject, data)?);
        let own = data.context.as_ref().map(|c| PosteriorRanks::new(&subject, data, c));
        let own = own.transpose()?;
        results.push(coverage::check(&subject, data, own.as_ref())?);
        if let Some(own) = &own {
            let of_rows = conditional::check(model, own);
            let (of_columns, others) =
                of_rows.into_iter().partition(|r| r.name.starts_with("sbc:"));
            match model.schema().image {
                Some(_) => results.extend(worst("sbc", of_columns)),
                None => results.extend(of_columns),
            }
            results.extend(others);
        }
    }
    Ok(results)
}

/// The result of the column that is nearest to its limit, or farthest beyond it, for all: what is said of images, which have too many columns to list.
fn worst(name: &str, results: Vec<CheckResult>) -> Option<CheckResult> {
    let columns = results.len();
    let share = |result: &CheckResult| match (result.value / result.limit, result.passed) {
        (share, false) if share.is_nan() => f64::INFINITY,
        (share, _) if share.is_nan() => 0.0,
        (share, _) => share,
    };
    let worst = results.into_iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let detail = format!("the worst of {columns} columns, {}: {}", worst.name, worst.detail);
    Some(CheckResult { name: name.to_owned(), detail, ..worst })
}

/// A map that has no inverse or does not converge is what a self-test looks for, not a reason to stop testing.
fn completed(name: &str, result: Result<CheckResult>) -> Result<CheckResult> {
    match result {
        Err(e) if matches!(e.kind(), ErrorKind::Domain | ErrorKind::NotConverged) => {
            Ok(CheckResult::measured(name, f64::NAN, 0.0, e.to_string()))
        }
        other => other,
    }
}

/// Refuses options and data that cannot be used, before any work.
fn validate(model: &Model, data: Option<&CheckData>, options: &CheckOptions) -> Result<()> {
    let least = CheckOptions::SAMPLES_MIN;
    if options.samples < least {
        return Err(Error::config(format!(
            "a check needs at least {least} samples, found {}",
            options.samples
        )));
    }
    let Some(data) = data else { return Ok(()) };
    let expected = (model.schema().columns.len(), model.schema().context.len());
    let found = (data.x.width(), data.context.as_ref().map_or(0, Rows::width));
    let same_rows = data.context.as_ref().is_none_or(|c| c.len() == data.x.len());
    if expected != found || !same_rows {
        return Err(Error::shape(format!(
            "data: expected {} columns and {} context columns of equally many rows, found {} and {} ({} and {} rows)",
            expected.0,
            expected.1,
            found.0,
            found.1,
            data.x.len(),
            data.context.as_ref().map_or(0, Rows::len)
        )));
    }
    if data.x.is_empty() {
        return Err(Error::data("expected at least one row to check against, found none"));
    }
    let columns = [
        (Some(&data.x), &model.schema().columns),
        (data.context.as_ref(), &model.schema().context),
    ];
    for (rows, names) in columns.into_iter().filter_map(|(rows, names)| Some((rows?, names))) {
        let is_bad =
            |at: usize, v: f64| !(v.is_finite() || v.is_nan() && names[at % rows.width()].holes);
        let bad = rows.values().iter().enumerate().find(|(at, v)| is_bad(*at, **v));
        if let Some((at, _)) = bad {
            return Err(Error::data(format!(
                "row {}, column {}: expected a finite number, found {}",
                at / rows.width() + 1,
                crate::error::quoted(&names[at % rows.width()].name),
                rows.values()[at]
            )));
        }
    }
    Ok(())
}
