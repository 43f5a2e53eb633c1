//! Reading a container from bytes that nobody vouches for.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{
    CHECKSUM_BLANK, CHECKSUM_DIGITS, CHECKSUM_KEY, CHECKSUM_PREFIX, Container, LENGTH_BYTES,
    MAX_FILE_BYTES, MAX_HEADER_BYTES, NamedTensor, header, look_alike,
};
use crate::error::{Error, ErrorKind, Result};

/// Bytes that are enough to tell other formats by.
const LOOK_BYTES: u64 = 256;

pub(super) fn read(path: &Path) -> Result<Container> {
    // Asked before opening: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a folder" } else { "a device, pipe or socket" };
        let message = format!("expected a file written by diffeo, found {what}");
        return Err(Error::new(ErrorKind::Io, message).at(path));
    }
    let file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
    let length = file.metadata().map_err(|e| Error::io(path, "read", e))?.len();
    decode(&mut BufReader::new(file), length).map_err(|e| e.at(path))
}

/// Reads `length` bytes, which must be all that there are.
pub(super) fn decode(reader: &mut dyn Read, length: u64) -> Result<Container> {
    if length > MAX_FILE_BYTES {
        let message =
            format!("the file has {length} bytes, more than the limit of {MAX_FILE_BYTES}");
        return Err(Error::model_file(message));
    }
    let start = take(reader, length.min(LOOK_BYTES))?;
    let header_bytes = header_length(&start, length)?;
    let data_bytes = length - LENGTH_BYTES as u64 - header_bytes;

    let (_, mut rest) = start.split_at_checked(LENGTH_BYTES).unwrap_or_default();
    let text = take(&mut (&mut rest).chain(&mut *reader), header_bytes)?;
    let mut data_reader = rest.chain(reader);
    let header = header::parse(&text, data_bytes)?;
    let (stored, after) = checksum(&text)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header_bytes.to_le_bytes());
    hasher.update(CHECKSUM_PREFIX.as_bytes());
    hasher.update(&CHECKSUM_BLANK);
    hasher.update(after);

    let mut tensors = Vec::with_capacity(header.tensors.len());
    for entry in header.tensors {
        let data = take(&mut data_reader, entry.bytes as u64)?;
        hasher.update(&data);
        tensors.push(NamedTensor {
            name: entry.name,
            dtype: entry.dtype,
            shape: entry.shape,
            data,
        });
    }
    if data_reader.read(&mut [0]).map_err(unreadable)? != 0 {
        return Err(Error::model_file("the file grew while it was read; try again"));
    }
    if hasher.finalize().to_hex().as_bytes() != stored {
        return Err(Error::model_file(
            "the checksum does not match: the file was damaged or edited after it was written; \
             get an intact copy",
        ));
    }
    let mut metadata = header.metadata;
    metadata.remove(CHECKSUM_KEY);
    Ok(Container { metadata, tensors })
}

/// The length of the header, once it is plausible.
fn header_length(start: &[u8], length: u64) -> Result<u64> {
    if length == 0 {
        return Err(Error::model_file("the file is empty"));
    }
    let first = start.first_chunk::<LENGTH_BYTES>().copied().map(u64::from_le_bytes);
    let available = length.saturating_sub(LENGTH_BYTES as u64);
    let fault = match first {
        None => format!("the file has only {length} bytes: it is cut off or not a model"),
        Some(0) => "the header has length 0".to_owned(),
        Some(n) if n > MAX_HEADER_BYTES => {
            format!("the header claims {n} bytes, more than the limit of {MAX_HEADER_BYTES}")
        }
        Some(n) if n > available => format!(
            "the header claims {n} bytes but only {available} follow: the file is cut off or not a model"
        ),
        Some(_) if start.get(LENGTH_BYTES) != Some(&b'{') => {
            "the header does not begin with \"{\": this is not a safetensors file".to_owned()
        }
        Some(n) => return Ok(n),
    };
    Err(Error::model_file(match look_alike::describe(start) {
        Some(what) => {
            format!(
                "expected a file written by diffeo, found what looks like {what}; nothing of it was loaded"
            )
        }
        None => fault,
    }))
}

/// The stored digits of the checksum, and the header's bytes after them.
fn checksum(text: &[u8]) -> Result<(&[u8], &[u8])> {
    text.strip_prefix(CHECKSUM_PREFIX.as_bytes())
        .and_then(|rest| rest.split_at_checked(CHECKSUM_DIGITS))
        .ok_or_else(|| {
            Error::model_file(format!(
                "this safetensors file is not one of diffeo's, or another tool rewrote it: its header does not begin \
                 with a {CHECKSUM_KEY} of {CHECKSUM_DIGITS} digits"
            ))
        })
}

/// Exactly `count` bytes. The memory is asked for at once and may be refused; `count` never exceeds the file's length.
fn take(reader: &mut dyn Read, count: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let refused = || {
        let message = format!("cannot get {count} bytes of memory to read the file");
        Error::new(ErrorKind::Limit, message)
    };
    bytes
        .try_reserve_exact(usize::try_from(count).map_err(|_| refused())?)
        .map_err(|_| refused())?;
    reader.take(count).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 == count {
        return Ok(bytes);
    }
    Err(Error::model_file("the file became shorter while it was read; try again"))
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot read: {error}")).caused_by(error)
}
