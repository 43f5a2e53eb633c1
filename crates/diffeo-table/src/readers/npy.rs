//! Arrays of NumPy (.npy) with one or two axes: rows, or rows and columns `x1`, `x2` ...

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::types;
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use diffeo::{Error, ErrorKind, Result};

use super::decode::{Decode, Decoded, numbered_names};
use super::npy_header::{self, NpyHeader, NpyKind};
use crate::options::ReadOptions;
use crate::source::{Source, Stream};

/// Longest header; NumPy writes 128 bytes.
const HEADER_BYTES: usize = 1 << 16;
/// Most columns.
const COLUMNS_MAX: u64 = 1 << 20;

/// Reads npy.
pub(crate) struct NpyReader {
    header: NpyHeader,
    data: Data,
    schema: SchemaRef,
    keep: Vec<usize>,
    row: u64,
    rows_per_chunk: usize,
}

/// Where the elements come from.
enum Data {
    /// Row by row: read once from start to end.
    InRows(Stream),
    /// Column by column: each chunk seeks to its part of every column.
    InColumns { file: File, start: u64, label: PathBuf },
}

impl NpyReader {
    pub(crate) fn open(source: Source, options: &ReadOptions) -> Result<Self> {
        let Source { label, .. } = &source;
        let label = label.clone();
        let (text, start) = header_text(source.head())?;
        let header = npy_header::parse(&text)?;
        let bytes = header
            .rows
            .checked_mul(header.width)
            .and_then(|n| n.checked_mul(header.kind.size() as u64))
            .and_then(|n| n.checked_add(start))
            .ok_or_else(|| {
                Error::data("the shape of the npy array overflows; the header is damaged")
            })?;
        if header.width > COLUMNS_MAX {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "the npy array has {} columns, at most {COLUMNS_MAX} are read",
                    header.width
                ),
            ));
        }
        if header.rows == 0 || header.width == 0 {
            return Err(Error::data(format!(
                "the npy array has no rows or no columns (shape {} x {}); expected at least one of each",
                header.rows, header.width
            )));
        }
        let exact = |size: u64| if size == bytes { Ok(()) } else { Err(wrong_length(bytes, size)) };
        if let Some(size) = source.stream.size() {
            exact(size)?;
        }
        let data = if header.fortran && header.width > 1 {
            let (file, size) = source.into_file()?;
            exact(size)?;
            Data::InColumns { file, start, label }
        } else {
            let mut stream = source.stream;
            let mut skipped = vec![0; start as usize];
            stream.read_full(&mut skipped)?;
            Data::InRows(stream)
        };
        let width = header.width as usize;
        let data_type = arrow_type(header.kind);
        let fields: Vec<Field> = numbered_names(width)
            .into_iter()
            .map(|name| Field::new(name, data_type.clone(), false))
            .collect();
        Ok(Self {
            header,
            data,
            schema: Arc::new(Schema::new(fields)),
            keep: (0..width).collect(),
            row: 0,
            rows_per_chunk: options.rows_per_chunk(width),
        })
    }

    /// The elements of `rows` rows from the current one on, for each column that is kept.
    fn read_columns(&mut self, rows: usize) -> Result<Vec<Vec<u8>>> {
        let (width, size) = (self.header.width as usize, self.header.kind.size());
        match &mut self.data {
            Data::InRows(stream) => {
                let mut block = vec![0; rows * width * size];
                if stream.read_full(&mut block)? < block.len() {
                    return Err(Error::data(
                        "the npy data is shorter than its shape; the file is cut short",
                    ));
                }
                Ok(self.keep.iter().map(|&j| gather(&block, j, width, size)).collect())
            }
            Data::InColumns { file, start, label } => {
                let mut columns = Vec::with_capacity(self.keep.len());
                for &j in &self.keep {
                    let element = j as u64 * self.header.rows + self.row;
                    let mut block = vec![0; rows * size];
                    file.seek(SeekFrom::Start(*start + element * size as u64))
                        .and_then(|_| file.read_exact(&mut block))
                        .map_err(|e| Error::io(&*label, "read", e))?;
                    columns.push(block);
                }
                Ok(columns)
            }
        }
    }

    /// After the last row nothing may follow.
    fn check_end(&mut self) -> Result<()> {
        if let Data::InRows(stream) = &mut self.data
            && stream.read(&mut [0])? > 0
        {
            return Err(Error::data(
                "more data follows the npy array than its shape tells; the file is damaged",
            ));
        }
        Ok(())
    }
}

impl Decode for NpyReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn rows_hint(&self) -> Option<u64> {
        Some(self.header.rows)
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        self.schema = Arc::new(self.schema.project(keep).map_err(|e| Error::data(e.to_string()))?);
        self.keep = keep.to_vec();
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let rows = (self.header.rows - self.row).min(self.rows_per_chunk as u64) as usize;
        if rows == 0 {
            self.check_end()?;
            return Ok(None);
        }
        let columns = self.read_columns(rows)?;
        self.row += rows as u64;
        let arrays = columns.into_iter().map(|c| array(&self.header, &c)).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|e| Error::data(format!("cannot make a table of the npy array: {e}")))?;
        Ok(Some(Decoded { batch, lines: None }))
    }
}

/// The text of the header and where the data starts.
fn header_text(head: &[u8]) -> Result<(String, u64)> {
    let short = || Error::data("the npy header is cut short; the file is damaged");
    let version = *head.get(6).ok_or_else(short)?;
    let (length, from) = match version {
        1 => (head.get(8..10).map(|b| u64::from(u16::from_le_bytes([b[0], b[1]]))), 10),
        2 | 3 => {
            (head.get(8..12).map(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))), 12)
        }
        _ => return Err(Error::data(format!("expected npy format 1, 2 or 3, found {version}"))),
    };
    let length = length.ok_or_else(short)?;
    if length > HEADER_BYTES as u64 {
        return Err(Error::data(format!(
            "the npy header claims {length} bytes, at most {HEADER_BYTES} are read"
        )));
    }
    let bytes = head.get(from..from + length as usize).ok_or_else(|| {
        // A header of more than the bytes at hand has no place in a file of numbers.
        Error::data(format!(
            "the npy header claims {length} bytes; a header of numbers has about 128"
        ))
    })?;
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::data("the npy header is not text; the file is damaged"))?;
    Ok((text.to_owned(), (from as u64) + length))
}

fn wrong_length(expected: u64, found: u64) -> Error {
    let what = if found < expected { "cut short" } else { "damaged: more follows the array" };
    Error::data(format!(
        "expected {expected} bytes from the shape of the npy array, found {found}; the file is {what}"
    ))
}

/// Column `j` of rows of elements.
fn gather(block: &[u8], j: usize, width: usize, size: usize) -> Vec<u8> {
    let mut column = Vec::with_capacity(block.len() / width.max(1));
    for row in block.chunks_exact(width * size) {
        column.extend_from_slice(&row[j * size..(j + 1) * size]);
    }
    column
}

fn arrow_type(kind: NpyKind) -> DataType {
    match kind {
        NpyKind::Bool => DataType::Boolean,
        NpyKind::Int(1) => DataType::Int8,
        NpyKind::Int(2) => DataType::Int16,
        NpyKind::Int(4) => DataType::Int32,
        NpyKind::Int(_) => DataType::Int64,
        NpyKind::Uint(1) => DataType::UInt8,
        NpyKind::Uint(2) => DataType::UInt16,
        NpyKind::Uint(4) => DataType::UInt32,
        NpyKind::Uint(_) => DataType::UInt64,
        NpyKind::Float(2) => DataType::Float16,
        NpyKind::Float(4) => DataType::Float32,
        NpyKind::Float(_) => DataType::Float64,
    }
}

/// Elements in either byte order as an Arrow column of the same type.
fn array(header: &NpyHeader, bytes: &[u8]) -> ArrayRef {
    type Half = <types::Float16Type as ArrowPrimitiveType>::Native;
    macro_rules! primitive {
        ($type:ty, $native:ty, $size:literal) => {
            numbers::<$type, $size>(
                bytes,
                header.big_endian,
                <$native>::from_le_bytes,
                <$native>::from_be_bytes,
            )
        };
    }
    match header.kind {
        NpyKind::Bool => Arc::new(bytes.iter().map(|&b| Some(b != 0)).collect::<BooleanArray>()),
        NpyKind::Int(1) => primitive!(types::Int8Type, i8, 1),
        NpyKind::Int(2) => primitive!(types::Int16Type, i16, 2),
        NpyKind::Int(4) => primitive!(types::Int32Type, i32, 4),
        NpyKind::Int(_) => primitive!(types::Int64Type, i64, 8),
        NpyKind::Uint(1) => primitive!(types::UInt8Type, u8, 1),
        NpyKind::Uint(2) => primitive!(types::UInt16Type, u16, 2),
        NpyKind::Uint(4) => primitive!(types::UInt32Type, u32, 4),
        NpyKind::Uint(_) => primitive!(types::UInt64Type, u64, 8),
        NpyKind::Float(2) => primitive!(types::Float16Type, Half, 2),
        NpyKind::Float(4) => primitive!(types::Float32Type, f32, 4),
        NpyKind::Float(_) => primitive!(types::Float64Type, f64, 8),
    }
}

fn numbers<T: ArrowPrimitiveType, const N: usize>(
    bytes: &[u8],
    big_endian: bool,
    little: fn([u8; N]) -> T::Native,
    big: fn([u8; N]) -> T::Native,
) -> ArrayRef {
    let read = if big_endian { big } else { little };
    let (elements, _) = bytes.as_chunks::<N>();
    let values: Vec<T::Native> = elements.iter().map(|&b| read(b)).collect();
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), None))
}
