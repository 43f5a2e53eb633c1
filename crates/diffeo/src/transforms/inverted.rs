//! A bijection used the other way round.

use burn::tensor::Tensor;

use crate::error::Result;
use crate::parameter::Visitor;
use crate::transform::{Mapped, Transform};

/// Swaps the directions of a transform: an inverted MAF layer is an IAF layer, fast to sample and slow to score.
///
/// * forward: `z = t.inverse(x)`; inverse: `x = t.forward(z)`.
///
/// Reference: Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling. *Inverse Autoregressive Flow*. NeurIPS 2016, arXiv:1606.04934.
#[derive(Clone, Debug)]
pub struct Inverted<T>(
    /// The transform whose directions are swapped.
    pub T,
);

impl<T: Transform> Transform for Inverted<T> {
    fn dims(&self) -> usize {
        self.0.dims()
    }

    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        self.0.inverse(x, context)
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        self.0.forward(z, context)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }
}
