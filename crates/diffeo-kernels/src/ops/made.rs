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

/// A step of a masked network without its weights.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Linear { staircase: Arc<Staircase>, activation: Activation, input: usize, skip: Option<usize> },
    Activate { activation: Activation, input: usize },
}

impl Form {
    pub(super) fn of(layer: &MadeLayer) -> Self {
        match layer {
            MadeLayer::Linear { staircase, activation, input, skip, .. } => Self::Linear {
                staircase: Arc::clone(staircase),
                activation: *activation,
                input: *input,
                skip: *skip,
            },
            MadeLayer::Activate { activation, input } => {
                Self::Activate { activation: *activation, input: *input }
            }
        }
    }

    /// The step with its weights and bias, which a linear one takes from `weights`.
    pub(super) fn step<'a, T>(
        &'a self,
        mut weights: impl FnMut(&Staircase) -> [&'a [T]; 2],
    ) -> MadeStep<'a, T> {
        match self {
            Self::Linear { staircase, activation, input, skip } => {
                let [weight, bias] = weights(staircase);
                let layer = MaskedLinear { weight, bias, staircase, activation: *activation };
                MadeStep::Linear { layer, input: *input, skip: *skip }
            }
            Self::Activate { activation, input } => {
                MadeStep::Activate { activation: *activation, input: *input }
            }
        }
    }
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
        let mut weights = Vec::with_capacity(layers.len());
        for layer in layers {
            if let MadeLayer::Linear { weight, bias, .. } = layer {
                weights.push([primitive(weight)?, primitive(bias)?]);
            }
        }
        let double = weights.iter().any(|[weight, _]| weight.dtype() == DType::F64);
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

fn prepare<T: Scalar>(
    layers: &[MadeLayer],
    weights: &[[FlexTensor; 2]],
    map: MonotoneMap,
    dims: usize,
) -> MadeInverse<T> {
    let forms: Vec<Form> = layers.iter().map(Form::of).collect();
    let mut weights = weights.iter();
    let mut next = |_: &Staircase| match weights.next() {
        Some([weight, bias]) => [elements::<T>(weight), elements::<T>(bias)],
        None => unreachable!("every linear layer has weights"),
    };
    let steps: Vec<MadeStep<'_, T>> = forms.iter().map(|form| form.step(&mut next)).collect();
    MadeInverse::new(&steps, map, dims)
}
