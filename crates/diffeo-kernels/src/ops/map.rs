//! The scalar maps as operations: value and log-slope in one pass, stacked as `[2, n, d]`.

use burn_flex::FlexTensor;

use super::Direction;
use super::extension::DenseOp;
use super::flex::{Scalar, elements, extents, tensor};
use crate::{ArgumentGradients, MapGradients, MonotoneMap};

/// Inputs: the argument `[n, d]` and the parameters `[n, d k]`.
#[derive(Debug)]
pub(super) struct MapOp {
    pub(super) map: MonotoneMap,
    pub(super) direction: Direction,
}

impl DenseOp for MapOp {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let [n, d] = extents(&inputs[0]);
        let mut out = vec![T::ZERO; 2 * n * d];
        let (value, log_slope) = out.split_at_mut(n * d);
        let (x, params) = (elements::<T>(&inputs[0]), elements::<T>(&inputs[1]));
        match self.direction {
            Direction::Forward => self.map.forward(x, params, value, log_slope),
            Direction::Inverse => self.map.inverse(x, params, value, log_slope),
        }
        tensor(out, [2, n, d])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: &FlexTensor,
        _needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (input, params) = (&inputs[0], &inputs[1]);
        let [n, d] = extents(input);
        let mut grad_input = vec![T::ZERO; n * d];
        let mut grad_params = vec![T::ZERO; params.layout().num_elements()];
        let (value, log_slope) = elements::<T>(grad).split_at(n * d);
        let from = MapGradients { value, log_slope };
        let to = ArgumentGradients { input: &mut grad_input, params: &mut grad_params };
        // Both directions are differentiated at the data side: an inverse's output.
        let x = match self.direction {
            Direction::Forward => elements::<T>(input),
            Direction::Inverse => &elements::<T>(output)[..n * d],
        };
        let p = elements::<T>(params);
        match self.direction {
            Direction::Forward => self.map.forward_backward(x, p, from, to),
            Direction::Inverse => self.map.inverse_backward(x, p, from, to),
        }
        vec![Some(tensor(grad_input, [n, d])), Some(tensor(grad_params, extents(params)))]
    }
}
