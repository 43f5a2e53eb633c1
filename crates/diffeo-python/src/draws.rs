//! Seeds and threads where none are given.

use diffeo::SampleOptions;

/// As many threads as were asked for, else one for each core.
pub(crate) fn threads_or_all(threads: Option<usize>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    threads.unwrap_or_else(all).clamp(1, 1024)
}

/// How to draw.
pub(crate) fn sample_options(
    seed: Option<u64>,
    temperature: f64,
    first_row: u64,
    threads: Option<usize>,
) -> SampleOptions {
    let seed = seed.unwrap_or_else(drawn_seed);
    SampleOptions { seed, first_row, temperature, threads: threads_or_all(threads) }
}

/// A seed of the operating system's randomness, with which the standard library keys its hash maps.
pub(crate) fn drawn_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() >> 32
}
