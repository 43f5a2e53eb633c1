//! What a flow sees of its context: numbers that a network makes of it, trained together with the flow.
//!
//! All transforms then share these as their context; marks see the context itself.

mod dense;
mod image;
mod motion;

use burn::tensor::Tensor;
use diffeo_kernels::Real;
use serde::{Deserialize, Serialize};

pub use dense::DenseEmbeddingSpec;
pub use image::ImageEmbeddingSpec;
pub use motion::MotionSpec;

use crate::error::Result;
use crate::parameter::{Init, Visitor};
use crate::step::{Arena, Scratch, Weights};
use dense::{DenseEmbedding, DenseProgram};
use image::{ImageEmbedding, ImageProgram};

/// The embedding of a context, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingSpec {
    /// A few numbers in place of many.
    Dense(DenseEmbeddingSpec),
    /// Numbers of each square of an image.
    Image(ImageEmbeddingSpec),
}

impl From<DenseEmbeddingSpec> for EmbeddingSpec {
    fn from(spec: DenseEmbeddingSpec) -> Self {
        Self::Dense(spec)
    }
}

impl EmbeddingSpec {
    /// Checks every range, for a context of so many numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for the first fault.
    pub fn validate(&self, context: usize) -> Result<()> {
        match self {
            Self::Dense(spec) => spec.validate(context),
            Self::Image(spec) => spec.validate(context),
        }
    }

    /// Of how many members of equal width, whose order says nothing, the context consists.
    pub(crate) fn members(&self) -> usize {
        match self {
            Self::Dense(spec) => spec.members,
            Self::Image(_) => 1,
        }
    }

    /// How many numbers there are in place of a context of so many.
    pub(crate) fn seen(&self, context: usize) -> usize {
        match self {
            Self::Dense(spec) => spec.width,
            Self::Image(spec) => spec.seen(context),
        }
    }

    /// Number of trainable numbers; `None` if it overflows.
    pub(crate) fn count(&self, context: usize) -> Option<u64> {
        match self {
            Self::Dense(spec) => spec.count(context),
            Self::Image(spec) => spec.count(context),
        }
    }

    /// Multiplications that a row takes, about; `None` if that overflows.
    pub(crate) fn work(&self, context: usize) -> Option<u64> {
        match self {
            Self::Dense(spec) => spec.count(context),
            Self::Image(spec) => spec.work(context),
        }
    }
}

/// The embedding of a context of so many numbers, built.
#[derive(Clone, Debug)]
pub(crate) enum Embedding {
    Dense(DenseEmbedding),
    Image(Box<ImageEmbedding>),
}

impl Embedding {
    pub(crate) fn new(spec: &EmbeddingSpec, context: usize, init: &mut Init) -> Result<Self> {
        Ok(match spec {
            EmbeddingSpec::Dense(spec) => Self::Dense(DenseEmbedding::new(spec, context, init)),
            EmbeddingSpec::Image(spec) => {
                Self::Image(Box::new(ImageEmbedding::new(spec, context, init)?))
            }
        })
    }

    pub(crate) fn visit(&mut self, visitor: &mut Visitor<'_>) {
        match self {
            Self::Dense(network) => network.visit(visitor),
            Self::Image(network) => network.visit(visitor),
        }
    }

    /// `[n, c]` to what is seen of it.
    pub(crate) fn forward(&self, context: Tensor<2>) -> Result<Tensor<2>> {
        match self {
            Self::Dense(network) => Ok(network.forward(context)),
            Self::Image(network) => network.forward(context),
        }
    }
}

/// The embedding over flat weights: on tiles of rows, with its backward pass.
#[derive(Debug)]
pub(crate) enum EmbeddingProgram {
    Dense(DenseProgram),
    Image(ImageProgram),
}

/// What a forward pass leaves for its backward pass.
#[derive(Debug, Default)]
pub(crate) struct EmbeddingTape<T>(Arena<T>);

impl EmbeddingProgram {
    /// The program of an embedding whose weights have these names; `None` if it has none.
    pub(crate) fn new(embedding: &Embedding, weights: &Weights<'_>) -> Option<Self> {
        Some(match embedding {
            Embedding::Dense(network) => Self::Dense(DenseProgram::new(network, weights)?),
            Embedding::Image(network) => Self::Image(ImageProgram::new(network, weights)?),
        })
    }

    /// How many numbers come out.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Dense(program) => program.width(),
            Self::Image(program) => program.width(),
        }
    }

    pub(crate) fn load<T: Real>(&self, weights: &[T], loaded: &mut Arena<T>) {
        match self {
            Self::Dense(program) => program.load(weights, loaded),
            Self::Image(program) => program.load(weights, loaded),
        }
    }

    /// `context: [tiles, c, TILE_ROWS]` to `out: [tiles, width, TILE_ROWS]`.
    pub(crate) fn forward<T: Real>(
        &self,
        weights: &[T],
        context: &[T],
        out: &mut [T],
        (loaded, tape): (&Arena<T>, &mut EmbeddingTape<T>),
    ) {
        let kept = (loaded, &mut tape.0);
        match self {
            Self::Dense(program) => program.forward(weights, context, out, kept),
            Self::Image(program) => program.forward(weights, context, out, kept),
        }
    }

    /// Writes the gradient of the network's weights, given that by what [`Self::forward`] made.
    pub(crate) fn backward<T: Real>(
        &self,
        weights: &[T],
        (context, by_out): (&[T], &[T]),
        (loaded, tape): (&Arena<T>, &mut EmbeddingTape<T>),
        scratch: &mut Scratch<T>,
        gradient: &mut [T],
    ) {
        match self {
            Self::Dense(program) => {
                let kept = (loaded, &tape.0);
                program.backward(weights, (context, by_out), kept, scratch, gradient);
            }
            Self::Image(program) => {
                program.backward(weights, by_out, (loaded, &mut tape.0), gradient);
            }
        }
    }
}
