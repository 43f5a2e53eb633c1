//! The file format under models and checkpoints: named tensors and named texts in one `.safetensors` file.
//!
//! Every safetensors reader can open it. On top of that format diffeo asks for a checksum: `diffeo.checksum`, the first
//! entry of `__metadata__`, is the BLAKE3 hash of the whole file with the checksum's own 64 digits taken as zeros. It
//! finds damage; it does not prove who wrote the file.
//!
//! Reading trusts nothing. No code is run, no path followed, nothing mapped into memory; every length is checked
//! against the limits below and against the bytes that are really there before memory is asked for. The data section
//! must be covered by the tensors exactly once, so a file cannot hide anything and cannot be smaller than it claims.

mod decode;
mod encode;
pub mod finite_or_text;
mod header;
mod look_alike;
mod strict_json;
mod tensor;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result, printable, quoted};
use crate::file::storage::{Storage, write_atomic};

pub use strict_json::{MAX_JSON_DEPTH, MAX_JSON_VALUES, parse as parse_json};
pub use tensor::{Dtype, NamedTensor};

/// The longest header, in bytes: room for the largest number of tensors and a long training history.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// The largest file, in bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 30;
/// The largest number of tensors.
pub const MAX_TENSORS: usize = 100_000;
/// The largest number of texts.
pub const MAX_TEXTS: usize = 10_000;
/// The longest name of a tensor or a text, in bytes.
pub const MAX_NAME_BYTES: usize = 512;
/// The largest number of axes.
pub const MAX_RANK: usize = 8;
/// The name under which the checksum is kept.
pub const CHECKSUM_KEY: &str = "diffeo.checksum";

/// Digits of the checksum: 256 bits in lower-case hexadecimal.
const CHECKSUM_DIGITS: usize = 64;
/// Every header starts with this, followed by the digits. A fixed place leaves no doubt about what the hash covers.
const CHECKSUM_PREFIX: &str = "{\"__metadata__\":{\"diffeo.checksum\":\"";
/// Stands for the digits while the hash is computed.
const CHECKSUM_BLANK: [u8; CHECKSUM_DIGITS] = [b'0'; CHECKSUM_DIGITS];
/// The bytes before the header: its length.
const LENGTH_BYTES: usize = 8;

/// Named tensors and named texts: what a model file and a checkpoint consist of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Texts by name. [`CHECKSUM_KEY`] is not among them: it is checked when reading and added when writing.
    pub metadata: BTreeMap<String, String>,
    /// Tensors in the order of the file: wider types first, so that each is aligned; otherwise as they were given.
    pub tensors: Vec<NamedTensor>,
}

impl Container {
    /// The bytes of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] or [`ErrorKind::ModelFile`] if the content breaks a rule of the format, so that nothing is
    /// ever written that cannot be read.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode::encode(self)
    }

    /// Reads a file that is in memory.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] saying what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode::decode(&mut &*bytes, bytes.len() as u64)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read or is not a regular file, [`ErrorKind::ModelFile`] if it is not what
    /// [`Container::write`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        decode::read(path)
    }

    /// Writes a file in one step: see [`crate::file::storage`].
    ///
    /// # Errors
    /// As [`Container::encode`] and [`write_atomic`].
    pub fn write(&self, path: &Path, storage: &dyn Storage) -> Result<()> {
        let bytes = self.encode().map_err(|e| e.at(path))?;
        write_atomic(storage, path, &bytes)
    }

    /// The text of that name.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if there is none.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.metadata.get(name).map(String::as_str).ok_or_else(|| {
            Error::model_file(format!("the text {} is missing from the header", quoted(name)))
        })
    }

    /// The text of that name, read as JSON: without doubled keys, floats to the last bit.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if there is none or it does not describe a `T`.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        parse_json(self.text(name)?).map_err(|e| {
            Error::model_file(format!("the text {} in the header: {}", quoted(name), e.message()))
        })
    }

    /// Keeps `value` as JSON. Floats that may be infinite or NaN need [`finite_or_text`].
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it has no JSON form.
    pub fn set_json<T: Serialize>(&mut self, name: &str, value: &T) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|e| {
            let message = format!("cannot write {} as JSON: {e}", quoted(name));
            Error::new(ErrorKind::Internal, message).caused_by(e)
        })?;
        self.metadata.insert(name.to_owned(), text);
        Ok(())
    }

    /// The tensor of that name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.iter().find(|t| t.name == name)
    }
}

/// The rule for names of tensors: they must be harmless wherever a tool may put them, even in a path.
fn check_name(name: &str) -> Result<()> {
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > MAX_NAME_BYTES {
        format!("has {} bytes (at most {MAX_NAME_BYTES})", name.len())
    } else if !name.bytes().all(|b| b.is_ascii_graphic()) {
        "holds something other than printable ASCII without spaces".to_owned()
    } else if name.contains("..") || name.contains('\\') || name.starts_with('/') {
        "looks like a path".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::model_file(format!("the tensor name {} {fault}", quoted(name))))
}

/// Bytes of a tensor of that shape, `None` if they cannot be counted.
fn byte_count(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.size(), |product, &axis| product.checked_mul(axis))
}

/// Reads a typed value, such as the spec, out of a file's JSON. A variant that this release does not have is an error:
/// names in a file are only ever compared with the closed list, never looked up.
///
/// # Errors
/// [`ErrorKind::ModelFile`] naming `what` and the fault.
pub fn from_json<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|e| {
        let reason: String = printable(&e.to_string()).chars().take(300).collect();
        Error::model_file(format!("the {what} in the file cannot be used: {reason}")).caused_by(e)
    })
}
