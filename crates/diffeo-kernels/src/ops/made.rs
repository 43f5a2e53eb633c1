//! The fast inverse of a masked autoregressive network, for tensors that no gradient is wanted of.

use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use super::flex::{Scalar, dense, elements, extents, tensor};
use super::is_fused;
use crate::{Activation, MadeInverse, MadeStep, MaskedLinear, MonotoneMap, Staircase};

/// One step of a masked network, as [`MadeStep`], with its weights in tensors.
#[derive(Clone, Debug)]
pub enum MadeLayer {
    /// A masked linear layer.
    Linear {
        /// `[inputs, outputs]`.
        weight: Tensor<2>,
        /// `[1, outputs]`.
        bias: Tensor<2>,
        /// Which inputs each output sees.
        staircase: Arc<Staircase>,
        /// Applied to the result.
        activation: Activation,
        /// Node that is multiplied; node 0 is the input, node `i + 1` the result of step `i`.
        input: usize,
        /// Node that is added.
        skip: Option<usize>,
    },
    /// An activation by itself.
    Activate {
        /// What is applied.
        activation: Activation,
        /// Node it is applied to.
        input: usize,
    },
}

/// A network and a scalar map, prepared to be inverted: weights are in the order in which they are read.
#[derive(Debug)]
pub struct MadeSampler {
    inverse: Prepared,
    steps: usize,
}

#[derive(Debug)]
enum Prepared {
    F32(MadeInverse<f32>),
    F64(MadeInverse<f64>),
}

/// The primitive of an untracked CPU tensor.
fn primitive(tensor: &Tensor<2>) -> Option<FlexTensor> {
    (is_fused(tensor) && !tensor.is_tracked())
        .then(|| tensor.clone().inner().try_into_primitive::<Flex>().ok())
        .flatten()
        .map(|t| dense(&t))
}

impl MadeSampler {
    /// Prepares the inverse; `None` if a weight is tracked or lives on another device.
    pub fn new(layers: &[MadeLayer], map: MonotoneMap, dims: usize) -> Option<Self> {
        let weights: Option<Vec<Option<[FlexTensor; 2]>>> = layers
            .iter()
            .map(|layer| match layer {
                MadeLayer::Linear { weight, bias, .. } => {
                    Some(Some([primitive(weight)?, primitive(bias)?]))
                }
                MadeLayer::Activate { .. } => Some(None),
            })
            .collect();
        let weights = weights?;
        let double = weights.iter().flatten().any(|[w, _]| w.dtype() == DType::F64);
        let inverse = if double {
            Prepared::F64(prepare(layers, &weights, map, dims))
        } else {
            Prepared::F32(prepare(layers, &weights, map, dims))
        };
        Some(Self { inverse, steps: layers.len() })
    }

    /// `x` and the log-slopes `log dx/dz`, both `[n, d]`; `addend` is added in the first step. `None` if a tensor is tracked.
    pub fn run(&self, z: &Tensor<2>, addend: Option<&Tensor<2>>) -> Option<[Tensor<2>; 2]> {
        let z = primitive(z)?;
        let addend = match addend {
            Some(addend) => Some(primitive(addend)?),
            None => None,
        };
        match &self.inverse {
            Prepared::F32(inverse) => self.apply(inverse, &z, addend.as_ref()),
            Prepared::F64(inverse) => self.apply(inverse, &z, addend.as_ref()),
        }
    }

    fn apply<T: Scalar>(
        &self,
        inverse: &MadeInverse<T>,
        z: &FlexTensor,
        addend: Option<&FlexTensor>,
    ) -> Option<[Tensor<2>; 2]> {
        if z.dtype() != T::dtype() {
            return None;
        }
        let shape = extents(z);
        let count = shape[0] * shape[1];
        let (mut x, mut log_slope) = (vec![T::ZERO; count], vec![T::ZERO; count]);
        let mut addends: Vec<Option<&[T]>> = vec![None; self.steps];
        addends[0] = addend.map(elements::<T>);
        inverse.run(elements::<T>(z), &addends, &mut x, &mut log_slope);
        Some([x, log_slope].map(|values| Tensor::from_primitive::<Flex>(tensor(values, shape))))
    }
}

fn prepare<'a, T: Scalar>(
    layers: &'a [MadeLayer],
    weights: &'a [Option<[FlexTensor; 2]>],
    map: MonotoneMap,
    dims: usize,
) -> MadeInverse<T> {
    let step =
        |(layer, weights): (&'a MadeLayer, &'a Option<[FlexTensor; 2]>)| match (layer, weights) {
            (
                MadeLayer::Linear { staircase, activation, input, skip, .. },
                Some([weight, bias]),
            ) => {
                let (weight, bias) = (elements::<T>(weight), elements::<T>(bias));
                let layer = MaskedLinear { weight, bias, staircase, activation: *activation };
                MadeStep::Linear { layer, input: *input, skip: *skip }
            }
            (MadeLayer::Activate { activation, input }, _) => {
                MadeStep::Activate { activation: *activation, input: *input }
            }
            (MadeLayer::Linear { .. }, None) => unreachable!("every linear layer has weights"),
        };
    let steps: Vec<MadeStep<'_, T>> = layers.iter().zip(weights).map(step).collect();
    MadeInverse::new(&steps, map, dims)
}
