//! Seeds and threads, and which where none are given.

use diffeo::{Error, SampleOptions};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use crate::errors::raise;

/// Whole numbers of Python, of which one that is none of ours is refused by its name.
macro_rules! whole_numbers {
    ($($(#[$doc:meta])* $name:ident($kind:ty), $called:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(pub(crate) $kind);

        impl<'py> FromPyObject<'_, 'py> for $name {
            type Error = PyErr;

            fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
                given.extract::<$kind>().map(Self).map_err(|error| {
                    match error.is_instance_of::<PyOverflowError>(given.py()) {
                        true => raise(Error::config(format!(
                            "{}: expected a whole number from 0 to {}, found {}",
                            $called,
                            <$kind>::MAX,
                            given.to_owned()
                        ))),
                        false => error,
                    }
                })
            }
        }
    )*};
}

whole_numbers! {
    /// The seed of what is random.
    Seed(u64), "seed";
    /// How many threads.
    Threads(usize), "threads";
    /// How many rows.
    Count(usize), "n";
    /// The number of the first row.
    FirstRow(u64), "first_row";
}

/// As many threads as were asked for, else one for each core.
pub(crate) fn threads_or_all(threads: Option<Threads>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    threads.map_or_else(all, |threads| threads.0).clamp(1, 1024)
}

/// How to draw.
pub(crate) fn sample_options(
    seed: Option<Seed>,
    temperature: f64,
    first_row: FirstRow,
    threads: Option<Threads>,
) -> SampleOptions {
    let (seed, first_row) = (seed.map_or_else(drawn_seed, |seed| seed.0), first_row.0);
    SampleOptions { seed, first_row, temperature, threads: threads_or_all(threads) }
}

/// A seed of the operating system's randomness, with which the standard library keys its hash maps.
pub(crate) fn drawn_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() >> 32
}
