//! Arrays in the IDX format of the MNIST files, with their labels from the file beside them.
//!
//! Format: two zero bytes, the type, the number of axes, their lengths (32 bits, big endian), then the elements.

use std::path::{Path, PathBuf};

use diffeo::{Error, Result};

use super::array::ArrayReader;
use super::decode::Decode;
use super::images::Labelled;
use super::npy_header::{NpyHeader, NpyKind};
use crate::options::{Input, ReadOptions};
use crate::source::Source;

/// Whether these are the first bytes of an IDX file.
pub(crate) fn is_idx(head: &[u8]) -> bool {
    matches!(head, [0, 0, 0x08..=0x0e, 1..=4, ..])
}

/// Reads an array; images get a column `label` from the file whose name says `labels` and `idx1` where theirs says `images` and `idx3`, if there is one.
pub(crate) fn open(source: Source, options: &ReadOptions) -> Result<Box<dyn Decode>> {
    let beside = labels_beside(&source.label);
    let (header, start) = header(source.head())?;
    let images = ArrayReader::new(header, start, source, options)?;
    match beside {
        Some(path) if images.image().is_some() => {
            let labels = read_labels(&path, options)?;
            Ok(Box::new(Labelled::new(images, labels).map_err(|e| e.at(&path))?))
        }
        _ => Ok(Box::new(images)),
    }
}

fn header(head: &[u8]) -> Result<(NpyHeader, u64)> {
    let kind = match head.get(2) {
        Some(0x08) => NpyKind::Uint(1),
        Some(0x09) => NpyKind::Int(1),
        Some(0x0b) => NpyKind::Int(2),
        Some(0x0c) => NpyKind::Int(4),
        Some(0x0d) => NpyKind::Float(4),
        Some(0x0e) => NpyKind::Float(8),
        found => {
            return Err(Error::data(format!(
                "expected an IDX file of bytes, integers or floats, found type {found:?}"
            )));
        }
    };
    let count = usize::from(head.get(3).copied().unwrap_or_default());
    let (axes, _) = head.get(4..4 + 4 * count).unwrap_or_default().as_chunks::<4>();
    if axes.len() < count.max(1) {
        return Err(Error::data("the IDX header is cut short; the file is damaged"));
    }
    let axes = axes.iter().map(|axis| u64::from(u32::from_be_bytes(*axis))).collect();
    Ok((NpyHeader { kind, big_endian: true, fortran: false, axes }, 4 + 4 * count as u64))
}

/// The file of labels that belongs to a file of images by its name.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let beside = name.replace("images", "labels").replace("idx3", "idx1");
    let path = images.with_file_name(&beside);
    (beside != name && path.is_file()).then_some(path)
}

fn read_labels(path: &Path, options: &ReadOptions) -> Result<Vec<String>> {
    let expected =
        || Error::data("expected the labels of images, an IDX file of bytes with one axis");
    let mut source = Source::open(&Input::Path(path.to_owned()), options.max_bytes)?;
    let (header, start) = header(source.head()).map_err(|e| e.at(path))?;
    let (&[count], NpyKind::Uint(1)) = (header.axes.as_slice(), header.kind) else {
        return Err(expected().at(path));
    };
    let mut bytes = Vec::new();
    let whole = source.stream.read_exactly(start + count, &mut bytes)?;
    if !whole || source.stream.read(&mut [0])? > 0 {
        let message = format!("expected {count} labels as the header says, found more or fewer");
        return Err(Error::data(message).at(path));
    }
    Ok(bytes[start as usize..].iter().map(u8::to_string).collect())
}
