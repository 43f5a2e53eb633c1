//! Conditioners: which inputs may influence which parameters.

mod coupling;
mod masked;

use burn::tensor::Tensor;

pub use coupling::CouplingNetwork;
pub use masked::Masked;

use crate::parameter::Visitor;

/// Computes the parameters of a scalar map from some of the inputs and the context.
pub trait Conditioner: Send + Sync {
    /// `x: [n, inputs]`, `context: [n, c]` to parameters `[n, d k]`, the `k` parameters of a dimension next to each other.
    fn parameters(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2>;

    /// Shows every trainable parameter.
    fn visit(&mut self, visitor: &mut Visitor<'_>);
}
