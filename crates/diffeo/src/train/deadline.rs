//! The time that training may take.

use std::time::{Duration, Instant};

use super::events::StopReason;
use super::trainer::Trainer;

/// Parts of the time after each of which it is estimated how many steps fit into it.
const ESTIMATES: u32 = 100;

/// When a fit is to end, if it has to: until then its learning rate falls as if as many steps had been planned as the time is for.
///
/// A trainer has no clock; whoever gives one asks [`Deadline::stop_if_over`] before each [`Trainer::advance`], and tells [`Deadline::step`] of each step.
#[derive(Clone, Debug)]
pub struct Deadline {
    limit: Option<Duration>,
    started: Instant,
    /// The last step that was counted, and how many were since.
    last: Option<u64>,
    steps: u64,
    estimate_at: Duration,
}

impl Deadline {
    /// So long from now on.
    pub fn new(limit: Option<Duration>) -> Self {
        let estimate_at = limit.unwrap_or_default() / ESTIMATES;
        Self { limit, started: Instant::now(), last: None, steps: 0, estimate_at }
    }

    /// Time gone by.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.elapsed() >= limit)
    }

    /// Ends a fit whose time is over.
    pub fn stop_if_over(&self, trainer: &mut Trainer) {
        if self.is_over() {
            trainer.stop(StopReason::MaxTime);
        }
    }

    /// Counts a step of a fit, and lets its rate fall by the end of the time if the plan needs more of it.
    pub fn step(&mut self, trainer: &mut Trainer) {
        if let Some(end) = self.count(trainer.step()) {
            trainer.settle_by(end);
        }
    }

    /// Says how many steps there were before the first that is counted, if that is not one.
    pub(super) fn begin(&mut self, step: u64) {
        self.last.get_or_insert(step);
    }

    /// Counts the steps up to the `step`th; says from time to time with which one the time will end, at the pace so far, validations included.
    pub(super) fn count(&mut self, step: u64) -> Option<u64> {
        self.steps += self.last.map_or(1, |last| step.saturating_sub(last));
        self.last = Some(step);
        let (limit, elapsed) = (self.limit?, self.elapsed());
        (elapsed >= self.estimate_at).then(|| {
            self.estimate_at = elapsed + limit / ESTIMATES;
            step + (limit.saturating_sub(elapsed).as_secs_f64() / self.pace()) as u64
        })
    }

    /// Seconds a step.
    fn pace(&self) -> f64 {
        self.elapsed().as_secs_f64() / self.steps.max(1) as f64
    }

    /// Seconds that it takes yet from a step to the last.
    pub fn left(&self, step: u64, end: u64) -> f64 {
        let by_steps = self.pace() * end.saturating_sub(step) as f64;
        let by_time = self
            .limit
            .map_or(f64::INFINITY, |limit| limit.saturating_sub(self.elapsed()).as_secs_f64());
        by_steps.min(by_time)
    }
}
