//! Collects every fault of the options before reporting: one run shows all that is to mend.

use std::fmt::Display;

use diffeo::{Error, Result};

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Notes a fault.
    pub(crate) fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    /// Notes a fault of `option` unless its value, if given, satisfies `holds`; `range` says what is allowed.
    pub(crate) fn check<T: Copy + Display>(
        &mut self,
        option: &str,
        value: Option<T>,
        range: &str,
        holds: impl FnOnce(T) -> bool,
    ) {
        if let Some(value) = value
            && !holds(value)
        {
            self.add(format!("{option}: expected {range}, found {value}"));
        }
    }

    /// A finite number above 0.
    pub(crate) fn positive(&mut self, option: &str, value: Option<f64>) {
        self.check(option, value, "a finite number above 0", |v| v.is_finite() && v > 0.0);
    }

    /// A whole number from `low` to `high`; 0 when it is outside, so that collecting can go on.
    pub(crate) fn count(
        &mut self,
        option: &str,
        value: Option<i128>,
        low: u64,
        high: u64,
    ) -> Option<u64> {
        let range = format!("a whole number from {low} to {high}");
        self.check(option, value, &range, |v| (i128::from(low)..=i128::from(high)).contains(&v));
        value.map(|v| u64::try_from(v).unwrap_or_default())
    }

    /// Keeps the value of `result`, or notes its error as a fault of `option`.
    pub(crate) fn take<T, E: Display>(&mut self, option: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.add(format!("{option}: {e}"))).ok()
    }

    /// Reports all faults in one error.
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.as_slice() {
            [] => Ok(()),
            [one] => Err(Error::config(one.clone())),
            many => Err(Error::config(format!(
                "{} faults in the options\n  {}",
                many.len(),
                many.join("\n  ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_all_faults_are_reported_at_once() {
        let mut faults = Faults::default();
        faults.positive("--lr", Some(f64::NAN));
        faults.count("--batch", Some(0), 1, 10);
        faults.count("--bins", Some(5), 1, 10);
        let message = faults.finish().unwrap_err().to_string();
        assert!(message.contains("2 faults"), "{message}");
        assert!(message.contains("--lr: expected a finite number above 0, found NaN"), "{message}");
        assert!(
            message.contains("--batch: expected a whole number from 1 to 10, found 0"),
            "{message}"
        );
    }
}
