//! Monotone rational-quadratic spline.

mod block;
mod composed;
mod segment;
mod tiles;

use crate::Real;
use crate::monotone::ScalarMap;
use crate::monotone::columns::ByColumns;
use tiles::Kernel;

/// Monotone rational-quadratic spline on `[-bound, bound]`, identity outside.
///
/// With bin `k`, `t = (x - x_k) / w_k` and chord slope `s = h_k / w_k`,
/// `z = z_k + h_k (s t^2 + d_k t (1 - t)) / (s + (d_{k+1} + d_k - 2 s) t (1 - t))` (eq. 4).
///
/// * forward: data to base, `x -> z`; inverse: the root of a quadratic (eq. 6 to 8), in the form that
///   does not cancel for either sign of its linear term, and one Newton step.
/// * `params: [n, d, 3K - 1]`, unconstrained: `K` widths, `K` heights, `K - 1` inner slopes.
///   Widths and heights are `2 bound (m + (1 - K m) softmax)` with `m = min_size`; the outermost knots
///   are exactly `-bound` and `bound`. Slopes are `min_slope + (1 - min_slope) softplus(u + ln(e - 1))`,
///   and exactly 1 at the outermost knots. All-zero parameters are the identity.
/// * Outside the box, infinities included: the value is the input, the log-slope 0, the gradient 1 to the
///   input and 0 to the parameters. NaN gives NaN for that element only.
/// * Everything is finite for all finite parameters; a raw slope beyond `1e6` counts as `1e6`.
///
/// # Accuracy
/// The round trip is within a few rounding errors of the box times the steepest slope met.
/// # Reference
/// Durkan, Bekasov, Murray, Papamakarios. *Neural Spline Flows*. NeurIPS 2019. arXiv:1906.04032.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RationalQuadratic {
    /// Number of bins `K`, at least 1.
    pub bins: usize,
    /// Half-width of the box.
    pub bound: f64,
    /// Smallest width and height of a bin as a share of the box; `bins * min_size < 1`.
    pub min_size: f64,
    /// Smallest slope at an inner knot, in `(0, 1)`.
    pub min_slope: f64,
}

impl RationalQuadratic {
    /// The customary spline: bins at least a thousandth of the box, slopes at least `1e-3`.
    pub fn new(bins: usize, bound: f64) -> Self {
        Self { bins, bound, min_size: 1e-3, min_slope: 1e-3 }
    }

    /// Panics unless the description makes sense; a kernel starts with this.
    fn check(&self) {
        assert!(
            self.bins > 0
                && self.bound > 0.0
                && self.min_size > 0.0
                && self.bins as f64 * self.min_size < 1.0
                && self.min_slope > 0.0
                && self.min_slope < 1.0,
            "impossible spline: {self:?}"
        );
    }
}

impl ScalarMap for RationalQuadratic {
    /// `3K - 1`.
    fn params_per_dim(&self) -> usize {
        3 * self.bins - 1
    }
}

impl ByColumns for RationalQuadratic {
    type Kernel<T: Real> = Kernel<T>;

    fn kernel<T: Real>(&self) -> Kernel<T> {
        self.check();
        Kernel::new(self)
    }
}

#[cfg(test)]
mod tests;
