//! Networks that read waveforms: what comes out for a sample follows from those before it.

mod composed;
mod frames;
mod lanes;
mod lines;
mod stream;
#[cfg(test)]
mod tests;

use std::ops::Range;

use burn::tensor::Tensor;

use crate::tiled_network::filter::{Filter, FilterScratch, Grid, Tap};
use crate::tiled_network::lanes::add;
use crate::tiled_network::products::{Layer, Scratch};
use crate::tiled_network::{
    NetworkGradients, NetworkWeights, NetworkWidths, Part, Parts, RowTile, TiledNetwork,
};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};
pub use frames::Frames;
use frames::{FramesWork, Given};
use lanes::{
    add_both, gate, gate_back, gated, join, read_samples, read_samples_back, rectify, rectify_back,
};
pub use lines::WaveNetLines;
pub use stream::WaveNetStream;

/// A sample is read as itself up to this size, and as this size beyond it, so that nothing overflows.
pub const SAMPLE_MAX: f64 = 64.0;
/// Numbers that a sample is read as: itself, and one that grows with the logarithm of its size, so that silence is no less told apart than sound.
const READ: usize = 2;

/// In which order the samples of a waveform depend on each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after another: each may depend on all before it (van den Oord et al. 2016).
    Sequence {
        /// Samples that the first filter reads.
        window: usize,
        /// For each layer, how far apart the two samples are that its filter reads.
        dilations: Vec<usize>,
    },
    /// As lines of an image, which has neighbours in time below each other: a line may depend on all above it (Ping, Peng, Zhao, Song 2020).
    Lines {
        /// Lines, which are as many as samples that are not drawn at once.
        height: usize,
        /// For each layer, how far apart the three lines are that its filter reads, and how far apart the three samples of each.
        dilations: Vec<[usize; 2]>,
    },
}

/// What a network reads and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveNetShape {
    /// Samples of a row; of lines, a multiple of their number, line after line.
    pub length: usize,
    /// In which order they depend on each other.
    pub order: Order,
    /// What a context says of stretches of a row, if there is one.
    pub frames: Option<Frames>,
    /// Numbers that come out for a sample.
    pub outputs: usize,
}

impl WaveNetShape {
    fn grid(&self) -> Grid {
        let height = match self.order {
            Order::Sequence { .. } => 1,
            Order::Lines { height, .. } => height,
        };
        Grid { height, width: self.length / height }
    }

    /// Where the first filter looks, and those of the layers.
    fn taps(&self) -> (Vec<Tap>, Vec<Vec<Tap>>) {
        match &self.order {
            Order::Sequence { window, dilations } => {
                let layer = |&dilation: &usize| vec![[0, -(dilation as isize)], [0, 0]];
                let before = (1..=*window as isize).rev().map(|back| [0, -back]);
                (before.collect(), dilations.iter().map(layer).collect())
            }
            Order::Lines { dilations, .. } => {
                let square = |[down, right]: [isize; 2], last: isize| -> Vec<Tap> {
                    let lines = (last - 2..=last).map(|line| line * down);
                    lines.flat_map(|line| (-1..=1).map(move |at| [line, at * right])).collect()
                };
                let layer = |dilation: &[usize; 2]| square(dilation.map(|by| by as isize), 0);
                (square([1, 1], -1), dilations.iter().map(layer).collect())
            }
        }
    }
}

/// Gated layers of dilated filters over waveforms, with what each gives to the end:
///
/// ```text
/// h_p = F_0(x, asinh(256 x) / asinh(256))_p   F_0 reads samples before p only
/// (u, v) = F_l(h)_p + f_p V_l                 f_p: between the frames next to p, gelu(c A + a) of their context c
/// (s, r) = tanh(u) sigmoid(v) W_l + b_l,  h_p <- h_p + r,  k_p <- k_p + s
/// out_p = relu(relu(k_p) H + b) O + o + D(x)_p
/// ```
///
/// `D` is a linear filter over what `F_0` reads, so that the network starts from a linear prediction. Numbers of samples are cut at [`SAMPLE_MAX`].
///
/// Reference: van den Oord et al. *WaveNet: A Generative Model for Raw Audio*. 2016, arXiv:1609.03499, section 2; over lines, Ping, Peng, Zhao, Song. *WaveFlow: A Compact
/// Flow-based Model for Raw Audio*. ICML 2020, arXiv:1912.01219, section 3 (neither has `D`).
#[derive(Clone, Debug)]
pub struct WaveNet {
    shape: WaveNetShape,
    width: usize,
    entry: Filter,
    direct: Filter,
    given: Option<Given>,
    layers: Vec<Gated>,
    hidden: Layer,
    head: Layer,
    parts: Parts,
    packed: usize,
}

/// A layer.
#[derive(Clone, Debug)]
struct Gated {
    filter: Filter,
    /// To what is given to the end and, but for the last layer, what is added to the stream.
    out: Layer,
}

/// What a layer leaves for its backward pass.
#[derive(Debug, Default)]
struct Nodes<T> {
    stream: Aligned<T>,
    /// `tanh(u)` and `sigmoid(v)`.
    both: Aligned<T>,
}

/// See [`TiledNetwork::Work`].
#[derive(Debug, Default)]
pub struct WaveNetWork<T> {
    x: Aligned<T>,
    nodes: Vec<Nodes<T>>,
    /// The stream where it is not kept.
    stream: [Aligned<T>; 2],
    sum: Aligned<T>,
    hidden: Aligned<T>,
    frames: FramesWork<T>,
    pixel: [Aligned<T>; 3],
    ends: [Aligned<T>; 4],
    grads: [Aligned<T>; 4],
    scratch: Scratch<T>,
    filter: FilterScratch<T>,
}

impl WaveNet {
    /// A network of so many units a sample.
    ///
    /// # Panics
    /// If a size is zero, there is no layer, or the length is no multiple of the lines.
    pub fn new(shape: WaveNetShape, width: usize) -> Self {
        let (grid, (first, taps)) = (shape.grid(), shape.taps());
        assert!(width > 0 && shape.outputs > 0 && shape.length > 0, "a waveform network of size 0");
        assert!(!first.is_empty() && !taps.is_empty(), "a waveform network without layers");
        assert_eq!(
            shape.length,
            grid.pixels(),
            "{} samples in {} lines",
            shape.length,
            grid.height
        );
        let (mut parts, mut packed) = (Parts::default(), 0);
        let bound = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        let (seen, outputs, count) = (READ * first.len(), shape.outputs, taps.len());
        let weight = parts.add("entry.weight", [seen, width], bound(seen));
        let bias = parts.add("entry.bias", [1, width], bound(seen));
        let at = (grid, first);
        let entry = Filter::new(at.clone(), [READ, width], weight, Some(bias), &mut packed);
        let weight = parts.add("direct", [seen, outputs], 0.0);
        let direct = Filter::new(at, [READ, outputs], weight, None, &mut packed);
        let given = shape
            .frames
            .map(|frames| Given::new(frames, grid.width, [width, count], &mut parts, &mut packed));
        let layer = |(i, taps): (usize, Vec<Tap>)| {
            let outs = if i + 1 < count { 2 * width } else { width };
            let inputs = taps.len() * width;
            let name = |part: &str| format!("layer.{i}.{part}");
            let weight = parts.add(name("filter.weight"), [inputs, 2 * width], bound(inputs));
            let bias = parts.add(name("filter.bias"), [1, 2 * width], bound(inputs));
            let at = (grid, taps);
            let filter = Filter::new(at, [width, 2 * width], weight, Some(bias), &mut packed);
            // What layers add to the stream starts so small that all of them together are of order one.
            let small = bound(width) * bound(count);
            let weight = parts.add(name("out.weight"), [width, outs], small);
            let bias = parts.add(name("out.bias"), [1, outs], small);
            Gated { filter, out: Layer::new([width, outs], weight, bias, &mut packed) }
        };
        let layers = taps.into_iter().enumerate().map(layer).collect();
        let mut dense = |name: &str, outputs: usize, bound: f64| {
            let weight = parts.add(format!("{name}.weight"), [width, outputs], bound);
            let bias = parts.add(format!("{name}.bias"), [1, outputs], bound);
            Layer::new([width, outputs], weight, bias, &mut packed)
        };
        let (hidden, head) = (dense("hidden", width, bound(width)), dense("head", outputs, 0.0));
        Self { shape, width, entry, direct, given, layers, hidden, head, parts, packed }
    }

    /// What it reads and gives.
    pub fn shape(&self) -> &WaveNetShape {
        &self.shape
    }

    /// Units of a sample.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The same network, with the same weights, for rows of another length.
    ///
    /// # Panics
    /// As [`WaveNet::new`].
    pub fn of_length(&self, length: usize) -> Self {
        Self::new(WaveNetShape { length, ..self.shape.clone() }, self.width)
    }

    fn grid(&self) -> Grid {
        self.shape.grid()
    }

    /// Where the numbers of a pixel lie.
    fn of_pixel(&self, pixel: usize) -> Range<usize> {
        let size = self.width * TILE_ROWS;
        pixel * size..(pixel + 1) * size
    }
}

impl WaveNet {
    /// A forward pass, which keeps what a backward pass needs if asked to.
    fn run<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        work: &mut WaveNetWork<T>,
        out: &mut [T],
        is_kept: bool,
    ) {
        let size = self.grid().pixels() * self.width * TILE_ROWS;
        let x = work.x.sized(READ * tile.x.len());
        read_samples(tile.x, x);
        if let Some(given) = &self.given {
            given.forward(weights, tile.context, &mut work.frames);
        }
        work.nodes.resize_with(self.layers.len(), Nodes::default);
        let first = if is_kept { &mut work.nodes[0].stream } else { &mut work.stream[0] };
        self.entry.forward(weights, x, None, first.sized(size));
        work.sum.sized(size).fill(T::ZERO);
        for l in 0..self.layers.len() {
            let WaveNetWork { nodes, stream, sum, frames, pixel, .. } = work;
            let [here, rest @ ..] = &mut nodes[l..] else { return };
            let (old, new, both) = if is_kept {
                (&here.stream, rest.first_mut().map(|next| &mut next.stream), Some(&mut here.both))
            } else {
                let [old, new] = &mut *stream;
                (&*old, Some(new), None)
            };
            let both = both.map(|both| both.sized(2 * size));
            let new = new.map_or(&mut [][..], |new| new.sized(size));
            let of = (&self.layers[l].filter, 0..self.grid().pixels());
            let (streams, sum) = ((&old[..size], new), (&mut sum[..size], pixel));
            self.layer(weights, (l, of), (frames, both), streams, sum);
            if !is_kept {
                stream.swap(0, 1);
            }
        }
        let hidden = work.hidden.sized(size);
        let sum = &mut work.sum[..size];
        rectify(sum);
        self.hidden.forward(weights, sum, None, hidden);
        rectify(hidden);
        let direct = work.ends[0].sized(out.len());
        self.direct.forward(weights, x, None, direct);
        self.head.forward(weights, hidden, Some(direct), out);
    }

    /// A layer, pixel by pixel: all that follows from a pixel's filter is done while it lies in the first cache. `old` is of all pixels that its filter sees, the others of those that are asked for.
    fn layer<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        (l, (filter, pixels)): (usize, (&Filter, Range<usize>)),
        (frames, mut kept): (&FramesWork<T>, Option<&mut [T]>),
        (old, new): (&[T], &mut [T]),
        (sum, pixel): (&mut [T], &mut [Aligned<T>; 3]),
    ) {
        let (out, is_last) = (&self.layers[l].out, l + 1 == self.layers.len());
        let first = pixels.start;
        let token = self.width * TILE_ROWS;
        let [both, gated, made] = pixel;
        let gated = gated.sized(token);
        let made = made.sized(if is_last { token } else { 2 * token });
        filter.each(weights, old, (pixels, both.sized(2 * token)), |p, both| {
            let place = self.of_pixel(p - first);
            if let Some(given) = &self.given {
                given.add(frames, l, p, both);
            }
            gate(self.width, both, gated);
            if let Some(kept) = &mut kept {
                kept[2 * place.start..2 * place.end].copy_from_slice(both);
            }
            out.forward(weights, gated, None, made);
            add(&made[..token], &mut sum[place.clone()]);
            if !is_last {
                add_both(&old[self.of_pixel(p)], &made[token..], &mut new[place]);
            }
        });
    }

    /// The backward pass of a layer: `by_stream` is the gradient by the stream behind it, then that before it.
    fn layer_back<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        l: usize,
        (by_sum, by_stream): (&[T], &mut Aligned<T>),
        work: &mut LayerBack<'_, T>,
        to: &mut [T],
    ) {
        let (Gated { filter, out }, is_last) = (&self.layers[l], l + 1 == self.layers.len());
        let size = by_sum.len();
        let Nodes { stream, both } = &work.nodes[l];
        let (both, [made, gates, values, by_values]) = (&both[..2 * size], &mut *work.grads);
        let by_made = made.sized(if is_last { size } else { 2 * size });
        join(self.width, by_sum, &by_stream[..if is_last { 0 } else { size }], by_made);
        let (values, by_values) = (values.sized(size), by_values.sized(size));
        gated(self.width, both, values);
        out.backward(weights, values, (by_made, &mut *by_values), work.scratch, to);
        let by_both = gates.sized(2 * size);
        gate_back(self.width, both, by_values, by_both);
        if let Some(given) = &self.given {
            given.back(work.frames, l, by_both);
        }
        filter.backward_of_weights(&stream[..size], by_both, work.filter, to);
        let next = made.sized(size);
        let behind = (!is_last).then(|| &by_stream[..size]);
        filter.backward_of_input(weights, by_both, behind, next);
        std::mem::swap(made, by_stream);
    }
}

/// What the backward passes of layers work with.
struct LayerBack<'a, T> {
    nodes: &'a [Nodes<T>],
    frames: &'a mut FramesWork<T>,
    grads: &'a mut [Aligned<T>; 4],
    scratch: &'a mut Scratch<T>,
    filter: &'a mut FilterScratch<T>,
}

impl TiledNetwork for WaveNet {
    type Work<T: Real> = WaveNetWork<T>;

    const FREEZES: bool = true;

    fn widths(&self) -> NetworkWidths {
        let WaveNetShape { length, frames, outputs, .. } = self.shape;
        let context = frames.map_or(0, |frames| frames.count * frames.numbers);
        NetworkWidths { inputs: length, context, outputs: length * outputs }
    }

    fn parts(&self) -> &[Part] {
        &self.parts.0
    }

    fn packed(&self) -> usize {
        self.packed
    }

    fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]) {
        let filters = self.layers.iter().map(|layer| &layer.filter);
        filters.chain([&self.entry, &self.direct]).for_each(|filter| filter.pack(flat, packed));
        let outs = self.layers.iter().map(|layer| &layer.out);
        let given = self.given.iter().flat_map(Given::layers);
        outs.chain([&self.hidden, &self.head]).chain(given).for_each(|l| l.pack(flat, packed));
    }

    fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        _memory: &mut [Aligned<T>],
        work: &mut WaveNetWork<T>,
        out: &mut [T],
    ) {
        self.run(weights, tile, work, out, false);
    }

    fn repeat<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        _memory: &mut [Aligned<T>],
        work: &mut WaveNetWork<T>,
        out: &mut [T],
    ) {
        self.run(weights, tile, work, out, true);
    }

    fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        _memory: &[Aligned<T>],
        work: &mut WaveNetWork<T>,
        by_out: &mut [T],
        to: NetworkGradients<'_, T>,
    ) {
        let size = self.grid().pixels() * self.width * TILE_ROWS;
        let WaveNetWork { x, nodes, stream, sum, hidden, frames, ends, .. } = work;
        let (grads, scratch, filter) = (&mut work.grads, &mut work.scratch, &mut work.filter);
        let (x, sum, hidden) = (&x[..READ * tile.x.len()], &sum[..size], &hidden[..size]);
        let [by_hidden, by_sum, direct, by_read] = ends;
        let (direct, by_read) = (direct.sized(x.len()), by_read.sized(x.len()));
        self.direct.backward_of_weights(x, by_out, filter, to.weights);
        self.direct.backward_of_input(weights, by_out, None, direct);
        let by_hidden = by_hidden.sized(size);
        self.head.backward(weights, hidden, (by_out, &mut *by_hidden), scratch, to.weights);
        rectify_back(hidden, by_hidden);
        let by_sum = by_sum.sized(size);
        self.hidden.backward(weights, sum, (by_hidden, &mut *by_sum), scratch, to.weights);
        rectify_back(sum, by_sum);
        if let Some(given) = &self.given {
            given.start_back(frames);
        }
        let by_stream = &mut stream[0];
        let mut back = LayerBack { nodes, frames, grads, scratch, filter };
        for l in (0..self.layers.len()).rev() {
            self.layer_back(weights, l, (by_sum, by_stream), &mut back, to.weights);
        }
        let by_stream = &by_stream[..size];
        self.entry.backward_of_weights(x, by_stream, filter, to.weights);
        self.entry.backward_of_input(weights, by_stream, Some(direct), by_read);
        read_samples_back(tile.x, by_read, to.x);
        if let Some(given) = &self.given {
            let to = (tile.context, to.context, to.weights);
            given.finish_back(weights, frames, scratch, to);
        }
    }

    fn composed(
        &self,
        x: Tensor<2>,
        weights: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        composed::wavenet(self, x, weights, context)
    }
}
