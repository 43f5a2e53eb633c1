//! The optimiser on flat weights, on all threads: AdamW, the norm of a gradient, the averaged weights.
//!
//! Weights are cut into pieces of a fixed size. Within a piece the arithmetic is element by element, or summed in an
//! order of its own; across pieces it is summed in their order. So the bits do not depend on the number of threads.

use std::ops::Range;

use diffeo_kernels::{AdamW, Aligned, add_gradient, average_weights, l2_norm};
use rayon::prelude::*;

use crate::engine::Element;
use crate::engine::{Layout, Piece};

/// Trained elements a thread takes at a time.
const PIECE: usize = 1 << 15;

/// The flat weights cut into pieces for the threads; masked weights are passed over.
#[derive(Clone, Debug)]
pub(crate) struct Pieces(Vec<Piece>);

impl Pieces {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self(layout.pieces(PIECE))
    }

    /// The pieces of a flat array, each with its runs.
    fn of<'a, T>(&'a self, mut flat: &'a [T]) -> Vec<&'a [T]> {
        let cut = |piece: &Piece| {
            let (first, rest) = flat.split_at(piece.len);
            flat = rest;
            first
        };
        self.0.iter().map(cut).collect()
    }

    fn of_mut<'a, T>(&self, mut flat: &'a mut [T]) -> Vec<&'a mut [T]> {
        let cut = |piece: &Piece| {
            let (first, rest) = std::mem::take(&mut flat).split_at_mut(piece.len);
            flat = rest;
            first
        };
        self.0.iter().map(cut).collect()
    }

    /// Adds up the gradients of all shards into that of the first, and returns the Euclidean norm of the sum.
    ///
    /// The sum is one of halves, each of which is summed by itself first: processes that have the shards of a half each (see [`super::ranks`]) come to the same bits. The norm is
    /// finite whenever every element is, even where squares would overflow; a NaN or an infinity in the sum gives one.
    pub(crate) fn sum<T: Element>(&self, shards: &mut [Aligned<T>]) -> f64 {
        let mut pieces: Vec<(&Piece, Vec<&mut [T]>)> =
            self.0.iter().map(|piece| (piece, Vec::with_capacity(shards.len()))).collect();
        for shard in shards {
            for ((_, parts), part) in pieces.iter_mut().zip(self.of_mut(shard)) {
                parts.push(part);
            }
        }
        let norms = of_each(pieces, |(piece, mut parts): (&Piece, Vec<&mut [T]>)| {
            let mut of_run = |(run, _): &(Range<usize>, bool)| {
                add_up(&mut parts, run);
                parts.first().map_or(0.0, |total| l2_norm(&total[run.clone()]))
            };
            l2_norm(&piece.runs.iter().map(&mut of_run).collect::<Vec<_>>())
        });
        l2_norm(&norms)
    }
}

/// Adds a run of all arrays to that of the first, half by half.
fn add_up<T: Element>(arrays: &mut [&mut [T]], run: &Range<usize>) {
    let (left, right) = arrays.split_at_mut(arrays.len() / 2);
    if let ([_, ..], [_, ..]) = (&left, &right) {
        add_up(left, run);
        add_up(right, run);
        add_gradient(&mut left[0][run.clone()], &right[0][run.clone()]);
    }
}

/// What comes of each piece, on the threads of the pool that this runs in; outside of a pool there are none to wake.
fn of_each<W: Send, R: Send>(work: Vec<W>, of: impl Fn(W) -> R + Send + Sync) -> Vec<R> {
    match rayon::current_thread_index() {
        Some(_) if work.len() > 1 => work.into_par_iter().map(of).collect(),
        _ => work.into_iter().map(of).collect(),
    }
}

/// Decays of the running means as in the paper; epsilon keeps the quotient finite where a gradient has always been zero.
const RULE: AdamW =
    AdamW { learning_rate: 0.0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };

/// The running means of AdamW.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments<T> {
    pub(crate) first: Vec<T>,
    pub(crate) second: Vec<T>,
}

/// What one update needs besides the arrays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    /// Learning rate.
    pub(crate) rate: f64,
    /// Decoupled weight decay, relative to the rate, of the parameters that have it.
    pub(crate) decay: f64,
    /// Factor on the gradient, from clipping.
    pub(crate) scale: f64,
    /// Updates since the means were zero, this one included; for the bias correction.
    pub(crate) count: u64,
    /// Decay of the averaged weights.
    pub(crate) average: f64,
    /// Whether that decay starts low.
    pub(crate) average_warmup: bool,
}

impl<T: Element> Moments<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        Self { first: vec![T::ZERO; len], second: vec![T::ZERO; len] }
    }

    /// One step of AdamW, after which `average`, unless it is empty, moves towards the weights: `a <- d a + (1 - d) w`.
    pub(crate) fn update(
        &mut self,
        [weights, average]: [&mut [T]; 2],
        gradient: &[T],
        pieces: &Pieces,
        update: Update,
    ) {
        let averages = if average.is_empty() { Vec::new() } else { pieces.of_mut(average) };
        let mut averages = averages.into_iter();
        let arrays = pieces.of_mut(weights).into_iter().zip(pieces.of(gradient));
        let moments =
            pieces.of_mut(&mut self.first).into_iter().zip(pieces.of_mut(&mut self.second));
        let work: Vec<_> = pieces
            .0
            .iter()
            .zip(arrays.zip(moments))
            .map(|(piece, arrays)| (piece, arrays, averages.next()))
            .collect();
        let rule = |weight_decay| AdamW { learning_rate: update.rate, weight_decay, ..RULE };
        let rules = [0.0, update.decay].map(|decay| rule(decay).at(update.count, update.scale));
        of_each(work, |(piece, ((w, g), (first, second)), mut average)| {
            for (run, decays) in &piece.runs {
                let run = run.clone();
                let moments = diffeo_kernels::Moments {
                    first: &mut first[run.clone()],
                    second: &mut second[run.clone()],
                };
                let w = &mut w[run.clone()];
                rules[usize::from(*decays)].apply(&g[run.clone()], w, moments);
                if let Some(average) = &mut average {
                    average_weights(&mut average[run], w, update.average_decay());
                }
            }
        });
    }
}

impl Update {
    /// The decay of the average. With a warm-up it starts low, `min(decay, (1 + t) / (10 + t))` after `t` updates, so that the initial weights are
    /// forgotten.
    fn average_decay(&self) -> f64 {
        if !self.average_warmup {
            return self.average;
        }
        let t = self.count as f64;
        self.average.min((1.0 + t) / (10.0 + t))
    }
}

/// The factor that shortens a gradient of norm `norm` to at most `limit`.
pub(crate) fn clip_scale(norm: f64, limit: f64) -> f64 {
    if norm > limit { limit / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: Update =
        Update { rate: 0.1, decay: 0.0, scale: 1.0, count: 1, average: 0.0, average_warmup: true };

    fn pieces(parts: &[(usize, bool)]) -> Pieces {
        let mut layout = Layout::default();
        parts.iter().for_each(|(len, decay)| layout.push("p", *len, *decay, None));
        Pieces::new(&layout)
    }

    fn aligned<T: Element>(values: &[T]) -> Aligned<T> {
        let mut array = Aligned::zeros(values.len());
        array.copy_from_slice(values);
        array
    }

    fn norm<T: Element>(gradient: &[T]) -> f64 {
        pieces(&[(gradient.len(), true)]).sum(&mut [aligned(gradient)])
    }

    #[test]
    fn the_first_update_has_the_size_of_the_rate() {
        // Bias correction makes m / sqrt(v) = sign(g) at t = 1, whatever the size of the gradient.
        let mut moments = Moments::<f64>::zeros(2);
        let mut weights = vec![1.0, 1.0];
        moments.update([&mut weights, &mut []], &[1e3, -1e-3], &pieces(&[(2, true)]), UPDATE);
        assert!((weights[0] - 0.9).abs() < 1e-9 && (weights[1] - 1.1).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn decay_is_decoupled_and_only_where_asked() {
        let mut moments = Moments::<f32>::zeros(2);
        let mut weights = vec![2.0, 2.0];
        let pieces = pieces(&[(1, true), (1, false)]);
        let update = Update { decay: 0.5, ..UPDATE };
        moments.update([&mut weights, &mut []], &[0.0, 0.0], &pieces, update);
        assert_eq!(weights, [1.9, 2.0]);
    }

    #[test]
    fn finds_the_minimum_of_a_quadratic() {
        let mut moments = Moments::<f32>::zeros(1);
        let mut weights = vec![5.0];
        for count in 1..=500 {
            let gradient = [weights[0] - 2.0];
            let update = Update { count, ..UPDATE };
            moments.update([&mut weights, &mut []], &gradient, &pieces(&[(1, false)]), update);
        }
        assert!((weights[0] - 2.0).abs() < 1e-2, "{weights:?}");
    }

    #[test]
    fn d2_norm_survives_overflow_and_underflow_and_shows_what_is_not_finite() {
        assert!((norm(&[3.0f32, 4.0]) - 5.0).abs() < 1e-12);
        assert!((norm(&[3e38f32, 3e38]) / (3e38f32 as f64 * 2f64.sqrt()) - 1.0).abs() < 1e-12);
        assert!((norm(&[3e300f64, 4e300]) / 5e300 - 1.0).abs() < 1e-12);
        assert!((norm(&[3e-300f64, 4e-300]) / 5e-300 - 1.0).abs() < 1e-12);
        assert_eq!((norm(&[0.0f64; 3]), norm::<f64>(&[])), (0.0, 0.0));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut long = vec![1.0; PIECE + 7];
            long[PIECE + 3] = bad;
            assert!(!norm(&long).is_finite());
            assert!(!norm(&[1.0f32, bad as f32]).is_finite());
        }
        let scale = clip_scale(norm(&[3e300f64, 4e300]), 1.0);
        assert!((3e300 * scale - 0.6).abs() < 1e-12 && clip_scale(0.5, 1.0) == 1.0);
    }

    #[test]
    fn d9_pieces_give_the_same_bits_on_any_number_of_threads() {
        let gradient: Vec<f32> =
            (0..200_000).map(|i| ((i * 7919) % 1001) as f32 * 1e-3 - 0.5).collect();
        let pieces = pieces(&[(150_000, true), (50_000, false)]);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut shards = vec![aligned(&gradient); 3];
                let norm = pieces.sum(&mut shards);
                let (mut w, mut m) = (gradient.clone(), Moments::zeros(gradient.len()));
                let mut average = gradient.clone();
                m.update([&mut w, &mut average], &shards[0], &pieces, UPDATE);
                (norm.to_bits(), w, average)
            })
        };
        assert!(run(1) == run(2) && run(1) == run(8));
    }

    #[test]
    fn the_average_forgets_the_start_and_follows_slowly() {
        let pieces = pieces(&[(1, false)]);
        let (mut moments, mut average) = (Moments::<f64>::zeros(1), vec![100.0]);
        for count in 1..=2000 {
            let update = Update { rate: 0.0, average: 0.99, count, ..UPDATE };
            moments.update([&mut [1.0], &mut average], &[0.0], &pieces, update);
        }
        assert!((average[0] - 1.0).abs() < 1e-3, "{average:?}");
    }
}
