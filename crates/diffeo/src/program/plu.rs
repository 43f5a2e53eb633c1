//! The trainable invertible matrix; see [`crate::transforms::Plu`] for the formula.

use std::ops::Range;

use diffeo_kernels::product::{Matrix, multiply};
use diffeo_kernels::{
    Activation, Aligned, LinearGradients, Real, Staircase, TiledLinear, pack_weight,
};

use super::Cursor;
use super::step::{Pass, Scratch, Step, Tape, gather, scatter};
use crate::transforms::Plu;

/// `z = x P (I + N) (D + M) + b`.
#[derive(Debug)]
pub(super) struct PluStep<T> {
    order: Vec<usize>,
    lower: Range<usize>,
    upper: Range<usize>,
    log_scale: Range<usize>,
    shift: Range<usize>,
    /// `I + N`, `D + M` and their product, of the weights loaded.
    factors: [Vec<T>; 3],
    /// The product in the order in which it is read.
    packed: Aligned<T>,
    every: Staircase,
    /// The bounded log-scales, their slopes by the raw ones, and their sum.
    scales: Vec<T>,
    slopes: Vec<T>,
    log_det: f64,
}

impl<T: Real> PluStep<T> {
    pub(super) fn new(order: &[usize], cursor: &mut Cursor) -> Self {
        let d = order.len();
        Self {
            order: order.to_vec(),
            lower: cursor.take(d * d),
            upper: cursor.take(d * d),
            log_scale: cursor.take(d),
            shift: cursor.take(d),
            factors: [(); 3].map(|()| vec![T::ZERO; d * d]),
            packed: Aligned::default(),
            every: Staircase::dense(d, d),
            scales: vec![T::ZERO; d],
            slopes: vec![T::ZERO; d],
            log_det: 0.0,
        }
    }

    fn square<'a>(&self, data: &'a [T]) -> Matrix<'a, T> {
        let d = self.order.len();
        Matrix::row_major(data, d, d, d)
    }

    /// `x L U + b`.
    fn layer<'a>(&'a self, weights: &'a [T]) -> TiledLinear<'a, T> {
        TiledLinear {
            packed: &self.packed,
            bias: &weights[self.shift.clone()],
            staircase: &self.every,
            activation: Activation::None,
            input: Activation::None,
        }
    }
}

impl<T: Real> Step<T> for PluStep<T> {
    fn load(&mut self, weights: &[T]) {
        let d = self.order.len();
        let limit = T::from_f64(Plu::LOG_SCALE_MAX);
        let raw = &weights[self.log_scale.clone()];
        for ((raw, scale), slope) in raw.iter().zip(&mut self.scales).zip(&mut self.slopes) {
            let t = (*raw / limit).tanh();
            (*scale, *slope) = (limit * t, T::ONE - t * t);
        }
        self.log_det = self.scales.iter().map(|s| s.to_f64()).sum();
        let (lower, upper) = (&weights[self.lower.clone()], &weights[self.upper.clone()]);
        let [l, u, _] = &mut self.factors;
        l.copy_from_slice(lower);
        u.copy_from_slice(upper);
        for i in 0..d {
            l[i * d + i] = T::ONE;
            u[i * d + i] = self.scales[i].exp();
        }
        let mut product = std::mem::take(&mut self.factors[2]);
        let (l, u) = (self.square(&self.factors[0]), self.square(&self.factors[1]));
        multiply(&mut product, d, l, u, false);
        pack_weight(&product, &self.every, &mut self.packed);
        self.factors[2] = product;
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        tape: &mut Tape<T>,
    ) {
        let d = self.order.len();
        let permuted = tape.seen.sized(x.len());
        gather(x, d, &self.order, permuted);
        self.layer(pass.weights).forward(permuted, None, z);
        log_det.iter_mut().for_each(|sum| *sum += self.log_det);
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        (tape, scratch): (&mut Tape<T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let d = self.order.len();
        let Scratch { params: by_matrix, more: by_factor, moved: back, linear, .. } = scratch;
        let (by_matrix, by_factor) = (by_matrix.sized(d * d), by_factor.sized(d * d));
        let back = back.sized(grad.len());
        let to = LinearGradients {
            x: wanted.then_some(&mut *back),
            weight: &mut *by_matrix,
            bias: &mut gradient[self.shift.clone()],
        };
        let (permuted, output) = (&tape.seen[..grad.len()], &x[..grad.len()]);
        self.layer(pass.weights).backward(permuted, output, grad, to, linear);
        multiply(
            by_factor,
            d,
            self.square(by_matrix),
            self.square(&self.factors[1]).transposed(),
            false,
        );
        for i in 0..d {
            let (row, to) = (i * d..i * d + i, self.lower.start + i * d);
            gradient[to..to + i].copy_from_slice(&by_factor[row]);
        }
        multiply(
            by_factor,
            d,
            self.square(&self.factors[0]).transposed(),
            self.square(by_matrix),
            false,
        );
        let by_log_det: f64 = pass.log_det_gradient.iter().map(|g| g.to_f64()).sum();
        for i in 0..d {
            let (row, to) = (i * d + i + 1..(i + 1) * d, self.upper.start + i * d);
            gradient[to + i + 1..to + d].copy_from_slice(&by_factor[row]);
            let scale = by_factor[i * d + i] * self.factors[1][i * d + i] + T::from_f64(by_log_det);
            gradient[self.log_scale.start + i] = scale * self.slopes[i];
        }
        if wanted {
            scatter(back, &self.order, grad, d);
        }
    }
}
