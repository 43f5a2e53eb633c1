//! A conditioner that is a network on tiles.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo_kernels::ops::tiled_network;
use diffeo_kernels::{
    Aligned, Buffered, Buffers, NetworkGradients, NetworkWeights, NetworkWidths, Part, Real,
    RowTile, TILE_ROWS, TiledNetwork,
};

use super::{Conditioner, Structure};
use crate::error::Result;
use crate::network::TiledWeights;
use crate::parameter::{Init, Visitor};
use crate::step::{Arena, ContextGradient, Pass, Weights, in_precision};
use crate::transform::Given;

/// A network on tiles that gives the parameters of some columns from others.
///
/// On the CPU one fused operation both ways, whose backward pass repeats the forward pass; elsewhere tensor primitives.
#[derive(Debug)]
pub struct Tiled<N> {
    structure: Structure,
    network: Arc<Buffered<N>>,
    weights: TiledWeights,
}

impl<N> Clone for Tiled<N> {
    fn clone(&self) -> Self {
        let (structure, weights) = (self.structure.clone(), self.weights.clone());
        Self { structure, network: Arc::clone(&self.network), weights }
    }
}

impl<N: TiledNetwork> Tiled<N> {
    /// The network with initial weights.
    pub fn new(network: N, structure: Structure, init: &mut Init) -> Self {
        let weights = TiledWeights::new(network.parts(), init);
        Self { structure, network: Arc::new(Buffered::new(network)), weights }
    }

    /// The network.
    pub(super) fn shared(&self) -> &Arc<Buffered<N>> {
        &self.network
    }

    /// All weights in the order of the network.
    pub(super) fn flat(&self) -> Tensor<2> {
        self.weights.flat()
    }

    /// The context, if the network has one.
    pub(super) fn context<'a>(&self, given: &Given<'a>) -> Option<&'a Tensor<2>> {
        given.context.filter(|_| self.network.widths().context > 0)
    }
}

impl<N: TiledNetwork> Conditioner for Tiled<N> {
    fn structure(&self) -> &Structure {
        &self.structure
    }

    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(tiled_network(&self.network, x, self.flat(), self.context(given)))
    }

    fn program(&self, weights: &Weights<'_>) -> Option<Arc<dyn AnyTiledProgram>> {
        let parts = self.network.parts();
        let ranges = parts.iter().map(|part| weights.range(&part.name));
        let ranges = ranges.collect::<Option<Vec<_>>>()?;
        let start = ranges.first()?.start;
        let lies = |(part, range): (&Part, &Range<usize>)| {
            *range == (start + part.place.start..start + part.place.end)
        };
        let together = parts.iter().zip(&ranges).all(lies);
        let weights = start..ranges.last()?.end;
        let network = Arc::clone(&self.network);
        together.then(|| Arc::new(WeightsSideBySide { network, weights }) as _)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.weights.visit(visitor);
    }
}

/// How a conditioner that runs on tiles does so without tensors, in one precision.
pub trait TiledProgram<T>: Debug + Send + Sync {
    /// Takes up weights, in the order in which products read them.
    fn load(&self, weights: &[T], loaded: &mut Arena<T>);

    /// Arrays that so many tiles leave for their backward pass.
    fn nodes(&self, tiles: usize) -> usize;

    /// The columns that are seen, `[tiles, seen, TILE_ROWS]`, to parameters `[tiles, moved k, TILE_ROWS]`, and what the backward pass needs; no arrays for that if there is to be none.
    fn forward(
        &self,
        pass: &Pass<'_, T>,
        loaded: &Arena<T>,
        x: &[T],
        params: &mut [T],
        nodes: &mut [Aligned<T>],
    );

    /// Writes the gradients of the weights, and of the columns if wanted, and adds that by the context, given the columns, the gradient by the parameters, which is used up, and what the forward pass left.
    fn backward(
        &self,
        pass: &Pass<'_, T>,
        loaded: &Arena<T>,
        given: (&[T], &mut [T], &mut [Aligned<T>]),
        to: (Option<&mut [T]>, &mut ContextGradient<T>),
        gradient: &mut [T],
    );
}

/// A program in both precisions.
pub trait AnyTiledProgram: TiledProgram<f32> + TiledProgram<f64> {}

impl<P: TiledProgram<f32> + TiledProgram<f64>> AnyTiledProgram for P {}

impl dyn AnyTiledProgram {
    /// The program in one precision.
    pub(crate) fn of<T: Real>(self: &Arc<Self>) -> Arc<dyn TiledProgram<T>> {
        let single: Arc<dyn TiledProgram<f32>> = Arc::clone(self) as _;
        let double: Arc<dyn TiledProgram<f64>> = Arc::clone(self) as _;
        let found: &Arc<dyn TiledProgram<T>> = in_precision([&single, &double]);
        Arc::clone(found)
    }
}

/// A network whose weights lie side by side.
#[derive(Debug)]
struct WeightsSideBySide<N> {
    network: Arc<Buffered<N>>,
    weights: Range<usize>,
}

impl<N: TiledNetwork> WeightsSideBySide<N> {
    fn weights<'a, T: Real>(&self, all: &'a [T], loaded: &'a Arena<T>) -> NetworkWeights<'a, T> {
        NetworkWeights { flat: &all[self.weights.clone()], packed: loaded.after(0) }
    }

    /// Numbers of a tile: columns, context, parameters.
    fn sizes(&self) -> [usize; 3] {
        let NetworkWidths { inputs, context, outputs } = self.network.widths();
        [inputs, context, outputs].map(|width| width * TILE_ROWS)
    }
}

impl<N: TiledNetwork, T: Real> TiledProgram<T> for WeightsSideBySide<N> {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let ([], packed) = loaded.arrays(self.network.packed());
        self.network.pack(&weights[self.weights.clone()], packed);
    }

    fn nodes(&self, tiles: usize) -> usize {
        if N::REMEMBERS { tiles * self.network.memory().len() } else { 0 }
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        loaded: &Arena<T>,
        x: &[T],
        params: &mut [T],
        nodes: &mut [Aligned<T>],
    ) {
        let [d, c, k] = self.sizes();
        let weights = self.weights(pass.weights, loaded);
        let tiles = x.chunks_exact(d).zip(params.chunks_exact_mut(k));
        self.network.with(|Buffers { work, memory, .. }| {
            let mut remembered = nodes.chunks_exact_mut(memory.len().max(1));
            for (tile, (x, params)) in tiles.enumerate() {
                let rows = RowTile { x, context: &pass.context[tile * c..][..c] };
                let memory = match remembered.next() {
                    Some(memory) => memory,
                    None if N::REMEMBERS => &mut [],
                    None => &mut **memory,
                };
                self.network.forward(weights, rows, memory, work, params);
            }
        });
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        loaded: &Arena<T>,
        (x, by_params, nodes): (&[T], &mut [T], &mut [Aligned<T>]),
        (mut by_x, to_context): (Option<&mut [T]>, &mut ContextGradient<T>),
        gradient: &mut [T],
    ) {
        let [d, c, k] = self.sizes();
        let weights = self.weights(pass.weights, loaded);
        let by_weights = &mut gradient[self.weights.clone()];
        by_weights.fill(T::ZERO);
        let (mut unwanted, mut by_context) = (Aligned::zeros(d), Aligned::zeros(c));
        let tiles = x.chunks_exact(d).zip(by_params.chunks_exact_mut(k));
        self.network.with(|Buffers { work, memory, out }| {
            let mut remembered = nodes.chunks_exact_mut(memory.len().max(1));
            for (tile, (x, by_params)) in tiles.enumerate() {
                let rows = RowTile { x, context: &pass.context[tile * c..][..c] };
                let memory = remembered.next().unwrap_or(memory);
                self.network.repeat(weights, rows, memory, work, out);
                let x = match by_x.as_deref_mut() {
                    Some(by_x) => &mut by_x[tile * d..][..d],
                    None => &mut unwanted[..],
                };
                let to = NetworkGradients { x, context: &mut by_context, weights: by_weights };
                self.network.backward(weights, rows, memory, work, by_params, to);
                to_context.add(tile * c, &by_context);
            }
        });
    }
}
