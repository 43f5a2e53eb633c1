//! A gated recurrent unit over the columns of a row.

use std::ops::Range;

use burn::tensor::Tensor;

use super::composed;
use super::ends::{Ends, Entered, Widths};
use super::lanes::{bend, bend_back, gate, gate_back};
use super::{SequenceNetwork, SequenceShape};
use crate::tiled_network::lanes::add;
use crate::tiled_network::products::{Layer, Scratch};
use crate::tiled_network::{
    NetworkGradients, NetworkWeights, NetworkWidths, Part, Parts, RowTile, TiledNetwork,
};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

/// A state that each token changes, between what [`super::SequenceShape`] reads and gives:
///
/// ```text
/// s_0 = tanh(p_0 + read(c) C)
/// (a, b, g) = p_t + sum_j read(x_j) e_j    over the columns j of token t - 1
/// (a', b', g') = s_{t-1} W + w
/// u = sigmoid(a + a'),  r = sigmoid(b + b'),  n = tanh(g + r g'),  s_t = (1 - u) n + u s_{t-1}
/// params_t = s_t H_t + b_t
/// ```
///
/// All of a state lies between -1 and 1, whatever the weights are.
///
/// Reference: Cho et al. *Learning phrase representations using RNN encoder-decoder*. EMNLP 2014, section 2.3, arXiv:1406.1078 (here the reset gate comes after the product, as
/// in cuDNN and PyTorch).
#[derive(Clone, Debug)]
pub struct Recurrent {
    shape: SequenceShape,
    width: usize,
    ends: Ends,
    /// Absent where there is one token.
    step: Option<Layer>,
    parts: Parts,
    layers: usize,
}

/// See [`crate::TiledNetwork::Work`].
#[derive(Debug, Default)]
pub struct RecurrentWork<T> {
    entered: Entered<T>,
    input: Aligned<T>,
    /// The state before the first level that was read, and those of the levels.
    states: Aligned<T>,
    /// Of all levels that were read, whatever the first one's is.
    gates: Aligned<T>,
    products: Aligned<T>,
    grads: [Aligned<T>; 3],
    scratch: Scratch<T>,
}

impl Recurrent {
    /// A network whose state has `width` numbers.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(shape: SequenceShape, width: usize) -> Self {
        assert!(width > 0, "a recurrent network has a state");
        let (mut parts, mut layers) = (Parts::default(), 0);
        let bound = 1.0 / (width as f64).sqrt();
        let widths = Widths { start: width, token: 3 * width, bound };
        let mut ends = Ends::new(shape, widths, &mut parts, &mut layers);
        let step = (shape.levels() > 1).then(|| {
            let weight = parts.add("step.weight", [width, 3 * width], bound);
            let bias = parts.add("step.bias", [1, 3 * width], bound);
            Layer::new([width, 3 * width], weight, bias, &mut layers)
        });
        ends.add_heads(width, &mut parts, &mut layers);
        Self { shape, width, ends, step, parts, layers }
    }

    /// Numbers of a state.
    pub(super) fn width(&self) -> usize {
        self.width
    }
}

impl TiledNetwork for Recurrent {
    type Work<T: Real> = RecurrentWork<T>;

    fn widths(&self) -> NetworkWidths {
        self.shape.widths()
    }

    fn parts(&self) -> &[Part] {
        &self.parts.0
    }

    fn packed(&self) -> usize {
        self.layers
    }

    fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]) {
        self.ends.layers().chain(&self.step).for_each(|layer| layer.pack(flat, packed));
    }

    /// The state.
    fn memory(&self) -> Vec<usize> {
        vec![self.width * TILE_ROWS]
    }

    fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &mut [Aligned<T>],
        work: &mut RecurrentWork<T>,
        out: &mut [T],
    ) {
        self.read(weights, tile, 0..self.shape.levels(), memory, work, out);
    }

    fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        _memory: &[Aligned<T>],
        work: &mut RecurrentWork<T>,
        by_params: &mut [T],
        mut to: NetworkGradients<'_, T>,
    ) {
        let (size, n) = (self.width * TILE_ROWS, self.shape.levels());
        let states = &work.states[size..(n + 1) * size];
        let (gates, products) = (&work.gates[..3 * n * size], &work.products[..3 * n * size]);
        let [by_states, by_input, by_products] = &mut work.grads;
        let (by_states, by_input) = (by_states.sized(n * size), by_input.sized(3 * size));
        let by_products = by_products.sized(3 * n * size);
        let (ends, scratch) = (&self.ends, &mut work.scratch);
        ends.leave_back(weights, states, (by_params, &mut *by_states), scratch, to.weights);
        to.x.fill(T::ZERO);
        if let Some(step) = &self.step {
            for level in (1..n).rev() {
                let (earlier, by_state) = by_states.split_at_mut(level * size);
                let (by_before, by_state) =
                    (&mut earlier[(level - 1) * size..], &mut by_state[..size]);
                let before = &states[(level - 1) * size..level * size];
                let here = 3 * level * size..3 * (level + 1) * size;
                let made = (&gates[here.clone()], &products[here.clone()]);
                let by_product = &mut by_products[here];
                gate_back(made, before, by_state, by_input, by_product);
                add(by_state, by_before);
                step.backward_of_input(weights, before, by_product, by_state);
                add(by_state, by_before);
                let entered = (&work.entered, &mut *scratch);
                ends.enter_back(weights, tile, (level, &mut *by_input), entered, &mut to);
            }
            let (before, by_product) = (&states[..(n - 1) * size], &mut by_products[3 * size..]);
            step.backward_of_weights(weights, before, by_product, scratch, to.weights);
        }
        let by_start = &mut by_states[..size];
        bend_back(&states[..size], by_start);
        ends.enter_back(weights, tile, (0, by_start), (&work.entered, scratch), &mut to);
    }

    fn composed(
        &self,
        x: Tensor<2>,
        weights: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        composed::recurrent(self, x, weights, context)
    }
}

impl SequenceNetwork for Recurrent {
    fn shape(&self) -> &SequenceShape {
        &self.shape
    }

    fn read<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        levels: Range<usize>,
        memory: &mut [Aligned<T>],
        work: &mut RecurrentWork<T>,
        params: &mut [T],
    ) {
        let (size, n) = (self.width * TILE_ROWS, levels.len());
        self.ends.prepare(&mut work.entered);
        let states = work.states.sized((n + 1) * size);
        let (gates, products) = (work.gates.sized(3 * n * size), work.products.sized(3 * n * size));
        let input = work.input.sized(3 * size);
        let made = gates.chunks_exact_mut(3 * size).zip(products.chunks_exact_mut(3 * size));
        states[..size].copy_from_slice(&memory[0][..size]);
        for ((i, level), (gates, product)) in levels.clone().enumerate().zip(made) {
            let (before, state) = states[i * size..(i + 2) * size].split_at_mut(size);
            match &self.step {
                Some(step) if level > 0 => {
                    self.ends.enter(weights, tile, level, &mut work.entered, input);
                    step.forward(weights, before, None, product);
                    gate(input, product, before, gates, state);
                }
                _ => {
                    self.ends.enter(weights, tile, level, &mut work.entered, state);
                    bend(state);
                }
            }
        }
        memory[0][..size].copy_from_slice(&states[n * size..]);
        self.ends.leave(weights, levels, &states[size..], params);
    }
}
