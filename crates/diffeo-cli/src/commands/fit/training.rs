//! The training loop as the command line sees it: progress, log, checkpoints, time and signals around the library's steps.

use std::path::Path;
use std::time::{Duration, Instant};

use diffeo::Result;
use diffeo::train::{CHECKPOINT_EVERY, Deadline, Event, StopReason, Trainer};

use crate::commands::journal::Journal;
use crate::duration::Rough;
use crate::options::fit::FitPlan;
use crate::progress::{Progress, grouped, rate};
use crate::signals;

/// One session of training.
pub(super) struct Training<'a> {
    checkpoint: &'a Path,
    checkpoint_steps: Option<u64>,
    deadline: Deadline,
    progress: Progress,
    journal: Journal,
    saved: Instant,
    /// Rows of this session.
    rows: u64,
    /// Steps that were left out.
    skipped: u64,
    /// What losses are of.
    losses: &'static str,
    /// The last losses that were seen.
    loss: f64,
    valid_loss: f64,
}

impl<'a> Training<'a> {
    /// `tried` of the time that is allowed has gone by.
    pub(super) fn new(
        plan: &FitPlan,
        tried: Duration,
        checkpoint: &'a Path,
        progress: Progress,
        journal: Journal,
    ) -> Self {
        Self {
            checkpoint,
            checkpoint_steps: plan.checkpoint_every,
            deadline: Deadline::new(plan.max_time.map(|time| time.saturating_sub(tried))),
            progress,
            journal,
            saved: Instant::now(),
            rows: 0,
            skipped: 0,
            losses: if plan.args.any_subset { "loss of subsets" } else { "loss" },
            loss: f64::NAN,
            valid_loss: f64::NAN,
        }
    }

    /// Trains until there is a reason to stop.
    pub(super) fn run(mut self, trainer: &mut Trainer) -> Result<StopReason> {
        loop {
            if signals::received().is_some() {
                trainer.stop(StopReason::Interrupted);
            } else {
                self.deadline.stop_if_over(trainer);
            }
            let event = trainer.advance()?;
            if let Some(warning) = self.journal.write(&event, self.deadline.elapsed()) {
                self.progress.warn(warning);
            }
            match event {
                Event::Step { step, loss, learning_rate, rows, .. } => {
                    self.step(trainer, step, loss, learning_rate, rows)?;
                }
                Event::Validated { valid_loss, .. } => self.valid_loss = valid_loss,
                Event::Skipped { step, reason } => {
                    self.skipped += 1;
                    if self.skipped == 1 {
                        self.progress.warn(format!("step {step}: {reason}; it is left out, and so are others like it (--log lists them)"));
                    }
                }
                Event::RolledBack { step, to_step, learning_rate, reason, rows } => {
                    let rows = list(&rows);
                    self.progress.warn(format!(
                        "step {step}: {reason}{rows}; back to step {to_step} with rate {learning_rate:.1e}"
                    ));
                }
                Event::Warning(text) => self.progress.warn(text),
                Event::Finished { reason } => {
                    if self.skipped > 1 {
                        let count = grouped(self.skipped);
                        self.progress.warn(format!("{count} steps were left out in all"));
                    }
                    return Ok(reason);
                }
                _ => {}
            }
        }
    }

    fn step(
        &mut self,
        trainer: &mut Trainer,
        step: u64,
        loss: f64,
        learning_rate: f64,
        rows: usize,
    ) -> Result<()> {
        self.loss = loss;
        self.rows += rows as u64;
        self.deadline.step(trainer);
        crate::exit::panic_if_asked("fit");
        let due = self.checkpoint_steps.is_some_and(|every| step.is_multiple_of(every));
        if due || self.saved.elapsed() >= CHECKPOINT_EVERY {
            trainer.save_checkpoint(self.checkpoint)?;
            self.saved = Instant::now();
        }
        let (loss, valid, rows) = (self.loss, self.valid_loss, self.rows);
        let (deadline, losses) = (&self.deadline, self.losses);
        self.progress.update(|| {
            let valid = if valid.is_nan() { String::new() } else { format!("  valid {valid:.4}") };
            format!(
                "step {}/{}  {losses} {loss:.4}{valid}  rate {learning_rate:.1e}  {}  left {}",
                grouped(step),
                grouped(trainer.end()),
                rate(rows, deadline.elapsed()),
                Rough(deadline.left(step, trainer.end()))
            )
        });
        Ok(())
    }
}

/// Rows of the data, counted from 1 as editors do.
fn list(rows: &[u64]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows: Vec<String> = rows.iter().map(|row| (row + 1).to_string()).collect();
    format!(" (rows {})", rows.join(", "))
}
