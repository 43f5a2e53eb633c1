//! What a fit minimises, and where its rows come from.

use burn::tensor::{Tensor, TensorData};

use super::batches::Batch;
use crate::engine::{Element, Engine};
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::host::draws::Draws;
use crate::host::linalg::tensor_of;
use crate::host::random::{Purpose, Streams};
use crate::host::rows::Rows;

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

/// An unnormalised log-density, written with tensors so that its gradient comes by itself.
pub trait LogDensity: Send + Sync {
    /// Numbers in a row.
    fn dims(&self) -> usize;

    /// `ln p~(x)` of each row of `x: [n, d]`, up to a constant.
    ///
    /// # Errors
    /// When an iterative method does not converge.
    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>>;
}

/// `KL(q || p)` up to the constant of `p`, from draws of the base that the batch holds: `mean of log q(x) - log p~(x)`, `x = f^-1(z)`.
///
/// Reference: Rezende, Mohamed. *Variational Inference with Normalizing Flows*. ICML 2015, eq. 15, arXiv:1505.05770.
#[derive(Clone, Debug)]
pub struct ReverseKl<D>(
    /// The target.
    pub D,
);

impl<D: LogDensity> Objective for ReverseKl<D> {
    fn loss(&self, flow: &Flow, batch: &Batch) -> Result<Tensor<1>> {
        if flow.spec().marks.is_some() {
            return Err(Error::config(
                "the reverse KL needs gradients through draws, which outcomes do not have: give a flow of numbers alone",
            ));
        }
        let z = tensor_of(&batch.x).cast(flow.spec().precision.dtype());
        let context = batch.context.as_ref().map(tensor_of);
        let log_base = flow.base().log_prob(z.clone());
        let mapped = flow.to_data_given(z, context, batch.draws)?;
        let log_target = self.0.log_density(mapped.value)?.cast(log_base.dtype());
        Ok((log_base - mapped.log_det - log_target).mean())
    }
}

/// Draws of a flow's base: the source of variational inference and of distillation.
#[derive(Clone, Debug)]
pub struct BaseDraws {
    flow: Flow,
    rows: usize,
    streams: Streams,
}

impl BaseDraws {
    /// So many draws a step of the base that the flow has now.
    pub fn new(flow: &Flow, rows: usize, seed: u64) -> Self {
        Self { flow: flow.clone(), rows, streams: Streams::new(seed) }
    }
}

impl Source for BaseDraws {
    fn batch(&mut self, step: u64) -> Result<Batch> {
        let width = self.flow.dims();
        let mut rows = Rows::zeros(self.rows, width);
        let sampler = self.flow.base().sampler()?;
        for (i, row) in rows.values_mut().chunks_exact_mut(width).enumerate() {
            sampler(&mut self.streams.rng(Purpose::Draws, step, i as u64), 1.0, row);
        }
        Ok(Batch { draws: Some(Draws::new(self.streams, step, 0)), ..Batch::of(rows) })
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
