//! What values a column may hold, and all that follows from it.

use serde::{Deserialize, Serialize};

use super::step::Step;
use super::support::Support;
use crate::error::{Error, Result};

/// What values a column may hold. What follows from a kind stands in this folder and nowhere else.
///
/// How kinds are written is said at [`super::KindWish`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnKind {
    /// Any real number.
    #[default]
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
    /// Numbers with a bound on one side, or with bounds of which at least one is included. A bound that is included has a probability of its
    /// own; between the bounds there is a density.
    Range {
        /// Lower end.
        low: End,
        /// Upper end.
        high: End,
    },
    /// Whole numbers. Those of a small range have a probability each; else they are uniformly dequantised, `x + u` with `u` in `[0, 1)`, and
    /// samples are rounded down again.
    Integer,
    /// Whole numbers with a bound, which is included.
    IntegerRange {
        /// The smallest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        low: Option<i64>,
        /// The largest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        high: Option<i64>,
    },
    /// Multiples of a step, as [`ColumnKind::Integer`] of the steps; another number counts as the multiple next to it.
    Rounded {
        /// The distance between values.
        step: Step,
        /// The smallest value, a multiple.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        low: Option<f64>,
        /// The largest value, a multiple.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        high: Option<f64>,
    },
    /// False or true: 0 or 1.
    Boolean,
    /// One of the column's levels, by its number.
    Category,
    /// A number that means the same after a whole turn, `high` being `low` again: angles, hours of the day.
    Periodic {
        /// Where a turn begins.
        low: f64,
        /// Where it ends.
        high: f64,
    },
    /// Days since 1970-01-01: whole numbers that are written as dates.
    Date,
    /// Seconds since 1970-01-01 00:00 UTC: real numbers that are written as dates with times.
    Time,
}

/// An end of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// There is none.
    #[default]
    Unbounded,
    /// A bound that does not belong to the range.
    Open(f64),
    /// A bound that belongs to the range.
    Closed(f64),
}

impl End {
    /// The number, if there is one.
    pub fn bound(self) -> Option<f64> {
        match self {
            Self::Unbounded => None,
            Self::Open(x) | Self::Closed(x) => Some(x),
        }
    }

    fn closed(self) -> Option<f64> {
        match self {
            Self::Closed(x) => Some(x),
            _ => None,
        }
    }
}

impl ColumnKind {
    /// Whether `x` is a value of the kind (never for NaN or an infinity).
    pub fn contains(&self, x: f64) -> bool {
        x.is_finite()
            && match *self {
                Self::Real | Self::Time | Self::Periodic { .. } => true,
                Self::Positive => x > 0.0,
                Self::Interval { low, high } => low < x && x < high,
                Self::Range { low, high } => {
                    let above = match low {
                        End::Unbounded => true,
                        End::Open(low) => x > low,
                        End::Closed(low) => x >= low,
                    };
                    above
                        && match high {
                            End::Unbounded => true,
                            End::Open(high) => x < high,
                            End::Closed(high) => x <= high,
                        }
                }
                Self::Integer | Self::Date => x.fract() == 0.0,
                Self::IntegerRange { low, high } => {
                    x.fract() == 0.0
                        && low.is_none_or(|low| x >= low as f64)
                        && high.is_none_or(|high| x <= high as f64)
                }
                Self::Rounded { low, high, .. } => {
                    let x = self.nearest(x);
                    low.is_none_or(|low| x >= low) && high.is_none_or(|high| x <= high)
                }
                Self::Boolean => x == 0.0 || x == 1.0,
                Self::Category => x >= 0.0 && x.fract() == 0.0,
            }
    }

    /// Whether `x` is so near a bound of its interval that rounding `x` moves its logit by more than a millionth.
    pub(super) fn is_at_edge(&self, x: f64) -> bool {
        const GRAINS: f64 = 1e6;
        let (low, high) = match self.support(0) {
            Support::Logit { low, high } => (low, high),
            _ => return false,
        };
        let grain = f64::EPSILON * low.abs().max(high.abs());
        low < x && x < high && (x - low).min(high - x) < GRAINS * grain
    }

    /// What to do about values of a table that are not of the kind.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Interval { .. } => {
                "the bounds of (low, high) are excluded: write [low, high] where they occur, or widen them"
            }
            Self::Range { .. } | Self::IntegerRange { .. } | Self::Rounded { .. } => {
                "widen the bounds"
            }
            _ => "choose another kind for it with --columns",
        }
    }

    /// The step that values are whole multiples of: they stand for a cell of the real line each and have probabilities.
    pub fn step(&self) -> Option<Step> {
        match self {
            Self::Integer | Self::IntegerRange { .. } | Self::Date => Some(Step::ONE),
            Self::Rounded { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// Whether values are whole numbers, or whole multiples of a step.
    pub fn is_whole(&self) -> bool {
        self.step().is_some()
    }

    /// The length of the circle that values lie on; infinite where they lie on a line.
    pub(crate) fn turn(&self) -> f64 {
        match self {
            Self::Periodic { low, high } => high - low,
            _ => f64::INFINITY,
        }
    }

    /// The value that `x` counts as: itself, or the multiple next to it.
    pub fn nearest(&self, x: f64) -> f64 {
        match self {
            Self::Rounded { step, .. } => step.value(step.count(x).round()),
            _ => x,
        }
    }

    /// How many steps `x` is, of a kind that has steps: whole but for a number that is not of the kind.
    pub(super) fn steps(&self, x: f64) -> f64 {
        match self {
            Self::Rounded { step, .. } => step.count(x).round(),
            _ => x,
        }
    }

    /// The values of numbers of steps.
    pub fn in_values(&self, steps: [i64; 2]) -> [f64; 2] {
        steps.map(|k| self.step().unwrap_or(Step::ONE).value(k as f64))
    }

    /// The smallest and the largest value, in steps.
    pub fn bounds_in_steps(&self) -> [Option<i64>; 2] {
        match *self {
            Self::IntegerRange { low, high } => [low, high],
            Self::Rounded { step, low, high } => {
                [low, high].map(|bound| bound.map(|bound| step.count(bound).round() as i64))
            }
            _ => [None, None],
        }
    }

    /// Whether all values have a probability and none a density.
    pub fn is_discrete(&self) -> bool {
        self.is_whole() || matches!(self, Self::Boolean | Self::Category)
    }

    /// The bounds that belong to the kind and have a probability of their own beside a density.
    pub(super) fn closed_bounds(&self) -> Vec<f64> {
        match self {
            Self::Range { low, high } => {
                [low.closed(), high.closed()].into_iter().flatten().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The map of a modelled column's support to the real line, where so many values have a mass of their own.
    pub(super) fn support(&self, masses: usize) -> Support {
        match *self {
            Self::Positive => Support::Log,
            Self::Interval { low, high } => Support::Logit { low, high },
            Self::Range { low, high } => Support::between(low.bound(), high.bound()),
            // A whole number k stands for the cell from k to k + 1, and those above a point mass lie a cell lower.
            Self::IntegerRange { .. } | Self::Rounded { .. } => {
                let step = self.step().unwrap_or(Step::ONE);
                let [low, high] = self.bounds_in_steps();
                let high = high.map(|high| step.value(high as f64 + 1.0 - masses as f64));
                Support::between(low.map(|low| step.value(low as f64)), high)
            }
            _ => Support::Identity,
        }
    }

    /// The map of a context column. A column with bounds may be on them where it is used: it needs no logarithm.
    pub(super) fn context_support(&self) -> Support {
        match self {
            Self::Positive => Support::Log,
            _ => Support::Identity,
        }
    }

    /// Refuses bounds that are not bounds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with the bounds.
    pub(super) fn validate(&self) -> Result<()> {
        let whole = |bound: Option<i64>| bound.map(|bound| bound as f64);
        let (low, high) = match *self {
            Self::Interval { low, high } | Self::Periodic { low, high } => (Some(low), Some(high)),
            Self::Range { low, high } => (low.bound(), high.bound()),
            Self::IntegerRange { low, high } => (whole(low), whole(high).map(|high| high + 1.0)),
            Self::Rounded { step, low, high } => (low, high.map(|high| high + step.width())),
            _ => (None, None),
        };
        let finite = [low, high].into_iter().flatten().all(f64::is_finite);
        let ordered =
            low.zip(high).is_none_or(|(low, high)| low < high && (high - low).is_finite());
        if let Self::Rounded { step, low, high } = *self
            && let Some(bound) = [low, high].into_iter().flatten().find(|x| !step.divides(*x))
        {
            return Err(Error::config(format!(
                "bounds must be multiples of {step}, found {bound}"
            )));
        }
        if finite && ordered {
            return Ok(());
        }
        Err(Error::config(format!("bounds must be finite with low < high, found {self}")))
    }
}

impl std::fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Real => f.write_str("real"),
            Self::Positive => f.write_str("positive"),
            Self::Interval { low, high } => write!(f, "({low}, {high})"),
            Self::Range { low, high } => {
                match low {
                    End::Unbounded => f.write_str("(-inf")?,
                    End::Open(low) => write!(f, "({low}")?,
                    End::Closed(low) => write!(f, "[{low}")?,
                }
                match high {
                    End::Unbounded => f.write_str(", inf)"),
                    End::Open(high) => write!(f, ", {high})"),
                    End::Closed(high) => write!(f, ", {high}]"),
                }
            }
            Self::Integer | Self::IntegerRange { low: None, high: None } => f.write_str("integer"),
            Self::IntegerRange { low: Some(low), high: Some(high) } => {
                write!(f, "integer[{low}, {high}]")
            }
            Self::IntegerRange { low: Some(low), .. } => write!(f, "integer>={low}"),
            Self::IntegerRange { high: Some(high), .. } => write!(f, "integer<={high}"),
            Self::Rounded { step, low, high } => {
                write!(f, "rounded({step})")?;
                match (low, high) {
                    (None, None) => Ok(()),
                    (Some(low), Some(high)) => write!(f, "[{low}, {high}]"),
                    (Some(low), None) => write!(f, ">={low}"),
                    (None, Some(high)) => write!(f, "<={high}"),
                }
            }
            Self::Boolean => f.write_str("boolean"),
            Self::Category => f.write_str("category"),
            Self::Periodic { low, high } => write!(f, "periodic[{low}, {high})"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
        }
    }
}
