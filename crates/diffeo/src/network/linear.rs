//! A fully connected layer, optionally masked to a staircase.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo_kernels::ops;
use diffeo_kernels::{Activation, Staircase};

use super::Mask;
use crate::parameter::{Init, Parameter, Visitor};

/// `y = x W + b`, with `W: [inputs, outputs]` and `b: [1, outputs]`.
///
/// Masked weights are zero and stay zero. Kernels know the staircase that covers the mask; what it has beyond that are holes, whose weights are multiplied as zeros and whose
/// gradients are closed.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Parameter,
    staircase: Arc<Staircase>,
    /// Runs of weights that are masked under the staircase.
    holes: Arc<[Range<usize>]>,
}

impl Linear {
    /// Uniform weights on `±1/sqrt(inputs seen)`, so that the variance does not depend on the mask.
    pub fn new(inputs: usize, outputs: usize, mask: &Mask, init: &mut Init) -> Self {
        let weight = init.uniform([inputs, outputs], 1.0);
        let bound = |seen: usize| 1.0 / (seen.max(1) as f64).sqrt();
        let bounds = mask.counts([inputs, outputs]).into_iter().map(bound).collect();
        let weight = weight * init.values([1, outputs], bounds);
        let bias = Parameter::new(init.uniform([1, outputs], bound(inputs)));
        Self::masked(weight, bias, mask, init)
    }

    /// All weights and biases zero: the last layer of a conditioner, so that the flow starts as the identity.
    pub fn zeros(inputs: usize, outputs: usize, mask: &Mask, init: &Init) -> Self {
        let bias = Parameter::new(init.full([1, outputs], 0.0));
        Self::masked(init.full([inputs, outputs], 0.0), bias, mask, init)
    }

    fn masked(weight: Tensor<2>, bias: Parameter, mask: &Mask, init: &Init) -> Self {
        let shape = weight.dims();
        let staircase = Arc::new(Staircase::new(shape[0], mask.prefix(shape)));
        let holes = mask.holes(shape).into();
        let mask = mask.values(shape).map(|values| init.values(shape, values));
        let value = mask.iter().fold(weight, |w, m| w * m.clone());
        Self { weight: Parameter { value, mask, decay: true }, bias, staircase, holes }
    }

    /// The weight, with a gradient only where it is not masked.
    fn weight(&self) -> Tensor<2> {
        // Kernels close the gradient beyond the staircase.
        if self.holes.is_empty() { self.weight.value.clone() } else { self.weight.masked() }
    }

    /// Runs of weights that are masked under the staircase.
    pub(super) fn holes(&self) -> &Arc<[Range<usize>]> {
        &self.holes
    }

    /// Which inputs each output may see.
    pub fn staircase(&self) -> &Arc<Staircase> {
        &self.staircase
    }

    /// `activation(x W + b + addend)`.
    pub fn forward(
        &self,
        x: Tensor<2>,
        addend: Option<Tensor<2>>,
        activation: Activation,
    ) -> Tensor<2> {
        let bias = self.bias.value.clone();
        ops::linear(x, self.weight(), bias, addend, &self.staircase, activation)
    }

    /// `x W`, for a second input that is added to the first one's result.
    pub fn forward_without_bias(&self, x: Tensor<2>) -> Tensor<2> {
        let bias = self.bias.value.zeros_like();
        ops::linear(x, self.weight(), bias, None, &self.staircase, Activation::None)
    }

    /// Weight and bias.
    pub(crate) fn weights(&self) -> [Tensor<2>; 2] {
        [self.weight(), self.bias.value.clone()]
    }

    /// Replaces the bias.
    pub(super) fn set_bias(&mut self, bias: Tensor<2>) {
        self.bias.value = bias;
    }

    /// Shows `weight` and `bias`.
    pub fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("weight", &mut self.weight);
        visitor("bias", &mut self.bias);
    }

    /// Shows `weight` alone, for a layer used without its bias.
    pub fn visit_weight(&mut self, visitor: &mut Visitor<'_>) {
        visitor("weight", &mut self.weight);
    }
}
