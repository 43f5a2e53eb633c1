//! A network over waveforms with trainable weights.

use std::sync::{Arc, Mutex};

use diffeo::burn::tensor::Tensor;
use diffeo::network::TiledWeights;
use diffeo::{Error, Init, Result, Trainable, Visitor, host_values};
use diffeo_kernels as kernels;
use diffeo_kernels::ops::tiled_network;
use diffeo_kernels::{
    Aligned, Buffered, Frames, NetworkWeights, Order, TILE_ROWS, TiledNetwork, WaveNetLines,
    WaveNetShape, WaveNetStream,
};
use serde::{Deserialize, Serialize};

/// Sizes of a network that reads a waveform sample by sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Units of a sample: of the stream, of each gate, and of what layers give to the end.
    pub width: usize,
    /// Samples that the first filter reads, and that parameters may depend on linearly.
    pub window: usize,
    /// For each layer, how far apart the two samples are that its filter reads.
    pub dilations: Vec<usize>,
}

/// Frames that a network is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize {
    /// Numbers of a frame.
    pub numbers: usize,
    /// Samples of a frame.
    pub samples: usize,
}

/// Most units, layers, samples between two that a filter reads, and lines.
const WIDTH_MAX: usize = 1 << 12;
const LAYERS_MAX: usize = 256;
const REACH_MAX: usize = 1 << 20;
const HEIGHT_MAX: usize = 1 << 10;

impl NetworkSpec {
    /// Layers whose filters reach `1, 2, 4, ..` samples back, `cycle` of them before that starts again.
    pub fn cycles(width: usize, window: usize, [layers, cycle]: [usize; 2]) -> Self {
        let dilations = (0..layers).map(|layer| 1 << (layer % cycle.max(1))).collect();
        Self { width, window, dilations }
    }

    /// Samples before one that its parameters depend on.
    pub fn reach(&self) -> usize {
        self.window + self.dilations.iter().sum::<usize>()
    }

    /// Of the shortest row that there can be.
    fn shape(&self, frames: Option<FrameSize>, outputs: usize) -> WaveNetShape {
        let order = Order::Sequence { window: self.window, dilations: self.dilations.clone() };
        shortest(order, 1, (frames, outputs))
    }

    /// Weights of a network that gives so many numbers of a sample, counted without building it.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for sizes out of range.
    pub fn weights(&self, frames: Option<FrameSize>, outputs: usize) -> Result<u64> {
        self.validate()?;
        Ok(count(self.width, (self.window, 2, self.dilations.len()), frames, outputs))
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let count = self.dilations.len();
        let far = self.dilations.iter().copied().max().unwrap_or(0);
        if (1..=WIDTH_MAX).contains(&self.width)
            && (1..=REACH_MAX).contains(&self.window)
            && (1..=LAYERS_MAX).contains(&count)
            && far <= REACH_MAX
            && !self.dilations.contains(&0)
        {
            return Ok(());
        }
        Err(Error::config(format!(
            "expected 1 to {WIDTH_MAX} units, 1 to {LAYERS_MAX} layers, and a window and distances from 1 to {REACH_MAX}, found {self:?}"
        )))
    }
}

/// Sizes of a network that reads a waveform folded into lines, line by line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinesSpec {
    /// Units of a sample: of the stream, of each gate, and of what layers give to the end.
    pub width: usize,
    /// Lines, of which samples next to each other are in turn.
    pub height: usize,
    /// For each layer, how far apart the three lines are that its filter reads, and how far apart the three places of each.
    pub dilations: Vec<[usize; 2]>,
}

/// Places of the filter that a network over lines starts with: three of each of the three lines above.
const ENTRY_TAPS: usize = 9;
const LAYER_TAPS: usize = 9;

impl LinesSpec {
    /// Layers whose filters reach one or, where `height` lines need it, more lines up, and `1, 2, 4, ..` places to each side, `cycle` of them before that starts again.
    pub fn cycles(width: usize, height: usize, [layers, cycle]: [usize; 2]) -> Self {
        // Three lines are read first, and two more for each layer.
        let down = height.saturating_sub(3).div_ceil(2 * layers.max(1)).max(1);
        let dilations = (0..layers).map(|layer| [down, 1 << (layer % cycle.max(1))]).collect();
        Self { width, height, dilations }
    }

    /// Places to each side that the parameters of one depend on.
    fn reach(&self) -> usize {
        1 + self.dilations.iter().map(|[_, right]| right).sum::<usize>()
    }

    fn shape(&self, frames: Option<FrameSize>, outputs: usize) -> WaveNetShape {
        let order = Order::Lines { height: self.height, dilations: self.dilations.clone() };
        shortest(order, self.height, (frames, outputs))
    }

    /// Weights of a network that gives so many numbers of a sample, counted without building it.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for sizes out of range.
    pub fn weights(&self, frames: Option<FrameSize>, outputs: usize) -> Result<u64> {
        self.validate()?;
        let taps = (ENTRY_TAPS, LAYER_TAPS, self.dilations.len());
        Ok(count(self.width, taps, frames, outputs))
    }

    fn validate(&self) -> Result<()> {
        let count = self.dilations.len();
        if (1..=WIDTH_MAX).contains(&self.width)
            && (2..=HEIGHT_MAX).contains(&self.height)
            && (1..=LAYERS_MAX).contains(&count)
            && self.dilations.iter().flatten().all(|by| (1..=REACH_MAX).contains(by))
        {
            return Ok(());
        }
        Err(Error::config(format!(
            "expected 1 to {WIDTH_MAX} units, 2 to {HEIGHT_MAX} lines, 1 to {LAYERS_MAX} layers, and distances from 1 to {REACH_MAX}, found {self:?}"
        )))
    }
}

/// Of the shortest row that there can be, in so many lines.
fn shortest(
    order: Order,
    height: usize,
    (frames, outputs): (Option<FrameSize>, usize),
) -> WaveNetShape {
    let length = frames.map_or(height, |frames| frames.samples);
    let of_frame =
        |f: FrameSize| Frames { count: 1, numbers: f.numbers, samples: f.samples / height };
    WaveNetShape { length, order, frames: frames.map(of_frame), outputs }
}

/// Weights of a network whose first filter reads so many places, and those of so many layers so many.
fn count(
    width: usize,
    (first, taps, layers): (usize, usize, usize),
    frames: Option<FrameSize>,
    outputs: usize,
) -> u64 {
    let [w, first, taps, layers, outputs] = [width, first, taps, layers, outputs].map(|n| n as u64);
    let dense = |inputs: u64, outputs: u64| inputs * outputs + outputs;
    let told = |frames: FrameSize| dense(frames.numbers as u64, w) + layers * dense(w, 2 * w);
    let layer = dense(taps * w, 2 * w) + dense(w, 2 * w);
    // The last layer gives nothing to the stream.
    let layers = layers * layer - dense(w, w);
    // A sample is read as two numbers.
    let ends = dense(2 * first, w) + 2 * first * outputs + dense(w, w) + dense(w, outputs);
    ends + layers + frames.map_or(0, told)
}

/// Networks of the lengths that were asked for last, whose buffers are kept.
type Built = Arc<Mutex<Vec<(usize, Arc<Buffered<kernels::WaveNet>>)>>>;

/// How many lengths are kept.
const LENGTHS_KEPT: usize = 2;

/// A network that gives some numbers for each sample of a row from those before it.
#[derive(Clone, Debug)]
pub struct Network {
    shape: WaveNetShape,
    width: usize,
    /// Lines that rows are folded into; one where samples follow each other.
    height: usize,
    is_flipped: bool,
    /// Samples before one that its parameters depend on, and behind it.
    reach: [usize; 2],
    frames: Option<FrameSize>,
    weights: TiledWeights,
    built: Built,
}

impl Network {
    /// A network with initial weights that gives so many numbers of a sample.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for sizes out of range.
    pub fn new(
        spec: &NetworkSpec,
        frames: Option<FrameSize>,
        outputs: usize,
        init: &mut Init,
    ) -> Result<Self> {
        spec.validate()?;
        let (shape, reach) = (spec.shape(frames, outputs), [spec.reach(), 0]);
        Ok(Self::build_with(shape, (spec.width, reach), frames, init))
    }

    /// A network over lines with initial weights, from the last line to the first if it is flipped; frames hold a multiple of the lines.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for sizes out of range.
    pub fn of_lines(
        spec: &LinesSpec,
        is_flipped: bool,
        (frames, outputs): (Option<FrameSize>, usize),
        init: &mut Init,
    ) -> Result<Self> {
        spec.validate()?;
        let reach = (spec.reach() + 1) * spec.height;
        let shape = spec.shape(frames, outputs);
        let network = Self::build_with(shape, (spec.width, [reach; 2]), frames, init);
        Ok(Self { height: spec.height, is_flipped, ..network })
    }

    fn build_with(
        shape: WaveNetShape,
        (width, reach): (usize, [usize; 2]),
        frames: Option<FrameSize>,
        init: &mut Init,
    ) -> Self {
        let one = kernels::WaveNet::new(shape.clone(), width);
        let weights = TiledWeights::new(one.parts(), init);
        let (height, is_flipped) = (1, false);
        Self { shape, width, height, is_flipped, reach, frames, weights, built: Built::default() }
    }

    /// Whether lines are taken from the last to the first.
    pub fn is_flipped(&self) -> bool {
        self.is_flipped
    }

    /// Samples before one that its parameters depend on, and behind it.
    pub fn reach(&self) -> [usize; 2] {
        self.reach
    }

    /// The network for rows of a length.
    fn of_length(&self, length: usize) -> Arc<Buffered<kernels::WaveNet>> {
        let mut built = self.built.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(at) = built.iter().position(|(of, _)| *of == length) {
            return Arc::clone(&built[at].1);
        }
        let network = Arc::new(Buffered::new(self.build(length)));
        built.truncate(LENGTHS_KEPT - 1);
        built.insert(0, (length, Arc::clone(&network)));
        network
    }

    fn build(&self, length: usize) -> kernels::WaveNet {
        let frames = self
            .shape
            .frames
            .map(|f| Frames { count: (length / self.height).div_ceil(f.samples), ..f });
        let shape = WaveNetShape { length, frames, ..self.shape.clone() };
        kernels::WaveNet::new(shape, self.width)
    }

    /// Numbers that it gives of a sample.
    pub fn outputs(&self) -> usize {
        self.shape.outputs
    }

    /// Frames that it is told of.
    pub fn frames(&self) -> Option<FrameSize> {
        self.frames
    }

    /// Numbers for each sample, `[n length, outputs]`, of rows `[n, length]` and the frames of each side by side.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Shape`] if the context is not that of the frames of such rows.
    pub fn parameters(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Tensor<2>> {
        let [n, length] = x.dims();
        let network = self.of_length(length);
        let (expected, found) = (network.widths().context, context.map_or(0, |c| c.dims()[1]));
        if expected != found {
            return Err(Error::shape(format!(
                "expected {expected} numbers of the frames of {length} samples, found {found}"
            )));
        }
        let found = tiled_network(&network, self.in_lines(x), self.weights.flat(), context);
        Ok(self.in_time(found, n).reshape([n * length, self.shape.outputs]))
    }

    /// Rows folded into lines, line after line.
    fn in_lines(&self, x: Tensor<2>) -> Tensor<2> {
        let [n, length] = x.dims();
        if self.height == 1 {
            return x;
        }
        let places: Tensor<3> = x.reshape([n, length / self.height, self.height]);
        self.flipped(places.swap_dims(1, 2), 1).reshape([n, length])
    }

    /// What belongs to the samples of lines, sample after sample.
    fn in_time(&self, found: Tensor<2>, n: usize) -> Tensor<2> {
        let [_, all] = found.dims();
        if self.height == 1 {
            return found;
        }
        let places = all / self.height / self.shape.outputs;
        let lines: Tensor<4> = found.reshape([n, self.height, places, self.shape.outputs]);
        self.flipped(lines, 1).swap_dims(1, 2).reshape([n, all])
    }

    fn flipped<const D: usize>(&self, lines: Tensor<D>, axis: isize) -> Tensor<D> {
        if self.is_flipped { lines.flip([axis]) } else { lines }
    }

    /// The network with its weights on the host, for rows of a length.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Device`] if weights cannot be read back.
    pub(crate) fn loaded(&self, length: usize) -> Result<Loaded> {
        let network = self.build(length);
        let flat: Vec<f32> =
            host_values(self.weights.flat())?.into_iter().map(|v| v as f32).collect();
        let mut packed = vec![Aligned::default(); network.packed()];
        network.pack(&flat, &mut packed);
        Ok(Loaded { network, flat, packed })
    }
}

impl Trainable for Network {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.weights.visit(visitor);
    }
}

/// A network ready to be run sample by sample.
pub(crate) struct Loaded {
    network: kernels::WaveNet,
    flat: Vec<f32>,
    packed: Vec<Aligned<f32>>,
}

impl Loaded {
    fn weights(&self) -> NetworkWeights<'_, f32> {
        NetworkWeights { flat: &self.flat, packed: &self.packed }
    }

    /// At the start of up to [`TILE_ROWS`] rows, with the frames of each.
    pub(crate) fn start(&self, contexts: &[Vec<f32>]) -> Running<'_> {
        let stream = WaveNetStream::new(&self.network, self.weights(), &self.tile(contexts));
        let outputs = self.network.shape().outputs;
        Running { loaded: self, stream, out: vec![0.0; outputs * TILE_ROWS] }
    }

    /// Above the first line of up to [`TILE_ROWS`] rows, with the frames of each.
    pub(crate) fn lines(&self, contexts: &[Vec<f32>]) -> RunningLines<'_> {
        let lines = WaveNetLines::new(&self.network, self.weights(), &self.tile(contexts));
        let WaveNetShape { length, outputs, order, .. } = self.network.shape();
        let Order::Lines { height, .. } = order else { unreachable!("checked by the kernel") };
        RunningLines { loaded: self, lines, out: vec![0.0; length / height * outputs * TILE_ROWS] }
    }

    fn tile(&self, contexts: &[Vec<f32>]) -> Vec<f32> {
        let width = self.network.widths().context;
        let mut tile = vec![0.0; width * TILE_ROWS];
        for (lane, context) in contexts.iter().enumerate() {
            for (number, &v) in context[..width].iter().enumerate() {
                tile[number * TILE_ROWS + lane] = v;
            }
        }
        tile
    }
}

/// A network that has come to some line of each of its rows.
pub(crate) struct RunningLines<'a> {
    loaded: &'a Loaded,
    lines: WaveNetLines<f32>,
    out: Vec<f32>,
}

impl RunningLines<'_> {
    /// The line that comes next: `draw` makes the sample of a lane at a place from its parameters.
    pub(crate) fn step(&mut self, mut draw: impl FnMut(usize, usize, &[f32]) -> f32) {
        let outputs = self.loaded.network.shape().outputs;
        let mut own = vec![0.0; outputs];
        self.lines.step(self.loaded.weights(), &mut self.out, |out, to| {
            let places = out.chunks_exact(outputs * TILE_ROWS).zip(to.chunks_exact_mut(TILE_ROWS));
            for (place, (out, to)) in places.enumerate() {
                for (lane, to) in to.iter_mut().enumerate() {
                    (0..outputs).for_each(|k| own[k] = out[k * TILE_ROWS + lane]);
                    *to = draw(lane, place, &own);
                }
            }
        });
    }
}

/// A network that has come to some sample of each of its rows.
pub(crate) struct Running<'a> {
    loaded: &'a Loaded,
    stream: WaveNetStream<f32>,
    out: Vec<f32>,
}

impl Running<'_> {
    /// The samples that come next: `draw` makes that of a lane from its parameters.
    pub(crate) fn step(
        &mut self,
        samples: &mut [f32; TILE_ROWS],
        mut draw: impl FnMut(usize, &[f32]) -> f32,
    ) {
        let outputs = self.out.len() / TILE_ROWS;
        let mut own = vec![0.0; outputs];
        self.stream.step(self.loaded.weights(), &mut self.out, |out, to| {
            for lane in 0..TILE_ROWS {
                (0..outputs).for_each(|k| own[k] = out[k * TILE_ROWS + lane]);
                samples[lane] = draw(lane, &own);
                to[lane] = samples[lane];
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_counted_as_they_are_built() {
        for frames in [None, Some(FrameSize { numbers: 7, samples: 4 })] {
            for (width, window, layers) in [(1, 1, 1), (3, 5, 2), (8, 2, 5)] {
                let spec = NetworkSpec::cycles(width, window, [layers, 3]);
                let network = kernels::WaveNet::new(spec.shape(frames, 6), width);
                let built = network.parts().last().map_or(0, |part| part.place.end as u64);
                assert_eq!(spec.weights(frames, 6).unwrap(), built, "{spec:?}");
            }
            for (width, height, layers) in [(1, 2, 1), (3, 4, 2), (8, 4, 5)] {
                let spec = LinesSpec::cycles(width, height, [layers, 3]);
                let network = kernels::WaveNet::new(spec.shape(frames, 2), width);
                let built = network.parts().last().map_or(0, |part| part.place.end as u64);
                assert_eq!(spec.weights(frames, 2).unwrap(), built, "{spec:?}");
            }
        }
    }
}
