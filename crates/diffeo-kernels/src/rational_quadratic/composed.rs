//! The spline written with tensor primitives.

use burn::tensor::{Bool, Int, Tensor};

use super::RationalQuadratic;
use crate::monotone::slope::SLOPE_SHIFT;
use crate::ops::{AnyMap, softplus};

impl AnyMap for RationalQuadratic {
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
        forward(self, x, params)
    }

    fn composed_inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Option<[Tensor<2>; 2]> {
        Some(inverse(self, z, params))
    }
}

/// What a spline needs of the bin that each element falls into; all `[n, d]`.
struct Bin {
    x: Tensor<2>,
    z: Tensor<2>,
    width: Tensor<2>,
    height: Tensor<2>,
    slope: Tensor<2>,
    next_slope: Tensor<2>,
}

/// Knots along one axis, `[n, d, K + 1]`: cumulative sizes from `-B`, both ends pinned exactly to `-B` and `B`.
fn knots(map: &RationalQuadratic, raw: Tensor<3>) -> Tensor<3> {
    let [n, d, k] = raw.dims();
    let raw = raw.clone() - raw.detach().max_dim(2);
    let e = raw.exp();
    let share = e.clone() / e.sum_dim(2);
    let free = 1.0 - map.min_size * k as f64;
    let sizes = share.mul_scalar(free).add_scalar(map.min_size).mul_scalar(2.0 * map.bound);
    let inner = sizes.cumsum(2).narrow(2, 0, k - 1).sub_scalar(map.bound);
    let (device, dtype) = (inner.device(), inner.dtype());
    let end = |at: f64| Tensor::<3>::full([n, d, 1], at, (&device, dtype));
    Tensor::cat(vec![end(-map.bound), inner, end(map.bound)], 2)
}

fn locate(map: &RationalQuadratic, at: &Tensor<2>, params: Tensor<2>, by_height: bool) -> Bin {
    let [n, d] = at.dims();
    let k = map.bins;
    let params: Tensor<3> = params.reshape([n, d, 3 * k - 1]);
    let xs = knots(map, params.clone().narrow(2, 0, k));
    let zs = knots(map, params.clone().narrow(2, k, k));
    let raw = params.narrow(2, 2 * k, k - 1);
    let inner = softplus(raw.add_scalar(SLOPE_SHIFT))
        .mul_scalar(1.0 - map.min_slope)
        .add_scalar(map.min_slope);
    let ones = Tensor::<3>::ones([n, d, 1], (&inner.device(), inner.dtype()));
    let slopes = Tensor::cat(vec![ones.clone(), inner, ones], 2);
    let search = if by_height { zs.clone() } else { xs.clone() }.detach().narrow(2, 1, k - 1);
    let index: Tensor<3, Int> = at
        .clone()
        .detach()
        .reshape([n, d, 1])
        .expand([n, d, k - 1])
        .greater_equal(search)
        .int()
        .sum_dim(2);
    let pick = |t: &Tensor<3>, i: &Tensor<3, Int>| t.clone().gather(2, i.clone()).reshape([n, d]);
    let next = index.clone().add_scalar(1);
    let (x, z) = (pick(&xs, &index), pick(&zs, &index));
    Bin {
        width: pick(&xs, &next) - x.clone(),
        height: pick(&zs, &next) - z.clone(),
        slope: pick(&slopes, &index),
        next_slope: pick(&slopes, &next),
        x,
        z,
    }
}

/// Replaces elements outside the box (or not a number) by zero, and says which they were.
fn inside(map: &RationalQuadratic, x: &Tensor<2>) -> (Tensor<2>, Tensor<2, Bool>) {
    // The comparison is false for NaN, so NaN counts as outside; it must be replaced *before* the
    // spline arithmetic, or the unselected branch poisons the gradient.
    let outside = x.clone().abs().lower_equal_elem(map.bound).bool_not();
    (x.clone().mask_fill(outside.clone(), 0.0), outside)
}

/// Rational-quadratic spline, eqs. 4 and 5 of Durkan et al. 2019.
fn forward(map: &RationalQuadratic, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
    let (safe, outside) = inside(map, &x);
    let bin = locate(map, &safe, params, false);
    let t = (safe - bin.x.clone()) / bin.width.clone();
    let (value, log_slope) = evaluate(&bin, t);
    [value.mask_where(outside.clone(), x), log_slope.mask_fill(outside, 0.0)]
}

fn evaluate(bin: &Bin, t: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let chord = bin.height.clone() / bin.width.clone();
    let t_left = t.clone().neg().add_scalar(1.0);
    let both = t.clone() * t_left.clone();
    let bend = bin.slope.clone() + bin.next_slope.clone() - chord.clone().mul_scalar(2.0);
    let denominator = chord.clone() + bend * both.clone();
    let rise = chord.clone() * t.clone().square() + bin.slope.clone() * both.clone();
    let value = bin.z.clone() + bin.height.clone() * rise / denominator.clone();
    let numerator = bin.next_slope.clone() * t.square()
        + chord.clone().mul_scalar(2.0) * both
        + bin.slope.clone() * t_left.square();
    let log_slope =
        chord.log().mul_scalar(2.0) + numerator.log() - denominator.log().mul_scalar(2.0);
    (value, log_slope)
}

/// Inverse spline: the root of a quadratic, eqs. 6 to 8, in the form without cancellation.
fn inverse(map: &RationalQuadratic, z: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
    let (safe, outside) = inside(map, &z);
    let bin = locate(map, &safe, params, true);
    let chord = bin.height.clone() / bin.width.clone();
    let bend = bin.slope.clone() + bin.next_slope.clone() - chord.clone().mul_scalar(2.0);
    let rise = safe - bin.z.clone();
    let a = bin.height.clone() * (chord.clone() - bin.slope.clone()) + rise.clone() * bend.clone();
    let b = bin.height.clone() * bin.slope.clone() - rise.clone() * bend;
    let c = chord.neg() * rise;
    // Rounding can push the discriminant a hair below zero; the floor keeps the root and its gradient finite.
    let discriminant = (b.clone().square() - (a * c.clone()).mul_scalar(4.0)).clamp_min(1e-30);
    let t = c.mul_scalar(2.0) / (b.neg() - discriminant.sqrt());
    let t = t.clamp(0.0, 1.0);
    let (_, log_slope) = evaluate(&bin, t.clone());
    let value = bin.x + t * bin.width;
    [value.mask_where(outside.clone(), z), log_slope.neg().mask_fill(outside, 0.0)]
}
