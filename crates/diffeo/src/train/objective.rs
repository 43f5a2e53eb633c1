//! What the loop minimises, seen from the loop: flat weights in, losses and a flat gradient out.

use super::batches::Batch;
use crate::error::Result;

/// A loss that is a weighted sum over rows.
///
/// One instance is shared by all threads; `load` is called between steps, the other two from many threads at once.
pub(crate) trait Objective<T>: Send + Sync {
    /// Takes up the weights that the next calls are about, in the order of the [`crate::engine::Layout`]. Runs on the threads of the run.
    fn load(&mut self, weights: &[T]) -> Result<()>;

    /// Writes the gradient of `sum_i weight_i loss_i` over `gradient` and returns the `loss_i = -log_prob(row i)`.
    ///
    /// `weights` are those last loaded. Masked elements of `gradient` are zero before and after.
    fn gradient(&self, weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>>;

    /// The `loss_i` alone.
    fn losses(&self, weights: &[T], batch: &Batch) -> Result<Vec<f64>>;
}
