//! A fully connected layer, optionally masked to a staircase.

use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo_kernels::ops;
use diffeo_kernels::{Activation, Staircase};

use crate::parameter::{Init, Parameter, Visitor};

/// `y = x W + b`, with `W: [inputs, outputs]` and `b: [1, outputs]`.
///
/// A staircase lets output `j` see only the first `prefix[j]` inputs; `prefix` does not decrease. Masked weights are zero and stay zero.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Parameter,
    staircase: Arc<Staircase>,
}

impl Linear {
    /// Uniform weights on `±1/sqrt(inputs seen)`, so that the variance does not depend on the mask.
    pub fn new(inputs: usize, outputs: usize, prefix: Option<Vec<usize>>, init: &mut Init) -> Self {
        debug_assert!(prefix.as_ref().is_none_or(|p| p.len() == outputs && p.is_sorted()));
        let weight = init.uniform([inputs, outputs], 1.0);
        let seen = |j: usize| prefix.as_ref().map_or(inputs, |p| p[j]);
        let bounds = (0..outputs).map(|j| 1.0 / (seen(j).max(1) as f64).sqrt()).collect();
        let weight = weight * init.values([1, outputs], bounds);
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        let bias = Parameter::new(init.uniform([1, outputs], bound));
        Self::masked(weight, bias, prefix, init)
    }

    /// All weights and biases zero: the last layer of a conditioner, so that the flow starts as the identity.
    pub fn zeros(inputs: usize, outputs: usize, prefix: Option<Vec<usize>>, init: &Init) -> Self {
        let bias = Parameter::new(init.full([1, outputs], 0.0));
        Self::masked(init.full([inputs, outputs], 0.0), bias, prefix, init)
    }

    fn masked(weight: Tensor<2>, bias: Parameter, prefix: Option<Vec<usize>>, init: &Init) -> Self {
        let [inputs, outputs] = weight.dims();
        let mask = prefix.as_ref().map(|prefix| {
            let at = |i: usize| f64::from(u8::from(i / outputs < prefix[i % outputs]));
            init.values([inputs, outputs], (0..inputs * outputs).map(at).collect())
        });
        let staircase = Arc::new(match prefix {
            Some(prefix) => Staircase::new(inputs, prefix),
            None => Staircase::dense(inputs, outputs),
        });
        let value = mask.iter().fold(weight, |w, m| w * m.clone());
        Self { weight: Parameter { value, mask, decay: true }, bias, staircase }
    }

    /// Which inputs each output sees.
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
        let (weight, bias) = (self.weight.value.clone(), self.bias.value.clone());
        ops::linear(x, weight, bias, addend, &self.staircase, activation)
    }

    /// `x W`, for a second input that is added to the first one's result.
    pub fn forward_without_bias(&self, x: Tensor<2>) -> Tensor<2> {
        let bias = self.bias.value.zeros_like();
        let weight = self.weight.value.clone();
        ops::linear(x, weight, bias, None, &self.staircase, Activation::None)
    }

    /// Weight and bias.
    pub(crate) fn weights(&self) -> [Tensor<2>; 2] {
        [self.weight.value.clone(), self.bias.value.clone()]
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
