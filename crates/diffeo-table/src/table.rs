//! A whole table of numbers in memory, for fitting.

use diffeo::{Column, Error, ErrorKind, Result, Rows};

use crate::chunk::Chunk;
use crate::content::Content;
use crate::needs::Wanted;
use crate::options::{Input, MemoryLimit, ReadOptions};
use crate::reader::Reader;
use crate::report::ReadReport;

/// A table of numbers under the names of its columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// Names of the columns, in the order of `rows`.
    pub names: Vec<String>,
    /// The numbers; what they stand for is told by `contents`. NaN where a value is missing and was to be kept.
    pub rows: Rows,
    /// What the cells of each column are.
    pub contents: Vec<Content>,
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

/// Reads the named columns of a table, or all of them: numbers, and what else their cells are in the form of numbers (see [`Content`]).
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
    let reader = Reader::open(input, options)?;
    let names = columns.unwrap_or_else(|| reader.columns()).iter();
    let wanted: Vec<Wanted> = names.map(Wanted::any).collect();
    gather(reader, input, &wanted, options, limit)
}

/// Like [`read_table`], for columns of some of which it has been said what they hold, or that values may be missing.
///
/// # Errors
/// As [`read_table`].
pub fn read_wanted(
    input: &Input,
    columns: &[Wanted],
    options: &ReadOptions,
    limit: MemoryLimit,
) -> Result<Table> {
    gather(Reader::open(input, options)?, input, columns, options, limit)
}

/// Reads rows as a model of these columns takes them; `limit` is as for [`read_table`].
///
/// # Errors
/// As [`read_table`] and [`Chunk::rows_for`].
pub fn read_rows(
    input: &Input,
    columns: &[Column],
    options: &ReadOptions,
    limit: MemoryLimit,
) -> Result<(Rows, ReadReport)> {
    let mut reader = Reader::open(input, options)?;
    crate::chunk::check_names(columns.iter().map(|column| column.name.as_str()))?;
    reader.select_columns(columns)?;
    let memory = Memory { input, options, limit, width: columns.len() };
    let values = memory.fill(&mut reader, |chunk| chunk.rows_for(columns))?;
    Ok((Rows::new(values, columns.len())?, reader.report().clone()))
}

fn gather(
    mut reader: Reader,
    input: &Input,
    wanted: &[Wanted],
    options: &ReadOptions,
    limit: MemoryLimit,
) -> Result<Table> {
    let names: Vec<String> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
    crate::chunk::check_names(names.iter().map(String::as_str))?;
    reader.select_wanted(wanted)?;
    let integer_typed = reader.integer_typed(&names);
    let memory = Memory { input, options, limit, width: names.len() };
    let mut values = memory.fill(&mut reader, |chunk| chunk.coded(&names))?;
    let width = names.len();
    let mut contents = Vec::with_capacity(width);
    for (j, (need, whole)) in reader.take_needs().into_iter().zip(&integer_typed).enumerate() {
        let mut column: Vec<f64> = values.iter().skip(j).step_by(width).copied().collect();
        contents.push(need.finish(&mut column, *whole));
        values.iter_mut().skip(j).step_by(width).zip(column).for_each(|(slot, x)| *slot = x);
    }
    let report = reader.report().clone();
    Ok(Table { rows: Rows::new(values, width)?, names, contents, integer_typed, report })
}

/// How much memory a table may take.
struct Memory<'a> {
    input: &'a Input,
    options: &'a ReadOptions,
    limit: MemoryLimit,
    width: usize,
}

impl Memory<'_> {
    fn check(&self, rows: u64, what: &str) -> Result<()> {
        let width = self.width as u64;
        let bytes = rows.saturating_mul(width).saturating_mul(8);
        match self.limit.limit() {
            Some(most) if bytes > most => {
                Err(too_large(rows, width, bytes, most, what).at(self.input.label()))
            }
            _ => Ok(()),
        }
    }

    /// What a reader gives, end to end.
    fn fill(
        &self,
        reader: &mut Reader,
        numbers: impl Fn(&Chunk) -> Result<Rows>,
    ) -> Result<Vec<f64>> {
        if let Some(rows) = reader.rows_hint() {
            self.check(rows, "")?;
        }
        let mut values: Vec<f64> = Vec::new();
        let mut rows: u64 = 0;
        while let Some(chunk) = reader.next_chunk()? {
            rows += chunk.rows() as u64;
            self.check(rows, "at least ")?;
            if self.options.max_rows.is_none()
                && let Some(share) = reader.progress().filter(|&share| share > 0.0 && share < 1.0)
            {
                self.check((rows as f64 / share) as u64, "about ")?;
            }
            let numbers = numbers(&chunk)?;
            values.try_reserve(numbers.values().len()).map_err(|_| {
                let text = format!(
                    "no memory for the table after {rows} rows; read fewer rows or columns"
                );
                Error::new(ErrorKind::Limit, text)
            })?;
            values.extend_from_slice(numbers.values());
        }
        Ok(values)
    }
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
