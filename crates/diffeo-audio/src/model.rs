//! A model of waveforms, and its file.

use std::path::Path;

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::file::container::{Container, Dtype, NamedTensor};
use diffeo::file::storage::Disk;
use diffeo::{Error, ErrorKind, Init, Result, Streams, Trainable, host_values, quoted};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::affine;
use crate::condition::Condition;
use crate::dataset::{Signal, Units};
use crate::network::{LinesSpec, NetworkSpec};
use crate::output::Output;
use crate::recording::Recording;
use crate::student::Student;
use crate::training::Density;
use crate::waveflow::WaveFlow;
use crate::wavenet::{Prompt, Tick, WaveNet};

/// What a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelKind {
    /// [`WaveNet`].
    WaveNet {
        /// Sizes.
        network: NetworkSpec,
        /// Density of each sample.
        output: Output,
    },
    /// [`WaveFlow`].
    WaveFlow {
        /// Sizes of the network of each flow.
        network: LinesSpec,
        /// Flows.
        flows: usize,
    },
    /// [`Student`].
    Student {
        /// Sizes of the network of each flow.
        network: NetworkSpec,
        /// Flows.
        flows: usize,
    },
}

/// A model of waveforms, as plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioSpec {
    /// What it is.
    pub kind: ModelKind,
    /// What it is told.
    pub condition: Condition,
    /// In which units sound is numbers.
    pub units: Units,
}

/// What has the weights.
#[derive(Clone, Debug)]
pub enum Module {
    /// A density that is exact.
    WaveNet(WaveNet),
    /// A flow that is exact, and drawn from line by line.
    WaveFlow(WaveFlow),
    /// A flow that is drawn from at once.
    Student(Student),
}

/// A model of waveforms.
#[derive(Clone, Debug)]
pub struct AudioModel {
    /// What it is.
    pub spec: AudioSpec,
    /// What has the weights.
    pub module: Module,
    /// How it came about.
    pub summary: Value,
}

const KIND: &str = "diffeo.kind";
const AUDIO: &str = "audio";
const FORMAT: &str = "diffeo.format_version";
const FORMAT_VERSION: u64 = 1;
const RELEASE: &str = "diffeo.version";
const SPEC: &str = "diffeo.spec";
const SUMMARY: &str = "diffeo.summary";

impl ModelKind {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WaveNet { .. } => "WaveNet",
            Self::WaveFlow { .. } => "WaveFlow",
            Self::Student { .. } => "Student",
        }
    }
}

impl AudioSpec {
    fn validate(&self) -> Result<()> {
        self.condition.validate()?;
        self.units.validate()
    }

    /// Weights of such a model.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for sizes out of range.
    pub fn weights(&self) -> Result<u64> {
        self.validate()?;
        let frames = self.condition.frame_size();
        match &self.kind {
            ModelKind::WaveNet { network, output } => {
                output.validate()?;
                network.weights(frames, output.parameters())
            }
            ModelKind::WaveFlow { network, flows } => {
                Ok(network.weights(frames, affine::NUMBERS)?.saturating_mul(*flows as u64))
            }
            ModelKind::Student { network, flows } => {
                Ok(network.weights(frames, affine::NUMBERS)?.saturating_mul(*flows as u64))
            }
        }
    }

    /// The module with initial weights.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for sizes out of range.
    pub fn build(&self, seed: u64) -> Result<Module> {
        self.validate()?;
        let mut init = Init::new(seed, DType::F32, Device::flex());
        let frames = (self.condition.frame_size(), self.condition.samples);
        Ok(match &self.kind {
            ModelKind::WaveNet { network, output } => {
                Module::WaveNet(WaveNet::new(network, *output, frames, &mut init)?)
            }
            ModelKind::WaveFlow { network, flows } => {
                Module::WaveFlow(WaveFlow::new(network, *flows, frames, &mut init)?)
            }
            ModelKind::Student { network, flows } => {
                Module::Student(Student::new(network, *flows, frames, &mut init)?)
            }
        })
    }
}

impl Module {
    fn visit(&mut self, visitor: &mut diffeo::Visitor<'_>) {
        match self {
            Self::WaveNet(model) => model.visit(visitor),
            Self::WaveFlow(model) => model.visit(visitor),
            Self::Student(model) => model.visit(visitor),
        }
    }
}

impl AudioModel {
    /// A recording as the model sees it: at its rate, in its units, with the values of labels by name.
    ///
    /// # Errors
    /// As [`Recording::at_rate`], [`Condition::values`] and [`Signal::new`].
    pub fn signal(
        &self,
        name: &str,
        recording: Recording,
        labels: impl Fn(&str) -> Option<String>,
    ) -> Result<Signal> {
        let AudioSpec { condition, units, .. } = &self.spec;
        let values = condition.values(labels).map_err(|e| e.at(name))?;
        let recording = recording.at_rate(units.rate).map_err(|e| e.at(name))?;
        Signal::new(name, &recording, (units, condition), values)
    }

    /// `ln p(x_t | x_<t)` of each sample of some signals, of samples between -1 and 1.
    ///
    /// # Errors
    /// Those of the module.
    pub fn score(&self, signals: &[&Signal]) -> Result<Vec<Vec<f64>>> {
        let AudioSpec { condition, units, .. } = &self.spec;
        let mut found = condition.score(signals, units.rate, |seen| match &self.module {
            Module::WaveNet(model) => model.score(seen),
            Module::WaveFlow(model) => model.score(seen),
            Module::Student(model) => model.score(seen),
        })?;
        let units = units.scale.ln();
        found.iter_mut().flatten().for_each(|v| *v -= units);
        Ok(found)
    }

    /// Draws a recording for each prompt, by noise of so large a deviation.
    ///
    /// # Errors
    /// Those of `tick`, which is told how much is done; [`ErrorKind::Device`] if weights cannot be read back.
    pub fn sample(
        &self,
        prompts: &[Prompt],
        temperature: f64,
        streams: Streams,
        tick: Tick<'_>,
    ) -> Result<Vec<Recording>> {
        let drawn = match &self.module {
            Module::WaveNet(model) => model.sample(prompts, temperature, streams, tick)?,
            Module::WaveFlow(model) => model.sample(prompts, temperature, streams, tick)?,
            Module::Student(model) => model.sample(prompts, temperature, streams, tick)?,
        };
        let pairs = prompts.iter().zip(drawn);
        Ok(pairs.map(|(prompt, drawn)| self.recording(prompt, drawn)).collect())
    }

    /// The student that it is, to be taught by a teacher: it must be told the same of a clip, in the same units.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] saying in what it differs.
    pub fn into_student_of(self, teacher: &AudioSpec) -> Result<(AudioSpec, Student)> {
        let Self { spec, module, .. } = self;
        let differs = match module {
            Module::Student(_) if spec.condition != teacher.condition => {
                "one that is told other things of a clip"
            }
            Module::Student(_) if spec.units != teacher.units => "one of other units of sound",
            Module::Student(student) => return Ok((spec, student)),
            _ => spec.kind.name(),
        };
        Err(Error::config(format!(
            "expected a student of this teacher, or of one that was fitted to the same clips, found {differs}"
        )))
    }

    /// The sound of what a network drew for a prompt.
    fn recording(&self, prompt: &Prompt, drawn: Vec<f32>) -> Recording {
        let Units { rate, scale, step } = self.spec.units;
        let samples = match self.spec.condition.excitation(rate) {
            Some(excitation) => excitation.sound(&prompt.frames, &drawn),
            None => drawn.into_iter().map(f64::from).collect(),
        };
        let samples = samples.into_iter().map(|v| v * scale).collect();
        Recording { samples, rate, step }
    }

    /// Writes the model in one step.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; what is on disk is then as it was.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.container()?.write(path, &Disk)
    }

    fn container(&self) -> Result<Container> {
        let mut container = Container::default();
        let mut text =
            |name: &str, value: &str| container.metadata.insert(name.to_owned(), value.to_owned());
        text(KIND, AUDIO);
        text(FORMAT, &FORMAT_VERSION.to_string());
        text(RELEASE, env!("CARGO_PKG_VERSION"));
        container.set_json(SPEC, &self.spec)?;
        container.set_json(SUMMARY, &self.summary)?;
        let mut weights = Vec::new();
        self.module.clone().visit(&mut |name, p| weights.push((name.to_owned(), p.value.clone())));
        for (name, value) in weights {
            let dims = value.dims();
            let numbers: Vec<f32> = host_values(value)?.into_iter().map(|v| v as f32).collect();
            container.tensors.push(NamedTensor::from_f32(name, dims, &numbers));
        }
        Ok(container)
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::ModelFile`] if it is damaged or something else, [`ErrorKind::Version`] if a newer release wrote it.
    pub fn load(path: &Path) -> Result<Self> {
        Container::read(path).and_then(|c| Self::from_container(&c)).map_err(|e| e.at(path))
    }

    /// The model of a file that may hold something else, of which nothing is said then.
    ///
    /// # Errors
    /// As [`AudioModel::load`] for a file that says that it holds a model of waveforms.
    pub fn load_if_any(path: &Path) -> Result<Option<Self>> {
        match Container::read(path) {
            Ok(c) if c.text(KIND).is_ok_and(|kind| kind == AUDIO) => {
                Self::from_container(&c).map(Some).map_err(|e| e.at(path))
            }
            _ => Ok(None),
        }
    }

    fn from_container(container: &Container) -> Result<Self> {
        let kind = container.text(KIND)?;
        if kind != AUDIO {
            return Err(Error::model_file(format!(
                "expected a model of waveforms, as diffeo audio fit writes it, found a {}",
                quoted(kind)
            )));
        }
        if container.text(FORMAT)? != FORMAT_VERSION.to_string() {
            return Err(Error::new(
                ErrorKind::Version,
                format!(
                    "written by format {}, this build reads {FORMAT_VERSION}; install a newer diffeo",
                    quoted(container.text(FORMAT)?)
                ),
            ));
        }
        let spec: AudioSpec = container.json(SPEC)?;
        let damaged =
            |e: Error| Error::model_file(format!("the spec cannot be built: {}", e.message()));
        // A file must not make us allocate more than it brings along.
        let held: u64 =
            container.tensors.iter().map(|t| (t.data.len() / t.dtype.size()) as u64).sum();
        let needed = spec.weights().map_err(damaged)?;
        if needed != held {
            return Err(Error::model_file(format!(
                "the spec calls for {needed} weights, the file holds {held}"
            )));
        }
        let mut module = spec.build(0).map_err(damaged)?;
        let mut fault = None;
        module.visit(&mut |name, p| {
            let dims = p.value.dims();
            let found = container
                .tensor(name)
                .filter(|t| t.shape == dims && t.dtype == Dtype::F32 && t.non_finite() == 0);
            match found.map(NamedTensor::to_f32) {
                Some(Ok(values)) => {
                    let options = (&p.value.device(), p.value.dtype());
                    p.value = Tensor::from_data(TensorData::new(values, dims), options);
                }
                _ => {
                    fault.get_or_insert_with(|| {
                        Error::model_file(format!(
                            "tensor {} should hold {dims:?} finite numbers of type F32",
                            quoted(name)
                        ))
                    });
                }
            }
        });
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Self { spec, module, summary: container.json(SUMMARY)? }),
        }
    }
}
