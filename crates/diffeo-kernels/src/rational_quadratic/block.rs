//! A block of elements at a time, parameters laid out so that neighbouring elements are neighbours.

use super::RationalQuadratic;
use super::segment::Segment;
use crate::Real;
use crate::monotone::{ArgumentGradients, MapGradients};

/// Elements that are worked on together. Small enough for their parameters to stay in the first cache.
pub(crate) const BLOCK: usize = 64;

/// One number for each element of a block.
type Lanes<T> = [T; BLOCK];

/// How parameters lie in their slice.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Distance from an element's parameter to the same parameter of the next element.
    element: usize,
    /// Distance from one parameter of an element to its next.
    param: usize,
}

impl Layout {
    /// Parameters of an element together: `[n, width]`.
    pub(crate) fn by_element(width: usize) -> Self {
        Self { element: width, param: 1 }
    }

    /// The same parameter of all elements together: `[width, BLOCK]`.
    pub(crate) fn by_param() -> Self {
        Self { element: 1, param: BLOCK }
    }
}

/// The spline's constants in the kernel's type.
pub(crate) struct Shape<T> {
    bins: usize,
    bound: T,
    /// `2 bound min_size`.
    least: T,
    /// `2 bound (1 - K min_size)`: width of a bin is `least + scale * share`.
    scale: T,
    min_slope: T,
    slope_scale: T,
}

/// `ln(e - 1)`: softplus of it is one.
const SLOPE_SHIFT: f64 = 0.541_324_854_612_918_1;
/// Beyond this a raw slope is held, so that squares of slopes stay finite in `f32`.
const RAW_SLOPE_MAX: f64 = 1e6;

impl<T: Real> Shape<T> {
    #[inline(always)]
    pub(crate) fn new(spline: &RationalQuadratic) -> Self {
        let share = 1.0 - spline.bins as f64 * spline.min_size;
        Self {
            bins: spline.bins,
            bound: T::from_f64(spline.bound),
            least: T::from_f64(2.0 * spline.bound * spline.min_size),
            scale: T::from_f64(2.0 * spline.bound * share),
            min_slope: T::from_f64(spline.min_slope),
            slope_scale: T::from_f64(1.0 - spline.min_slope),
        }
    }

    #[inline(always)]
    fn slope(&self, raw: T) -> T {
        let held = raw.held(-T::from_f64(RAW_SLOPE_MAX), T::from_f64(RAW_SLOPE_MAX));
        (held + T::from_f64(SLOPE_SHIFT)).softplus().fma(self.slope_scale, self.min_slope)
    }

    /// Derivative of [`Self::slope`].
    #[inline(always)]
    fn slope_slope(&self, raw: T) -> T {
        let slope = (raw + T::from_f64(SLOPE_SHIFT)).sigmoid() * self.slope_scale;
        if raw.abs() > T::from_f64(RAW_SLOPE_MAX) { T::ZERO } else { slope }
    }

    #[inline(always)]
    fn inside(&self, v: T) -> bool {
        v > -self.bound && v < self.bound
    }
}

/// Working memory of one block.
pub(crate) struct Scratch<T> {
    /// `K` widths, then `K` heights, as shares that sum to one.
    shares: Vec<Lanes<T>>,
    /// The inputs as given, and held inside the box.
    given: Lanes<T>,
    input: Lanes<T>,
    bin: Lanes<T>,
    raw0: Lanes<T>,
    raw1: Lanes<T>,
    x0: Lanes<T>,
    x1: Lanes<T>,
    z0: Lanes<T>,
    z1: Lanes<T>,
}

impl<T: Real> Scratch<T> {
    pub(crate) fn new(bins: usize) -> Self {
        let zero = [T::ZERO; BLOCK];
        Self {
            shares: vec![zero; 2 * bins],
            given: zero,
            input: zero,
            bin: zero,
            raw0: zero,
            raw1: zero,
            x0: zero,
            x1: zero,
            z0: zero,
            z1: zero,
        }
    }

    /// Fills everything but the knots: shares, and the inputs held inside the box.
    #[inline(always)]
    fn load(&mut self, shape: &Shape<T>, input: &[T], params: &[T], layout: Layout) {
        if layout.element == 1 {
            for (k, row) in self.shares.iter_mut().enumerate() {
                row[..input.len()].copy_from_slice(&params[k * layout.param..][..input.len()]);
            }
        } else {
            for (l, element) in params.chunks_exact(layout.element).take(BLOCK).enumerate() {
                self.shares.iter_mut().zip(element).for_each(|(row, &p)| row[l] = p);
            }
        }
        let (widths, heights) = self.shares.split_at_mut(shape.bins);
        softmax(widths);
        softmax(heights);
        self.given[..input.len()].copy_from_slice(input);
        for l in 0..BLOCK {
            self.input[l] = self.given[l].held(-shape.bound, shape.bound);
        }
    }

    /// Raw slopes at the two knots of each element's bin; anything at the outermost knots.
    #[inline(always)]
    fn load_slopes(&mut self, shape: &Shape<T>, count: usize, params: &[T], layout: Layout) {
        if shape.bins == 1 {
            return;
        }
        for l in 0..count {
            let bin = self.bin[l].to_index();
            let slopes = &params[l * layout.element + 2 * shape.bins * layout.param..];
            self.raw0[l] = slopes[(bin.max(1) - 1) * layout.param];
            self.raw1[l] = slopes[bin.min(shape.bins - 2) * layout.param];
        }
    }

    /// Bin and knots of each element, by its place among the widths (or heights).
    #[inline(always)]
    fn search(&mut self, shape: &Shape<T>, by_height: bool) {
        let (widths, heights) = self.shares.split_at(shape.bins);
        if by_height {
            find(shape, heights, &self.input, &mut self.bin, &mut self.z0, &mut self.z1);
            pick(shape, widths, &self.bin, &mut self.x0, &mut self.x1);
        } else {
            find(shape, widths, &self.input, &mut self.bin, &mut self.x0, &mut self.x1);
            pick(shape, heights, &self.bin, &mut self.z0, &mut self.z1);
        }
    }

    #[inline(always)]
    fn segment(&self, shape: &Shape<T>, l: usize) -> Segment<T> {
        let last = T::from_f64((shape.bins - 1) as f64);
        // A NaN among the sizes makes all shares NaN, but not the pinned ends: carry it to the result.
        let taint = (self.shares[0][l] + self.shares[shape.bins][l]) * T::ZERO;
        let (d0, d1) = (shape.slope(self.raw0[l]), shape.slope(self.raw1[l]));
        Segment {
            x0: self.x0[l],
            x1: self.x1[l],
            z0: self.z0[l],
            z1: self.z1[l],
            d0: (if self.bin[l] <= T::ZERO { T::ONE } else { d0 }) + taint,
            d1: if self.bin[l] >= last { T::ONE } else { d1 },
        }
    }
}

/// Softmax over the rows, for each lane.
#[inline(always)]
fn softmax<T: Real>(rows: &mut [Lanes<T>]) {
    let mut top = [-T::INFINITY; BLOCK];
    for row in rows.iter() {
        for l in 0..BLOCK {
            top[l] = row[l].upper(top[l]);
        }
    }
    let mut sum = [T::ZERO; BLOCK];
    for row in rows.iter_mut() {
        for l in 0..BLOCK {
            row[l] = (row[l] - top[l]).exp();
            sum[l] += row[l];
        }
    }
    for value in &mut sum {
        *value = T::ONE / *value;
    }
    for row in rows.iter_mut() {
        for l in 0..BLOCK {
            row[l] = row[l] * sum[l];
        }
    }
}

/// Right end of bin `k` that starts at `edge`; the last is pinned to the box.
#[inline(always)]
fn next_edge<T: Real>(shape: &Shape<T>, k: usize, edge: T, share: T) -> T {
    let next = edge + share.fma(shape.scale, shape.least);
    if k + 1 == shape.bins { shape.bound } else { next }
}

/// The bin that holds each input, and its ends: the last edge at or before it and the first after it.
#[inline(always)]
fn find<T: Real>(
    shape: &Shape<T>,
    shares: &[Lanes<T>],
    input: &Lanes<T>,
    bin: &mut Lanes<T>,
    left: &mut Lanes<T>,
    right: &mut Lanes<T>,
) {
    let mut edge = [-shape.bound; BLOCK];
    *bin = [T::ZERO; BLOCK];
    *left = edge;
    *right = [shape.bound; BLOCK];
    for (k, row) in shares.iter().enumerate() {
        for l in 0..BLOCK {
            let next = next_edge(shape, k, edge[l], row[l]);
            // Edges rise, so the first that is beyond the input is the smallest such.
            let beyond = input[l] < next;
            right[l] = right[l].lower(if beyond { next } else { shape.bound });
            left[l] = left[l].upper(if beyond { -shape.bound } else { next });
            bin[l] += if beyond { T::ZERO } else { T::ONE };
            edge[l] = next;
        }
    }
    // An input on the upper bound belongs to the last bin (and is outside the box anyway).
    let last = T::from_f64((shape.bins - 1) as f64);
    for l in 0..BLOCK {
        bin[l] = bin[l].lower(last);
    }
}

/// The ends of each element's bin on the other axis.
#[inline(always)]
fn pick<T: Real>(
    shape: &Shape<T>,
    shares: &[Lanes<T>],
    bin: &Lanes<T>,
    left: &mut Lanes<T>,
    right: &mut Lanes<T>,
) {
    let mut edge = [-shape.bound; BLOCK];
    *left = edge;
    *right = [shape.bound; BLOCK];
    for (k, row) in shares.iter().enumerate() {
        let number = T::from_f64(k as f64);
        for l in 0..BLOCK {
            let next = next_edge(shape, k, edge[l], row[l]);
            let beyond = bin[l] <= number;
            right[l] = right[l].lower(if beyond { next } else { shape.bound });
            left[l] = left[l].upper(if beyond { -shape.bound } else { next });
            edge[l] = next;
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

#[inline(always)]
pub(crate) fn forward<T: Real>(
    shape: &Shape<T>,
    scratch: &mut Scratch<T>,
    x: &[T],
    (params, layout): (&[T], Layout),
    value: &mut [T],
    log_slope: &mut [T],
) {
    scratch.load(shape, x, params, layout);
    scratch.search(shape, false);
    scratch.load_slopes(shape, x.len(), params, layout);
    let mut results = [[T::ZERO; BLOCK]; 2];
    for l in 0..BLOCK {
        let inner = scratch.segment(shape, l).forward(scratch.input[l]);
        (results[0][l], results[1][l]) = choose(shape, scratch.given[l], inner);
    }
    value.copy_from_slice(&results[0][..x.len()]);
    log_slope.copy_from_slice(&results[1][..x.len()]);
}

#[inline(always)]
pub(crate) fn inverse<T: Real>(
    shape: &Shape<T>,
    scratch: &mut Scratch<T>,
    z: &[T],
    (params, layout): (&[T], Layout),
    value: &mut [T],
    log_slope: &mut [T],
) {
    scratch.load(shape, z, params, layout);
    scratch.search(shape, true);
    scratch.load_slopes(shape, z.len(), params, layout);
    let mut results = [[T::ZERO; BLOCK]; 2];
    for l in 0..BLOCK {
        let inner = scratch.segment(shape, l).inverse(scratch.input[l]);
        (results[0][l], results[1][l]) = choose(shape, scratch.given[l], inner);
    }
    value.copy_from_slice(&results[0][..z.len()]);
    log_slope.copy_from_slice(&results[1][..z.len()]);
}

#[inline(always)]
pub(crate) fn backward<T: Real>(
    shape: &Shape<T>,
    scratch: &mut Scratch<T>,
    x: &[T],
    params: &[T],
    from: MapGradients<'_, T>,
    to: ArgumentGradients<'_, T>,
    of_inverse: bool,
) {
    let count = x.len();
    let layout = Layout::by_element(3 * shape.bins - 1);
    scratch.load(shape, x, params, layout);
    scratch.search(shape, false);
    scratch.load_slopes(shape, count, params, layout);
    let zero = [T::ZERO; BLOCK];
    let (mut gv, mut gl) = (zero, zero);
    gv[..count].copy_from_slice(from.value);
    gl[..count].copy_from_slice(from.log_slope);
    let mut grads = Gradients { x0: zero, width: zero, z0: zero, height: zero, d0: zero, d1: zero };
    let mut by_input = zero;
    for l in 0..BLOCK {
        let segment = scratch.segment(shape, l);
        let all = segment.backward(scratch.input[l], gv[l], gl[l], of_inverse);
        // A choice, not a product with 0: what was computed for an element outside may be NaN.
        let inside = shape.inside(scratch.given[l]);
        let keep = |v: T| if inside { v } else { T::ZERO };
        by_input[l] = if inside { all.x } else { gv[l] };
        grads.x0[l] = keep(all.x0);
        grads.width[l] = keep(all.width);
        grads.z0[l] = keep(all.z0);
        grads.height[l] = keep(all.height);
        grads.d0[l] = keep(all.d0 * shape.slope_slope(scratch.raw0[l]));
        grads.d1[l] = keep(all.d1 * shape.slope_slope(scratch.raw1[l]));
    }
    to.input.copy_from_slice(&by_input[..count]);
    let (widths, heights) = scratch.shares.split_at_mut(shape.bins);
    softmax_backward(shape, widths, &scratch.bin, &grads.x0, &grads.width);
    softmax_backward(shape, heights, &scratch.bin, &grads.z0, &grads.height);
    store(shape, scratch, &grads, to.params, count);
}

/// Gradients by the fields of a block's segments.
struct Gradients<T> {
    x0: Lanes<T>,
    width: Lanes<T>,
    z0: Lanes<T>,
    height: Lanes<T>,
    d0: Lanes<T>,
    d1: Lanes<T>,
}

/// Turns shares into the gradients of their logits, in place. The left end of the element's bin is the sum
/// of the sizes before it, so sizes before the bin get `by_left`, the bin's own gets `by_size`.
#[inline(always)]
fn softmax_backward<T: Real>(
    shape: &Shape<T>,
    shares: &mut [Lanes<T>],
    bin: &Lanes<T>,
    by_left: &Lanes<T>,
    by_size: &Lanes<T>,
) {
    let mut mean = [T::ZERO; BLOCK];
    let by = |k: T, l: usize| {
        let before = if bin[l] > k { by_left[l] } else { T::ZERO };
        if bin[l] == k { by_size[l] } else { before }
    };
    for (k, row) in shares.iter().enumerate() {
        let k = T::from_f64(k as f64);
        for l in 0..BLOCK {
            mean[l] = row[l].fma(by(k, l), mean[l]);
        }
    }
    for (k, row) in shares.iter_mut().enumerate() {
        let k = T::from_f64(k as f64);
        for l in 0..BLOCK {
            row[l] = shape.scale * row[l] * (by(k, l) - mean[l]);
        }
    }
}

/// Writes the parameters' gradients, element by element.
#[inline(always)]
fn store<T: Real>(
    shape: &Shape<T>,
    scratch: &Scratch<T>,
    grads: &Gradients<T>,
    to: &mut [T],
    count: usize,
) {
    let bins = shape.bins;
    for (l, to) in to.chunks_exact_mut(3 * bins - 1).take(count).enumerate() {
        let (sizes, slopes) = to.split_at_mut(2 * bins);
        sizes.iter_mut().zip(&scratch.shares).for_each(|(to, row)| *to = row[l]);
        slopes.fill(T::ZERO);
        let bin = scratch.bin[l].to_index();
        if bin > 0 {
            slopes[bin - 1] = grads.d0[l];
        }
        if bin + 1 < bins {
            slopes[bin] = grads.d1[l];
        }
    }
}
