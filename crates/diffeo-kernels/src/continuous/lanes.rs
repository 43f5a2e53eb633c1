//! The loops over the rows of a tile that stand between the products of a field.
//!
//! `nodes` of a layer are `[1 + p, width, TILE_ROWS]`: the values, and behind them the derivatives along `p` directions.

use super::{Penalty, REACH};
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
    /// `base^exponent` of numbers that are not negative, by the functions that have the same bits everywhere.
    pub(super) fn raise<T: Real>(bases: &mut [T; TILE_ROWS], exponent: T) {
        for base in bases {
            *base = (exponent * base.ln()).exp();
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
