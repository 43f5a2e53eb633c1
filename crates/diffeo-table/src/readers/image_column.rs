//! A column of images in a Parquet or Arrow file: files of PNG or JPEG as bytes, or lists of numbers of one size.

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StructArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use diffeo::{Error, ImageShape, Result, quoted};
use image::ImageReader;

use super::decode::{Decode, Decoded};
use super::image_folder::decode_from;
use super::images::{batch_of_bytes, schema_of};
use crate::options::{Missing, ReadOptions};

/// How many numbers a value counts for that does not say itself how many it has.
const NUMBERS_OF_ONE: usize = 1 << 10;
/// What is said of a row without an image.
const ABSENT: &str = "the image is missing; --missing drop leaves such rows out";
/// How PNG and JPEG files begin.
const MARKS: [&[u8]; 2] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"];

/// How the images of a column are written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Whole files.
    Files,
    /// Whole files, as the field of this number of a structure, as collections of images for learning have them.
    FilesIn(usize),
    /// Lists of lists of numbers, `[line][pixel]`, `[line][pixel][channel]` or `[channel][line][pixel]`; or one list.
    Lists,
}

/// Numbers in a row of these columns, about.
pub(super) fn numbers_in(schema: &Schema) -> usize {
    fn of(kind: &DataType) -> usize {
        match kind {
            DataType::FixedSizeList(inner, len) => {
                usize::try_from(*len).unwrap_or(0).saturating_mul(of(inner.data_type()))
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::List(_)
            | DataType::LargeList(_)
            | DataType::Struct(_) => NUMBERS_OF_ONE,
            _ => 1,
        }
    }
    schema.fields().iter().fold(0, |sum, field| sum.saturating_add(of(field.data_type())))
}

fn is_binary(kind: &DataType) -> bool {
    matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// The values of a list, if it is one.
fn inside(kind: &DataType) -> Option<&DataType> {
    match kind {
        DataType::FixedSizeList(field, _) | DataType::List(field) | DataType::LargeList(field) => {
            Some(field.data_type())
        }
        _ => None,
    }
}

/// What a column may be, by its type.
fn kind_of(kind: &DataType) -> Option<Kind> {
    if is_binary(kind) {
        return Some(Kind::Files);
    }
    if let DataType::Struct(fields) = kind {
        let bytes = fields.iter().position(|f| f.name() == "bytes" && is_binary(f.data_type()));
        return bytes.map(Kind::FilesIn);
    }
    if let DataType::FixedSizeList(field, len) = kind
        && *field.data_type() == DataType::UInt8
    {
        return shape_of(&[usize::try_from(*len).ok()?]).map(|_| Kind::Lists);
    }
    let deepest = inside(inside(kind)?)?;
    let deepest = inside(deepest).unwrap_or(deepest);
    deepest.is_integer().then_some(Kind::Lists)
}

/// The shape of an image of lists of these lengths, and whether its channels come first.
fn shape_of(lengths: &[usize]) -> Option<(ImageShape, bool)> {
    let is_colour = |channels: usize| matches!(channels, 1 | 3);
    let of = |height, width, channels| ImageShape::of_bytes(height, width, channels);
    let (image, first) = match *lengths {
        [numbers] => {
            let side = |channels: usize| (numbers / channels).isqrt();
            let is_square = |channels: &usize| side(*channels).pow(2) * channels == numbers;
            let channels = [1, 3].into_iter().find(is_square)?;
            (of(side(channels), side(channels), channels), false)
        }
        [height, width] => (of(height, width, 1), false),
        [channels, height, width] if is_colour(channels) && !is_colour(width) => {
            (of(height, width, channels), true)
        }
        [height, width, channels] => (of(height, width, channels), false),
        _ => return None,
    };
    image.validate().ok().map(|()| (image, first))
}

/// Reads a table that has a column of images: the numbers of these, then all other columns.
pub(crate) struct ImageColumn {
    inner: Box<dyn Decode>,
    column: Found,
    schema: SchemaRef,
    keep: Vec<usize>,
    notes: Vec<String>,
    rows_per_chunk: usize,
    /// Whether rows without an image are left out, and how many were.
    drops: bool,
    dropped: u64,
    /// What was decoded and not given out yet, and from which row on.
    batch: Option<(RecordBatch, usize)>,
    row: u64,
}

/// A column of images.
struct Found {
    at: usize,
    name: String,
    kind: Kind,
    image: ImageShape,
}

/// The same table; as images, if there is a column of them. Lists of which the first is none are a column like any other, and noted.
///
/// # Errors
/// [`diffeo::ErrorKind::Data`] if there are several, or if the first file of a column of such cannot be read.
pub(crate) fn wrap(mut inner: Box<dyn Decode>, options: &ReadOptions) -> Result<Box<dyn Decode>> {
    let schema = inner.schema();
    let kinds = schema.fields().iter().enumerate();
    let mut found: Vec<(usize, Kind)> =
        kinds.filter_map(|(i, field)| Some((i, kind_of(field.data_type())?))).collect();
    if found.is_empty() {
        return Ok(inner);
    }
    let Some(first) = inner.next_batch()? else { return Ok(inner) };
    let columns = first.batch.columns();
    let name = |i: usize| schema.field(i).name().clone();
    let column = |at: usize, kind: Kind| {
        let column = Found { at, name: name(at), kind, image: ImageShape::of_bytes(1, 1, 1) };
        let first = (0..columns[at].len()).find(|row| column.is_there(&columns[at], *row));
        let first = first.unwrap_or(0);
        let (image, _) = column.read(&columns[at], first, first as u64 + 1)?;
        Ok(Found { image, ..column })
    };
    let mut notes = Vec::new();
    found.retain(|(i, kind)| match kind {
        Kind::Lists => {
            let fault = column(*i, *kind).err();
            notes.extend(fault.iter().map(|fault: &Error| {
                format!("lists that are no images are left out: {}", fault.message())
            }));
            fault.is_none()
        }
        _ => is_of_files(&columns[*i], *kind),
    });
    let (at, kind) = match found[..] {
        [] => {
            let width = first.batch.num_columns();
            return Ok(Box::new(Begun { inner, first: Some(first), width, keep: None, notes }));
        }
        [only] => only,
        [(a, _), (b, _), ..] => {
            return Err(Error::data(format!(
                "expected one column of images, found {} and {}; write a file with one of them",
                quoted(&name(a)),
                quoted(&name(b))
            )));
        }
    };
    let column = column(at, kind)?;
    let others = schema.fields().iter().enumerate().filter(|(i, _)| *i != at);
    let pixels = schema_of(&column.image, &[]);
    let fields = pixels.fields().iter().chain(others.map(|(_, field)| field)).cloned();
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(Box::new(ImageColumn {
        inner,
        keep: (0..schema.fields().len()).collect(),
        rows_per_chunk: options.rows_per_chunk(column.image.numbers()),
        column,
        schema,
        notes,
        drops: options.missing == Missing::Drop,
        dropped: 0,
        batch: Some((first.batch, 0)),
        row: 0,
    }))
}

/// Whether the first value there is, is an image.
fn is_of_files(column: &ArrayRef, kind: Kind) -> bool {
    let first = (0..column.len()).find_map(|row| file_at(column, kind, row));
    first.is_some_and(|bytes| MARKS.iter().any(|mark| bytes.starts_with(mark)))
}

/// The bytes of a file in a column; `None` if it is missing.
fn file_at(column: &ArrayRef, kind: Kind, row: usize) -> Option<&[u8]> {
    let column = match kind {
        Kind::FilesIn(field) => {
            let fields: &StructArray = column.as_struct_opt()?;
            fields.is_valid(row).then(|| fields.column(field))?
        }
        _ => column,
    };
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        _ => None,
    }
}

/// The list at a place; `None` if it is missing.
pub(super) fn list_at(column: &ArrayRef, at: usize) -> Option<ArrayRef> {
    if column.is_null(at) {
        return None;
    }
    match column.data_type() {
        DataType::FixedSizeList(..) => Some(column.as_fixed_size_list().value(at)),
        DataType::List(_) => Some(column.as_list::<i32>().value(at)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(at)),
        _ => None,
    }
}

/// Appends the numbers of nested lists, of which those of one depth have one length.
pub(super) fn flatten(
    list: &ArrayRef,
    depth: usize,
    lengths: &mut Vec<usize>,
    out: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    match lengths.get(depth) {
        None => lengths.push(list.len()),
        Some(length) if *length == list.len() => {}
        Some(length) => {
            return Err(format!("expected lists of one length, found {length} and {}", list.len()));
        }
    }
    if inside(list.data_type()).is_some() {
        return (0..list.len()).try_for_each(|i| {
            let list = list_at(list, i).ok_or("a list in it is missing")?;
            flatten(&list, depth + 1, lengths, out)
        });
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let bytes = cast_with_options(list, &DataType::UInt8, &strict)
        .map_err(|_| "expected whole numbers from 0 to 255".to_owned())?;
    if bytes.null_count() > 0 {
        return Err("a number in it is missing".to_owned());
    }
    out.extend_from_slice(bytes.as_primitive::<UInt8Type>().values());
    Ok(())
}

impl Found {
    /// Whether a row has an image.
    fn is_there(&self, column: &ArrayRef, row: usize) -> bool {
        match self.kind {
            Kind::Lists => column.is_valid(row),
            kind => file_at(column, kind, row).is_some(),
        }
    }

    /// The numbers of the image of a row of a batch, which is that row of the table, from 1.
    fn read(&self, column: &ArrayRef, row: usize, of_table: u64) -> Result<(ImageShape, Vec<u8>)> {
        let bad = |text: &str| {
            Error::data(format!("column {}, row {of_table}: {text}", quoted(&self.name)))
        };
        if self.kind != Kind::Lists {
            let bytes = file_at(column, self.kind, row).ok_or_else(|| bad(ABSENT))?;
            let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
            let reader = reader.map_err(|e| bad(&e.to_string()))?;
            return decode_from(reader).map_err(|e| bad(e.message()));
        }
        let list = list_at(column, row).ok_or_else(|| bad(ABSENT))?;
        let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
        flatten(&list, 0, &mut lengths, &mut bytes).map_err(|text| bad(&text))?;
        let Some((image, channels_first)) = shape_of(&lengths) else {
            return Err(bad(&format!(
                "expected lists of lines of pixels, perhaps of channels, found lengths {lengths:?}"
            )));
        };
        if channels_first {
            let plane = image.height * image.width;
            let pixels = (0..plane).flat_map(|pixel| (0..image.channels).map(move |c| (c, pixel)));
            bytes = pixels.map(|(channel, pixel)| bytes[channel * plane + pixel]).collect();
        }
        Ok((image, bytes))
    }
}

impl Decode for ImageColumn {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn image(&self) -> Option<ImageShape> {
        Some(self.column.image)
    }

    fn rows_hint(&self) -> Option<u64> {
        self.inner.rows_hint()
    }

    fn progress(&self) -> Option<f64> {
        self.inner.progress()
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        let schema = self.schema.project(keep).map_err(|e| Error::data(e.to_string()))?;
        self.schema = Arc::new(schema);
        self.keep = keep.iter().filter_map(|&i| self.keep.get(i).copied()).collect();
        Ok(())
    }

    fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend(self.inner.take_notes());
        if self.dropped > 0 {
            notes.push(format!("{} rows without an image were left out", self.dropped));
            self.dropped = 0;
        }
        notes
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let (batch, from) = match self.batch.take() {
            Some(begun) => begun,
            None => match self.inner.next_batch()? {
                Some(found) => (found.batch, 0),
                None => return Ok(None),
            },
        };
        let n = self.rows_per_chunk.min(batch.num_rows() - from);
        let (mut rows, width) = (batch.slice(from, n), self.column.image.numbers());
        // Where rows lie in the table: images that are not there leave none.
        let column = rows.column(self.column.at);
        let there: Vec<bool> =
            (0..n).map(|row| !self.drops || self.column.is_there(column, row)).collect();
        let places: Vec<u64> =
            (0..n).filter(|row| there[*row]).map(|row| self.row + row as u64 + 1).collect();
        if places.len() < n {
            let kept = filter_record_batch(&rows, &BooleanArray::from(there));
            rows = kept.map_err(|e| Error::data(e.to_string()))?;
            self.dropped += (n - places.len()) as u64;
        }
        let column = rows.column(self.column.at);
        let mut bytes = Vec::with_capacity(places.len() * width);
        // Where only other columns are wanted, no image is decoded.
        if self.keep.iter().any(|i| *i < width) {
            for (row, of_table) in places.iter().copied().enumerate() {
                let (image, pixels) = self.column.read(column, row, of_table)?;
                if image != self.column.image {
                    return Err(Error::data(format!(
                        "column {}, row {of_table}: expected images of one size, {} as in row 1, found {image}; scale or crop them, and make all grey or all colour",
                        quoted(&self.column.name),
                        self.column.image
                    )));
                }
                bytes.extend_from_slice(&pixels);
            }
        }
        bytes.resize(places.len() * width, 0);
        self.row += n as u64;
        let others = (0..rows.num_columns()).filter(|i| *i != self.column.at);
        let others: Vec<ArrayRef> = others.map(|i| rows.column(i).clone()).collect();
        if from + n < batch.num_rows() {
            self.batch = Some((batch, from + n));
        }
        let batch = batch_of_bytes(self.schema.clone(), (&bytes, width), &others, &self.keep)?;
        Ok(Some(Decoded { batch, lines: None }))
    }
}

/// A table without images whose first rows were looked at.
struct Begun {
    inner: Box<dyn Decode>,
    first: Option<Decoded>,
    /// Columns of all, and those that were chosen.
    width: usize,
    keep: Option<Vec<usize>>,
    notes: Vec<String>,
}

impl Decode for Begun {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn rows_hint(&self) -> Option<u64> {
        self.inner.rows_hint()
    }

    fn progress(&self) -> Option<f64> {
        self.inner.progress()
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        self.keep = Some(keep.to_vec());
        self.inner.project(keep)
    }

    fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend(self.inner.take_notes());
        notes
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let next = match self.first.take() {
            Some(first) => first,
            None => match self.inner.next_batch()? {
                Some(next) => next,
                None => return Ok(None),
            },
        };
        match &self.keep {
            // What was begun before columns were chosen has them all.
            Some(keep) if next.batch.num_columns() == self.width => {
                let batch = next.batch.project(keep).map_err(|e| Error::data(e.to_string()))?;
                Ok(Some(Decoded { batch, ..next }))
            }
            _ => Ok(Some(next)),
        }
    }
}
