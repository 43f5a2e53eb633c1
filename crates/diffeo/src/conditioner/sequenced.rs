//! A conditioner that reads the columns in sequence.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;
use diffeo_kernels::ops::{SequenceReader, SequenceSampler, sequence};
use diffeo_kernels::{
    Aligned, Buffered, Buffers, Real, SequenceGradients, SequenceNetwork, SequenceShape,
    SequenceTile, SequenceWeights, TILE_ROWS,
};

use super::{Conditioner, Sequential, Structure};
use crate::error::{Error, Result};
use crate::parameter::{Init, Parameter, Visitor};
use crate::place::Place;
use crate::step::{Arena, ContextGradient, Pass, Weights};
use crate::transform::Given;

/// A network that reads one token of columns after another, and gives the parameters of each from what it has read before.
///
/// On the CPU one fused operation both ways, whose backward pass repeats the forward pass; elsewhere tensor primitives. An inverse reads each token once.
#[derive(Debug)]
pub struct Sequenced<N> {
    structure: Structure,
    network: Arc<Buffered<N>>,
    weights: Vec<(String, Parameter)>,
    /// The weights as they are read token by token, made when first needed.
    sampler: OnceLock<Option<Arc<SequenceSampler<N>>>>,
}

impl<N> Clone for Sequenced<N> {
    fn clone(&self) -> Self {
        Self {
            structure: self.structure.clone(),
            network: Arc::clone(&self.network),
            weights: self.weights.clone(),
            sampler: self.sampler.clone(),
        }
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
        let mut weights = Vec::new();
        for part in network.parts() {
            let value = match part.bound {
                0.0 => init.full(part.shape, 0.0),
                bound => init.uniform(part.shape, bound),
            };
            let decay = part.name.ends_with("weight") || part.name == "context";
            weights.push((part.name.clone(), Parameter { value, mask: None, decay }));
        }
        let network = Arc::new(Buffered::new(network));
        Ok(Self { structure, network, weights, sampler: OnceLock::new() })
    }

    /// All weights in the order of the network.
    fn flat(&self) -> Tensor<2> {
        let row = |(_, p): &(String, Parameter)| p.value.clone().reshape([1, -1]);
        Tensor::cat(self.weights.iter().map(row).collect(), 1)
    }

    /// The context, if the network has one.
    fn context<'a>(&self, given: &Given<'a>) -> Option<&'a Tensor<2>> {
        given.context.filter(|_| self.network.shape().context > 0)
    }
}

impl<N: SequenceNetwork> Conditioner for Sequenced<N> {
    fn structure(&self) -> &Structure {
        &self.structure
    }

    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(sequence(&self.network, x, self.flat(), self.context(given)))
    }

    fn sequence(&self, rows: &Tensor<2>, given: &Given<'_>) -> Option<Box<dyn Sequential>> {
        let prepare = || SequenceSampler::new(&self.network, &self.flat()).map(Arc::new);
        let sampler = self.sampler.get_or_init(prepare).as_ref()?;
        let reader: Box<SequenceReader<N>> = Box::new(sampler.read(rows, self.context(given))?);
        Some(reader)
    }

    fn program(&self, weights: &Weights<'_>) -> Option<Arc<dyn AnySequenceProgram>> {
        let parts = self.network.parts();
        let ranges = parts.iter().map(|part| weights.range(&part.name));
        let ranges = ranges.collect::<Option<Vec<_>>>()?;
        let start = ranges.first()?.start;
        let lies = |(part, range): (&diffeo_kernels::Part, &Range<usize>)| {
            *range == (start + part.place.start..start + part.place.end)
        };
        let together = parts.iter().zip(&ranges).all(lies);
        let weights = start..ranges.last()?.end;
        let network = Arc::clone(&self.network);
        together.then(|| Arc::new(SequencedProgram { network, weights }) as _)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        // The visitor may change the weights that were prepared.
        self.sampler = OnceLock::new();
        self.weights.iter_mut().for_each(|(name, parameter)| visitor(name, parameter));
    }
}

impl<N: SequenceNetwork> Sequential for SequenceReader<N> {
    fn next(&mut self, solved: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        SequenceReader::next(self, solved)
    }
}

/// How a conditioner that reads in sequence runs without tensors, in one precision.
pub trait SequenceProgram<T>: Debug + Send + Sync {
    /// Takes up weights, in the order in which products read them.
    fn load(&self, weights: &[T], loaded: &mut Arena<T>);

    /// Columns `[tiles, d, TILE_ROWS]` to parameters `[tiles, d k, TILE_ROWS]`.
    fn forward(&self, pass: &Pass<'_, T>, loaded: &Arena<T>, x: &[T], params: &mut [T]);

    /// Writes the gradients of the weights, and of the columns if wanted, and adds that by the context, given the columns and the gradient by the parameters, which is used up.
    fn backward(
        &self,
        pass: &Pass<'_, T>,
        loaded: &Arena<T>,
        given: (&[T], &mut [T]),
        to: (Option<&mut [T]>, &mut ContextGradient<T>),
        gradient: &mut [T],
    );
}

/// A program in both precisions.
pub trait AnySequenceProgram: SequenceProgram<f32> + SequenceProgram<f64> {}

impl<P: SequenceProgram<f32> + SequenceProgram<f64>> AnySequenceProgram for P {}

impl dyn AnySequenceProgram {
    /// The program in one precision.
    pub(crate) fn of<T: Real>(self: &Arc<Self>) -> Arc<dyn SequenceProgram<T>> {
        let single: Arc<dyn SequenceProgram<f32>> = Arc::clone(self) as _;
        let double: Arc<dyn SequenceProgram<f64>> = Arc::clone(self) as _;
        let both: [&dyn Any; 2] = [&single, &double];
        match both.into_iter().find_map(|p| p.downcast_ref::<Arc<dyn SequenceProgram<T>>>()) {
            Some(program) => Arc::clone(program),
            None => unreachable!("a real number is f32 or f64"),
        }
    }
}

/// A network whose weights lie side by side.
#[derive(Debug)]
struct SequencedProgram<N> {
    network: Arc<Buffered<N>>,
    weights: Range<usize>,
}

impl<N: SequenceNetwork> SequencedProgram<N> {
    fn weights<'a, T: Real>(&self, all: &'a [T], loaded: &'a Arena<T>) -> SequenceWeights<'a, T> {
        SequenceWeights { flat: &all[self.weights.clone()], packed: loaded.after(0) }
    }

    /// Numbers of a tile: columns, context, parameters.
    fn sizes(&self) -> [usize; 3] {
        let SequenceShape { dims, context, per_column, .. } = *self.network.shape();
        [dims, context, dims * per_column].map(|width| width * TILE_ROWS)
    }
}

impl<N: SequenceNetwork, T: Real> SequenceProgram<T> for SequencedProgram<N> {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let ([], packed) = loaded.arrays(self.network.packed());
        self.network.pack(&weights[self.weights.clone()], packed);
    }

    fn forward(&self, pass: &Pass<'_, T>, loaded: &Arena<T>, x: &[T], params: &mut [T]) {
        let ([d, c, k], levels) = (self.sizes(), self.network.shape().levels());
        let weights = self.weights(pass.weights, loaded);
        let tiles = x.chunks_exact(d).zip(params.chunks_exact_mut(k));
        self.network.with(|Buffers { work, memory, .. }| {
            for (tile, (x, params)) in tiles.enumerate() {
                let rows = SequenceTile { x, context: &pass.context[tile * c..][..c] };
                self.network.forward(weights, rows, 0..levels, memory, work, params);
            }
        });
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        loaded: &Arena<T>,
        (x, by_params): (&[T], &mut [T]),
        (mut by_x, to_context): (Option<&mut [T]>, &mut ContextGradient<T>),
        gradient: &mut [T],
    ) {
        let ([d, c, k], levels) = (self.sizes(), self.network.shape().levels());
        let weights = self.weights(pass.weights, loaded);
        let by_weights = &mut gradient[self.weights.clone()];
        by_weights.fill(T::ZERO);
        let (mut unwanted, mut by_context) = (Aligned::zeros(d), Aligned::zeros(c));
        let tiles = x.chunks_exact(d).zip(by_params.chunks_exact_mut(k));
        self.network.with(|Buffers { work, memory, params }| {
            for (tile, (x, by_params)) in tiles.enumerate() {
                let rows = SequenceTile { x, context: &pass.context[tile * c..][..c] };
                self.network.forward(weights, rows, 0..levels, memory, work, params);
                let x = match by_x.as_deref_mut() {
                    Some(by_x) => &mut by_x[tile * d..][..d],
                    None => &mut unwanted[..],
                };
                let to = SequenceGradients { x, context: &mut by_context, weights: by_weights };
                self.network.backward(weights, rows, memory, work, by_params, to);
                to_context.add(tile * c, &by_context);
            }
        });
    }
}
