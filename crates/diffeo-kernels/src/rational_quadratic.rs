//! Monotone rational-quadratic spline.

mod block;
mod composed;
mod rows;
mod segment;
mod tiles;

use crate::Real;
use crate::monotone::{
    ArgumentGradients, ColumnInverter, MapGradients, MapKernel, ScalarMap, check, check_tile,
};
use tiles::{Kernel, Params};

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

    /// Panics unless the description makes sense; every method starts with this.
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

impl<T: Real> MapKernel<T> for RationalQuadratic {
    fn forward(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        self.check();
        check(x, params, self.params_per_dim(), [value.len(), log_slope.len()]);
        rows::map(self, x, params, value, log_slope, false);
    }

    fn forward_tile(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        self.check();
        check_tile(x, params, self.params_per_dim(), [value.len(), log_slope.len()]);
        let params = Params::of_tile(params, self.params_per_dim());
        tiles::map(&mut Kernel::new(self), x, params, value, log_slope, false);
    }

    fn inverse(&self, z: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        self.check();
        check(z, params, self.params_per_dim(), [value.len(), log_slope.len()]);
        rows::map(self, z, params, value, log_slope, true);
    }

    fn forward_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        self.check();
        check(x, params, self.params_per_dim(), [from.value.len(), from.log_slope.len()]);
        check(to.input, to.params, self.params_per_dim(), [x.len(), x.len()]);
        rows::backward(self, x, params, from, to, false);
    }

    fn forward_backward_tile(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        self.check();
        check_tile(x, params, self.params_per_dim(), [from.value.len(), from.log_slope.len()]);
        check_tile(to.input, to.params, self.params_per_dim(), [x.len(), x.len()]);
        let params = Params::of_tile(params, self.params_per_dim());
        tiles::backward(&mut Kernel::new(self), x, params, from, to, false);
    }

    fn inverse_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        self.check();
        check(x, params, self.params_per_dim(), [from.value.len(), from.log_slope.len()]);
        check(to.input, to.params, self.params_per_dim(), [x.len(), x.len()]);
        rows::backward(self, x, params, from, to, true);
    }

    fn inverter(&self) -> Box<dyn ColumnInverter<T> + '_> {
        self.check();
        Box::new(Kernel::new(self))
    }
}

#[cfg(test)]
mod tests;
