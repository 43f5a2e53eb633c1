//! A checkpoint of something that is made of learners and numbers.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint;
use super::learner::Learner;
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::file::container::{Container, NamedTensor};
use crate::host::linalg::host_values;
use crate::parameter::Trainable;

/// Learners, numbers and settings by name, which are written to one checksummed file that keeps the one before it: what an algorithm of several parts needs to go on to the
/// same bits.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Container);

impl Snapshot {
    /// One of a kind, with nothing in it.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it cannot be described.
    pub fn new(kind: &str) -> Result<Self> {
        checkpoint::header_of(kind).map(Self)
    }

    /// Reads the newest one that can be used of the two that are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is none, [`ErrorKind::ModelFile`] if it is damaged or of another kind, [`ErrorKind::Version`] if it is of another release.
    pub fn read(kind: &str, path: &Path) -> Result<Self> {
        checkpoint::read_of(kind, path).map(Self)
    }

    /// Writes it, keeping the one before.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; what is on disk is then as it was.
    pub fn write(&self, path: &Path) -> Result<()> {
        checkpoint::write(&self.0, path)
    }

    /// Adds settings or counts.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if they have no JSON form.
    pub fn set<T: Serialize>(&mut self, name: &str, value: &T) -> Result<()> {
        self.0.set_json(&text_name(name), value)
    }

    /// Reads settings or counts.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if they are not there, or something else.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.0.json(&text_name(name))
    }

    /// Refuses to go on with other settings than those of a name, where `what` is what the snapshot is of.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] listing what differs; as [`Snapshot::get`].
    pub fn expect(&self, what: &str, name: &str, now: &impl Serialize) -> Result<()> {
        let is = serde_json::to_value(now)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("{name}: {e}")).caused_by(e))?;
        checkpoint::expect_same(what, name, &self.get(name)?, &is)
    }

    /// Adds numbers.
    pub fn set_numbers(&mut self, name: &str, shape: &[usize], values: &[f64]) {
        self.0.tensors.push(NamedTensor::from_f64(name, shape, values));
    }

    /// Reads so many numbers.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if they are not there, or are more or fewer.
    pub fn numbers(&self, name: &str, len: usize) -> Result<Vec<f64>> {
        let values = self.0.tensor(name).map(NamedTensor::to_f64).transpose()?;
        exactly(name, len, values.unwrap_or_default())
    }

    /// Adds numbers in single precision.
    pub fn set_singles(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.0.tensors.push(NamedTensor::from_f32(name, shape, values));
    }

    /// Reads so many numbers in single precision.
    ///
    /// # Errors
    /// As [`Snapshot::numbers`].
    pub fn singles(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let values = self.0.tensor(name).map(NamedTensor::to_f32).transpose()?;
        exactly(name, len, values.unwrap_or_default())
    }

    /// How many numbers there are of a name; 0 if it is not there.
    pub fn len(&self, name: &str) -> usize {
        self.0.tensor(name).map_or(0, |tensor| tensor.shape.iter().product())
    }

    /// Adds a learner: weights and optimiser.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it cannot be described.
    pub fn set_learner<M>(&mut self, name: &str, learner: &Learner<M>) -> Result<()>
    where
        M: Trainable + 'static,
    {
        let mut part = Container::default();
        learner.write_into(&mut part)?;
        let within = |inner: &str| format!("{name}.{inner}");
        self.0.metadata.extend(part.metadata.into_iter().map(|(key, text)| (within(&key), text)));
        for mut tensor in part.tensors {
            tensor.name = within(&tensor.name);
            self.0.tensors.push(tensor);
        }
        Ok(())
    }

    /// Brings a learner of the same module to where that one was.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if it is not there or damaged, [`ErrorKind::Config`] if it is of another module; the learner is then as it was.
    pub fn restore_learner<M>(&self, name: &str, learner: &mut Learner<M>) -> Result<()>
    where
        M: Trainable + 'static,
    {
        let within = format!("{name}.");
        let mut part = Container::default();
        for (key, text) in &self.0.metadata {
            if let Some(inner) = key.strip_prefix(&within) {
                part.metadata.insert(inner.to_owned(), text.clone());
            }
        }
        for tensor in &self.0.tensors {
            if let Some(inner) = tensor.name.strip_prefix(&within) {
                part.tensors.push(NamedTensor { name: inner.to_owned(), ..tensor.clone() });
            }
        }
        learner.read_from(&part)
    }
}

impl Snapshot {
    /// Adds the weights of a module.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if they cannot be read.
    pub fn set_module<M: Trainable>(&mut self, name: &str, module: &M) -> Result<()> {
        let mut all = Vec::new();
        module.clone().visit(&mut |inner, p| all.push((inner.to_owned(), p.value.clone())));
        for (inner, value) in all {
            let dims = value.dims();
            self.set_numbers(&format!("{name}.{inner}"), &dims, &host_values(value)?);
        }
        Ok(())
    }

    /// A module `like` another, with the weights of a name.
    ///
    /// # Errors
    /// As [`Snapshot::numbers`].
    pub fn module<M: Trainable>(&self, name: &str, like: &M) -> Result<M> {
        let (mut module, mut fault) = (like.clone(), None);
        module.visit(&mut |inner, p| {
            let dims = p.value.dims();
            match self.numbers(&format!("{name}.{inner}"), dims[0] * dims[1]) {
                Ok(values) => {
                    let options = (&p.value.device(), p.value.dtype());
                    p.value = Tensor::from_data(TensorData::new(values, dims), options);
                }
                Err(error) => fault = Some(error),
            }
        });
        fault.map_or(Ok(module), Err)
    }
}

fn text_name(name: &str) -> String {
    format!("diffeo.{name}")
}

fn exactly<T>(name: &str, len: usize, values: Vec<T>) -> Result<Vec<T>> {
    if values.len() == len {
        return Ok(values);
    }
    let (name, found) = (quoted(name), values.len());
    Err(Error::new(
        ErrorKind::ModelFile,
        format!("expected {len} numbers of {name}, found {found}; start anew"),
    ))
}
