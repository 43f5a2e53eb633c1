//! Base distributions, one a file, and the closed set of those that a model file can name.

mod gaussian;
mod mixture;
mod normal;
mod student_t;
mod uniform;

use burn::tensor::Tensor;

pub use gaussian::Gaussian;
pub use mixture::Mixture;
pub use normal::Normal;
pub use student_t::StudentT;
pub use uniform::Uniform;

use crate::distribution::{Distribution, Sampler};
use crate::error::Result;
use crate::parameter::Visitor;

/// Every base distribution that a specification can name.
#[derive(Clone, Debug)]
pub enum Base {
    /// [`Normal`].
    Normal(Normal),
    /// [`Gaussian`].
    Gaussian(Gaussian),
    /// [`Uniform`].
    Uniform(Uniform),
    /// [`StudentT`].
    StudentT(StudentT),
    /// [`Mixture`].
    Mixture(Mixture),
}

impl Base {
    fn distribution(&self) -> &dyn Distribution {
        match self {
            Self::Normal(d) => d,
            Self::Gaussian(d) => d,
            Self::Uniform(d) => d,
            Self::StudentT(d) => d,
            Self::Mixture(d) => d,
        }
    }
}

impl Distribution for Base {
    fn dims(&self) -> usize {
        self.distribution().dims()
    }

    fn log_prob(&self, z: Tensor<2>) -> Tensor<1> {
        self.distribution().log_prob(z)
    }

    fn sampler(&self) -> Result<Sampler> {
        self.distribution().sampler()
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        match self {
            Self::Normal(d) => d.visit(visitor),
            Self::Gaussian(d) => d.visit(visitor),
            Self::Uniform(d) => d.visit(visitor),
            Self::StudentT(d) => d.visit(visitor),
            Self::Mixture(d) => d.visit(visitor),
        }
    }
}
