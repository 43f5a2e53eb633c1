//! The columns of a table and what values they may hold: the part of a model that gives numbers their units.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};

/// What values a column may hold. Each kind is a map from its support to the real line in the flow's chain.
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
}

impl ColumnKind {
    /// Whether `x` is so near a bound of its interval that rounding `x` moves its logit by more than a millionth.
    fn is_at_edge(&self, x: f64) -> bool {
        const GRAINS: f64 = 1e6;
        let Self::Interval { low, high } = *self else { return false };
        let grain = f64::EPSILON * low.abs().max(high.abs());
        (x - low).min(high - x) < GRAINS * grain
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

/// A named column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name in the table's header.
    pub name: String,
    /// What it may hold.
    pub kind: ColumnKind,
}

/// The columns a model was fitted on, in the order of its dimensions, and those it is conditioned on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Columns whose density is modelled.
    pub columns: Vec<Column>,
    /// Columns the density is conditional on.
    #[serde(default)]
    pub context: Vec<Column>,
}

impl Schema {
    /// Whether a row has a number at the edge of its interval, where floats are too coarse for its logit.
    pub(crate) fn is_at_edge(&self, row: &[f64]) -> bool {
        self.columns.iter().zip(row).any(|(column, x)| column.kind.is_at_edge(*x))
    }

    /// Checks that every name is non-empty and used once and that bounds are ordered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] naming the first column at fault.
    pub fn validate(&self) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        for column in self.columns.iter().chain(&self.context) {
            if column.name.is_empty() {
                return Err(Error::config("every column needs a name; one is empty"));
            }
            if !seen.insert(column.name.as_str()) {
                return Err(Error::config(format!(
                    "column {} is named twice",
                    quoted(&column.name)
                )));
            }
            if let ColumnKind::Interval { low, high } = column.kind
                && !(low.is_finite() && high.is_finite() && low < high)
            {
                return Err(Error::config(format!(
                    "column {}: bounds must be finite with low < high, found [{low}, {high}]",
                    quoted(&column.name)
                )));
            }
        }
        Ok(())
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

    #[test]
    fn validate_refuses_doubled_names() {
        let column = Column { name: "a".into(), kind: ColumnKind::Real };
        let schema = Schema { columns: vec![column.clone(), column], context: vec![] };
        assert!(schema.validate().is_err());
    }
}
