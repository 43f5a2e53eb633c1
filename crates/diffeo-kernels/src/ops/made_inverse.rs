//! The inverse of a masked autoregressive network as one operation, with its backward pass.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::extension::{DenseOp, apply2, apply3};
use super::flex::{Scalar, elements, extents, tensor};
use super::made::{Form, MadeLayer};
use super::{halves, is_fused};
use crate::{MadeInverse, MadeInverseBackward, MadeStep, MapGradients, MonotoneMap, Staircase};

/// Inputs: `z: [n, d]`, all weights and biases one after another as `[1, total]`, and optionally what is added in the first
/// step. The output is `[2, n, d]`: `x` and log-slopes.
#[derive(Debug)]
struct MadeInverseOp {
    forms: Vec<Form>,
    map: MonotoneMap,
}

/// `x` and the log-slopes `log dx/dz`, both `[n, d]`, with gradients by `z`, weights, biases and the addend, which is added in
/// the first step. `None` where there is no kernel: on other devices, or for an empty `z`.
///
/// The inverse takes one pass of the network and its gradient three: the values of the network, the gradients by these and those
/// by the weights. A training step in the other direction takes three in all.
pub fn made_inverse(
    layers: &[MadeLayer],
    map: MonotoneMap,
    z: &Tensor<2>,
    addend: Option<&Tensor<2>>,
) -> Option<[Tensor<2>; 2]> {
    let [n, d] = z.dims();
    let fits = |t: &Tensor<2>| is_fused(t) && t.dtype() == z.dtype();
    let mut flat = Vec::with_capacity(2 * layers.len());
    for layer in layers {
        if let MadeLayer::Linear { weight, bias, .. } = layer {
            flat.extend([weight, bias]);
        }
    }
    if n * d == 0 || !fits(z) || !addend.is_none_or(fits) || !flat.iter().all(|t| fits(t)) {
        return None;
    }
    let row = |t: &Tensor<2>| t.clone().reshape([1, -1]);
    let flat = Tensor::cat(flat.into_iter().map(row).collect(), 1);
    let forms = layers.iter().map(Form::of).collect();
    let op = std::sync::Arc::new(MadeInverseOp { forms, map });
    let both = match addend {
        Some(addend) => apply3([z.clone(), flat, addend.clone()], op),
        None => apply2([z.clone(), flat], op),
    };
    Some(halves(both))
}

impl MadeInverseOp {
    fn steps<'a, T: Scalar>(&'a self, mut flat: &'a [T]) -> Vec<MadeStep<'a, T>> {
        let mut next = |staircase: &Staircase| {
            let outputs = staircase.outputs();
            let (weight, rest) = flat.split_at(staircase.inputs() * outputs);
            let (bias, rest) = rest.split_at(outputs);
            flat = rest;
            [weight, bias]
        };
        self.forms.iter().map(|form| form.step(&mut next)).collect()
    }

    fn addends<'a, T: Scalar>(&self, inputs: &'a [FlexTensor]) -> Vec<Option<&'a [T]>> {
        let mut addends = vec![None; self.forms.len()];
        addends[0] = inputs.get(2).map(elements::<T>);
        addends
    }
}

impl DenseOp for MadeInverseOp {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let [n, d] = extents(&inputs[0]);
        let mut out = vec![T::ZERO; 2 * n * d];
        let (x, log_slope) = out.split_at_mut(n * d);
        let inverse = MadeInverse::new(&self.steps::<T>(elements(&inputs[1])), self.map, d);
        inverse.run(elements(&inputs[0]), &self.addends(inputs), x, log_slope);
        tensor(out, [2, n, d])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: &FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let [n, d] = extents(&inputs[0]);
        let steps = self.steps::<T>(elements(&inputs[1]));
        let (value, log_slope) = elements::<T>(grad).split_at(n * d);
        let mut weights = needed[1].then(|| vec![T::ZERO; inputs[1].layout().num_elements()]);
        let mut found = MadeInverseBackward::new(&steps, self.map, d).run(
            &elements(output)[..n * d],
            &self.addends(inputs),
            MapGradients { value, log_slope },
            weights.as_deref_mut(),
        );
        let mut gradients = vec![Some(tensor(found.z, [n, d]))];
        gradients.push(weights.map(|weights| tensor(weights, extents(&inputs[1]))));
        if let Some(addend) = inputs.get(2) {
            gradients.push(Some(tensor(std::mem::take(&mut found.addends[0]), extents(addend))));
        }
        gradients
    }
}
