//! What a model file says besides its weights, in which version, and what is checked before a model is built from it.
//!
//! A model file is a [`Container`](crate::file::container) with these texts: `diffeo.kind` (`model`), `diffeo.format_version`, `diffeo.version` (the
//! release that wrote it), `diffeo.requires` (features a reader must know), `diffeo.precision`, `diffeo.spec`,
//! `diffeo.schema`, `diffeo.units` and, if the model was trained, `diffeo.summary`. The tensors are the weights. A text that this
//! release does not know is kept and written back.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;

use crate::columns::{Schema, Units};
use crate::error::{Error, ErrorKind, Result, printable, quoted};
pub use crate::file::container::from_json;
use crate::file::container::{Container, Dtype, NamedTensor};
use crate::file::storage::Storage;

/// The newest format that this release reads, and the one it writes.
///
/// It grows when an older reader would misunderstand a new file. What may be ignored is a new text; what only some
/// models need is a feature in `diffeo.requires`.
///
/// Format 1 had the units of the columns among the transforms of the spec.
pub const FORMAT_VERSION: u64 = 2;
/// Features that this release knows.
pub const FEATURES: [&str; 0] = [];
/// How many differences between a file and its spec are listed.
const MAX_DIFFERENCES: usize = 10;

const KIND: &str = "diffeo.kind";
const MODEL: &str = "model";
const FORMAT: &str = "diffeo.format_version";
const RELEASE: &str = "diffeo.version";
const REQUIRES: &str = "diffeo.requires";
const PRECISION: &str = "diffeo.precision";
const SPEC: &str = "diffeo.spec";
const SCHEMA: &str = "diffeo.schema";
const UNITS: &str = "diffeo.units";
const SUMMARY: &str = "diffeo.summary";

/// Whether a model with damaged weights is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is refused.
    Refuse,
    /// It is read and [`ModelParts::damage`] says what is wrong: for looking at it, not for using it.
    Allow,
}

/// Everything that a model file holds, checked as far as that is possible without building the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelParts {
    /// The specification, as JSON; see [`from_json`].
    pub spec: Value,
    /// The columns.
    pub schema: Schema,
    /// What lies between them and the flow.
    pub units: Units,
    /// The training summary, as JSON, if the model was trained.
    pub summary: Option<Value>,
    /// The type of the weights: [`Dtype::F32`] or [`Dtype::F64`].
    pub precision: Dtype,
    /// The weights.
    pub tensors: Vec<NamedTensor>,
    /// The release that wrote the file; of no consequence when writing.
    pub diffeo_version: String,
    /// Features that a reader must know.
    pub requires: Vec<String>,
    /// Texts that this release does not know.
    pub other: BTreeMap<String, String>,
}

impl ModelParts {
    /// Parts of a new model, written by this release.
    pub fn new(
        spec: Value,
        schema: Schema,
        units: Units,
        precision: Dtype,
        tensors: Vec<NamedTensor>,
    ) -> Self {
        Self {
            spec,
            schema,
            units,
            summary: None,
            precision,
            tensors,
            diffeo_version: env!("CARGO_PKG_VERSION").to_owned(),
            requires: Vec::new(),
            other: BTreeMap::new(),
        }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// As [`Container::encode`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.container()?.encode()
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// As [`Container::write`].
    pub fn write(&self, path: &Path, storage: &dyn Storage) -> Result<()> {
        self.container().map_err(|e| e.at(path))?.write(path, storage)
    }

    /// Reads a file that is in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Version`] if a newer release wrote it, [`ErrorKind::ModelFile`] for everything else that is wrong.
    pub fn decode(bytes: &[u8], damage: Damage) -> Result<Self> {
        Self::from_container(Container::decode(bytes)?, damage)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`ModelParts::decode`], and [`ErrorKind::Io`].
    pub fn read(path: &Path, damage: Damage) -> Result<Self> {
        Self::from_container(Container::read(path)?, damage).map_err(|e| e.at(path))
    }

    /// Faults of the weights that can be seen without building the model: NaN, infinities, the wrong type.
    pub fn damage(&self) -> Vec<String> {
        let faults = self.tensors.iter().filter_map(|tensor| {
            let (name, found) = (quoted(&tensor.name), tensor.dtype.name());
            match tensor.non_finite() {
                _ if tensor.dtype != self.precision => Some(format!(
                    "tensor {name} should hold {}, found {found}",
                    self.precision.name()
                )),
                0 => None,
                n => Some(format!(
                    "tensor {name}: {n} of {} values are NaN or infinite",
                    tensor.data.len() / tensor.dtype.size()
                )),
            }
        });
        faults.collect()
    }

    /// Checks that the tensors are those that the spec calls for, no more, no fewer, each of its shape.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] listing the differences.
    pub fn check_tensors<'a>(
        &self,
        expected: impl IntoIterator<Item = (&'a str, Vec<usize>)>,
    ) -> Result<()> {
        let mut found: HashMap<&str, &NamedTensor> =
            self.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
        let mut differences = Vec::new();
        for (name, shape) in expected {
            match found.remove(name) {
                None => differences.push(format!("tensor {} is missing", quoted(name))),
                Some(tensor) if tensor.shape != shape => differences.push(format!(
                    "tensor {} should have shape {shape:?}, found {:?}",
                    quoted(name),
                    tensor.shape
                )),
                Some(_) => {}
            }
        }
        let extra = self.tensors.iter().filter(|t| found.contains_key(t.name.as_str()));
        differences
            .extend(extra.map(|t| format!("tensor {} is not part of this model", quoted(&t.name))));
        refuse("the weights do not fit the model's spec", differences)
    }

    fn container(&self) -> Result<Container> {
        let mut container =
            Container { metadata: self.other.clone(), tensors: self.tensors.clone() };
        let mut text =
            |name: &str, value: &str| container.metadata.insert(name.to_owned(), value.to_owned());
        text(KIND, MODEL);
        text(FORMAT, &FORMAT_VERSION.to_string());
        text(RELEASE, env!("CARGO_PKG_VERSION"));
        text(PRECISION, self.precision.name());
        container.set_json(REQUIRES, &self.requires)?;
        container.set_json(SPEC, &self.spec)?;
        container.set_json(SCHEMA, &self.schema)?;
        container.set_json(UNITS, &self.units)?;
        match &self.summary {
            Some(summary) => container.set_json(SUMMARY, summary)?,
            None => {
                container.metadata.remove(SUMMARY);
            }
        }
        Ok(container)
    }

    fn from_container(mut container: Container, damage: Damage) -> Result<Self> {
        let version = check_version(&container)?;
        let precision = match container.text(PRECISION)? {
            "F32" => Dtype::F32,
            "F64" => Dtype::F64,
            other => {
                let found = quoted(other);
                return Err(Error::model_file(format!(
                    "the precision should be F32 or F64, found {found}"
                )));
            }
        };
        let schema: Schema = container.json(SCHEMA)?;
        schema.validate().map_err(|e| Error::model_file(format!("the schema: {}", e.message())))?;
        let mut spec: Value = container.json(SPEC)?;
        let units = match version {
            1 => super::format_1::take_units(&mut spec, &mut container.tensors, &schema)?,
            _ => container.json(UNITS)?,
        };
        let parts = Self {
            spec,
            schema,
            units,
            summary: container
                .metadata
                .contains_key(SUMMARY)
                .then(|| container.json(SUMMARY))
                .transpose()?,
            precision,
            diffeo_version: container.text(RELEASE)?.to_owned(),
            requires: container.json(REQUIRES)?,
            tensors: std::mem::take(&mut container.tensors),
            other: {
                let known =
                    [KIND, FORMAT, RELEASE, REQUIRES, PRECISION, SPEC, SCHEMA, UNITS, SUMMARY];
                container.metadata.retain(|name, _| !known.contains(&name.as_str()));
                container.metadata
            },
        };
        if damage == Damage::Refuse {
            refuse("the model is damaged (diffeo inspect still opens it)", parts.damage())?;
        }
        Ok(parts)
    }
}

/// Checked first: everything else may look different in another version.
fn check_version(container: &Container) -> Result<u64> {
    let kind = container.text(KIND)?;
    if kind != MODEL {
        return Err(Error::model_file(match kind {
            "audio" => "expected a model of rows, found one of waveforms, which diffeo audio and inspect read".to_owned(),
            _ => format!("expected a model, found a {}", printable(kind)),
        }));
    }
    let text = container.text(FORMAT)?;
    let release = container.metadata.get(RELEASE).map_or("an unknown release", String::as_str);
    let version = match text.parse::<u64>() {
        Ok(version @ 1..) if version <= FORMAT_VERSION => version,
        Ok(version @ 1..) => {
            return Err(Error::new(
                ErrorKind::Version,
                format!(
                    "written by format {version} (diffeo {}), this build reads up to {FORMAT_VERSION}; install a newer diffeo",
                    printable(release)
                ),
            ));
        }
        _ => {
            let found = quoted(text);
            return Err(Error::model_file(format!(
                "the format version should be a number from 1, found {found}"
            )));
        }
    };
    let requires: Vec<String> = container.json(REQUIRES)?;
    match requires.iter().find(|name| !FEATURES.contains(&name.as_str())) {
        None => Ok(version),
        Some(name) => Err(Error::new(
            ErrorKind::Version,
            format!(
                "the model needs the feature {}, which this build does not know; it was written by diffeo {}",
                quoted(name),
                printable(release)
            ),
        )),
    }
}

/// An error that lists faults, if there are any.
fn refuse(summary: &str, faults: Vec<String>) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let mut message = format!(
        "{summary}: {}",
        faults.iter().take(MAX_DIFFERENCES).map(String::as_str).collect::<Vec<_>>().join("; ")
    );
    if let Some(more) = faults.len().checked_sub(MAX_DIFFERENCES).filter(|&n| n > 0) {
        message.push_str(&format!("; and {more} more"));
    }
    Err(Error::model_file(message))
}
