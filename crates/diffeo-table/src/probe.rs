//! Which columns of a table hold numbers, for users who name none.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, SchemaRef};
use diffeo::Result;

use crate::coding::text_of;
use crate::number::{Cell, looks_like_a_number, parse};
use crate::numbers::{Allowed, parse_column};
use crate::reader::Reader;

/// The columns of a table by what they hold, each list in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Numbers or truth values.
    pub numeric: Vec<String>,
    /// Text or dates.
    pub text: Vec<String>,
    /// Something of a type that cannot be read: lists, bytes.
    pub other: Vec<String>,
    /// No value in any row.
    pub empty: Vec<String>,
    /// Numbers of rows that pandas stored beside the table.
    pub index: Vec<String>,
}

/// Rows that are looked at whatever they hold; beyond, only a column without a value so far is.
const ROWS_EXAMINED: usize = 65_536;

/// What the cells of a column are, as far as they were seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    numbers: bool,
    truths: bool,
    text: bool,
    other: bool,
}

impl Reader {
    /// Sorts the columns. Reads as many rows as it takes to see a value of each, so the reader has done its work after.
    ///
    /// A column with both numbers and other text counts as numeric, so that reading it names the cell that is not a number:
    /// a slip must not make a column vanish.
    ///
    /// # Errors
    /// As [`Reader::next_chunk`].
    pub fn survey(mut self) -> Result<Survey> {
        let index = stored_index(&self.schema());
        let marks = self.marks();
        let mut seen = vec![Seen::default(); self.columns().len()];
        let mut rows = 0;
        while rows < ROWS_EXAMINED || seen.iter().any(Seen::is_nothing) {
            let Some(chunk) = self.next_chunk()? else { break };
            let first = chunk.rows().min(ROWS_EXAMINED.saturating_sub(rows));
            for (seen, array) in seen.iter_mut().zip(chunk.batch().columns()) {
                seen.look(&array.slice(0, first), usize::MAX, &marks);
                if seen.is_nothing() {
                    seen.look(&array.slice(first, array.len() - first), 1, &marks);
                }
            }
            rows += chunk.rows();
        }
        let mut survey = Survey::default();
        for (name, seen) in self.columns().iter().zip(seen) {
            let list = match seen {
                _ if index.contains(name) => &mut survey.index,
                Seen { numbers: true, .. } | Seen { truths: true, text: false, .. } => {
                    &mut survey.numeric
                }
                seen if seen.is_nothing() => &mut survey.empty,
                Seen { other: true, .. } => &mut survey.other,
                _ => &mut survey.text,
            };
            list.push(name.clone());
        }
        Ok(survey)
    }
}

impl Seen {
    fn is_nothing(&self) -> bool {
        !(self.numbers || self.truths || self.text || self.other)
    }

    /// Looks at the first `most` values, or until there is a number.
    fn look(&mut self, array: &ArrayRef, most: usize, marks: &[String]) {
        match array.data_type() {
            DataType::Utf8 => self.look_at_text(array.as_string::<i32>().iter(), most, marks),
            DataType::LargeUtf8 => self.look_at_text(array.as_string::<i64>().iter(), most, marks),
            DataType::Utf8View => self.look_at_text(array.as_string_view().iter(), most, marks),
            DataType::Null => {}
            _ if array.null_count() == array.len() => {}
            DataType::Dictionary(_, value) if value.is_string() => match text_of(array) {
                Ok(Some(cells)) => self.look_at_text(cells.iter(), most, marks),
                _ => self.other = true,
            },
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => self.text = true,
            _ => match parse_column(&array.slice(0, 1), &Allowed::any()) {
                Ok(_) => self.numbers = true,
                Err(_) => self.other = true,
            },
        }
    }

    fn look_at_text<'a>(
        &mut self,
        cells: impl Iterator<Item = Option<&'a str>>,
        most: usize,
        marks: &[String],
    ) {
        let cells = cells.flatten().filter(|cell| !marks.iter().any(|mark| mark == cell.trim()));
        let values = cells.map(|cell| (cell, parse(cell)));
        for (cell, found) in values.filter(|(_, found)| *found != Cell::Missing).take(most) {
            match found {
                Cell::Truth(..) => self.truths = true,
                // Such a column is not one of text: reading it says how to write it.
                Cell::Text if !looks_like_a_number(cell.trim()) => self.text = true,
                _ => self.numbers = true,
            }
            if self.numbers {
                return;
            }
        }
    }
}

/// The columns that pandas made of a table's row index, as its note in the file says.
fn stored_index(schema: &SchemaRef) -> Vec<String> {
    let note = schema.metadata().get("pandas").map(|text| serde_json::from_str(text));
    let Some(Ok(serde_json::Value::Object(note))) = note else { return Vec::new() };
    let index = note.get("index_columns").and_then(|list| list.as_array()).into_iter().flatten();
    // A range is described, not stored.
    index.filter_map(|name| name.as_str()).map(str::to_owned).collect()
}
