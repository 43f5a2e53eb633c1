//! The optimiser on flat weights, on all threads: AdamW, the norm of a gradient, the averaged weights.
//!
//! Weights are cut into pieces of a fixed size. Within a piece the arithmetic is element by element, or summed in an
//! order of its own; across pieces it is summed in their order. So the bits do not depend on the number of threads.

use diffeo_kernels::{AdamW, average_weights, l2_norm, sum_shards};
use rayon::prelude::*;

use super::element::Element;
use super::objective::Layout;

/// Elements a thread takes at a time.
const PIECE: usize = 1 << 15;

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
}

impl<T: Element> Moments<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        Self { first: vec![T::ZERO; len], second: vec![T::ZERO; len] }
    }

    /// One step of AdamW.
    pub(crate) fn update(
        &mut self,
        weights: &mut [T],
        gradient: &[T],
        layout: &Layout,
        update: Update,
    ) {
        let (mut w, mut g) = (weights, gradient);
        let (mut m, mut v) = (self.first.as_mut_slice(), self.second.as_mut_slice());
        let mut pieces = Vec::new();
        for (len, decays) in layout.pieces(PIECE) {
            let (piece_w, piece_m, piece_v);
            (piece_w, w) = w.split_at_mut(len);
            (piece_m, m) = m.split_at_mut(len);
            (piece_v, v) = v.split_at_mut(len);
            let (piece_g, rest) = g.split_at(len);
            g = rest;
            pieces.push((decays, piece_w, piece_g, piece_m, piece_v));
        }
        pieces.into_par_iter().for_each(|(decays, w, g, first, second)| {
            let weight_decay = if decays { update.decay } else { 0.0 };
            let rule = AdamW { learning_rate: update.rate, weight_decay, ..RULE };
            let moments = diffeo_kernels::Moments { first, second };
            rule.step(update.count, &[g], update.scale, w, moments);
        });
    }
}

/// Sums the gradients of all shards into `total`, in shard order.
pub(crate) fn sum_in_order<T: Element>(shards: &[Vec<T>], total: &mut [T]) {
    total.par_chunks_mut(PIECE).enumerate().for_each(|(i, total)| {
        let range = i * PIECE..i * PIECE + total.len();
        let shards: Vec<&[T]> = shards.iter().map(|shard| &shard[range.clone()]).collect();
        sum_shards(&shards, total);
    });
}

/// The Euclidean norm of a gradient, in `f64`: finite whenever every element is, even where squares would overflow.
///
/// A NaN or an infinity in the gradient gives a NaN or an infinity.
pub(crate) fn norm<T: Element>(gradient: &[T]) -> f64 {
    let pieces: Vec<f64> = gradient.par_chunks(PIECE).map(l2_norm).collect();
    l2_norm(&pieces)
}

/// The factor that shortens a gradient of norm `norm` to at most `limit`.
pub(crate) fn clip_scale(norm: f64, limit: f64) -> f64 {
    if norm > limit { limit / norm } else { 1.0 }
}

/// Moves averaged weights towards the current ones: `a <- d a + (1 - d) w`.
///
/// The decay starts low, `min(decay, (1 + t) / (10 + t))` after `t` updates, so that the initial weights are forgotten.
pub(crate) fn average_into<T: Element>(average: &mut [T], weights: &[T], decay: f64, updates: u64) {
    let t = updates as f64;
    let decay = decay.min((1.0 + t) / (10.0 + t));
    average
        .par_chunks_mut(PIECE)
        .zip(weights.par_chunks(PIECE))
        .for_each(|(average, weights)| average_weights(average, weights, decay));
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: Update = Update { rate: 0.1, decay: 0.0, scale: 1.0, count: 1 };

    fn layout(parts: &[(usize, bool)]) -> Layout {
        let mut layout = Layout::default();
        parts.iter().for_each(|(len, decay)| layout.push("p", *len, *decay));
        layout
    }

    #[test]
    fn the_first_update_has_the_size_of_the_rate() {
        // Bias correction makes m / sqrt(v) = sign(g) at t = 1, whatever the size of the gradient.
        let mut moments = Moments::<f64>::zeros(2);
        let mut weights = vec![1.0, 1.0];
        moments.update(&mut weights, &[1e3, -1e-3], &layout(&[(2, true)]), UPDATE);
        assert!((weights[0] - 0.9).abs() < 1e-9 && (weights[1] - 1.1).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn decay_is_decoupled_and_only_where_asked() {
        let mut moments = Moments::<f32>::zeros(2);
        let mut weights = vec![2.0, 2.0];
        let layout = layout(&[(1, true), (1, false)]);
        moments.update(&mut weights, &[0.0, 0.0], &layout, Update { decay: 0.5, ..UPDATE });
        assert_eq!(weights, [1.9, 2.0]);
    }

    #[test]
    fn finds_the_minimum_of_a_quadratic() {
        let mut moments = Moments::<f32>::zeros(1);
        let mut weights = vec![5.0];
        for count in 1..=500 {
            let gradient = [weights[0] - 2.0];
            let update = Update { count, ..UPDATE };
            moments.update(&mut weights, &gradient, &layout(&[(1, false)]), update);
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
        let layout = layout(&[(150_000, true), (50_000, false)]);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut total = vec![0.0; gradient.len()];
                sum_in_order(&vec![gradient.clone(); 3], &mut total);
                let (mut w, mut m) = (gradient.clone(), Moments::zeros(gradient.len()));
                m.update(&mut w, &total, &layout, UPDATE);
                (norm(&total).to_bits(), w)
            })
        };
        assert!(run(1) == run(2) && run(1) == run(8));
    }

    #[test]
    fn the_average_forgets_the_start_and_follows_slowly() {
        let mut average = vec![100.0f64];
        for t in 1..=2000 {
            average_into(&mut average, &[1.0], 0.99, t);
        }
        assert!((average[0] - 1.0).abs() < 1e-3, "{average:?}");
    }
}
