//! Some rows of a table: the columns as they are in the file, and those that are needed as numbers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::filter::{filter, filter_record_batch};
use arrow_select::take::{TakeOptions, take};
use diffeo::{Column, Error, ErrorKind, Result, Rows, printable, quoted};

use crate::coding::{Coder, each_level};
use crate::needs::{Need, is_plain};
use crate::numbers::{Allowed, Fault, Parsed};

/// Rows of a table under the names of its columns.
///
/// A chunk keeps the columns of its file unchanged (text stays text, every Arrow type stays), so that what is written next to
/// new columns is what was read.
#[derive(Clone, Debug)]
pub struct Chunk {
    batch: RecordBatch,
    first_row: u64,
    origin: Origin,
    /// For each column what else is known of it.
    known: Vec<Known>,
    allowed: Allowed,
    /// Where columns are, once one was asked for: an image has many thousands.
    places: OnceLock<Arc<HashMap<String, usize>>>,
}

/// What is known of a column beside its cells.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Its numbers, if they were needed while reading.
    numbers: Option<Arc<[f64]>>,
    /// Whether they are those of the cells, not what these stand for.
    is_plain: bool,
    /// The cells of formats with types, if they are others.
    typed: Option<ArrayRef>,
}

/// Where the rows of a chunk stand in their file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) label: Option<PathBuf>,
    pub(crate) places: Places,
}

/// The place of each row.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    /// Physical lines of a text, from 1.
    Lines(Arc<[u64]>),
    /// Rows with consecutive numbers from this one, counted from 1.
    RowsFrom(u64),
    /// Rows with these numbers, from 1.
    Rows(Arc<[u64]>),
}

impl Default for Places {
    fn default() -> Self {
        Self::RowsFrom(1)
    }
}

impl Places {
    pub(crate) fn describe(&self, row: usize) -> String {
        match self {
            Self::Lines(lines) => format!("line {}", lines.get(row).copied().unwrap_or(0)),
            Self::RowsFrom(first) => format!("row {}", first + row as u64),
            Self::Rows(rows) => format!("row {}", rows.get(row).copied().unwrap_or(0)),
        }
    }

    fn kept(&self, keep: &[bool]) -> Self {
        let pick = |place: &dyn Fn(usize) -> u64| -> Arc<[u64]> {
            keep.iter().enumerate().filter(|&(_, &k)| k).map(|(i, _)| place(i)).collect()
        };
        match self {
            Self::Lines(lines) => Self::Lines(pick(&|i| lines.get(i).copied().unwrap_or(0))),
            Self::RowsFrom(first) => Self::Rows(pick(&|i| first + i as u64)),
            Self::Rows(rows) => Self::Rows(pick(&|i| rows.get(i).copied().unwrap_or(0))),
        }
    }
}

impl Origin {
    pub(crate) fn error(&self, message: String) -> Error {
        let error = Error::data(message);
        match &self.label {
            Some(label) => error.at(label),
            None => error,
        }
    }

    /// Puts a fault of a column into words.
    pub(crate) fn fault(&self, column: &str, fault: Fault) -> Error {
        match fault {
            Fault::Type(found) => self.error(format!(
                "column {}: expected numbers, truth values, text or dates, found {}; leave it out of --columns, or use --exclude",
                quoted(column),
                printable(&found)
            )),
            Fault::Cell { row, reason } => self.error(format!(
                "{}, column {}: {reason}",
                self.places.describe(row),
                quoted(column)
            )),
        }
    }
}

impl Chunk {
    pub(crate) fn new(
        batch: RecordBatch,
        first_row: u64,
        origin: Origin,
        allowed: Allowed,
    ) -> Self {
        let known = vec![Known::default(); batch.num_columns()];
        Self { batch, first_row, origin, known, allowed, places: OnceLock::new() }
    }

    /// A chunk of cells that were made, some of which have another form in formats with types.
    pub(crate) fn of_cells(batch: RecordBatch, typed: Vec<Option<ArrayRef>>) -> Self {
        let known = typed.into_iter().map(|typed| Known { typed, ..Known::default() }).collect();
        Self { known, ..Self::new(batch, 0, Origin::default(), Allowed::any()) }
    }

    /// A chunk of numbers under the given names; the columns marked in `integer` become whole numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the lengths differ, [`ErrorKind::Data`] if a name is used twice or an integer column holds
    /// anything but whole numbers below 2^63.
    pub fn from_rows(names: &[String], rows: &Rows, integer: &[bool]) -> Result<Self> {
        if names.len() != rows.width() || integer.len() != names.len() {
            return Err(Error::shape(format!(
                "expected {} names and integer marks, one for each column, found {} and {}",
                rows.width(),
                names.len(),
                integer.len()
            )));
        }
        let mut fields = Vec::with_capacity(names.len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(names.len());
        for (j, (name, &whole)) in names.iter().zip(integer).enumerate() {
            let values = rows.column(j);
            if whole {
                fields.push(Field::new(name, DataType::Int64, false));
                arrays.push(Arc::new(Int64Array::from(whole_numbers(name, &values)?)));
            } else {
                fields.push(Field::new(name, DataType::Float64, false));
                arrays.push(Arc::new(Float64Array::from(values)));
            }
        }
        check_names(names.iter().map(String::as_str))?;
        let batch = batch_of(fields, arrays, rows.len())?;
        Ok(Self::new(batch, 0, Origin::default(), Allowed::any()))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Number of rows in the chunks before this one (without those that were left out).
    pub fn first_row(&self) -> u64 {
        self.first_row
    }

    /// Names of the columns, in the order of the file.
    pub fn columns(&self) -> Vec<String> {
        self.batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect()
    }

    /// The named columns as a matrix of finite numbers, in the order of the names.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the file, the line or row, the column and the cell: for a name that is not there, for a cell
    /// that is missing, not a number, infinite or too large.
    pub fn numbers(&self, columns: &[String]) -> Result<Rows> {
        let columns: Vec<Column> = columns.iter().map(Column::real).collect();
        self.rows_for(&columns)
    }

    /// The rows as a model of these columns takes them, in their order: levels by their places (one beyond the last for a level that is not
    /// in the list), truth values as 0 and 1, dates as days and times as seconds since 1970, and NaN for a missing value where there may be
    /// one.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the file, the line or row, the column and the cell: for a column that is not there, for a cell that is not
    /// of the column's kind of cells, and for a missing one where there may be none.
    pub fn rows_for(&self, columns: &[Column]) -> Result<Rows> {
        let width = columns.len();
        if width == 0 {
            return Err(Error::shape("expected at least one column, found none"));
        }
        let mut values = vec![0.0; self.rows() * width];
        for (j, column) in columns.iter().enumerate() {
            let i = self.index_of(&column.name)?;
            match self.known.get(i) {
                Some(Known { numbers: Some(numbers), is_plain: plain, .. })
                    if *plain == is_plain(column) =>
                {
                    scatter(&mut values, numbers, j, width);
                }
                _ => {
                    let parsed = Coder::new(column).code(self.batch.column(i), &self.allowed);
                    let parsed = parsed.map_err(|fault| self.origin.fault(&column.name, fault))?;
                    if !column.may_be_missing() {
                        self.refuse_missing(&column.name, &parsed)?;
                    }
                    scatter(&mut values, &parsed.values, j, width);
                }
            }
        }
        Rows::new(values, width)
    }

    /// [`Chunk::rows_for`] without one of the columns, which need not be there: it is 0 in each row.
    ///
    /// # Errors
    /// As [`Chunk::rows_for`].
    pub fn rows_but(&self, columns: &[Column], without: usize) -> Result<Rows> {
        let mut others = columns.to_vec();
        others.remove(without);
        let mut rows = Rows::zeros(self.rows(), columns.len());
        if others.is_empty() {
            return Ok(rows);
        }
        let found = self.rows_for(&others)?;
        for i in 0..found.len() {
            let (before, after) = found.row(i).split_at(without);
            rows.row_mut(i)[..without].copy_from_slice(before);
            rows.row_mut(i)[without + 1..].copy_from_slice(after);
        }
        Ok(rows)
    }

    /// The level of each cell of a column, and none where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for a column that is not there, or of cells that are no levels.
    pub(crate) fn levels_of(&self, column: &Column) -> Result<Vec<Option<String>>> {
        let array = self.batch.column(self.index_of(&column.name)?);
        let mut levels = Vec::with_capacity(self.rows());
        let is_known = |text: &str| column.levels.iter().any(|level| level == text);
        each_level(array, (&self.allowed, &is_known), |level| {
            levels.push(level.map(str::to_owned))
        })
        .map_err(|fault| self.origin.fault(&column.name, fault))?;
        Ok(levels)
    }

    /// The numbers of all needed columns, whatever they stand for.
    pub(crate) fn coded(&self, names: &[String]) -> Result<Rows> {
        let mut values = vec![0.0; self.rows() * names.len()];
        for (j, name) in names.iter().enumerate() {
            if let Some(numbers) = self.known.get(self.index_of(name)?).map(|k| &k.numbers) {
                scatter(&mut values, numbers.as_deref().unwrap_or_default(), j, names.len());
            }
        }
        Rows::new(values, names.len())
    }

    fn refuse_missing(&self, name: &str, parsed: &Parsed) -> Result<()> {
        let Some(&row) = parsed.missing.first() else { return Ok(()) };
        Err(self.origin.error(format!(
            "{}, column {}: the value is missing; expected one in every row",
            self.origin.places.describe(row),
            quoted(name)
        )))
    }

    /// The same rows with one more column at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if there are not as many values as rows, [`ErrorKind::Data`] if the name is taken.
    pub fn with_column(&self, name: &str, values: Vec<f64>) -> Result<Self> {
        self.with_array(name, Arc::new(Float64Array::from(values)))
    }

    /// The same rows with a column of the whole numbers 0 (false) and 1 (true) at the end.
    ///
    /// # Errors
    /// As [`Chunk::with_column`].
    pub fn with_flags(&self, name: &str, flags: &[bool]) -> Result<Self> {
        let values = flags.iter().map(|&flag| i64::from(flag));
        self.with_array(name, Arc::new(Int64Array::from_iter_values(values)))
    }

    /// The same rows with a column of text at the end, with nothing in the rows that have none.
    ///
    /// # Errors
    /// As [`Chunk::with_column`].
    pub fn with_words<'a>(
        &self,
        name: &str,
        words: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Result<Self> {
        self.with_array(name, Arc::new(words.into_iter().collect::<StringArray>()))
    }

    fn with_array(&self, name: &str, values: ArrayRef) -> Result<Self> {
        if values.len() != self.rows() {
            return Err(Error::shape(format!(
                "expected {} values for column {}, one for each row, found {}",
                self.rows(),
                quoted(name),
                values.len()
            )));
        }
        if self.batch.schema_ref().fields().iter().any(|f| f.name() == name) {
            return Err(self.origin.error(format!(
                "a column {} would be added, but the table has one of that name already; rename it in the input",
                quoted(name)
            )));
        }
        let mut fields: Vec<Field> =
            self.batch.schema_ref().fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.push(Field::new(name, values.data_type().clone(), values.null_count() > 0));
        let mut arrays = self.batch.columns().to_vec();
        arrays.push(values);
        let mut known = self.known.clone();
        known.push(Known::default());
        let batch = batch_of(fields, arrays, self.rows())?;
        Ok(self.with(batch, known, self.origin.clone()))
    }

    /// The same rows without a column.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there is none of that name.
    pub fn without_column(&self, name: &str) -> Result<Self> {
        let i = self.index_of(name)?;
        let (mut batch, mut known) = (self.batch.clone(), self.known.clone());
        batch.remove_column(i);
        known.remove(i);
        Ok(self.with(batch, known, self.origin.clone()))
    }

    /// The same rows without the columns of these names, as far as there are such.
    ///
    /// # Errors
    /// None of its own.
    pub fn without_columns(&self, names: &[String]) -> Result<Self> {
        let names: std::collections::HashSet<&String> = names.iter().collect();
        let fields = self.batch.schema_ref().fields();
        let keep: Vec<usize> =
            (0..fields.len()).filter(|&i| !names.contains(fields[i].name())).collect();
        let batch = self.batch.project(&keep).map_err(|e| Error::data(e.to_string()))?;
        let known = keep.iter().map(|&i| self.known[i].clone()).collect();
        Ok(self.with(batch, known, self.origin.clone()))
    }

    fn with(&self, batch: RecordBatch, known: Vec<Known>, origin: Origin) -> Self {
        let (first_row, allowed) = (self.first_row, self.allowed.clone());
        Self { batch, known, origin, first_row, allowed, places: OnceLock::new() }
    }

    /// Parses a needed column in advance; the caller deals with what is missing.
    pub(crate) fn parse(&self, need: &mut Need) -> Result<(usize, Parsed)> {
        let i = self.index_of(&need.name)?;
        let parsed = need
            .code(self.batch.column(i), &self.allowed)
            .map_err(|fault| self.origin.fault(&need.name, fault))?;
        Ok((i, parsed))
    }

    pub(crate) fn set_parsed(&mut self, i: usize, values: Vec<f64>, is_plain: bool) {
        if let Some(known) = self.known.get_mut(i) {
            (known.numbers, known.is_plain) = (Some(values.into()), is_plain);
        }
    }

    /// The rows that are marked.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there are not as many marks as rows.
    pub fn keep(&self, keep: &[bool]) -> Result<Self> {
        let mask = BooleanArray::from(keep.to_vec());
        let fault = |e| Error::data(format!("cannot leave out rows: {e}"));
        if keep.len() != self.rows() {
            return Err(Error::data(format!(
                "cannot leave out rows: {} marks for {} rows",
                keep.len(),
                self.rows()
            )));
        }
        let batch = filter_record_batch(&self.batch, &mask).map_err(fault)?;
        let pick = |numbers: &Arc<[f64]>| -> Arc<[f64]> {
            numbers.iter().zip(keep).filter(|&(_, &k)| k).map(|(&x, _)| x).collect()
        };
        let kept = |known: &Known| {
            let typed = known.typed.as_ref().map(|cells| filter(cells, &mask)).transpose()?;
            Ok(Known { numbers: known.numbers.as_ref().map(pick), typed, ..*known })
        };
        let known = self.known.iter().map(kept).collect::<Result<_, _>>().map_err(fault)?;
        let places = self.origin.places.kept(keep);
        let origin = Origin { label: self.origin.label.clone(), places };
        Ok(self.with(batch, known, origin))
    }

    /// Rows by their places, each as often as it is named.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there is no such row.
    pub fn take(&self, rows: &[usize]) -> Result<Self> {
        let places = UInt64Array::from_iter_values(rows.iter().map(|&row| row as u64));
        let fault = |e| Error::data(format!("cannot repeat rows: {e}"));
        let checked = || Some(TakeOptions { check_bounds: true });
        let taken = |cells: &ArrayRef| take(cells, &places, checked()).map_err(fault);
        let fields = self.batch.schema_ref().fields().iter().map(|f| f.as_ref().clone()).collect();
        let arrays = self.batch.columns().iter().map(taken).collect::<Result<_>>()?;
        let of_rows = |numbers: &Arc<[f64]>| rows.iter().map(|&row| numbers[row]).collect();
        let known = self.known.iter().map(|known| {
            let typed = known.typed.as_ref().map(taken).transpose()?;
            Ok(Known { numbers: known.numbers.as_ref().map(of_rows), typed, ..*known })
        });
        let (known, label) = (known.collect::<Result<_>>()?, self.origin.label.clone());
        let batch = batch_of(fields, arrays, rows.len())?;
        Ok(self.with(batch, known, Origin { label, places: Places::default() }))
    }

    /// The same rows with the columns of another chunk, those of these names first and in this order.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if there are not as many rows, [`ErrorKind::Data`] for a name that both have.
    pub fn beside(&self, other: &Self, order: &[String]) -> Result<Self> {
        if self.rows() != other.rows() {
            let text = format!("expected {} rows, found {}", self.rows(), other.rows());
            return Err(Error::shape(text));
        }
        let place: HashMap<&String, usize> =
            order.iter().enumerate().map(|(i, n)| (n, i)).collect();
        let columns = |chunk: &Self| {
            let fields = chunk.batch.schema().fields().clone();
            let fields: Vec<Field> = fields.iter().map(|field| field.as_ref().clone()).collect();
            fields.into_iter().zip(chunk.batch.columns().to_vec()).zip(chunk.known.clone())
        };
        let mut all: Vec<_> = columns(self).chain(columns(other)).collect();
        check_names(all.iter().map(|((field, _), _)| field.name().as_str()))?;
        all.sort_by_key(|((field, _), _)| place.get(field.name()).copied().unwrap_or(usize::MAX));
        let (cells, known): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let (fields, arrays) = cells.into_iter().unzip();
        Ok(self.with(batch_of(fields, arrays, self.rows())?, known, self.origin.clone()))
    }

    pub(crate) fn set_first_row(&mut self, row: u64) {
        self.first_row = row;
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The batch for a format that has types: text columns that were read as numbers are numbers there.
    pub fn typed_batch(&self) -> Result<RecordBatch> {
        let mut fields = Vec::with_capacity(self.batch.num_columns());
        let mut arrays = Vec::with_capacity(self.batch.num_columns());
        for (i, field) in self.batch.schema_ref().fields().iter().enumerate() {
            let array = self.batch.column(i);
            match self.known.get(i) {
                Some(Known { typed: Some(cells), .. }) => {
                    let nullable = field.is_nullable();
                    fields.push(Field::new(field.name(), cells.data_type().clone(), nullable));
                    arrays.push(cells.clone());
                }
                Some(Known { numbers: Some(numbers), is_plain: true, .. })
                    if *array.data_type() == DataType::Utf8 =>
                {
                    let numbers = numbers.iter().map(|x| (!x.is_nan()).then_some(*x));
                    fields.push(Field::new(field.name(), DataType::Float64, true));
                    arrays.push(Arc::new(numbers.collect::<Float64Array>()) as ArrayRef);
                }
                _ => {
                    fields.push(field.as_ref().clone());
                    arrays.push(array.clone());
                }
            }
        }
        batch_of(fields, arrays, self.rows())
    }

    fn index_of(&self, name: &str) -> Result<usize> {
        let places = self.places.get_or_init(|| {
            let names = self.batch.schema_ref().fields().iter().map(|f| f.name().clone());
            Arc::new(names.enumerate().map(|(i, name)| (name, i)).collect())
        });
        places.get(name).copied().ok_or_else(|| {
            let error = missing_columns(&[name], &self.columns());
            match &self.origin.label {
                Some(label) => error.at(label),
                None => error,
            }
        })
    }
}

/// Names are not empty and no two are the same.
pub(crate) fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for (i, name) in names.enumerate() {
        if name.is_empty() {
            return Err(Error::data(format!(
                "column {} has no name; give every column one",
                i + 1
            )));
        }
        if !seen.insert(name) {
            return Err(Error::data(format!(
                "two columns are called {}; give every column its own name",
                quoted(name)
            )));
        }
    }
    Ok(())
}

/// The error for names that a table does not have.
pub(crate) fn missing_columns(wanted: &[&str], found: &[String]) -> Error {
    const SHOWN: usize = 20;
    let list = |names: &mut dyn Iterator<Item = &str>, n: usize| {
        let mut text = names.take(SHOWN).map(quoted).collect::<Vec<_>>().join(", ");
        if n > SHOWN {
            text.push_str(&format!(" and {} more", n - SHOWN));
        }
        text
    };
    let is_odd = |name: &String| name.contains([',', '=', '[', '"']);
    let hint = match found.iter().any(is_odd) {
        true => " (in a list, a name with a comma, = or [ stands in double quotes: '\"a, b\",c')",
        false => "",
    };
    Error::data(format!(
        "expected {} {}; the table has {}{hint}",
        if wanted.len() == 1 { "a column" } else { "the columns" },
        list(&mut wanted.iter().copied(), wanted.len()),
        list(&mut found.iter().map(String::as_str), found.len())
    ))
}

fn whole_numbers(name: &str, values: &[f64]) -> Result<Vec<i64>> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0; // 2^63
    let whole = |&x: &f64| {
        if x.fract() == 0.0 && (-BOUND..BOUND).contains(&x) { Some(x as i64) } else { None }
    };
    let converted: Option<Vec<i64>> = values.iter().map(whole).collect();
    converted.ok_or_else(|| {
        let bad = values.iter().find(|x| whole(x).is_none()).copied().unwrap_or(f64::NAN);
        Error::data(format!(
            "column {}: expected whole numbers below 2^63, found {bad}",
            quoted(name)
        ))
    })
}

fn scatter(values: &mut [f64], column: &[f64], j: usize, width: usize) {
    for (slot, &x) in values.iter_mut().skip(j).step_by(width).zip(column) {
        *slot = x;
    }
}

/// A batch of these columns.
pub(crate) fn batch_of(
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot assemble columns: {e}")))
}
