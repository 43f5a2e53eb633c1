//! The loops over the rows of a tile that stand between the products of a network with derivatives.

use crate::Real;
use crate::dispatch::dispatched;
use crate::tiles::TILE_ROWS;

/// An activation whose slope is continuous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Smooth {
    /// Hyperbolic tangent.
    #[default]
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x sigmoid(x) / 1.1`, of slope 0.9999 at most.
    Swish,
    /// `x` above zero, `e^x - 1` below.
    Elu,
}

impl Smooth {
    /// What [`Self::Swish`] divides by: just above the largest slope of `x sigmoid(x)`, which is 1.0998.
    pub const SWISH_SLOPE: f64 = 1.1;
}

/// The largest argument of a softplus: beyond, it is constant, so that no depth of layers overflows.
const SOFTPLUS_END: f64 = 1e8;
/// Beyond, a sigmoid is 0 or 1 in every precision.
const SIGMOID_END: f64 = 1e4;
/// What a slope of zero is taken for where something is divided by it.
const SLOPE_MIN: f64 = 1e-20;

/// The slope of a softplus where it is `h`.
#[inline(always)]
fn softplus_slope<T: Real>(h: T) -> T {
    // Before the choice: inside, it would keep the loop from being vectorised.
    let slope = -(-h).exp_m1();
    if h < T::from_f64(SOFTPLUS_END) { slope } else { T::ZERO }
}

/// Value, slope, and second derivative over slope of a swish. The slope is never zero: what was multiplied by it can be had back.
#[inline(always)]
fn swish<T: Real>(x: T) -> [T; 3] {
    let (one, half) = (T::ONE, T::from_f64(0.5));
    let unit = T::from_f64(Smooth::SWISH_SLOPE.recip());
    let end = T::from_f64(SIGMOID_END);
    let t = x.held(-end, end);
    let share = (t * half).tanh_near().fma(half, half);
    let rest = one - share;
    let slope = t.fma(rest, one) * share * unit;
    let bend = (one - (share + share)).fma(t, one + one) * share * rest * unit;
    let least = T::from_f64(SLOPE_MIN);
    let slope = if slope.abs() < least { least } else { slope };
    [x * share * unit, slope, bend / slope]
}

dispatched! {
    /// Applies an activation to pre-activations, and writes the slopes there and the second derivatives over these.
    pub(super) fn bend<T: Real>(activation: Smooth, values: &mut [T], bends: &mut [T]) {
        let len = values.len();
        let (slopes, quotients) = bends.split_at_mut(len);
        let (slopes, quotients) = (&mut slopes[..len], &mut quotients[..len]);
        // Loops and no closures: one that is too long to be inlined would be compiled for the baseline.
        match activation {
            Smooth::Tanh => {
                for i in 0..len {
                    let h = values[i].tanh_near();
                    (values[i], slopes[i], quotients[i]) = (h, h.fma(-h, T::ONE), -(h + h));
                }
            }
            Smooth::Softplus => {
                let end = T::from_f64(SOFTPLUS_END);
                for i in 0..len {
                    let h = values[i].held(-end, end).softplus();
                    let slope = softplus_slope(h);
                    (values[i], slopes[i], quotients[i]) = (h, slope, T::ONE - slope);
                }
            }
            Smooth::Swish => {
                for i in 0..len {
                    [values[i], slopes[i], quotients[i]] = swish(values[i]);
                }
            }
            Smooth::Elu => {
                for i in 0..len {
                    let x = values[i];
                    let below = x.exp_m1();
                    let h = if x < T::ZERO { below } else { x };
                    let slope = if x < T::ZERO { below + T::ONE } else { T::ONE };
                    let quotient = if x < T::ZERO { T::ONE } else { T::ZERO };
                    (values[i], slopes[i], quotients[i]) = (h, slope, quotient);
                }
            }
        }
    }
}

dispatched! {
    /// Multiplies derivatives, `[p, width, TILE_ROWS]`, by the slopes of the units.
    pub(super) fn steepen<T: Real>(slopes: &[T], tangents: &mut [T]) {
        for tangent in tangents.chunks_exact_mut(slopes.len()) {
            for i in 0..slopes.len() {
                tangent[i] = tangent[i] * slopes[i];
            }
        }
    }
}

dispatched! {
    /// The backward pass of [`bend`] and [`steepen`], in place, given what they made: `a = g s + (s' / s) sum_j g_j h_j`, `a_j = g_j s`.
    pub(super) fn bend_back<T: Real>(bends: &[T], tangents: &[T], grad: &mut [T], curved: &mut [T]) {
        let len = curved.len();
        let (slopes, quotients) = bends.split_at(len);
        let (by_values, by_tangents) = grad.split_at_mut(len);
        curved.fill(T::ZERO);
        for (by, tangent) in by_tangents.chunks_exact_mut(len).zip(tangents.chunks_exact(len)) {
            for i in 0..len {
                curved[i] = by[i].fma(tangent[i], curved[i]);
                by[i] = by[i] * slopes[i];
            }
        }
        for i in 0..len {
            by_values[i] = by_values[i].fma(slopes[i], quotients[i] * curved[i]);
        }
    }
}

dispatched! {
    /// What is added to a layer's product: `rates[u] t[r]`, and what comes from a context.
    pub(super) fn write_addend<T: Real>(rates: &[T], t: &[T; TILE_ROWS], context: Option<&[T]>, out: &mut [T]) {
        for (u, (out, &rate)) in out.chunks_exact_mut(TILE_ROWS).zip(rates).enumerate() {
            match context {
                None => {
                    for lane in 0..TILE_ROWS {
                        out[lane] = rate * t[lane];
                    }
                }
                Some(context) => {
                    let context = &context[u * TILE_ROWS..][..TILE_ROWS];
                    for lane in 0..TILE_ROWS {
                        out[lane] = rate.fma(t[lane], context[lane]);
                    }
                }
            }
        }
    }
}

dispatched! {
    /// Adds the sums over the rows of a tile to those of each unit.
    pub(super) fn add_sums<T: Real>(grad: &[T], to: &mut [f64]) {
        for (grad, to) in grad.chunks_exact(TILE_ROWS).zip(to) {
            for lane in 0..TILE_ROWS {
                *to += grad[lane].to_f64();
            }
        }
    }
}

dispatched! {
    /// The same of each row's number times its `t`.
    pub(super) fn add_timed_sums<T: Real>(grad: &[T], t: &[T; TILE_ROWS], to: &mut [f64]) {
        for (grad, to) in grad.chunks_exact(TILE_ROWS).zip(to) {
            for lane in 0..TILE_ROWS {
                *to += grad[lane].to_f64() * t[lane].to_f64();
            }
        }
    }
}

dispatched! {
    /// `to += values`.
    pub(crate) fn add<T: Real>(values: &[T], to: &mut [T]) {
        for (to, &v) in to.iter_mut().zip(values) {
            *to += v;
        }
    }
}
