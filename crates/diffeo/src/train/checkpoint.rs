//! Checkpoints: what a fit is about, and its state, in one checksummed file of which two generations are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::recipe::Plan;
use super::state::WEIGHTS;
use crate::columns::Schema;
use crate::error::{Error, ErrorKind, Result, printable, quoted};
use crate::file::container::Container;
use crate::file::storage::{Disk, load_newest, write_generation};
use crate::model::Model;
use crate::spec::FlowSpec;
use crate::transforms::Registry;

/// How often programs keep a checkpoint: below a minute by more than a step takes, so that none is ever older than a minute.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(45);

/// The layout of checkpoints. They are promised to be readable within a minor release only, so this may change with one.
const FORMAT_VERSION: u64 = 2;
/// Differences listed in a message.
const DIFFERENCES_LISTED: usize = 12;

const KIND: &str = "diffeo.kind";
const CHECKPOINT: &str = "checkpoint";
const FORMAT: &str = "diffeo.format_version";
const RELEASE: &str = "diffeo.version";
const IDENTITY: &str = "diffeo.run";

/// What a fit is about. Two fits with equal identities give equal bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// The units follow from the data.
    pub(crate) spec: FlowSpec,
    pub(crate) schema: Schema,
    pub(crate) plan: Plan,
    /// Hash of schema, rows, weights and validation.
    pub(crate) fingerprint: String,
    /// Hash of the model whose weights it began from, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<String>,
}

/// What may differ from the first run when a fit goes on; see [`Resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The peak of the learning rate.
    LearningRate,
    /// The number of epochs or steps, and the schedule that follows from it.
    Epochs,
}

/// What a fit needs to go on beside its checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// What may differ from the first run.
    pub changes: Vec<Change>,
    /// What the names of layers of a program's own mean.
    pub registry: Registry,
    /// The model that the fit began from ([`Trainer::start_from`](super::Trainer::start_from)), if it did: its units are those of the fit.
    pub start: Option<Model>,
}

impl Change {
    /// The fields of the plan that follow from it.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::LearningRate => &["learning_rate"],
            Self::Epochs => &["steps_total", "validate_every", "warmup_steps", "average"],
        }
    }
}

/// A number of 48 bits that tells a checkpoint from others.
pub(crate) fn number(container: &Container) -> Result<f64> {
    let hash = blake3::hash(&container.encode()?);
    let bytes = hash.as_bytes()[..6].iter();
    Ok(bytes.fold(0.0, |number, byte| 256.0 * number + f64::from(*byte)))
}

impl Identity {
    /// # Errors
    /// [`ErrorKind::Config`] listing what differs.
    pub(crate) fn expect(&self, found: &Self) -> Result<()> {
        self.expect_but(found, &[])
    }

    /// The same, but for what follows from some changes.
    ///
    /// # Errors
    /// As [`Identity::expect`].
    pub(crate) fn expect_but(&self, found: &Self, changes: &[Change]) -> Result<()> {
        let json = |identity: &Self| serde_json::to_value(identity).unwrap_or_default();
        let (was, is) = (json(self), json(found));
        let but = |changes: &[Change]| {
            let mut is = is.clone();
            for field in changes.iter().flat_map(|change| change.fields()) {
                is["plan"][*field] = was["plan"][*field].clone();
            }
            expect_same("fit", "", &was, &is)
        };
        let (steps, other) = (self.plan.steps_total, found.plan.steps_total);
        but(changes).map_err(|error| {
            match but(&[changes, &[Change::Epochs]].concat()) {
                Ok(()) if steps != other => Error::config(format!(
                    "cannot resume: the first run was to take {steps} steps, this one {other}; give its number of epochs or steps, or let that change (--allow-changed epochs)"
                )),
                _ => error,
            }
        })
    }
}

/// Settings that a checkpoint has, and those of what would go on from it.
///
/// # Errors
/// [`ErrorKind::Config`] listing what differs, by names below `path`.
pub(crate) fn expect_same(what: &str, path: &str, was: &Value, is: &Value) -> Result<()> {
    let mut list = Vec::new();
    differences(path, was, is, &mut list);
    if list.is_empty() {
        return Ok(());
    }
    let more = list.len().saturating_sub(DIFFERENCES_LISTED);
    list.truncate(DIFFERENCES_LISTED);
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    Err(Error::config(format!(
        "cannot resume: the checkpoint is of another {what}: {}; give the data and settings of the first run, or start anew",
        list.join("; ")
    )))
}

fn differences(path: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let at = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                differences(&below(key), &at(a), &at(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&below(&i.to_string()), a, b, found);
            }
        }
        (a, b) if a != b => {
            let short = |v: &Value| {
                let text = v.to_string();
                let end = text.char_indices().nth(60).map_or(text.len(), |(end, _)| end);
                let more = if end < text.len() { "..." } else { "" };
                format!("{}{more}", printable(&text[..end]))
            };
            found.push(format!("{path} was {}, is {}", short(a), short(b)));
        }
        _ => {}
    }
}

/// A checkpoint of a fit without its state.
pub(crate) fn header(identity: &Identity) -> Result<Container> {
    let mut container = header_of(CHECKPOINT)?;
    container.set_json(IDENTITY, identity)?;
    Ok(container)
}

/// The texts that every checkpoint has.
pub(crate) fn header_of(kind: &str) -> Result<Container> {
    let mut container = Container::default();
    container.metadata.insert(KIND.into(), kind.into());
    container.metadata.insert(FORMAT.into(), FORMAT_VERSION.to_string());
    container.metadata.insert(RELEASE.into(), env!("CARGO_PKG_VERSION").into());
    Ok(container)
}

/// Reads the newest checkpoint of a kind that can be used.
pub(crate) fn read_of(kind: &str, path: &Path) -> Result<Container> {
    let newest = load_newest(path, |path| {
        let container = Container::read(path)?;
        check_kind(&container, kind).map_err(|e| e.at(path))?;
        Ok(container)
    })?;
    Ok(newest.value)
}

/// Writes a checkpoint, keeping the one before it.
pub(crate) fn write(container: &Container, path: &Path) -> Result<()> {
    write_generation(&Disk, path, &container.encode()?)
}

/// A checkpoint that was read.
pub(crate) struct Saved {
    pub(crate) identity: Identity,
    pub(crate) container: Container,
    /// The file that it came from.
    pub(crate) path: PathBuf,
    /// Why the newest file was not used.
    pub(crate) refused: Option<Error>,
}

/// Reads the newest generation that can be used.
pub(crate) fn read(path: &Path) -> Result<Saved> {
    let newest = load_newest(path, |path| {
        let container = Container::read(path)?;
        identity_of(&container).map(|identity| (identity, container)).map_err(|e| e.at(path))
    })?;
    let (identity, container) = newest.value;
    Ok(Saved { identity, container, path: newest.path, refused: newest.refused })
}

impl Saved {
    /// A file must not make us allocate more than it brings along: refuses a specification of other size than the weights at hand.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] with both numbers, or for a specification that cannot be built.
    pub(crate) fn check_size(&self) -> Result<()> {
        let weights = self.container.tensor(WEIGHTS);
        let held = weights.map_or(0, |t| (t.data.len() / t.dtype.size()) as u64);
        let spec = &self.identity.spec;
        let needed = spec.validate().and_then(|()| spec.parameter_count()).map_err(|e| {
            let message = format!("the spec in the file cannot be built: {}", e.message());
            Error::model_file(message).at(&self.path)
        })?;
        if needed == held {
            return Ok(());
        }
        let message = format!(
            "the spec calls for {needed} weights, the checkpoint holds {held}; start the fit anew"
        );
        Err(Error::model_file(message).at(&self.path))
    }
}

fn identity_of(container: &Container) -> Result<Identity> {
    check_kind(container, CHECKPOINT)?;
    container.json(IDENTITY)
}

fn check_kind(container: &Container, expected: &str) -> Result<()> {
    let kind = container.text(KIND)?;
    if kind != expected {
        let kind = quoted(kind);
        return Err(Error::model_file(format!(
            "expected a {expected}, found a file of kind {kind}"
        )));
    }
    let minor = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let (found, ours) = (container.text(RELEASE)?, env!("CARGO_PKG_VERSION"));
    let format = container.text(FORMAT)?;
    if format != FORMAT_VERSION.to_string() || minor(found) != minor(ours) {
        return Err(Error::new(
            ErrorKind::Version,
            format!(
                "the checkpoint was written by diffeo {}, this is {ours}; finish the fit with that release, or start anew",
                quoted(found)
            ),
        ));
    }
    Ok(())
}
