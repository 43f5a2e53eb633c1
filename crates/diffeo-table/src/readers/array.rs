//! Arrays of numbers that follow a header: rows, rows and columns `x1`, `x2` ..., or images.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::types;
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use diffeo::{Error, ErrorKind, ImageShape, Result};

use super::decode::{Decode, Decoded, numbered_names};
use super::npy_header::{NpyHeader, NpyKind};
use crate::options::ReadOptions;
use crate::source::{Source, Stream};

/// Most columns.
const COLUMNS_MAX: u64 = 1 << 20;

/// Reads an array.
pub(crate) struct ArrayReader {
    header: NpyHeader,
    /// Elements of a row.
    width: usize,
    image: Option<ImageShape>,
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

impl ArrayReader {
    /// The array that starts at this byte of a source.
    pub(crate) fn new(
        header: NpyHeader,
        start: u64,
        source: Source,
        options: &ReadOptions,
    ) -> Result<Self> {
        let label = source.label.clone();
        let overflow = || Error::data("the shape of the array overflows; the header is damaged");
        let (rows, width) = (header.rows(), header.width().ok_or_else(overflow)?);
        let bytes = rows
            .checked_mul(width)
            .and_then(|n| n.checked_mul(header.kind.size() as u64))
            .and_then(|n| n.checked_add(start))
            .ok_or_else(overflow)?;
        if width > COLUMNS_MAX {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("the array has {width} columns, at most {COLUMNS_MAX} are read"),
            ));
        }
        if rows == 0 || width == 0 {
            return Err(Error::data(format!(
                "the array has no rows or no columns (shape {}); expected at least one of each",
                header.shape()
            )));
        }
        let image = header.image()?;
        let exact = |size: u64| if size == bytes { Ok(()) } else { Err(wrong_length(bytes, size)) };
        if let Some(size) = source.stream.size() {
            exact(size)?;
        }
        let data = if header.fortran && width > 1 {
            let (file, size) = source.into_file()?;
            exact(size)?;
            Data::InColumns { file, start, label }
        } else {
            let mut stream = source.stream;
            let mut skipped = vec![0; start as usize];
            stream.read_full(&mut skipped)?;
            Data::InRows(stream)
        };
        let width = width as usize;
        let data_type = arrow_type(header.kind);
        let names = match &image {
            Some(image) => image.columns().into_iter().map(|column| column.name).collect(),
            None => numbered_names(width),
        };
        let field = |name| Field::new(name, data_type.clone(), false);
        let fields: Vec<Field> = names.into_iter().map(field).collect();
        Ok(Self {
            header,
            width,
            image,
            data,
            schema: Arc::new(Schema::new(fields)),
            keep: (0..width).collect(),
            row: 0,
            rows_per_chunk: options.rows_per_chunk(width),
        })
    }

    /// The elements of `rows` rows from the current one on, for each column that is kept.
    fn read_columns(&mut self, rows: usize) -> Result<Vec<Vec<u8>>> {
        let (width, size) = (self.width, self.header.kind.size());
        match &mut self.data {
            Data::InRows(stream) => {
                let mut block = vec![0; rows * width * size];
                if stream.read_full(&mut block)? < block.len() {
                    return Err(Error::data(
                        "the data is shorter than the shape of the array; the file is cut short",
                    ));
                }
                Ok(self.keep.iter().map(|&j| gather(&block, j, width, size)).collect())
            }
            Data::InColumns { file, start, label } => {
                let mut columns = Vec::with_capacity(self.keep.len());
                for &j in &self.keep {
                    let element = j as u64 * self.header.rows() + self.row;
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
        match &mut self.data {
            Data::InRows(stream) => stream.expect_end(),
            _ => Ok(()),
        }
    }
}

impl Decode for ArrayReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn image(&self) -> Option<ImageShape> {
        self.image
    }

    fn rows_hint(&self) -> Option<u64> {
        Some(self.header.rows())
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        self.schema = Arc::new(self.schema.project(keep).map_err(|e| Error::data(e.to_string()))?);
        self.keep = keep.to_vec();
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let rows = (self.header.rows() - self.row).min(self.rows_per_chunk as u64) as usize;
        if rows == 0 {
            self.check_end()?;
            return Ok(None);
        }
        let columns = self.read_columns(rows)?;
        self.row += rows as u64;
        let arrays = columns.into_iter().map(|c| array(&self.header, &c)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::data(format!("cannot make a table of the array: {e}")))?;
        Ok(Some(Decoded { batch, lines: None }))
    }
}

fn wrong_length(expected: u64, found: u64) -> Error {
    let what = if found < expected { "cut short" } else { "damaged: more follows the array" };
    Error::data(format!(
        "expected {expected} bytes from the shape of the array, found {found}; the file is {what}"
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
