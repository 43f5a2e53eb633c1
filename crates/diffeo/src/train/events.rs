//! What a training run tells its caller after each thing it does.

use std::fmt;

/// One thing that happened in training. The caller prints, logs, times and saves; the library does none of these.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// One optimiser step was taken.
    Step {
        /// Steps taken so far, this one included.
        step: u64,
        /// Mean loss of the batch before the step: `-log_prob` in nats unless the fit has another [`super::Loss`].
        loss: f64,
        /// Norm of the whole gradient before clipping.
        grad_norm: f64,
        /// Learning rate of this step.
        learning_rate: f64,
        /// Rows in the batch.
        rows: usize,
        /// Whether the gradient was shortened to the clip norm.
        clipped: bool,
    },
    /// The validation rows were scored (with the averaged weights where averaging is on).
    Validated {
        /// Steps taken so far.
        step: u64,
        /// Passes over the training rows so far.
        epoch: f64,
        /// Mean training loss since the validation before; NaN at step 0.
        train_loss: f64,
        /// Mean `-log_prob` of the validation rows in nats.
        valid_loss: f64,
        /// Whether this is the best so far.
        best: bool,
    },
    /// The loss of a batch was finite and its gradient was not, which happens to a row far out: the step was left out.
    Skipped {
        /// The step.
        step: u64,
        /// What was not finite.
        reason: String,
    },
    /// A loss, or one gradient after another, was not finite: the step was not taken, the weights went back, the rate was halved.
    RolledBack {
        /// The step that failed.
        step: u64,
        /// The step whose weights are in use again.
        to_step: u64,
        /// The rate of the next step.
        learning_rate: f64,
        /// What was not finite or not solved, and where.
        reason: String,
        /// Rows of the data (counted from 0) whose log-density was not finite; empty if only the gradient was at fault.
        rows: Vec<u64>,
    },
    /// Something the user should know; training goes on.
    Warning(String),
    /// Nothing more will happen.
    Finished {
        /// Why.
        reason: StopReason,
    },
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// All planned steps were taken.
    Completed,
    /// Validation did not improve for as long as the patience allows.
    Patience,
    /// The caller's time limit was reached.
    MaxTime,
    /// The caller was asked to stop.
    Interrupted,
    /// Losses were not finite again and again; the best weights are kept.
    Diverged,
}

impl StopReason {
    /// Whether training was broken off, and may go on from there.
    pub fn is_break(self) -> bool {
        matches!(self, Self::MaxTime | Self::Interrupted)
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Patience => "patience",
            Self::MaxTime => "max_time",
            Self::Interrupted => "interrupted",
            Self::Diverged => "diverged",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d7_every_reason_has_its_name() {
        use StopReason::{Completed, Diverged, Interrupted, MaxTime, Patience};
        let names = [Completed, Patience, MaxTime, Interrupted, Diverged].map(|r| r.to_string());
        assert_eq!(names, ["completed", "patience", "max_time", "interrupted", "diverged"]);
    }
}
