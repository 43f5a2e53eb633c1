//! Arguments of `diffeo sample`.

use std::path::PathBuf;

use clap::Args;

use super::{ReadArgs, exit_codes};
use crate::columns::ConditionList;

/// Draw new rows from a model.
///
/// Row i depends on the seed and i only: more rows with the same seed begin with the same rows, for any number of
/// threads. Rows are written as they are drawn, so any number fits in constant memory. A conditional model needs
/// --context, a table with its context columns; they are repeated in the output.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo sample model.safetensors -n 10000 --out samples.parquet\n  \
     diffeo sample model.safetensors -n 5 --seed 1 --with-log-prob\n  \
     diffeo sample model.safetensors -n 1000 --where 'age>=18,town=Paris' --out adults.csv\n  \
     diffeo sample model.safetensors --context cities.csv --repeats 100 --out samples.csv\n  \
     diffeo sample digits.safetensors -n 64 --temperature 0.9 --out sheet.png\n  \
     diffeo sample digits.safetensors --context classes.csv --guidance 1 --out sheet.png\n  \
     diffeo sample clips.safetensors --context clip.gif -n 20 --out more.gif\n\n",
    exit_codes!()
))]
pub(crate) struct SampleArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Rows to draw; of a model of clips the frames of each
    #[arg(short = 'n', long = "rows", value_name = "N", allow_negative_numbers = true)]
    pub(crate) rows: Option<i128>,
    /// Table to write; its name decides the format (.csv, .tsv, .parquet, .arrow, .npy); - is CSV on stdout [default: -]. Of a model of images also a
    /// sheet of all (.png, .svg), a folder of PNG files (a name that ends in /), or an array of bytes, (n, height, width[, channels]) (.npy).
    /// Of a model of clips a .gif, .apng or animated .png of all side by side, or an array (clips, frames, height, width[, channels])
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing output file
    #[arg(long)]
    pub(crate) force: bool,
    /// Seed, 0 to 2^64-1 [default: drawn and printed]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    /// Scale of the base distribution: below 1 keeps to the likely rows, 1 is the model itself
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub(crate) temperature: Option<f64>,
    /// Go further where the context leads, by this much: more like its class, and less varied. For models that were fitted with --context-dropout
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub(crate) guidance: Option<f64>,
    /// Add the column log_prob (nats, under the model itself, or as guided)
    #[arg(long)]
    pub(crate) with_log_prob: bool,
    /// Table whose rows to condition on; of a model of clips the clips to go on with, of which the new frames are written
    #[arg(long, value_name = "FILE")]
    pub(crate) context: Option<PathBuf>,
    /// Table whose rows to complete: what is missing in each is drawn given what is there, for a model that was fitted with --any-subset. Columns
    /// that are not in the table are missing in every row
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    pub(crate) given: Option<PathBuf>,
    /// Draw only rows in which all of these hold, such as 'age>=18,town=Paris': the model given that region. Its probability is printed; under
    /// the model given the region, log_prob is less by the logarithm of it
    #[arg(long = "where", value_name = "LIST", allow_hyphen_values = true, conflicts_with_all = ["context", "given"])]
    pub(crate) region: Option<ConditionList>,
    /// Most rows to draw in all while --where looks for rows [default: 10000000]
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "region")]
    pub(crate) max_tries: Option<i128>,
    /// Samples for each row of --context or --given, or of clips for each of --context [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) repeats: Option<i128>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}
