//! The loops over the rows of a tile that stand between the products of a network.

use super::{READ_REACH, READ_SCALE};
use crate::Real;
use crate::dispatch::dispatched;
use crate::tiles::{TILE_ROWS, unit_by_unit};

/// What is added to a variance before its root is taken.
pub(crate) const VARIANCE_MIN: f64 = 1e-5;
/// `sqrt(8 / pi)` and the cubic term of the Gaussian error linear unit.
pub(crate) const GELU: [f64; 2] = [1.595_769_121_605_731, 0.044_715];
/// Where the unit is the identity or zero to the last bit that matters.
const GELU_END: f64 = 10.0;

dispatched! {
    /// What columns are read as.
    pub(crate) fn read<T: Real>(x: &[T], out: &mut [T]) {
        let (unit, reach) = (T::from_f64(READ_SCALE), T::from_f64(READ_REACH));
        for (out, &x) in out.iter_mut().zip(x) {
            let a = (x / unit).abs().held(T::ZERO, reach);
            let size = unit * (a + a.fma(a, T::ONE).sqrt()).ln();
            *out = if x < T::ZERO { -size } else { size };
        }
    }
}

dispatched! {
    /// Turns the gradient by what columns are read as into that by the columns.
    pub(crate) fn read_back<T: Real>(x: &[T], grad: &mut [T]) {
        let (unit, reach) = (T::from_f64(READ_SCALE), T::from_f64(READ_REACH));
        for (grad, &x) in grad.iter_mut().zip(x) {
            let a = (x / unit).abs();
            let held = a.held(T::ZERO, reach);
            let slope = T::ONE / held.fma(held, T::ONE).sqrt();
            *grad = if a > reach { T::ZERO } else { *grad * slope };
        }
    }
}

dispatched! {
    /// Each unit's number in all rows.
    pub(crate) fn spread<T: Real>(values: &[T], out: &mut [T]) {
        for (out, &value) in out.chunks_exact_mut(TILE_ROWS).zip(values) {
            out.fill(value);
        }
    }
}

dispatched! {
    /// Adds to each unit's number the sum over the rows.
    pub(crate) fn add_sums<T: Real>(grad: &[T], to: &mut [T]) {
        for (grad, to) in grad.chunks_exact(TILE_ROWS).zip(to) {
            let mut sum = 0.0;
            for lane in 0..TILE_ROWS {
                sum += grad[lane].to_f64();
            }
            *to += T::from_f64(sum);
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

dispatched! {
    /// `to *= values`.
    pub(crate) fn scale_by<T: Real>(values: &[T], to: &mut [T]) {
        for (to, &v) in to.iter_mut().zip(values) {
            *to = *to * v;
        }
    }
}

dispatched! {
    /// Each token of so many units less its mean, over its deviation; `scales` are one over the latter.
    pub(crate) fn normalise<T: Real>(width: usize, x: &[T], out: &mut [T], scales: &mut [T]) {
        let share = T::from_f64(1.0 / width as f64);
        let tokens = x.chunks_exact(width * TILE_ROWS).zip(out.chunks_exact_mut(width * TILE_ROWS));
        for ((x, out), scales) in tokens.zip(scales.as_chunks_mut::<TILE_ROWS>().0) {
            let (x, out) = (x.as_chunks::<TILE_ROWS>().0, out.as_chunks_mut::<TILE_ROWS>().0);
            let (mut mean, mut squares) = ([T::ZERO; TILE_ROWS], [T::ZERO; TILE_ROWS]);
            for x in x {
                for lane in 0..TILE_ROWS {
                    mean[lane] += x[lane];
                }
            }
            for lane in 0..TILE_ROWS {
                mean[lane] = mean[lane] * share;
            }
            for (x, out) in x.iter().zip(out.iter_mut()) {
                for lane in 0..TILE_ROWS {
                    let away = x[lane] - mean[lane];
                    out[lane] = away;
                    squares[lane] = away.fma(away, squares[lane]);
                }
            }
            for lane in 0..TILE_ROWS {
                let variance = squares[lane].fma(share, T::from_f64(VARIANCE_MIN));
                scales[lane] = T::ONE / variance.sqrt();
            }
            for out in out {
                unit_by_unit();
                for lane in 0..TILE_ROWS {
                    out[lane] = out[lane] * scales[lane];
                }
            }
        }
    }
}

dispatched! {
    /// The backward pass of [`normalise`], given what it made; added to the gradient by what it was applied to.
    pub(crate) fn normalise_back<T: Real>(width: usize, made: (&[T], &[T]), grad: &[T], to: &mut [T]) {
        let share = T::from_f64(1.0 / width as f64);
        let size = width * TILE_ROWS;
        let tokens = made.0.chunks_exact(size).zip(made.1.as_chunks::<TILE_ROWS>().0);
        let tokens = tokens.zip(grad.chunks_exact(size).zip(to.chunks_exact_mut(size)));
        for ((out, scales), (grad, to)) in tokens {
            let (out, grad) = (out.as_chunks::<TILE_ROWS>().0, grad.as_chunks::<TILE_ROWS>().0);
            let (mut mean, mut along) = ([T::ZERO; TILE_ROWS], [T::ZERO; TILE_ROWS]);
            for (out, grad) in out.iter().zip(grad) {
                for lane in 0..TILE_ROWS {
                    mean[lane] += grad[lane];
                    along[lane] = out[lane].fma(grad[lane], along[lane]);
                }
            }
            for lane in 0..TILE_ROWS {
                mean[lane] = mean[lane] * share;
                along[lane] = along[lane] * share;
            }
            let to = to.as_chunks_mut::<TILE_ROWS>().0;
            for (to, (out, grad)) in to.iter_mut().zip(out.iter().zip(grad)) {
                for lane in 0..TILE_ROWS {
                    let rest = out[lane].fma(-along[lane], grad[lane] - mean[lane]);
                    to[lane] = rest.fma(scales[lane], to[lane]);
                }
            }
        }
    }
}

/// `1 / (1 + e^-2u)` with `2 u = c (x + k x^3)`, and the slope of `2 u`.
#[inline(always)]
fn gelu_gate<T: Real>(x: T) -> [T; 2] {
    let end = T::from_f64(GELU_END);
    let (c, k) = (T::from_f64(GELU[0]), T::from_f64(GELU[0] * GELU[1]));
    let held = x.held(-end, end);
    let square = held * held;
    let argument = held * square.fma(k, c);
    let e = (-argument.abs()).exp_nonpositive();
    let top = if argument < T::ZERO { e } else { T::ONE };
    [top / (T::ONE + e), square.fma(k + k + k, c)]
}

dispatched! {
    /// `x / (1 + e^-2u)`, `2 u = sqrt(8 / pi) (x + 0.044715 x^3)`, in place.
    pub(crate) fn gelu<T: Real>(values: &mut [T]) {
        for value in values.iter_mut() {
            *value = *value * gelu_gate(*value)[0];
        }
    }
}

dispatched! {
    /// The same, and its slopes.
    pub(crate) fn gelu_with_slopes<T: Real>(values: &mut [T], slopes: &mut [T]) {
        for (value, slope) in values.iter_mut().zip(slopes) {
            let [gate, steep] = gelu_gate(*value);
            let end = T::from_f64(GELU_END);
            let held = value.held(-end, end);
            *slope = (held * gate * (T::ONE - gate)).fma(steep, gate);
            *value = *value * gate;
        }
    }
}
