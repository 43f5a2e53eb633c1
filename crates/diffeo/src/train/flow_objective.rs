//! The negative log-density of a flow as an objective.

use super::batches::Batch;
use super::objective::Objective;
use crate::engine::{Element, Engine};
use crate::error::Result;

impl<T: Element> Objective<T> for Engine<T> {
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

fn negated(mut values: Vec<f64>) -> Vec<f64> {
    values.iter_mut().for_each(|v| *v = -*v);
    values
}
