//! `--model auto`: short runs of a few models, of which the best by validation is fitted.

use std::time::{Duration, Instant};

use diffeo::train::{Candidate, Deadline, Event, FitOptions, StopReason, Trainer, TrainingData};
use diffeo::{Error, ErrorKind, Result, Schema};
use serde_json::{Value, json};

use crate::commands::journal::Journal;
use crate::duration::Rough;
use crate::output::{Console, Report, number};
use crate::progress::{Progress, grouped};
use crate::signals;

/// The share of `--max-time` that trials may take, so that most of it is left for the fit.
const SHARE: f64 = 1.0 / 3.0;

/// How a model did.
struct Trial {
    name: String,
    valid_log_prob_mean: f64,
    steps: u64,
    seconds: f64,
    /// The time that it had was over before its steps were.
    cut_short: bool,
}

impl Trial {
    fn json(&self) -> Value {
        json!({
            "model": self.name, "valid_log_prob_mean": number(self.valid_log_prob_mean),
            "steps": self.steps, "seconds": number(self.seconds), "cut_short": self.cut_short,
        })
    }
}

/// The model that did best, and all trials.
pub(super) struct Selection {
    pub(super) candidate: Candidate,
    /// What the trials took.
    pub(super) elapsed: Duration,
    trials: Vec<Trial>,
}

impl Selection {
    pub(super) fn report(&self, report: &mut Report) {
        report.line(format!("{} of {} models that were tried", self.candidate, self.trials.len()));
        report.key("selected", self.candidate.to_string());
        report.key("trials", self.trials.iter().map(Trial::json).collect::<Vec<_>>());
    }
}

/// Trials of models on one table.
pub(super) struct Trials<'a> {
    pub(super) schema: &'a Schema,
    pub(super) data: &'a TrainingData,
    pub(super) training: &'a FitOptions,
    pub(super) max_time: Option<Duration>,
    pub(super) console: &'a Console,
    pub(super) journal: &'a mut Journal,
}

impl Trials<'_> {
    /// Tries each and takes the best; one that cannot be trained on these rows is left out with a warning.
    ///
    /// # Errors
    /// What the last of them failed with, if all did.
    pub(super) fn select(&mut self, candidates: Vec<Candidate>) -> Result<Selection> {
        signals::defer()?;
        let (started, count) = (Instant::now(), candidates.len());
        let budget = self.max_time.map(|time| time.mul_f64(SHARE));
        let (mut best, mut trials) = (None::<(f64, Candidate)>, Vec::new());
        let mut fault =
            Error::config("no model can be tried on these columns; name one with --model");
        for (i, candidate) in candidates.into_iter().enumerate() {
            // What others left is shared evenly.
            let left = budget.map(|budget| budget.saturating_sub(started.elapsed()));
            let limit = left.map(|left| left / u32::try_from(count - i).unwrap_or(u32::MAX));
            let trial = match self.run(&candidate, (i, count), limit) {
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    self.console.warn(format!("{candidate} is left out: {error}"));
                    fault = error;
                    continue;
                }
                Ok(trial) => trial,
            };
            self.console.note(format!(
                "tried {}: validation {:.4} nats per row after {} steps, {}{}",
                trial.name,
                trial.valid_log_prob_mean,
                grouped(trial.steps),
                Rough(trial.seconds),
                if trial.cut_short { ", cut short by --max-time" } else { "" }
            ));
            let elapsed = Duration::from_secs_f64(trial.seconds);
            if let Some(warning) = self.journal.note("trial", trial.json(), elapsed) {
                self.console.warn(warning);
            }
            let score = trial.valid_log_prob_mean;
            if score.is_finite() && best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, candidate));
            }
            trials.push(trial);
        }
        let (_, candidate) = best.ok_or(fault)?;
        self.console.note(format!("selected {candidate}"));
        Ok(Selection { candidate, elapsed: started.elapsed(), trials })
    }

    fn run(
        &self,
        candidate: &Candidate,
        (i, count): (usize, usize),
        limit: Option<Duration>,
    ) -> Result<Trial> {
        let mut deadline = Deadline::new(limit);
        let mut trainer = candidate.trial(self.schema, self.data.clone(), self.training)?;
        let mut progress = Progress::new(self.console);
        let reason = loop {
            if signals::received().is_some() {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    "interrupted while models were tried; no file was written",
                ));
            }
            deadline.stop_if_over(&mut trainer);
            // Warnings of the rows come again with the fit.
            match trainer.advance()? {
                Event::Step { step, loss, .. } => {
                    deadline.step(&mut trainer);
                    let [step, total] = [step, trainer.end()].map(grouped);
                    progress.update(|| {
                        format!(
                            "trying {candidate} ({} of {count}): step {step}/{total}  loss {loss:.4}",
                            i + 1
                        )
                    });
                }
                Event::Finished { reason } => break reason,
                _ => {}
            }
        };
        Ok(Trial {
            name: candidate.to_string(),
            valid_log_prob_mean: score(&trainer),
            steps: trainer.step(),
            seconds: deadline.elapsed().as_secs_f64(),
            cut_short: reason == StopReason::MaxTime,
        })
    }
}

/// The best mean log-density of the validation rows; NaN if there was none that is finite.
pub(super) fn score(trainer: &Trainer) -> f64 {
    trainer.best().and_then(|point| point.valid_loss).map_or(f64::NAN, |loss| -loss)
}
