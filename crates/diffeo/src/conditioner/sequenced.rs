//! A conditioner that reads the columns in sequence.

use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;
use diffeo_kernels::ops::{SequenceReader, SequenceSampler};
use diffeo_kernels::{SequenceNetwork, SequenceShape};

use super::tiled::{AnyTiledProgram, Tiled};
use super::{Conditioner, Sequential, Structure};
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor};
use crate::place::Place;
use crate::step::Weights;
use crate::transform::Given;

/// A network that reads one token of columns after another, and gives the parameters of each from what it has read before.
///
/// An inverse reads each token once, on the CPU and where no gradient goes through it.
#[derive(Debug)]
pub struct Sequenced<N> {
    tiled: Tiled<N>,
    /// The weights as they are read token by token, made when first needed.
    sampler: OnceLock<Option<Arc<SequenceSampler<N>>>>,
}

impl<N> Clone for Sequenced<N> {
    fn clone(&self) -> Self {
        Self { tiled: self.tiled.clone(), sampler: self.sampler.clone() }
    }
}

/// What a network at a place reads in tokens of `group` columns, and gives.
pub(super) fn shape(at: Place, group: usize, per_column: usize) -> SequenceShape {
    SequenceShape { dims: at.dims, group, context: at.context, per_column, alike: false }
}

/// Refuses a size that is out of range.
pub(super) fn expect_size(of: &str, what: &str, found: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::config(format!("{of}: {what} must be in 1..={most}, found {found}")))
}

impl<N: SequenceNetwork> Sequenced<N> {
    /// The network with initial weights.
    ///
    /// # Errors
    /// None for a network that has columns.
    pub fn new(network: N, init: &mut Init) -> Result<Self> {
        let shape = network.shape();
        let levels = (0..shape.levels()).map(|level| shape.columns(level).len()).collect();
        let structure = Structure::new(shape.dims, None, None, levels)?;
        Ok(Self { tiled: Tiled::new(network, structure, init), sampler: OnceLock::new() })
    }
}

impl<N: SequenceNetwork> Conditioner for Sequenced<N> {
    fn structure(&self) -> &Structure {
        self.tiled.structure()
    }

    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        self.tiled.parameters(x, given)
    }

    fn sequence(&self, rows: &Tensor<2>, given: &Given<'_>) -> Option<Box<dyn Sequential>> {
        let prepare =
            || SequenceSampler::new(self.tiled.shared(), &self.tiled.flat()).map(Arc::new);
        let sampler = self.sampler.get_or_init(prepare).as_ref()?;
        let reader: Box<SequenceReader<N>> =
            Box::new(sampler.read(rows, self.tiled.context(given))?);
        Some(reader)
    }

    fn program(&self, weights: &Weights<'_>) -> Option<Arc<dyn AnyTiledProgram>> {
        self.tiled.program(weights)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        // The visitor may change the weights that were prepared.
        self.sampler = OnceLock::new();
        self.tiled.visit(visitor);
    }
}

impl<N: SequenceNetwork> Sequential for SequenceReader<N> {
    fn next(&mut self, solved: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        SequenceReader::next(self, solved)
    }
}
