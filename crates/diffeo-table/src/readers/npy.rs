//! Arrays of NumPy (.npy).

use diffeo::{Error, Result};

use super::array::ArrayReader;
use super::clip_array::{ArrayFrames, is_of_clips};
use super::clips::ClipReader;
use super::decode::Decode;
use super::npy_header::{self, NpyHeader};
use crate::options::ReadOptions;
use crate::source::Source;

/// Longest header; NumPy writes 128 bytes.
const HEADER_BYTES: usize = 1 << 16;

/// Reads the header of an array; what follows it is read row by row.
pub(crate) fn open(source: Source, options: &ReadOptions) -> Result<Box<dyn Decode>> {
    let (text, start) = header_text(source.head())?;
    decoder(npy_header::parse(&text)?, start, source, options)
}

/// Reads the array that starts at this byte of a source: as clips where these are asked for, or it can be nothing else.
pub(super) fn decoder(
    header: NpyHeader,
    start: u64,
    source: Source,
    options: &ReadOptions,
) -> Result<Box<dyn Decode>> {
    if options.earlier.is_none() && !is_of_clips(&header) {
        return Ok(Box::new(ArrayReader::new(header, start, source, options)?));
    }
    let frames = ArrayFrames::new(&header, start, source)?;
    Ok(Box::new(ClipReader::new(Box::new(frames), options)?))
}

/// The text of the header and where the data starts.
pub(super) fn header_text(head: &[u8]) -> Result<(String, u64)> {
    let short = || Error::data("the npy header is cut short; the file is damaged");
    let version = *head.get(6).ok_or_else(short)?;
    let (length, from) = match version {
        1 => (head.get(8..10).map(|b| u64::from(u16::from_le_bytes([b[0], b[1]]))), 10),
        2 | 3 => {
            (head.get(8..12).map(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))), 12)
        }
        _ => return Err(Error::data(format!("expected npy format 1, 2 or 3, found {version}"))),
    };
    let length = length.ok_or_else(short)?;
    if length > HEADER_BYTES as u64 {
        return Err(Error::data(format!(
            "the npy header claims {length} bytes, at most {HEADER_BYTES} are read"
        )));
    }
    let bytes = head.get(from..from + length as usize).ok_or_else(|| {
        // A header of more than the bytes at hand has no place in a file of numbers.
        Error::data(format!(
            "the npy header claims {length} bytes; a header of numbers has about 128"
        ))
    })?;
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::data("the npy header is not text; the file is damaged"))?;
    Ok((text.to_owned(), (from as u64) + length))
}
