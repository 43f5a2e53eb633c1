//! What a file says of a layer.

use std::fmt::Debug;

use super::LayerSpec;
use crate::error::Result;
use crate::parameter::Init;
use crate::place::Place;
use crate::transform::Transform;

/// A layer as plain data: checked, counted, then built.
pub trait Describe: Debug + Send + Sync {
    /// Checks every range before anything is allocated.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for the first fault.
    fn validate(&self, at: Place) -> Result<()>;

    /// Number of trainable numbers, masked ones included, without building anything; `None` if it overflows.
    fn count(&self, at: Place) -> Option<u64>;

    /// Multiplications that a row takes, about: one for each weight, unless the layer says otherwise; `None` if it overflows.
    fn work(&self, at: Place) -> Option<u64> {
        self.count(at)
    }

    /// Builds the layer with initial weights.
    ///
    /// # Errors
    /// As [`Describe::validate`].
    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>>;

    /// The layers inside.
    fn inner(&self) -> &[LayerSpec] {
        &[]
    }

    /// The layers inside, to be given their meaning by a [`super::Registry`]: the same as [`Describe::inner`].
    fn inner_mut(&mut self) -> &mut [LayerSpec] {
        &mut []
    }

    /// Which number of the context says of each column of the result whether it is there, if `gates` say so of the columns of the data side;
    /// `None` if the layer cannot leave columns out. One that is not there must stay as it is and must not be seen by the others.
    fn gates_after(&self, gates: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        gates.iter().all(Option::is_none).then(|| gates.to_vec())
    }

    /// Where the scalar maps of the layer end, in standard deviations of its input: beyond, they are linear.
    fn bound(&self) -> f64 {
        self.inner().iter().map(|layer| layer.bound()).fold(f64::INFINITY, f64::min)
    }
}
