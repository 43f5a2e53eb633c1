//! Conditioners: which columns may influence the parameters of which.
//!
//! A new one is a file like these and a line in [`ConditionerSpec`].

mod constant;
mod convolutional;
mod graph;
mod guided;
mod half;
mod masked;
mod networked;
mod recurrent;
mod sequenced;
mod structure;
mod tiled;
mod transformer;

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;
use dyn_clone::DynClone;

pub use convolutional::GivenImageSpec;
pub use networked::Networked;
pub use sequenced::Sequenced;
pub use structure::Structure;
pub use tiled::{AnyTiledProgram, Tiled, TiledProgram};

use crate::catalog::catalog;
use crate::error::Result;
use crate::network::Network;
use crate::parameter::{Init, Visitor};
use crate::place::Place;
use crate::step::Weights;
use crate::transform::Given;

catalog! {
    /// Every conditioner that a file can name, described.
    pub enum ConditionerSpec: DescribeConditioner {
        masked::Masked(MaskedSpec),
        half::Half(HalfSpec),
        graph::Graph(GraphSpec),
        convolutional::Convolutional(ConvolutionalSpec),
        transformer::Transformer(TransformerSpec),
        recurrent::Recurrent(RecurrentSpec),
        constant::Constant(ConstantSpec),
        guided::Guided(GuidedSpec),
    }
}

/// A conditioner as plain data.
pub trait DescribeConditioner: Debug + Send + Sync {
    /// Checks every range before anything is allocated.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for the first fault.
    fn validate(&self, at: Place) -> Result<()>;

    /// Number of trainable numbers if a scalar map needs `per_dim` parameters; `None` if it overflows.
    fn count(&self, at: Place, per_dim: u64) -> Option<u64>;

    /// Multiplications that a row takes, about: one for each weight, unless the network says otherwise; `None` if it overflows.
    fn work(&self, at: Place, per_dim: u64) -> Option<u64> {
        self.count(at, per_dim)
    }

    /// Builds it for a scalar map that needs `per_dim` parameters.
    ///
    /// # Errors
    /// As [`DescribeConditioner::validate`].
    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>>;
}

/// Computes the parameters of a scalar map of some columns from other columns and the context.
pub trait Conditioner: DynClone + Debug + Send + Sync {
    /// Which columns are mapped, which ones are seen, and in which order the mapped ones can be solved.
    fn structure(&self) -> &Structure;

    /// The columns that are seen, `[n, seen]`, to parameters `[n, moved k]`, the `k` of a column next to each other.
    ///
    /// # Errors
    /// When an iterative network does not converge.
    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>>;

    /// Reads columns level after level, each once, for rows like these; `None` where only [`Self::parameters`] can, a pass for each level: the default.
    fn sequence(&self, rows: &Tensor<2>, given: &Given<'_>) -> Option<Box<dyn Sequential>> {
        let _ = (rows, given);
        None
    }

    /// The network, if that is all there is and its units are sorted: then kernels run it without tensors, and invert a layer in
    /// one pass.
    #[doc(hidden)]
    fn network(&self) -> Option<&Network> {
        None
    }

    /// How one that is a network on tiles runs on the CPU without tensors; `None` if only tensors run it.
    #[doc(hidden)]
    fn program(&self, weights: &Weights<'_>) -> Option<Arc<dyn AnyTiledProgram>> {
        let _ = weights;
        None
    }

    /// Shows every trainable parameter.
    fn visit(&mut self, visitor: &mut Visitor<'_>);
}

dyn_clone::clone_trait_object!(Conditioner);

/// Gives the parameters of one level after another, of rows that are solved level by level: all levels take as long as one pass.
pub trait Sequential {
    /// The parameters of the next level, `[n, columns k]`, given the columns of the level before as the conditioner sees them, `[n, columns]`; nothing for the first level. `None`
    /// if it cannot go on (a gradient is to go through these): then only [`Conditioner::parameters`] can.
    fn next(&mut self, solved: Option<&Tensor<2>>) -> Option<Tensor<2>>;
}
