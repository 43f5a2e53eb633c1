//! Rational-quadratic spline: a flexible map that is exact to invert.

use serde::{Deserialize, Serialize};

use super::fused::Fused;
use super::{DescribeMap, MIN_SLOPE, Monotone, expect_bound, expect_within};
use crate::error::Result;
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

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
    /// Most bins.
    pub const BINS_MAX: usize = 256;
    /// Smallest width and height of a bin, as a share of the box (NSF, appendix B).
    pub const MIN_SIZE: f64 = 1e-3;
}

impl Cases for RationalQuadratic {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { bins: 4, bound: 3.0 }, Self { bins: 8, bound: 2.0 }]
    }
}

impl DescribeMap for RationalQuadratic {
    fn validate(&self) -> Result<()> {
        expect_within("spline", "bins", self.bins, 2..=Self::BINS_MAX)?;
        expect_bound("spline", self.bound)
    }

    fn params_per_dim(&self) -> usize {
        (3 * self.bins).saturating_sub(1)
    }

    fn build(&self, _init: &mut Init) -> Box<dyn Monotone> {
        Box::new(Fused::spline(self.bins, self.bound, Self::MIN_SIZE, MIN_SLOPE))
    }

    fn bound(&self) -> f64 {
        self.bound
    }
}
