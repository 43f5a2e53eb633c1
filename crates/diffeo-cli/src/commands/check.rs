//! `diffeo check`: the self-test, as a table of what passed and what did not.

use diffeo::check::{CheckData, CheckOptions, CheckResult, check};
use diffeo::{Result, printable};
use diffeo_table::Input;
use serde_json::json;

use super::model::{Batch, Loaded};
use crate::args::{CheckArgs, Common};
use crate::faults::Faults;
use crate::output::{Console, Report, number};
use crate::{exit, options};

/// Rows of data to use and to draw.
const ROWS: u64 = 10_000;
/// The same of images, which have many more numbers.
const IMAGES: u64 = 1_000;
const ROWS_MIN: u64 = 100;
const ROWS_MAX: u64 = 10_000_000;

/// Runs `diffeo check`.
pub(super) fn run(args: &CheckArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let model = options::required("MODEL", args.model.as_ref(), &mut faults);
    let read = options::read_options(&args.read, &mut faults);
    let rows = faults.count("--rows", args.rows, ROWS_MIN, ROWS_MAX);
    let seed = options::seed(args.seed, &mut faults).unwrap_or(0);
    let threads = options::threads(common, &mut faults);
    faults.finish()?;

    let loaded = Loaded::open(&model)?.weighted_by(args.weight.as_ref());
    let usual = if loaded.model.schema().image.is_some() { IMAGES } else { ROWS };
    let rows = rows.unwrap_or(usual);
    let data = match &args.data {
        Some(path) => {
            loaded.warn_of_weight(args.weight.as_ref(), console);
            let reader = loaded.open_table(&Input::from_arg(path), &read, true)?;
            let Batch { x, context, .. } = loaded.gather(reader, rows, console)?;
            Some(CheckData { x, context })
        }
        None => {
            console.note("without DATA the calibration is not checked");
            None
        }
    };
    let samples = usize::try_from(rows).unwrap_or(usize::MAX);
    let results = check(&loaded.model, data.as_ref(), &CheckOptions { seed, threads, samples })?;
    Ok(report(&results))
}

fn report(results: &[CheckResult]) -> Report {
    let mut report = Report::default();
    let head = ["", "check", "value", "limit", ""].map(str::to_string).to_vec();
    let measured = |verdict: &str, value: f64| match verdict {
        "skip" => String::from("-"),
        _ => format!("{value:.2e}"),
    };
    let row = |result: &CheckResult| {
        let verdict = match (result.passed, result.value.is_nan()) {
            (true, true) => "skip",
            (true, false) => "pass",
            (false, _) => "FAIL",
        };
        vec![
            verdict.to_string(),
            printable(&result.name),
            measured(verdict, result.value),
            measured(verdict, result.limit),
            printable(&result.detail),
        ]
    };
    let rows: Vec<Vec<String>> = [head].into_iter().chain(results.iter().map(row)).collect();
    report.table(&rows);
    let failed = results.iter().filter(|result| !result.passed).count();
    let skipped = results.iter().filter(|result| result.passed && result.value.is_nan()).count();
    report.line(match (failed, skipped) {
        (0, 0) => format!("\nall {} checks passed", results.len()),
        (0, n) => format!("\n{} checks passed, {n} not measured", results.len() - n),
        (n, 0) => format!("\n{n} of {} checks failed", results.len()),
        (n, m) => format!("\n{n} of {} checks failed, {m} not measured", results.len() - m),
    });
    report.key("passed", failed == 0);
    let checks = results.iter().map(|result| {
        json!({
            "name": result.name, "passed": result.passed, "value": number(result.value),
            "limit": number(result.limit), "detail": result.detail,
        })
    });
    report.key("checks", checks.collect::<Vec<_>>());
    report.code = if failed == 0 { exit::DONE } else { exit::FAILED };
    report
}
