//! Which columns of a table hold numbers, for users who name none.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use crate::chunk::Chunk;
use crate::number::{Cell, has_comma_as_point, parse};
use crate::numbers::{Allowed, parse_column};

impl Chunk {
    /// The columns that hold numbers: of a numeric type, or text of which at least one cell is a number.
    ///
    /// A column with both numbers and other text counts as numeric, so that reading it names the cell that is not a number:
    /// a slip must not make a column vanish.
    pub fn numeric_columns(&self) -> Vec<String> {
        let batch = self.batch();
        let names = batch.schema_ref().fields().iter().map(|field| field.name().clone());
        let numeric = names.zip(batch.columns()).filter(|(_, array)| holds_numbers(array));
        numeric.map(|(name, _)| name).collect()
    }
}

fn holds_numbers(array: &ArrayRef) -> bool {
    fn any<'a>(mut cells: impl Iterator<Item = Option<&'a str>>) -> bool {
        let is_number = |cell: &str| match parse(cell) {
            // Such a column is not text to leave out: reading it says how to write it.
            Cell::Text => has_comma_as_point(cell.trim()),
            cell => cell != Cell::Missing,
        };
        cells.any(|cell| cell.is_some_and(is_number))
    }
    match array.data_type() {
        DataType::Utf8 => any(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => any(array.as_string::<i64>().iter()),
        DataType::Utf8View => any(array.as_string_view().iter()),
        DataType::Null => false,
        _ => parse_column(&array.slice(0, array.len().min(1)), Allowed::ANY).is_ok(),
    }
}
