//! Reductions of rows to `f64` as operations.

use burn_flex::FlexTensor;

use super::extension::DenseOp;
use super::flex::{Scalar, elements, extents, tensor};
use crate::{normal_log_prob, normal_log_prob_backward, sum_rows};

/// What becomes of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum RowsOp {
    /// Its sum.
    Sum,
    /// Its log-density under the standard normal.
    NormalLogProb,
}

impl DenseOp for RowsOp {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let input = &inputs[0];
        let rows = extents(input)[0];
        let mut out = vec![0.0; rows];
        match self {
            Self::Sum => sum_rows(elements::<T>(input), &mut out),
            Self::NormalLogProb => normal_log_prob(elements::<T>(input), &mut out),
        }
        tensor(out, [rows])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        _output: &FlexTensor,
        grad: &FlexTensor,
        _needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (input, grad) = (&inputs[0], elements::<f64>(grad));
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
        vec![Some(tensor(grad_input, [n, d]))]
    }
}
