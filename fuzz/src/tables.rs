//! Reads bytes as a table, in all the ways that a user does.

use std::path::Path;

use diffeo::{ErrorKind, Result};
use diffeo_table::{
    Delimiter, Format, Header, Input, MemoryLimit, Missing, Output, ReadOptions, Reader, Writer,
    infer_schema, read_table,
};

/// A text table behind two bytes that choose the options, `@@` the usual ones; gives the number of rows.
pub fn csv(bytes: &[u8]) -> Result<usize> {
    let [first, second, text @ ..] = bytes else {
        return read(bytes, &limited());
    };
    read(text, &text_options(*first, *second))
}

/// An npy array; gives the number of rows.
pub fn npy(bytes: &[u8]) -> Result<usize> {
    read(bytes, &ReadOptions { format: Some(Format::Npy), ..limited() })
}

/// A Parquet file; gives the number of rows.
pub fn parquet(bytes: &[u8]) -> Result<usize> {
    read(bytes, &ReadOptions { format: Some(Format::Parquet), ..limited() })
}

/// An Arrow IPC file or stream; gives the number of rows.
pub fn arrow(bytes: &[u8]) -> Result<usize> {
    read(bytes, &ReadOptions { format: Some(Format::Arrow), ..limited() })
}

/// A few bytes may rightly hold a billion equal rows; these are the limits that a careful user sets.
fn limited() -> ReadOptions {
    ReadOptions {
        missing: Missing::Keep,
        max_bytes: Some(1 << 20),
        max_rows: Some(1 << 14),
        ..ReadOptions::default()
    }
}

fn text_options(first: u8, second: u8) -> ReadOptions {
    let of = |byte: u8, shift: u8, n: u8| (byte >> shift) & ((1 << n) - 1);
    ReadOptions {
        format: if of(second, 5, 1) == 1 { Some(Format::Csv) } else { None },
        comment: [Some(b'#'), None, Some(b'%'), Some(b'a')][usize::from(of(first, 0, 2))],
        delimiter: match of(first, 2, 3) {
            1 => Some(Delimiter::Blanks),
            2 => Some(Delimiter::Byte(b',')),
            3 => Some(Delimiter::Byte(b';')),
            4 => Some(Delimiter::Byte(b'\t')),
            5 => Some(Delimiter::Byte(b' ')),
            6 => Some(Delimiter::Byte(b'|')),
            _ => None,
        },
        header: match of(first, 5, 1) + 2 * of(first, 7, 1) {
            1 => Header::Yes,
            2 => Header::No,
            _ => Header::Auto,
        },
        missing: [Missing::Refuse, Missing::Drop, Missing::Keep, Missing::Keep]
            [usize::from(of(second, 0, 2))],
        missing_marks: match of(second, 2, 1) {
            1 => vec!["-999".to_owned(), "x".to_owned()],
            _ => Vec::new(),
        },
        chunk_rows: [65_536, 1, 3, 64][usize::from(of(second, 3, 2))],
        ..limited()
    }
}

/// Reads a file with these bytes; what is refused must be refused as bad data, in words that are fit to print.
fn read(bytes: &[u8], options: &ReadOptions) -> Result<usize> {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("table");
    std::fs::write(&path, bytes).expect("room for the file");
    let outcome = read_file(folder.path(), &Input::Path(path), options);
    if let Err(error) = &outcome {
        let fit = !error.message().contains(char::is_control) && error.message().len() < 10_000;
        assert!(fit, "an unfit message: {error:?}");
        assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Limit), "{error:?}");
    }
    outcome
}

/// Chunk by chunk with every column passed through to a copy, then whole with the columns of numbers alone: both must agree.
fn read_file(folder: &Path, input: &Input, options: &ReadOptions) -> Result<usize> {
    let numeric = Reader::open(input, options)?.survey()?.numeric;
    let mut reader = Reader::open(input, options)?;
    reader.require(&numeric)?;
    let mut writer = Writer::create(&Output::Path(folder.join("copy.csv")), None, true)?;
    let (mut rows, mut values) = (0, Vec::new());
    while let Some(chunk) = reader.next_chunk()? {
        writer.write(&chunk)?;
        rows += chunk.rows();
        if !numeric.is_empty() {
            values.extend_from_slice(chunk.numbers(&numeric)?.values());
        }
    }
    writer.finish()?;
    if !numeric.is_empty() {
        let table = read_table(input, Some(&numeric), options, MemoryLimit::bytes(1 << 26))?;
        let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(table.rows.len(), rows, "two ways to read one table");
        assert_eq!(bits(table.rows.values()), bits(&values), "two ways to read one table");
        // A column may well be constant.
        let _ = infer_schema(&table, &[], &[]);
    }
    Ok(rows)
}
