//! JSON lines: one object a row. JSON has no infinities and no NaN; they are written as the strings `"inf"`, `"-inf"` and `"NaN"`.

use arrow_array::RecordBatch;

use super::cells::{Kind, columns};
use super::packed::Packed;
use super::{Encode, Failure, failure};
use crate::format::Packing;
use crate::target::Sink;

const BLOCK: usize = 1 << 16;

/// Writes JSON lines.
pub(crate) struct JsonEncoder {
    out: Packed,
    block: Vec<u8>,
}

impl JsonEncoder {
    pub(crate) fn start(sink: Sink, packing: Packing) -> Result<Self, Failure> {
        Ok(Self { out: Packed::new(sink, packing)?, block: Vec::with_capacity(2 * BLOCK) })
    }
}

impl Encode for JsonEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let names = batch
            .schema_ref()
            .fields()
            .iter()
            .map(|f| serde_json::to_string(f.name()).map_err(failure))
            .collect::<Result<Vec<_>, _>>()?;
        let cells = columns(batch)?;
        let mut cell = Vec::new();
        for row in 0..batch.num_rows() {
            for (i, (column, name)) in cells.iter().zip(&names).enumerate() {
                self.block.push(if i == 0 { b'{' } else { b',' });
                self.block.extend_from_slice(name.as_bytes());
                self.block.push(b':');
                cell.clear();
                match column.push(row, &mut cell)? {
                    Kind::Null => self.block.extend_from_slice(b"null"),
                    Kind::Number => self.block.extend_from_slice(&cell),
                    Kind::NotFinite | Kind::Text => {
                        serde_json::to_writer(&mut self.block, &String::from_utf8_lossy(&cell))
                            .map_err(failure)?;
                    }
                }
            }
            self.block.extend_from_slice(if cells.is_empty() { b"{}\n" } else { b"}\n" });
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
