//! A waveform sample by sample.

use super::frames::FramesWork;
use super::lanes::{add_both, gate, read_samples, rectify};
use super::{Order, READ, WaveNet};
use crate::tiled_network::NetworkWeights;
use crate::tiled_network::lanes::add;
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

/// A network that is run one sample after another, to the same bits as on whole rows: each layer keeps what it has seen for as long as its filter reaches back, so that a sample costs the same however
/// many came before.
///
/// Reference: Le Paine et al. *Fast Wavenet Generation Algorithm*. 2016, arXiv:1611.09482.
#[derive(Debug)]
pub struct WaveNetStream<T> {
    network: WaveNet,
    /// The last samples, as many as the first filter reads.
    seen: Aligned<T>,
    /// Of each layer the last streams that its filter reads, in turn.
    rings: Vec<Aligned<T>>,
    at: usize,
    frames: FramesWork<T>,
    pair: Aligned<T>,
    both: Aligned<T>,
    gated: Aligned<T>,
    made: Aligned<T>,
    stream: Aligned<T>,
    sum: Aligned<T>,
    direct: Aligned<T>,
}

impl<T: Real> WaveNetStream<T> {
    /// At the start of [`TILE_ROWS`] waveforms, with the context of all of their frames, `[frames numbers, TILE_ROWS]`.
    ///
    /// # Panics
    /// If the network reads lines, or the context is not that of its frames.
    pub fn new(network: &WaveNet, weights: NetworkWeights<'_, T>, context: &[T]) -> Self {
        let Order::Sequence { window, dilations } = &network.shape.order else {
            panic!("lines do not come sample by sample");
        };
        let token = network.width * TILE_ROWS;
        let mut frames = FramesWork::default();
        let numbers = network.shape.frames.map_or(0, |f| f.count * f.numbers);
        assert_eq!(context.len(), numbers * TILE_ROWS, "a context of other frames");
        if let Some(given) = &network.given {
            given.forward(weights, context, &mut frames);
        }
        Self {
            seen: Aligned::zeros(window * READ * TILE_ROWS),
            rings: dilations.iter().map(|by| Aligned::zeros(by * token)).collect(),
            at: 0,
            frames,
            pair: Aligned::zeros(2 * token),
            both: Aligned::zeros(2 * token),
            gated: Aligned::zeros(token),
            made: Aligned::zeros(2 * token),
            stream: Aligned::zeros(token),
            sum: Aligned::zeros(token),
            direct: Aligned::zeros(network.shape.outputs * TILE_ROWS),
            network: network.clone(),
        }
    }

    /// What the network gives for the sample that comes next, `[outputs, TILE_ROWS]`; then takes that sample from `draw`, which sees this.
    pub fn step(
        &mut self,
        weights: NetworkWeights<'_, T>,
        out: &mut [T],
        draw: impl FnOnce(&[T], &mut [T]),
    ) {
        let token = self.network.width * TILE_ROWS;
        self.network.entry.one(weights, &self.seen, &mut self.stream);
        self.network.direct.one(weights, &self.seen, &mut self.direct);
        self.sum.fill(T::ZERO);
        for (l, layer) in self.network.layers.iter().enumerate() {
            let ring = &mut self.rings[l];
            let place = self.at * token % ring.len();
            let old = &mut ring[place..place + token];
            self.pair[..token].copy_from_slice(old);
            self.pair[token..].copy_from_slice(&self.stream);
            old.copy_from_slice(&self.stream);
            layer.filter.one(weights, &self.pair, &mut self.both);
            if let Some(given) = &self.network.given {
                given.add_at(&self.frames, l, self.at, &mut self.both);
            }
            gate(self.network.width, &mut self.both, &mut self.gated);
            let is_last = l + 1 == self.network.layers.len();
            let made = &mut self.made[..if is_last { token } else { 2 * token }];
            layer.out.forward(weights, &self.gated, None, made);
            add(&made[..token], &mut self.sum);
            if !is_last {
                add_both(&self.pair[token..], &made[token..], &mut self.stream);
            }
        }
        rectify(&mut self.sum);
        self.network.hidden.forward(weights, &self.sum, None, &mut self.gated);
        rectify(&mut self.gated);
        self.network.head.forward(weights, &self.gated, Some(&self.direct), out);
        self.at += 1;
        let sample = READ * TILE_ROWS;
        self.seen.copy_within(sample.., 0);
        let mut drawn = [T::ZERO; TILE_ROWS];
        draw(out, &mut drawn);
        let start = self.seen.len() - sample;
        read_samples(&drawn, &mut self.seen[start..]);
    }
}
