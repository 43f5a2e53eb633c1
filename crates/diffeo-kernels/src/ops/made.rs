//! The fast inverse of a masked autoregressive network, for tensors that no gradient is wanted of.

use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use super::flex::{Scalar, dense, elements, extents, tensor};
use super::{AnyMap, is_fused};
use crate::{Graph, MadeInverse};

/// A network and a scalar map, prepared to be inverted: weights are in the order in which they are read.
#[derive(Debug)]
pub struct MadeSampler {
    inverse: Prepared,
    /// But the input.
    nodes: usize,
}

#[derive(Debug)]
enum Prepared {
    F32(MadeInverse<f32>),
    F64(MadeInverse<f64>),
}

/// The primitive of an untracked CPU tensor.
pub(super) fn primitive(tensor: &Tensor<2>) -> Option<FlexTensor> {
    (is_fused(tensor) && !tensor.is_tracked())
        .then(|| tensor.clone().inner().try_into_primitive::<Flex>().ok())
        .flatten()
        .map(|t| dense(&t))
}

impl MadeSampler {
    /// Prepares the inverse of a network with the weight and bias `[1, outputs]` of each linear node in their order; `None` if one
    /// is tracked or lives on another device.
    ///
    /// # Panics
    /// If [`MadeInverse::new`] does.
    pub fn new(
        graph: &Graph,
        weights: &[[Tensor<2>; 2]],
        map: &Arc<dyn AnyMap>,
        dims: usize,
    ) -> Option<Self> {
        let both = |[weight, bias]: &[Tensor<2>; 2]| Some([primitive(weight)?, primitive(bias)?]);
        let weights = weights.iter().map(both).collect::<Option<Vec<_>>>()?;
        let double = weights.iter().any(|[weight, _]| weight.dtype() == DType::F64);
        let inverse = if double {
            Prepared::F64(prepare(graph, &weights, map, dims))
        } else {
            Prepared::F32(prepare(graph, &weights, map, dims))
        };
        Some(Self { inverse, nodes: graph.nodes().len() })
    }

    /// `x` and the log-slopes `log dx/dz`, both `[n, d]`; `addend` is added in node 1, and what is not `there` stays as in [`MadeInverse::run`]. `None` if a tensor is tracked.
    pub fn run(
        &self,
        z: &Tensor<2>,
        there: Option<&Tensor<2>>,
        addend: Option<&Tensor<2>>,
    ) -> Option<[Tensor<2>; 2]> {
        let given = |tensor: Option<&Tensor<2>>| match tensor {
            Some(tensor) => primitive(tensor).map(Some),
            None => Some(None),
        };
        let (z, there, addend) = (primitive(z)?, given(there)?, given(addend)?);
        match &self.inverse {
            Prepared::F32(inverse) => self.apply(inverse, &z, there.as_ref(), addend.as_ref()),
            Prepared::F64(inverse) => self.apply(inverse, &z, there.as_ref(), addend.as_ref()),
        }
    }

    fn apply<T: Scalar>(
        &self,
        inverse: &MadeInverse<T>,
        z: &FlexTensor,
        there: Option<&FlexTensor>,
        addend: Option<&FlexTensor>,
    ) -> Option<[Tensor<2>; 2]> {
        if z.dtype() != T::dtype() {
            return None;
        }
        let shape = extents(z);
        let count = shape[0] * shape[1];
        let (mut x, mut log_slope) = (vec![T::ZERO; count], vec![T::ZERO; count]);
        let mut addends: Vec<Option<&[T]>> = vec![None; self.nodes];
        addends[0] = addend.map(elements::<T>);
        let there = there.map(elements::<T>);
        inverse.run(elements::<T>(z), there, &addends, &mut x, &mut log_slope);
        Some([x, log_slope].map(|values| Tensor::from_primitive::<Flex>(tensor(values, shape))))
    }
}

fn prepare<T: Scalar>(
    graph: &Graph,
    weights: &[[FlexTensor; 2]],
    map: &Arc<dyn AnyMap>,
    dims: usize,
) -> MadeInverse<T> {
    let weights: Vec<[&[T]; 2]> =
        weights.iter().map(|both| both.each_ref().map(elements::<T>)).collect();
    MadeInverse::new(graph, &weights, map.kernel::<T>(), dims)
}
