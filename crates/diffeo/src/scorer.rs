//! Log-densities of rows by the program of a flow.

use crate::element::Element;
use crate::error::Result;
use crate::flat::flat_weights;
use crate::flow::Flow;
use crate::program::{Input, Program};
use crate::rows::Rows;
use crate::spec::Precision;

/// The program of a flow with its weights.
#[derive(Debug)]
pub(crate) enum Scorer {
    F32(Loaded<f32>),
    F64(Loaded<f64>),
}

#[derive(Debug)]
pub(crate) struct Loaded<T> {
    program: Program<T>,
    weights: Vec<T>,
}

impl<T: Element> Loaded<T> {
    fn new(flow: &Flow) -> Result<Option<Self>> {
        let Some(mut program) = Program::new(flow) else { return Ok(None) };
        let weights = flat_weights(flow)?.1;
        program.load(&weights);
        Ok(Some(Self { program, weights }))
    }
}

impl Scorer {
    /// `None` if the flow has no program.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the weights cannot be read.
    pub(crate) fn new(flow: &Flow) -> Result<Option<Self>> {
        Ok(match flow.spec().precision {
            Precision::F32 => Loaded::new(flow)?.map(Self::F32),
            Precision::F64 => Loaded::new(flow)?.map(Self::F64),
        })
    }

    /// As [`Flow::log_prob`]: `-inf` for a row with an infinity, NaN for one with NaN.
    ///
    /// # Errors
    /// As [`Program::log_prob`].
    pub(crate) fn log_prob(&self, x: &Rows, context: Option<&Rows>) -> Result<Vec<f64>> {
        if x.values().iter().all(|v| v.is_finite()) {
            return self.run(x, context);
        }
        let mut safe = x.clone();
        for row in safe.values_mut().chunks_exact_mut(x.width()) {
            if row.iter().any(|v| !v.is_finite()) {
                row.fill(0.5);
            }
        }
        let mut log_prob = self.run(&safe, context)?;
        for (i, p) in log_prob.iter_mut().enumerate() {
            let row = x.row(i);
            if row.iter().any(|v| v.is_nan()) {
                *p = f64::NAN;
            } else if row.iter().any(|v| v.is_infinite()) {
                *p = f64::NEG_INFINITY;
            }
        }
        Ok(log_prob)
    }

    fn run(&self, x: &Rows, context: Option<&Rows>) -> Result<Vec<f64>> {
        let input = Input { x, context };
        match self {
            Self::F32(Loaded { program, weights }) => program.log_prob(weights, input),
            Self::F64(Loaded { program, weights }) => program.log_prob(weights, input),
        }
    }
}
