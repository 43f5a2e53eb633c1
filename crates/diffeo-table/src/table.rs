//! A whole table of numbers in memory, for fitting.

use diffeo::{Error, ErrorKind, Result, Rows};

use crate::options::{Input, MemoryLimit, ReadOptions};
use crate::reader::Reader;
use crate::report::ReadReport;

/// A table of finite numbers under the names of its columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// Names of the columns, in the order of `rows`.
    pub names: Vec<String>,
    /// The numbers.
    pub rows: Rows,
    /// Whether the file stores the column as whole numbers; never for text.
    pub integer_typed: Vec<bool>,
    /// What was met while reading.
    pub report: ReadReport,
}

impl Table {
    /// The place of a column.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the column and those that are there.
    pub fn index_of(&self, name: &str) -> Result<usize> {
        self.names
            .iter()
            .position(|n| n == name)
            .ok_or_else(|| crate::chunk::missing_columns(&[name], &self.names))
    }

    /// Some columns as a matrix of their own, in the given order.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] as [`Table::index_of`], [`ErrorKind::Shape`] for no columns.
    pub fn columns(&self, names: &[String]) -> Result<Rows> {
        let places = names.iter().map(|name| self.index_of(name)).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::with_capacity(self.rows.len() * places.len());
        for row in self.rows.values().chunks_exact(self.rows.width()) {
            values.extend(places.iter().filter_map(|&j| row.get(j)));
        }
        Rows::new(values, places.len())
    }
}

/// Reads the named columns of a table, or all of them, as numbers.
///
/// The memory it would take is estimated from the number of rows in the file, or from the share of the file that the first
/// rows filled; above `limit` it is refused before the memory is taken.
///
/// # Errors
/// As [`Reader::open`], [`Reader::require`] and [`Reader::next_chunk`], and [`ErrorKind::Limit`] with the estimate.
pub fn read_table(
    input: &Input,
    columns: Option<&[String]>,
    options: &ReadOptions,
    limit: MemoryLimit,
) -> Result<Table> {
    let mut reader = Reader::open(input, options)?;
    let names = columns.map_or_else(|| reader.columns().to_vec(), <[String]>::to_vec);
    crate::chunk::check_names(names.iter().map(String::as_str))?;
    reader.select(&names)?;
    let width = names.len() as u64;
    let check = |rows: u64, what: &str| {
        let bytes = rows.saturating_mul(width).saturating_mul(8);
        match limit.limit() {
            Some(most) if bytes > most => {
                Err(too_large(rows, width, bytes, most, what).at(input.label()))
            }
            _ => Ok(()),
        }
    };
    if let Some(rows) = reader.rows_hint() {
        check(rows, "")?;
    }
    let integer_typed = reader.integer_typed(&names);
    let mut values: Vec<f64> = Vec::new();
    let mut rows: u64 = 0;
    while let Some(chunk) = reader.next_chunk()? {
        rows += chunk.rows() as u64;
        check(rows, "at least ")?;
        if options.max_rows.is_none()
            && let Some(share) = reader.progress().filter(|&share| share > 0.0 && share < 1.0)
        {
            check((rows as f64 / share) as u64, "about ")?;
        }
        let numbers = chunk.numbers(&names)?;
        values.try_reserve(numbers.values().len()).map_err(|_| {
            Error::new(
                ErrorKind::Limit,
                format!("no memory for the table after {rows} rows; read fewer rows or columns"),
            )
        })?;
        values.extend_from_slice(numbers.values());
    }
    Ok(Table {
        rows: Rows::new(values, names.len())?,
        names,
        integer_typed,
        report: reader.report().clone(),
    })
}

fn too_large(rows: u64, columns: u64, bytes: u64, most: u64, what: &str) -> Error {
    let mib = |b: u64| (b as f64 / 1_048_576.0 * 10.0).round() / 10.0;
    Error::new(
        ErrorKind::Limit,
        format!(
            "{what}{rows} rows of {columns} columns need {} MiB of memory, the limit is {} MiB; read fewer with --max-rows, or choose columns",
            mib(bytes),
            mib(most)
        ),
    )
}
