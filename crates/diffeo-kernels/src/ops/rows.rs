//! Reductions of rows to `f64` as operations.

use burn::tensor::DType;
use burn_flex::FlexTensor;

use super::extension::FusedOp;
use super::flex::{Scalar, dense, elements, extents, tensor};
use crate::{normal_log_prob, normal_log_prob_backward, sum_rows};

/// What becomes of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowsOp {
    /// Its sum.
    Sum,
    /// Its log-density under the standard normal.
    NormalLogProb,
}

impl RowsOp {
    fn run<T: Scalar>(self, input: &FlexTensor) -> FlexTensor {
        let rows = extents(input)[0];
        let mut out = vec![0.0; rows];
        match self {
            Self::Sum => sum_rows(elements::<T>(input), &mut out),
            Self::NormalLogProb => normal_log_prob(elements::<T>(input), &mut out),
        }
        tensor(out, [rows])
    }

    fn run_backward<T: Scalar>(self, input: &FlexTensor, grad: &[f64]) -> FlexTensor {
        let [n, d] = extents(input);
        let mut grad_input = vec![T::ZERO; n * d];
        match self {
            Self::Sum => {
                for (row, &g) in grad_input.chunks_exact_mut(d.max(1)).zip(grad) {
                    row.fill(T::from_f64(g));
                }
            }
            Self::NormalLogProb => {
                normal_log_prob_backward(elements::<T>(input), grad, &mut grad_input);
            }
        }
        tensor(grad_input, [n, d])
    }
}

impl FusedOp for RowsOp {
    fn forward(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let input = dense(&inputs[0]);
        match input.dtype() {
            DType::F64 => self.run::<f64>(&input),
            _ => self.run::<f32>(&input),
        }
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        _output: &FlexTensor,
        grad: FlexTensor,
        _needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (input, grad) = (dense(&inputs[0]), dense(&grad));
        let grad = elements::<f64>(&grad);
        vec![Some(match input.dtype() {
            DType::F64 => self.run_backward::<f64>(&input, grad),
            _ => self.run_backward::<f32>(&input, grad),
        })]
    }
}
