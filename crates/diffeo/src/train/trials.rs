//! Trials of a few models, of which the best by validation is taken.

use std::time::{Duration, Instant};

use super::data::TrainingData;
use super::deadline::Deadline;
use super::events::{Event, StopReason};
use super::options::FitOptions;
use super::selection::Candidate;
use super::trainer::Trainer;
use crate::columns::Schema;
use crate::error::{Error, ErrorKind, Result};

/// The share of the time of a fit that trials may take, so that most of it is left for the fit.
const SHARE: f64 = 1.0 / 3.0;

/// How a candidate did.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The candidate's name.
    pub name: String,
    /// The best mean log-density of the validation rows, in nats; NaN if none was finite.
    pub valid_log_prob_mean: f64,
    /// Steps.
    pub steps: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether the time that it had was over before its steps were.
    pub cut_short: bool,
}

/// A trial on its way.
#[derive(Clone, Copy, Debug)]
pub struct Underway<'a> {
    /// Of which candidate.
    pub candidate: &'a Candidate,
    /// Which of how many this is, from 1.
    pub place: [usize; 2],
    /// Steps so far, and all.
    pub steps: [u64; 2],
    /// The last loss.
    pub loss: f64,
    /// Since this trial began.
    pub elapsed: Duration,
}

/// Who is told of trials as they go on.
pub trait Watch {
    /// A step was taken.
    ///
    /// # Errors
    /// Whatever is to end all trials.
    fn step(&mut self, at: Underway<'_>) -> Result<()>;

    /// A trial has ended.
    ///
    /// # Errors
    /// Whatever is to end all trials.
    fn tried(&mut self, trial: &Trial) -> Result<()>;

    /// A candidate cannot be trained on these rows.
    fn left_out(&mut self, candidate: &Candidate, error: &Error);
}

/// The candidate that did best, and all trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The best.
    pub candidate: Candidate,
    /// All, in their order.
    pub trials: Vec<Trial>,
    /// What they took together.
    pub elapsed: Duration,
}

impl Selection {
    /// Tries each and takes the best; one that cannot be trained on these rows is left out. Of the time that there is for trials and fit, trials take a third at most.
    ///
    /// # Errors
    /// What the last of them failed with, if all did; those of `watch`.
    pub fn of(
        candidates: Vec<Candidate>,
        (schema, data): (&Schema, &TrainingData),
        (options, max_time): (&FitOptions, Option<Duration>),
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let (started, count) = (Instant::now(), candidates.len());
        let budget = max_time.map(|time| time.mul_f64(SHARE));
        let (mut best, mut trials) = (None::<(f64, Candidate)>, Vec::new());
        let mut fault =
            Error::config("no model can be tried on these columns; name one with --model");
        for (i, candidate) in candidates.into_iter().enumerate() {
            // What others left is shared evenly.
            let left = budget.map(|budget| budget.saturating_sub(started.elapsed()));
            let limit = left.map(|left| left / u32::try_from(count - i).unwrap_or(u32::MAX));
            let trainer = candidate.trial(schema, data.clone(), options);
            let found = trainer.and_then(|t| run(&candidate, t, ([i + 1, count], limit), watch));
            match found {
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    watch.left_out(&candidate, &error);
                    fault = error;
                }
                Ok(trial) => {
                    watch.tried(&trial)?;
                    let score = trial.valid_log_prob_mean;
                    let is_best = best.as_ref().is_none_or(|(highest, _)| score > *highest);
                    if score.is_finite() && is_best {
                        best = Some((score, candidate));
                    }
                    trials.push(trial);
                }
            }
        }
        let (_, candidate) = best.ok_or(fault)?;
        Ok(Self { candidate, trials, elapsed: started.elapsed() })
    }
}

fn run(
    candidate: &Candidate,
    mut trainer: Trainer,
    (place, limit): ([usize; 2], Option<Duration>),
    watch: &mut dyn Watch,
) -> Result<Trial> {
    let mut deadline = Deadline::new(limit);
    let reason = loop {
        deadline.stop_if_over(&mut trainer);
        // Warnings of the rows come again with the fit.
        match trainer.advance()? {
            Event::Step { step, loss, .. } => {
                deadline.step(&mut trainer);
                let steps = [step, trainer.end()];
                let elapsed = deadline.elapsed();
                watch.step(Underway { candidate, place, steps, loss, elapsed })?;
            }
            Event::Finished { reason } => break reason,
            _ => {}
        }
    };
    Ok(Trial {
        name: candidate.to_string(),
        valid_log_prob_mean: trainer.best().map_or(f64::NAN, |(_, loss)| -loss),
        steps: trainer.step(),
        elapsed: deadline.elapsed(),
        cut_short: reason == StopReason::MaxTime,
    })
}
