//! What files of images share: pixels as columns, and texts beside them.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use diffeo::{Error, ImageShape, Result};

use super::array::ArrayReader;
use super::decode::{Decode, Decoded};

/// What the column of labels is called.
pub const LABEL: &str = "label";
/// What the column of the files' names is called.
pub(crate) const FILE: &str = "file";

/// Images with a label each, which is the last column.
pub(crate) struct Labelled {
    images: ArrayReader,
    labels: Vec<String>,
    row: usize,
    is_wanted: bool,
}

impl Labelled {
    /// Joins images and labels.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if there are not as many of both.
    pub(crate) fn new(images: ArrayReader, labels: Vec<String>) -> Result<Self> {
        match images.rows_hint() {
            Some(rows) if rows == labels.len() as u64 => {
                Ok(Self { images, labels, row: 0, is_wanted: true })
            }
            rows => Err(Error::data(format!(
                "expected a label for each of the {} images, found {}",
                rows.unwrap_or_default(),
                labels.len()
            ))),
        }
    }
}

impl Decode for Labelled {
    fn schema(&self) -> SchemaRef {
        if !self.is_wanted {
            return self.images.schema();
        }
        Arc::new(with_texts(&self.images.schema(), &[LABEL]))
    }

    fn image(&self) -> Option<ImageShape> {
        self.images.image()
    }

    fn rows_hint(&self) -> Option<u64> {
        self.images.rows_hint()
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        let pixels = self.images.schema().fields().len();
        let (pixels, label): (Vec<usize>, Vec<usize>) = keep.iter().partition(|i| **i < pixels);
        self.is_wanted &= !label.is_empty();
        self.images.project(&pixels)
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let Some(found) = self.images.next_batch()? else { return Ok(None) };
        let rows = found.batch.num_rows();
        let labels = self.labels.get(self.row..self.row + rows).unwrap_or_default();
        self.row += rows;
        let mut columns = found.batch.columns().to_vec();
        if self.is_wanted {
            columns.push(Arc::new(StringArray::from_iter_values(labels)));
        }
        Ok(Some(Decoded { batch: batch(self.schema(), columns, rows)?, ..found }))
    }
}

/// A column of texts.
pub(crate) fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

/// The same columns and some of texts behind them.
fn with_texts(pixels: &Schema, names: &[&str]) -> Schema {
    let texts = names.iter().map(|name| Arc::new(Field::new(*name, DataType::Utf8, false)));
    Schema::new(pixels.fields().iter().cloned().chain(texts).collect::<Vec<_>>())
}

/// The columns of images of bytes, and of texts behind them.
pub(crate) fn schema_of(image: &ImageShape, texts: &[&str]) -> Schema {
    let field = |name: String| Field::new(name, DataType::UInt8, false);
    let fields = image.columns().into_iter().map(|column| field(column.name));
    with_texts(&Schema::new(fields.collect::<Vec<_>>()), texts)
}

/// Some of the columns of rows of so many bytes that lie one after another, and of those behind them.
pub(crate) fn batch_of_bytes(
    schema: SchemaRef,
    (bytes, width): (&[u8], usize),
    beside: &[ArrayRef],
    keep: &[usize],
) -> Result<RecordBatch> {
    let rows = bytes.len() / width.max(1);
    let column = |j: &usize| -> ArrayRef {
        if let Some(column) = j.checked_sub(width).and_then(|j| beside.get(j)) {
            return column.clone();
        }
        Arc::new(bytes.iter().skip(*j).step_by(width).copied().collect::<UInt8Array>())
    };
    batch(schema, keep.iter().map(column).collect(), rows)
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|e| Error::data(format!("cannot make a table of the images: {e}")))
}
