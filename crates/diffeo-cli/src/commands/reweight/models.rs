//! The ratio of two fitted models.

use diffeo::inference::{Transported, Weights};
use diffeo::{Column, Error, Result, quoted};
use diffeo_table::Input;
use std::path::PathBuf;

use super::averages::Average;
use super::{Ratios, log_weights, open};
use crate::commands::model::Loaded;
use crate::options::reweight::ReweightPlan;
use crate::output::Console;
use crate::progress::{Progress, grouped};
use crate::signals;

/// Scores the rows with both models.
pub(super) fn ratios(
    plan: &ReweightPlan,
    models: &[PathBuf; 2],
    data: &Input,
    console: &Console,
) -> Result<Ratios> {
    let [from, to] = [Loaded::open(&models[0])?, Loaded::open(&models[1])?];
    same_columns(&from, &to)?;
    let schemas = [&from, &to].map(|loaded| loaded.model.schema());
    let mut columns: Vec<Column> = Vec::new();
    for column in schemas.iter().flat_map(|s| s.columns.iter().chain(&s.context)) {
        if !columns.iter().any(|known| known.name == column.name) {
            columns.push(column.clone());
        }
    }
    let (mut log, mut outcome) = (Vec::new(), Vec::new());
    let mut reader = open(data, plan, &columns)?;
    let mut progress = Progress::new(console);
    let names: Vec<String> = plan.args.outcome.iter().cloned().collect();
    while let Some(chunk) = reader.next_chunk()? {
        signals::check()?;
        let [first, second] = [&from, &to].map(|loaded| {
            let batch = loaded.batch(&chunk)?;
            loaded.model.log_prob(&batch.x, batch.context.as_ref(), plan.threads)
        });
        log.extend(difference(&first?, &second?, log.len())?);
        if !names.is_empty() {
            outcome.extend(chunk.numbers(&names)?.into_values());
        }
        progress.update(|| format!("{} rows scored", grouped(log.len() as u64)));
    }
    drop(progress);
    let log = log_weights(plan, &log)?;
    let weights = Weights::new(log.clone())?;
    warn_of_other_rows(&weights, plan, console);
    let mut averages = Vec::new();
    if !names.is_empty() {
        let seed = plan.ratio.fit.seed;
        let by_weights = Transported::new(&weights, &outcome)?;
        averages.push(Average::new("weights", &by_weights, seed, plan.threads)?);
        averages.push(Average::plain("unweighted", &outcome, seed, plan.threads)?);
    }
    let verdict = weights.verdict();
    Ok(Ratios { log, verdict, rows_to: None, columns, averages, slope: None, classifier: None })
}

/// `ln p2 - ln p1` of each row.
fn difference(first: &[f64], second: &[f64], before: usize) -> Result<Vec<f64>> {
    let ratio = |(i, (a, b)): (usize, (&f64, &f64))| match (*a, *b) {
        // Neither population has the row.
        (f64::NEG_INFINITY, f64::NEG_INFINITY) => Ok(f64::NEG_INFINITY),
        (f64::NEG_INFINITY, _) => Err(Error::data(format!(
            "row {}: the model of --from gives it density 0 and that of --to does not; no weight of rows of the first can stand for it",
            before + i + 1
        ))),
        (a, b) => Ok(b - a),
    };
    first.iter().zip(second).enumerate().map(ratio).collect()
}

fn same_columns(from: &Loaded, to: &Loaded) -> Result<()> {
    let sorted = |loaded: &Loaded| {
        let mut names = loaded.columns.clone();
        names.sort();
        names
    };
    if sorted(from) == sorted(to) {
        return Ok(());
    }
    let list = |loaded: &Loaded| {
        let names: Vec<String> = loaded.columns.iter().map(|name| quoted(name)).collect();
        names.join(", ")
    };
    Err(Error::config(format!(
        "the models are of other columns, so that their densities have no ratio: --from of {}, --to of {}",
        list(from),
        list(to)
    )))
}

/// Weights of draws of the first density have mean one.
fn warn_of_other_rows(weights: &Weights, plan: &ReweightPlan, console: &Console) {
    let log_mean = weights.log_mean();
    let off = log_mean.mean.abs() / log_mean.standard_error.max(1e-12);
    if plan.relative.is_none()
        && weights.verdict().is_good()
        && off > 4.0
        && log_mean.mean.abs() > 0.1
    {
        console.warn(format!(
            "the mean weight is {:.3} ± {:.3}, and 1 of rows that follow --from: DATA is another sample, or one of the models is off",
            log_mean.mean.exp(),
            log_mean.mean.exp() * log_mean.standard_error
        ));
    }
}
