//! What is asked for of a model, before its recordings are known.

use diffeo::{Error, Result};
use serde_json::{Value, json};

use crate::clips::{Clip, Split, known_labels};
use crate::condition::Condition;
use crate::dataset::Units;
use crate::model::{AudioModel, AudioSpec, ModelKind};
use crate::network::{LinesSpec, NetworkSpec};
use crate::output::Output;
use crate::recording::Recording;
use crate::spectrum::MEL_HOPS;
use crate::training::TrainingOptions;

/// Most lines of a WaveFlow where none are asked for.
const LINES: usize = 16;
/// A quarter of the longest window of a spectrum: stretches of a distillation are a multiple of it.
const QUARTER: usize = 128;

/// The kind of model; how many lines there are can depend on the rate.
#[derive(Clone, Debug, PartialEq)]
pub enum KindWish {
    /// [`crate::WaveNet`].
    WaveNet {
        /// Sizes.
        network: NetworkSpec,
        /// Density of each sample.
        output: Output,
    },
    /// [`crate::WaveFlow`].
    WaveFlow {
        /// Width, layers, and layers of a cycle.
        sizes: [usize; 3],
        /// Lines; as many as a frame can be folded into, up to 16, where none are given.
        lines: Option<usize>,
        /// Flows.
        flows: usize,
    },
}

/// A model to be.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelWish {
    /// Mel bands that it is told.
    pub bands: usize,
    /// Coefficients of the prediction that follows from them.
    pub order: usize,
    /// Whether it is told of the period of a voice, too.
    pub pitch: bool,
    /// What it is.
    pub kind: KindWish,
}

impl ModelWish {
    /// The model as it starts, of clips of one rate; its units are those of the clips that are not held out.
    ///
    /// # Errors
    /// As [`Units::of`], [`known_labels`] and [`AudioSpec::build`].
    pub fn model(&self, clips: &[Clip], held: &[bool], seed: u64) -> Result<AudioModel> {
        let learned = clips.iter().zip(held).filter(|(_, held)| !**held);
        let recordings: Vec<Recording> = learned.map(|(clip, _)| clip.recording.clone()).collect();
        let units = Units::of(&recordings)?;
        let condition = Condition {
            labels: known_labels(clips)?,
            bands: self.bands,
            order: self.order,
            pitch: self.pitch,
            ..Condition::none(units.rate)
        };
        let kind = match &self.kind {
            KindWish::WaveNet { network, output } => {
                ModelKind::WaveNet { network: network.clone(), output: *output }
            }
            KindWish::WaveFlow { sizes: [width, layers, cycle], lines, flows } => {
                let lines = lines.map_or_else(|| lines_of(condition.samples), Ok)?;
                let network = LinesSpec::cycles(*width, lines, [*layers, *cycle]);
                ModelKind::WaveFlow { network, flows: *flows }
            }
        };
        let spec = AudioSpec { kind, condition, units };
        let module = spec.build(seed)?;
        Ok(AudioModel { spec, module, summary: Value::Null })
    }
}

/// The most lines, up to [`LINES`], that a frame of so many samples can be folded into.
fn lines_of(samples: usize) -> Result<usize> {
    (2..=LINES).rev().find(|lines| samples.is_multiple_of(*lines)).ok_or_else(|| {
        Error::config(format!(
            "a frame of {samples} samples has no divisor up to {LINES}; give --rate a multiple of 200, or --lines {samples}"
        ))
    })
}

impl TrainingOptions {
    /// The same, of stretches of so many seconds of sound like a model's; `is_heard` where their spectra are compared, too.
    #[must_use]
    pub fn of_stretch(self, seconds: f64, spec: &AudioSpec, is_heard: bool) -> Self {
        let frame = spec.condition.samples;
        let of = if is_heard { lcm(frame, QUARTER) } else { frame };
        let samples = (seconds * f64::from(spec.units.rate)).round() as usize;
        let samples = samples.max(if is_heard { MEL_HOPS * frame } else { 0 });
        Self { length: samples.next_multiple_of(of).max(of), ..self }
    }

    /// What a model file says of a training, by which the clips that validated can be found again.
    pub fn summary(&self, steps: u64, split: Split, valid: Value) -> Value {
        json!({
            "clips": split.clips, "options": self, "split": split, "steps": steps, "valid": valid,
        })
    }
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

/// Bits of a sample that is a whole number, by its log-density; `None` where samples were not rounded.
pub fn bits(log_prob: f64, step: f64) -> Option<f64> {
    (step > 0.0).then(|| -(log_prob + step.ln()) / std::f64::consts::LN_2)
}
