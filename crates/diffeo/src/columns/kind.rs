//! What values a column may hold, and all that follows from it.

use serde::{Deserialize, Serialize};

use super::support::Support;
use crate::error::{Error, Result, quoted};

/// What values a column may hold. What follows from a kind, here and nowhere else: which values belong to it, how they
/// reach the real line, and how they come back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ColumnKind {
    /// Any real number.
    Real,
    /// Strictly positive numbers: mapped by `ln x`.
    Positive,
    /// The open interval `(low, high)`: mapped by `logit((x - low) / (high - low))`.
    Interval {
        /// Lower bound, excluded.
        low: f64,
        /// Upper bound, excluded.
        high: f64,
    },
    /// Whole numbers, uniformly dequantised: `x + u` with `u` in `[0, 1)`; samples are rounded down again.
    Integer,
}

impl ColumnKind {
    /// Whether `x` lies in the support (never for NaN or an infinity).
    pub fn contains(&self, x: f64) -> bool {
        x.is_finite()
            && match *self {
                Self::Real => true,
                Self::Positive => x > 0.0,
                Self::Interval { low, high } => low < x && x < high,
                Self::Integer => x.fract() == 0.0,
            }
    }

    /// Whether `x` is so near a bound of its interval that rounding `x` moves its logit by more than a millionth.
    pub(super) fn is_at_edge(&self, x: f64) -> bool {
        const GRAINS: f64 = 1e6;
        let Self::Interval { low, high } = *self else { return false };
        let grain = f64::EPSILON * low.abs().max(high.abs());
        (x - low).min(high - x) < GRAINS * grain
    }

    /// What to do about values of a table that are not of the kind.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Interval { .. } => "the bounds are excluded, widen them",
            _ => "choose another kind for it with --columns",
        }
    }

    /// Numbers that a value of the column becomes for the flow.
    pub fn width(&self) -> usize {
        match self {
            Self::Real | Self::Positive | Self::Interval { .. } | Self::Integer => 1,
        }
    }

    /// Whether values are whole numbers, which stand for a cell of the real line each and have probabilities.
    pub fn is_whole(&self) -> bool {
        *self == Self::Integer
    }

    /// The map of a modelled column's support to the real line.
    pub(super) fn support(&self) -> Support {
        match *self {
            Self::Real | Self::Integer => Support::Identity,
            Self::Positive => Support::Log,
            Self::Interval { low, high } => Support::Logit { low, high },
        }
    }

    /// The map of a context column. A column of an interval is bounded already, and may be on its bounds where it is used: it needs no logit.
    pub(super) fn context_support(&self) -> Support {
        match self {
            Self::Interval { .. } => Support::Identity,
            kind => kind.support(),
        }
    }

    /// Refuses bounds that are not bounds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with the bounds.
    pub(super) fn validate(&self) -> Result<()> {
        match *self {
            Self::Interval { low, high }
                if !(low.is_finite() && high.is_finite() && low < high) =>
            {
                Err(Error::config(format!(
                    "bounds must be finite with low < high, found [{low}, {high}]"
                )))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real => f.write_str("real"),
            Self::Positive => f.write_str("positive"),
            Self::Interval { low, high } => write!(f, "[{low}, {high}]"),
            Self::Integer => f.write_str("integer"),
        }
    }
}

/// Parses `real`, `positive`, `integer` or `[a, b]`.
impl std::str::FromStr for ColumnKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        match text {
            "real" => return Ok(Self::Real),
            "positive" => return Ok(Self::Positive),
            "integer" => return Ok(Self::Integer),
            _ => {}
        }
        let bounds = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).and_then(|t| {
            let (low, high) = t.split_once([',', ';'])?;
            Some((low.trim().parse::<f64>().ok()?, high.trim().parse::<f64>().ok()?))
        });
        match bounds {
            Some((low, high)) if low.is_finite() && high.is_finite() && low < high => {
                Ok(Self::Interval { low, high })
            }
            _ => Err(Error::config(format!(
                "a column kind is real, positive, integer or [low, high] with low < high, not {}",
                quoted(text)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_parse_and_print() {
        for text in ["real", "positive", "integer", "[0, 1]"] {
            assert_eq!(text.parse::<ColumnKind>().unwrap().to_string(), text);
        }
        for text in ["", "reel", "[1, 0]", "[0, inf]", "[0]", "(0, 1)"] {
            assert!(text.parse::<ColumnKind>().is_err(), "{text}");
        }
    }
}
