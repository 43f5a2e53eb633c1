//! CSV and TSV (RFC 4180; lines end in LF).

use arrow_array::RecordBatch;

use super::cells::{Kind, columns};
use super::packed::Packed;
use super::{Encode, Failure};
use crate::format::Packing;
use crate::target::Sink;

const BLOCK: usize = 1 << 16;

/// Writes delimited text.
pub(crate) struct TextEncoder {
    out: Packed,
    delimiter: u8,
    has_header: bool,
    block: Vec<u8>,
}

impl TextEncoder {
    pub(crate) fn start(sink: Sink, packing: Packing, delimiter: u8) -> Result<Self, Failure> {
        let out = Packed::new(sink, packing)?;
        Ok(Self { out, delimiter, has_header: false, block: Vec::with_capacity(2 * BLOCK) })
    }

    /// Puts quotes around the cell of column `i` that was appended since `from`, if it needs them.
    fn quote(&mut self, from: usize, i: usize, alone: bool) {
        let cell = self.block.get(from..).unwrap_or(&[]);
        let special = |&b: &u8| b == self.delimiter || matches!(b, b'"' | b'\n' | b'\r');
        // An empty cell alone on its line would be a blank line, and a line that begins with the mark a comment.
        let is_comment = i == 0 && cell.first() == Some(&b'#');
        let needed = cell.iter().any(special) || alone && cell.is_empty() || is_comment;
        if !needed {
            return;
        }
        let cell = self.block.split_off(from);
        self.block.push(b'"');
        for byte in cell {
            if byte == b'"' {
                self.block.push(b'"');
            }
            self.block.push(byte);
        }
        self.block.push(b'"');
    }
}

impl Encode for TextEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let alone = batch.num_columns() == 1;
        if !self.has_header {
            self.has_header = true;
            for (i, field) in batch.schema_ref().fields().iter().enumerate() {
                if i > 0 {
                    self.block.push(self.delimiter);
                }
                let from = self.block.len();
                self.block.extend_from_slice(field.name().as_bytes());
                self.quote(from, i, alone);
            }
            self.block.push(b'\n');
        }
        let cells = columns(batch)?;
        for row in 0..batch.num_rows() {
            for (i, column) in cells.iter().enumerate() {
                if i > 0 {
                    self.block.push(self.delimiter);
                }
                let from = self.block.len();
                let kind = column.push(row, &mut self.block)?;
                if matches!(kind, Kind::Text | Kind::Null) {
                    self.quote(from, i, alone);
                }
            }
            self.block.push(b'\n');
            if self.block.len() >= BLOCK {
                self.out.write_all(&self.block)?;
                self.block.clear();
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.out.write_all(&self.block)?;
        Ok(self.out.finish()?)
    }
}
