//! Networks that read images: what comes out for a pixel follows from the pixels around it.

mod composed;
mod lanes;
#[cfg(test)]
mod tests;

use std::ops::Range;

use burn::tensor::Tensor;

use crate::tiled_network::attention::Attention;
use crate::tiled_network::blocks::{Attended, Normed, SelfAttention};
use crate::tiled_network::filter::{Filter, FilterScratch, Grid, window};
use crate::tiled_network::lanes::{
    add, add_sums, gelu, gelu_with_slopes, read, read_back, scale_by, spread,
};
use crate::tiled_network::products::{Layer, Scratch};
use crate::tiled_network::{
    NetworkGradients, NetworkWeights, NetworkWidths, Part, Parts, RowTile, TiledNetwork,
};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};
use lanes::{add_gated, add_gated_back};

/// Pixels of a window.
const PLACES: usize = 9;

/// What a network reads and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Lines of the image.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Numbers of a pixel that are read.
    pub inputs: usize,
    /// Numbers of a context.
    pub context: usize,
    /// The image that these start with, if they do.
    pub given: Option<GivenImage>,
    /// Numbers that come out for a pixel.
    pub outputs: usize,
}

/// An image of `factor` times as many lines, and as many pixels a line, as that which is read: each pixel of the latter sees a square of it, and all of the rest of a context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenImage {
    /// Lines and pixels of a square.
    pub factor: usize,
    /// Numbers of a pixel.
    pub channels: usize,
}

impl GivenImage {
    /// Numbers of a square.
    fn numbers(&self) -> usize {
        self.factor * self.factor * self.channels
    }
}

impl ConvolutionShape {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Numbers of a context that a pixel sees by itself, and those that all see.
    fn seen(&self) -> [usize; 2] {
        let own = self.given.map_or(0, |given| given.numbers());
        [own, self.context - self.pixels() * own]
    }

    /// Where in a context the lines of a pixel's square lie.
    fn square(&self, pixel: usize) -> impl Iterator<Item = Range<usize>> {
        let GivenImage { factor, channels } = self.given.unwrap_or_default();
        let (line, at, across) = (pixel / self.width, pixel % self.width, self.width);
        (0..factor).map(move |i| {
            let start = ((line * factor + i) * across + at) * factor * channels;
            start..start + factor * channels
        })
    }
}

/// Gated residual blocks over the pixels of an image, with attention between all of them if asked for:
///
/// ```text
/// h_p = p_p + F_0(read(x))_p + read(c_p) C
/// (v, s) = gelu(F(norm(h))) W + b,  h <- h + v sigmoid(s)
/// h <- h + A(norm(h)) O + o          A: heads of softmax(q_p . k_r / sqrt(size), all r) v_r, (q, k, v) = norm(h) V + w
/// out_p = norm(h_p) H + b
/// ```
///
/// `F` is a filter of three by three pixels, zero beyond the border, and a bias; `p_p` a learned vector of each pixel; `c_p` what it sees of the context, all of it but for a [`GivenImage`]; `norm` subtracts the mean over the units of a pixel and divides by their
/// deviation, so each block sees numbers of order one, and `h` can be as large as weights make it.
///
/// Reference: Ho, Chen, Srinivas, Duan, Abbeel. *Flow++*. ICML 2019, section 3.3 and appendix, arXiv:1902.00275 (there a norm follows each addition; the nonlinearity is another).
#[derive(Clone, Debug)]
pub struct Convolutional {
    shape: ConvolutionShape,
    width: usize,
    heads: usize,
    entry: Filter,
    position: Range<usize>,
    context: Option<Layer>,
    blocks: Vec<Block>,
    head: Layer,
    parts: Parts,
    layers: usize,
}

/// The layers of a block.
#[derive(Clone, Debug)]
struct Block {
    filter: Filter,
    gate: Layer,
    attention: Option<SelfAttention>,
}

/// What the filter of a block gives, which is most of a network's work.
enum Filtered<'a, T> {
    /// From an earlier pass; this one leaves what a backward pass needs.
    Known(&'a [T]),
    /// To be kept for a later pass.
    Wanted(&'a mut Aligned<T>),
    /// For this pass only.
    Unwanted,
}

/// What a block leaves for its backward pass.
#[derive(Debug, Default)]
struct Nodes<T> {
    normed: Normed<T>,
    hidden: Aligned<T>,
    slopes: Aligned<T>,
    both: Aligned<T>,
    attended: Attended<T>,
    /// Queries, keys and values.
    all: Aligned<T>,
}

/// See [`TiledNetwork::Work`].
#[derive(Debug, Default)]
pub struct ConvolutionalWork<T> {
    entered: [Aligned<T>; 2],
    stream: [Aligned<T>; 2],
    blocks: Vec<Nodes<T>>,
    last: Normed<T>,
    by_stream: Aligned<T>,
    grads: [Aligned<T>; 3],
    scratch: Scratch<T>,
    filter: FilterScratch<T>,
}

impl Convolutional {
    /// A network of `blocks` blocks of `width` units a pixel, each with attention in `heads` heads unless there are none.
    ///
    /// # Panics
    /// If a size is zero, or the width is no multiple of the heads.
    pub fn new(shape: ConvolutionShape, [width, blocks, heads]: [usize; 3]) -> Self {
        let ConvolutionShape { height, width: across, inputs, outputs, .. } = shape;
        let of_squares = shape.given.map_or(0, |given| given.numbers() * shape.pixels());
        assert!(of_squares <= shape.context, "a context is smaller than its image");
        let context = shape.seen().iter().sum::<usize>();
        let sizes = [height, across, inputs, outputs, width, blocks];
        assert!(!sizes.contains(&0), "a convolutional network has a size of 0");
        assert!(heads == 0 || width.is_multiple_of(heads), "{width} units in {heads} heads");
        let grid = Grid { height, width: across };
        let (mut parts, mut layers) = (Parts::default(), 0);
        let bound = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        let weight = parts.add("entry.weight", [PLACES * inputs, width], bound(PLACES * inputs));
        let bias = parts.add("entry.bias", [1, width], bound(PLACES * inputs));
        let own = (context == 0).then(|| bias.clone());
        let entry = Filter::new((grid, window()), [inputs, width], weight, own, &mut layers);
        let position = parts.add("position", [grid.pixels(), width], 0.1);
        let context = (context > 0).then(|| {
            let weight = parts.add("context", [context, width], bound(context));
            Layer::new([context, width], weight, bias, &mut layers)
        });
        // What blocks add to the stream starts so small that all of them together are of order one.
        let share = bound(blocks * if heads > 0 { 2 } else { 1 });
        let blocks = (0..blocks)
            .map(|i| Block::new(i, (grid, width, heads), share, &mut parts, &mut layers));
        let blocks = blocks.collect();
        let weight = parts.add("head.weight", [width, outputs], 0.0);
        let bias = parts.add("head.bias", [1, outputs], 0.0);
        let head = Layer::new([width, outputs], weight, bias, &mut layers);
        Self { shape, width, heads, entry, position, context, blocks, head, parts, layers }
    }

    /// What it reads and gives.
    pub fn shape(&self) -> &ConvolutionShape {
        &self.shape
    }

    /// Units of a pixel, blocks, heads.
    fn sizes(&self) -> [usize; 3] {
        [self.width, self.blocks.len(), self.heads]
    }

    fn pixels(&self) -> usize {
        self.shape.pixels()
    }

    /// Who attends to whom, if any do.
    fn attention(&self) -> Attention {
        let (heads, size) = (self.heads, self.width / self.heads.max(1));
        Attention { heads, size, first: 0, end: self.pixels(), causal: false }
    }

    /// What the stream starts from.
    fn enter<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        [columns, given]: &mut [Aligned<T>; 2],
        [h, start]: &mut [Aligned<T>; 2],
    ) {
        let size = self.pixels() * self.width * TILE_ROWS;
        spread(&weights.flat[self.position.clone()], start.sized(size));
        if let Some(layer) = &self.context {
            let given = self.spread_context(tile.context, columns, given);
            layer.forward(weights, given, Some(&start[..size]), h.sized(size));
            std::mem::swap(h, start);
        }
        let columns = columns.sized(tile.x.len());
        read(tile.x, columns);
        self.entry.forward(weights, columns, Some(&start[..size]), h.sized(size));
    }

    /// What each pixel sees of a context, `[pixels, seen, TILE_ROWS]`.
    fn spread_context<'a, T: Real>(
        &self,
        context: &[T],
        all: &mut Aligned<T>,
        to: &'a mut Aligned<T>,
    ) -> &'a mut [T] {
        let ([own, rest], all) = (self.shape.seen(), all.sized(context.len()));
        read(context, all);
        let to = to.sized(self.pixels() * (own + rest) * TILE_ROWS);
        for (pixel, to) in to.chunks_exact_mut((own + rest) * TILE_ROWS).enumerate() {
            let (squares, shared) = to.split_at_mut(own * TILE_ROWS);
            let mut at = 0;
            for range in self.shape.square(pixel) {
                let line = &all[range.start * TILE_ROWS..range.end * TILE_ROWS];
                squares[at..at + line.len()].copy_from_slice(line);
                at += line.len();
            }
            shared.copy_from_slice(&all[all.len() - rest * TILE_ROWS..]);
        }
        to
    }

    /// The gradient by a context from those by what each pixel sees of it.
    fn gather_context<T: Real>(&self, by_seen: &[T], by_context: &mut [T]) {
        let [own, rest] = self.shape.seen();
        let of_squares = by_context.len() - rest * TILE_ROWS;
        by_context[of_squares..].fill(T::ZERO);
        for (pixel, by_seen) in by_seen.chunks_exact((own + rest) * TILE_ROWS).enumerate() {
            let (squares, shared) = by_seen.split_at(own * TILE_ROWS);
            let mut at = 0;
            for range in self.shape.square(pixel) {
                let line = &mut by_context[range.start * TILE_ROWS..range.end * TILE_ROWS];
                line.copy_from_slice(&squares[at..at + line.len()]);
                at += line.len();
            }
            add(shared, &mut by_context[of_squares..]);
        }
    }
}

impl Convolutional {
    /// A forward pass.
    fn run<'a, T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        filtered: impl Iterator<Item = Filtered<'a, T>>,
        work: &mut ConvolutionalWork<T>,
        out: &mut [T],
    ) {
        let at = (self.attention(), self.width);
        let size = self.pixels() * self.width * TILE_ROWS;
        work.blocks.resize_with(self.blocks.len(), Nodes::default);
        self.enter(weights, tile, &mut work.entered, &mut work.stream);
        for ((block, nodes), filtered) in self.blocks.iter().zip(&mut work.blocks).zip(filtered) {
            block.forward(weights, at, &mut work.stream, nodes, filtered);
        }
        let values = work.last.of(self.width, &work.stream[0][..size]);
        self.head.forward(weights, values, None, out);
    }
}

impl Block {
    fn new(
        i: usize,
        (grid, width, heads): (Grid, usize, usize),
        share: f64,
        parts: &mut Parts,
        layers: &mut usize,
    ) -> Self {
        let mut add = |name: &str, [inputs, outputs]: [usize; 2], share: f64| {
            let bound = share / (inputs as f64).sqrt();
            let weight = parts.add(format!("block.{i}.{name}.weight"), [inputs, outputs], bound);
            [weight, parts.add(format!("block.{i}.{name}.bias"), [1, outputs], bound)]
        };
        let [weight, bias] = add("filter", [PLACES * width, width], 1.0);
        let filter = Filter::new((grid, window()), [width, width], weight, Some(bias), layers);
        let mut layer = |name: &str, shape: [usize; 2], share: f64| {
            let [weight, bias] = add(name, shape, share);
            Layer::new(shape, weight, bias, layers)
        };
        let gate = layer("gate", [width, 2 * width], share);
        let attention = (heads > 0).then(|| SelfAttention {
            all: layer("attention", [width, 3 * width], 1.0),
            out: layer("out", [width, width], share),
        });
        Self { filter, gate, attention }
    }

    /// Applies the block to the stream.
    fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        (at, width): (Attention, usize),
        [h, next]: &mut [Aligned<T>; 2],
        nodes: &mut Nodes<T>,
        filtered: Filtered<'_, T>,
    ) {
        let (size, token) = (at.end * width * TILE_ROWS, width * TILE_ROWS);
        let (old, new) = (&mut h[..size], next.sized(size));
        let Nodes { normed, hidden, slopes, both, .. } = nodes;
        let normed = normed.of(width, old);
        let place = |pixel: usize| pixel * token..(pixel + 1) * token;
        if let Filtered::Known(filtered) = filtered {
            let (hidden, slopes) = (hidden.sized(size), slopes.sized(size));
            hidden.copy_from_slice(&filtered[..size]);
            gelu_with_slopes(hidden, slopes);
            let both = both.sized(2 * size);
            self.gate.forward(weights, hidden, None, both);
            add_gated(width, both, old, new);
        } else {
            let mut kept = match filtered {
                Filtered::Wanted(kept) => Some(kept.sized(size)),
                _ => None,
            };
            // All that follows for a pixel is done while it lies in the first cache.
            let both = both.sized(2 * token);
            let all = 0..size / token;
            self.filter.each(weights, normed, (all, hidden.sized(token)), |pixel, hidden| {
                if let Some(kept) = &mut kept {
                    kept[place(pixel)].copy_from_slice(hidden);
                }
                gelu(hidden);
                self.gate.forward(weights, hidden, None, both);
                add_gated(width, both, &old[place(pixel)], &mut new[place(pixel)]);
            });
        }
        match &self.attention {
            None => std::mem::swap(h, next),
            Some(attention) => {
                let all = nodes.all.sized(3 * size);
                attention.forward(weights, (at, all), (&*new, old), &mut nodes.attended);
            }
        }
    }

    /// The backward pass of [`Self::forward`]: `by_stream` is the gradient by the stream behind the block, then that before it.
    fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        (at, width): (Attention, usize),
        by_stream: &mut [T],
        (nodes, grads): (&mut Nodes<T>, &mut [Aligned<T>; 3]),
        (scratch, filter, to): (&mut Scratch<T>, &mut FilterScratch<T>, &mut [T]),
    ) {
        let size = by_stream.len();
        if let Some(attention) = &self.attention {
            let all = &nodes.all[..3 * size];
            let left = (&mut nodes.attended, &mut *grads);
            attention.backward(weights, (at, all), by_stream, left, (scratch, to));
        }
        let [wide, narrow, _] = grads;
        let (by_both, by_hidden) = (wide.sized(2 * size), narrow.sized(size));
        add_gated_back(width, &nodes.both[..2 * size], by_stream, by_both);
        let hidden = &nodes.hidden[..size];
        self.gate.backward(weights, hidden, (by_both, &mut *by_hidden), scratch, to);
        scale_by(&nodes.slopes[..size], by_hidden);
        let normed = &nodes.normed.values[..size];
        self.filter.backward_of_weights(normed, by_hidden, filter, to);
        let by_normed = &mut wide.sized(size)[..];
        self.filter.backward_of_input(weights, by_hidden, None, by_normed);
        nodes.normed.back(width, by_normed, by_stream);
    }
}

impl TiledNetwork for Convolutional {
    type Work<T: Real> = ConvolutionalWork<T>;

    fn widths(&self) -> NetworkWidths {
        let ConvolutionShape { inputs, context, outputs, .. } = self.shape;
        let pixels = self.pixels();
        NetworkWidths { inputs: pixels * inputs, context, outputs: pixels * outputs }
    }

    fn parts(&self) -> &[Part] {
        &self.parts.0
    }

    fn packed(&self) -> usize {
        self.layers
    }

    fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]) {
        let filters = self.blocks.iter().map(|block| &block.filter);
        filters.chain([&self.entry]).for_each(|filter| filter.pack(flat, packed));
        let layers = self.blocks.iter().flat_map(|block| {
            let attention = block.attention.iter().flat_map(|a| [&a.all, &a.out]);
            attention.chain([&block.gate])
        });
        let layers = layers.chain(&self.context).chain([&self.head]);
        layers.for_each(|layer| layer.pack(flat, packed));
    }

    const REMEMBERS: bool = true;

    /// What the filter of each block has given.
    fn memory(&self) -> Vec<usize> {
        vec![self.pixels() * self.width * TILE_ROWS; self.blocks.len()]
    }

    fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &mut [Aligned<T>],
        work: &mut ConvolutionalWork<T>,
        out: &mut [T],
    ) {
        let kept = memory.iter_mut().map(Filtered::Wanted);
        let kept = kept.chain(std::iter::repeat_with(|| Filtered::Unwanted));
        self.run(weights, tile, kept, work, out);
    }

    fn repeat<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        memory: &mut [Aligned<T>],
        work: &mut ConvolutionalWork<T>,
        out: &mut [T],
    ) {
        self.run(weights, tile, memory.iter().map(|m| Filtered::Known(m)), work, out);
    }

    fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        _memory: &[Aligned<T>],
        work: &mut ConvolutionalWork<T>,
        by_out: &mut [T],
        to: NetworkGradients<'_, T>,
    ) {
        let at = (self.attention(), self.width);
        let size = self.pixels() * self.width * TILE_ROWS;
        let ConvolutionalWork { entered, blocks, last, by_stream, grads, scratch, filter, .. } =
            work;
        let (by_stream, by_values) = (by_stream.sized(size), grads[0].sized(size));
        let values = &last.values[..size];
        self.head.backward(weights, values, (by_out, &mut *by_values), scratch, to.weights);
        by_stream.fill(T::ZERO);
        last.back(self.width, by_values, by_stream);
        for (block, nodes) in self.blocks.iter().zip(&mut *blocks).rev() {
            let sums = (&mut *scratch, &mut *filter, &mut *to.weights);
            block.backward(weights, at, by_stream, (nodes, grads), sums);
        }
        let columns = &entered[0][..tile.x.len()];
        self.entry.backward_of_weights(columns, by_stream, filter, to.weights);
        self.entry.backward_of_input(weights, by_stream, None, to.x);
        read_back(tile.x, to.x);
        add_sums(by_stream, &mut to.weights[self.position.clone()]);
        if let Some(layer) = &self.context {
            let seen = self.pixels() * self.shape.seen().iter().sum::<usize>() * TILE_ROWS;
            let by_given = grads[0].sized(seen);
            let given = &entered[1][..seen];
            layer.backward(weights, given, (by_stream, &mut *by_given), scratch, to.weights);
            self.gather_context(by_given, to.context);
            read_back(tile.context, to.context);
        }
    }

    fn composed(
        &self,
        x: Tensor<2>,
        weights: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        composed::convolutional(self, x, weights, context)
    }
}
