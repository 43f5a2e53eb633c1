//! Rational-quadratic spline: a flexible map that is exact to invert.

use burn::tensor::Tensor;
use diffeo_kernels as kernels;
use diffeo_kernels::MonotoneMap;
use diffeo_kernels::ops::{Direction, scalar_map};
use serde::{Deserialize, Serialize};

use super::{Monotone, Scalarwise};
use crate::error::{Error, Result};

/// Monotone rational-quadratic spline on `[-B, B]`, identity outside.
///
/// In bin `k`, with `t = (x - x_k) / (x_{k+1} - x_k)` and chord slope `s = (z_{k+1} - z_k) / (x_{k+1} - x_k)`,
/// `z = z_k + (z_{k+1} - z_k) (s t^2 + d_k t (1 - t)) / (s + (d_{k+1} + d_k - 2 s) t (1 - t))`   (eq. 4).
///
/// * forward: data to base; inverse: the root of a quadratic (eqs. 6-8) in the form without cancellation.
/// * Domain and codomain: the real line. The end knots are pinned to exactly `-B` and `B`, where the slope is one.
/// * Infinite input stays as it is with log-slope 0; NaN stays NaN, for that element only. Gradients are finite everywhere.
///
/// # Parameters
/// `params: [n, (3 K - 1) d]`: for each element `K` widths and `K` heights (softmax) and `K - 1` inner slopes (softplus).
/// All zero is the identity.
///
/// # Reference
/// Durkan, Bekasov, Murray, Papamakarios. *Neural Spline Flows*. NeurIPS 2019, arXiv:1906.04032.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RationalQuadratic {
    /// Number of bins `K`, 2 to 256.
    pub bins: usize,
    /// Half-width `B` of the box.
    pub bound: f64,
}

impl Default for RationalQuadratic {
    fn default() -> Self {
        Self { bins: 8, bound: 5.0 }
    }
}

impl RationalQuadratic {
    /// Smallest width and height of a bin, as a share of the box (NSF, appendix B).
    pub const MIN_SIZE: f64 = 1e-3;
    /// Smallest slope at a knot (NSF, appendix B).
    pub const MIN_SLOPE: f64 = 1e-3;

    pub(super) fn validate(&self) -> Result<()> {
        if !(2..=256).contains(&self.bins) {
            return Err(Error::config(format!(
                "spline: bins must be in 2..=256, found {}",
                self.bins
            )));
        }
        if !(self.bound > 0.0 && self.bound <= 1e6) {
            return Err(Error::config(format!(
                "spline: bound must be in (0, 1e6], found {}",
                self.bound
            )));
        }
        Ok(())
    }

    pub(crate) fn kernel(&self) -> MonotoneMap {
        MonotoneMap::RationalQuadratic(kernels::RationalQuadratic {
            bins: self.bins,
            bound: self.bound,
            min_size: Self::MIN_SIZE,
            min_slope: Self::MIN_SLOPE,
        })
    }
}

impl Monotone for RationalQuadratic {
    fn params_per_dim(&self) -> usize {
        3 * self.bins - 1
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        let [value, log_slope] = scalar_map(self.kernel(), Direction::Forward, x, params);
        Ok(Scalarwise { value, log_slope })
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        let [value, log_slope] = scalar_map(self.kernel(), Direction::Inverse, z, params);
        Ok(Scalarwise { value, log_slope })
    }
}
