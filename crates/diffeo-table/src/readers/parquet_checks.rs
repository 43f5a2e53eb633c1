//! What a Parquet file claims, checked before the decoder believes it.
//!
//! The decoder reserves memory for lists and pages as large as the file says, and a reservation that fails ends the process.
//! So footer and page headers are walked first: every length must be covered by bytes that are there.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use diffeo::{Error, ErrorKind, Result};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::thrift::{BOOL_FALSE, BOOL_TRUE, STRUCT, Stop, Thrift};

/// Largest footer.
const FOOTER_BYTES: u64 = 1 << 26;
/// Largest page header; those with long statistics have some kilobytes.
const PAGE_HEADER_BYTES: usize = 1 << 20;
/// Most unpacked bytes of the largest pages of all columns of a row group together.
const PAGES_BYTES: u64 = 1 << 30;
/// Encodings whose lengths are inside the page, where they cannot be checked.
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const DELTA_BYTE_ARRAY: i64 = 7;

/// Checks magic bytes and footer.
pub(crate) fn check_footer(file: &mut File, size: u64) -> Result<()> {
    let damaged =
        |what: &str| Error::data(format!("the Parquet file is damaged or cut short: {what}"));
    if size < 12 {
        return Err(damaged("it has fewer than 12 bytes"));
    }
    let tail = read_at(file, size - 8, 8)?;
    let [a, b, c, d, magic @ ..] = &tail[..] else {
        return Err(damaged("it has no footer"));
    };
    if *magic != b"PAR1"[..] {
        return Err(damaged("expected PAR1 at its end"));
    }
    let length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    if length > size - 12 {
        return Err(damaged(&format!("the footer claims {length} bytes of {size}")));
    }
    if length > FOOTER_BYTES {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "the Parquet footer has {length} bytes, at most {FOOTER_BYTES} are read; write larger row groups"
            ),
        ));
    }
    let footer = read_at(file, size - 8 - length, length as usize)?;
    Thrift::new(&footer).skip_struct().map_err(|_| damaged("its footer cannot be understood"))
}

/// Checks that the pages of the chosen columns lie in the file and together need memory within reason.
pub(crate) fn check_row_group(
    file: &mut File,
    size: u64,
    group: &RowGroupMetaData,
    leaves: &[usize],
) -> Result<()> {
    if group.num_rows() < 0 {
        return Err(Error::data(
            "the Parquet file is damaged: a row group has a negative number of rows",
        ));
    }
    let mut memory: u64 = 0;
    for &leaf in leaves {
        let Some(column) = group.columns().get(leaf) else {
            return Err(Error::data("the Parquet file is damaged: a row group lacks a column"));
        };
        memory = memory.saturating_add(check_column(file, size, column)?);
        if memory > PAGES_BYTES {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "the pages of a Parquet row group unpack to more than {PAGES_BYTES} bytes at a time; write smaller pages"
                ),
            ));
        }
    }
    Ok(())
}

/// The most memory that a dictionary page and another page of the column need.
fn check_column(file: &mut File, size: u64, column: &ColumnChunkMetaData) -> Result<u64> {
    let name = column.column_path().string();
    let damaged = |what: &str| {
        Error::data(format!(
            "the Parquet file is damaged in column {}: {what}",
            diffeo::quoted(&name)
        ))
    };
    let (start, length) = match (column.dictionary_page_offset(), column.data_page_offset()) {
        (Some(dictionary), data) if dictionary > 0 && dictionary < data => {
            (dictionary, column.compressed_size())
        }
        (_, data) => (data, column.compressed_size()),
    };
    let outside = || damaged("its pages lie outside the file");
    let (start, length) = (
        u64::try_from(start).map_err(|_| outside())?,
        u64::try_from(length).map_err(|_| outside())?,
    );
    let end = start.checked_add(length).filter(|&end| end <= size).ok_or_else(outside)?;
    let (mut position, mut largest, mut dictionary) = (start, 0, 0);
    let mut values: i64 = 0;
    while position < end && values < column.num_values() {
        let page = read_page_header(file, position, end).map_err(|stop| match stop {
            Some(Stop::Short) => damaged("a page header is cut short"),
            Some(Stop::Bad) => damaged("a page header cannot be understood"),
            None => damaged("a page cannot be read"),
        })?;
        let (Ok(packed), Ok(unpacked)) = (u64::try_from(page.packed), u64::try_from(page.unpacked))
        else {
            return Err(damaged("a page has a negative length"));
        };
        if page.values < 0 {
            return Err(damaged("a page has a negative number of values"));
        }
        position += page.header_bytes;
        position = position
            .checked_add(packed)
            .filter(|&p| p <= end)
            .ok_or_else(|| damaged("a page is longer than its column"))?;
        if matches!(page.encoding, DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY) {
            return Err(Error::data(format!(
                "column {} has text in a delta encoding, which is not read; write the file with plain or dictionary encoding",
                diffeo::quoted(&name)
            )));
        }
        if page.kind == DICTIONARY_PAGE {
            if page.values as u64 > unpacked {
                return Err(damaged("its dictionary claims more values than it has bytes"));
            }
            dictionary = dictionary.max(unpacked);
        } else {
            values = page.values.saturating_add(values);
            largest = largest.max(unpacked);
        }
    }
    Ok(largest.saturating_add(dictionary))
}

const DICTIONARY_PAGE: i64 = 2;
/// Of the fields 5 to 8 of a page header: the last of the whole numbers that they begin with, and which fields are a truth value and statistics; 0
/// for none. Index pages have no fields.
const FIELDS: [(i64, i64, i64); 4] = [(4, 0, 5), (0, 0, 0), (2, 3, 0), (6, 7, 8)];

/// What is needed of a page header.
#[derive(Default)]
struct Page {
    kind: i64,
    unpacked: i64,
    packed: i64,
    values: i64,
    encoding: i64,
    header_bytes: u64,
}

fn read_page_header(file: &mut File, position: u64, end: u64) -> Result<Page, Option<Stop>> {
    let mut window = 256;
    loop {
        let n = (end - position).min(window as u64) as usize;
        let bytes = read_at(file, position, n).map_err(|_| None)?;
        match parse_page_header(&bytes) {
            Ok(page) => return Ok(page),
            Err(Stop::Short) if n == window && window < PAGE_HEADER_BYTES => window *= 8,
            Err(stop) => return Err(Some(stop)),
        }
    }
}

/// `PageHeader` of parquet.thrift: 1 type, 2 uncompressed size, 3 compressed size, then one of 5 (data page: 1 values,
/// 2 encoding), 7 (dictionary page: the same) and 8 (data page v2: 1 values, 4 encoding).
///
/// The decoder reads a field that it knows as what it should be, whatever its type says, and would read on elsewhere, beyond the end even, where it
/// skips lists of 2^31 elements one by one. So each must be what it should be.
fn parse_page_header(bytes: &[u8]) -> Result<Page, Stop> {
    let mut page = Page { encoding: -1, ..Page::default() };
    let mut walk = Thrift::new(bytes);
    walk.fields(&mut |_, id, kind, value| match (id, value) {
        (1..=4, None) => Err(Stop::Bad),
        (5..=8, _) if kind != STRUCT => Err(Stop::Bad),
        _ => Ok(false),
    })?;
    let mut walk = Thrift::new(bytes);
    walk.fields(&mut |inner, id, kind, value| match (id, value) {
        (1, Some(v)) => {
            page.kind = v;
            Ok(false)
        }
        (2, Some(v)) => {
            page.unpacked = v;
            Ok(false)
        }
        (3, Some(v)) => {
            page.packed = v;
            Ok(false)
        }
        (5 | 7 | 8, None) if kind == STRUCT => {
            let encoding = if id == 8 { 4 } else { 2 };
            inner.fields(&mut |_, field, kind, value| {
                let (numbers, truth, statistics) = FIELDS[(id - 5) as usize];
                let is_sound = match field {
                    1.. if field <= numbers => value.is_some(),
                    _ if field == truth => matches!(kind, BOOL_TRUE | BOOL_FALSE),
                    _ if field == statistics => kind == STRUCT,
                    _ => true,
                };
                if !is_sound {
                    return Err(Stop::Bad);
                }
                match value {
                    Some(v) if field == 1 => page.values = v,
                    Some(v) if field == encoding => page.encoding = v,
                    _ => {}
                }
                Ok(false)
            })?;
            Ok(true)
        }
        _ => Ok(false),
    })?;
    page.header_bytes = walk.position() as u64;
    Ok(page)
}

fn read_at(file: &mut File, position: u64, n: usize) -> Result<Vec<u8>> {
    let fail =
        |e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot read: {e}")).caused_by(e);
    let mut bytes = vec![0; n];
    file.seek(SeekFrom::Start(position)).map_err(fail)?;
    file.read_exact(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_headers_have_fields_of_their_types() {
        // Type 0, 8 bytes, 8 bytes; a data page of 1 value, encoding 0, and two more numbers.
        let sound = [0x15, 0, 0x15, 16, 0x15, 16, 0x2c, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0];
        let page = parse_page_header(&sound).unwrap();
        assert_eq!((page.kind, page.unpacked, page.packed, page.values), (0, 8, 8, 1));
        assert_eq!(page.header_bytes, sound.len() as u64);
        let bad = |header: &[u8]| parse_page_header(header).map(|_| ()) == Err(Stop::Bad);
        // A type that is a list, a data page that is a number, one whose count is text or whose statistics are a number.
        assert!(bad(&[0x19, 0x00, 0x15, 16, 0x15, 16, 0]));
        assert!(bad(&[0x15, 0, 0x15, 16, 0x15, 16, 0x25, 2, 0]));
        assert!(bad(&[0x15, 0, 0x15, 16, 0x15, 16, 0x2c, 0x18, 1, 65, 0, 0]));
        assert!(bad(&[0x15, 0, 0x15, 16, 0x15, 16, 0x2c, 0x55, 2, 0, 0]));
        // An index page, which nothing reads, that is a list; a dictionary whose order is a number.
        assert!(bad(&[0x15, 0, 0x15, 16, 0x15, 16, 0x39, 0x15, 2, 0]));
        assert!(bad(&[0x15, 4, 0x15, 16, 0x15, 16, 0x4c, 0x15, 2, 0x15, 0, 0x15, 2, 0, 0]));
    }
}
