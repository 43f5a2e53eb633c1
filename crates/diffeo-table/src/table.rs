//! A whole table of numbers in memory, for fitting.

use diffeo::{Column, Error, ErrorKind, Result, Rows};

use crate::chunk::Chunk;
use crate::content::Content;
use crate::needs::{Need, Wanted};
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
    gather(vec![(reader, input)], &wanted, options, limit)
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
    read_together(std::slice::from_ref(input), columns, options, limit)
}

/// Reads the same columns of several tables as those of one, the rows of the first before those of the second: what a column holds is found in all.
///
/// # Errors
/// As [`read_table`].
pub fn read_together(
    inputs: &[Input],
    columns: &[Wanted],
    options: &ReadOptions,
    limit: MemoryLimit,
) -> Result<Table> {
    let open = |input| Ok((Reader::open(input, options)?, input));
    gather(inputs.iter().map(open).collect::<Result<_>>()?, columns, options, limit)
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
    let mut values = Vec::new();
    memory.fill(&mut reader, &mut values, |chunk| chunk.rows_for(columns))?;
    Ok((Rows::new(values, columns.len())?, reader.report().clone()))
}

fn gather(
    tables: Vec<(Reader, &Input)>,
    wanted: &[Wanted],
    options: &ReadOptions,
    limit: MemoryLimit,
) -> Result<Table> {
    let names: Vec<String> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
    crate::chunk::check_names(names.iter().map(String::as_str))?;
    let mut needs: Vec<Need> = wanted.iter().map(Need::of_wanted).collect();
    let (mut values, mut report) = (Vec::new(), ReadReport::default());
    let mut integer_typed = vec![true; names.len()];
    for (mut reader, input) in tables {
        reader.select_needs(needs)?;
        let here = reader.integer_typed(&names);
        integer_typed.iter_mut().zip(here).for_each(|(all, here)| *all &= here);
        let memory = Memory { input, options, limit, width: names.len() };
        memory.fill(&mut reader, &mut values, |chunk| chunk.coded(&names))?;
        report.add(reader.report());
        needs = reader.take_needs();
    }
    let width = names.len();
    let mut contents = Vec::with_capacity(width);
    for (j, (need, whole)) in needs.into_iter().zip(&integer_typed).enumerate() {
        let mut column: Vec<f64> = values.iter().skip(j).step_by(width).copied().collect();
        contents.push(need.finish(&mut column, *whole));
        values.iter_mut().skip(j).step_by(width).zip(column).for_each(|(slot, x)| *slot = x);
    }
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

    /// Adds what a reader gives, end to end.
    fn fill(
        &self,
        reader: &mut Reader,
        values: &mut Vec<f64>,
        numbers: impl Fn(&Chunk) -> Result<Rows>,
    ) -> Result<()> {
        let before = (values.len() / self.width) as u64;
        if let Some(rows) = reader.rows_hint() {
            self.check(before.saturating_add(rows), "")?;
        }
        let mut read = 0;
        while let Some(chunk) = reader.next_chunk()? {
            read += chunk.rows() as u64;
            let rows = before + read;
            self.check(rows, "at least ")?;
            if self.options.max_rows.is_none()
                && let Some(share) = reader.progress().filter(|&share| share > 0.0 && share < 1.0)
            {
                self.check(before + (read as f64 / share) as u64, "about ")?;
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
        Ok(())
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
