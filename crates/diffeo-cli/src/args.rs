//! The command line as clap reads it. Ranges are not checked here but in `options`, so that all faults show at once.

mod audio;
mod control;
mod fit;
mod model;
mod reweight;
mod sample;
mod truncate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::columns::NameList;

pub(crate) use audio::{
    AudioArgs, AudioCommand, AudioDistillArgs, AudioEvaluateArgs, AudioFitArgs, AudioPlotArgs,
    AudioSampleArgs, AudioScoreArgs, ClipArgs, LearnArgs, SizeArgs,
};
pub(crate) use control::{ControlArgs, ControlCommand, ControlRunArgs, ControlTrainArgs};
pub(crate) use fit::{FitArgs, ResumeMode};
pub(crate) use model::{
    CheckArgs, ClassifyArgs, EvaluateArgs, InspectArgs, PlotArgs, PlotKind, ScoreArgs,
};
pub(crate) use reweight::ReweightArgs;
pub(crate) use sample::SampleArgs;
pub(crate) use truncate::TruncateArgs;

/// The exit codes, shown at the end of every long help text.
macro_rules! exit_codes {
    () => {
        "Exit codes:\n  0 done (also when the reader of stdout stops early)   1 the task failed\n  \
         2 usage or configuration   3 bad data   4 bad model file   5 input/output, space or memory\n  \
         70 a bug in diffeo, please report   130, 143 interrupted, after a clean checkpoint"
    };
}
pub(crate) use exit_codes;

/// Densities of tables with normalizing flows: fit, score, sample, check.
///
/// A normalizing flow is an invertible map between the rows of a table and a simple distribution. Fitted once, it gives
/// the exact density of any row (`score`), new rows (`sample`) and their likelihood (`evaluate`); `check` proves that
/// the model is sound. Models are single .safetensors files, described by `inspect` and drawn by `plot`.
#[derive(Debug, Parser)]
#[command(
    name = "diffeo",
    bin_name = "diffeo",
    version,
    propagate_version = true,
    args_override_self = true,
    max_term_width = 100
)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo fit train.csv --out model.safetensors\n  diffeo score model.safetensors new.csv --out scores.csv\n  \
     diffeo sample model.safetensors -n 1000 > samples.csv\n  diffeo check model.safetensors train.csv\n\n",
    exit_codes!()
))]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command. In a configuration file they stand at the top.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// Read options from this TOML file: those below at the top, the others in [fit], [read] and so on. Flags win
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object on stdout; progress stays on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress and no notes; results, warnings and errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Where to compute: flex, the processor, is the only device of this build
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) device: Option<String>,
    /// Threads to use [default: as many as the machine has]; results do not depend on it
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub(crate) threads: Option<i128>,
}

/// How tables are read. In a configuration file they stand in `[read]`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Reading tables")]
pub(crate) struct ReadArgs {
    /// Format of the input: csv, tsv, parquet, arrow or npy [default: seen from its first bytes and name]
    #[arg(long, value_name = "NAME")]
    pub(crate) format: Option<String>,
    /// Field separator of CSV input: one character, `tab`, or `blanks` for any number of them [default: seen from the first lines]
    #[arg(long, value_name = "CHAR")]
    pub(crate) delimiter: Option<String>,
    /// Lines of text input that start with this character are comments; `none` if none are [default: #]
    #[arg(long, value_name = "CHAR")]
    pub(crate) comment: Option<String>,
    /// More marks of missing values, such as -999,missing
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) missing_as: Option<NameList>,
    /// What to do with missing values (empty, NA, null, ?): refuse the table, drop the rows, or (for fit) model that they are missing: samples
    /// then have holes, too, and rows with holes a score [default: refuse]
    #[arg(long, value_name = "RULE")]
    pub(crate) missing: Option<Missing>,
    /// Read only the first N rows
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_rows: Option<i128>,
    /// Whether the first line of a text file holds the names: auto, yes, no [default: auto]
    #[arg(long, value_name = "RULE")]
    pub(crate) header: Option<Header>,
    /// Most bytes to read after decompression, such as 500M or 20G: a guard against compression bombs
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_bytes: Option<String>,
}

/// What to do with missing values.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub(crate) enum Missing {
    /// An error that counts them.
    #[default]
    Refuse,
    /// Leave these rows out and say how many.
    Drop,
    /// Make a missing value one of the outcomes.
    Model,
}

/// Whether a text file starts with names.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub(crate) enum Header {
    /// It does unless its first line holds numbers only.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// Columns are called x1, x2 and so on.
    No,
}

/// What to do with rows that hold NaN or an infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub(crate) enum NonFinite {
    /// An error that names the rows.
    #[default]
    Refuse,
    /// NaN gives log_prob NaN and an infinity -inf; other rows are not affected.
    Keep,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Fit(Box<FitArgs>),
    Score(ScoreArgs),
    Evaluate(EvaluateArgs),
    Classify(ClassifyArgs),
    Sample(SampleArgs),
    Reweight(Box<ReweightArgs>),
    Truncate(TruncateArgs),
    Check(CheckArgs),
    Inspect(InspectArgs),
    Plot(PlotArgs),
    Control(ControlArgs),
    Audio(AudioArgs),
    Completions(CompletionsArgs),
}

/// Print a completion script for a shell.
///
/// Source it in the shell's start-up file, and Tab completes commands and options.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Example:\n  diffeo completions bash > ~/.local/share/bash-completion/completions/diffeo"
)]
pub(crate) struct CompletionsArgs {
    /// The shell to write for
    pub(crate) shell: clap_complete::Shell,
}
