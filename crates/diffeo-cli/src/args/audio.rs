//! Arguments of `diffeo audio`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit_codes;
use crate::columns::NameList;
use crate::duration::Span;

/// Densities of recordings by WaveNets and WaveFlows, and fast samplers that are distilled from them.
#[derive(Args, Clone, Debug)]
pub(crate) struct AudioArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: AudioCommand,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AudioCommand {
    Fit(Box<AudioFitArgs>),
    Distill(Box<AudioDistillArgs>),
    Score(AudioScoreArgs),
    Evaluate(AudioEvaluateArgs),
    Sample(AudioSampleArgs),
    Plot(AudioPlotArgs),
}

/// Where recordings are, and what is known of them. In a configuration file they stand in the table of the command.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClipArgs {
    /// WAV files, or folders of them with all that is in these
    #[arg(value_name = "CLIPS")]
    pub(crate) clips: Vec<PathBuf>,
    /// What the parts of a file's name are, between underscores: 7_jackson_0.wav has digit 7 and speaker jackson by digit,speaker
    #[arg(long, value_name = "LIST", help_heading = "Clips")]
    pub(crate) name_labels: Option<NameList>,
    /// CSV file with a column `file` and one for each label
    #[arg(long, value_name = "FILE", help_heading = "Clips")]
    pub(crate) labels: Option<PathBuf>,
}

/// How training goes, stops and goes on.
#[derive(Args, Clone, Debug)]
pub(crate) struct LearnArgs {
    /// Share of the clips that validate [default: 0.1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) valid: Option<f64>,
    /// Steps
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) steps: Option<i128>,
    /// Stretches of a step [default: 64]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) batch: Option<i128>,
    /// Seconds of a stretch [default: 0.16]
    #[arg(long, value_name = "S", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) stretch: Option<f64>,
    /// Peak learning rate
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) lr: Option<f64>,
    /// Decay of the running average of the weights, which are kept [default: 0.99]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) average: Option<f64>,
    /// Steps from one validation to the next [default: a twentieth of all]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) validate_every: Option<i128>,
    /// Seed of weights, the split and draws [default: drawn, and said]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) seed: Option<i128>,

    /// Model file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing model or checkpoint
    #[arg(long)]
    pub(crate) force: bool,
    /// Stop after this time, such as 10m or 1h30m; the learning rate falls by then
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        help_heading = "Stopping and going on"
    )]
    pub(crate) max_time: Option<Span>,
    /// Go on from OUT.checkpoint
    #[arg(long, help_heading = "Stopping and going on")]
    pub(crate) resume: bool,
    /// Write what happens, one JSON object a line
    #[arg(long, value_name = "FILE", help_heading = "Stopping and going on")]
    pub(crate) log: Option<PathBuf>,
}

/// Sizes of a network.
#[derive(Args, Clone, Debug)]
pub(crate) struct SizeArgs {
    /// Units of a sample [default: 32, of a student or a WaveFlow 16]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) width: Option<i128>,
    /// Layers [default: 16, of each flow of a student 8, of a WaveFlow 6]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) layers: Option<i128>,
    /// Layers whose reach doubles before it starts again [default: 8, of a WaveFlow 4]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) cycle: Option<i128>,
    /// Samples that the first filter reads [default: 32]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) window: Option<i128>,
}

/// Fit a WaveNet or a WaveFlow to recordings: the density of a waveform.
///
/// What it is told of each hundredth of a second are the labels of a clip and how loud each mel band is; with --mel 0 and no labels, nothing.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo audio fit clips/ --name-labels digit,speaker --max-time 30m --out teacher.safetensors\n  \
     diffeo audio fit a.wav b.wav --rate 16000 --mel 0 --output logistics:10 --out density.safetensors\n  \
     diffeo audio fit clips/ --model waveflow --max-time 30m --out flow.safetensors\n\n\
     JSON keys: model, parameters, rate, clips, clips_valid, seconds_of_sound, steps, stop_reason, seconds, seed, valid: {nats_per_sample, bits_per_sample}, out, log\n\n",
    exit_codes!()
))]
pub(crate) struct AudioFitArgs {
    #[command(flatten)]
    pub(crate) clips: ClipArgs,
    #[command(flatten)]
    pub(crate) learn: LearnArgs,
    /// Samples a second; clips of other rates are resampled [default: that of the first clip]
    #[arg(long, value_name = "HZ", allow_negative_numbers = true, help_heading = "Clips")]
    pub(crate) rate: Option<i128>,
    /// Mel bands of each hundredth of a second that the model is told; 0 for none [default: 40]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Clips")]
    pub(crate) mel: Option<i128>,
    /// Coefficients of the linear prediction that follows from the bands, and whose error is what the network models; 0 for none [default: 32]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) prediction: Option<i128>,
    /// Do not tell the model of the period of a voice, by which it would be predicted, too
    #[arg(long, help_heading = "Model")]
    pub(crate) no_pitch: bool,
    /// wavenet: exact and drawn from sample by sample; waveflow: a flow, exact and drawn from in as many steps as there are lines [default: wavenet]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub(crate) model: Option<String>,
    /// Density of a sample of a WaveNet: gaussian, or logistics:K for a mixture of K [default: gaussian]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub(crate) output: Option<String>,
    /// Lines that a WaveFlow folds samples into; a divisor of a hundredth of a second [default: the largest up to 16]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) lines: Option<i128>,
    /// Flows of a WaveFlow [default: 4]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) flows: Option<i128>,
    #[command(flatten)]
    pub(crate) sizes: SizeArgs,
}

/// Distil a WaveNet into a student that draws all samples of a waveform at once.
///
/// The student is a flow of inverse autoregressive layers; it learns from the teacher's density of its own draws, and from the spectra of recordings.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Example:\n  diffeo audio distill teacher.safetensors clips/ --name-labels digit,speaker --max-time 1h --out student.safetensors\n\n\
     JSON keys: model, parameters, rate, clips, clips_valid, seconds_of_sound, steps, stop_reason, seconds, seed, valid: {kl, spread, spectral}, out, log\n\n",
    exit_codes!()
))]
pub(crate) struct AudioDistillArgs {
    /// Model file of the teacher
    #[arg(value_name = "TEACHER")]
    pub(crate) teacher: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) clips: ClipArgs,
    #[command(flatten)]
    pub(crate) learn: LearnArgs,
    /// Inverse autoregressive flows [default: 4]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) flows: Option<i128>,
    #[command(flatten)]
    pub(crate) sizes: SizeArgs,
    /// Student whose sizes and weights to begin with, such as one that was held to spectra more [default: new weights]
    #[arg(long, alias = "from", value_name = "FILE", help_heading = "Model", conflicts_with_all = ["flows", "width", "layers", "cycle", "window"])]
    pub(crate) start: Option<PathBuf>,
    /// Weight of the squared difference of log-scales [default: 4]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) spread: Option<f64>,
    /// Weight of the difference of spectra [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) spectral: Option<f64>,
}

/// Score recordings: a row for each with its log-density.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Example:\n  diffeo audio score teacher.safetensors clips/ --name-labels digit,speaker > scores.csv\n\n\
     Columns: file, samples, log_prob (nats, of samples between -1 and 1), nats_per_sample, bits_per_sample (of samples as whole numbers; empty for those that were not rounded)\n\n",
    exit_codes!()
))]
pub(crate) struct AudioScoreArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) clips: ClipArgs,
    /// Only the clips that validated when the model was fitted to these
    #[arg(long)]
    pub(crate) held_out: bool,
    /// Seed of the noise within rounding errors [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    /// CSV file to write [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing output
    #[arg(long)]
    pub(crate) force: bool,
}

/// Say how likely recordings are, beside linear prediction and the FLAC codec.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Example:\n  diffeo audio evaluate teacher.safetensors clips/ --name-labels digit,speaker\n\n\
     JSON keys: clips, samples, nats_per_sample, stderr, bits_per_sample, linear_prediction: [{order, nats_per_sample, bits_per_sample}], flac: {bits_per_sample}\n\n",
    exit_codes!()
))]
pub(crate) struct AudioEvaluateArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) clips: ClipArgs,
    /// Only the clips that validated when the model was fitted to these
    #[arg(long)]
    pub(crate) held_out: bool,
    /// Seed of the noise within rounding errors [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
}

/// Draw waveforms and write them as WAV files.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo audio sample student.safetensors --like clip.wav --label digit=7 --label speaker=theo --out drawn.wav\n  \
     diffeo audio sample teacher.safetensors -n 8 --seconds 0.5 --label digit=3 --label speaker=theo --out drawn/\n\n\
     JSON keys: files, samples, rate, seconds, seconds_of_sound, seed\n\n",
    exit_codes!()
))]
pub(crate) struct AudioSampleArgs {
    /// Model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// Clip whose mel bands and length the draws have
    #[arg(long, value_name = "FILE")]
    pub(crate) like: Option<PathBuf>,
    /// Value of a label, as NAME=VALUE; for each label that the model knows
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// Waveforms [default: 1]
    #[arg(long, short = 'n', value_name = "N", allow_negative_numbers = true)]
    pub(crate) number: Option<i128>,
    /// Seconds of each [default: 1, or those of --like]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) seconds: Option<f64>,
    /// Deviation of the noise that is drawn from; 1 draws from the model, less is less noisy
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) temperature: Option<f64>,
    /// Seed [default: drawn, and said]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    /// WAV file to write, or a folder for 1.wav, 2.wav and so on
    #[arg(long, short, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    /// Replace existing outputs
    #[arg(long)]
    pub(crate) force: bool,
}

/// Draw waveforms and spectrograms of WAV files.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Example:\n  diffeo audio plot clip.wav drawn.wav --out both.png\n\nJSON keys: clips, out\n\n",
    exit_codes!()
))]
pub(crate) struct AudioPlotArgs {
    /// WAV files, drawn one below the other
    #[arg(value_name = "CLIPS")]
    pub(crate) clips: Vec<PathBuf>,
    /// Figure to write: .png or .svg
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing figure
    #[arg(long)]
    pub(crate) force: bool,
}
