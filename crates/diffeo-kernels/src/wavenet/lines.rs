//! A waveform line by line.

use super::frames::FramesWork;
use super::lanes::{read_samples, rectify};
use super::{Order, READ, WaveNet};
use crate::tiled_network::NetworkWeights;
use crate::tiled_network::filter::{Filter, Grid};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

/// A network over lines that is run one line after another, to the same numbers as on whole rows: each layer keeps the last lines that its filter reads, so that all lines together cost what a pass over a
/// row does.
#[derive(Debug)]
pub struct WaveNetLines<T> {
    network: WaveNet,
    /// Places of a line.
    across: usize,
    /// Lines so far.
    at: usize,
    entry: Filter,
    direct: Filter,
    filters: Vec<Filter>,
    /// What the last samples are read as.
    seen: Aligned<T>,
    /// Of each layer the last streams that its filter reads, the newest line behind.
    streams: Vec<Aligned<T>>,
    frames: FramesWork<T>,
    pixel: [Aligned<T>; 3],
    next: Aligned<T>,
    sum: Aligned<T>,
    hidden: Aligned<T>,
    straight: Aligned<T>,
    drawn: Aligned<T>,
}

/// Lines that the first filter reads, and the one behind them that it is for.
const ENTRY: usize = 4;

impl<T: Real> WaveNetLines<T> {
    /// Above the first line of [`TILE_ROWS`] waveforms, with the context of all of their frames, `[frames numbers, TILE_ROWS]`.
    ///
    /// # Panics
    /// If the network reads no lines, or the context is not that of its frames.
    pub fn new(network: &WaveNet, weights: NetworkWeights<'_, T>, context: &[T]) -> Self {
        let Order::Lines { dilations, .. } = &network.shape.order else {
            panic!("samples in sequence have no lines");
        };
        let (across, token) = (network.grid().width, network.width * TILE_ROWS);
        let numbers = network.shape.frames.map_or(0, |f| f.count * f.numbers);
        assert_eq!(context.len(), numbers * TILE_ROWS, "a context of other frames");
        let mut frames = FramesWork::default();
        if let Some(given) = &network.given {
            given.forward(weights, context, &mut frames);
        }
        let grid = |height| Grid { height, width: across };
        let heights = dilations.iter().map(|[down, _]| 2 * down + 1);
        let filters = network.layers.iter().zip(heights.clone());
        let outputs = network.shape.outputs;
        Self {
            across,
            at: 0,
            entry: network.entry.over(grid(ENTRY)),
            direct: network.direct.over(grid(ENTRY)),
            filters: filters.map(|(layer, height)| layer.filter.over(grid(height))).collect(),
            seen: Aligned::zeros(ENTRY * across * READ * TILE_ROWS),
            streams: heights.map(|height| Aligned::zeros(height * across * token)).collect(),
            frames,
            pixel: Default::default(),
            next: Aligned::zeros(across * token),
            sum: Aligned::zeros(across * token),
            hidden: Aligned::zeros(across * token),
            straight: Aligned::zeros(across * outputs * TILE_ROWS),
            drawn: Aligned::zeros(across * TILE_ROWS),
            network: network.clone(),
        }
    }

    /// What the network gives for the line that comes next, `[places, outputs, TILE_ROWS]`; then takes that line's samples, `[places, TILE_ROWS]`, from `draw`, which sees this.
    ///
    /// # Panics
    /// If there is no line left.
    pub fn step(
        &mut self,
        weights: NetworkWeights<'_, T>,
        out: &mut [T],
        draw: impl FnOnce(&[T], &mut [T]),
    ) {
        assert!(self.at < self.network.grid().height, "more lines than there are");
        let across = self.across;
        let last = |lines: usize| (lines - 1) * across..lines * across;
        let token = self.network.width * TILE_ROWS;
        let outputs = self.network.shape.outputs * TILE_ROWS;
        let [pixel, ..] = &mut self.pixel;
        let next = &mut self.next;
        let first = last(ENTRY).start;
        self.entry.each(weights, &self.seen, (last(ENTRY), pixel.sized(token)), |p, made| {
            next[(p - first) * token..][..token].copy_from_slice(made);
        });
        let straight = &mut self.straight;
        self.direct.each(weights, &self.seen, (last(ENTRY), pixel.sized(outputs)), |p, made| {
            straight[(p - first) * outputs..][..outputs].copy_from_slice(made);
        });
        self.sum.fill(T::ZERO);
        for (l, stream) in self.streams.iter_mut().enumerate() {
            let lines = stream.len() / (across * token);
            stream.copy_within(across * token.., 0);
            stream[last(lines).start * token..].copy_from_slice(&self.next);
            let of = (&self.filters[l], last(lines));
            let streams = (&stream[..], &mut self.next[..]);
            let sum = (&mut self.sum[..], &mut self.pixel);
            self.network.layer(weights, (l, of), (&self.frames, None), streams, sum);
        }
        rectify(&mut self.sum);
        self.network.hidden.forward(weights, &self.sum, None, &mut self.hidden);
        rectify(&mut self.hidden);
        self.network.head.forward(weights, &self.hidden, Some(&self.straight), out);
        draw(out, &mut self.drawn);
        self.at += 1;
        // The last line of these is the one to come, of which nothing is read.
        let line = across * READ * TILE_ROWS;
        self.seen.copy_within(line.., 0);
        let start = (ENTRY - 2) * line;
        read_samples(&self.drawn, &mut self.seen[start..start + line]);
    }
}
