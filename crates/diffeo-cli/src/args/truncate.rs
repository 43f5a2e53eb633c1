//! Arguments of `diffeo truncate`.

use std::path::PathBuf;

use clap::Args;

use super::{ReadArgs, exit_codes};

/// Keep the rows of a table that lie where a model has most of its mass.
///
/// The region is the smallest that holds --mass of the model: the points whose density is no lower than a threshold. For a posterior of parameters
/// given an observation, DATA are draws of the prior: simulate what is kept, add it to the simulations so far, and fit again. Within the region the
/// shape of the prior is what it was, so that later rounds need no correction (truncated proposals).
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo fit simulations.parquet --context x1,x2 --out posterior.safetensors\n  \
     diffeo truncate posterior.safetensors prior.parquet --context observed.csv --out next.parquet\n  \
     diffeo truncate model.safetensors rows.csv --mass 0.99 --out usual.csv\n\n\
     JSON keys: rows, kept, share, share_stderr, threshold, mass, out\n\n",
    exit_codes!()
))]
pub(crate) struct TruncateArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Table with the model's columns; - is stdin
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Table of one row that a conditional model is given: the observation
    #[arg(long, value_name = "FILE")]
    pub(crate) context: Option<PathBuf>,
    /// Share of the model's mass in the region [default: 0.9999]
    #[arg(long, value_name = "Q", allow_negative_numbers = true)]
    pub(crate) mass: Option<f64>,
    /// Table to write; its name decides the format; - is CSV on stdout [default: -]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing output file
    #[arg(long)]
    pub(crate) force: bool,
    /// Seed of the draws that tell where the region ends [default: 0, so that it repeats]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
