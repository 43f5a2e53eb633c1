//! The inverse of a masked autoregressive network as one operation, with its backward pass.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::extension::{DenseOp, apply2, apply3};
use super::flex::{Scalar, elements, extents, tensor};
use super::{AnyMap, halves, is_fused};
use crate::{Graph, MadeInverse, MadeInverseBackward, MapGradients};

/// Inputs: `z: [n, d]`, all weights and biases one after another as `[1, total]`, and optionally what is added in node 1.
/// The output is `[2, n, d]`: `x` and log-slopes.
#[derive(Debug)]
struct MadeInverseOp {
    graph: Arc<Graph>,
    map: Arc<dyn AnyMap>,
}

/// `x` and the log-slopes `log dx/dz`, both `[n, d]`, with gradients by `z`, the weight and bias `[1, outputs]` of each linear
/// node, and the addend, which is added in node 1. `None` where there is no kernel: on other devices, or for an empty `z`.
///
/// The inverse takes one pass of the network and its gradient three: the values of the network, the gradients by these and those
/// by the weights. A training step in the other direction takes three in all.
///
/// # Panics
/// If [`MadeInverseBackward::new`] does.
pub fn made_inverse(
    graph: &Arc<Graph>,
    weights: &[[Tensor<2>; 2]],
    map: &Arc<dyn AnyMap>,
    z: &Tensor<2>,
    addend: Option<&Tensor<2>>,
) -> Option<[Tensor<2>; 2]> {
    let [n, d] = z.dims();
    let fits = |t: &Tensor<2>| is_fused(t) && t.dtype() == z.dtype();
    let flat = weights.as_flattened();
    if n * d == 0 || !fits(z) || !addend.is_none_or(fits) || !flat.iter().all(fits) {
        return None;
    }
    let row = |t: &Tensor<2>| t.clone().reshape([1, -1]);
    let flat = Tensor::cat(flat.iter().map(row).collect(), 1);
    let op = Arc::new(MadeInverseOp { graph: Arc::clone(graph), map: Arc::clone(map) });
    let both = match addend {
        Some(addend) => apply3([z.clone(), flat, addend.clone()], op),
        None => apply2([z.clone(), flat], op),
    };
    Some(halves(both))
}

impl MadeInverseOp {
    /// Weight and bias of each linear node.
    fn weights<'a, T: Scalar>(&self, mut flat: &'a [T]) -> Vec<[&'a [T]; 2]> {
        let mut next = |len| {
            let (first, rest) = flat.split_at(len);
            flat = rest;
            first
        };
        let sizes = self.graph.staircases().map(|stairs| (stairs.inputs(), stairs.outputs()));
        sizes.map(|(inputs, outputs)| [next(inputs * outputs), next(outputs)]).collect()
    }

    fn addends<'a, T: Scalar>(&self, inputs: &'a [FlexTensor]) -> Vec<Option<&'a [T]>> {
        let mut addends = vec![None; self.graph.nodes().len()];
        addends[0] = inputs.get(2).map(elements::<T>);
        addends
    }
}

impl DenseOp for MadeInverseOp {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let [n, d] = extents(&inputs[0]);
        let mut out = vec![T::ZERO; 2 * n * d];
        let (x, log_slope) = out.split_at_mut(n * d);
        let weights = self.weights::<T>(elements(&inputs[1]));
        let inverse = MadeInverse::new(&self.graph, &weights, self.map.kernel::<T>(), d);
        inverse.run(elements(&inputs[0]), None, &self.addends(inputs), x, log_slope);
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
        let weights = self.weights::<T>(elements(&inputs[1]));
        let backward = MadeInverseBackward::new(&self.graph, &weights, self.map.kernel::<T>(), d);
        let (value, log_slope) = elements::<T>(grad).split_at(n * d);
        let mut by_weights = needed[1].then(|| vec![T::ZERO; inputs[1].layout().num_elements()]);
        let mut found = backward.run(
            &elements(output)[..n * d],
            &self.addends(inputs),
            MapGradients { value, log_slope },
            by_weights.as_deref_mut(),
        );
        let mut gradients = vec![Some(tensor(found.z, [n, d]))];
        gradients.push(by_weights.map(|values| tensor(values, extents(&inputs[1]))));
        if let Some(addend) = inputs.get(2) {
            gradients.push(Some(tensor(std::mem::take(&mut found.addends[0]), extents(addend))));
        }
        gradients
    }
}
