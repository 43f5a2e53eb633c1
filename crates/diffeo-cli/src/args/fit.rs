//! Arguments of `diffeo fit`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use diffeo::train::Loss;
use diffeo::{BaseSpec, ColumnOrder, Preset};

use super::{ReadArgs, exit_codes};
use crate::columns::{ColumnList, CountList, NameList};
use crate::duration::Span;

/// Fit a density to a table, or to images, and write the model.
///
/// Reads all rows, decides what each column may hold (numbers, categories, booleans, dates) and prints that choice,
/// trains a flow with early stopping on held-out rows, and writes one model file. No option is needed for a good fit: the
/// recipe looks at the number of rows and columns. Training can be stopped at any time (Ctrl-C, or a crash) and goes on
/// with --resume to the very same bits.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo fit train.csv --out model.safetensors\n  \
     diffeo fit train.parquet --columns 'price=positive,rooms=integer[0,12],age=[0,120]' --context 'city,hour=periodic[0,24)' --out m.safetensors\n  \
     diffeo fit survey.csv --missing model --exclude name,id --out m.safetensors\n  \
     diffeo fit survey.csv --any-subset --exclude name,id --out m.safetensors\n  \
     diffeo fit train.csv --graph edges.txt --out m.safetensors\n  \
     diffeo fit train.csv --graph learn --out m.safetensors\n  \
     diffeo fit train.csv --model auto --max-time 30m --out m.safetensors\n  \
     diffeo fit train.csv --valid valid.csv --max-time 10m --log train.jsonl --out m.safetensors\n  \
     diffeo fit train.csv --out m.safetensors --resume\n  \
     diffeo fit new.csv --start m.safetensors --lr 2e-4 --out finer.safetensors\n  \
     diffeo fit photos/ --epochs 20 --out m.safetensors\n  \
     diffeo fit train-images-idx3-ubyte.gz --context label --out m.safetensors\n  \
     diffeo fit clips/ --frames 2 --out m.safetensors\n  \
     diffeo fit --config run.toml\n\n\
     Kinds of columns:\n  \
     real, positive          any number, numbers above 0\n  \
     [0,1] (0,1) [0,inf)     numbers between bounds, of which [ and ] include theirs; also >=0 and <=1\n  \
     integer integer[0,12]   whole numbers, between two bounds with a probability each; also integer>=0\n  \
     rounded(0.1)            tenths, and other multiples of a step; also rounded(5)[0,100] and rounded(5)>=0\n  \
     boolean category        truth values; text or codes, of which each level has a probability\n  \
     date time               dates such as 2024-01-31, and such with a time of day\n  \
     periodic[0,24)          angles and hours, of which 24 is 0 again; periodic alone is [0, 2 pi)\n  \
     positive+{0}            with point masses, values of a probability of their own\n\n\
     A configuration file has the names of the flags, options of every command at the top:\n\n  \
     threads = 2\n  [read]\n  missing = \"drop\"\n  [fit]\n  data = \"train.csv\"\n  out = \"model.safetensors\"\n  \
     hidden = [128, 128]\n  seed = 7\n  [fit.columns]\n  price = \"positive\"\n  age = [0, 120]\n\n",
    exit_codes!()
))]
pub(crate) struct FitArgs {
    /// Table to fit: CSV, TSV (also .gz, .zst), Parquet, Arrow IPC, npy; - is stdin. Or images: a folder of PNG and JPEG files (or of folders, which
    /// are then labels), an npy or npz array of bytes (n, height, width[, channels]), an IDX file such as those of MNIST
    #[arg(value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Model file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace existing output files and checkpoints
    #[arg(long)]
    pub(crate) force: bool,

    /// Columns to model, some with their kind (see below): 'price=positive,age=[0,120],town=category,x' [default: all]. A name with a
    /// comma, = or a bracket stands in double quotes: '"cost, net"=positive'
    #[arg(long, value_name = "LIST", help_heading = "Data")]
    pub(crate) columns: Option<ColumnList>,
    /// Columns to condition on, some with their kind: the model is then p(columns | context)
    #[arg(long, value_name = "LIST", help_heading = "Data")]
    pub(crate) context: Option<ColumnList>,
    /// Columns to leave out
    #[arg(long, value_name = "LIST", help_heading = "Data")]
    pub(crate) exclude: Option<NameList>,
    /// Column of row weights, 0 or more
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub(crate) weight: Option<String>,
    /// Rows that decide when to stop: a table, or the share of the rows to hold out; 0 for none [default: 0.1]
    #[arg(
        long,
        visible_alias = "validation",
        value_name = "FILE|SHARE",
        allow_negative_numbers = true,
        help_heading = "Data"
    )]
    pub(crate) valid: Option<OsString>,
    /// Columns of whole numbers that are to have a density, not a probability each: their steps are filled with noise while training,
    /// samples are whole again. Of images (nsf-image, glow, realnvp-image, flowpp) the word learned: their noise is then learned, too
    #[arg(long, value_name = "LIST", help_heading = "Data")]
    pub(crate) dequantize: Option<NameList>,
    /// Learn the density of any columns given any others: rows with missing values count with what they have, and `sample --given` fills
    /// them in
    #[arg(long, help_heading = "Data")]
    pub(crate) any_subset: bool,
    /// Leave out this share of the rows first, at most 0.5: those that are least like the others, as flows of small random samples see them. For
    /// data with anomalies in it that are not to be learned
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, help_heading = "Data")]
    pub(crate) trim: Option<f64>,
    /// Leave out columns that hold one value only, instead of refusing them
    #[arg(long, help_heading = "Data")]
    pub(crate) drop_constant: bool,
    /// How many values a number of an image may have, from 0 on [default: 256]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Data")]
    pub(crate) levels: Option<i128>,
    /// Images: add normal noise of this share of the way from black to white to those that are learned from, such as 0.025, and clean samples of
    /// it. For pictures that look well; bits per dimension then bound no code
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, help_heading = "Data")]
    pub(crate) noise: Option<f64>,
    /// Clips: a model of each frame given N before it. DATA is then a GIF or APNG file, a folder of such or of frames (or of folders of these), or an
    /// npy array of bytes (clips, frames, height, width[, channels])
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Data")]
    pub(crate) frames: Option<i128>,
    /// Most memory for the table, such as 4G [default: a third of what is free]
    #[arg(long, value_name = "SIZE", help_heading = "Data")]
    pub(crate) max_memory: Option<String>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,

    /// Begin from the weights of this model, whose columns, units and layers stay as they are: to go on with other rows or by other settings of
    /// training. A lower --lr stays nearer to it
    #[arg(
        long,
        value_name = "MODEL",
        help_heading = "Model",
        conflicts_with_all = [
            "columns", "context", "exclude", "dequantize", "any_subset", "drop_constant", "levels", "noise", "frames", "model", "transforms",
            "hidden", "bins", "bound", "residual", "embed", "embed_members", "graph", "patch", "order", "base", "precision",
        ]
    )]
    pub(crate) start: Option<PathBuf>,
    #[arg(long, value_name = "PRESET", help_heading = "Model", help = model_help())]
    pub(crate) model: Option<String>,
    /// Number of transforms in the chain
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) transforms: Option<i128>,
    /// Widths of the hidden layers, such as 128,128
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, help_heading = "Model")]
    pub(crate) hidden: Option<CountList>,
    /// Bins of each spline, components of each mixture, degree of each polynomial
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) bins: Option<i128>,
    /// Splines and polynomials act on [-X, X] of the standardised data and are linear outside
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) bound: Option<f64>,
    /// Use residual blocks in the networks, or with =false do not [default: from 10,000 rows up]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Model"
    )]
    pub(crate) residual: Option<bool>,
    /// Let a network make N numbers of the context, trained together with the model, whose transforms see these in its place
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) embed: Option<i128>,
    /// With --embed: the context is N members, one after another and of equal width, whose order says nothing; the mean of what is made of each is seen
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) embed_members: Option<i128>,
    /// Who influences whom: a file with an edge a line, 'parent -> child' ("quotes" around odd names, # before comments), or JSON,
    /// {"child": ["parent"]}. Columns then depend on those that lead to them, and on no others; with --transforms 1 on their parents alone.
    /// Or learn, to find the edges in the rows, each column with noise of its own size; or learn=equal, if all have the same [default: learn for gnf]
    #[arg(long, value_name = "FILE|learn", help_heading = "Model")]
    pub(crate) graph: Option<PathBuf>,
    /// Side of a patch, of a model that takes images in patches [default: 4, or what divides both sides]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) patch: Option<i128>,
    #[arg(long, value_name = "NAME", help_heading = "Model", help = order_help())]
    pub(crate) order: Option<String>,
    #[arg(long, value_name = "NAME", help_heading = "Model", help = base_help())]
    pub(crate) base: Option<String>,
    /// Numbers to compute with: f32, f64 [default: f32]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub(crate) precision: Option<String>,

    #[arg(long, value_name = "NAME", help_heading = "Training", help = loss_help())]
    pub(crate) loss: Option<String>,
    /// Passes over the data
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) epochs: Option<f64>,
    /// Optimiser steps, instead of --epochs
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) steps: Option<i128>,
    /// Stop after this time, such as 10m or 1h30m, with a model and a checkpoint; the learning rate falls by then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Training")]
    pub(crate) max_time: Option<Span>,
    /// Rows per step
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) batch: Option<i128>,
    /// Peak learning rate
    #[arg(
        long,
        alias = "learning-rate",
        value_name = "X",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub(crate) lr: Option<f64>,
    /// Decoupled weight decay of AdamW
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) weight_decay: Option<f64>,
    /// Largest norm of the gradient; longer ones are shortened
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) clip_norm: Option<f64>,
    /// Share of the steps in which the rate rises from 0
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) warmup: Option<f64>,
    /// Average the weights over steps with this decay, such as 0.999
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) average: Option<f64>,
    /// Hide the context, of categories, in this share of the rows of each step: what sample --guidance needs
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) context_dropout: Option<f64>,
    /// Compare each row with itself under the context of another, with this weight beside the likelihood: a model that tells its classes better (classify)
    #[arg(long, value_name = "W", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) contrast: Option<f64>,
    /// Stop after this many validations without a better score
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) patience: Option<i128>,
    /// Seed of everything random, 0 to 2^64-1 [default: drawn, printed and stored]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) seed: Option<i128>,

    /// Go on from OUT.checkpoint; =auto falls back to the one before it if that is damaged
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "latest",
          help_heading = "Stopping and going on")]
    pub(crate) resume: Option<ResumeMode>,
    /// With --resume, settings that may be other than before: lr, epochs (also --steps), or both. The result is then that of no
    /// undisturbed run
    #[arg(long, value_name = "LIST", help_heading = "Stopping and going on")]
    pub(crate) allow_changed: Option<NameList>,
    /// Write the checkpoint every N steps too, besides once a minute
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Stopping and going on"
    )]
    pub(crate) checkpoint_every: Option<i128>,
    /// Write what happens, one JSON object a line
    #[arg(long, value_name = "FILE", help_heading = "Stopping and going on")]
    pub(crate) log: Option<PathBuf>,
    /// Draw the table over samples of the model when the fit is done: .png or .svg
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

/// Which checkpoint to go on from.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum ResumeMode {
    /// The newest; an error if it is damaged.
    Latest,
    /// The newest that is sound, with a warning if it is not the last one written.
    Auto,
}

fn model_help() -> String {
    let each = Preset::ALL.map(|preset| format!("{preset} ({})", preset.summary()));
    format!(
        "Kind of flow: {}; auto tries a few of them on short runs, in at most a third of --max-time, and fits the best by validation [default: {}; for images {}, or {} where a side is odd]",
        each.join(", "),
        Preset::default(),
        Preset::NsfImage,
        Preset::TarFlow
    )
}

fn loss_help() -> String {
    let names = Loss::ALL.map(|(name, _)| name).join(", ");
    format!(
        "What the steps go down: {names}; the last two are for --model ot-flow-matching [default: what suits the model]"
    )
}

fn order_help() -> String {
    let names = ColumnOrder::ALL.map(|(name, _)| name).join(", ");
    format!("Order in which the layers take the columns: {names} [default: what suits the model]")
}

fn base_help() -> String {
    format!("Base distribution: {} [default: normal]", BaseSpec::USAGES.join(", "))
}
