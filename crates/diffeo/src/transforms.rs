//! The bijections, one a file, and the closed set of those that a model file can name.

mod actnorm;
mod autoregressive;
mod chain;
mod coupling;
mod elementwise;
mod inverted;
mod permutation;
mod plu;
mod standardize;
mod support;

use burn::tensor::Tensor;

pub use actnorm::ActNorm;
pub use autoregressive::Autoregressive;
pub use chain::Chain;
pub use coupling::Coupling;
pub use elementwise::Elementwise;
pub use inverted::Inverted;
pub use permutation::Permutation;
pub use plu::Plu;
pub use standardize::Standardize;
pub use support::{Support, SupportMap};

use crate::error::Result;
use crate::parameter::Visitor;
use crate::transform::{Mapped, Transform};

/// Every bijection that a specification can name. Programs may use any [`Transform`]; files only these.
#[derive(Clone, Debug)]
pub enum Layer {
    /// [`Chain`].
    Chain(Chain),
    /// [`Inverted`].
    Inverted(Inverted<Box<Layer>>),
    /// [`Permutation`].
    Permutation(Permutation),
    /// [`Plu`].
    Plu(Plu),
    /// [`ActNorm`].
    ActNorm(ActNorm),
    /// [`Elementwise`].
    Elementwise(Elementwise),
    /// [`Coupling`].
    Coupling(Box<Coupling>),
    /// [`Autoregressive`].
    Autoregressive(Box<Autoregressive>),
    /// [`Support`].
    Support(Support),
    /// [`Standardize`].
    Standardize(Standardize),
}

impl Layer {
    /// Whether the layer maps the data's own units and so runs in the precision of the data, not of the weights.
    pub(crate) fn maps_units(&self) -> bool {
        matches!(self, Self::Support(_) | Self::Standardize(_))
    }

    fn transform(&self) -> &dyn Transform {
        match self {
            Self::Chain(t) => t,
            Self::Inverted(t) => t,
            Self::Permutation(t) => t,
            Self::Plu(t) => t,
            Self::ActNorm(t) => t,
            Self::Elementwise(t) => t,
            Self::Coupling(t) => &**t,
            Self::Autoregressive(t) => &**t,
            Self::Support(t) => t,
            Self::Standardize(t) => t,
        }
    }

    fn transform_mut(&mut self) -> &mut dyn Transform {
        match self {
            Self::Chain(t) => t,
            Self::Inverted(t) => t,
            Self::Permutation(t) => t,
            Self::Plu(t) => t,
            Self::ActNorm(t) => t,
            Self::Elementwise(t) => t,
            Self::Coupling(t) => &mut **t,
            Self::Autoregressive(t) => &mut **t,
            Self::Support(t) => t,
            Self::Standardize(t) => t,
        }
    }
}

impl Transform for Layer {
    fn dims(&self) -> usize {
        self.transform().dims()
    }

    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        self.transform().forward(x, context)
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        self.transform().inverse(z, context)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.transform_mut().visit(visitor);
    }
}

impl Transform for Box<Layer> {
    fn dims(&self) -> usize {
        (**self).dims()
    }

    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        (**self).forward(x, context)
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        (**self).inverse(z, context)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }
}

/// A log-determinant of zero for each row of `x`.
pub(crate) fn no_log_det(x: &Tensor<2>) -> Tensor<1> {
    let device = x.device();
    let dtype = diffeo_kernels::ops::sum_dtype(&device);
    Tensor::zeros([x.dims()[0]], (&device, dtype))
}
