//! The first line of a delimited text: names or data.

use diffeo::{Error, Result, quoted};

use super::decode::numbered_names;
use super::records::Records;
use super::separator::{Layout, is_with_comma};
use crate::number::{Cell, parse};
use crate::options::{Delimiter, Header};

/// Most columns of a text file.
const COLUMNS_MAX: usize = 100_000;

/// Names of the columns, and how they were found.
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    pub(crate) note: Option<String>,
    /// Whether rows have one field more than the header, first, which names the row.
    pub(crate) rows_are_named: bool,
}

impl Names {
    fn new(names: Vec<String>, note: Option<String>) -> Self {
        Self { names, note, rows_are_named: false }
    }
}

/// Reads the first record. If it turns out to be data, it will be given again.
pub(crate) fn read(records: &mut Records, header: Header, layout: Layout) -> Result<Names> {
    let delimiter = layout.delimiter;
    let mut found = records.next()?;
    // Below a comment a blank line parts it from the table.
    while found && records.comments() > 0 && records.is_blank() {
        found = records.next()?;
    }
    if !found {
        let what = match records.comments() {
            0 => "the file is empty".to_owned(),
            lines => format!(
                "the file holds nothing but comments, {lines} lines that start with the comment mark (see --comment)"
            ),
        };
        return Err(Error::data(format!("{what}; expected a header and at least one row")));
    }
    let width = records.len();
    if width > COLUMNS_MAX {
        return Err(Error::data(format!(
            "line {} has {width} fields; a text table has at most {COLUMNS_MAX} columns",
            records.line()
        )));
    }
    if header == Header::Auto
        && has_number(records)
        && let Some(names) = commented(records, delimiter)
    {
        records.rewind_one();
        let note = "the names of the columns are those of the comment before the first row";
        return Ok(Names::new(names, Some(note.to_owned())));
    }
    let is_data = match header {
        Header::Yes => false,
        Header::No => true,
        Header::Auto => is_all_numbers(records, layout.has_decimal_commas),
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
        return Ok(Names::new(names, note));
    }
    let mut names = Names::new(Vec::with_capacity(width), None);
    for i in 0..width {
        names.names.push(name(records, i, width, delimiter)?);
    }
    if records.next()? {
        // A comma may be a decimal one; R puts the names of rows in quotes.
        let apart = delimiter == Delimiter::Blanks || records.first_is_quoted();
        if records.len() == width + 1 && apart {
            names.rows_are_named = true;
            names.note = Some(
                "rows have one field more than the header; the first names the row, as R writes it, and is left out"
                    .to_owned(),
            );
        }
        records.rewind_one();
    }
    Ok(names)
}

/// The words of the comment before the first record, if there is one for each of its fields.
fn commented(records: &Records, delimiter: Delimiter) -> Option<Vec<String>> {
    let text = std::str::from_utf8(records.remark()).ok()?;
    let words: Vec<String> = match delimiter {
        Delimiter::Byte(byte) => {
            text.split(char::from(byte)).map(|word| word.trim().to_owned()).collect()
        }
        Delimiter::Blanks => text.split_whitespace().map(str::to_owned).collect(),
    };
    let fit = words.len() == records.len() && !words.iter().any(String::is_empty);
    // A sentence is no name.
    let is_name = words.len() > 1 || !text.trim().contains(' ');
    (fit && is_name).then_some(words)
}

fn has_number(records: &Records) -> bool {
    let is_number = |cell: &[u8]| {
        std::str::from_utf8(cell)
            .is_ok_and(|cell| !matches!(parse(cell), Cell::Text | Cell::Missing))
    };
    (0..records.len()).any(|i| is_number(records.field(i)))
}

fn span(width: usize) -> String {
    if width == 1 { "x1".to_owned() } else { format!("x1 to x{width}") }
}

/// Every cell is a number or missing, and at least one is a number.
fn is_all_numbers(records: &Records, has_decimal_commas: bool) -> bool {
    let mut numbers = 0;
    for i in 0..records.len() {
        if has_decimal_commas && is_with_comma(records.field(i)) {
            numbers += 1;
            continue;
        }
        match std::str::from_utf8(records.field(i)).map(parse) {
            Ok(Cell::Text) | Err(_) => return false,
            Ok(Cell::Missing) => {}
            Ok(_) => numbers += 1,
        }
    }
    numbers > 0
}

fn name(records: &Records, i: usize, width: usize, delimiter: Delimiter) -> Result<String> {
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
            "line {}: column {} of {width} has no name ({hint})",
            records.line(),
            i + 1
        )));
    }
    if width == 1
        && let Some(other) = [',', ';', '\t', '|']
            .into_iter()
            .find(|&c| delimiter != Delimiter::Byte(c as u8) && text.contains(c))
    {
        return Err(Error::data(format!(
            "line {}: one column, named {}; it contains {}, is that the delimiter? use --delimiter",
            records.line(),
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
