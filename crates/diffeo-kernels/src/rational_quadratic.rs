//! Monotone rational-quadratic spline.

mod block;
mod segment;

use crate::Real;
use crate::dispatch::dispatched;
use crate::monotone::{ArgumentGradients, MapGradients, check};
pub(crate) use block::BLOCK;
use block::{Layout, Scratch, Shape};

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

    /// Parameters that an element needs: `3K - 1`.
    pub fn params_per_dim(&self) -> usize {
        3 * self.bins - 1
    }

    /// Panics unless the description makes sense; every method starts with this.
    fn check<T>(&self, input: &[T], params: &[T], others: [usize; 2]) {
        assert!(
            self.bins > 0
                && self.bound > 0.0
                && self.min_size > 0.0
                && self.bins as f64 * self.min_size < 1.0
                && self.min_slope > 0.0
                && self.min_slope < 1.0,
            "impossible spline: {self:?}"
        );
        check(input, params, self.params_per_dim(), others);
    }

    /// `x -> (z, log dz/dx)`.
    ///
    /// # Panics
    /// If a slice has the wrong length or the spline is impossible; so do the other methods.
    pub fn forward<T: Real>(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        self.check(x, params, [value.len(), log_slope.len()]);
        forward(self, x, params, value, log_slope);
    }

    /// `z -> (x, log dx/dz)`.
    pub fn inverse<T: Real>(&self, z: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        self.check(z, params, [value.len(), log_slope.len()]);
        inverse(self, z, params, value, log_slope);
    }

    /// Backward pass of [`Self::forward`] at input `x`.
    pub fn forward_backward<T: Real>(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        self.check(x, params, [from.value.len(), from.log_slope.len()]);
        self.check(to.input, to.params, [x.len(), x.len()]);
        backward(self, x, params, from, to, false);
    }

    /// Backward pass of [`Self::inverse`], given its output `x`.
    pub fn inverse_backward<T: Real>(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        self.check(x, params, [from.value.len(), from.log_slope.len()]);
        self.check(to.input, to.params, [x.len(), x.len()]);
        backward(self, x, params, from, to, true);
    }
}

/// The inverse map for callers that hold a block's parameters side by side: `[3K - 1, BLOCK]`.
pub(crate) struct Inverter<T> {
    shape: Shape<T>,
    scratch: Scratch<T>,
}

impl<T: Real> Inverter<T> {
    pub(crate) fn new(spline: &RationalQuadratic) -> Self {
        Self { shape: Shape::new(spline), scratch: Scratch::new(spline.bins) }
    }

    /// `z -> (x, log dx/dz)` for up to [`BLOCK`] elements.
    #[inline(always)]
    pub(crate) fn run(&mut self, z: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        let params = (params, Layout::by_param());
        block::inverse(&self.shape, &mut self.scratch, z, params, value, log_slope);
    }
}

dispatched! {
    fn forward<T: Real>(
        spline: &RationalQuadratic,
        x: &[T],
        params: &[T],
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        let shape = Shape::new(spline);
        let mut scratch = Scratch::new(spline.bins);
        let layout = Layout::by_element(spline.params_per_dim());
        let out = value.chunks_mut(BLOCK).zip(log_slope.chunks_mut(BLOCK));
        let at = x.chunks(BLOCK).zip(params.chunks(BLOCK * spline.params_per_dim()));
        for ((x, params), (value, log_slope)) in at.zip(out) {
            block::forward(&shape, &mut scratch, x, (params, layout), value, log_slope);
        }
    }
}

dispatched! {
    fn inverse<T: Real>(
        spline: &RationalQuadratic,
        z: &[T],
        params: &[T],
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        let shape = Shape::new(spline);
        let mut scratch = Scratch::new(spline.bins);
        let layout = Layout::by_element(spline.params_per_dim());
        let out = value.chunks_mut(BLOCK).zip(log_slope.chunks_mut(BLOCK));
        let at = z.chunks(BLOCK).zip(params.chunks(BLOCK * spline.params_per_dim()));
        for ((z, params), (value, log_slope)) in at.zip(out) {
            block::inverse(&shape, &mut scratch, z, (params, layout), value, log_slope);
        }
    }
}

dispatched! {
    fn backward<T: Real>(
        spline: &RationalQuadratic,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
        of_inverse: bool,
    ) {
        let shape = Shape::new(spline);
        let mut scratch = Scratch::new(spline.bins);
        let width = spline.params_per_dim();
        let from = from.value.chunks(BLOCK).zip(from.log_slope.chunks(BLOCK));
        let to = to.input.chunks_mut(BLOCK).zip(to.params.chunks_mut(BLOCK * width));
        let at = x.chunks(BLOCK).zip(params.chunks(BLOCK * width));
        for (((x, params), (value, log_slope)), (input, to_params)) in at.zip(from).zip(to) {
            let from = MapGradients { value, log_slope };
            let to = ArgumentGradients { input, params: to_params };
            block::backward(&shape, &mut scratch, x, params, from, to, of_inverse);
        }
    }
}

#[cfg(test)]
mod tests;
