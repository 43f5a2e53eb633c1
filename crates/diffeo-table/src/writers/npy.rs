//! npy: one array of f64, rows and columns, without names.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use arrow_array::RecordBatch;
use diffeo::{Error, ImageShape, Result, Rows};

use super::{Encode, Failure};
use crate::numbers::{Allowed, Fault, parse_column};
use crate::target::{Sink, Target};

/// NumPy pads its headers so that the data starts at a multiple of 64; this leaves room for any number of rows.
const HEADER_BYTES: usize = 128;

/// Writes npy; the number of rows is filled in at the end.
pub(crate) struct NpyEncoder {
    out: BufWriter<File>,
    rows: u64,
    width: usize,
}

impl NpyEncoder {
    pub(crate) fn start(sink: Sink, width: usize) -> std::result::Result<Self, Failure> {
        let Sink::File(file) = sink else {
            return Err(Failure::Data(diffeo::Error::config("npy needs a regular file")));
        };
        let mut out = BufWriter::with_capacity(1 << 16, file);
        out.write_all(&header("<f8", &format!("0, {width}")))?;
        Ok(Self { out, rows: 0, width })
    }
}

impl Encode for NpyEncoder {
    fn write(&mut self, batch: &RecordBatch) -> std::result::Result<(), Failure> {
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

    fn finish(mut self: Box<Self>) -> std::result::Result<(), Failure> {
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header("<f8", &format!("{}, {}", self.rows, self.width)))?;
        Ok(self.out.flush()?)
    }
}

/// Writes images as an array of bytes, `(n, height, width)` or `(n, height, width, channels)`. The file appears whole or not at all.
pub struct ImageArrayWriter {
    target: Target,
    out: BufWriter<File>,
    image: ImageShape,
    images: u64,
}

impl ImageArrayWriter {
    /// Prepares to write. Without `overwrite` an existing file is refused.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Io`] if the file exists or its folder cannot be written, [`diffeo::ErrorKind::Config`] for numbers that are no bytes.
    pub fn create(path: &Path, image: ImageShape, overwrite: bool) -> Result<Self> {
        if image.levels > 256 {
            return Err(Error::config(format!(
                "images of {} levels are no bytes; write a table",
                image.levels
            )));
        }
        let (target, Sink::File(file)) = Target::file(path, overwrite)? else {
            return Err(Error::config("npy needs a regular file").at(path));
        };
        let mut writer =
            Self { target, out: BufWriter::with_capacity(1 << 16, file), image, images: 0 };
        writer.write_header(None)?;
        Ok(writer)
    }

    /// Appends images, a row each.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Io`] if writing fails, [`diffeo::ErrorKind::Data`] for a number that is no level of the images.
    pub fn write(&mut self, images: &Rows) -> Result<()> {
        let levels = f64::from(self.image.levels);
        let is_level = |v: &f64| v.fract() == 0.0 && (0.0..levels).contains(v);
        if let Some(v) = images.values().iter().find(|v| !is_level(v)) {
            return Err(Error::data(format!("expected whole numbers below {levels}, found {v}")));
        }
        let bytes: Vec<u8> = images.values().iter().map(|v| *v as u8).collect();
        self.out.write_all(&bytes).map_err(|e| self.target.error(e))?;
        self.images += images.len() as u64;
        Ok(())
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// As [`Self::write`]; the target is then as it was before.
    pub fn finish(self) -> Result<()> {
        self.end(None)
    }

    /// The same for the frames of so many clips of equal length, one clip after another: the array is `(clips, frames, height, width[, channels])`.
    ///
    /// # Errors
    /// As [`Self::finish`]; [`diffeo::ErrorKind::Shape`] if the frames are not as many in each.
    pub fn finish_as_clips(self, clips: u64) -> Result<()> {
        if clips == 0 || !self.images.is_multiple_of(clips) {
            return Err(Error::shape(format!(
                "expected as many frames in each of {clips} clips, found {} in all",
                self.images
            )));
        }
        self.end(Some(clips))
    }

    fn end(mut self, clips: Option<u64>) -> Result<()> {
        self.out.seek(SeekFrom::Start(0)).map_err(|e| self.target.error(e))?;
        self.write_header(clips)?;
        self.out.flush().map_err(|e| self.target.error(e))?;
        self.target.publish()
    }

    fn write_header(&mut self, clips: Option<u64>) -> Result<()> {
        let ImageShape { height, width, channels, .. } = self.image;
        let images = match clips {
            Some(clips) => format!("{clips}, {}", self.images / clips),
            None => self.images.to_string(),
        };
        let mut shape = format!("{images}, {height}, {width}");
        if channels != 1 {
            shape.push_str(&format!(", {channels}"));
        }
        self.out.write_all(&header("|u1", &shape)).map_err(|e| self.target.error(e))
    }
}

fn header(kind: &str, shape: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&((HEADER_BYTES - 10) as u16).to_le_bytes());
    bytes.extend_from_slice(
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}").as_bytes(),
    );
    bytes.resize(HEADER_BYTES - 1, b' ');
    bytes.push(b'\n');
    bytes
}
