//! A dense network and its derivatives along directions, for the rows of a tile.
//!
//! The derivatives go through the products beside the values, as further tiles: of `p` directions a layer's nodes are `[1 + p, width, TILE_ROWS]`, the values first. The backward
//! pass takes gradients by both, so that whatever is made of a Jacobian (a trace, a determinant) can be trained.

mod lanes;
mod pass;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::tiles::TILE_ROWS;
use crate::{Aligned, LinearScratch, Real, Staircase, pack_weight};
pub use lanes::Smooth;
pub(crate) use lanes::add;

/// Where the weights of a layer lie among those of the network.
#[derive(Clone, Debug)]
pub struct DualPlaces {
    /// `[inputs, outputs]`.
    pub weight: Range<usize>,
    /// `[outputs]`.
    pub bias: Range<usize>,
    /// What is added per unit of time, `[outputs]`; `None` for a network without time.
    pub rate: Option<Range<usize>>,
}

/// A multi-layer perceptron: in each layer `a = h W + b + t w`, in the first `+ c C`, and an activation between layers.
#[derive(Clone, Debug)]
pub struct Dual {
    layers: Vec<Staircase>,
    places: Vec<DualPlaces>,
    context: Option<Staircase>,
    activation: Smooth,
}

impl Dual {
    /// A network of so many inputs, with layers of these widths, that depends on time or not, and on a context of so many numbers.
    ///
    /// # Panics
    /// If there is no hidden layer, or a width of 0.
    pub fn new(widths: &[usize], context: usize, timed: bool, activation: Smooth) -> Self {
        assert!(widths.len() > 2, "a network with derivatives needs a hidden layer");
        assert!(widths.iter().all(|&width| width > 0), "a network has a layer of width 0");
        let mut end = 0;
        let mut next = |len: usize| {
            end += len;
            end - len..end
        };
        let place = |w: &[usize]| DualPlaces {
            weight: next(w[0] * w[1]),
            bias: next(w[1]),
            rate: timed.then(|| next(w[1])),
        };
        let places = widths.windows(2).map(place).collect();
        let layers = widths.windows(2).map(|w| Staircase::dense(w[0], w[1])).collect();
        let context = (context > 0).then(|| Staircase::dense(context, widths[1]));
        Self { layers, places, context, activation }
    }

    /// Numbers that go in.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// Numbers that come out.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs()
    }

    /// Units of the first layer, in which a context is added.
    pub fn first(&self) -> usize {
        self.layers[0].outputs()
    }

    /// Numbers of a context.
    pub fn context(&self) -> usize {
        self.context.as_ref().map_or(0, Staircase::inputs)
    }

    /// What is between layers.
    pub fn activation(&self) -> Smooth {
        self.activation
    }

    /// Where the weights of each layer lie in the flat weights; behind them lies the context's matrix, if there is one.
    pub fn places(&self) -> (&[DualPlaces], Range<usize>) {
        let last = &self.places[self.places.len() - 1];
        let end = last.rate.as_ref().unwrap_or(&last.bias).end;
        let context = self.context.as_ref();
        (&self.places, end..end + context.map_or(0, |layer| layer.inputs() * layer.outputs()))
    }

    /// How many arrays [`Self::pack`] fills.
    pub fn packed(&self) -> usize {
        self.layers.len() + 1
    }

    /// Writes flat weights in the order in which products read them.
    ///
    /// # Panics
    /// If there are more or fewer than [`Self::places`] says, or not [`Self::packed`] arrays.
    pub fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]) {
        let (places, context) = self.places();
        assert_eq!(flat.len(), context.end, "a network has other weights");
        assert_eq!(packed.len(), self.packed(), "weights are packed into other arrays");
        for ((layer, place), packed) in self.layers.iter().zip(places).zip(&mut *packed) {
            pack_weight(&flat[place.weight.clone()], layer, packed);
        }
        if let Some(layer) = &self.context {
            pack_weight(&flat[context], layer, &mut packed[self.layers.len()]);
        }
    }
}

/// The weights of a [`Dual`].
#[derive(Clone, Copy, Debug)]
pub struct DualWeights<'a, T> {
    /// As they are, in the order of [`Dual::places`].
    pub flat: &'a [T],
    /// As [`Dual::pack`] writes them.
    pub packed: &'a [Aligned<T>],
}

/// Which nodes a pass works on: those of a tile with so many directions, one of several tiles that are held at a time.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Directions.
    pub directions: usize,
    /// Which.
    pub number: usize,
}

impl Slot {
    /// The nodes of a layer of so many units.
    fn nodes(self, width: usize) -> Range<usize> {
        let size = (1 + self.directions) * width * TILE_ROWS;
        self.number * size..(self.number + 1) * size
    }

    /// Slopes and bends of such a layer.
    fn bends(self, width: usize) -> Range<usize> {
        let size = 2 * width * TILE_ROWS;
        self.number * size..(self.number + 1) * size
    }
}

/// Arrays that passes need while they run, and keep from one to the next.
#[derive(Debug, Default)]
pub struct DualWork<T> {
    nodes: Vec<Aligned<T>>,
    grads: Vec<Aligned<T>>,
    /// Of each hidden layer and slot the slopes of its units, and their second derivatives over these.
    bends: Vec<Aligned<T>>,
    spare: Aligned<T>,
    from_context: Aligned<T>,
    zeros: Aligned<T>,
    weight: Aligned<T>,
    linear: LinearScratch<T>,
}

impl<T: Real> DualWork<T> {
    /// The inputs and the directions, `[1 + p, inputs, TILE_ROWS]`, to be written before a pass.
    pub fn input(&mut self, network: &Dual, slot: Slot) -> &mut [T] {
        &mut self.nodes[0][slot.nodes(network.inputs())]
    }

    /// What a pass makes of them, `[1 + p, outputs, TILE_ROWS]`.
    pub fn output(&self, network: &Dual, slot: Slot) -> &[T] {
        &self.nodes[network.layers.len()][slot.nodes(network.outputs())]
    }

    /// The derivatives that came out, `[p, outputs, TILE_ROWS]`, and the directions that went in, to be replaced.
    pub fn output_and_directions(&mut self, network: &Dual, slot: Slot) -> (&[T], &mut [T]) {
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let (first, rest) = self.nodes.split_at_mut(1);
        let output = &rest[network.layers.len() - 1][slot.nodes(outputs)];
        let input = &mut first[0][slot.nodes(inputs)];
        (&output[outputs * TILE_ROWS..], &mut input[inputs * TILE_ROWS..])
    }

    /// The output, and the gradient by it, which is to be written before a backward pass.
    pub fn output_and_gradient(&mut self, network: &Dual, slot: Slot) -> (&[T], &mut [T]) {
        let (last, place) = (network.layers.len(), slot.nodes(network.outputs()));
        (&self.nodes[last][place.clone()], &mut self.grads[last][place])
    }

    /// The input, and the gradient by it, `[inputs, TILE_ROWS]`, after a backward pass.
    pub fn input_and_gradient(&self, network: &Dual, slot: Slot) -> [&[T]; 2] {
        let size = network.inputs() * TILE_ROWS;
        let start = slot.nodes(network.inputs()).start;
        [&self.nodes[0][start..][..size], &self.grads[0][start..][..size]]
    }

    /// The gradient by what was added in the first layer, `[outputs, TILE_ROWS]`, after a backward pass.
    pub fn addend_gradient(&self, network: &Dual, slot: Slot) -> &[T] {
        let width = network.first();
        &self.grads[1][slot.nodes(width).start..][..width * TILE_ROWS]
    }
}

/// Gradients by weights that are no products, in double precision.
#[derive(Debug)]
pub struct DualSums {
    /// By bias and rate of each layer.
    layers: Vec<[Vec<f64>; 2]>,
}

impl DualSums {
    /// Zero.
    pub fn new(network: &Dual) -> Self {
        let zeros = |layer: &Staircase| [vec![0.0; layer.outputs()], vec![0.0; layer.outputs()]];
        Self { layers: network.layers.iter().map(zeros).collect() }
    }
}
