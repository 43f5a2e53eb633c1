//! The trainable invertible matrix without tensors.

use std::ops::Range;

use diffeo_kernels::product::{Matrix, multiply};
use diffeo_kernels::{Activation, LinearGradients, Real, Staircase, TiledLinear, pack_weight};

use super::Plu;
use crate::error::Result;
use crate::step::{Arena, Kept, Pass, Scratch, Step, Weights, gather, scatter};

/// `z = x P (I + N) (D + M) + b`.
#[derive(Debug)]
pub(super) struct PluStep {
    order: Vec<usize>,
    lower: Range<usize>,
    upper: Range<usize>,
    log_scale: Range<usize>,
    shift: Range<usize>,
    every: Staircase,
}

/// Arrays made of the weights: `I + N`, `D + M`, their product, that in the order in which it is read, the bounded log-scales and
/// their slopes by the raw ones.
const LOADED: usize = 6;
const L: usize = 0;
const U: usize = 1;
const PACKED: usize = 3;
const SCALES: usize = 4;
const SLOPES: usize = 5;

impl PluStep {
    pub(super) fn new(order: &[usize], weights: &Weights<'_>) -> Option<Self> {
        let d = order.len();
        Some(Self {
            order: order.to_vec(),
            lower: weights.range("lower")?,
            upper: weights.range("upper")?,
            log_scale: weights.range("log_scale")?,
            shift: weights.range("shift")?,
            every: Staircase::dense(d, d),
        })
    }

    fn square<'a, T: Real>(&self, data: &'a [T]) -> Matrix<'a, T> {
        let d = self.order.len();
        Matrix::row_major(&data[..d * d], d, d, d)
    }

    /// `x L U + b`.
    fn layer<'a, T: Real>(&'a self, weights: &'a [T], loaded: &'a Arena<T>) -> TiledLinear<'a, T> {
        TiledLinear {
            packed: loaded.array(PACKED),
            bias: &weights[self.shift.clone()],
            staircase: &self.every,
            activation: Activation::None,
            input: Activation::None,
        }
    }
}

impl<T: Real> Step<T> for PluStep {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let d = self.order.len();
        let ([l, u, product, packed, scales, slopes], _) = loaded.arrays::<LOADED>(0);
        let (scales, slopes) = (scales.sized(d), slopes.sized(d));
        let limit = T::from_f64(Plu::LOG_SCALE_MAX);
        let raw = &weights[self.log_scale.clone()];
        for ((raw, scale), slope) in raw.iter().zip(&mut *scales).zip(slopes) {
            let t = (*raw / limit).tanh();
            (*scale, *slope) = (limit * t, T::ONE - t * t);
        }
        let (l, u) = (l.sized(d * d), u.sized(d * d));
        l.copy_from_slice(&weights[self.lower.clone()]);
        u.copy_from_slice(&weights[self.upper.clone()]);
        for i in 0..d {
            l[i * d + i] = T::ONE;
            u[i * d + i] = scales[i].exp();
        }
        let product = product.sized(d * d);
        multiply(product, d, self.square(l), self.square(u), false);
        pack_weight(product, &self.every, packed);
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        kept: Kept<'_, T>,
    ) -> Result<()> {
        let d = self.order.len();
        let ([permuted], _) = kept.tape.arrays(0);
        let permuted = permuted.sized(x.len());
        gather(x, d, &self.order, permuted);
        self.layer(pass.weights, kept.loaded).forward(permuted, None, z);
        let sum: f64 = kept.loaded.array(SCALES)[..d].iter().map(|s| s.to_f64()).sum();
        log_det.iter_mut().for_each(|log_det| *log_det += sum);
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        (kept, scratch): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let d = self.order.len();
        let ([by_matrix, by_factor, back], _) = scratch.arena.arrays(0);
        let (by_matrix, by_factor) = (by_matrix.sized(d * d), by_factor.sized(d * d));
        let back = back.sized(grad.len());
        let to = LinearGradients {
            x: wanted.then_some(&mut *back),
            weight: &mut *by_matrix,
            bias: &mut gradient[self.shift.clone()],
        };
        let (permuted, output) = (&kept.tape.array(0)[..grad.len()], &x[..grad.len()]);
        let layer = self.layer(pass.weights, kept.loaded);
        layer.backward(permuted, output, grad, to, &mut scratch.linear);
        let (l, u) = (kept.loaded.array(L), kept.loaded.array(U));
        let (by_matrix, by_upper) = (self.square(by_matrix), self.square(u).transposed());
        multiply(by_factor, d, by_matrix, by_upper, false);
        for i in 0..d {
            let (row, to) = (i * d..i * d + i, self.lower.start + i * d);
            gradient[to..to + i].copy_from_slice(&by_factor[row]);
        }
        multiply(by_factor, d, self.square(l).transposed(), by_matrix, false);
        let by_log_det: f64 = pass.log_det_gradient.iter().map(|g| g.to_f64()).sum();
        let slopes = kept.loaded.array(SLOPES);
        for i in 0..d {
            let (row, to) = (i * d + i + 1..(i + 1) * d, self.upper.start + i * d);
            gradient[to + i + 1..to + d].copy_from_slice(&by_factor[row]);
            let scale = by_factor[i * d + i] * u[i * d + i] + T::from_f64(by_log_det);
            gradient[self.log_scale.start + i] = scale * slopes[i];
        }
        if wanted {
            scatter(back, &self.order, grad, d);
        }
    }
}
