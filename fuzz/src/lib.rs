//! What the fuzz targets call: every reader of diffeo, on bytes that nobody vouches for.
//!
//! The tests `fuzz_corpora` of the workspace include the same files and replay what is committed in `seeds/`.

pub mod models;
pub mod sounds;
pub mod tables;
