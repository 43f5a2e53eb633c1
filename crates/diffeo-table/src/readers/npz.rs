//! Archives of NumPy arrays (.npz): the array of images in one, with their labels, or its only table.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use diffeo::{Error, ErrorKind, Result, quoted};
use zip::ZipArchive;

use super::array::ArrayReader;
use super::decode::Decode;
use super::images::Labelled;
use super::npy::{self, header_text};
use super::npy_header::{self, NpyHeader, NpyKind};
use crate::options::ReadOptions;
use crate::source::Source;

/// Most bytes of an array where the caller sets no limit: it is unpacked in memory.
const BYTES_MAX: u64 = 4 << 30;
/// Bytes in which a header must end.
const HEAD: u64 = 4096;
/// Most arrays.
const ARRAYS_MAX: usize = 1024;

/// Whether these are the first bytes of a zip archive of arrays.
pub(crate) fn is_npz(head: &[u8]) -> bool {
    let length = head.get(26..28).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let name = head.get(30..30 + length).unwrap_or_default();
    head.starts_with(b"PK\x03\x04") && name.ends_with(b".npy")
}

/// An array of the archive.
struct Member {
    index: usize,
    name: String,
    header: NpyHeader,
    start: u64,
}

/// Reads the images of an archive, and the array of whole numbers that has one for each as their column `label`; or the only array.
pub(crate) fn open(source: Source, options: &ReadOptions) -> Result<Box<dyn Decode>> {
    let label = source.label.clone();
    let (file, _) = source.into_file()?;
    let mut archive = ZipArchive::new(file).map_err(|e| damaged(&e.to_string()))?;
    let mut members = members(&mut archive)?;
    let images = members.iter().filter(|m| m.header.axes.len() > 2).count();
    let at = match (images, members.len()) {
        (1, _) => members.iter().position(|m| m.header.axes.len() > 2),
        (0, 1) => Some(0),
        _ => None,
    };
    let Some(at) = at else { return Err(ambiguous(&members)) };
    let wanted = members.swap_remove(at);
    let is_label = |m: &&Member| {
        matches!(m.header.kind, NpyKind::Int(_) | NpyKind::Uint(_))
            && (m.header.axes == [wanted.header.rows()]
                || m.header.axes == [wanted.header.rows(), 1])
    };
    let mut labels: Vec<&Member> = members.iter().filter(is_label).collect();
    // Of several the one that is called so.
    if labels.len() > 1 {
        labels.retain(|m| ["label", "labels", "y"].contains(&m.name.as_str()));
    }
    let labels = match labels.as_slice() {
        [only] if images == 1 => Some(labels_of(&mut archive, only, options)?),
        _ => None,
    };
    let bytes = unpack(&mut archive, &wanted, options)?;
    let source = Source::of_bytes(&label, bytes);
    match labels {
        Some(labels) if options.earlier.is_none() => {
            let array = ArrayReader::new(wanted.header, wanted.start, source, options)?;
            Ok(Box::new(Labelled::new(array, labels)?))
        }
        _ => npy::decoder(wanted.header, wanted.start, source, options),
    }
}

fn members(archive: &mut ZipArchive<File>) -> Result<Vec<Member>> {
    if archive.len() > ARRAYS_MAX {
        return Err(Error::data(format!(
            "expected at most {ARRAYS_MAX} arrays in the archive, found {}",
            archive.len()
        )));
    }
    // An array of names beside the others is no reason not to read those.
    let (mut members, mut refused) = (Vec::new(), None);
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|e| damaged(&e.to_string()))?;
        let full = entry.name().map_err(|e| damaged(&e.to_string()))?.into_owned();
        let Some(name) = full.strip_suffix(".npy") else { continue };
        let mut head = Vec::new();
        entry.take(HEAD).read_to_end(&mut head).map_err(|e| damaged(&e.to_string()))?;
        let of_member = |e: Error| Error::data(format!("array {}: {}", quoted(name), e.message()));
        let parsed = header_text(&head)
            .and_then(|(text, start)| Ok((npy_header::parse(&text)?, start)))
            .map_err(of_member);
        match parsed {
            Ok((header, start)) => {
                members.push(Member { index, name: name.to_owned(), header, start });
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused.filter(|_| members.is_empty()) {
        Some(error) => Err(error),
        None => Ok(members),
    }
}

fn unpack(
    archive: &mut ZipArchive<File>,
    member: &Member,
    options: &ReadOptions,
) -> Result<Vec<u8>> {
    let most = options.max_bytes.unwrap_or(BYTES_MAX);
    let entry = archive.by_index(member.index).map_err(|e| damaged(&e.to_string()))?;
    let mut bytes = Vec::new();
    entry
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| damaged(&e.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "array {} has more than {most} bytes; save it as npy, which is read in pieces, or raise --max-bytes",
                quoted(&member.name)
            ),
        ));
    }
    Ok(bytes)
}

fn labels_of(
    archive: &mut ZipArchive<File>,
    member: &Member,
    options: &ReadOptions,
) -> Result<Vec<String>> {
    let bytes = unpack(archive, member, options)?;
    let source = Source::of_bytes(Path::new(&member.name), bytes);
    let mut reader = ArrayReader::new(member.header.clone(), member.start, source, options)?;
    let mut labels = Vec::new();
    while let Some(found) = reader.next_batch()? {
        let cells = found.batch.columns().iter().map(|column| {
            arrow_cast::cast(column, &arrow_schema::DataType::Int64)
                .map_err(|e| damaged(&e.to_string()))
        });
        for cells in cells.collect::<Result<Vec<_>>>()? {
            use arrow_array::cast::AsArray;
            let cells = cells.as_primitive::<arrow_array::types::Int64Type>();
            labels.extend(cells.values().iter().map(i64::to_string));
        }
    }
    Ok(labels)
}

fn ambiguous(members: &[Member]) -> Error {
    const SHOWN: usize = 12;
    let list = members.iter().take(SHOWN);
    let list: Vec<String> =
        list.map(|m| format!("{} {}", quoted(&m.name), m.header.shape())).collect();
    Error::data(format!(
        "expected an archive of one array, or of one array of images and their labels, found {}: {}; save the one that is meant by itself, as npy",
        members.len(),
        list.join(", ")
    ))
}

fn damaged(reason: &str) -> Error {
    Error::data(format!("the archive is damaged or of a kind that is not read: {reason}"))
}
