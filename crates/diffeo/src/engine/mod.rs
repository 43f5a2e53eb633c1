//! How a flow runs over flat weights: as a program of kernels where all of it has steps, else on the tensor engine.
//!
//! Which of the two is chosen once, here; nothing else can tell. Rules for rows that are not finite and for how many rows are worked
//! on together stand here too.

mod element;
mod flat;
mod layout;
mod program;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo_kernels::TILE_ROWS;

pub(crate) use element::Element;
pub(crate) use flat::{flat_gradient, flat_weights, set_weights, tracked};
pub(crate) use layout::{Layout, Piece};

use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::host::draws::Draws;
use crate::host::linalg::{host_values, padded_tensor_of, tensor_of};
use crate::host::rows::{Rows, density_of_bad};
use crate::spec::Precision;
use program::Program;

/// Rows as a flow sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    /// Real numbers of order one, `[n, d]`.
    pub(crate) x: &'a Rows,
    /// What came before the flow, of each row: its density counts from there.
    pub(crate) log_det: &'a [f64],
    pub(crate) context: Option<&'a Rows>,
    /// For layers that estimate, in training.
    pub(crate) draws: Option<Draws>,
}

/// Where rows are on a way from data to base, when, and how fast.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    /// `[n, 1]`.
    pub(crate) times: Rows,
    /// The numbers of each row at that time.
    pub(crate) places: Rows,
    pub(crate) velocities: Rows,
}

/// A flow in one precision whose weights come with each call, after they were loaded.
#[derive(Debug)]
pub(crate) struct Engine<T> {
    /// On the tensor engine this has the weights that were loaded.
    flow: Flow,
    program: Option<Program<T>>,
}

impl<T: Element> Engine<T> {
    pub(crate) fn new(flow: &Flow) -> Self {
        Self { flow: flow.clone(), program: Program::new(flow) }
    }

    /// An engine without a program: what programs are held against.
    pub(crate) fn of_tensors(flow: &Flow) -> Self {
        Self { flow: flow.clone(), program: None }
    }

    pub(crate) fn has_program(&self) -> bool {
        self.program.is_some()
    }

    /// Takes up weights, in the order of the [`Layout`]: what depends on them alone is computed here, once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] if there are more than the flow has.
    pub(crate) fn load(&mut self, weights: &[T]) -> Result<()> {
        match &mut self.program {
            Some(program) => {
                program.load(weights);
                Ok(())
            }
            None => set_weights(&mut self.flow, weights),
        }
    }

    /// Log-density of every row: NaN for a row with NaN, `-inf` for one with an infinity or a number that the precision cannot hold.
    ///
    /// A row has the same bits whatever the others are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotConverged`] and others from the layers.
    pub(crate) fn log_prob(&self, weights: &[T], input: Input<'_>) -> Result<Vec<f64>> {
        let largest = self.flow.spec().precision.largest();
        let bad = density_of_bad(input.x.values(), input.x.width(), largest);
        if bad.is_empty() {
            return self.log_prob_of_finite(weights, input);
        }
        let mut safe = input.x.clone();
        bad.iter().for_each(|(row, _)| safe.row_mut(*row).fill(0.5));
        let mut log_prob = self.log_prob_of_finite(weights, Input { x: &safe, ..input })?;
        bad.into_iter().for_each(|(row, density)| log_prob[row] = density);
        Ok(log_prob)
    }

    fn log_prob_of_finite(&self, weights: &[T], input: Input<'_>) -> Result<Vec<f64>> {
        if let Some(program) = &self.program {
            return program.log_prob(weights, input);
        }
        let rows = padded(input.x.len());
        let context = input.context.map(|c| padded_tensor_of(c, rows));
        let (x, log_det) = (padded_tensor_of(input.x, rows), column_of(input.log_det, rows));
        let mut log_prob = host_values(self.flow.log_prob_of_finite(x, log_det, context, None)?)?;
        log_prob.truncate(input.x.len());
        Ok(log_prob)
    }

    /// Log-density of every row, all of which must be finite, and the gradient of `-sum_i row_weights_i log_prob_i` over `gradient`.
    ///
    /// Masked elements of `gradient` must be zero before, and are after.
    ///
    /// # Errors
    /// As [`Engine::log_prob`].
    pub(crate) fn gradient(
        &self,
        weights: &[T],
        input: Input<'_>,
        row_weights: &[f64],
        gradient: &mut [T],
    ) -> Result<Vec<f64>> {
        if let Some(program) = &self.program {
            return program.gradient(weights, input, row_weights, gradient);
        }
        let (flow, leaves) = tracked(&self.flow);
        let context = input.context.map(tensor_of);
        let (x, log_det) = (tensor_of(input.x), column_of(input.log_det, input.x.len()));
        let log_prob = flow.log_prob_of_finite(x, log_det, context, input.draws)?;
        let values = host_values(log_prob.clone())?;
        let row_weights = column_of(row_weights, row_weights.len()).cast(log_prob.dtype());
        flat_gradient(&(log_prob * row_weights).sum().neg(), leaves, gradient)?;
        Ok(values)
    }

    /// Of a flow of one continuous layer, `|v - u|^2` of each row on its way, minus the log-probability of its marks, and the gradient of the sum weighted by `row_weights` over
    /// `gradient`; of `input` the marks and the context count.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] for another flow.
    pub(crate) fn regress(
        &self,
        weights: &[T],
        input: Input<'_>,
        ways: &Ways,
        row_weights: &[f64],
        gradient: &mut [T],
    ) -> Result<Vec<f64>> {
        let program = self.program.as_ref().ok_or_else(no_velocity)?;
        program.regress(weights, (input, ways), row_weights, gradient)
    }
}

/// A flow of one layer whose field can be held to velocities is always a program.
fn no_velocity() -> Error {
    let message = "this flow is no differential equation that runs on the CPU; please report this";
    Error::new(ErrorKind::Internal, message)
}

/// A number of each row, filled up with zeros to so many rows.
fn column_of(values: &[f64], rows: usize) -> Tensor<1> {
    let mut values = values.to_vec();
    values.resize(rows, 0.0);
    Tensor::from_data(TensorData::new(values, [rows]), (&Device::flex(), DType::F64))
}

/// Tensors of rows are filled up to a multiple of this, so that the place of a row never selects other arithmetic.
pub(crate) fn padded(rows: usize) -> usize {
    rows.next_multiple_of(TILE_ROWS)
}

/// Scores rows with the weights that a flow has.
pub(crate) trait Score: Send + Sync + Debug {
    /// As [`Engine::log_prob`].
    ///
    /// # Errors
    /// As [`Engine::log_prob`].
    fn log_prob(&self, input: Input<'_>) -> Result<Vec<f64>>;
}

#[derive(Debug)]
struct Loaded<T> {
    engine: Engine<T>,
    weights: Vec<T>,
}

impl<T: Element> Loaded<T> {
    fn boxed(flow: &Flow) -> Result<Box<dyn Score>> {
        let (_, weights) = flat_weights(flow)?;
        let mut engine = Engine::new(flow);
        engine.load(&weights)?;
        Ok(Box::new(Self { engine, weights }))
    }
}

impl<T: Element> Score for Loaded<T> {
    fn log_prob(&self, input: Input<'_>) -> Result<Vec<f64>> {
        self.engine.log_prob(&self.weights, input)
    }
}

/// What scores rows with the weights that a flow has now.
///
/// # Errors
/// [`crate::ErrorKind::Device`] if the weights cannot be read.
pub(crate) fn scorer(flow: &Flow) -> Result<Box<dyn Score>> {
    match flow.spec().precision {
        Precision::F32 => Loaded::<f32>::boxed(flow),
        Precision::F64 => Loaded::<f64>::boxed(flow),
    }
}
