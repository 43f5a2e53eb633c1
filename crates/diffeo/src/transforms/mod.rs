//! The bijections, one a file: what a file says of it, the map, and how it runs on the CPU without tensors.
//!
//! A new one is a file like these and a line in [`LayerSpec`].

mod actnorm;
mod autoregressive;
mod chain;
mod conditional;
mod coupling;
mod describe;
mod elementwise;
mod inverted;
mod linear;
mod own;
mod permutation;
mod plu;

pub use actnorm::{ActNorm, ActNormSpec};
pub use autoregressive::AutoregressiveSpec;
pub(crate) use chain::count_all;
pub use chain::{Chain, ChainSpec};
pub use conditional::{Conditional, ConditionalSpec};
pub use coupling::CouplingSpec;
pub use describe::Describe;
pub use elementwise::ElementwiseSpec;
pub use inverted::{Inverted, InvertedSpec};
pub use own::{Own, OwnLayer, Registry};
pub use permutation::{Permutation, PermutationSpec};
pub use plu::{Plu, PluSpec};

use burn::tensor::Tensor;

use crate::catalog::catalog;
pub use crate::place::Place;

catalog! {
    /// Every bijection that a file can name, described.
    pub enum LayerSpec: Describe {
        Chain(ChainSpec),
        Inverted(InvertedSpec),
        Permutation(PermutationSpec),
        Plu(PluSpec),
        ActNorm(ActNormSpec),
        Elementwise(ElementwiseSpec),
        Coupling(CouplingSpec),
        Autoregressive(AutoregressiveSpec),
        Conditional(ConditionalSpec),
        Own(Own),
    }
}

/// A log-determinant of zero for each row of `x`.
pub(crate) fn no_log_det(x: &Tensor<2>) -> Tensor<1> {
    let device = x.device();
    let dtype = diffeo_kernels::ops::sum_dtype(&device);
    Tensor::zeros([x.dims()[0]], (&device, dtype))
}
