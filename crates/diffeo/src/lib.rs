//! Normalizing flows: densities with exact likelihoods and fast samples.
//!
//! A [`Flow`] is a base distribution and a chain of [`transforms`]: `log p(x) = log p_base(z) + log|det dz/dx|`. A [`Model`] is a flow
//! with the columns of a table: its verbs take and give rows in the data's own units, and it saves to and loads from one file.
//!
//! * Start from a [`Preset`] (`nsf` for the best density, `nsf-coupling` for speed in both directions, `maf` for the fastest fit), fit it
//!   with [`train::Fit`], use it through [`Model`].
//! * Or compose a [`FlowSpec`] of [`LayerSpec`]s; a [`Transform`] of your own takes its place there as [`transforms::Own`].
//! * Or go down another loss than the likelihood, of a flow or of any module, with a [`train::Learner`].
//! * Or weigh draws of one density so that they stand for another: [`inference`].
//! * [`check::check`] is a self-test of a fitted model that can fail.
//!
//! `forward` is data to base and `inverse` base to data, everywhere; see [`Transform`]. The model file is a checksummed `.safetensors`
//! ([`model::file`], [`file::container`]).
//!
//! ```
//! use diffeo::train::Fit;
//! use diffeo::{Preset, Rows, SampleOptions};
//!
//! # fn main() -> diffeo::Result<()> {
//! let x = Rows::new((0..400).map(|i| (f64::from(i) * 0.37).sin()).collect(), 2)?;
//! let model = Fit::new(Preset::Maf).columns(["a", "b"]).rows(x).steps(20).run()?;
//! let samples = model.sample(5, None, &SampleOptions::default())?;
//! assert!(model.log_prob(&samples, None, 1)?.iter().all(|p| p.is_finite()));
//! # Ok(())
//! # }
//! ```

pub mod bases;
mod catalog;
pub mod check;
pub mod columns;
pub mod conditioner;
mod embedding;
mod engine;
mod error;
pub mod file;
mod flow;
mod host;
pub mod inference;
pub mod laws;
pub mod marks;
pub mod model;
pub mod monotone;
pub mod network;
mod parameter;
mod place;
pub mod presets;
pub mod spec;
mod step;
pub mod train;
mod transform;
pub mod transforms;

pub use bases::{BaseSpec, Distribution, Sampler};
pub use columns::{
    Column, ColumnFacts, ColumnKind, End, ImageShape, KindWish, Schema, Step, Support, Unit, Units,
    choose_kind,
};
pub use embedding::{DenseEmbeddingSpec, EmbeddingSpec, ImageEmbeddingSpec, MotionSpec};
pub use error::{Error, ErrorKind, Result, printable, quoted};
pub use flow::Flow;
pub use host::draws::Draws;
pub use host::likelihood::Likelihood;
pub use host::linalg::host_values;
pub use host::random::{
    Purpose, Streams, below, fill_normal, normal, permutation, uniform, uniform_open,
};
pub use host::reservoir::{Reservoir, WeightedReservoir};
pub use host::rows::Rows;
pub use model::{Classified, Continuation, HistoryPoint, Model, SampleOptions, TrainingSummary};
pub use parameter::{Init, Parameter, Trainable, Visitor, visit_part};
pub use place::Place;
pub use presets::{ColumnOrder, Preset, PresetOptions};
pub use spec::{FlowSpec, Precision};
pub use transform::{Given, Mapped, Scales, Transform};
pub use transforms::LayerSpec;

/// The tensor engine, re-exported so that programs use the same version.
pub use burn;

/// The generator that [`Streams`] give and simulators are given.
pub use rand_chacha::ChaCha8Rng;

/// Operations of layers on tensors: fused kernels on the CPU, composed of primitives elsewhere.
pub mod ops {
    pub use diffeo_kernels::Real;
    pub use diffeo_kernels::ops::{Argument, CustomOp, custom, softplus, sum_rows};
}
