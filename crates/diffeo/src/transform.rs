//! The contract of a bijection, and the direction law.
//!
//! `forward` maps data to base (`x -> z`): the way training runs. `inverse` maps base to data. In every function `x` is the side
//! nearer the data and `z` the side nearer the base. The log-determinant always belongs to the map just applied, so
//! `forward(x).log_det + inverse(z).log_det = 0` when `z = forward(x).value`.

use std::fmt::Debug;

use burn::tensor::Tensor;
use dyn_clone::DynClone;

use crate::error::Result;
use crate::host::draws::Draws;
use crate::parameter::Visitor;
use crate::step::{Steps, Weights};

/// A differentiable bijection between data space and base space. Batched: row `i` of the result depends on row `i` only.
///
/// Two methods and a width make a bijection; each of the others has a default that is true of every bijection.
pub trait Transform: DynClone + Debug + Send + Sync {
    /// Numbers in a row, the same on both sides.
    fn dims(&self) -> usize;

    /// Data to base: `z = f(x | c)`, `x` and `z` `[n, d]`, with `log|det dz/dx|`, `[n]`.
    ///
    /// # Errors
    /// When an iterative map does not converge. Widths are checked by [`crate::Flow`] before.
    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped>;

    /// Base to data: `x = f^-1(z | c)`, `z` and `x` `[n, d]`, with `log|det dx/dz|`, `[n]`.
    ///
    /// # Errors
    /// When an iterative map does not converge.
    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped>;

    /// [`Transform::inverse`] without the log-determinant: what a sample takes. The same rows, sooner where that is dear.
    ///
    /// # Errors
    /// As [`Transform::inverse`].
    fn inverse_value(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.inverse(z, given)?.value)
    }

    /// Shows every trainable parameter with its name, always in the same order.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let _ = visitor;
    }

    /// Sets what starts from data, seen from the data side, and returns the images of these rows.
    ///
    /// # Errors
    /// As [`Transform::forward`].
    fn start(&mut self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.forward(x, given)?.value)
    }

    /// As [`Transform::start`] for a layer that is used the other way round: `z` are the rows it starts from.
    ///
    /// # Errors
    /// As [`Transform::inverse`].
    fn start_inverse(&mut self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.inverse(z, given)?.value)
    }

    /// The log-scales that the layer applies at some rows of the data side, with their bounds: what tells a fit that ran into them.
    ///
    /// # Errors
    /// As [`Transform::forward`].
    fn scales(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<Vec<Scales>> {
        let _ = (x, given);
        Ok(Vec::new())
    }

    /// How often a layer that solves a differential equation evaluates its field to map a row forward, on average over these rows; 0 where there is none.
    ///
    /// # Errors
    /// As [`Transform::forward`].
    fn evaluations(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<f64> {
        let _ = (x, given);
        Ok(0.0)
    }

    /// Where rows are on their way forward: at `stops` equal parts of it, the last of which is its end, in a layer that solves a differential equation, and at its end in any other.
    ///
    /// # Errors
    /// As [`Transform::forward`].
    fn path(&self, x: &Tensor<2>, given: &Given<'_>, stops: usize) -> Result<Vec<Tensor<2>>> {
        let _ = stops;
        Ok(vec![self.forward(x.clone(), given)?.value])
    }

    /// How the layer runs on the CPU without tensors; `None` if only tensors run it.
    #[doc(hidden)]
    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let _ = weights;
        None
    }
}

dyn_clone::clone_trait_object!(Transform);

/// What a layer is given beside its rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The context of each row, `[n, c]`; `None` for an unconditional density.
    pub context: Option<&'a Tensor<2>>,
    /// Random numbers in a training step, where an estimate without bias is enough; `None` where the result must be exact.
    pub draws: Option<Draws>,
}

impl<'a> Given<'a> {
    /// Rows with this context, if any, to be treated exactly.
    pub fn context(context: Option<&'a Tensor<2>>) -> Self {
        Self { context, draws: None }
    }

    /// The same for the `i`-th of several layers, which must not share random numbers.
    #[must_use]
    pub fn part(&self, i: usize) -> Self {
        Self { draws: self.draws.map(|draws| draws.part(i)), ..*self }
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

/// Log-scales of a layer and the size that none of them can exceed.
#[derive(Clone, Debug)]
pub struct Scales {
    /// `ln` of each scale at each row, `[n, k]`.
    pub log_scales: Tensor<2>,
    /// Their bound.
    pub bound: f64,
}
