//! The negative log-density of a flow as an objective: by a program of kernels, or else by the tensor engine.

use burn::tensor::{Tensor, TensorData};

use super::batches::Batch;
use super::objective::Objective;
use crate::element::Element;
use crate::error::Result;
use crate::flat::{elements, set_weights};
use crate::flow::Flow;
use crate::linalg::{host_values, padded_tensor_of, tensor_of};
use crate::program::{Input, Program};

/// Validation rows are filled up to a multiple of this, as when a model scores a table: a row then has the same bits in both.
const PAD_ROWS: usize = 32;

/// The objective of a flow.
pub(crate) fn objective<T: Element>(flow: &Flow) -> Box<dyn Objective<T>> {
    match Program::new(flow) {
        Some(program) => Box::new(ProgramObjective(program)),
        None => Box::new(FlowObjective::<T>::new(flow)),
    }
}

/// A flow whose every layer has a step.
struct ProgramObjective<T>(Program<T>);

fn input(batch: &Batch) -> Input<'_> {
    Input { x: &batch.x, context: batch.context.as_ref() }
}

impl<T: Element> Objective<T> for ProgramObjective<T> {
    fn load(&mut self, weights: &[T]) -> Result<()> {
        self.0.load_in_parallel(weights);
        Ok(())
    }

    fn gradient(&self, weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>> {
        Ok(negated(self.0.gradient(weights, input(batch), &batch.weights, gradient)?))
    }

    fn losses(&self, weights: &[T], batch: &Batch) -> Result<Vec<f64>> {
        Ok(negated(self.0.log_prob(weights, input(batch))?))
    }
}

/// A flow that the tensor engine runs, with the weights of the loop.
pub(crate) struct FlowObjective<T> {
    flow: Flow,
    precision: std::marker::PhantomData<T>,
}

impl<T> FlowObjective<T> {
    pub(crate) fn new(flow: &Flow) -> Self {
        Self { flow: flow.clone(), precision: std::marker::PhantomData }
    }
}

impl<T: Element> Objective<T> for FlowObjective<T> {
    fn load(&mut self, weights: &[T]) -> Result<()> {
        set_weights(&mut self.flow, weights)
    }

    fn gradient(&self, _weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>> {
        let mut flow = self.flow.clone();
        let mut leaves = Vec::new();
        flow.visit(&mut |_, parameter| {
            let leaf = parameter.value.clone().autodiff().require_grad();
            leaves.push(leaf.clone());
            parameter.value = leaf;
        });
        let context = batch.context.as_ref().map(tensor_of);
        let log_prob = flow.log_prob_of_finite(tensor_of(&batch.x), context)?;
        let losses = negated(host_values(log_prob.clone())?);
        let options = (&log_prob.device(), log_prob.dtype());
        let shape = [batch.weights.len()];
        let weights = Tensor::from_data(TensorData::new(batch.weights.clone(), shape), options);
        let mut gradients = (log_prob * weights).sum().neg().backward();
        let mut rest = gradient;
        for leaf in leaves {
            let (part, after) = rest.split_at_mut(leaf.shape().num_elements());
            rest = after;
            match leaf.grad_remove(&mut gradients) {
                Some(found) => part.copy_from_slice(&elements::<T>(found)?),
                None => part.fill(T::ZERO),
            }
        }
        Ok(losses)
    }

    fn losses(&self, _weights: &[T], batch: &Batch) -> Result<Vec<f64>> {
        let rows = batch.x.len();
        let padded = rows.next_multiple_of(PAD_ROWS);
        let context = batch.context.as_ref().map(|c| padded_tensor_of(c, padded));
        let log_prob = self.flow.log_prob(padded_tensor_of(&batch.x, padded), context)?;
        let mut losses = negated(host_values(log_prob)?);
        losses.truncate(rows);
        Ok(losses)
    }
}

fn negated(mut values: Vec<f64>) -> Vec<f64> {
    values.iter_mut().for_each(|v| *v = -*v);
    values
}
