//! Reads bytes as a table, in all the ways that a user does.

use std::path::Path;

use diffeo::{Column, ColumnKind, Error, ErrorKind, Result, Rows};
use diffeo_table::{
    Chunk, Delimiter, Format, Header, InferOptions, Input, MemoryLimit, Missing, Output,
    ReadOptions, Reader, Survey, Wanted, Wish, Writer, infer_schema_with, read_rows, read_table,
    read_wanted,
};

/// A text table behind two bytes that choose the options, `@@` the usual ones; gives the number of rows.
pub fn csv(bytes: &[u8]) -> Result<usize> {
    let [first, second, text @ ..] = bytes else {
        return read(bytes, &limited(), &[None]);
    };
    let kinds =
        [Some(ColumnKind::Category), None, Some(ColumnKind::Date), Some(ColumnKind::Boolean)];
    let kind = kinds[usize::from(bits_of(*second, 6, 2))];
    read(text, &text_options(*first, *second), &[kind])
}

/// An npy array; gives the number of rows.
pub fn npy(bytes: &[u8]) -> Result<usize> {
    read_typed(bytes, Format::Npy)
}

/// An archive of npy arrays; gives the number of rows.
pub fn npz(bytes: &[u8]) -> Result<usize> {
    read_typed(bytes, Format::Npz)
}

/// An IDX file; gives the number of rows.
pub fn idx(bytes: &[u8]) -> Result<usize> {
    read_typed(bytes, Format::Idx)
}

/// A PNG or JPEG file, the only one of its folder; gives the number of images.
pub fn image(bytes: &[u8]) -> Result<usize> {
    let folder = tempfile::tempdir().expect("a folder for the copy");
    let images = tempfile::tempdir().expect("a folder for the image");
    std::fs::write(images.path().join("image.png"), bytes).expect("room for the file");
    let options = limited();
    let input = Input::Path(images.path().to_owned());
    let source = Source { folder: folder.path(), input, options: &options };
    let numeric = source.survey().map(|survey| survey.numeric);
    numeric.and_then(|numeric| source.read_numbers(&numeric)).inspect_err(expect_fit)
}

/// A Parquet file; gives the number of rows.
pub fn parquet(bytes: &[u8]) -> Result<usize> {
    read_typed(bytes, Format::Parquet)
}

/// An Arrow IPC file or stream; gives the number of rows.
pub fn arrow(bytes: &[u8]) -> Result<usize> {
    read_typed(bytes, Format::Arrow)
}

fn read_typed(bytes: &[u8], format: Format) -> Result<usize> {
    let options = ReadOptions { format: Some(format), ..limited() };
    read(bytes, &options, &[None, Some(ColumnKind::Category)])
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

fn bits_of(byte: u8, shift: u8, n: u8) -> u8 {
    (byte >> shift) & ((1 << n) - 1)
}

fn text_options(first: u8, second: u8) -> ReadOptions {
    let of = bits_of;
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
        missing: [Missing::Refuse, Missing::Drop, Missing::Keep, Missing::Model]
            [usize::from(of(second, 0, 2))],
        missing_marks: match of(second, 2, 1) {
            1 => vec!["-999".to_owned(), "x".to_owned()],
            _ => Vec::new(),
        },
        chunk_rows: [65_536, 1, 3, 64][usize::from(of(second, 3, 2))],
        ..limited()
    }
}

/// Reads a file with these bytes as numbers, and all its columns as each of these kinds; what is refused must be refused as bad data, in words
/// that are fit to print. Gives the number of rows if they can be read as numbers and as the first kind.
fn read(bytes: &[u8], options: &ReadOptions, kinds: &[Option<ColumnKind>]) -> Result<usize> {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("table");
    std::fs::write(&path, bytes).expect("room for the file");
    let table = Source { folder: folder.path(), input: Input::Path(path), options };
    let outcome = table.survey().and_then(|survey| {
        let as_kinds =
            kinds.iter().map(|kind| table.read_as(*kind, &survey).inspect_err(expect_fit));
        let as_kinds: Vec<Result<()>> = as_kinds.collect();
        let rows = table.read_numbers(&survey.numeric)?;
        as_kinds.into_iter().next().unwrap_or(Ok(()))?;
        Ok(rows)
    });
    outcome.inspect_err(expect_fit)
}

/// An error that may come of any bytes.
fn expect_fit(error: &Error) {
    let fit = !error.message().contains(char::is_control) && error.message().len() < 10_000;
    assert!(fit, "an unfit message: {error:?}");
    assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Limit), "{error:?}");
}

const MEMORY: MemoryLimit = MemoryLimit::bytes(1 << 26);

/// A file and how it is read.
struct Source<'a> {
    folder: &'a Path,
    input: Input,
    options: &'a ReadOptions,
}

impl Source<'_> {
    fn survey(&self) -> Result<Survey> {
        Reader::open(&self.input, self.options)?.survey()
    }

    /// Chunk by chunk with every column passed through to a copy, then whole with the columns of numbers alone: both must agree.
    fn read_numbers(&self, numeric: &[String]) -> Result<usize> {
        let mut reader = Reader::open(&self.input, self.options)?;
        reader.require(numeric)?;
        let mut writer = Writer::create(&Output::Path(self.folder.join("copy.csv")), None, true)?;
        let (mut rows, mut values) = (0, Vec::new());
        while let Some(chunk) = reader.next_chunk()? {
            writer.write(&chunk)?;
            rows += chunk.rows();
            if !numeric.is_empty() {
                values.extend_from_slice(chunk.numbers(numeric)?.values());
            }
        }
        writer.finish()?;
        if !numeric.is_empty() {
            let table = read_table(&self.input, Some(numeric), self.options, MEMORY)?;
            assert_eq!(table.rows.len(), rows, "two ways to read one table");
            expect_same(table.rows.values(), &values, "two ways to read one table");
        }
        Ok(rows)
    }

    /// All columns of numbers and text whole, as a fit reads them, in two cuts into chunks; then as the rows of a model of the schema that they make.
    fn read_as(&self, kind: Option<ColumnKind>, survey: &Survey) -> Result<()> {
        let holes = self.options.missing != Missing::Drop;
        let names = survey.numeric.iter().chain(&survey.text);
        let wanted: Vec<Wanted> =
            names.map(|name| Wanted { kind, holes, ..Wanted::any(name) }).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let whole = |chunk_rows| {
            let options = ReadOptions { chunk_rows, ..self.options.clone() };
            read_wanted(&self.input, &wanted, &options, MEMORY)
        };
        let (table, again) = (whole(self.options.chunk_rows), whole(7));
        assert_eq!(table.is_ok(), again.is_ok(), "two cuts of one table: {table:?} {again:?}");
        let (table, again) = (table?, again?);
        assert_eq!(table.contents, again.contents, "two cuts of one table");
        expect_same(table.rows.values(), again.rows.values(), "two cuts of one table");
        let wishes: Vec<Wish> =
            table.names.iter().map(|name| (name.clone(), kind.map(Into::into))).collect();
        let options = InferOptions { drop_constant: true, ..InferOptions::default() };
        let schema = infer_schema_with(&table, &wishes, &[], &options)?.0;
        let names: Vec<String> = schema.columns.iter().map(|column| column.name.clone()).collect();
        let rows = table.columns(&names)?;
        // Where rows are left out, those of a column that is no longer needed are not.
        if holes || names.len() == table.names.len() {
            self.read_again(&schema.columns, &rows, holes);
        }
        write_and_read(self.folder, &schema.columns, &rows)
    }

    /// The rows of the columns chunk by chunk, needed from the start (which is when rows are left out) or afterwards.
    fn read_again(&self, columns: &[Column], rows: &Rows, holes: bool) {
        let read = |chunk_rows, needed: bool| -> Result<Vec<f64>> {
            let options = ReadOptions { chunk_rows, ..self.options.clone() };
            let mut reader = Reader::open(&self.input, &options)?;
            if needed {
                reader.require_columns(columns)?;
            }
            let mut values = Vec::new();
            while let Some(chunk) = reader.next_chunk()? {
                values.extend_from_slice(chunk.rows_for(columns)?.values());
            }
            Ok(values)
        };
        let needed = read(5, true).expect("rows of the schema that they made");
        expect_same(&needed, rows.values(), "rows of the schema that they made");
        if holes {
            let afterwards = read(11, false).expect("rows of the schema that they made");
            expect_same(&afterwards, rows.values(), "rows of the schema that they made");
        }
    }
}

/// The rows as cells of text, which must be read as the same rows.
fn write_and_read(folder: &Path, columns: &[Column], rows: &Rows) -> Result<()> {
    // Names are trimmed in text, and nothing may stand in it that ends it.
    let renamed =
        |(i, column): (usize, &Column)| Column { name: format!("c{i}"), ..column.clone() };
    let columns: Vec<Column> = columns.iter().enumerate().map(renamed).collect();
    let chunk = Chunk::from_columns(&columns, rows, &[])?;
    let path = folder.join("rows.csv");
    let mut writer = Writer::create(&Output::Path(path.clone()), None, true)?;
    writer.write(&chunk)?;
    writer.finish()?;
    if columns.iter().any(|c| c.levels.iter().any(|level| level.contains('\0'))) {
        return Ok(());
    }
    let options = ReadOptions {
        delimiter: Some(Delimiter::Byte(b',')),
        comment: None,
        header: Header::Yes,
        missing: Missing::Keep,
        ..ReadOptions::default()
    };
    let (again, _) = read_rows(&Input::Path(path), &columns, &options, MEMORY)?;
    for (j, column) in columns.iter().enumerate() {
        let (before, after) = (rows.column(j), again.column(j));
        // Times are written in microseconds; a whole number has no sign at 0.
        let most = if column.kind == ColumnKind::Time { 1e-5 } else { 0.0 };
        let near =
            |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= most || a.is_nan() && b.is_nan();
        assert_eq!(before.len(), after.len(), "rows that were written");
        assert!(before.iter().zip(&after).all(near), "{column:?}: {before:?} {after:?}");
    }
    Ok(())
}

fn expect_same(a: &[f64], b: &[f64], what: &str) {
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    assert!(a.len() == b.len() && a.iter().zip(b).all(same), "{what}: {a:?} {b:?}");
}
