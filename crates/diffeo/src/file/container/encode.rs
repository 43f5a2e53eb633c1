//! Writing a container, under the same rules as reading one.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::header::METADATA;
use super::{
    CHECKSUM_BLANK, CHECKSUM_DIGITS, CHECKSUM_KEY, CHECKSUM_PREFIX, Container, LENGTH_BYTES,
    MAX_FILE_BYTES, MAX_HEADER_BYTES, MAX_NAME_BYTES, MAX_TENSORS, MAX_TEXTS, NamedTensor,
    check_name,
};
use crate::error::{Error, ErrorKind, Result, quoted};

/// Data begin at a multiple of this, and wider types come first: readers may use the elements in place.
const ALIGNMENT: usize = 8;

pub(super) fn encode(container: &Container) -> Result<Vec<u8>> {
    check(container)?;
    let mut tensors: Vec<&NamedTensor> = container.tensors.iter().collect();
    tensors.sort_by_key(|t| std::cmp::Reverse(t.dtype.size()));

    let mut header = header_text(container, &tensors)?.into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    if header.len() as u64 > MAX_HEADER_BYTES {
        return Err(limit(format!(
            "the header would have {} bytes, more than the limit of {MAX_HEADER_BYTES}",
            header.len()
        )));
    }
    let total = LENGTH_BYTES + header.len() + tensors.iter().map(|t| t.data.len()).sum::<usize>();
    if total as u64 > MAX_FILE_BYTES {
        return Err(limit(format!(
            "the file would have {total} bytes, more than the limit of {MAX_FILE_BYTES}"
        )));
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(total)
        .map_err(|_| limit(format!("cannot get {total} bytes of memory to write the file")))?;
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    tensors.iter().for_each(|t| bytes.extend(&t.data));

    let digits = blake3::hash(&bytes).to_hex();
    let place = LENGTH_BYTES + CHECKSUM_PREFIX.len();
    if let Some(blank) = bytes.get_mut(place..place + CHECKSUM_DIGITS) {
        blank.copy_from_slice(digits.as_bytes());
    }
    Ok(bytes)
}

/// Refuses what the reader would refuse.
fn check(container: &Container) -> Result<()> {
    let (tensors, texts) = (container.tensors.len(), container.metadata.len());
    // One text is the checksum.
    if tensors > MAX_TENSORS || texts >= MAX_TEXTS {
        return Err(limit(format!(
            "at most {MAX_TENSORS} tensors and {} texts fit into a file, found {tensors} and {texts}",
            MAX_TEXTS - 1
        )));
    }
    for name in container.metadata.keys() {
        if name == CHECKSUM_KEY || name.len() > MAX_NAME_BYTES {
            return Err(Error::model_file(format!(
                "the name {} of a text is reserved or longer than {MAX_NAME_BYTES} bytes",
                quoted(name)
            )));
        }
    }
    let mut names = HashSet::from([METADATA]);
    for tensor in &container.tensors {
        check_name(&tensor.name)?;
        tensor.check()?;
        if !names.insert(&tensor.name) {
            let name = quoted(&tensor.name);
            return Err(Error::model_file(format!(
                "the tensor name {name} is reserved or used twice"
            )));
        }
    }
    Ok(())
}

/// The header with a blank checksum, without padding.
fn header_text(container: &Container, tensors: &[&NamedTensor]) -> Result<String> {
    let mut text = String::from(CHECKSUM_PREFIX);
    text.extend(CHECKSUM_BLANK.map(char::from));
    text.push('"');
    for (name, value) in &container.metadata {
        let _ = write!(text, ",{}:{}", json(name)?, json(value)?);
    }
    text.push('}');
    let mut from = 0;
    for tensor in tensors {
        let to = from + tensor.data.len();
        let _ = write!(
            text,
            ",{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{from},{to}]}}",
            json(&tensor.name)?,
            tensor.dtype.name(),
            json(&tensor.shape)?,
        );
        from = to;
    }
    text.push('}');
    Ok(text)
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| {
        Error::new(ErrorKind::Internal, format!("cannot write the header: {e}")).caused_by(e)
    })
}

fn limit(message: String) -> Error {
    Error::new(ErrorKind::Limit, message)
}
