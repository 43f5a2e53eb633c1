//! Networks that read the columns of a row in sequence: what comes out for a column follows from the context and the columns before it.
//!
//! Columns are read in tokens of one or several neighbours. Level `t` is what the network has read before token `t`, and gives the parameters of its columns; level 0
//! has read the context alone. Rows lie in tiles, tokens of a tile one after another, `[levels, width, TILE_ROWS]`, so all products of a tile are one call, and what
//! stands between them is loops over whole vectors. A network goes on from any level with what it remembers of the earlier ones, and each level has the same bits
//! whether it comes with others or alone: a row is solved level by level at the price of one pass.
//!
//! The backward pass of a tile repeats its forward pass, whose values then lie in the cache of the core and never go through memory.

mod composed;
mod ends;
mod lanes;
mod products;
mod recurrent;
#[cfg(test)]
mod tests;
mod transformer;

use std::any::Any;
use std::fmt::Debug;
use std::ops::{Deref, Range};

use burn::tensor::Tensor;

use crate::tiles::TILE_ROWS;
use crate::{Aligned, Idle, Real};
pub use recurrent::{Recurrent, RecurrentWork};
pub use transformer::{Transformer, TransformerWork};

/// A column or a number of a context is read as `a asinh(x / a)` with this `a`: itself where the bulk of the data lies, a logarithm far out, so that nothing overflows.
pub const READ_SCALE: f64 = 3.0;
/// How far out a column or a number of a context is still told from one farther out, in units of [`READ_SCALE`].
pub const READ_REACH: f64 = 1e9;

/// What a network reads and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Columns.
    pub dims: usize,
    /// Columns of a token; the last one may have fewer.
    pub group: usize,
    /// Numbers of a context.
    pub context: usize,
    /// Parameters of a column.
    pub per_column: usize,
    /// Whether all tokens are read, and give parameters, by the same weights; they are then equally wide.
    pub alike: bool,
}

impl SequenceShape {
    /// Number of tokens, and of levels.
    pub fn levels(&self) -> usize {
        self.dims.div_ceil(self.group)
    }

    /// The columns whose parameters a level gives: those of its token.
    pub fn columns(&self, level: usize) -> Range<usize> {
        level * self.group..self.dims.min((level + 1) * self.group)
    }

    /// How many columns are read: all but those of the last token.
    pub fn read(&self) -> usize {
        (self.levels() - 1) * self.group
    }

    /// How many columns have a vector that they are read by.
    pub(crate) fn embedded(&self) -> usize {
        if self.alike { self.read().min(self.group) } else { self.read() }
    }

    /// How many columns have weights that their parameters follow by.
    pub(crate) fn headed(&self) -> usize {
        if self.alike { self.group } else { self.dims }
    }

    /// Where the parameters of a level stand among all.
    pub(crate) fn outputs(&self, level: usize) -> Range<usize> {
        let columns = self.columns(level);
        columns.start * self.per_column..columns.end * self.per_column
    }

    /// Where the weights of these stand among those of all heads.
    pub(crate) fn head(&self, level: usize) -> Range<usize> {
        self.outputs(if self.alike { 0 } else { level })
    }
}

/// A matrix among the flat weights of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is called.
    pub name: String,
    /// Rows and columns, row after row.
    pub shape: [usize; 2],
    /// Bound of the uniform numbers that it starts with.
    pub bound: f64,
    /// Where it lies.
    pub place: Range<usize>,
}

/// The matrices of a network, side by side.
#[derive(Clone, Debug, Default)]
struct Parts(Vec<Part>);

impl Parts {
    /// Adds a matrix; one without elements is none.
    fn add(&mut self, name: impl Into<String>, shape: [usize; 2], bound: f64) -> Range<usize> {
        let start = self.0.last().map_or(0, |part| part.place.end);
        let place = start..start + shape[0] * shape[1];
        if !place.is_empty() {
            self.0.push(Part { name: name.into(), shape, bound, place: place.clone() });
        }
        place
    }
}

/// The weights of a network.
#[derive(Clone, Copy, Debug)]
pub struct SequenceWeights<'a, T> {
    /// One matrix after another, as [`SequenceNetwork::parts`] says.
    pub flat: &'a [T],
    /// As [`SequenceNetwork::pack`] writes them.
    pub packed: &'a [Aligned<T>],
}

/// A tile of rows that are read.
#[derive(Clone, Copy, Debug)]
pub struct SequenceTile<'a, T> {
    /// The columns, `[d, TILE_ROWS]`; those that no level that is asked for reads may hold anything.
    pub x: &'a [T],
    /// The context, `[c, TILE_ROWS]`; empty without.
    pub context: &'a [T],
}

/// The gradient by what parameters follow from.
#[derive(Debug)]
pub struct SequenceGradients<'a, T> {
    /// By the columns, written, `[d, TILE_ROWS]`.
    pub x: &'a mut [T],
    /// By the context, written, `[c, TILE_ROWS]`; empty without.
    pub context: &'a mut [T],
    /// By the flat weights, added to.
    pub weights: &'a mut [T],
}

/// A network that reads columns in sequence.
pub trait SequenceNetwork: Debug + Send + Sync + 'static {
    /// Arrays that passes need while they run, and what a forward pass leaves for its backward pass.
    type Work<T: Real>: Default + Debug + Send + 'static;

    /// What it reads and gives.
    fn shape(&self) -> &SequenceShape;

    /// The matrices that its flat weights consist of.
    fn parts(&self) -> &[Part];

    /// How many arrays [`Self::pack`] fills.
    fn packed(&self) -> usize;

    /// Writes flat weights in the order in which products read them.
    fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]);

    /// Lengths of the arrays by which the levels that were read are remembered, for one tile.
    fn memory(&self) -> Vec<usize>;

    /// The parameters of some levels, `[outputs, TILE_ROWS]`, given the memory of those before, which these are added to.
    fn forward<T: Real>(
        &self,
        weights: SequenceWeights<'_, T>,
        tile: SequenceTile<'_, T>,
        levels: Range<usize>,
        memory: &mut [Aligned<T>],
        work: &mut Self::Work<T>,
        params: &mut [T],
    );

    /// The gradient of a loss, given that by the parameters, after a forward pass of all levels of the same tile with this memory and work.
    /// `by_params` holds anything afterwards. Rows that only fill up the tile must have zero gradient.
    fn backward<T: Real>(
        &self,
        weights: SequenceWeights<'_, T>,
        tile: SequenceTile<'_, T>,
        memory: &[Aligned<T>],
        work: &mut Self::Work<T>,
        by_params: &mut [T],
        to: SequenceGradients<'_, T>,
    );

    /// The parameters of all levels, `[n, outputs]`, written with tensor primitives, given columns `[n, d]`, flat weights `[1, total]` and a context `[n, c]`.
    fn composed(&self, x: Tensor<2>, weights: &Tensor<2>, context: Option<&Tensor<2>>)
    -> Tensor<2>;
}

/// A network, and the buffers of its passes, which are kept from call to call.
#[derive(Debug)]
pub struct Buffered<N> {
    network: N,
    idle: Idle<Box<dyn Any + Send>>,
}

/// What the passes of a tile need: see [`SequenceNetwork::Work`] and [`SequenceNetwork::memory`].
#[derive(Debug)]
pub struct Buffers<W, T> {
    /// Arrays of passes.
    pub work: W,
    /// What is remembered of a tile.
    pub memory: Vec<Aligned<T>>,
    /// The parameters of all levels.
    pub params: Aligned<T>,
}

impl<N: SequenceNetwork> Buffered<N> {
    /// A network without buffers.
    pub fn new(network: N) -> Self {
        Self { network, idle: Idle::default() }
    }

    /// Does something with buffers, which may hold anything.
    pub fn with<T: Real, R>(&self, run: impl FnOnce(&mut Buffers<N::Work<T>, T>) -> R) -> R {
        let found = self.idle.take().and_then(|buffers| buffers.downcast().ok());
        let mut buffers: Box<Buffers<N::Work<T>, T>> = found.unwrap_or_else(|| {
            let shape = self.network.shape();
            let memory = self.network.memory().into_iter().map(Aligned::zeros).collect();
            let params = Aligned::zeros(shape.dims * shape.per_column * TILE_ROWS);
            Box::new(Buffers { work: N::Work::default(), memory, params })
        });
        let result = run(&mut buffers);
        self.idle.give_back(buffers);
        result
    }
}

impl<N> Deref for Buffered<N> {
    type Target = N;

    fn deref(&self) -> &N {
        &self.network
    }
}
