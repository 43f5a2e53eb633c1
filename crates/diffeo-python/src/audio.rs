//! Models of waveforms: WaveNets, WaveFlows, students and their distillation.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use diffeo::train::{Course, StopReason, Turn};
use diffeo::{Error, ErrorKind, Result, Streams, Trainable, quoted};
use diffeo_audio::{
    Advanced, AudioModel, AudioSpec, Clip, Dataset, Density, Distillation, DistillationOptions,
    KindWish, Likelihood, ModelKind, ModelWish, Module, NetworkSpec, Output, Prompt, Recording,
    STRETCH_MAX, Split, Task, Training, TrainingOptions, at_one_rate, wav_files,
};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::json;

use crate::arrays;
use crate::draws::drawn_seed;
use crate::errors::{raise, warn};
use crate::fit::TURN;
use crate::model::from_json;

/// Waveforms that are drawn or scored together.
const TOGETHER: usize = 64;

/// A clip as Python has it: its name, samples between -1 and 1, their rate, the distance of the levels that they were rounded to, and labels.
type PyClip<'py> = (String, Bound<'py, PyAny>, u32, f64, BTreeMap<String, String>);

fn clips_of(clips: Vec<PyClip<'_>>) -> PyResult<Vec<Clip>> {
    let of = |(name, samples, rate, step, labels): PyClip<'_>| {
        let samples = PyBuffer::<f64>::get(&samples)?.to_vec(samples.py())?;
        if let Some(at) = samples.iter().position(|x| !x.is_finite()) {
            return Err(raise(Error::data(format!("{name}: sample {at} is {}", samples[at]))));
        }
        Ok(Clip { name, recording: Recording { samples, rate, step }, labels })
    };
    clips.into_iter().map(of).collect()
}

/// Reads WAV files and those of folders; names of labels are those of the parts of the files' names.
#[pyfunction]
pub(crate) fn read_clips<'py>(
    py: Python<'py>,
    paths: Vec<PathBuf>,
    names: Vec<String>,
) -> PyResult<Vec<PyClip<'py>>> {
    let (files, _) = py.detach(|| wav_files(&paths)).map_err(raise)?;
    let of = |path: &PathBuf| {
        py.check_signals()?;
        let Clip { name, recording, labels } =
            py.detach(|| Clip::read(path, &names)).map_err(raise)?;
        let Recording { samples, rate, step } = recording;
        Ok((name, arrays::vector(py, &samples)?, rate, step, labels))
    };
    files.iter().map(of).collect()
}

/// What `diffeo.audio.fit` and `diffeo.audio.distill` were given.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    model: String,
    output: String,
    mel: usize,
    prediction: usize,
    pitch: bool,
    width: usize,
    layers: usize,
    cycle: usize,
    window: usize,
    flows: usize,
    lines: Option<usize>,
    rate: Option<u32>,
    steps: u64,
    batch: usize,
    stretch: f64,
    lr: f64,
    average: f64,
    valid: f64,
    validate_every: Option<u64>,
    spread: f64,
    spectral: f64,
    max_time: Option<f64>,
    seed: Option<u64>,
}

impl Settings {
    fn network(&self) -> NetworkSpec {
        NetworkSpec::cycles(self.width, self.window, [self.layers, self.cycle.min(self.layers)])
    }

    fn wish(&self) -> Result<ModelWish> {
        let kind = match self.model.as_str() {
            "wavenet" => KindWish::WaveNet { network: self.network(), output: self.output()? },
            "waveflow" => {
                let sizes = [self.width, self.layers, self.cycle.min(self.layers)];
                KindWish::WaveFlow { sizes, lines: self.lines, flows: self.flows }
            }
            other => {
                return Err(Error::config(format!(
                    "model: expected wavenet or waveflow, found {}",
                    quoted(other)
                )));
            }
        };
        let order = if self.mel > 1 { self.prediction } else { 0 };
        let pitch = order > 0 && self.pitch;
        Ok(ModelWish { bands: self.mel, order, pitch, kind })
    }

    fn output(&self) -> Result<Output> {
        if self.output == "gaussian" {
            return Ok(Output::Gaussian {});
        }
        let count = self.output.strip_prefix("logistics:").and_then(|n| n.parse().ok());
        let components = count.filter(|n| (1..=100).contains(n)).ok_or_else(|| {
            Error::config(format!(
                "output: expected gaussian, or logistics:K with K from 1 to 100, found {}",
                quoted(&self.output)
            ))
        })?;
        Ok(Output::Logistics { components })
    }

    fn training(&self, seed: u64) -> Result<TrainingOptions> {
        if !(self.valid > 0.0 && self.valid < 1.0) {
            let text = format!("valid: expected a share above 0 and below 1, found {}", self.valid);
            return Err(Error::config(text));
        }
        if !(self.stretch > 0.0 && self.stretch <= STRETCH_MAX) {
            let text = format!(
                "stretch: expected seconds above 0 and up to {STRETCH_MAX}, found {}",
                self.stretch
            );
            return Err(Error::config(text));
        }
        let usual = TrainingOptions::usual_validation(self.steps);
        let every = self.validate_every.unwrap_or(usual);
        Ok(TrainingOptions {
            steps: self.steps,
            rows: self.batch,
            learning_rate: self.lr,
            average: self.average,
            validate_every: every,
            seed,
            ..TrainingOptions::default()
        })
    }

    fn max_time(&self) -> Result<Option<Duration>> {
        let span = |seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|_| {
                Error::config(format!("max_time: expected seconds of at least 0, found {seconds}"))
            })
        };
        self.max_time.map(span).transpose()
    }
}

/// Fits a WaveNet or a WaveFlow: the model, and why its training ended.
#[pyfunction]
#[pyo3(signature = (clips, settings, *, report))]
pub(crate) fn fit_audio(
    py: Python<'_>,
    clips: Vec<PyClip<'_>>,
    settings: Settings,
    report: Option<&Bound<'_, PyAny>>,
) -> PyResult<(PyAudioModel, String)> {
    let clips = clips_of(clips)?;
    let seed = settings.seed.unwrap_or_else(drawn_seed);
    let prepared = py.detach(|| {
        let options = settings.training(seed)?;
        let wish = settings.wish()?;
        let split = Split { share: settings.valid, seed, clips: clips.len() as u64 };
        let held = split.held_out(&clips)?;
        let (clips, _) = at_one_rate(clips, settings.rate)?;
        let model = wish.model(&clips, &held, seed)?;
        let options = options.of_stretch(settings.stretch, &model.spec, false);
        let data = model.dataset(clips, || Ok(()))?.split(&held);
        Ok((model, options, data, split))
    });
    let (AudioModel { spec, module, .. }, options, data, split) = prepared.map_err(raise)?;
    let session = Session { settings: &settings, options, report };
    let (module, ended) = match module {
        Module::WaveNet(mut module) => {
            module.start_from(&data[0]);
            let (module, ended) = session.fit(py, module, &spec, &data)?;
            (Module::WaveNet(module), ended)
        }
        Module::WaveFlow(module) => {
            let (module, ended) = session.fit(py, module, &spec, &data)?;
            (Module::WaveFlow(module), ended)
        }
        Module::Student(_) => {
            return Err(raise(Error::new(ErrorKind::Internal, "students are not fitted")));
        }
    };
    let log_prob = -ended.valid - spec.units.scale.ln();
    let bits = diffeo_audio::bits(log_prob, spec.units.step);
    let valid = json!({ "nats_per_sample": log_prob, "bits_per_sample": bits });
    let summary = session.options.summary(ended.steps, split, valid);
    Ok((PyAudioModel { model: AudioModel { spec, module, summary } }, ended.reason.to_string()))
}

/// Distils a student from a teacher: the student, and why its training ended.
#[pyfunction]
#[pyo3(signature = (teacher, student, clips, settings, *, report))]
pub(crate) fn distill_audio(
    py: Python<'_>,
    teacher: &Bound<'_, PyAudioModel>,
    student: Option<&Bound<'_, PyAudioModel>>,
    clips: Vec<PyClip<'_>>,
    settings: Settings,
    report: Option<&Bound<'_, PyAny>>,
) -> PyResult<(PyAudioModel, String)> {
    let clips = clips_of(clips)?;
    let seed = settings.seed.unwrap_or_else(drawn_seed);
    let teacher = &teacher.get().model;
    let begun = student.map(|student| student.get().model.clone());
    let weights = DistillationOptions {
        spread: settings.spread,
        spectral: settings.spectral,
        ..DistillationOptions::default()
    };
    let prepared = py.detach(|| {
        let Module::WaveNet(wavenet) = &teacher.module else {
            return Err(Error::config("the teacher must be a WaveNet"));
        };
        let options = settings.training(seed)?.of_stretch(settings.stretch, &teacher.spec, true);
        let own = Split { share: settings.valid, seed, clips: clips.len() as u64 };
        // What validated the teacher validates the student, so that neither has learned from it.
        let of_teacher = Split::of(teacher).filter(|split| split.clips == own.clips);
        let split = of_teacher.unwrap_or(own);
        let held = split.held_out(&clips)?;
        let data = teacher.dataset(clips, || Ok(()))?.split(&held);
        let kind = ModelKind::Student { network: settings.network(), flows: settings.flows };
        let spec = AudioSpec { kind, ..teacher.spec.clone() };
        let (spec, student) = match begun {
            Some(begun) => begun.into_student_of(&teacher.spec)?,
            None => match spec.build(seed)? {
                Module::Student(student) => (spec, student),
                _ => return Err(Error::new(ErrorKind::Internal, "a student was to be built")),
            },
        };
        let shape = ([options.rows, options.length], Streams::new(seed));
        let identity = json!({ "spec": spec, "distillation": weights });
        let task = Distillation::new(wavenet.clone(), data.clone(), shape, weights)?;
        let training = Training::new(student, options.clone(), identity)?;
        Ok((spec, options, task, training, split))
    });
    let (spec, options, task, training, split) = prepared.map_err(raise)?;
    let session = Session { settings: &settings, options, report };
    let (student, ended) = session.run(py, training, &task)?;
    let found = py.detach(|| task.divergence(&student)).map_err(raise)?;
    let valid = serde_json::to_value(found).unwrap_or_default();
    let summary = session.options.summary(ended.steps, split, valid);
    let model = AudioModel { spec, module: Module::Student(student), summary };
    Ok((PyAudioModel { model }, ended.reason.to_string()))
}

/// A training on its way.
struct Session<'a, 'py> {
    settings: &'a Settings,
    options: TrainingOptions,
    report: Option<&'a Bound<'py, PyAny>>,
}

/// How a training ended.
struct Ended {
    valid: f64,
    steps: u64,
    reason: StopReason,
}

impl Session<'_, '_> {
    fn fit<M: Density + Trainable + Send + Sync + 'static>(
        &self,
        py: Python<'_>,
        module: M,
        spec: &AudioSpec,
        data: &[Dataset; 2],
    ) -> PyResult<(M, Ended)> {
        let streams = Streams::new(self.options.seed);
        let shape = [self.options.rows, self.options.length];
        let [train, valid] = data.clone();
        let task = Likelihood { train, valid, shape, streams };
        let identity = json!({ "spec": spec });
        let training = Training::new(module, self.options.clone(), identity).map_err(raise)?;
        self.run(py, training, &task)
    }

    /// Takes steps until there is a reason to stop; Ctrl-C is one, after which the best weights so far are kept.
    fn run<M: Trainable + Send + Sync + 'static>(
        &self,
        py: Python<'_>,
        mut training: Training<M>,
        task: &(impl Task<M> + Sync),
    ) -> PyResult<(M, Ended)> {
        let mut course = Course::new(self.settings.max_time().map_err(raise)?, None);
        let (mut interruption, mut refused) = (None, 0);
        let reason = loop {
            let turn = py.detach(|| turn(&mut training, task, &mut course));
            let While { last, warnings, reason } = turn.map_err(raise)?;
            if let Err(error) = tell_refused(py, &warnings, (&mut refused, reason)) {
                interruption = Some(error);
            }
            if let (Some(report), Some(last)) = (self.report, last)
                && let Err(error) = self.tell(py, report, &training, (&last, &course, reason))
            {
                interruption = Some(error);
            }
            if let Err(error) = py.check_signals() {
                interruption = Some(error);
            }
            match (reason, &interruption) {
                (_, Some(_)) => break StopReason::Interrupted,
                (Some(reason), None) => break reason,
                (None, None) => {}
            }
        };
        let steps = training.steps();
        let finished = py.detach(|| training.finish(task));
        match interruption {
            // An error of the caller's own is not to be lost.
            Some(e) if !e.is_instance_of::<PyKeyboardInterrupt>(py) => Err(e),
            _ => {
                let (module, valid) = finished.map_err(raise)?;
                Ok((module, Ended { valid, steps, reason }))
            }
        }
    }

    fn tell<M: Trainable + 'static>(
        &self,
        py: Python<'_>,
        report: &Bound<'_, PyAny>,
        training: &Training<M>,
        (last, course, reason): (&Advanced, &Course, Option<StopReason>),
    ) -> PyResult<()> {
        let at = PyDict::new(py);
        at.set_item("step", last.step)?;
        at.set_item("steps", training.end())?;
        at.set_item("loss", last.loss)?;
        at.set_item("valid_loss", training.best().unwrap_or(f64::NAN))?;
        at.set_item("lr", last.learning_rate)?;
        at.set_item("seconds", course.elapsed().as_secs_f64())?;
        at.set_item("finished", reason.map(|reason| reason.to_string()))?;
        report.call1((at,)).map(drop)
    }
}

/// What a short while of training came to.
#[derive(Default)]
struct While {
    last: Option<Advanced>,
    /// Steps that were refused.
    warnings: Vec<String>,
    /// Why it is at its end, if it is.
    reason: Option<StopReason>,
}

/// Trains for a short while.
fn turn<M: Trainable + 'static>(
    training: &mut Training<M>,
    task: &impl Task<M>,
    course: &mut Course,
) -> Result<While> {
    let (started, mut turn) = (Instant::now(), While::default());
    while turn.reason.is_none() && started.elapsed() < TURN {
        match course.turn(&mut training.on(task))? {
            Turn::Ended(reason, fault) => {
                let kept = fault.map(|e| format!("{}; the best validation is kept", e.message()));
                turn.warnings.extend(kept);
                turn.reason = Some(reason);
            }
            Turn::Step(advanced) => {
                let step = advanced.step;
                turn.warnings.extend(advanced.refused.as_ref().map(|reason| {
                    format!("step {step}: {reason}; the weights went back, the rate was halved")
                }));
                turn.last = Some(advanced);
            }
        }
    }
    Ok(turn)
}

/// Warns of the first step that was refused, and at the end of how many there were.
fn tell_refused(
    py: Python<'_>,
    warnings: &[String],
    (refused, reason): (&mut usize, Option<StopReason>),
) -> PyResult<()> {
    let first = warnings.first().filter(|_| *refused == 0);
    *refused += warnings.len();
    first.map_or(Ok(()), |text| warn(py, text))?;
    match reason {
        Some(StopReason::Diverged) => warn(py, &warnings[warnings.len() - 1]),
        Some(_) if *refused > 1 => warn(py, &format!("{refused} steps were refused in all")),
        _ => Ok(()),
    }
}

/// A model of waveforms.
#[pyclass(frozen, name = "AudioModel", module = "diffeo.audio")]
pub(crate) struct PyAudioModel {
    model: AudioModel,
}

#[pymethods]
impl PyAudioModel {
    /// Reads a model from its file.
    #[staticmethod]
    fn load(path: PathBuf) -> PyResult<Self> {
        Ok(Self { model: AudioModel::load(&path).map_err(raise)? })
    }

    /// Writes the model to one file.
    fn save(&self, path: PathBuf) -> PyResult<()> {
        self.model.save(&path).map_err(raise)
    }

    /// "WaveNet", "WaveFlow" or "Student".
    #[getter]
    fn kind(&self) -> &'static str {
        self.model.spec.kind.name()
    }

    /// Samples a second.
    #[getter]
    fn rate(&self) -> u32 {
        self.model.spec.units.rate
    }

    /// Mel bands that it is told.
    #[getter]
    fn mel(&self) -> usize {
        self.model.spec.condition.bands
    }

    /// The labels that it is told, with their values.
    #[getter]
    fn labels(&self) -> BTreeMap<String, Vec<String>> {
        let labels = self.model.spec.condition.labels.iter();
        labels.map(|label| (label.name.clone(), label.values.clone())).collect()
    }

    /// How many weights there are.
    #[getter]
    fn parameters(&self) -> PyResult<u64> {
        self.model.spec.weights().map_err(raise)
    }

    /// How it came about.
    #[getter]
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        from_json(py, &self.model.summary)
    }

    fn __repr__(&self) -> PyResult<String> {
        let labels: Vec<String> = self.labels().into_keys().collect();
        let told = match (labels.is_empty(), self.mel()) {
            (true, 0) => String::new(),
            (false, 0) => format!(" given {}", labels.join(", ")),
            (true, bands) => format!(" given {bands} mel bands"),
            (false, bands) => format!(" given {} and {bands} mel bands", labels.join(", ")),
        };
        let (kind, rate) = (self.kind(), self.rate());
        Ok(format!(
            "<diffeo.audio.AudioModel: {kind} at {rate} Hz{told}; {} weights>",
            self.parameters()?
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Vec<u8>,))> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model.safetensors");
        slf.get().save(path.clone())?;
        let of = slf.py().import("diffeo.audio")?.getattr("_of_bytes")?;
        Ok((of, (std::fs::read(path)?,)))
    }

    /// The log-density of each sample of each clip, given those before it: a list of arrays.
    fn log_prob<'py>(
        &self,
        py: Python<'py>,
        clips: Vec<PyClip<'_>>,
        seed: u64,
    ) -> PyResult<Bound<'py, PyList>> {
        let clips = clips_of(clips)?;
        let dataset = py.detach(|| self.model.dataset(clips, || Ok(()))).map_err(raise)?;
        let signals = py.detach(|| dataset.unrounded(Streams::new(seed)));
        let found = PyList::empty(py);
        for some in signals.chunks(TOGETHER) {
            py.check_signals()?;
            let some: Vec<_> = some.iter().collect();
            for log_prob in py.detach(|| self.model.score(&some)).map_err(raise)? {
                found.append(arrays::vector(py, &log_prob)?)?;
            }
        }
        Ok(found)
    }

    /// Draws `n` waveforms with the mel bands and labels of a clip, of so many samples: a list of arrays.
    fn sample<'py>(
        &self,
        py: Python<'py>,
        clip: PyClip<'_>,
        n: usize,
        samples: Option<usize>,
        temperature: f64,
        seed: Option<u64>,
    ) -> PyResult<Bound<'py, PyList>> {
        if !(temperature >= 0.0 && temperature.is_finite()) {
            let text = format!("temperature: expected a number of at least 0, found {temperature}");
            return Err(raise(Error::config(text)));
        }
        let clip = clips_of(vec![clip])?.remove(0);
        let labels = clip.labels;
        let known = self.labels();
        if let Some(name) = labels.keys().find(|name| !known.contains_key(*name)) {
            let text = format!("labels: the model knows no label {}", quoted(name));
            return Err(raise(Error::config(text)));
        }
        let label = |name: &str| labels.get(name).cloned();
        let signal = self.model.signal(&clip.name, clip.recording, label).map_err(raise)?;
        let samples = samples.unwrap_or(signal.samples.len()).max(1);
        let streams = Streams::new(seed.unwrap_or_else(drawn_seed));
        let found = PyList::empty(py);
        for from in (0..n).step_by(TOGETHER) {
            let of = |i: usize| Prompt { samples, frames: signal.frames.clone(), number: i as u64 };
            let prompts: Vec<Prompt> = (from..n.min(from + TOGETHER)).map(of).collect();
            let mut interruption = None;
            let drawn = py.detach(|| {
                let mut looked = Instant::now();
                self.model.sample(&prompts, temperature, streams, &mut |_, _| {
                    if looked.elapsed() < TURN {
                        return Ok(());
                    }
                    looked = Instant::now();
                    Python::attach(|py| py.check_signals()).map_err(|error| {
                        interruption = Some(error);
                        Error::new(ErrorKind::Interrupted, "interrupted")
                    })
                })
            });
            for recording in drawn.map_err(|e| interruption.unwrap_or_else(|| raise(e)))? {
                found.append(arrays::vector(py, &recording.samples)?)?;
            }
        }
        Ok(found)
    }
}
