//! Fixed maps from the support of a column to the real line, in `f64`.

use std::f64::consts::SQRT_2;

use libm::erfc;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc_inv;

use crate::error::{Error, Result};
use crate::host::normal::LN_2PI_HALF;

/// How a column reaches the real line.
///
/// * to the real line: `z = ln x` (log-slope `-ln x`) or `z = ln((x - low) / (high - x))` (log-slope
///   `ln(high - low) - ln(x - low) - ln(high - x)`).
/// * probit: `z = Phi^-1((x - low) / (high - low))` (log-slope `z^2 / 2 + ln(2 pi) / 2 - ln(high - low)`): what is uniform becomes normal.
/// * softplus: `z = s ln(e^t - 1)` with `t = (x - low) / s` (log-slope `-ln(1 - e^-t)`): as it is far above the bound, a logarithm next to it.
/// * back: `x = e^z`, or `x = low + (high - low) / (1 + e^-z)`, kept strictly inside the support.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "map", rename_all = "snake_case", deny_unknown_fields)]
pub enum Support {
    /// The column is real already.
    #[default]
    Identity,
    /// `z = ln x` for `x > 0`.
    Log,
    /// `z = ln(x - low)` for `x > low`.
    LogAbove {
        /// Lower bound.
        low: f64,
    },
    /// `z = scale ln(exp((x - low) / scale) - 1)` for `x > low`.
    Softplus {
        /// Lower bound.
        low: f64,
        /// How far above the bound it has an effect.
        scale: f64,
    },
    /// `z = -ln(high - x)` for `x < high`.
    LogBelow {
        /// Upper bound.
        high: f64,
    },
    /// `z = ln((x - low) / (high - x))` for `low < x < high`.
    Logit {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// `z = Phi^-1((x - low) / (high - low))` for `low < x < high`, by the distribution function of the normal.
    Probit {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
}

impl Support {
    /// The map of the numbers between these bounds.
    pub(super) fn between(low: Option<f64>, high: Option<f64>) -> Self {
        match (low, high) {
            (None, None) => Self::Identity,
            (Some(low), None) => Self::LogAbove { low },
            (None, Some(high)) => Self::LogBelow { high },
            (Some(low), Some(high)) => Self::Logit { low, high },
        }
    }

    /// The same for a column of this spread that is not skewed: a logarithm would skew it.
    pub(super) fn unskewed(self, deviation: f64) -> Self {
        match self {
            Self::Log => Self::Softplus { low: 0.0, scale: deviation },
            Self::LogAbove { low } => Self::Softplus { low, scale: deviation },
            other => other,
        }
    }

    /// # Errors
    /// [`crate::ErrorKind::Config`] if an interval is empty or not finite.
    pub(super) fn validate(&self) -> Result<()> {
        match *self {
            Self::Logit { low, high } | Self::Probit { low, high }
                if !(low.is_finite() && high.is_finite() && low < high) =>
            {
                Err(Error::config(format!(
                    "support: expected finite bounds with low < high, found [{low}, {high}]"
                )))
            }
            Self::Softplus { low, scale }
                if !(low.is_finite() && scale.is_normal() && scale > 0.0) =>
            {
                Err(Error::config(format!(
                    "support: expected a finite bound and a positive scale, found {low} and {scale}"
                )))
            }
            Self::LogAbove { low: bound } | Self::LogBelow { high: bound }
                if !bound.is_finite() =>
            {
                Err(Error::config(format!("support: expected a finite bound, found {bound}")))
            }
            _ => Ok(()),
        }
    }

    /// The image on the real line and the log-slope; `-inf` for a point outside the support, whose image is 0. NaN stays NaN.
    pub(crate) fn to_real(self, x: f64) -> (f64, f64) {
        const OUTSIDE: (f64, f64) = (0.0, f64::NEG_INFINITY);
        match self {
            Self::Identity => (x, 0.0),
            Self::Log if x <= 0.0 => OUTSIDE,
            Self::Log => (x.ln(), -x.ln()),
            Self::LogAbove { low } if x <= low => OUTSIDE,
            Self::LogAbove { low } => ((x - low).ln(), -(x - low).ln()),
            Self::Softplus { low, .. } if x <= low => OUTSIDE,
            Self::Softplus { low, scale } => {
                let t = (x - low) / scale;
                let log_share = (-(-t).exp_m1()).ln();
                ((x - low) + scale * log_share, -log_share)
            }
            Self::LogBelow { high } if x >= high => OUTSIDE,
            Self::LogBelow { high } => (-(high - x).ln(), -(high - x).ln()),
            Self::Logit { low, high } | Self::Probit { low, high } if x <= low || x >= high => {
                OUTSIDE
            }
            Self::Probit { low, high } => {
                // By the share of the nearer side, which keeps its digits.
                let (below, above) = ((x - low) / (high - low), (high - x) / (high - low));
                let far = -erfc_inv(2.0 * below.min(above)) * SQRT_2;
                let z = if below < above { far } else { -far };
                (z, 0.5 * z * z + LN_2PI_HALF - (high - low).ln())
            }
            Self::Logit { low, high } => {
                let (from_low, to_high) = ((x - low).ln(), (high - x).ln());
                (from_low - to_high, (high - low).ln() - from_low - to_high)
            }
        }
    }

    /// The image on the real line; NaN for a point outside the support.
    pub(super) fn image(self, x: f64) -> f64 {
        let (z, log_slope) = self.to_real(x);
        if log_slope == f64::NEG_INFINITY { f64::NAN } else { z }
    }

    /// The point whose image is `z`, strictly inside the support, and the log-slope of the way back.
    pub(crate) fn to_data(self, z: f64) -> (f64, f64) {
        // Beyond these the exponential leaves the floats, or the sigmoid rounds to its bound.
        const LOG_MAX: f64 = 700.0;
        const LOGIT_MAX: f64 = 36.0;
        const PROBIT_MAX: f64 = 37.0;
        match self {
            Self::Identity => (z, 0.0),
            Self::Log => {
                let z = z.clamp(-LOG_MAX, LOG_MAX);
                (z.exp(), z)
            }
            // Rounding must not put a sample on the bound, which is outside the support.
            Self::LogAbove { low } => {
                let z = z.clamp(-LOG_MAX, LOG_MAX);
                (if z.is_nan() { z } else { (low + z.exp()).max(low.next_up()) }, z)
            }
            Self::Softplus { low, scale } => {
                let t = (z / scale).max(-LOG_MAX);
                // ln(1 + e^t) and ln(1 + e^-t) without overflow.
                let near = (-t.abs()).exp().ln_1p();
                let x = low + scale * (t.max(0.0) + near);
                (if z.is_nan() { z } else { x.max(low.next_up()) }, t.min(0.0) - near)
            }
            Self::LogBelow { high } => {
                let z = z.clamp(-LOG_MAX, LOG_MAX);
                (if z.is_nan() { z } else { (high - (-z).exp()).min(high.next_down()) }, -z)
            }
            Self::Probit { low, high } => {
                let z = z.clamp(-PROBIT_MAX, PROBIT_MAX);
                let far = (high - low) * 0.5 * erfc(z.abs() / SQRT_2);
                let x = if z < 0.0 { low + far } else { high - far };
                let x = x.max(low.next_up()).min(high.next_down());
                (if z.is_nan() { z } else { x }, (high - low).ln() - LN_2PI_HALF - 0.5 * z * z)
            }
            Self::Logit { low, high } => {
                let z = z.clamp(-LOGIT_MAX, LOGIT_MAX);
                let near = (-z.abs()).exp();
                let share = 1.0 / (1.0 + near);
                // sigmoid(z) without cancellation: the small side is e^-|z| / (1 + e^-|z|).
                let sigmoid = if z < 0.0 { near * share } else { share };
                let log_slope = (high - low).ln() - z.abs() - 2.0 * near.ln_1p();
                let x = (low + (high - low) * sigmoid).max(low.next_up()).min(high.next_down());
                (if z.is_nan() { z } else { x }, log_slope)
            }
        }
    }
}
