//! Networks that are run on one tile of rows after another.
//!
//! Such a network gives numbers of a row from the row and its context: a sequence is read ([`crate::Transformer`], [`crate::Recurrent`]), or an image ([`crate::Convolutional`]). What it holds of
//! a tile are units of tokens or pixels one after another, `[tokens, units, TILE_ROWS]`, so that a product with all of them is one call, and what stands between products is loops over whole vectors.
//!
//! The backward pass of a tile repeats its forward pass, whose values then lie in the cache of the core and never go through memory.

pub(crate) mod attention;
pub(crate) mod blocks;
pub(crate) mod composed;
pub(crate) mod filter;
pub(crate) mod lanes;
pub(crate) mod products;
#[cfg(test)]
pub(crate) mod tests;

use std::any::Any;
use std::fmt::Debug;
use std::ops::{Deref, Range};

use burn::tensor::Tensor;

use crate::tiles::TILE_ROWS;
use crate::{Aligned, Idle, Real};

/// A column or a number of a context is read as `a asinh(x / a)` with this `a`: itself where the bulk of the data lies, a logarithm far out, so that nothing overflows.
pub const READ_SCALE: f64 = 3.0;
/// How far out a column or a number of a context is still told from one farther out, in units of [`READ_SCALE`].
pub const READ_REACH: f64 = 1e9;

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
pub(crate) struct Parts(pub(crate) Vec<Part>);

impl Parts {
    /// Adds a matrix; one without elements is none.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        shape: [usize; 2],
        bound: f64,
    ) -> Range<usize> {
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
pub struct NetworkWeights<'a, T> {
    /// One matrix after another, as [`TiledNetwork::parts`] says.
    pub flat: &'a [T],
    /// As [`TiledNetwork::pack`] writes them.
    pub packed: &'a [Aligned<T>],
}

/// A tile of rows that are read.
#[derive(Clone, Copy, Debug)]
pub struct RowTile<'a, T> {
    /// The columns, `[d, TILE_ROWS]`; those that no level that is asked for reads may hold anything.
    pub x: &'a [T],
    /// The context, `[c, TILE_ROWS]`; empty without.
    pub context: &'a [T],
}

/// The gradient by what parameters follow from.
#[derive(Debug)]
pub struct NetworkGradients<'a, T> {
    /// By the columns, written, `[d, TILE_ROWS]`.
    pub x: &'a mut [T],
    /// By the context, written, `[c, TILE_ROWS]`; empty without.
    pub context: &'a mut [T],
    /// By the flat weights, added to; empty where it is not wanted and [`TiledNetwork::FREEZES`].
    pub weights: &'a mut [T],
}

/// How many numbers of a row a network takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkWidths {
    /// Numbers that are read.
    pub inputs: usize,
    /// Numbers of a context.
    pub context: usize,
    /// Numbers that come out.
    pub outputs: usize,
}

/// A network that is run on tiles.
pub trait TiledNetwork: Debug + Send + Sync + 'static {
    /// Arrays that passes need while they run, and what a forward pass leaves for its backward pass.
    type Work<T: Real>: Default + Debug + Send + 'static;

    /// What it reads and gives.
    fn widths(&self) -> NetworkWidths;

    /// The matrices that its flat weights consist of.
    fn parts(&self) -> &[Part];

    /// How many arrays [`Self::pack`] fills.
    fn packed(&self) -> usize;

    /// Writes flat weights in the order in which products read them.
    fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]);

    /// Whether [`Self::repeat`] goes by what [`Self::forward`] has left in a memory, of which a forward pass has no need if there is to be no other.
    const REMEMBERS: bool = false;

    /// Whether [`Self::backward`] leaves the gradient by the weights out where there is no room for it, which saves a third of the work where weights are given.
    const FREEZES: bool = false;

    /// Lengths of the arrays by which what was read is remembered, for one tile; none where nothing goes on from there.
    fn memory(&self) -> Vec<usize> {
        Vec::new()
    }

    /// All outputs, `[outputs, TILE_ROWS]`.
    fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &mut [Aligned<T>],
        work: &mut Self::Work<T>,
        out: &mut [T],
    );

    /// The same once more, with what a backward pass needs, of a tile that was run with this memory.
    fn repeat<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &mut [Aligned<T>],
        work: &mut Self::Work<T>,
        out: &mut [T],
    ) {
        self.forward(weights, tile, memory, work, out);
    }

    /// The gradient of a loss, given that by the outputs, after [`Self::repeat`] of the same tile with this memory and work.
    /// `by_out` holds anything afterwards. Rows that only fill up the tile must have zero gradient.
    fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &[Aligned<T>],
        work: &mut Self::Work<T>,
        by_out: &mut [T],
        to: NetworkGradients<'_, T>,
    );

    /// The outputs, `[n, outputs]`, written with tensor primitives, given rows `[n, inputs]`, flat weights `[1, total]` and a context `[n, c]`.
    fn composed(&self, x: Tensor<2>, weights: &Tensor<2>, context: Option<&Tensor<2>>)
    -> Tensor<2>;
}

/// A network, and the buffers of its passes, which are kept from call to call.
#[derive(Debug)]
pub struct Buffered<N> {
    network: N,
    idle: Idle<Box<dyn Any + Send>>,
}

/// What the passes of a tile need: see [`TiledNetwork::Work`] and [`TiledNetwork::memory`].
#[derive(Debug)]
pub struct Buffers<W, T> {
    /// Arrays of passes.
    pub work: W,
    /// What is remembered of a tile.
    pub memory: Vec<Aligned<T>>,
    /// The outputs.
    pub out: Aligned<T>,
}

impl<N: TiledNetwork> Buffered<N> {
    /// A network without buffers.
    pub fn new(network: N) -> Self {
        Self { network, idle: Idle::default() }
    }

    /// Does something with buffers, which may hold anything.
    pub fn with<T: Real, R>(&self, run: impl FnOnce(&mut Buffers<N::Work<T>, T>) -> R) -> R {
        let found = self.idle.take().and_then(|buffers| buffers.downcast().ok());
        let mut buffers: Box<Buffers<N::Work<T>, T>> = found.unwrap_or_else(|| {
            let memory = self.network.memory().into_iter().map(Aligned::zeros).collect();
            let out = Aligned::zeros(self.network.widths().outputs * TILE_ROWS);
            Box::new(Buffers { work: N::Work::default(), memory, out })
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
