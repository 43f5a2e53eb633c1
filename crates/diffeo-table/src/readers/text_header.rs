//! The first line of a delimited text: names or data, and which delimiter.

use diffeo::{Error, Result, quoted};

use super::decode::numbered_names;
use super::records::Records;
use crate::format::Format;
use crate::number::{Cell, parse};
use crate::options::{Header, ReadOptions};

/// Most columns of a text file.
const COLUMNS_MAX: usize = 100_000;

/// Names of the columns and whether the first record is data.
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    pub(crate) note: Option<String>,
}

/// The byte between cells: the caller's, a tab for TSV, what the first line shows for text of unknown format, else a comma.
pub(crate) fn delimiter(options: &ReadOptions, format: Option<Format>, head: &[u8]) -> Result<u8> {
    match (options.delimiter, format) {
        (Some(byte), _)
            if matches!(byte, b'"' | b'\n' | b'\r' | 0)
                || byte.is_ascii_alphanumeric()
                || byte >= 128 =>
        {
            Err(Error::config(format!(
                "a delimiter is one ASCII character that is no letter, digit, quote or line end, not {}",
                quoted(&char::from(byte).to_string())
            )))
        }
        (Some(byte), _) => Ok(byte),
        (None, Some(Format::Tsv)) => Ok(b'\t'),
        (None, Some(_)) => Ok(b','),
        (None, None) => {
            let first = head.split(|&b| b == b'\n').next().unwrap_or(&[]);
            Ok(if first.contains(&b'\t') && !first.contains(&b',') { b'\t' } else { b',' })
        }
    }
}

/// Reads the first record. If it turns out to be data, it will be given again.
pub(crate) fn read(records: &mut Records, header: Header, delimiter: u8) -> Result<Names> {
    if !records.next()? {
        return Err(Error::data("the file is empty; expected a header and at least one row"));
    }
    let width = records.len();
    if width > COLUMNS_MAX {
        return Err(Error::data(format!(
            "line 1 has {width} fields; a text table has at most {COLUMNS_MAX} columns"
        )));
    }
    let is_data = match header {
        Header::Yes => false,
        Header::No => true,
        Header::Auto => is_all_numbers(records),
    };
    if is_data {
        records.rewind_one();
        let names = numbered_names(width);
        let note = (header == Header::Auto).then(|| {
            format!(
                "the first line holds only numbers and is taken as data; the columns are called {}",
                span(width)
            )
        });
        return Ok(Names { names, note });
    }
    let mut names = Vec::with_capacity(width);
    for i in 0..width {
        names.push(name(records, i, width, delimiter)?);
    }
    Ok(Names { names, note: None })
}

fn span(width: usize) -> String {
    if width == 1 { "x1".to_owned() } else { format!("x1 to x{width}") }
}

/// Every cell is a number or missing, and at least one is a number.
fn is_all_numbers(records: &Records) -> bool {
    let mut numbers = 0;
    for i in 0..records.len() {
        match std::str::from_utf8(records.field(i)).map(parse) {
            Ok(Cell::Text) | Err(_) => return false,
            Ok(Cell::Missing) => {}
            Ok(_) => numbers += 1,
        }
    }
    numbers > 0
}

fn name(records: &Records, i: usize, width: usize, delimiter: u8) -> Result<String> {
    let text = std::str::from_utf8(records.field(i)).map_err(|e| {
        not_utf8(
            records.field(i),
            e.valid_up_to(),
            format!("line {}, name of column {}", records.line(), i + 1),
        )
    })?;
    let text = text.trim();
    if text.is_empty() {
        let hint = if i + 1 == width && width > 1 {
            "does the header end with a delimiter?"
        } else if i == 0 && width > 1 {
            "an index written by pandas? use to_csv(index=False), or name it"
        } else {
            "give every column a name, or use --header no if the first line is data"
        };
        return Err(Error::data(format!(
            "line 1: column {} of {width} has no name ({hint})",
            i + 1
        )));
    }
    if width == 1
        && let Some(other) = [',', ';', '\t', '|']
            .into_iter()
            .find(|&c| c != char::from(delimiter) && text.contains(c))
    {
        return Err(Error::data(format!(
            "line 1: one column, named {}; it contains {}, is that the delimiter? use --delimiter",
            quoted(text),
            quoted(&other.to_string())
        )));
    }
    Ok(text.to_owned())
}

/// Names the encoding that bytes which are not UTF-8 look like.
pub(crate) fn not_utf8(cell: &[u8], at: usize, place: String) -> Error {
    let byte = cell.get(at).copied().unwrap_or(0);
    Error::data(format!(
        "{place}: byte 0x{byte:02X} is not UTF-8, it looks like Latin-1 or Windows-1252; convert the file: iconv -f WINDOWS-1252 -t UTF-8"
    ))
}
