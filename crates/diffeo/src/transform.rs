//! The contract of a bijection, and the direction law.
//!
//! `forward` maps data to base (`x -> z`): the way training runs. `inverse` maps base to data. In every function `x` is the side
//! nearer the data and `z` the side nearer the base. The log-determinant always belongs to the map just applied, so
//! `forward(x).log_det + inverse(z).log_det = 0` when `z = forward(x).value`.

use burn::tensor::Tensor;

use crate::error::Result;
use crate::parameter::Visitor;

/// A differentiable bijection between data space and base space. Batched: row `i` of the result depends on row `i` only.
pub trait Transform: Send + Sync {
    /// Numbers in a row, the same on both sides.
    fn dims(&self) -> usize;

    /// Data to base: `z = f(x | c)` with `log|det dz/dx|`.
    ///
    /// # Errors
    /// When an iterative map does not converge. Widths are checked by [`crate::Flow`] before.
    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped>;

    /// Base to data: `x = f^-1(z | c)` with `log|det dx/dz|`.
    ///
    /// # Errors
    /// When an iterative map does not converge.
    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped>;

    /// Shows every trainable parameter with its name, always in the same order.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let _ = visitor;
    }
}

/// The result of applying a map to a batch.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// Mapped rows, `[n, d]`.
    pub value: Tensor<2>,
    /// `log|det|` of the map just applied, `[n]`, in `f64` where the device has it.
    pub log_det: Tensor<1>,
}
