//! What a fit minimises, and where its rows come from.

use burn::tensor::{Tensor, TensorData};

use super::batches::Batch;
use crate::engine::{Element, Engine};
use crate::error::Result;
use crate::flow::Flow;
use crate::host::linalg::tensor_of;

/// A loss of a flow on rows, in tensors: what a [`super::Learner`] goes down.
pub trait Objective: Send + Sync {
    /// The loss, `[1]` or one number for each row, of which the sum counts.
    ///
    /// # Errors
    /// Those of the flow.
    fn loss(&self, flow: &Flow, batch: &Batch) -> Result<Tensor<1>>;
}

/// Rows for the steps of a learner: of a table, a replay buffer, a base distribution.
pub trait Source {
    /// The batch of step `step`, counted from 0: the same whenever it is asked for.
    ///
    /// # Errors
    /// When there are no more rows.
    fn batch(&mut self, step: u64) -> Result<Batch>;
}

/// The weighted mean of `-log p(x | c)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Likelihood;

impl Objective for Likelihood {
    fn loss(&self, flow: &Flow, batch: &Batch) -> Result<Tensor<1>> {
        let context = batch.context.as_ref().map(tensor_of);
        let log_det = batch.column(&batch.log_det);
        let log_prob =
            flow.log_prob_of_finite(tensor_of(&batch.x), log_det, context, batch.draws)?;
        let weights = batch.column(&batch.weights);
        let total: f64 = batch.weights.iter().sum();
        Ok((log_prob * weights).sum().neg().div_scalar(total))
    }
}

impl Batch {
    /// A number of each row as a tensor.
    fn column(&self, values: &[f64]) -> Tensor<1> {
        let x = (&burn::tensor::Device::flex(), burn::tensor::DType::F64);
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), x)
    }
}

/// What the loop over a table minimises, seen from the loop: flat weights in, losses and a flat gradient out.
///
/// One instance is shared by all threads; `load` is called between steps, the other two from many threads at once.
pub(crate) trait FlatObjective<T>: Send + Sync {
    /// Takes up the weights that the next calls are about, in the order of the [`crate::engine::Layout`]. Runs on the threads of the run.
    fn load(&mut self, weights: &[T]) -> Result<()>;

    /// Writes the gradient of `sum_i weight_i loss_i` over `gradient` and returns the `loss_i`: `-log_prob(row i)`, or what is gone down instead.
    ///
    /// `weights` are those last loaded. Masked elements of `gradient` are zero before and after.
    fn gradient(&self, weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>>;

    /// What validates: `-log_prob` of each row.
    fn losses(&self, weights: &[T], batch: &Batch) -> Result<Vec<f64>>;
}

/// The negative log-density of a flow.
impl<T: Element> FlatObjective<T> for Engine<T> {
    fn load(&mut self, weights: &[T]) -> Result<()> {
        Engine::load(self, weights)
    }

    fn gradient(&self, weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>> {
        Ok(negated(Engine::gradient(self, weights, batch.input(), &batch.weights, gradient)?))
    }

    fn losses(&self, weights: &[T], batch: &Batch) -> Result<Vec<f64>> {
        Ok(negated(self.log_prob(weights, batch.input())?))
    }
}

pub(super) fn negated(mut values: Vec<f64>) -> Vec<f64> {
    values.iter_mut().for_each(|v| *v = -*v);
    values
}
