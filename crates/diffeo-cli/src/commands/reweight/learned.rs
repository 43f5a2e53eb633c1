//! The ratio of two tables, learned by flows.

use std::time::Instant;

use diffeo::inference::{DensityRatio, Populations, Transported, Weights};
use diffeo::train::{Deadline, Event, Trainer};
use diffeo::{Column, Error, ErrorKind, Result, Rows, quoted};
use diffeo_table::{
    InferOptions, Input, Reader, Wanted, Wish, infer_schema_with, read_rows, read_together,
};

use super::averages::Average;
use super::{Ratios, log_weights};
use crate::columns::list_item;
use crate::duration::Rough;
use crate::options::reweight::ReweightPlan;
use crate::output::Console;
use crate::progress::{Progress, grouped};
use crate::{memory, options, signals};

/// The seed, of the run that goes on if there is one. What an earlier run left is not gone on from unasked.
///
/// # Errors
/// [`ErrorKind::Config`] if there is nothing to go on from; [`ErrorKind::Io`] if there is and it was not asked for.
pub(super) fn seed(plan: &ReweightPlan, console: &Console) -> Result<u64> {
    let kept = plan.checkpoints().find(|path| Trainer::has_checkpoint(path));
    match (kept, plan.args.resume) {
        (None, true) => {
            let expected = plan.ratio.checkpoint(0).unwrap_or_default();
            let text = "there is nothing to go on from: this file is missing; leave --resume out";
            Err(Error::config(text).at(&expected))
        }
        (Some(path), false) if !plan.args.force => {
            let text = "an earlier run left this checkpoint; go on from it with --resume, or start anew with --force";
            Err(Error::new(ErrorKind::Io, text).at(&path))
        }
        (Some(path), true) => match plan.seed {
            Some(seed) => Ok(seed),
            None => {
                let seed = Trainer::look_at_checkpoint(&path)?.seed;
                console.note(format!("seed {seed} (of the checkpoint)"));
                Ok(seed)
            }
        },
        (_, false) => {
            plan.checkpoints().try_for_each(|path| Trainer::remove_checkpoint(&path))?;
            Ok(options::seed_or_drawn(plan.seed, console))
        }
    }
}

/// Both tables, and what was observed.
struct Observed {
    columns: Vec<Column>,
    rows: [Rows; 2],
    outcome: [Option<Vec<f64>>; 2],
}

/// Learns the ratio and averages the outcome by it.
pub(super) fn ratios(
    plan: &ReweightPlan,
    tables: &[Input; 2],
    console: &Console,
) -> Result<Ratios> {
    let observed = read(plan, tables, console)?;
    let columns = observed.columns.clone();
    let seed = plan.ratio.fit.seed;
    let populations = Populations::new(columns.clone(), observed.rows, plan.folds, seed)?;
    for (column, overlap) in populations.telling_columns() {
        console.warn(format!(
            "column {} alone tells the tables apart, whose values have {:.1}% in common: no weights can make up for that; leave it out (--exclude) if it says which table a row is of",
            quoted(&column.name),
            100.0 * overlap
        ));
    }
    let ratio = fit(plan, &populations, console)?;
    let [here, there] = ratio.log_ratios();
    let log = log_weights(plan, here)?;
    let verdict = ratio.verdict(&Weights::new(log.clone())?);
    let by_classifier = populations.classifier_log_ratios(plan.threads)?;
    let classifier = Weights::new(log_weights(plan, &by_classifier[0])?)?;
    let mut averages = Vec::new();
    if let [Some(outcome), other] = &observed.outcome {
        let add = |by, transported: &Transported| Average::new(by, transported, seed, plan.threads);
        let by_weights = Transported::new(&Weights::new(log.clone())?, outcome)?;
        let [expected, expected_there] = populations.expected_outcome(outcome, plan.threads)?;
        let by_both = by_weights.clone().with_expected(&expected, expected_there)?;
        averages.push(add("weights and regression", &by_both)?);
        averages.push(add("weights", &by_weights)?);
        averages.push(add("classifier", &Transported::new(&classifier, outcome)?)?);
        averages.push(Average::plain("unweighted", outcome, seed, plan.threads)?);
        if let Some(other) = other {
            averages.push(Average::plain("observed", other, seed, plan.threads)?);
        }
    }
    Ok(Ratios {
        log,
        verdict,
        rows_to: Some(there.len()),
        columns,
        averages,
        slope: Some(ratio.slope()),
        classifier: Some(classifier.verdict()),
    })
}

/// Reads the columns that both tables have, as what the values of both make them.
fn read(plan: &ReweightPlan, tables: &[Input; 2], console: &Console) -> Result<Observed> {
    let wishes = wishes(plan, tables, console)?;
    let wanted = |(name, wish): &Wish| Wanted {
        kind: wish.as_ref().map(|wish| wish.kind),
        ..Wanted::any(name)
    };
    let wanted: Vec<Wanted> = wishes.iter().map(wanted).collect();
    let both = read_together(tables, &wanted, &plan.read, memory::limit(None))?;
    // What is the same in every row of both tells nothing.
    let options = InferOptions { drop_constant: true, ..InferOptions::default() };
    let (schema, notes) = infer_schema_with(&both, &wishes, &[], &options)?;
    let list = |c: &Column| format!("{}={}", list_item(&c.name), c.describe());
    let listed: Vec<String> = schema.columns.iter().map(list).collect();
    console.note(format!("columns {}", listed.join(",")));
    notes.iter().filter(|note| note.warning).for_each(|note| console.warn(note.to_string()));
    let outcome = plan.args.outcome.as_ref();
    // The other table need not have the outcome.
    let has_outcome = |table| {
        let reader = Reader::open(table, &plan.read)?;
        Ok::<_, Error>(outcome.is_some_and(|name| reader.columns().contains(name)))
    };
    let second = has_outcome(&tables[1])?;
    let one = |table: &Input, with_outcome: bool| {
        let mut columns = schema.columns.clone();
        columns.extend(outcome.filter(|_| with_outcome).map(Column::real));
        let (rows, report) = read_rows(table, &columns, &plan.read, memory::limit(None))?;
        report.warnings().into_iter().for_each(|warning| console.warn(warning));
        let width = schema.columns.len();
        let observed = (columns.len() > width).then(|| rows.column(width));
        Ok::<_, Error>((cut(&rows, width)?, observed))
    };
    let [first, second] = [one(&tables[0], true)?, one(&tables[1], second)?];
    Ok(Observed {
        rows: [first.0, second.0],
        outcome: [first.1, second.1],
        columns: schema.columns,
    })
}

/// The first `width` columns.
fn cut(rows: &Rows, width: usize) -> Result<Rows> {
    let values = (0..rows.len()).flat_map(|i| rows.row(i)[..width].iter().copied());
    Rows::new(values.collect(), width)
}

/// The columns to compare: those that are named, or all that both tables have and that can be read.
fn wishes(plan: &ReweightPlan, tables: &[Input; 2], console: &Console) -> Result<Vec<Wish>> {
    if let Some(list) = &plan.args.columns {
        return Ok(list.0.clone());
    }
    let excluded = plan.args.exclude.as_ref().map(|list| list.0.as_slice()).unwrap_or_default();
    let names = |table| Reader::open(table, &plan.read).map(|reader| reader.columns().to_vec());
    let [first, second] = [names(&tables[0])?, names(&tables[1])?];
    let survey = Reader::open(&tables[0], &plan.read)?.survey()?;
    let is_read = |name: &String| survey.numeric.contains(name) || survey.text.contains(name);
    let free =
        |name: &&String| !excluded.contains(name) && plan.args.outcome.as_ref() != Some(name);
    let known: Vec<&String> = first.iter().chain(&second).collect();
    if let Some(name) = excluded.iter().find(|name| !known.contains(name)) {
        return Err(Error::data(format!("--exclude: neither table has a column {}", quoted(name))));
    }
    let here: Vec<&String> = first.iter().filter(free).collect();
    let (shared, lone): (Vec<&String>, Vec<&String>) =
        here.into_iter().partition(|name| second.contains(name) && is_read(name));
    let others = second.iter().filter(free).filter(|n| !first.contains(n));
    let left: Vec<String> = lone.into_iter().chain(others).map(|name| quoted(name)).collect();
    if !left.is_empty() {
        console.warn(format!(
            "left out, as they are not in both tables or cannot be read: {}",
            left.join(", ")
        ));
    }
    if shared.is_empty() {
        return Err(Error::data(
            "the tables have no column in common that populations could differ in",
        ));
    }
    Ok(shared.into_iter().map(|name| (name.clone(), None)).collect())
}

/// Fits a flow for each part of the rows.
fn fit(plan: &ReweightPlan, populations: &Populations, console: &Console) -> Result<DensityRatio> {
    let [first, second] = populations.rows();
    console.note(format!(
        "{} rows of --from, {} of --to; {} flows, each fitted to all parts but one",
        grouped(first.len() as u64),
        grouped(second.len() as u64),
        populations.folds()
    ));
    let (started, mut progress) = (Instant::now(), Progress::new(console));
    let mut fold_of_limit = None;
    let mut deadline = Deadline::new(None);
    DensityRatio::fit(populations, &plan.ratio, |fold, trainer: &mut Trainer, event: &Event| {
        if signals::received().is_some() {
            let text = match plan.out {
                Some(_) => {
                    "interrupted; what was learned is kept beside --out: go on with --resume"
                }
                None => {
                    "interrupted while the ratio was learned; with --out it would have been kept"
                }
            };
            return Err(Error::new(ErrorKind::Interrupted, text));
        }
        if fold_of_limit != Some(fold) {
            // What earlier flows left is shared evenly.
            let left = plan.max_time.map(|time| time.saturating_sub(started.elapsed()));
            let flows = u32::try_from(populations.folds() - fold).unwrap_or(1);
            deadline = Deadline::new(left.map(|left| left / flows));
            fold_of_limit = Some(fold);
        }
        match event {
            Event::Step { step, loss, .. } => {
                deadline.step(trainer);
                deadline.stop_if_over(trainer);
                progress.update(|| {
                    let total = grouped(trainer.end());
                    let (flow, flows) = (fold + 1, populations.folds());
                    let spent = Rough(started.elapsed().as_secs_f64());
                    format!(
                        "flow {flow} of {flows}: step {}/{total}  loss {loss:.4}  {spent}",
                        grouped(*step)
                    )
                });
            }
            Event::Warning(text) if fold == 0 => progress.warn(text),
            _ => {}
        }
        Ok(())
    })
}
