//! `--trim`: rows that are unlike the others are left out.

use diffeo::train::{Event, Trim};
use diffeo::{Error, ErrorKind, Result, quoted};

use super::tables::Prepared;
use crate::options::fit::FitPlan;
use crate::output::Console;
use crate::progress::{Progress, grouped};
use crate::signals;

/// Leaves out rows, if some are to be, and says how many.
pub(super) fn apply(
    plan: &FitPlan,
    prepared: Prepared,
    seed: u64,
    console: &Console,
) -> Result<(Prepared, u64)> {
    let Some(share) = plan.args.trim else { return Ok((prepared, 0)) };
    signals::defer()?;
    let Prepared { schema, data, validation, start } = prepared;
    let (all, threads) = (data.x.len(), plan.training.threads);
    let trim = Trim { share, drop_constant: plan.args.drop_constant, seed, threads };
    let mut progress = Progress::new(console);
    let trimmed = trim.apply(&schema, data, &mut |member, trainer, event| {
        if signals::received().is_some() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted while rows were looked for that are unlike the others; no file was written",
            ));
        }
        if let Event::Step { step, .. } = event {
            progress.update(|| {
                let [step, total] = [*step, trainer.end()].map(grouped);
                let (flow, flows) = (member + 1, Trim::MEMBERS);
                format!("looking for unlike rows: flow {flow} of {flows}, step {step}/{total}")
            });
        }
        Ok(())
    });
    drop(progress);
    let trimmed = trimmed.map_err(|error| plan.data.located(error))?;
    let [gone, all] = [trimmed.rows, all as u64].map(grouped);
    console.note(format!("{gone} of {all} rows are left out as unlike the others"));
    for column in &trimmed.constant {
        let name = quoted(&column.name);
        console.warn(format!("column {name} is left out: the other rows have one value in it"));
    }
    let validation = validation.map(|choice| trimmed.validation(choice));
    let (schema, data) = (trimmed.schema, trimmed.data);
    Ok((Prepared { schema, data, validation, start }, trimmed.rows))
}
