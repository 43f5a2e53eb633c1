//! A causal transformer over the columns of a row.

use std::ops::Range;

use burn::tensor::Tensor;

use super::composed;
use super::ends::{Ends, Entered, Widths};
use super::{SequenceNetwork, SequenceShape};
use crate::tiled_network::attention::Attention;
use crate::tiled_network::blocks::{Attended, Normed, SelfAttention};
use crate::tiled_network::lanes::{gelu, gelu_with_slopes, scale_by};
use crate::tiled_network::products::{Layer, Scratch};
use crate::tiled_network::{
    NetworkGradients, NetworkWeights, NetworkWidths, Part, Parts, RowTile, TiledNetwork,
};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

/// Blocks of causal attention and a two-layer network, each `h + f(norm(h))`, between what [`super::SequenceShape`] reads and gives:
///
/// ```text
/// h_t = p_t + sum_j read(x_j) e_j    over the columns j of token t - 1;  h_0 = p_0 + read(c) C
/// h <- h + A(norm(h)) O + o          A: heads of softmax(q_t . k_s / sqrt(size), s <= t) v_s, (q, k, v) = norm(h) W + b
/// h <- h + gelu(norm(h) U + u) D + d
/// params_t = norm(h_t) H_t + b_t
/// ```
///
/// `norm` subtracts the mean over the units and divides by the deviation; that it has no gain and shift of its own is no loss, as a linear map follows each. `gelu` is the
/// approximation by tanh. Weights of 1e4 in single precision overflow nowhere: each block sees numbers of order one.
///
/// References: Vaswani et al. *Attention is all you need*. NeurIPS 2017, section 3, arXiv:1706.03762; Xiong et al. *On layer normalization in the transformer architecture*. ICML 2020,
/// arXiv:2002.04745 (norm first); Hendrycks, Gimpel. *Gaussian error linear units*. arXiv:1606.08415.
#[derive(Clone, Debug)]
pub struct Transformer {
    shape: SequenceShape,
    width: usize,
    heads: usize,
    inner: usize,
    ends: Ends,
    blocks: Vec<Block>,
    parts: Parts,
    layers: usize,
}

/// The layers of a block.
#[derive(Clone, Debug)]
struct Block {
    attention: SelfAttention,
    up: Layer,
    down: Layer,
}

/// What a block leaves for its backward pass.
#[derive(Debug, Default)]
struct Nodes<T> {
    attended: Attended<T>,
    normed: Normed<T>,
    inner: Aligned<T>,
    slopes: Aligned<T>,
}

/// See [`crate::TiledNetwork::Work`].
#[derive(Debug, Default)]
pub struct TransformerWork<T> {
    entered: Entered<T>,
    stream: [Aligned<T>; 2],
    blocks: Vec<Nodes<T>>,
    last: Normed<T>,
    by_stream: Aligned<T>,
    grads: [Aligned<T>; 3],
    scratch: Scratch<T>,
}

impl Transformer {
    /// A network of `blocks` blocks, `width` units of a token in `heads` heads, and `inner` hidden units of each two-layer network.
    ///
    /// # Panics
    /// If a size is zero, or the width is no multiple of the heads.
    pub fn new(shape: SequenceShape, [width, heads, inner, blocks]: [usize; 4]) -> Self {
        assert!(width.min(heads).min(inner).min(blocks) > 0, "a transformer has a size of 0");
        assert!(width.is_multiple_of(heads), "{width} units cannot be cut into {heads} heads");
        let (mut parts, mut layers) = (Parts::default(), 0);
        let widths = Widths { start: width, token: width, bound: 1.0 };
        let mut ends = Ends::new(shape, widths, &mut parts, &mut layers);
        let mut layer = |name: String, [inputs, outputs]: [usize; 2], share: f64| {
            let bound = 1.0 / (inputs as f64).sqrt();
            let weight = parts.add(format!("{name}.weight"), [inputs, outputs], share * bound);
            let bias = parts.add(format!("{name}.bias"), [1, outputs], share * bound);
            Layer::new([inputs, outputs], weight, bias, &mut layers)
        };
        // What blocks add to the stream starts so small that all of them together are of order one.
        let share = 1.0 / (2.0 * blocks as f64).sqrt();
        let block = |i: usize| Block {
            attention: SelfAttention {
                all: layer(format!("block.{i}.attention"), [width, 3 * width], 1.0),
                out: layer(format!("block.{i}.out"), [width, width], share),
            },
            up: layer(format!("block.{i}.up"), [width, inner], 1.0),
            down: layer(format!("block.{i}.down"), [inner, width], share),
        };
        let blocks = (0..blocks).map(block).collect();
        ends.add_heads(width, &mut parts, &mut layers);
        Self { shape, width, heads, inner, ends, blocks, parts, layers }
    }

    /// Units of a token, heads, hidden units, blocks.
    pub(super) fn sizes(&self) -> [usize; 4] {
        [self.width, self.heads, self.inner, self.blocks.len()]
    }

    fn attention(&self, levels: &Range<usize>) -> Attention {
        let (heads, size) = (self.heads, self.width / self.heads);
        Attention { heads, size, first: levels.start, end: levels.end, causal: true }
    }
}

impl Block {
    /// Applies the block to the stream of the tokens that attend.
    fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        (at, all): (Attention, &mut [T]),
        [h, next]: &mut [Aligned<T>; 2],
        nodes: &mut Nodes<T>,
    ) {
        let width = at.heads * at.size;
        let (tokens, inner) = (at.end - at.first, self.up.staircase.outputs());
        let size = tokens * width * TILE_ROWS;
        let (h, next) = (&mut h[..size], next.sized(size));
        self.attention.forward(weights, (at, all), (&*h, &mut *next), &mut nodes.attended);
        let len = tokens * inner * TILE_ROWS;
        let hidden = nodes.inner.sized(len);
        self.up.forward(weights, nodes.normed.of(width, next), None, hidden);
        // Only whole sequences have a backward pass.
        match at.first {
            0 => gelu_with_slopes(hidden, nodes.slopes.sized(len)),
            _ => gelu(hidden),
        }
        self.down.forward(weights, hidden, Some(&*next), h);
    }

    /// The backward pass of [`Self::forward`]: `by_stream` is the gradient by the stream behind the block, then that before it.
    fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        (at, all): (Attention, &[T]),
        by_stream: &mut [T],
        (nodes, grads): (&mut Nodes<T>, &mut [Aligned<T>; 3]),
        (scratch, to): (&mut Scratch<T>, &mut [T]),
    ) {
        let (width, size) = (at.heads * at.size, by_stream.len());
        let len = size / width * self.up.staircase.outputs();
        let [wide, narrow, _] = &mut *grads;
        let (by_inner, by_narrow) = (wide.sized(len), narrow.sized(size));
        let inner = &nodes.inner[..len];
        self.down.backward(weights, inner, (&mut *by_stream, &mut *by_inner), scratch, to);
        scale_by(&nodes.slopes[..len], by_inner);
        let normed = &nodes.normed.values[..size];
        self.up.backward(weights, normed, (by_inner, &mut *by_narrow), scratch, to);
        nodes.normed.back(width, by_narrow, by_stream);
        let left = (&mut nodes.attended, grads);
        self.attention.backward(weights, (at, all), by_stream, left, (scratch, to));
    }
}

impl TiledNetwork for Transformer {
    type Work<T: Real> = TransformerWork<T>;

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
        let blocks = self.blocks.iter();
        let blocks = blocks
            .flat_map(|block| [&block.attention.all, &block.attention.out, &block.up, &block.down]);
        self.ends.layers().chain(blocks).for_each(|layer| layer.pack(flat, packed));
    }

    /// Queries, keys and values of each block.
    fn memory(&self) -> Vec<usize> {
        vec![self.shape.levels() * 3 * self.width * TILE_ROWS; self.blocks.len()]
    }

    fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &mut [Aligned<T>],
        work: &mut TransformerWork<T>,
        out: &mut [T],
    ) {
        self.read(weights, tile, 0..self.shape.levels(), memory, work, out);
    }

    fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &[Aligned<T>],
        work: &mut TransformerWork<T>,
        by_params: &mut [T],
        mut to: NetworkGradients<'_, T>,
    ) {
        let levels = 0..self.shape.levels();
        let (at, token) = (self.attention(&levels), self.width * TILE_ROWS);
        let size = levels.len() * token;
        let (by_stream, scratch) = (work.by_stream.sized(size), &mut work.scratch);
        let by_values = work.grads[0].sized(size);
        let values = &work.last.values[..size];
        let ends = &self.ends;
        ends.leave_back(weights, values, (by_params, &mut *by_values), scratch, to.weights);
        by_stream.fill(T::ZERO);
        work.last.back(self.width, by_values, by_stream);
        let blocks = self.blocks.iter().zip(&mut work.blocks).zip(memory);
        for ((block, nodes), all) in blocks.rev() {
            let (space, sums) = ((nodes, &mut work.grads), (&mut *scratch, &mut *to.weights));
            block.backward(weights, (at, all), by_stream, space, sums);
        }
        to.x.fill(T::ZERO);
        for (level, grad) in by_stream.chunks_exact_mut(token).enumerate() {
            let entered = (&work.entered, &mut *scratch);
            ends.enter_back(weights, tile, (level, grad), entered, &mut to);
        }
    }

    fn composed(
        &self,
        x: Tensor<2>,
        weights: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        composed::transformer(self, x, weights, context)
    }
}

impl SequenceNetwork for Transformer {
    fn shape(&self) -> &SequenceShape {
        &self.shape
    }

    fn read<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        levels: Range<usize>,
        memory: &mut [Aligned<T>],
        work: &mut TransformerWork<T>,
        params: &mut [T],
    ) {
        let token = self.width * TILE_ROWS;
        let size = levels.len() * token;
        self.ends.prepare(&mut work.entered);
        work.blocks.resize_with(self.blocks.len(), Nodes::default);
        let stream = work.stream[0].sized(size).chunks_exact_mut(token);
        for (level, out) in levels.clone().zip(stream) {
            self.ends.enter(weights, tile, level, &mut work.entered, out);
        }
        let at = self.attention(&levels);
        for ((block, nodes), all) in self.blocks.iter().zip(&mut work.blocks).zip(memory) {
            block.forward(weights, (at, all), &mut work.stream, nodes);
        }
        let values = work.last.of(self.width, &work.stream[0][..size]);
        self.ends.leave(weights, levels, values, params);
    }
}
