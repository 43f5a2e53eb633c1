//! Counter-based randomness: every number is a function of seed, purpose, step and row, never of what was drawn before.
//!
//! Row `i` of a purpose gets the same numbers whether one row is asked for or a million, by one thread or by many, before
//! or after a restart. Nothing in this library draws from a global generator.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Marks keys made here, so that another program with the same seed does not draw the same numbers.
const DOMAIN: u64 = u64::from_le_bytes(*b"diffeo/1");

/// What random numbers are for. Different purposes never share a number.
///
/// The values are part of the promise that a seed gives the same result in later releases: never change or reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Initial weights; the row counts the tensors that are drawn.
    Init = 1,
    /// Which rows are held out for validation.
    Split = 2,
    /// The order of rows in an epoch; the step is the epoch.
    Shuffle = 3,
    /// Uniform noise on integer columns in training; fresh at every step.
    Dequantise = 4,
    /// Uniform noise on integer columns in validation; the same at every step.
    Validation = 5,
    /// Draws from a model.
    Sample = 6,
    /// Draws by a self-test.
    Check = 7,
    /// Random orders of columns inside a model; the row is the layer.
    Permutation = 8,
    /// What layers draw in training to estimate instead of computing exactly.
    Estimate = 10,
    /// Draws of a base in training.
    Draws = 11,
    /// Which rows a model starts from.
    Start = 12,
    /// Which columns of a row are hidden and which are given: in training fresh at every step, in validation always the same.
    Subset = 13,
    /// Which part of a table a row is dealt into; the step is the table.
    Fold = 14,
    /// Rows that are drawn again, to tell how an estimate varies.
    Bootstrap = 15,
    /// Whether a draw is accepted.
    Accept = 16,
    /// Moves of a Markov chain; the step counts moves, the row chains.
    Move = 17,
    /// Draws of a prior; the step is the round of simulations.
    Prior = 18,
    /// What a simulator draws; the step is the round.
    Simulate = 19,
    /// Uniform noise on an image that is scored; the seed follows from the image, the step is the point.
    Noise = 20,
    /// Whether the context of a row is hidden in training; fresh at every step.
    Hide = 21,
    /// Which rows are drawn to tell those that are unlike the others; the step counts the draws.
    Trim = 22,
}

/// The source of all randomness: a seed.
///
/// ```
/// use diffeo::{Purpose, Streams, normal};
/// let streams = Streams::new(7);
/// let mut rng = streams.rng(Purpose::Sample, 0, 1_000_000);
/// let z = normal(&mut rng);
/// assert_eq!(z, normal(&mut streams.rng(Purpose::Sample, 0, 1_000_000)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// Streams of the given seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The generator of one row: ChaCha8 under the key (seed, purpose, step), stream `row`.
    ///
    /// Distinct arguments give distinct (key, stream) pairs, so no two generators share a keystream. Making one takes
    /// about as long as drawing 30 numbers from it.
    pub fn rng(&self, purpose: Purpose, step: u64, row: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([self.seed, purpose as u64, step, DOMAIN])
        {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(row);
        rng
    }

    /// Standard normals for `out.len() / width` rows of which the first is `first_row`, each from its own stream.
    ///
    /// # Panics
    /// If `width` is zero.
    pub fn fill_normal(
        &self,
        purpose: Purpose,
        step: u64,
        first_row: u64,
        width: usize,
        out: &mut [f64],
    ) {
        for (row, values) in (first_row..).zip(out.chunks_mut(width)) {
            fill_normal(&mut self.rng(purpose, step, row), values);
        }
    }
}

/// A uniform number in `[0, 1)`: a multiple of `2^-53`.
pub fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A uniform number in the open interval `(0, 1)`: an odd multiple of `2^-53`, never an end point.
pub fn uniform_open(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

/// A uniform whole number below `n`; the bias of at most `n / 2^64` cannot be measured.
///
/// Zero gives zero.
pub fn below(rng: &mut impl Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// A standard normal number.
pub fn normal(rng: &mut impl Rng) -> f64 {
    let mut value = [0.0];
    fill_normal(rng, &mut value);
    value[0]
}

/// Independent standard normals by the transform of Box and Muller (Ann. Math. Stat. 29, 1958), in `f64`.
///
/// The transform is exact up to rounding and takes a fixed number of words, so it never desynchronises a stream. The
/// 52-bit uniform reaches out to 8.57 standard deviations; the probability beyond is 1e-17.
pub fn fill_normal(rng: &mut impl Rng, out: &mut [f64]) {
    for pair in out.chunks_mut(2) {
        let radius = (-2.0 * uniform_open(rng).ln()).sqrt();
        let (sin, cos) = (TAU * uniform(rng)).sin_cos();
        pair[0] = radius * cos;
        if let Some(second) = pair.get_mut(1) {
            *second = radius * sin;
        }
    }
}

/// The numbers `0..n` in random order (Fisher and Yates; Durstenfeld, CACM 7, 1964).
pub fn permutation(rng: &mut impl Rng, n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, below(rng, i as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e10_more_rows_leave_the_first_unchanged() {
        let streams = Streams::new(3);
        let (mut few, mut many) = (vec![0.0; 3 * 5], vec![0.0; 100 * 5]);
        streams.fill_normal(Purpose::Sample, 0, 0, 5, &mut few);
        streams.fill_normal(Purpose::Sample, 0, 0, 5, &mut many);
        assert_eq!(few, many[..15]);
        let mut tail = vec![0.0; 10];
        streams.fill_normal(Purpose::Sample, 0, 98, 5, &mut tail);
        assert_eq!(tail, many[490..]);
    }

    #[test]
    fn every_argument_changes_the_stream() {
        let draw = |seed, purpose, step, row| Streams::new(seed).rng(purpose, step, row).next_u64();
        let all = [
            draw(0, Purpose::Sample, 0, 0),
            draw(1, Purpose::Sample, 0, 0),
            draw(0, Purpose::Shuffle, 0, 0),
            draw(0, Purpose::Sample, 1, 0),
            draw(0, Purpose::Sample, 0, 1),
            draw(u64::MAX, Purpose::Sample, u64::MAX, u64::MAX),
        ];
        let distinct: std::collections::HashSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let mut rng = Streams::new(42).rng(Purpose::Init, 1, 2);
        assert_eq!(
            [rng.next_u64(), rng.next_u64()],
            GOLDEN,
            "published seeds would give other results"
        );
    }

    const GOLDEN: [u64; 2] = [171_112_123_624_748_818, 2_021_264_776_471_614_165];

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let n = 200_000;
        let mut z = vec![0.0; n];
        Streams::new(1).fill_normal(Purpose::Sample, 0, 0, 4, &mut z);
        let moment = |k: i32| z.iter().map(|v| v.powi(k)).sum::<f64>() / n as f64;
        // Five standard errors: false alarms below 1e-6, and the seed is fixed.
        let limit = |variance: f64| 5.0 * (variance / n as f64).sqrt();
        assert!(moment(1).abs() < limit(1.0));
        assert!((moment(2) - 1.0).abs() < limit(2.0));
        assert!(moment(3).abs() < limit(15.0));
        assert!((moment(4) - 3.0).abs() < limit(96.0));
        let cross: f64 = z.chunks(2).map(|p| p[0] * p[1]).sum::<f64>() / (n / 2) as f64;
        assert!(cross.abs() < 5.0 / (n as f64 / 2.0).sqrt(), "the two of a pair are uncorrelated");
    }

    #[test]
    fn permutations_hold_every_number_once_and_are_uniform() {
        let mut counts = [0u32; 6];
        for epoch in 0..6000 {
            let order = permutation(&mut Streams::new(5).rng(Purpose::Shuffle, epoch, 0), 3);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
            let rank = order[0] * 2 + u32::from(order[1] > order[2]);
            counts[rank as usize] += 1;
        }
        // Expected 1000 each, standard deviation 29.
        assert!(counts.iter().all(|&c| (855..=1145).contains(&c)), "{counts:?}");
        assert!(permutation(&mut Streams::new(5).rng(Purpose::Shuffle, 0, 0), 0).is_empty());
    }

    #[test]
    fn uniforms_stay_inside_their_interval() {
        let mut rng = Streams::new(9).rng(Purpose::Check, 0, 0);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&uniform(&mut rng)));
            let open = uniform_open(&mut rng);
            assert!(0.0 < open && open < 1.0);
            assert!(below(&mut rng, 3) < 3);
        }
        assert_eq!(below(&mut rng, 0), 0);
    }
}
