//! The masked linear layer as one operation.

use std::sync::Arc;

use burn_flex::FlexTensor;

use super::extension::FusedOp;
use super::flex::{Scalar, dense, elements, extents, into_elements, tensor};
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

    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let dense: Vec<FlexTensor> = inputs.iter().map(dense).collect();
        let rows = extents(&dense[0])[0];
        let mut out = vec![T::ZERO; rows * self.staircase.outputs()];
        let addend = dense.get(3).map(elements::<T>);
        self.layer::<T>(&dense[1], &dense[2]).forward(elements(&dense[0]), addend, &mut out);
        tensor(out, [rows, self.staircase.outputs()])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let dense: Vec<FlexTensor> = inputs.iter().map(dense).collect();
        let (rows, ins, outs) =
            (extents(&dense[0])[0], self.staircase.inputs(), self.staircase.outputs());
        let mut grad = into_elements::<T>(grad);
        let mut grad_x = needed[0].then(|| vec![T::ZERO; rows * ins]);
        let mut weight = vec![T::ZERO; ins * outs];
        let mut bias = vec![T::ZERO; outs];
        let to = LinearGradients { x: grad_x.as_deref_mut(), weight: &mut weight, bias: &mut bias };
        self.layer::<T>(&dense[1], &dense[2]).backward(
            elements(&dense[0]),
            elements(output),
            &mut grad,
            to,
        );
        let mut found = vec![
            grad_x.map(|g| tensor(g, [rows, ins])),
            Some(tensor(weight, [ins, outs])),
            Some(tensor(bias, [1, outs])),
        ];
        if dense.len() == 4 {
            // The kernel leaves the gradient before the activation in place: that is the addend's.
            found.push(Some(tensor(grad, [rows, outs])));
        }
        found
    }
}

impl FusedOp for LinearOp {
    fn forward(&self, inputs: &[FlexTensor]) -> FlexTensor {
        match inputs[0].dtype() {
            burn::tensor::DType::F64 => self.run::<f64>(inputs),
            _ => self.run::<f32>(inputs),
        }
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            burn::tensor::DType::F64 => self.run_backward::<f64>(inputs, output, grad, needed),
            _ => self.run_backward::<f32>(inputs, output, grad, needed),
        }
    }
}
