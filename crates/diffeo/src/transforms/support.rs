//! Fixed maps from the support of a column to the real line.

use burn::tensor::{Bool, DType, Tensor, TensorData};
use diffeo_kernels::ops::sum_rows;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::transform::{Mapped, Transform};

/// How a column reaches the real line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "map", rename_all = "snake_case", deny_unknown_fields)]
pub enum SupportMap {
    /// The column is real already.
    Identity,
    /// `z = ln x` for `x > 0`.
    Log,
    /// `z = ln((x - low) / (high - x))` for `low < x < high`.
    Logit {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
}

/// Maps every column from its support to the real line: identity, logarithm or logit.
///
/// * forward: `z = ln x` (log-slope `-ln x`) or `z = ln((x - a) / (b - x))` (log-slope `ln(b - a) - ln(x - a) - ln(b - x)`).
/// * inverse: `x = e^z`, or `x = a + (b - a) / (1 + e^-z)`, kept strictly inside the support.
///
/// A point outside the support has log-determinant `-inf` (density zero), and every other row is untouched.
#[derive(Clone, Debug)]
pub struct Support {
    maps: Vec<SupportMap>,
}

impl Support {
    /// # Errors
    /// [`crate::ErrorKind::Config`] if an interval is empty or not finite.
    pub fn new(maps: Vec<SupportMap>) -> Result<Self> {
        for map in &maps {
            if let SupportMap::Logit { low, high } = *map
                && !(low.is_finite() && high.is_finite() && low < high)
            {
                return Err(Error::config(format!(
                    "support: expected finite bounds with low < high, found [{low}, {high}]"
                )));
            }
        }
        Ok(Self { maps })
    }

    /// Whether all columns are real already.
    pub fn is_identity(&self) -> bool {
        self.maps.iter().all(|m| *m == SupportMap::Identity)
    }

    fn row(&self, like: &Tensor<2>, of: impl Fn(&SupportMap) -> f64) -> Tensor<2> {
        let values: Vec<f64> = self.maps.iter().map(of).collect();
        let data = TensorData::new(values, [1, self.maps.len()]);
        Tensor::from_data(data, (&like.device(), like.dtype()))
    }

    /// `[n, d]`: which elements belong to columns of a kind.
    fn columns(&self, like: &Tensor<2>, of: impl Fn(&SupportMap) -> bool) -> Tensor<2, Bool> {
        let flags = self.row(like, |m| f64::from(u8::from(of(m))));
        flags.greater_elem(0.5).expand(like.dims())
    }

    fn bounds(&self, like: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let low =
            self.row(like, |m| if let SupportMap::Logit { low, .. } = m { *low } else { 0.0 });
        let high =
            self.row(like, |m| if let SupportMap::Logit { high, .. } = m { *high } else { 1.0 });
        (low, high)
    }

    /// The smallest and largest number strictly inside each interval, in the precision of `like`.
    fn innermost(&self, like: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let single = like.dtype() == DType::F32;
        let up = |x: f64| if single { f64::from((x as f32).next_up()) } else { x.next_up() };
        let down = |x: f64| if single { f64::from((x as f32).next_down()) } else { x.next_down() };
        let of = |edge: &dyn Fn(f64, f64) -> f64| {
            let at = |m: &SupportMap| match *m {
                SupportMap::Logit { low, high } => edge(low, high),
                _ => 0.0,
            };
            self.row(like, at).expand(like.dims())
        };
        (of(&|low, _| up(low)), of(&|_, high| down(high)))
    }
}

impl Transform for Support {
    fn dims(&self) -> usize {
        self.maps.len()
    }

    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        if self.is_identity() {
            return Ok(Mapped { log_det: super::no_log_det(&x), value: x });
        }
        let is_log = self.columns(&x, |m| *m == SupportMap::Log);
        let is_logit = self.columns(&x, |m| matches!(m, SupportMap::Logit { .. }));
        let (low, high) = self.bounds(&x);
        let middle = (low.clone() + high.clone()).mul_scalar(0.5).expand(x.dims());
        let outside = is_log.clone().bool_and(x.clone().lower_equal_elem(0.0)).bool_or(
            is_logit.clone().bool_and(
                x.clone()
                    .lower_equal(low.clone().expand(x.dims()))
                    .bool_or(x.clone().greater_equal(high.clone().expand(x.dims()))),
            ),
        );
        // Values outside are replaced before the logarithms; their rows get log-determinant -inf below.
        let one = x.ones_like();
        let log = x
            .clone()
            .mask_where(is_log.clone().bool_and(outside.clone().bool_not()).bool_not(), one)
            .log();
        let inner = x
            .clone()
            .mask_where(is_logit.clone().bool_and(outside.clone().bool_not()).bool_not(), middle);
        let (from_low, to_high) =
            ((inner.clone() - low.clone()).log(), (high.clone() - inner).log());
        let logit = from_low.clone() - to_high.clone();
        let logit_slope = (high - low).log() - from_low - to_high;
        let slope = x
            .zeros_like()
            .mask_where(is_log.clone(), log.clone().neg())
            .mask_where(is_logit.clone(), logit_slope)
            .mask_fill(outside, f64::NEG_INFINITY);
        let value = x.mask_where(is_log, log).mask_where(is_logit, logit);
        Ok(Mapped { value, log_det: sum_rows(slope) })
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        if self.is_identity() {
            return Ok(Mapped { log_det: super::no_log_det(&z), value: z });
        }
        // Beyond these the exponential leaves the floats, or the sigmoid rounds to its bound.
        const LOG_MAX: f64 = 700.0;
        const LOGIT_MAX: f64 = 36.0;
        let is_log = self.columns(&z, |m| *m == SupportMap::Log);
        let is_logit = self.columns(&z, |m| matches!(m, SupportMap::Logit { .. }));
        let (low, high) = self.bounds(&z);
        let log = z.clone().clamp(-LOG_MAX, LOG_MAX);
        let logit = z.clone().clamp(-LOGIT_MAX, LOGIT_MAX);
        let width = high - low.clone();
        let near = logit.clone().abs().neg().exp();
        let share = near.clone().add_scalar(1.0).recip();
        // sigmoid(z) without cancellation: the small side is e^-|z| / (1 + e^-|z|).
        let small = near.clone() * share.clone();
        let sigmoid = share.mask_where(logit.clone().lower_elem(0.0), small);
        let logit_slope = width.clone().log() + logit.abs().neg() - near.log1p().mul_scalar(2.0);
        let slope = z
            .zeros_like()
            .mask_where(is_log.clone(), log.clone())
            .mask_where(is_logit.clone(), logit_slope);
        // Rounding must not put a sample on the bound, which is outside the support.
        let (lowest, highest) = self.innermost(&z);
        let between = (low + width * sigmoid).max_pair(lowest).min_pair(highest);
        let value = z.mask_where(is_log, log.exp()).mask_where(is_logit, between);
        Ok(Mapped { value, log_det: sum_rows(slope) })
    }
}
