//! Parquet with Snappy, in row groups small enough to be held in memory while they are made.

use std::io::BufWriter;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::{Encode, Failure, failure};
use crate::target::Sink;

/// Most cells and rows of a row group.
const GROUP_CELLS: usize = 1 << 22;
const GROUP_ROWS: usize = 1 << 19;

/// Writes Parquet.
pub(crate) struct ParquetEncoder(ArrowWriter<BufWriter<Sink>>);

impl ParquetEncoder {
    pub(crate) fn start(sink: Sink, schema: SchemaRef) -> Result<Self, Failure> {
        let rows = (GROUP_CELLS / schema.fields().len().max(1)).clamp(1, GROUP_ROWS);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("diffeo {}", env!("CARGO_PKG_VERSION")))
            .set_max_row_group_row_count(Some(rows));
        for field in schema.fields() {
            // Numbers that hardly repeat: a dictionary would be built and thrown away.
            if matches!(field.data_type(), DataType::Float64 | DataType::Float32) {
                let path = ColumnPath::new(vec![field.name().clone()]);
                properties = properties.set_column_dictionary_enabled(path, false);
            }
        }
        let out = BufWriter::with_capacity(1 << 16, sink);
        Ok(Self(ArrowWriter::try_new(out, schema, Some(properties.build())).map_err(failure)?))
    }
}

impl Encode for ParquetEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.0.write(batch).map_err(failure)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        use std::io::Write;
        let mut out = self.0.into_inner().map_err(failure)?;
        Ok(out.flush()?)
    }
}
