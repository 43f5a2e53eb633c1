//! Early stopping: which weights were best on rows that were not trained on, and when to give up hope of better.

use serde::{Deserialize, Serialize};

use crate::file::container::finite_or_text;

/// The best validation loss so far and how many validations have passed since.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stopping {
    /// The lowest validation loss; infinite before the first finite one.
    #[serde(with = "finite_or_text")]
    pub(crate) best: f64,
    /// Validations since then.
    pub(crate) stale: u32,
}

impl Default for Stopping {
    fn default() -> Self {
        Self { best: f64::INFINITY, stale: 0 }
    }
}

impl Stopping {
    /// Takes a validation loss; says whether it is the best so far. A NaN or an infinity never is.
    pub(crate) fn observe(&mut self, loss: f64) -> bool {
        let better = loss.is_finite() && loss < self.best;
        if better {
            *self = Self { best: loss, stale: 0 };
        } else {
            self.stale = self.stale.saturating_add(1);
        }
        better
    }

    /// Whether `patience` validations have passed without a better one.
    pub(crate) fn exhausted(&self, patience: u32) -> bool {
        self.stale >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d7_patience_counts_validations_without_improvement() {
        let mut stopping = Stopping::default();
        let seen: Vec<bool> =
            [3.0, 2.0, 2.0, f64::NAN].into_iter().map(|l| stopping.observe(l)).collect();
        assert_eq!(seen, [true, true, false, false]);
        assert!(stopping.exhausted(2) && !stopping.exhausted(3));
        assert!(stopping.observe(1.0) && !stopping.exhausted(1));
        assert!(!stopping.observe(f64::NEG_INFINITY), "a density of infinity is not a better fit");
    }
}
