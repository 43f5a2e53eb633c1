//! A block of elements at a time, the same parameter of neighbouring elements side by side.
//!
//! Every step is a loop over the `L` lanes of fixed-size arrays, which the compiler turns into a few
//! vector operations; only the loops over the bins remain. `L` is chosen by the instruction set. Two things
//! keep such a loop in vectors: rows are copied before it, so that nothing it writes may be what it reads, and
//! choices between two numbers in memory are [`pick`]ed, since `if` may become a choice of an address.

use super::RationalQuadratic;
use super::segment::Segment;
use crate::Real;
use crate::monotone::MapGradients;
use crate::monotone::columns::{BlockParams as Params, lanes, lanes_mut};
use crate::monotone::slope::{RAW_SLOPE_MAX, SLOPE_SHIFT};
use std::array::from_fn;
use std::hint::select_unpredictable as pick;

/// The spline's constants in the kernel's type.
#[derive(Clone, Debug)]
pub(super) struct Shape<T> {
    bins: usize,
    bound: T,
    /// `2 bound (1 - K min_size)`: width of a bin is `2 bound min_size + scale * share`.
    scale: T,
    scale_inverse: T,
    min_slope: T,
    slope_scale: T,
    /// Where the inner knots would lie if all shares were 0: `2 bound min_size (k + 1) - bound`.
    floors: Vec<T>,
}

/// Knots that the search walks over in one go.
const STEPS: usize = 8;

/// Rows of exponentials that a spline of so many bins needs, for widths and heights together.
pub(super) fn rows(bins: usize) -> usize {
    2 * (1 + (bins - 1).next_multiple_of(STEPS))
}

impl<T: Real> Shape<T> {
    pub(super) fn new(spline: &RationalQuadratic) -> Self {
        let share = 1.0 - spline.bins as f64 * spline.min_size;
        let floor = |k| 2.0 * spline.bound * spline.min_size * k as f64 - spline.bound;
        Self {
            bins: spline.bins,
            bound: T::from_f64(spline.bound),
            scale: T::from_f64(2.0 * spline.bound * share),
            scale_inverse: T::from_f64((2.0 * spline.bound * share).recip()),
            min_slope: T::from_f64(spline.min_slope),
            slope_scale: T::from_f64(1.0 - spline.min_slope),
            floors: (1..=rows(spline.bins) / 2)
                .map(|k| if k < spline.bins { T::from_f64(floor(k)) } else { T::INFINITY })
                .collect(),
        }
    }

    /// The slopes that two raw slopes stand for.
    #[inline(always)]
    fn slopes(&self, raw: [T; 2]) -> [T; 2] {
        let shifted = raw.map(|raw| {
            let held = raw.held(-T::from_f64(RAW_SLOPE_MAX), T::from_f64(RAW_SLOPE_MAX));
            held + T::from_f64(SLOPE_SHIFT)
        });
        let e = shifted.map(|u| (-u.abs()).exp_nonpositive());
        let sums = e.map(|e| T::from_f64(2.0) + e);
        // One division for both.
        let inverse = T::ONE / (sums[0] * sums[1]);
        let tails = [e[0] * (sums[1] * inverse), e[1] * (sums[0] * inverse)].map(T::ln_1p_from);
        from_fn(|i| {
            // `< 0` and not `> 0`, so that NaN goes through.
            let positive = if shifted[i] < T::ZERO { T::ZERO } else { shifted[i] };
            (positive + tails[i]).fma(self.slope_scale, self.min_slope)
        })
    }

    /// Derivative of a slope by its raw slope.
    #[inline(always)]
    fn slope_slope(&self, raw: T) -> T {
        let shifted = raw + T::from_f64(SLOPE_SHIFT);
        let e = (-shifted.abs()).exp_nonpositive();
        let sigmoid = (if shifted < T::ZERO { e } else { T::ONE }) / (T::ONE + e);
        if raw.abs() > T::from_f64(RAW_SLOPE_MAX) { T::ZERO } else { sigmoid * self.slope_scale }
    }

    #[inline(always)]
    fn inside(&self, v: T) -> bool {
        v > -self.bound && v < self.bound
    }
}

/// Exponentials of a block's raw sizes: the numerators of the two softmaxes.
struct Sizes<'a, T, const L: usize> {
    /// Those of the widths, then those of the heights, relative to the largest; each half of [`rows`].
    exps: &'a mut [T],
    /// `scale` over the sum of the exponentials: what makes sizes of them.
    width_ratio: [T; L],
    height_ratio: [T; L],
}

impl<'a, T: Real, const L: usize> Sizes<'a, T, L> {
    #[inline(always)]
    fn new(shape: &Shape<T>, params: Params<'_, T>, exps: &'a mut [T]) -> Self {
        let (widths, heights) = exps.split_at_mut(exps.len() / 2);
        let width_sum: [T; L] = exponentials(params, 0, &mut widths[..shape.bins * L]);
        let height_sum: [T; L] = exponentials(params, shape.bins, &mut heights[..shape.bins * L]);
        let (mut width_ratio, mut height_ratio) = ([T::ZERO; L], [T::ZERO; L]);
        for l in 0..L {
            // One division for both. The sums are between 1 and K, or NaN, which gets into both.
            let both = shape.scale / (width_sum[l] * height_sum[l]);
            width_ratio[l] = both * height_sum[l];
            height_ratio[l] = both * width_sum[l];
        }
        Self { exps, width_ratio, height_ratio }
    }
}

/// Exponentials of the rows that start at `first`, relative to their maximum, and their sum.
#[inline(always)]
fn exponentials<T: Real, const L: usize>(
    params: Params<'_, T>,
    first: usize,
    exps: &mut [T],
) -> [T; L] {
    let (exps, _) = exps.as_chunks_mut::<L>();
    let mut top = [-T::INFINITY; L];
    for start in (0..exps.len()).step_by(STEPS) {
        // A row may be taken twice: that changes no maximum.
        let row = |i: usize| *params.row::<L>(first + (start + i).min(exps.len() - 1));
        let rows: [[T; L]; STEPS] = from_fn(row);
        for l in 0..L {
            for row in &rows {
                top[l] = pick(row[l] > top[l], row[l], top[l]);
            }
        }
    }
    let mut sum = [T::ZERO; L];
    for (k, exps) in exps.iter_mut().enumerate() {
        let mut row = *params.row::<L>(first + k);
        for l in 0..L {
            row[l] = (row[l] - top[l]).exp_nonpositive();
            sum[l] += row[l];
        }
        *exps = row;
    }
    sum
}

/// What the search finds for each lane: the bin's knots and the raw slopes there (anything at the
/// outermost knots), and for the backward pass the bin's number, the sum of the exponentials before it and
/// its own, on both axes.
struct Found<T, const L: usize> {
    x0: [T; L],
    x1: [T; L],
    z0: [T; L],
    z1: [T; L],
    raw0: [T; L],
    raw1: [T; L],
    bin: [T; L],
    width_before: [T; L],
    width: [T; L],
    height_before: [T; L],
    height: [T; L],
    /// Sums of the exponentials up to where the search is.
    width_sum: [T; L],
    height_sum: [T; L],
}

/// The bins and knots that the search takes in one go.
struct Stretch<T, const L: usize> {
    /// Numbers of the bins.
    bins: [T; STEPS],
    widths: [[T; L]; STEPS],
    heights: [[T; L]; STEPS],
    /// Floors and raw slopes of the knots before and after each of them.
    floors: [T; STEPS + 1],
    slopes: [[T; L]; STEPS + 1],
}

impl<T: Real, const L: usize> Stretch<T, L> {
    #[inline(always)]
    fn new(shape: &Shape<T>, params: Params<'_, T>, sizes: &Sizes<'_, T, L>, start: usize) -> Self {
        let (widths, heights) = sizes.exps.split_at(sizes.exps.len() / 2);
        // Beyond the last inner knot any slope will do.
        let slope = |i: usize| 2 * shape.bins + (start - 1 + i).min(shape.bins - 2);
        Self {
            bins: from_fn(|i| T::from_f64((start + i) as f64)),
            widths: *lanes(&widths.as_chunks().0[start..]),
            heights: *lanes(&heights.as_chunks().0[start..]),
            floors: *lanes(&shape.floors[start - 1..]),
            slopes: from_fn(|i| *params.row(slope(i))),
        }
    }
}

impl<T: Real, const L: usize> Found<T, L> {
    /// The bin that holds each input, by its place on the first axis or, `BY_HEIGHT`, on the second.
    #[inline(always)]
    fn new<const BY_HEIGHT: bool, const BACKWARD: bool>(
        shape: &Shape<T>,
        params: Params<'_, T>,
        sizes: &Sizes<'_, T, L>,
        input: &[T; L],
    ) -> Self {
        let (widths, heights) = sizes.exps.split_at(sizes.exps.len() / 2);
        let (width, height) = (*lanes(widths), *lanes(heights));
        let (low, zero) = ([-shape.bound; L], [T::ZERO; L]);
        let mut found = Self {
            x0: low,
            x1: zero,
            z0: low,
            z1: zero,
            raw0: zero,
            raw1: if shape.bins > 1 { *params.row(2 * shape.bins) } else { zero },
            bin: zero,
            width_before: zero,
            width,
            height_before: zero,
            height,
            width_sum: width,
            height_sum: height,
        };
        for l in 0..L {
            found.x1[l] = width[l].fma(sizes.width_ratio[l], shape.floors[0]);
            found.z1[l] = height[l].fma(sizes.height_ratio[l], shape.floors[0]);
        }
        for start in (1..shape.bins).step_by(STEPS) {
            let stretch = Stretch::new(shape, params, sizes, start);
            for l in 0..L {
                let ratios = (sizes.width_ratio[l], sizes.height_ratio[l]);
                found.walk::<BY_HEIGHT, BACKWARD>(l, input[l], ratios, &stretch);
            }
        }
        found
    }

    /// Walks over a stretch of knots and takes what is around the last one at or below the input.
    #[inline(always)]
    fn walk<const BY_HEIGHT: bool, const BACKWARD: bool>(
        &mut self,
        l: usize,
        input: T,
        (width_ratio, height_ratio): (T, T),
        stretch: &Stretch<T, L>,
    ) {
        let (mut width_sum, mut height_sum) = (self.width_sum[l], self.height_sum[l]);
        let (mut x0, mut x1, mut z0, mut z1) = (self.x0[l], self.x1[l], self.z0[l], self.z1[l]);
        let (mut raw0, mut raw1) = (self.raw0[l], self.raw1[l]);
        let mut x = width_sum.fma(width_ratio, stretch.floors[0]);
        let mut z = height_sum.fma(height_ratio, stretch.floors[0]);
        for i in 0..STEPS {
            let (width, height) = (stretch.widths[i][l], stretch.heights[i][l]);
            let reached = input >= if BY_HEIGHT { z } else { x };
            if BACKWARD {
                self.bin[l] = pick(reached, stretch.bins[i], self.bin[l]);
                self.width_before[l] = pick(reached, width_sum, self.width_before[l]);
                self.width[l] = pick(reached, width, self.width[l]);
                self.height_before[l] = pick(reached, height_sum, self.height_before[l]);
                self.height[l] = pick(reached, height, self.height[l]);
            }
            (x0, z0) = (pick(reached, x, x0), pick(reached, z, z0));
            width_sum += width;
            height_sum += height;
            x = width_sum.fma(width_ratio, stretch.floors[i + 1]);
            z = height_sum.fma(height_ratio, stretch.floors[i + 1]);
            (x1, z1) = (pick(reached, x, x1), pick(reached, z, z1));
            raw0 = pick(reached, stretch.slopes[i][l], raw0);
            raw1 = pick(reached, stretch.slopes[i + 1][l], raw1);
        }
        (self.x0[l], self.x1[l], self.z0[l], self.z1[l]) = (x0, x1, z0, z1);
        (self.raw0[l], self.raw1[l]) = (raw0, raw1);
        (self.width_sum[l], self.height_sum[l]) = (width_sum, height_sum);
    }

    /// Slopes at the knots around each element; anything at the outermost knots.
    #[inline(always)]
    fn slopes(&self, shape: &Shape<T>) -> [[T; L]; 2] {
        let mut slopes = [[T::ZERO; L]; 2];
        for l in 0..L {
            [slopes[0][l], slopes[1][l]] = shape.slopes([self.raw0[l], self.raw1[l]]);
        }
        slopes
    }

    /// The spline's piece of one lane.
    #[inline(always)]
    fn segment(&self, shape: &Shape<T>, ratio: T, slopes: &[[T; L]; 2], l: usize) -> Segment<T> {
        // A NaN among the sizes makes all inner knots NaN, but not the pinned ends: carry it to the result.
        let taint = ratio * T::ZERO;
        let [d0, d1] = [slopes[0][l], slopes[1][l]];
        // The last bin's right end is infinite so far. (A NaN stays.)
        let (x1, z1) = (self.x1[l], self.z1[l]);
        Segment {
            x0: self.x0[l],
            x1: if x1 > shape.bound { shape.bound } else { x1 },
            z0: self.z0[l],
            z1: if z1 > shape.bound { shape.bound } else { z1 },
            d0: (if self.x0[l] <= -shape.bound { T::ONE } else { d0 }) + taint,
            d1: if x1 >= shape.bound { T::ONE } else { d1 },
        }
    }
}

/// The spline's value and log-slope inside the box; outside, the input and 0; NaN for NaN.
#[inline(always)]
fn choose<T: Real>(shape: &Shape<T>, input: T, inner: (T, T)) -> (T, T) {
    let inside = shape.inside(input);
    let outer = if input.is_nan() { input } else { T::ZERO };
    (if inside { inner.0 } else { input }, if inside { inner.1 } else { outer })
}

/// The inputs held inside the box.
#[inline(always)]
fn held<T: Real, const L: usize>(shape: &Shape<T>, input: &[T; L]) -> [T; L] {
    let mut held = [T::ZERO; L];
    for l in 0..L {
        held[l] = input[l].held(-shape.bound, shape.bound);
    }
    held
}

/// The map, or `INVERSE`, its inverse. `exps` is working memory, [`rows`]` * L` numbers.
#[inline(always)]
pub(super) fn map<T: Real, const L: usize, const INVERSE: bool>(
    shape: &Shape<T>,
    exps: &mut [T],
    input: &[T; L],
    params: Params<'_, T>,
    value: &mut [T; L],
    log_slope: &mut [T; L],
) {
    let sizes = Sizes::new(shape, params, exps);
    let held = held(shape, input);
    let found = Found::new::<INVERSE, false>(shape, params, &sizes, &held);
    let slopes = found.slopes(shape);
    for l in 0..L {
        let segment = found.segment(shape, sizes.width_ratio[l], &slopes, l);
        let inner = if INVERSE { segment.inverse(held[l]) } else { segment.forward(held[l]) };
        (value[l], log_slope[l]) = choose(shape, input[l], inner);
    }
}

/// Backward pass of the map at `x`, or `INVERSE`, of its inverse, given that one's output `x`. Writes the
/// parameters' gradients where [`Params`] would read them.
#[inline(always)]
pub(super) fn backward<T: Real, const L: usize, const INVERSE: bool>(
    shape: &Shape<T>,
    exps: &mut [T],
    x: &[T; L],
    params: Params<'_, T>,
    from: MapGradients<'_, T>,
    to_input: &mut [T; L],
    to_params: &mut [T],
) {
    let sizes = Sizes::new(shape, params, exps);
    let held = held(shape, x);
    let found = Found::new::<false, true>(shape, params, &sizes, &held);
    let slopes = found.slopes(shape);
    let (gv, gl) = (lanes::<T, L>(from.value), lanes::<T, L>(from.log_slope));
    let zero = [T::ZERO; L];
    let axis = || AxisGradients { below: zero, own: zero, above: zero };
    let (mut by_widths, mut by_heights) = (axis(), axis());
    let (mut by_d0, mut by_d1) = (zero, zero);
    for l in 0..L {
        let segment = found.segment(shape, sizes.width_ratio[l], &slopes, l);
        let all = segment.backward(held[l], gv[l], gl[l], INVERSE);
        // A choice, not a product with 0: what was computed for an element outside may be NaN.
        let inside = shape.inside(x[l]);
        let keep = |v: T| if inside { v } else { T::ZERO };
        to_input[l] = if inside { all.x } else { gv[l] };
        let (sums, ratio) = ((found.width_before[l], found.width[l]), sizes.width_ratio[l]);
        by_widths.set(l, keep(all.x0), keep(all.width), sums, ratio, ratio * shape.scale_inverse);
        let (sums, ratio) = ((found.height_before[l], found.height[l]), sizes.height_ratio[l]);
        by_heights.set(l, keep(all.z0), keep(all.height), sums, ratio, ratio * shape.scale_inverse);
        by_d0[l] = keep(all.d0 * shape.slope_slope(found.raw0[l]));
        by_d1[l] = keep(all.d1 * shape.slope_slope(found.raw1[l]));
    }
    let stride = params.stride;
    let (widths, heights) = sizes.exps.split_at(sizes.exps.len() / 2);
    let (widths, heights) = (widths.as_chunks::<L>().0, heights.as_chunks::<L>().0);
    for k in 0..shape.bins {
        let number = T::from_f64(k as f64);
        let (width, height) = (&widths[k], &heights[k]);
        let to_width = lanes_mut::<T, L>(&mut to_params[k * stride..]);
        for l in 0..L {
            to_width[l] = width[l] * by_widths.at(l, found.bin[l], number);
        }
        let to_height = lanes_mut::<T, L>(&mut to_params[(shape.bins + k) * stride..]);
        for l in 0..L {
            to_height[l] = height[l] * by_heights.at(l, found.bin[l], number);
        }
        if k + 1 < shape.bins {
            // Knot k is on the right of bin k and on the left of the next.
            let next = T::from_f64((k + 1) as f64);
            let to_slope = lanes_mut::<T, L>(&mut to_params[(2 * shape.bins + k) * stride..]);
            for l in 0..L {
                let right = pick(found.bin[l] == number, by_d1[l], T::ZERO);
                to_slope[l] = pick(found.bin[l] == next, by_d0[l], right);
            }
        }
    }
}

/// Gradients of one axis' logits, over the exponentials: one for all bins below the element's own, one for
/// that, one for all above.
struct AxisGradients<T, const L: usize> {
    below: [T; L],
    own: [T; L],
    above: [T; L],
}

impl<T: Real, const L: usize> AxisGradients<T, L> {
    /// The left end of the element's bin is the sum of the sizes below it, so those get `by_left`, the bin's
    /// own gets `by_size`. From each, the softmax takes their mean under the shares.
    #[inline(always)]
    fn set(&mut self, l: usize, by_left: T, by_size: T, sums: (T, T), ratio: T, share: T) {
        let mean = sums.0.fma(by_left, sums.1 * by_size) * share;
        self.below[l] = ratio * (by_left - mean);
        self.own[l] = ratio * (by_size - mean);
        self.above[l] = -(ratio * mean);
    }

    #[inline(always)]
    fn at(&self, l: usize, bin: T, number: T) -> T {
        pick(bin == number, self.own[l], pick(bin > number, self.below[l], self.above[l]))
    }
}
