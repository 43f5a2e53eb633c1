//! The negative log-density of a flow as an objective.

use burn::tensor::{Device, Tensor, TensorData};

use super::batches::Batch;
use super::element::Element;
use super::objective::{Layout, Objective};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::linalg::host_values;
use crate::rows::Rows;

/// Validation rows are filled up to a multiple of this, as when a model scores a table: a row then has the same bits in both.
const PAD_ROWS: usize = 32;

/// A flow whose weights come from the loop.
pub(crate) struct FlowObjective<T> {
    flow: Flow,
    precision: std::marker::PhantomData<T>,
}

impl<T: Element> FlowObjective<T> {
    /// The objective of a flow, where its weights lie, and what they are now.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the weights cannot be read.
    pub(crate) fn new(flow: &Flow) -> Result<(Self, Layout, Vec<T>)> {
        let mut flow = flow.clone();
        let mut layout = Layout::default();
        let mut values = Vec::new();
        flow.visit(&mut |name, parameter| {
            layout.push(name, parameter.value.shape().num_elements(), parameter.decay);
            values.push(parameter.value.clone());
        });
        let mut initial = Vec::with_capacity(layout.len());
        for value in values {
            initial.extend(elements::<T>(value)?);
        }
        Ok((Self { flow, precision: std::marker::PhantomData }, layout, initial))
    }
}

/// Puts flat weights into a flow.
pub(crate) fn set_weights<T: Element>(flow: &mut Flow, weights: &[T]) -> Result<()> {
    let mut rest = weights;
    flow.visit(&mut |_, parameter| {
        let len = parameter.value.shape().num_elements().min(rest.len());
        let (values, after) = rest.split_at(len);
        rest = after;
        let data = TensorData::new(values.to_vec(), parameter.value.dims());
        parameter.value = Tensor::from_data(data, (&parameter.value.device(), T::dtype()));
    });
    if rest.is_empty() { Ok(()) } else { Err(internal("weights left over")) }
}

impl<T: Element> Objective<T> for FlowObjective<T> {
    fn load(&mut self, weights: &[T]) -> Result<()> {
        set_weights(&mut self.flow, weights)
    }

    fn gradient(&self, batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>> {
        let mut flow = self.flow.clone();
        let mut leaves = Vec::new();
        flow.visit(&mut |_, parameter| {
            let leaf = parameter.value.clone().autodiff().require_grad();
            leaves.push(leaf.clone());
            parameter.value = leaf;
        });
        let context = batch.context.as_ref().map(|c| tensor_of(c, c.len()));
        let log_prob = flow.log_prob_of_finite(tensor_of(&batch.x, batch.x.len()), context)?;
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

    fn losses(&self, batch: &Batch) -> Result<Vec<f64>> {
        let rows = batch.x.len();
        let padded = rows.next_multiple_of(PAD_ROWS);
        let context = batch.context.as_ref().map(|c| tensor_of(c, padded));
        let log_prob = self.flow.log_prob(tensor_of(&batch.x, padded), context)?;
        let mut losses = negated(host_values(log_prob)?);
        losses.truncate(rows);
        Ok(losses)
    }
}

fn negated(mut values: Vec<f64>) -> Vec<f64> {
    values.iter_mut().for_each(|v| *v = -*v);
    values
}

/// Rows as a tensor on the CPU in `f64`, filled up with zeros.
pub(crate) fn tensor_of(rows: &Rows, padded: usize) -> Tensor<2> {
    let mut values = rows.values().to_vec();
    values.resize(padded * rows.width(), 0.0);
    let data = TensorData::new(values, [padded, rows.width()]);
    Tensor::from_data(data, (&Device::flex(), burn::tensor::DType::F64))
}

fn elements<T: Element>(tensor: Tensor<2>) -> Result<Vec<T>> {
    let data = tensor
        .try_into_data()
        .map_err(|e| Error::new(ErrorKind::Device, format!("cannot read weights: {e:?}")))?;
    data.try_into_vec().map_err(|e| internal(&format!("weights have another precision: {e:?}")))
}

fn internal(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}; please report this"))
}
