//! Arguments of the commands that look at a finished model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{NonFinite, ReadArgs, exit_codes};

/// Add the log-density of each row to a table.
///
/// Reads the table in chunks and writes its columns, unchanged, with the column log_prob: the natural logarithm of the
/// density in the data's own units (nats). Columns are matched by name. Memory does not grow with the table. Rows outside
/// the support of a column have log_prob -inf.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo score model.safetensors new.csv --out scores.csv\n  \
     cat new.csv | diffeo score model.safetensors - | head\n  \
     diffeo score model.safetensors new.parquet --nonfinite keep --verify --out scores.parquet\n\n",
    exit_codes!()
))]
pub(crate) struct ScoreArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Table to score; - is stdin
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Table to write; its name decides the format; - is CSV on stdout [default: -]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing output file, or columns of the input that have the names of those added
    #[arg(long)]
    pub(crate) force: bool,
    /// What to do with rows that hold NaN or an infinity: refuse, or keep with log_prob NaN for NaN and -inf for an infinity
    /// (NaN if it is in the context) [default: refuse]
    #[arg(long, value_name = "RULE")]
    pub(crate) nonfinite: Option<NonFinite>,
    /// Add the column round_trip_error: how far base -> data -> base misses, in base space, and count the rows where it is so
    /// large that the density is not to be relied on
    #[arg(long)]
    pub(crate) verify: bool,
    /// Add the columns tail_probability, the share of the fit's rows whose log_prob was no higher, and ood: 1 where that is below Q (or
    /// log_prob is NaN), 0 for others; 0 flags what is below every row of the fit [default Q: 0.001]
    #[arg(long, value_name = "Q", num_args = 0..=1, require_equals = true, default_missing_value = "0.001")]
    pub(crate) flag_ood: Option<f64>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Print the mean log-likelihood of a table.
///
/// In nats per row with its standard error, and in bits per dimension. Higher likelihood (fewer bits) is a better fit;
/// compare models on the same held-out rows only. A single row outside the support makes the mean -inf.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo evaluate model.safetensors test.csv\n  \
     diffeo evaluate model.safetensors test.csv --json\n\n\
     JSON keys: rows, dims, log_prob_mean, log_prob_stderr, bits_per_dim, bits_per_dim_stderr, draws\n\n",
    exit_codes!()
))]
pub(crate) struct EvaluateArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Table to evaluate on; - is stdin
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Column of row weights, 0 or more: how much each row stands for
    #[arg(long, value_name = "NAME")]
    pub(crate) weight: Option<String>,
    /// Draws of noise for each image, of a model of images: what is printed is a bound, which comes nearer to the truth with them [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) draws: Option<i128>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Tell the class of each row, by a model that was fitted given it.
///
/// By Bayes' rule: the probability of class k is in proportion to its share of the rows of the fit times the density of the row given k. Writes the table with the columns predicted_CLASS, the
/// likeliest class, probability, that of this class, and log_prob, the log-density of the row whatever its class. The table need not have a column of the class; if it has, how many rows are told
/// right is printed. Takes a score for each class. A fit with --contrast tells classes better.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo fit flowers.csv --context species --contrast 1 --out flowers.safetensors\n  \
     diffeo classify flowers.safetensors new.csv --out told.csv\n\n\
     JSON keys: rows, rows_untold, rows_labelled, rows_right, rows_unknown, accuracy, accuracy_stderr, log_loss, classes, out\n\n",
    exit_codes!()
))]
pub(crate) struct ClassifyArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Table whose rows are told; - is stdin
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Table to write; its name decides the format; - is CSV on stdout [default: -]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing output file, or columns of the input that have the names of those added
    #[arg(long)]
    pub(crate) force: bool,
    /// The column of the context whose classes are told, where it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Take all classes for equally likely before a row is seen, not as frequent as they were in the fit
    #[arg(long)]
    pub(crate) equal_shares: bool,
    /// Add a column probability_LEVEL for each class, too
    #[arg(long)]
    pub(crate) probabilities: bool,
    /// Draws of noise for each image, of a model of images [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) draws: Option<i128>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Test a model; exits with 1 if a check fails.
///
/// Measures the round trip data -> base -> data, the log-determinant against automatic differentiation, the integral of
/// the density, and that samples score as they were drawn. With DATA also the calibration: the distribution of each
/// column, the distance of samples to the data, whether the data lies in the base as its own draws do (number by number,
/// in their dependence on each other and on the context, and together), and how many rows the regions of highest density
/// hold; for a conditional model also simulation-based calibration of each column (sbc), TARP in all together, and both near
/// each context. Each says what it measured and its limit, base_numbers also how large a fault it would find. Use held-out
/// rows.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo check model.safetensors\n  diffeo check model.safetensors test.csv --json\n\n\
     JSON keys: passed, checks: [{name, passed, value, limit, detail}]\n\n",
    exit_codes!()
))]
pub(crate) struct CheckArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Table to check the calibration on
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Column of row weights, 0 or more: rows are kept with a probability in proportion
    #[arg(long, value_name = "NAME")]
    pub(crate) weight: Option<String>,
    /// Rows to sample, and most rows of DATA to use, drawn at random [default: 10000; of images 1000]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) rows: Option<i128>,
    /// Seed of the test points [default: 0, so that a check repeats]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Show what a model file holds.
///
/// The transforms, their parameters, the columns, and how training went. A model whose weights are
/// not finite is still shown, with a warning.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo inspect model.safetensors\n  diffeo inspect model.safetensors --json\n\n",
    exit_codes!()
))]
pub(crate) struct InspectArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
}

/// Draw a model, or a model against data.
///
/// pairs: scatter and marginals of data over samples. marginals: one histogram a column. loss: the training curve.
/// density: for two columns, the density and the grid that the flow warps, given the mean context of DATA for a conditional
/// model. calibration: the probability integral transforms; for a conditional model among draws at each row's own context
/// (simulation-based calibration), also by distance to random points (TARP). The default is density for two columns and
/// pairs otherwise.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo plot model.safetensors test.csv --out pairs.png\n  \
     diffeo plot model.safetensors --kind loss --out loss.svg\n  \
     diffeo plot model.safetensors test.csv --kind all --out figure.png   (figure-pairs.png, figure-loss.png ...)\n\n",
    exit_codes!()
))]
pub(crate) struct PlotArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Table to draw beside the samples
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Column of row weights, 0 or more: rows are kept with a probability in proportion
    #[arg(long, value_name = "NAME")]
    pub(crate) weight: Option<String>,
    /// Picture to write: .png or .svg
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// What to draw
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<PlotKind>,
    /// Rows of samples, and most rows of DATA [default: 4000]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) rows: Option<i128>,
    /// Seed of the samples [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    /// Replace an existing picture
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// What to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlotKind {
    Pairs,
    Marginals,
    Loss,
    Density,
    Calibration,
    /// Of a model of images: samples, beside DATA if it is given.
    Images,
    /// Of a model of images: from one image of DATA to another, in the space of the base.
    Interpolation,
    /// Of a model of images: the same draws at several temperatures.
    Temperature,
    /// Of a model of clips: clips of DATA and how they go on, or clips that begin.
    Continuation,
    All,
}
