//! The distance between the values of a column that holds rounded numbers.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A decimal number `times / per`, whole multiples of which are the values of a column: tenths, hundredths, fives.
///
/// The multiple `k` is `k times / per`, rounded once: it is the float that its decimal digits are read as, so that a table's `0.3` comes back
/// as `0.3`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Step {
    times: f64,
    /// A power of ten.
    per: f64,
}

impl Step {
    /// The step of whole numbers.
    pub const ONE: Self = Self { times: 1.0, per: 1.0 };
    /// Most digits behind the point.
    const DIGITS: i32 = 15;
    /// Whole numbers up to this magnitude, 2^53, are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    /// A step of this width.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] unless it is positive, with 15 digits behind the point at most.
    pub fn new(width: f64) -> Result<Self> {
        let of_digits = |digits| {
            let per = 10f64.powi(digits);
            let times = (width * per).round();
            (times > 0.0 && times <= Self::EXACT && times / per == width)
                .then_some(Self { times, per })
        };
        (0..=Self::DIGITS).find_map(of_digits).ok_or_else(|| {
            Error::config(format!(
                "a step is a positive decimal number such as 0.1, 0.25 or 5, found {width}"
            ))
        })
    }

    /// The distance between values.
    pub fn width(self) -> f64 {
        self.times / self.per
    }

    /// Whether all values are whole numbers.
    pub fn is_whole(self) -> bool {
        self.per == 1.0
    }

    /// The multiple `k`.
    pub fn value(self, k: f64) -> f64 {
        k * self.times / self.per
    }

    /// How many steps `x` is.
    pub fn count(self, x: f64) -> f64 {
        x * self.per / self.times
    }

    /// Whether `x` is a multiple as it would be read from a table.
    pub fn divides(self, x: f64) -> bool {
        let k = self.count(x).round();
        k.abs() <= Self::EXACT && self.value(k) == x
    }
}

impl TryFrom<f64> for Step {
    type Error = Error;

    fn try_from(width: f64) -> Result<Self> {
        Self::new(width)
    }
}

impl From<Step> for f64 {
    fn from(step: Step) -> Self {
        step.width()
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.width().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_the_floats_that_their_digits_are_read_as() {
        for (text, digits) in [("0.1", 1), ("0.01", 2), ("0.05", 2), ("0.25", 2), ("5", 0)] {
            let step = Step::new(text.parse().unwrap()).unwrap();
            assert_eq!(step.to_string(), text);
            for k in -3000..3000 {
                let value = step.value(f64::from(k));
                let written: f64 = format!("{value:.digits$}").parse().unwrap();
                assert_eq!(value, written, "{k} steps of {text}");
                assert!(step.divides(value) && !step.divides(value + 0.3 * step.width()));
                assert_eq!(step.count(value).round(), f64::from(k));
            }
        }
        assert_eq!(serde_json::to_string(&Step::new(0.1).unwrap()).unwrap(), "0.1");
        assert_eq!(serde_json::from_str::<Step>("0.1").unwrap(), Step::new(0.1).unwrap());
    }

    #[test]
    fn what_is_no_decimal_number_is_no_step() {
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY, 1.0 / 3.0, 1e-20, 1e300] {
            assert!(Step::new(width).is_err(), "{width}");
        }
        assert!(serde_json::from_str::<Step>("0").is_err());
    }
}
