//! npy: one array of f64, rows and columns, without names.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use arrow_array::RecordBatch;

use super::{Encode, Failure};
use crate::numbers::{Allowed, Fault, parse_column};
use crate::target::Sink;

/// NumPy pads its headers so that the data starts at a multiple of 64; this leaves room for any number of rows.
const HEADER_BYTES: usize = 128;

/// Writes npy; the number of rows is filled in at the end.
pub(crate) struct NpyEncoder {
    out: BufWriter<File>,
    rows: u64,
    width: usize,
}

impl NpyEncoder {
    pub(crate) fn start(sink: Sink, width: usize) -> Result<Self, Failure> {
        let Sink::File(file) = sink else {
            return Err(Failure::Data(diffeo::Error::config("npy needs a regular file")));
        };
        let mut out = BufWriter::with_capacity(1 << 16, file);
        out.write_all(&header(0, width))?;
        Ok(Self { out, rows: 0, width })
    }
}

impl Encode for NpyEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let mut columns = Vec::with_capacity(self.width);
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            // Scores may be infinite; numbers that are missing are NaN.
            let values = parse_column(array, &Allowed::any()).map_err(|fault| {
                let reason = match fault {
                    Fault::Type(found) => format!("it holds {found}"),
                    Fault::Cell { reason, .. } => reason,
                };
                Failure::Data(diffeo::Error::data(format!(
                    "npy holds only numbers, column {} cannot be written: {reason}; write CSV or Parquet",
                    diffeo::quoted(field.name())
                )))
            })?;
            columns.push(values.values);
        }
        for row in 0..batch.num_rows() {
            for column in &columns {
                self.out.write_all(&column.get(row).copied().unwrap_or(f64::NAN).to_le_bytes())?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header(self.rows, self.width))?;
        Ok(self.out.flush()?)
    }
}

fn header(rows: u64, width: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&((HEADER_BYTES - 10) as u16).to_le_bytes());
    bytes.extend_from_slice(
        format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, {width}), }}")
            .as_bytes(),
    );
    bytes.resize(HEADER_BYTES - 1, b' ');
    bytes.push(b'\n');
    bytes
}
