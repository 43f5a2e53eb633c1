//! One piece of the spline, between two knots: eq. 4 to 8 of the paper and their derivatives.

use crate::Real;

/// The knots around an element and the slopes there.
#[derive(Clone, Copy)]
pub(super) struct Segment<T> {
    pub(super) x0: T,
    pub(super) x1: T,
    pub(super) z0: T,
    pub(super) z1: T,
    /// Slope at the left knot.
    pub(super) d0: T,
    /// Slope at the right knot.
    pub(super) d1: T,
}

/// Gradients by the fields of a [`Segment`], widths and heights instead of right knots.
#[derive(Clone, Copy, Default)]
pub(super) struct SegmentGradients<T> {
    pub(super) x: T,
    pub(super) x0: T,
    pub(super) width: T,
    pub(super) z0: T,
    pub(super) height: T,
    pub(super) d0: T,
    pub(super) d1: T,
}

/// Value within the bin (0 to 1), and the numbers that slope and gradients are made of.
struct Parts<T> {
    /// `t (1 - t)`.
    product: T,
    /// One over the denominator of eq. 4, `below = s + q t (1 - t)`.
    below_inverse: T,
    /// Ratio of eq. 4, the height within the bin from 0 to 1.
    ratio: T,
    /// `d1 t^2 + 2 s t (1 - t) + d0 (1 - t)^2` of eq. 5.
    above: T,
}

impl<T: Real> Segment<T> {
    #[inline(always)]
    fn parts(&self, t: T, s: T) -> Parts<T> {
        let rest = T::ONE - t;
        let product = t * rest;
        let below = (self.d1 + self.d0 - (s + s)).fma(product, s);
        let below_inverse = T::ONE / below;
        let ratio = (s * t).fma(t, self.d0 * product) * below_inverse;
        let above = (self.d1 * t).fma(t, (s + s).fma(product, self.d0 * rest * rest));
        Parts { product, below_inverse, ratio, above }
    }

    /// Eq. 5 and its logarithm, which is the forward map's log-slope.
    #[inline(always)]
    fn slope(parts: &Parts<T>, s: T) -> T {
        let r = s * parts.below_inverse;
        r * parts.above * r
    }

    /// `x -> (z, log dz/dx)`, for `x` between the knots.
    #[inline(always)]
    pub(super) fn forward(&self, x: T) -> (T, T) {
        let width_inverse = T::ONE / (self.x1 - self.x0);
        let height = self.z1 - self.z0;
        let s = height * width_inverse;
        let parts = self.parts((x - self.x0) * width_inverse, s);
        let z = parts.ratio.fma(height, self.z0).held(self.z0, self.z1);
        (z, Self::slope(&parts, s).ln_normal())
    }

    /// `z -> (x, log dx/dz)`, for `z` between the knots.
    ///
    /// With `y = (z - z0) / h` the place `t` solves `a t^2 + b t - s y = 0` where
    /// `a = s - d0 + q y`, `b = d0 - q y`, `q = d0 + d1 - 2 s`. The discriminant is
    /// `b^2 + 4 a s y = (below dy/dt)^2 >= 0`, so only rounding can make it negative: it is floored at
    /// zero. For `b >= 0` the root is `2 s y / (b + sqrt)`; for `b < 0`, where `a > s > 0`, that form
    /// cancels and `(sqrt - b) / 2a` does not.
    #[inline(always)]
    pub(super) fn inverse(&self, z: T) -> (T, T) {
        let width = self.x1 - self.x0;
        let height = self.z1 - self.z0;
        let s = height / width;
        let y = (z - self.z0) / height;
        let qy = (self.d0 + self.d1 - (s + s)) * y;
        let a = (s - self.d0) + qy;
        let b = self.d0 - qy;
        let sy = s * y;
        let four = T::from_f64(4.0);
        let discriminant = b.fma(b, four * a * sy);
        let floored = if discriminant < T::ZERO { T::ZERO } else { discriminant };
        let root = floored.sqrt();
        let positive = b >= T::ZERO;
        let above = if positive { sy + sy } else { root - b };
        let below = if positive { b + root } else { a + a };
        // 0/0 only where y = 0 and b = 0: the left knot.
        let tiny = T::from_f64(1e-30);
        let first = (above / below.upper(tiny)).held(T::ZERO, T::ONE);
        // One Newton step: the discriminant cancels where the slope is small against d0.
        let parts = self.parts(first, s);
        let dy_dt = Self::slope(&parts, s) / s;
        let step = (parts.ratio - y) / dy_dt;
        let moved = (first - step).held(T::ZERO, T::ONE);
        let parts = self.parts(moved, s);
        let x = moved.fma(width, self.x0).held(self.x0, self.x1);
        (x, -Self::slope(&parts, s).ln_normal())
    }

    /// Gradients of a loss whose gradients by the forward map's value and log-slope at `x` are `gv` and
    /// `gl`, or by the inverse map's at its output `x`.
    #[inline(always)]
    pub(super) fn backward(&self, x: T, gv: T, gl: T, of_inverse: bool) -> SegmentGradients<T> {
        let two = T::from_f64(2.0);
        let width_inverse = T::ONE / (self.x1 - self.x0);
        let height = self.z1 - self.z0;
        let s = height * width_inverse;
        let t = (x - self.x0) * width_inverse;
        let parts = self.parts(t, s);
        let rest = T::ONE - t;
        let turn = rest - t;
        let (d0, d1) = (self.d0, self.d1);
        let above_inverse = T::ONE / parts.above;
        let slope = Self::slope(&parts, s);
        // d log_slope / dt, from ln slope = 2 ln s + ln above - 2 ln below.
        let above_t = two * (s.fma(turn, d1 * t) - d0 * rest);
        let below_t = (d0 + d1 - two * s) * turn;
        let log_t = above_t * above_inverse - two * below_t * parts.below_inverse;

        // The inverse map: with z = f(x, p) and L = log f', dx = (dz - f_p dp) / f' and the log-slope is
        // -L, so its gradients are those of the forward map at x under other incoming gradients.
        let toward_x = gv - gl * (log_t * width_inverse);
        let toward_z = toward_x / slope;
        let (gv, gl) = if of_inverse { (-toward_z, -gl) } else { (gv, gl) };

        let by_ratio = gv * height * parts.below_inverse;
        let by_above = gl * above_inverse;
        let by_below = two * gl * parts.below_inverse;
        let product = parts.product;
        let ratio_product = parts.ratio * product;
        let g_s = by_ratio * (t * t - parts.ratio * (T::ONE - two * product))
            + two * gl / s
            + by_above * two * product
            - by_below * (T::ONE - two * product);
        let g_d0 =
            by_ratio * (product - ratio_product) + by_above * rest * rest - by_below * product;
        let g_d1 = by_above * t * t - by_ratio * ratio_product - by_below * product;
        // By t, already divided by the width.
        let g_x = gv * slope + gl * log_t * width_inverse;
        SegmentGradients {
            x: if of_inverse { toward_z } else { g_x },
            x0: -g_x,
            width: -(g_x * t + g_s * s * width_inverse),
            z0: gv,
            height: gv * parts.ratio + g_s * width_inverse,
            d0: g_d0,
            d1: g_d1,
        }
    }
}
