//! `--model auto`: short runs of a few models, of which the best by validation is fitted.

use diffeo::train::{Candidate, Selection, Trainer, Trial, Underway, Watch};
use diffeo::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::commands::journal::Journal;
use crate::duration::Rough;
use crate::output::{Console, Report, number};
use crate::progress::{Progress, grouped};
use crate::signals;

fn in_json(trial: &Trial) -> Value {
    json!({
        "model": trial.name, "valid_log_prob_mean": number(trial.valid_log_prob_mean),
        "steps": trial.steps, "seconds": number(trial.elapsed.as_secs_f64()),
        "cut_short": trial.cut_short,
    })
}

/// Says which model did best, and how all did.
pub(super) fn report_on(selection: &Selection, report: &mut Report) {
    report.line(format!(
        "{} of {} models that were tried",
        selection.candidate,
        selection.trials.len()
    ));
    report.key("selected", selection.candidate.to_string());
    report.key("trials", selection.trials.iter().map(in_json).collect::<Vec<_>>());
}

/// Shows trials as they go on.
pub(super) struct Watcher<'a> {
    pub(super) console: &'a Console,
    pub(super) journal: &'a mut Journal,
    pub(super) progress: Progress,
}

impl Watch for Watcher<'_> {
    fn step(&mut self, at: Underway<'_>) -> Result<()> {
        if signals::received().is_some() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted while models were tried; no file was written",
            ));
        }
        self.progress.update(|| {
            let ([place, count], [step, total]) = (at.place, at.steps.map(grouped));
            format!(
                "trying {} ({place} of {count}): step {step}/{total}  loss {:.4}",
                at.candidate, at.loss
            )
        });
        Ok(())
    }

    fn tried(&mut self, trial: &Trial) -> Result<()> {
        self.progress = Progress::new(self.console);
        self.console.note(format!(
            "tried {}: validation {:.4} nats per row after {} steps, {}{}",
            trial.name,
            trial.valid_log_prob_mean,
            grouped(trial.steps),
            Rough(trial.elapsed.as_secs_f64()),
            if trial.cut_short { ", cut short by --max-time" } else { "" }
        ));
        if let Some(warning) = self.journal.note("trial", in_json(trial), trial.elapsed) {
            self.console.warn(warning);
        }
        Ok(())
    }

    fn left_out(&mut self, candidate: &Candidate, error: &Error) {
        self.progress = Progress::new(self.console);
        self.console.warn(format!("{candidate} is left out: {error}"));
    }
}

/// The best mean log-density of the validation rows; NaN if there was none that is finite.
pub(super) fn score(trainer: &Trainer) -> f64 {
    trainer.best().map_or(f64::NAN, |(_, loss)| -loss)
}
