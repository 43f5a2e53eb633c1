//! `diffeo reweight`: rows of one population, weighted so that they stand for another.

mod averages;
mod learned;
mod models;

use diffeo::inference::{Verdict, relative};
use diffeo::train::Trainer;
use diffeo::{Column, Error, ErrorKind, Result, quoted};
use diffeo_table::{Input, Reader, Writer};

use self::averages::Average;
use super::model::{refuse_column, say_warnings};
use super::score::checked_output;
use crate::args::{Common, ReweightArgs};
use crate::options::reweight::{ReweightPlan, Sources, plan};
use crate::output::{Console, Report, number};
use crate::progress::grouped;
use crate::signals;

/// The column that is added.
const WEIGHT: &str = "weight";

/// What is known of the two populations at the rows to weight.
struct Ratios {
    /// The logarithm of the weight of each row.
    log: Vec<f64>,
    /// What they say of averages.
    verdict: Verdict,
    /// Rows of the second population, if there are any.
    rows_to: Option<usize>,
    /// What the columns are, so that rows that were left out are so again.
    columns: Vec<Column>,
    averages: Vec<Average>,
    /// By how much the flows' ratios were multiplied.
    slope: Option<f64>,
    classifier: Option<Verdict>,
}

/// Runs `diffeo reweight`.
pub(super) fn run(args: &ReweightArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut plan = plan(args, common)?;
    let check = |out| checked_output(out, &plan.inputs(), args.force, console);
    let out = plan.output().map(check).transpose()?;
    refuse_streams(&plan)?;
    if !args.force && plan.out.is_some() {
        refuse_column(&Reader::open(plan.weighted(), &plan.read)?, WEIGHT)?;
    }
    plan.ratio.fit.seed = match plan.sources {
        Sources::Models { .. } => plan.seed.unwrap_or(0),
        Sources::Tables(_) => learned::seed(&plan, console)?,
    };
    signals::defer()?;
    let ratios = match &plan.sources {
        Sources::Models { models, data } => models::ratios(&plan, models, data, console)?,
        Sources::Tables(tables) => learned::ratios(&plan, tables, console)?,
    };
    if let Some(out) = &out {
        write(&plan, out, &ratios, console)?;
    }
    if matches!(plan.sources, Sources::Tables(_)) {
        plan.checkpoints().try_for_each(|path| Trainer::remove_checkpoint(&path))?;
    }
    Ok(report(&plan, &ratios, console))
}

/// A table is read once to learn and once to write.
fn refuse_streams(plan: &ReweightPlan) -> Result<()> {
    let mut inputs = vec![plan.weighted()];
    if let Sources::Tables([_, to]) = &plan.sources {
        inputs.push(to);
    }
    match inputs.into_iter().any(Input::is_read_once) {
        true => Err(Error::config("stdin and pipes are read once only; give files")),
        false => Ok(()),
    }
}

/// Log-weights: the ratio, or what it is relative to a mixture.
fn log_weights(plan: &ReweightPlan, log_ratios: &[f64]) -> Result<Vec<f64>> {
    match plan.relative {
        None => Ok(log_ratios.to_vec()),
        Some(share) => log_ratios.iter().map(|r| relative(*r, share)).collect(),
    }
}

/// Writes the table with its weights.
fn write(
    plan: &ReweightPlan,
    out: &diffeo_table::Output,
    ratios: &Ratios,
    console: &Console,
) -> Result<()> {
    let mut reader = open(plan.weighted(), plan, &ratios.columns)?;
    let mut writer = Writer::create(out, None, plan.args.force)?;
    let (mut written, changed) = (0, || {
        Error::new(
            ErrorKind::Data,
            "the table changed while it was read; its weights would not be of its rows",
        )
    });
    while let Some(chunk) = reader.next_chunk()? {
        signals::check()?;
        let weights = ratios.log.get(written..written + chunk.rows()).ok_or_else(changed)?;
        let weights = weights.iter().map(|w| w.exp()).collect();
        written += chunk.rows();
        let has_column = reader.columns().iter().any(|name| name == WEIGHT);
        let chunk = if has_column { chunk.without_column(WEIGHT)? } else { chunk };
        writer.write(&chunk.with_column(WEIGHT, weights)?)?;
    }
    if written != ratios.log.len() {
        return Err(changed());
    }
    writer.finish()?;
    say_warnings(&reader, console);
    Ok(())
}

/// The table with all its columns, of which some are needed.
fn open(input: &Input, plan: &ReweightPlan, columns: &[Column]) -> Result<Reader> {
    let mut reader = Reader::open(input, &plan.read)?;
    let outcome = plan.args.outcome.iter().map(Column::real);
    let needed: Vec<Column> = columns.iter().cloned().chain(outcome).collect();
    reader.require_columns(&needed)?;
    Ok(reader)
}

fn report(plan: &ReweightPlan, ratios: &Ratios, console: &Console) -> Report {
    let mut report = Report::default();
    let verdict = &ratios.verdict;
    report.key("rows", ratios.log.len());
    verdict_keys(&mut report, verdict);
    if let Some(rows) = ratios.rows_to {
        report.key("rows_to", rows);
        report.number("unseen", verdict.unseen);
        if verdict.is_blind() {
            console.warn(format!(
                "{:.0}% of the rows of --to lie where --from has next to none: weights cannot stand for them, and no average below knows of them",
                100.0 * verdict.unseen
            ));
        }
    }
    if let Some(slope) = ratios.slope {
        report.number("slope", slope);
    }
    if let Some(classifier) = &ratios.classifier {
        report.key("classifier", classifier_json(classifier));
    }
    if let Some(name) = &plan.args.outcome {
        report.line(format!("average of {} in the population of --to", quoted(name)));
        averages::report(name, &ratios.averages, &mut report);
        if plan.relative.is_some() {
            report.line(
                "weights are bounded: averages by weights alone lie between the two populations",
            );
        }
    }
    report.line(format!("weights: {verdict}"));
    if let Some(out) = &plan.out {
        let out = out.to_string_lossy();
        report.line(format!(
            "{} rows written to {}",
            grouped(ratios.log.len() as u64),
            quoted(&out)
        ));
        report.key("out", out);
    }
    report
}

fn verdict_keys(report: &mut Report, verdict: &Verdict) {
    report.number("effective_size", verdict.effective_size);
    if let Some(k) = verdict.pareto_k {
        report.number("pareto_k", k);
    }
    report.number("pareto_limit", verdict.pareto_limit);
    report.key("reliable", verdict.is_good());
}

fn classifier_json(verdict: &Verdict) -> serde_json::Value {
    serde_json::json!({
        "effective_size": number(verdict.effective_size),
        "pareto_k": verdict.pareto_k.map(number),
        "reliable": verdict.is_good(),
    })
}
