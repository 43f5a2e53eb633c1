//! Normalizing flows: densities with exact likelihoods and fast samples.
//!
//! A [`Flow`] is a base distribution and a chain of [`transforms`]: `log p(x) = log p_base(z) + log|det dz/dx|`. A [`Model`] is a flow
//! with the columns of a table: its verbs take and give rows in the data's own units, and it saves to and loads from one file.
//!
//! * Start from a [`Preset`] (`nsf` for the best density, `nsf-coupling` for speed in both directions, `maf` for the fastest fit), fit it
//!   with [`train::Trainer`], use it through [`Model`].
//! * Or compose a [`FlowSpec`] of [`LayerSpec`]s, or write a [`Transform`] of your own and put it in a [`Flow`].
//! * [`check::check`] is a self-test of a fitted model that can fail.
//!
//! `forward` is data to base and `inverse` base to data, everywhere; see [`Transform`]. The model file is a checksummed `.safetensors`
//! ([`model_file`], [`container`]).
//!
//! ```
//! use diffeo::train::{Event, FitOptions, Trainer, TrainingData};
//! use diffeo::{Column, ColumnKind, Preset, PresetOptions, Rows, SampleOptions, Schema};
//!
//! # fn main() -> diffeo::Result<()> {
//! let x = Rows::new((0..400).map(|i| (f64::from(i) * 0.37).sin()).collect(), 2)?;
//! let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Real };
//! let schema = Schema { columns: vec![column("a"), column("b")], context: vec![] };
//! let spec = Preset::Maf.spec(2, 0, &PresetOptions { hidden: vec![16, 16], ..Default::default() })?;
//! let data = TrainingData { x, context: None, weights: None };
//! let mut trainer = Trainer::new(spec, schema, data, FitOptions { steps: Some(20), ..Default::default() })?;
//! while !matches!(trainer.advance()?, Event::Finished { .. }) {}
//! let model = trainer.finish(0.0)?;
//! let samples = model.sample(5, None, &SampleOptions::default())?;
//! assert!(model.log_prob(&samples, None, 1)?.iter().all(|p| p.is_finite()));
//! # Ok(())
//! # }
//! ```

pub mod check;
pub mod conditioner;
pub mod container;
mod distribution;
pub mod distributions;
mod element;
mod error;
mod flat;
mod flow;
mod layout;
mod likelihood;
mod linalg;
mod model;
pub mod model_file;
pub mod monotone;
pub mod nn;
mod parallel;
mod parameter;
pub mod presets;
mod program;
mod random;
mod reservoir;
mod rows;
mod schema;
mod scorer;
pub mod spec;
pub mod storage;
mod summary;
pub mod train;
mod transform;
pub mod transforms;

pub use distribution::{Distribution, Sampler};
pub use error::{Error, ErrorKind, Result, printable, quoted};
pub use flow::Flow;
pub use likelihood::Likelihood;
pub use model::{Model, SampleOptions};
pub use parameter::{Init, Parameter, Visitor, visit_part};
pub use presets::{ColumnOrder, Preset, PresetOptions};
pub use random::{
    Purpose, Streams, below, fill_normal, normal, permutation, uniform, uniform_open,
};
pub use reservoir::Reservoir;
pub use rows::Rows;
pub use schema::{Column, ColumnKind, Schema};
pub use spec::{BaseSpec, FlowSpec, LayerSpec, Precision};
pub use summary::{HistoryPoint, TrainingSummary};
pub use transform::{Mapped, Transform};

/// The tensor engine, re-exported so that programs use the same version.
pub use burn;
