//! Masked linear layer: product, bias, addend and activation in one pass, and its backward pass.

use std::ops::Range;

use crate::activation::{Activation, activate_backward};
use crate::dispatch::dispatched;
use crate::product::{Matrix, multiply, multiply_rowwise};
use crate::{Real, Staircase};

/// `out = activation(x W + bias + addend)`, where `W` is zero outside a [`Staircase`].
///
/// * `x: [n, inputs]`, `weight: [inputs, outputs]`, `bias: [outputs]`, `addend` and `out: [n, outputs]`.
/// * Masked entries of `weight` must be exactly zero; products skip nearly all of them.
/// * Row `i` of `out` is the same bits whatever the other rows are and however many.
///
/// The addend carries a context's contribution, or the skip connection of a residual block.
#[derive(Clone, Copy, Debug)]
pub struct MaskedLinear<'a, T> {
    /// `[inputs, outputs]`, row-major.
    pub weight: &'a [T],
    /// `[outputs]`.
    pub bias: &'a [T],
    /// Which inputs each output sees.
    pub staircase: &'a Staircase,
    /// Applied last.
    pub activation: Activation,
}

/// Where [`MaskedLinear::backward`] writes the gradients. All are overwritten but the masked entries of `weight`.
#[derive(Debug)]
pub struct LinearGradients<'a, T> {
    /// `[n, inputs]`, if wanted.
    pub x: Option<&'a mut [T]>,
    /// `[inputs, outputs]`; masked entries must be zero before, and are after.
    pub weight: &'a mut [T],
    /// `[outputs]`.
    pub bias: &'a mut [T],
}

impl<T: Real> MaskedLinear<'_, T> {
    fn rows(&self, x: &[T], out_len: usize) -> usize {
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert_eq!(self.weight.len(), inputs * outputs, "weight has the wrong length");
        assert_eq!(self.bias.len(), outputs, "bias has the wrong length");
        let rows = out_len.checked_div(outputs).unwrap_or(0);
        assert_eq!(out_len, rows * outputs, "out is not a whole number of rows");
        assert!(outputs == 0 || x.len() == rows * inputs, "x and out differ in rows");
        rows
    }

    /// Computes `out`.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn forward(&self, x: &[T], addend: Option<&[T]>, out: &mut [T]) {
        let rows = self.rows(x, out.len());
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert!(addend.is_none_or(|a| a.len() == out.len()), "addend has the wrong length");
        if rows == 0 {
            return;
        }
        for (panel, depth) in self.staircase.output_panels() {
            let w = Matrix::row_major(
                self.weight.get(panel.start..).unwrap_or(&[]),
                depth,
                panel.len(),
                outputs,
            );
            let x = Matrix::row_major(x, rows, depth, inputs);
            multiply_rowwise(&mut out[panel.start..], outputs, x, w);
            finish(out, self.bias, addend, panel, self.activation);
        }
    }

    /// Computes the gradients of a loss, given `x`, the `output` of [`Self::forward`] and in `grad` the
    /// loss's gradient by that output. On return `grad` holds the gradient by the pre-activation,
    /// which is also that by the addend.
    ///
    /// Sums over rows run in a fixed order, the bias's in `f64`.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn backward(&self, x: &[T], output: &[T], grad: &mut [T], to: LinearGradients<'_, T>) {
        let rows = self.rows(x, grad.len());
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert_eq!(to.weight.len(), inputs * outputs, "weight gradient has the wrong length");
        assert_eq!(to.bias.len(), outputs, "bias gradient has the wrong length");
        activate_backward(self.activation, output, grad);
        sum_columns(grad, to.bias);
        for (panel, depth) in self.staircase.output_panels() {
            let x = Matrix::row_major(x, rows, depth, inputs).transposed();
            let g = Matrix::row_major(
                grad.get(panel.start..).unwrap_or(&[]),
                rows,
                panel.len(),
                outputs,
            );
            if depth > 0 {
                multiply(&mut to.weight[panel.start..], outputs, x, g, false);
            }
        }
        self.staircase.clear_overhang(to.weight);
        let Some(grad_x) = to.x else { return };
        assert_eq!(grad_x.len(), rows * inputs, "x gradient has the wrong length");
        if rows == 0 {
            return;
        }
        for (panel, first) in self.staircase.input_panels() {
            let depth = outputs - first;
            let w_start = panel.start * outputs + first;
            let w = self.weight.get(w_start..).unwrap_or(&[]);
            let w = Matrix::row_major(w, panel.len(), depth, outputs).transposed();
            let g = Matrix::row_major(grad.get(first..).unwrap_or(&[]), rows, depth, outputs);
            multiply(&mut grad_x[panel.start..], inputs, g, w, false);
        }
    }
}

/// Adds bias and addend to a panel of columns and applies the activation.
fn finish<T: Real>(
    out: &mut [T],
    bias: &[T],
    addend: Option<&[T]>,
    panel: Range<usize>,
    activation: Activation,
) {
    match addend {
        Some(addend) => finish_with_addend(out, bias, addend, panel, activation),
        None => finish_plain(out, bias, panel, activation),
    }
}

dispatched! {
    fn finish_plain<T: Real>(out: &mut [T], bias: &[T], panel: Range<usize>, activation: Activation) {
        let width = bias.len();
        let bias = &bias[panel.clone()];
        for row in out.chunks_exact_mut(width) {
            let row = &mut row[panel.clone()];
            // One loop an activation: a choice inside the loop would keep it from being vectorised.
            match activation {
                Activation::None => row.iter_mut().zip(bias).for_each(|(v, &b)| *v += b),
                Activation::Relu => {
                    row.iter_mut().zip(bias).for_each(|(v, &b)| *v = Activation::Relu.apply(*v + b));
                }
                Activation::Tanh => {
                    row.iter_mut().zip(bias).for_each(|(v, &b)| *v = Activation::Tanh.apply(*v + b));
                }
                Activation::Elu => {
                    row.iter_mut().zip(bias).for_each(|(v, &b)| *v = Activation::Elu.apply(*v + b));
                }
            }
        }
    }
}

dispatched! {
    fn finish_with_addend<T: Real>(
        out: &mut [T],
        bias: &[T],
        addend: &[T],
        panel: Range<usize>,
        activation: Activation,
    ) {
        let width = bias.len();
        let bias = &bias[panel.clone()];
        for (row, addend) in out.chunks_exact_mut(width).zip(addend.chunks_exact(width)) {
            let row = &mut row[panel.clone()];
            let terms = bias.iter().zip(&addend[panel.clone()]);
            row.iter_mut().zip(terms).for_each(|(v, (&b, &a))| *v = (*v + b) + a);
            match activation {
                Activation::None => {}
                Activation::Relu => row.iter_mut().for_each(|v| *v = Activation::Relu.apply(*v)),
                Activation::Tanh => row.iter_mut().for_each(|v| *v = Activation::Tanh.apply(*v)),
                Activation::Elu => row.iter_mut().for_each(|v| *v = Activation::Elu.apply(*v)),
            }
        }
    }
}

dispatched! {
    /// `sums[j]` becomes the sum of column `j`, added row by row in `f64`.
    fn sum_columns<T: Real>(matrix: &[T], sums: &mut [T]) {
        const BLOCK: usize = 64;
        let width = sums.len();
        for (block, sums) in sums.chunks_mut(BLOCK).enumerate() {
            let mut totals = [0.0f64; BLOCK];
            let start = block * BLOCK;
            for row in matrix.chunks_exact(width) {
                let row = &row[start..start + sums.len()];
                totals.iter_mut().zip(row).for_each(|(total, &v)| *total += v.to_f64());
            }
            sums.iter_mut().zip(totals).for_each(|(sum, total)| *sum = T::from_f64(total));
        }
    }
}

#[cfg(test)]
mod tests;
