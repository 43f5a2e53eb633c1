//! The loops over the rows of a tile that stand between the products of a field.
//!
//! `nodes` of a layer are `[1 + p, width, TILE_ROWS]`: the values, and behind them the derivatives along `p` directions.

use super::{Penalty, REACH, Smooth};
use crate::Real;
use crate::dispatch::dispatched;
use crate::tiles::TILE_ROWS;

dispatched! {
    /// The input of the first layer: `x` held to [`REACH`], and the directions, zero where it is held.
    pub(super) fn enter<T: Real>(x: &[T], probes: &[T], nodes: &mut [T]) {
        let limit = T::from_f64(REACH);
        let (values, tangents) = nodes.split_at_mut(x.len());
        for (value, x) in values.iter_mut().zip(x) {
            *value = x.held(-limit, limit);
        }
        let pairs = tangents.chunks_exact_mut(x.len()).zip(probes.chunks_exact(x.len()));
        for (tangent, probe) in pairs {
            for i in 0..x.len() {
                tangent[i] = if x[i].abs() < limit { probe[i] } else { T::ZERO };
            }
        }
    }
}

dispatched! {
    /// The gradient by an input, given that by the held one.
    pub(super) fn enter_back<T: Real>(held: &[T], grad: &[T], by_x: &mut [T]) {
        let limit = T::from_f64(REACH);
        for i in 0..by_x.len() {
            by_x[i] = if held[i].abs() < limit { grad[i] } else { T::ZERO };
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

/// The largest argument of a softplus: beyond, it is constant, so that no depth of layers overflows.
const SOFTPLUS_END: f64 = 1e8;

/// The slope of a softplus where it is `h`.
#[inline(always)]
fn softplus_slope<T: Real>(h: T) -> T {
    // Before the choice: inside, it would keep the loop from being vectorised.
    let slope = -(-h).exp_m1();
    if h < T::from_f64(SOFTPLUS_END) { slope } else { T::ZERO }
}

dispatched! {
    /// Applies an activation to pre-activations and the derivatives of these; `slopes` is work space for one value of each.
    pub(super) fn bend<T: Real>(activation: Smooth, nodes: &mut [T], slopes: &mut [T]) {
        let (values, tangents) = nodes.split_at_mut(slopes.len());
        // Loops and no closures: one that is too long to be inlined would be compiled for the baseline.
        match activation {
            Smooth::Tanh => {
                for i in 0..slopes.len() {
                    let h = values[i].tanh();
                    (values[i], slopes[i]) = (h, h.fma(-h, T::ONE));
                }
            }
            Smooth::Softplus => {
                let end = T::from_f64(SOFTPLUS_END);
                for i in 0..slopes.len() {
                    let h = values[i].held(-end, end).softplus();
                    (values[i], slopes[i]) = (h, softplus_slope(h));
                }
            }
        }
        for tangent in tangents.chunks_exact_mut(slopes.len()) {
            for i in 0..slopes.len() {
                tangent[i] = tangent[i] * slopes[i];
            }
        }
    }
}

dispatched! {
    /// The backward pass of [`bend`], in place, given what it made: `a = g s + (s' / s) sum_j g_j h_j`, `a_j = g_j s`, where the
    /// quotient of second and first derivative is `-2 h` for tanh and `1 - s` for softplus.
    pub(super) fn bend_back<T: Real>(activation: Smooth, nodes: &[T], grad: &mut [T], work: [&mut [T]; 2]) {
        let [slopes, curved] = work;
        let len = slopes.len();
        let (values, tangents) = nodes.split_at(len);
        let (by_values, by_tangents) = grad.split_at_mut(len);
        for i in 0..len {
            slopes[i] = match activation {
                Smooth::Tanh => values[i].fma(-values[i], T::ONE),
                Smooth::Softplus => softplus_slope(values[i]),
            };
        }
        curved.fill(T::ZERO);
        for (by, tangent) in by_tangents.chunks_exact_mut(len).zip(tangents.chunks_exact(len)) {
            for i in 0..len {
                curved[i] = by[i].fma(tangent[i], curved[i]);
                by[i] = by[i] * slopes[i];
            }
        }
        for i in 0..len {
            let quotient = match activation {
                Smooth::Tanh => -(values[i] + values[i]),
                Smooth::Softplus => T::ONE - slopes[i],
            };
            by_values[i] = by_values[i].fma(slopes[i], quotient * curved[i]);
        }
    }
}

dispatched! {
    /// The field and its divergence, of the last layer's nodes: `v = L tanh(o / L)`, `sum_j e_j . (v'(o) o_j)`.
    pub(super) fn leave<T: Real>(speed: T, nodes: &[T], probes: &[T], v: &mut [T], divergence: &mut [T]) {
        let (values, tangents) = nodes.split_at(v.len());
        divergence.fill(T::ZERO);
        for (v, &o) in v.iter_mut().zip(values) {
            *v = (o / speed).tanh();
        }
        for (tangent, probe) in tangents.chunks_exact(v.len()).zip(probes.chunks_exact(v.len())) {
            for first in (0..v.len()).step_by(TILE_ROWS) {
                for lane in 0..TILE_ROWS {
                    let i = first + lane;
                    let slope = v[i].fma(-v[i], T::ONE);
                    divergence[lane] = (probe[i] * slope).fma(tangent[i], divergence[lane]);
                }
            }
        }
        for v in v {
            *v = *v * speed;
        }
    }
}

dispatched! {
    /// The backward pass of [`leave`], given the gradients by the field and by its divergence.
    pub(super) fn leave_back<T: Real>(speed: T, nodes: &[T], probes: &[T], given: (&[T], &[T]), grad: &mut [T]) {
        let (by_v, by_divergence) = given;
        let (values, tangents) = nodes.split_at(by_v.len());
        let (by_values, by_tangents) = grad.split_at_mut(by_v.len());
        by_values.fill(T::ZERO);
        let tangents = tangents.chunks_exact(by_v.len()).zip(probes.chunks_exact(by_v.len()));
        for ((tangent, probe), by) in tangents.zip(by_tangents.chunks_exact_mut(by_v.len())) {
            for first in (0..by_v.len()).step_by(TILE_ROWS) {
                for lane in 0..TILE_ROWS {
                    let i = first + lane;
                    by_values[i] = probe[i].fma(tangent[i], by_values[i]);
                    by[i] = probe[i] * by_divergence[lane];
                }
            }
        }
        for first in (0..by_v.len()).step_by(TILE_ROWS) {
            for lane in 0..TILE_ROWS {
                let i = first + lane;
                let t = (values[i] / speed).tanh();
                let slope = t.fma(-t, T::ONE);
                let bent = -(t + t) * slope / speed;
                by_values[i] = by_v[i].fma(slope, by_divergence[lane] * bent * by_values[i]);
                for by in by_tangents.chunks_exact_mut(by_v.len()) {
                    by[i] = by[i] * slope;
                }
            }
        }
    }
}

dispatched! {
    /// Takes a [`Penalty`] off the divergence that [`leave`] wrote.
    pub(super) fn charge<T: Real>(speed: T, nodes: &[T], v: &[T], penalty: Penalty, divergence: &mut [T]) {
        let [kinetic, jacobian] = [penalty.kinetic, penalty.jacobian].map(T::from_f64);
        let (_, tangents) = nodes.split_at(v.len());
        for first in (0..v.len()).step_by(TILE_ROWS) {
            for lane in 0..TILE_ROWS {
                let v = v[first + lane];
                divergence[lane] = (-kinetic * v).fma(v, divergence[lane]);
            }
        }
        for tangent in tangents.chunks_exact(v.len()) {
            for first in (0..v.len()).step_by(TILE_ROWS) {
                for lane in 0..TILE_ROWS {
                    let t = v[first + lane] / speed;
                    let moved = t.fma(-t, T::ONE) * tangent[first + lane];
                    divergence[lane] = (-jacobian * moved).fma(moved, divergence[lane]);
                }
            }
        }
    }
}

dispatched! {
    /// The backward pass of [`charge`], added to what [`leave_back`] wrote, given the gradient by the divergence: the price has the gradients `2 k v s - 4 m t s^2 o_e^2 / L` by `o` and
    /// `2 m s^2 o_e` by `o_e`, where `t = tanh(o / L)` and `s = 1 - t^2`.
    pub(super) fn charge_back<T: Real>(
        speed: T,
        nodes: (&[T], usize),
        penalty: Penalty,
        by_divergence: &[T],
        grad: &mut [T],
    ) {
        let [kinetic, jacobian] = [penalty.kinetic, penalty.jacobian].map(|k| T::from_f64(-2.0 * k));
        let (nodes, size) = nodes;
        let (values, tangents) = nodes.split_at(size);
        let (by_values, by_tangents) = grad.split_at_mut(size);
        for first in (0..size).step_by(TILE_ROWS) {
            for lane in 0..TILE_ROWS {
                let i = first + lane;
                let t = (values[i] / speed).tanh();
                let slope = t.fma(-t, T::ONE);
                let price = kinetic * by_divergence[lane] * speed * t * slope;
                by_values[i] += price;
            }
        }
        let tangents = tangents.chunks_exact(size).zip(by_tangents.chunks_exact_mut(size));
        for (tangent, by_tangent) in tangents {
            for first in (0..size).step_by(TILE_ROWS) {
                for lane in 0..TILE_ROWS {
                    let i = first + lane;
                    let t = (values[i] / speed).tanh();
                    let slope = t.fma(-t, T::ONE);
                    let moved = jacobian * by_divergence[lane] * slope * slope * tangent[i];
                    by_tangent[i] += moved;
                    by_values[i] += -(t + t) * moved * tangent[i] / speed;
                }
            }
        }
    }
}

dispatched! {
    /// `out = from + h sum_s factors[s] k_s` for each row's own step size `h`; `k` holds the `k_s` one after another.
    pub(super) fn combine<T: Real>(from: &[T], h: &[T; TILE_ROWS], factors: &[f64], k: &[T], out: &mut [T]) {
        let len = out.len();
        for first in (0..len).step_by(TILE_ROWS) {
            let mut sums = [T::ZERO; TILE_ROWS];
            for (&factor, k) in factors.iter().zip(k.chunks_exact(len)) {
                if factor != 0.0 {
                    let factor = T::from_f64(factor);
                    for lane in 0..TILE_ROWS {
                        sums[lane] = factor.fma(k[first + lane], sums[lane]);
                    }
                }
            }
            for lane in 0..TILE_ROWS {
                out[first + lane] = h[lane].fma(sums[lane], from[first + lane]);
            }
        }
    }
}

dispatched! {
    /// Adds to `sums` the squares of `h sum_s factors[s] k_s` in units of the tolerance, `absolute + relative max(|from|, |to|)`.
    pub(super) fn add_errors<T: Real>(
        step: (&[T; TILE_ROWS], &[f64], &[T]),
        ends: [&[T]; 2],
        tolerance: [f64; 2],
        sums: &mut [f64; TILE_ROWS],
    ) {
        let ((h, factors, k), [from, to]) = (step, ends);
        let len = from.len();
        let [relative, absolute] = tolerance;
        for first in (0..len).step_by(TILE_ROWS) {
            let mut errors = [T::ZERO; TILE_ROWS];
            for (&factor, k) in factors.iter().zip(k.chunks_exact(len)) {
                let factor = T::from_f64(factor);
                for lane in 0..TILE_ROWS {
                    errors[lane] = factor.fma(k[first + lane], errors[lane]);
                }
            }
            for lane in 0..TILE_ROWS {
                let size = from[first + lane].abs().upper(to[first + lane].abs()).to_f64();
                let unit = relative.fma(size, absolute);
                let error = (h[lane] * errors[lane]).to_f64() / unit;
                sums[lane] = error.fma(error, sums[lane]);
            }
        }
    }
}

dispatched! {
    /// Adds the sums over the rows of a tile, as they are and times `t`, to those of each unit.
    pub(super) fn add_sums<T: Real>(grad: &[T], t: &[T; TILE_ROWS], to: [&mut [f64]; 2]) {
        let [plain, timed] = to;
        let units = grad.chunks_exact(TILE_ROWS).zip(plain.iter_mut().zip(timed));
        for (grad, (plain, timed)) in units {
            for lane in 0..TILE_ROWS {
                let g = grad[lane].to_f64();
                *plain += g;
                *timed += g * t[lane].to_f64();
            }
        }
    }
}

dispatched! {
    /// `to += values`.
    pub(super) fn add<T: Real>(values: &[T], to: &mut [T]) {
        for (to, &v) in to.iter_mut().zip(values) {
            *to += v;
        }
    }
}

dispatched! {
    /// How far a field is from the velocities that are wanted: adds the squares to the loss of each row, and writes their gradient by the field, times the row's weight.
    pub(super) fn miss<T: Real>(
        v: &[T],
        wanted: &[T],
        row_weights: &[T; TILE_ROWS],
        losses: &mut [f64; TILE_ROWS],
        by_v: &mut [T],
    ) {
        for first in (0..v.len()).step_by(TILE_ROWS) {
            for lane in 0..TILE_ROWS {
                let i = first + lane;
                let off = v[i] - wanted[i];
                let wide = off.to_f64();
                losses[lane] = wide.fma(wide, losses[lane]);
                by_v[i] = (off + off) * row_weights[lane];
            }
        }
    }
}
