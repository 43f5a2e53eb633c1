//! Delimited text as chunks of text columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use diffeo::{Error, Result, quoted};

use super::decode::{Decode, Decoded};
use super::records::Records;
use super::separator::{self, Layout, is_with_comma, with_point};
use super::text_header;
use crate::format::Format;
use crate::options::{Delimiter, ReadOptions};
use crate::source::Source;

/// A chunk ends early at so many bytes of text, well below what 32-bit offsets can address.
const CHUNK_BYTES: usize = 1 << 26;

/// Most blank lines in a row that are kept in mind for a table of one column.
const BLANKS_MAX: usize = 1 << 20;

/// Reads CSV and TSV.
pub(crate) struct TextReader {
    records: Records,
    schema: SchemaRef,
    notes: Vec<String>,
    /// For each field of a record, the column it goes to.
    slots: Vec<Option<usize>>,
    columns: Vec<TextColumn>,
    names: Vec<String>,
    rows_per_chunk: usize,
    chunk_rows: usize,
    layout: Layout,
    /// Fields before the first column of a row: its name, if it has one.
    named: usize,
    has_begun: bool,
}

/// The cells of one column, end to end.
#[derive(Default)]
struct TextColumn {
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl TextReader {
    pub(crate) fn open(
        source: Source,
        options: &ReadOptions,
        format: Option<Format>,
    ) -> Result<Self> {
        let layout = separator::layout(options, format, source.head())?;
        let is_declared = separator::declared(source.head()).is_some();
        let mut records = Records::new(source.stream, layout.delimiter, options.comment)?;
        if is_declared {
            records.next()?;
        }
        let header = text_header::read(&mut records, options.header, layout)?;
        let width = header.names.len();
        let commas = "numbers are written with commas for points, and are read so";
        let notes = header.note.into_iter().chain(layout.has_decimal_commas.then(|| commas.into()));
        let mut reader = Self {
            records,
            schema: Arc::new(Schema::empty()),
            notes: notes.collect(),
            named: usize::from(header.rows_are_named),
            has_begun: false,
            slots: Vec::new(),
            columns: Vec::new(),
            names: header.names,
            rows_per_chunk: 1,
            chunk_rows: options.chunk_rows,
            layout,
        };
        reader.select(&(0..width).collect::<Vec<_>>());
        Ok(reader)
    }

    fn select(&mut self, keep: &[usize]) {
        self.slots = vec![None; self.names.len()];
        for (column, &field) in keep.iter().enumerate() {
            if let Some(slot) = self.slots.get_mut(field) {
                *slot = Some(column);
            }
        }
        self.columns = keep.iter().map(|_| TextColumn::default()).collect();
        let fields: Vec<Field> = keep
            .iter()
            .filter_map(|&i| self.names.get(i))
            .map(|name| Field::new(name, DataType::Utf8, false))
            .collect();
        self.schema = Arc::new(Schema::new(fields));
        let options = ReadOptions { chunk_rows: self.chunk_rows, ..ReadOptions::default() };
        self.rows_per_chunk = options.rows_per_chunk(keep.len());
    }

    /// Adds the current record to the columns; returns how many bytes it has.
    fn take_record(&mut self) -> Result<usize> {
        if self.records.len() != self.named + self.names.len() {
            return Err(self.ragged());
        }
        let mut bytes = 0;
        for (i, slot) in self.slots.iter().enumerate() {
            if let Some(column) = slot.and_then(|c| self.columns.get_mut(c)) {
                let cell = self.records.field(self.named + i);
                match self.layout.has_decimal_commas && is_with_comma(cell) {
                    true => column.push(&with_point(cell)),
                    false => column.push(cell),
                }
                bytes += cell.len();
            }
        }
        Ok(bytes)
    }

    fn ragged(&self) -> Error {
        let (found, expected) = (self.records.len(), self.named + self.names.len());
        let last = self.records.field(found.saturating_sub(1));
        let hint = if found == expected + 1 && last.is_empty() {
            "; the line ends with a delimiter"
        } else if found > expected && self.layout.delimiter == Delimiter::Byte(b',') {
            "; are there decimal commas, or commas in cells without quotes?"
        } else if found == 1 && expected > 1 {
            "; is this line a comment or a title?"
        } else {
            ""
        };
        Error::data(format!(
            "line {} (byte {}): expected {expected} fields as in the header, found {found}{hint}",
            self.records.line(),
            self.records.byte(),
        ))
    }

    /// The columns as an Arrow batch; checks that all text is UTF-8.
    fn finish_chunk(&mut self, lines: &[u64]) -> Result<RecordBatch> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (i, column) in self.columns.iter_mut().enumerate() {
            let bytes = std::mem::take(&mut column.bytes);
            let ends = std::mem::take(&mut column.ends);
            // The next chunk will be about as large as this one.
            column.bytes.reserve(bytes.len());
            let place = |row: usize| {
                let name = self.schema.fields().get(i).map_or("", |f| f.name().as_str());
                format!("line {}, column {}", lines.get(row).copied().unwrap_or(0), quoted(name))
            };
            if let Err(fault) = std::str::from_utf8(&bytes) {
                let row = ends.partition_point(|&end| end as usize <= fault.valid_up_to());
                return Err(text_header::not_utf8(&bytes, fault.valid_up_to(), place(row)));
            }
            let mut offsets = Vec::with_capacity(ends.len() + 1);
            offsets.push(0);
            offsets.extend(ends);
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            let array =
                StringArray::try_new(offsets, Buffer::from_vec(bytes), None).map_err(|_| {
                    // Each cell alone must be UTF-8, too: a character may not be split by a delimiter.
                    Error::data(format!("{}: a character is cut; the file is not UTF-8", place(0)))
                })?;
            arrays.push(Arc::new(array));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::data(format!("cannot make a table of the text: {e}")))
    }
}

impl TextColumn {
    fn push(&mut self, cell: &[u8]) {
        self.bytes.extend_from_slice(cell);
        // A chunk ends long before this could overflow.
        self.ends.push(self.bytes.len() as i32);
    }
}

impl Decode for TextReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn rows_hint(&self) -> Option<u64> {
        None
    }

    fn progress(&self) -> Option<f64> {
        let (done, size) = self.records.progress();
        size.filter(|&size| size > 0).map(|size| done as f64 / size as f64)
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        self.select(keep);
        Ok(())
    }

    fn take_notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        let comments = self.records.comments();
        // Counted once rows were read: the first notes are taken before.
        if self.has_begun && comments > 0 {
            let lines = if comments == 1 { "line is a comment" } else { "lines are comments" };
            notes.push(format!(
                "{comments} {lines} and left out, by the mark at the start (see --comment)"
            ));
        }
        notes
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        self.has_begun = true;
        let mut lines = Vec::with_capacity(self.rows_per_chunk.min(1 << 16));
        let mut bytes = 0;
        let mut blanks: Vec<u64> = Vec::new();
        while lines.len() < self.rows_per_chunk && bytes < CHUNK_BYTES && self.records.next()? {
            if self.records.is_blank() {
                if self.names.len() == 1 || blanks.is_empty() {
                    blanks.push(self.records.line());
                }
                if blanks.len() > BLANKS_MAX {
                    return Err(Error::data(format!(
                        "more than {BLANKS_MAX} blank lines follow each other"
                    )));
                }
                continue;
            }
            if let Some(&line) = blanks.first() {
                // Blank lines are only harmless at the end. In a table of one column, an empty line is an empty cell.
                if self.names.len() > 1 {
                    return Err(Error::data(format!(
                        "line {line} is blank, and more rows follow it; remove it"
                    )));
                }
                for line in blanks.drain(..) {
                    lines.push(line);
                    self.columns.iter_mut().for_each(|c| c.push(b""));
                }
            }
            bytes += self.take_record()?;
            lines.push(self.records.line());
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let batch = self.finish_chunk(&lines)?;
        Ok(Some(Decoded { batch, lines: Some(lines) }))
    }
}
