//! Waveforms: densities of recordings, and fast samplers that are distilled from them.
//!
//! A [`WaveNet`] gives each sample of a waveform a density given those before it: exact, but drawn from one sample after another. A [`WaveFlow`] is a flow that is exact, too, and drawn from in few steps. A [`Student`] is a flow that draws all samples at
//! once; [`Distillation`] makes it draw what the WaveNet would, by the Kullback-Leibler divergence between the two, which needs no recordings (van den Oord et al. *Parallel WaveNet*. ICML 2018,
//! arXiv:1711.10433; in closed form, Ping, Peng, Chen. *ClariNet*. ICLR 2019, arXiv:1807.07281).
//!
//! Recordings become [`Signal`]s: samples in units of their root mean square, and frames of what is known of them ([`Condition`]): labels, mel bands.

mod affine;
mod clips;
mod condition;
mod dataset;
mod distillation;
mod excitation;
mod flac;
mod linear_prediction;
mod model;
mod network;
mod output;
mod pitch;
mod recording;
mod spectrum;
mod student;
mod training;
mod wav;
mod waveflow;
mod wavenet;
mod windows;
mod wish;

pub use clips::{Clip, Split, at_one_rate, known_labels, wav_files};
pub use condition::{Condition, Label};
pub use dataset::{Batch, Dataset, Signal, Units};
pub use distillation::{Distillation, DistillationOptions, Divergence, GaussianTeacher};
pub use excitation::Excitation;
pub use linear_prediction::LinearPrediction;
pub use model::{AudioModel, AudioSpec, ModelKind, Module};
pub use network::{FrameSize, LinesSpec, Network, NetworkSpec};
pub use output::Output;
pub use recording::{Recording, SAMPLES_MAX};
pub use spectrum::{Mel, Stft, spectrogram};
pub use student::{Drawn, Student};
pub use training::{
    Advanced, Density, Likelihood, OnTask, STRETCH_MAX, Task, Training, TrainingOptions,
};
pub use waveflow::WaveFlow;
pub use wavenet::{Prompt, Tick, WaveNet};
pub use wish::{KindWish, ModelWish, bits};
