//! Averages of an outcome with their intervals, by several weights.

use diffeo::Result;
use diffeo::inference::{Estimate, IntervalOptions, Transported, Weights};
use serde_json::{Value, json};

use crate::output::{Report, number};

/// An average, what it is by, and its 95% interval.
pub(super) struct Average {
    by: &'static str,
    estimate: Estimate,
    interval: [f64; 2],
}

impl Average {
    pub(super) fn new(
        by: &'static str,
        transported: &Transported,
        seed: u64,
        threads: usize,
    ) -> Result<Self> {
        let options = IntervalOptions { seed, threads, ..IntervalOptions::default() };
        let interval = transported.interval(&options)?;
        Ok(Self { by, estimate: transported.estimate(), interval })
    }

    /// The plain average of what was observed.
    pub(super) fn plain(
        by: &'static str,
        outcome: &[f64],
        seed: u64,
        threads: usize,
    ) -> Result<Self> {
        let equal = Weights::new(vec![0.0; outcome.len()])?;
        Self::new(by, &Transported::new(&equal, outcome)?, seed, threads)
    }

    fn json(&self) -> Value {
        json!({
            "by": self.by,
            "mean": number(self.estimate.mean),
            "standard_error": number(self.estimate.standard_error),
            "low": number(self.interval[0]),
            "high": number(self.interval[1]),
        })
    }
}

/// A line for each, the one to be preferred first.
pub(super) fn report(name: &str, averages: &[Average], report: &mut Report) {
    let row = |average: &Average| {
        let [low, high] = average.interval;
        vec![
            format!("  {}", average.by),
            format!("{:.5}", Short(average.estimate.mean)),
            format!("95% interval {:.5} to {:.5}", Short(low), Short(high)),
        ]
    };
    report.table(&averages.iter().map(row).collect::<Vec<_>>());
    let estimates: Vec<Value> = averages.iter().map(Average::json).collect();
    report.key("outcome", json!({ "name": name, "estimates": estimates }));
}

/// A number with so many significant digits.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(5) as i32;
        let size = if self.0 == 0.0 { 0 } else { self.0.abs().log10().floor() as i32 };
        if !self.0.is_finite() || !(-4..9).contains(&size) {
            return write!(f, "{:.*e}", (digits - 1).max(0) as usize, self.0);
        }
        write!(f, "{:.*}", (digits - 1 - size).max(0) as usize, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_five_digits() {
        for (value, text) in [
            (1794.342, "1794.3"),
            (-8497.5167, "-8497.5"),
            (0.012_345_678, "0.012346"),
            (123_456.7, "123457"),
            (0.0, "0.0000"),
            (1.5e12, "1.5000e12"),
        ] {
            assert_eq!(format!("{:.5}", Short(value)), text);
        }
    }
}
