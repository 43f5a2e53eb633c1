//! The masked linear layer as one operation.

use std::sync::Arc;

use burn_flex::FlexTensor;

use super::extension::DenseOp;
use super::flex::{Scalar, elements, extents, tensor};
use crate::{Activation, LinearGradients, MaskedLinear, Staircase};

/// Inputs `x, weight, bias` and optionally `addend`; see [`MaskedLinear`].
#[derive(Debug)]
pub(super) struct LinearOp {
    pub(super) staircase: Arc<Staircase>,
    pub(super) activation: Activation,
}

impl LinearOp {
    fn layer<'a, T: Scalar>(
        &'a self,
        weight: &'a FlexTensor,
        bias: &'a FlexTensor,
    ) -> MaskedLinear<'a, T> {
        MaskedLinear {
            weight: elements(weight),
            bias: elements(bias),
            staircase: &self.staircase,
            activation: self.activation,
        }
    }
}

impl DenseOp for LinearOp {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let rows = extents(&inputs[0])[0];
        let mut out = vec![T::ZERO; rows * self.staircase.outputs()];
        let addend = inputs.get(3).map(elements::<T>);
        self.layer::<T>(&inputs[1], &inputs[2]).forward(elements(&inputs[0]), addend, &mut out);
        tensor(out, [rows, self.staircase.outputs()])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: &FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (rows, ins, outs) =
            (extents(&inputs[0])[0], self.staircase.inputs(), self.staircase.outputs());
        let mut grad = elements::<T>(grad).to_vec();
        let mut grad_x = needed[0].then(|| vec![T::ZERO; rows * ins]);
        let mut weight = vec![T::ZERO; ins * outs];
        let mut bias = vec![T::ZERO; outs];
        let to = LinearGradients { x: grad_x.as_deref_mut(), weight: &mut weight, bias: &mut bias };
        self.layer::<T>(&inputs[1], &inputs[2]).backward(
            elements(&inputs[0]),
            elements(output),
            &mut grad,
            to,
        );
        let mut found = vec![
            grad_x.map(|g| tensor(g, [rows, ins])),
            Some(tensor(weight, [ins, outs])),
            Some(tensor(bias, [1, outs])),
        ];
        if inputs.len() == 4 {
            // The kernel leaves the gradient before the activation in place: that is the addend's.
            found.push(Some(tensor(grad, [rows, outs])));
        }
        found
    }
}
