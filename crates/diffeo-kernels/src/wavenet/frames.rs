//! What a context says of stretches of a waveform.

use crate::tiled_network::lanes::{add, gelu_with_slopes, read, read_back, scale_by};
use crate::tiled_network::products::{Layer, Scratch};
use crate::tiled_network::{NetworkWeights, Parts};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

use super::lanes::add_share;

/// Stretches that follow each other, which a context describes by as many numbers each, frame after frame.
///
/// Between the middles of two frames a sample sees both of them, each by its share; before the middle of the first and behind that of the last it sees that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// How many there are.
    pub count: usize,
    /// Numbers of each.
    pub numbers: usize,
    /// Samples of each; of lines, samples of a line.
    pub samples: usize,
}

impl Frames {
    /// The two frames that a place of a line sees, and the share of the second.
    pub(super) fn around(&self, at: usize) -> ([usize; 2], f64) {
        let place = ((at as f64 + 0.5) / self.samples as f64 - 0.5).max(0.0);
        let last = self.count - 1;
        let first = (place as usize).min(last);
        ([first, (first + 1).min(last)], (place - first as f64).min(1.0))
    }
}

/// Layers that turn frames into what is added to the gates of each layer.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) frames: Frames,
    /// Places of a line.
    across: usize,
    width: usize,
    /// From the numbers of a frame to `width` units.
    read: Layer,
    /// From these to the gates of each layer.
    to_gates: Vec<Layer>,
}

/// What the passes of frames work with.
#[derive(Debug, Default)]
pub(super) struct FramesWork<T> {
    context: Aligned<T>,
    units: Aligned<T>,
    slopes: Aligned<T>,
    /// For each layer, `[frames, 2 width, TILE_ROWS]`.
    gates: Vec<Aligned<T>>,
    by_gates: Vec<Aligned<T>>,
    grads: [Aligned<T>; 2],
}

impl Given {
    pub(super) fn new(
        frames: Frames,
        across: usize,
        [width, layers]: [usize; 2],
        parts: &mut Parts,
        packed: &mut usize,
    ) -> Self {
        let sizes = [frames.count, frames.numbers, frames.samples];
        assert!(!sizes.contains(&0), "frames of size 0: {sizes:?}");
        let bound = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        let mut layer = |name: String, [inputs, outputs]: [usize; 2]| {
            let weight = parts.add(format!("{name}.weight"), [inputs, outputs], bound(inputs));
            let bias = parts.add(format!("{name}.bias"), [1, outputs], bound(inputs));
            Layer::new([inputs, outputs], weight, bias, packed)
        };
        let read = layer("frames".to_owned(), [frames.numbers, width]);
        let to_gates = (0..layers).map(|i| layer(format!("layer.{i}.frames"), [width, 2 * width]));
        let to_gates = to_gates.collect();
        Self { frames, across, width, read, to_gates }
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.to_gates.iter().chain([&self.read])
    }

    /// What frames add to the gates.
    pub(super) fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        context: &[T],
        work: &mut FramesWork<T>,
    ) {
        let count = context.len() / (self.frames.numbers * TILE_ROWS);
        let given = work.context.sized(context.len());
        read(context, given);
        let size = count * self.width * TILE_ROWS;
        let (units, slopes) = (work.units.sized(size), work.slopes.sized(size));
        self.read.forward(weights, given, None, units);
        gelu_with_slopes(units, slopes);
        work.gates.resize_with(self.to_gates.len(), Aligned::default);
        for (layer, gates) in self.to_gates.iter().zip(&mut work.gates) {
            layer.forward(weights, units, None, gates.sized(2 * size));
        }
    }

    /// Adds to the gates of a layer at a pixel what its frames say.
    pub(super) fn add<T: Real>(&self, work: &FramesWork<T>, l: usize, p: usize, gates: &mut [T]) {
        self.add_at(work, l, p % self.across, gates);
    }

    /// The same at a place of a line, whichever it is.
    pub(super) fn add_at<T: Real>(
        &self,
        work: &FramesWork<T>,
        l: usize,
        at: usize,
        gates: &mut [T],
    ) {
        let size = gates.len();
        let (around, share) = self.frames.around(at);
        let of = |frame: usize| &work.gates[l][frame * size..(frame + 1) * size];
        add_share(of(around[0]), T::from_f64(1.0 - share), gates);
        add_share(of(around[1]), T::from_f64(share), gates);
    }

    /// Before the backward passes of layers.
    pub(super) fn start_back<T: Real>(&self, work: &mut FramesWork<T>) {
        work.by_gates.resize_with(self.to_gates.len(), Aligned::default);
        let size = 2 * self.frames.count * self.width * TILE_ROWS;
        work.by_gates.iter_mut().for_each(|by| by.sized(size).fill(T::ZERO));
    }

    /// Notes the gradient by the gates of a layer, of all pixels.
    pub(super) fn back<T: Real>(&self, work: &mut FramesWork<T>, l: usize, by_both: &[T]) {
        let size = 2 * self.width * TILE_ROWS;
        for (p, by_both) in by_both.chunks_exact(size).enumerate() {
            let (around, share) = self.frames.around(p % self.across);
            for (frame, share) in around.into_iter().zip([1.0 - share, share]) {
                let to = &mut work.by_gates[l][frame * size..(frame + 1) * size];
                add_share(by_both, T::from_f64(share), to);
            }
        }
    }

    /// Behind them: the gradient by context and weights.
    pub(super) fn finish_back<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        work: &mut FramesWork<T>,
        scratch: &mut Scratch<T>,
        (context, to_context, to): (&[T], &mut [T], &mut [T]),
    ) {
        let size = self.frames.count * self.width * TILE_ROWS;
        let [by_units, by_layer] = &mut work.grads;
        let (by_units, by_layer) = (by_units.sized(size), by_layer.sized(size));
        by_units.fill(T::ZERO);
        for (layer, by_gates) in self.to_gates.iter().zip(&mut work.by_gates) {
            let by_gates = &mut by_gates[..2 * size];
            layer.backward(weights, &work.units[..size], (by_gates, by_layer), scratch, to);
            add(by_layer, by_units);
        }
        scale_by(&work.slopes[..size], by_units);
        let given = &work.context[..to_context.len()];
        self.read.backward(weights, given, (by_units, &mut *to_context), scratch, to);
        read_back(context, to_context);
    }
}
