//! The learning rate over a run: a linear warm-up, then half a cosine down to a small floor.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The last rate as a share of the peak: small enough to settle, large enough that the last steps still count.
const FLOOR: f64 = 0.01;

/// Learning rate by step: a pure function, so that a resumed run needs no memory of it.
///
/// With peak `r`, `w` warm-up steps and `n` steps in total, step `t = 0, 1, ..` has the rate
/// `r (t + 1) / w` for `t < w`, then `r (f + (1 - f) (1 + cos(pi (t - w) / (n - w))) / 2)` with the floor `f = 0.01`.
///
/// # Reference
/// Loshchilov, Hutter. *SGDR: Stochastic Gradient Descent with Warm Restarts*. ICLR 2017 (without restarts). arXiv:1608.03983.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// Steps in which it is reached.
    pub warmup: u64,
    /// Steps in all.
    pub total: u64,
}

impl Schedule {
    /// The rate of step `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let length = self.total.saturating_sub(self.warmup).max(1);
        let done = ((step - self.warmup) as f64 / length as f64).min(1.0);
        self.peak * (FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + (PI * done).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_the_floor() {
        let schedule = Schedule { peak: 2.0, warmup: 4, total: 20 };
        assert_eq!(schedule.rate(0), 0.5);
        assert_eq!(schedule.rate(3), 2.0);
        assert_eq!(schedule.rate(4), 2.0);
        assert!((4..19).all(|t| schedule.rate(t + 1) < schedule.rate(t)));
        assert!((schedule.rate(20) - 0.02).abs() < 1e-15);
        assert_eq!(schedule.rate(1_000_000), schedule.rate(20));
    }

    #[test]
    fn short_runs_have_a_rate() {
        for (warmup, total) in [(0, 0), (0, 1), (1, 1), (5, 1)] {
            let schedule = Schedule { peak: 1.0, warmup, total };
            assert!((0..3).all(|t| schedule.rate(t) > 0.0 && schedule.rate(t) <= 1.0));
        }
    }
}
