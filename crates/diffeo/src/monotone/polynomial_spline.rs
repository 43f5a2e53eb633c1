//! Splines whose slope is constant, linear or quadratic between knots.

use std::sync::Arc;

use diffeo_kernels as kernels;
use serde::{Deserialize, Serialize};

use super::fused::Fused;
use super::{DescribeMap, MIN_SLOPE, Monotone, RationalQuadratic, expect_bound, expect_within};
use crate::error::Result;
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// Monotone spline of degree 1, 2 or 3 that maps `[-B, B]` onto itself; beyond, the tangent at the end.
///
/// In bin `k`, with `t = (x - x_k) / w_k`, the slope is `a (1 - t)^2 + 2 m t (1 - t) + b t^2`: a constant (degree 1, so the density is a histogram in that column), linear
/// between knots (degree 2, `m = (a + b) / 2`), or quadratic (degree 3). The slopes are scaled so that the spline ends at `B`.
///
/// * forward: data to base, the integral of the slope, all terms positive; inverse: a bracket that grows until it holds the root, then Newton's steps inside it.
/// * Domain and codomain: the real line. From degree 2 on the slope is continuous, 1 at the ends, and the map the identity beyond. With degree 1 it jumps at the knots.
/// * Infinite input stays as it is with log-slope 0; NaN stays NaN, for that element only. Gradients are finite everywhere.
/// * Costs one exponential a bin and one softplus a slope; a program runs it.
///
/// # Parameters
/// `params: [n, k d]`: for each element `K` widths (softmax), `K - 1` slopes at inner knots (degree 2 and 3), `K` slopes within bins (degree 1 and 3; softplus): `2 K`,
/// `2 K - 1` or `3 K - 1`. All zero is the identity.
///
/// # Reference
/// Müller, McWilliams, Rousselle, Gross, Novák. *Neural Importance Sampling*. ACM Trans. Graph. 38, 2019, eqs. 11-15, arXiv:1808.03856 (degree 1 and 2); Durkan,
/// Bekasov, Murray, Papamakarios. *Cubic-Spline Flows*. 2019, arXiv:1906.02145 (degree 3 by other parameters).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolynomialSpline {
    /// 1, 2 or 3.
    pub degree: usize,
    /// Number of bins `K`, 2 to 256.
    pub bins: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
}

impl Default for PolynomialSpline {
    fn default() -> Self {
        Self { degree: 2, bins: 8, bound: 5.0 }
    }
}

impl PolynomialSpline {
    fn kernel(&self) -> kernels::PolynomialSpline {
        kernels::PolynomialSpline {
            degree: self.degree,
            bins: self.bins,
            bound: self.bound,
            min_size: RationalQuadratic::MIN_SIZE,
            min_slope: MIN_SLOPE,
        }
    }
}

impl Cases for PolynomialSpline {
    fn cases(_at: Place) -> Vec<Self> {
        [2, 3, 1].map(|degree| Self { degree, bins: 5, bound: 3.0 }).into()
    }
}

impl DescribeMap for PolynomialSpline {
    fn validate(&self) -> Result<()> {
        expect_within("spline", "degree", self.degree, 1..=3)?;
        expect_within("spline", "bins", self.bins, 2..=RationalQuadratic::BINS_MAX)?;
        expect_bound("spline", self.bound)
    }

    fn params_per_dim(&self) -> usize {
        kernels::ScalarMap::params_per_dim(&self.kernel())
    }

    fn build(&self, _init: &mut Init) -> Box<dyn Monotone> {
        // As for a rational-quadratic spline: the narrowest bin holds nearly all of the height.
        let log_slope_max = -RationalQuadratic::MIN_SIZE.ln();
        Box::new(Fused { kernel: Arc::new(self.kernel()), log_slope_max })
    }

    fn bound(&self) -> f64 {
        self.bound
    }

    fn bends_far_out(&self) -> bool {
        self.degree == 1
    }
}
