//! The map written with tensor primitives.

use burn::tensor::{Int, Tensor};

use super::PolynomialSpline;
use crate::monotone::slope::SLOPE_SHIFT;
use crate::ops::{AnyMap, softplus};

/// Widths, and slopes at the left end, within and at the right end of each bin; all `[n, d, K]`.
struct Bins {
    widths: Tensor<3>,
    slopes: [Tensor<3>; 3],
}

impl PolynomialSpline {
    /// The bins before slopes are scaled; pinned ends have the slopes `pinned`, `[n, d, 1]`.
    fn bins(&self, widths: &Tensor<3>, slopes: &Tensor<3>, pinned: &Tensor<3>) -> Bins {
        let (knots, k) = (self.knots(), self.bins);
        let middle = || slopes.clone().narrow(2, knots, k);
        let widths = widths.clone();
        if knots == 0 {
            return Bins { widths, slopes: [middle(), middle(), middle()] };
        }
        let inner = slopes.clone().narrow(2, 0, knots);
        let left = Tensor::cat(vec![pinned.clone(), inner.clone()], 2);
        let right = Tensor::cat(vec![inner, pinned.clone()], 2);
        let middle = match self.middles() {
            0 => (left.clone() + right.clone()).mul_scalar(0.5),
            _ => middle(),
        };
        Bins { widths, slopes: [left, middle, right] }
    }

    /// Widths and scaled slopes.
    fn scaled(&self, params: Tensor<3>) -> Bins {
        let k = self.bins;
        let raw = params.clone().narrow(2, 0, k);
        let e = (raw.clone() - raw.detach().max_dim(2)).exp();
        let share = e.clone() / e.sum_dim(2);
        let free = 1.0 - self.min_size * k as f64;
        let length = 2.0 * self.bound;
        let widths = share.mul_scalar(free).add_scalar(self.min_size).mul_scalar(length);
        let slopes = params.narrow(2, k, self.knots() + self.middles());
        let slopes = softplus(slopes.add_scalar(SLOPE_SHIFT))
            .mul_scalar(1.0 - self.min_slope)
            .add_scalar(self.min_slope);
        let one = widths.clone().narrow(2, 0, 1).ones_like();
        let reach = |slopes: &Tensor<3>, pinned: Tensor<3>| {
            self.bins(&widths, slopes, &pinned).rise().sum_dim(2)
        };
        let by_ends = reach(&slopes.zeros_like(), one.clone());
        let scale = (by_ends.neg().add_scalar(length)) / reach(&slopes, one.zeros_like());
        self.bins(&widths, &(slopes * scale), &one)
    }
}

impl Bins {
    /// What each bin adds to `z`.
    fn rise(&self) -> Tensor<3> {
        let [left, middle, right] = self.slopes.clone();
        self.widths.clone() * (left + middle + right).div_scalar(3.0)
    }
}

impl AnyMap for PolynomialSpline {
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
        let ([n, d], k) = (x.dims(), self.bins);
        let params: Tensor<3> = params.reshape([n, d, self.bins + self.knots() + self.middles()]);
        let bins = self.scaled(params);
        // Left ends: sums of what comes before.
        let before = |sizes: Tensor<3>| {
            let zero = sizes.clone().narrow(2, 0, 1).zeros_like();
            let sums = sizes.narrow(2, 0, k - 1).cumsum(2);
            Tensor::cat(vec![zero, sums], 2).sub_scalar(self.bound)
        };
        let (xs, zs) = (before(bins.widths.clone()), before(bins.rise()));
        let held = x.clone().clamp(-self.bound, self.bound);
        let at = held.clone().detach().reshape([n, d, 1]).expand([n, d, k - 1]);
        let passed = at.greater_equal(xs.clone().detach().narrow(2, 1, k - 1));
        let index: Tensor<3, Int> = passed.int().sum_dim(2);
        let pick = |t: Tensor<3>| t.gather(2, index.clone()).reshape([n, d]);
        let (x0, z0, width) = (pick(xs), pick(zs), pick(bins.widths));
        let [left, middle, right] = bins.slopes.map(pick);
        let t = ((held.clone() - x0) / width.clone()).clamp(0.0, 1.0);
        let rest = t.clone().neg().add_scalar(1.0);
        let steep = left.clone() * rest.clone().square()
            + middle.clone().mul_scalar(2.0) * t.clone() * rest
            + right.clone() * t.clone().square();
        let (square, cube) = (t.clone().square(), t.clone().powi_scalar(3).div_scalar(3.0));
        let rise = left * (t - square.clone() + cube.clone())
            + middle * (square - cube.clone().mul_scalar(2.0))
            + right * cube;
        let inside = z0 + width * rise;
        let beyond = x - held.clone();
        let outside = beyond.clone().detach().equal_elem(0.0).bool_not();
        let value = inside.mask_where(outside, held + steep.clone() * beyond);
        [value, steep.log()]
    }
}
