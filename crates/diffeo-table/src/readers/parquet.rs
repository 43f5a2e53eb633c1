//! Parquet, one row group after the other and a batch of rows at a time.

use std::fs::File;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use diffeo::{Error, Result, printable};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::decode::{Decode, Decoded};
use super::image_column::numbers_in;
use super::parquet_checks::{check_footer, check_row_group};
use crate::options::ReadOptions;
use crate::source::Source;

/// Reads Parquet.
pub(crate) struct ParquetReader {
    file: File,
    size: u64,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    projection: ProjectionMask,
    batches: Option<ParquetRecordBatchReader>,
    next_group: usize,
    chunk_rows: usize,
    rows: u64,
}

impl ParquetReader {
    pub(crate) fn open(source: Source, options: &ReadOptions) -> Result<Self> {
        let (mut file, size) = source.into_file()?;
        check_footer(&mut file, size)?;
        let metadata =
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(damaged)?;
        let mut rows: u64 = 0;
        for group in metadata.metadata().row_groups() {
            let n = u64::try_from(group.num_rows()).ok();
            rows = n.and_then(|n| rows.checked_add(n)).ok_or_else(|| {
                Error::data(
                    "the Parquet file is damaged: its row groups have an impossible number of rows",
                )
            })?;
        }
        let schema = metadata.schema().clone();
        let chunk_rows = options.rows_per_chunk(numbers_in(&schema));
        Ok(Self {
            file,
            size,
            metadata,
            schema,
            projection: ProjectionMask::all(),
            batches: None,
            next_group: 0,
            chunk_rows,
            rows,
        })
    }

    /// Checks the pages of the next row group and opens it; false after the last.
    fn open_group(&mut self) -> Result<bool> {
        let parquet = self.metadata.metadata();
        let Some(group) = parquet.row_groups().get(self.next_group) else {
            return Ok(false);
        };
        let leaves: Vec<usize> = (0..parquet.file_metadata().schema_descr().num_columns())
            .filter(|&i| self.projection.leaf_included(i))
            .collect();
        check_row_group(&mut self.file, self.size, group, &leaves)?;
        let file = self.file.try_clone().map_err(|e| {
            Error::new(diffeo::ErrorKind::Io, format!("cannot read: {e}")).caused_by(e)
        })?;
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![self.next_group])
                .with_projection(self.projection.clone())
                .with_batch_size(self.chunk_rows)
                .build()
                .map_err(damaged)?;
        self.next_group += 1;
        self.batches = Some(reader);
        Ok(true)
    }
}

impl Decode for ParquetReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn rows_hint(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        let parquet = self.metadata.metadata();
        self.projection =
            ProjectionMask::roots(parquet.file_metadata().schema_descr(), keep.iter().copied());
        self.schema = Arc::new(self.schema.project(keep).map_err(|e| Error::data(e.to_string()))?);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        loop {
            if self.batches.is_none() && !self.open_group()? {
                return Ok(None);
            }
            match self.batches.as_mut().and_then(Iterator::next) {
                Some(Ok(batch)) if batch.num_rows() > 0 => {
                    return Ok(Some(Decoded { batch, lines: None }));
                }
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(damaged(e)),
                None => self.batches = None,
            }
        }
    }
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text: String = printable(&error.to_string()).chars().take(300).collect();
    Error::data(format!(
        "cannot decode the Parquet file, it is damaged or of an unknown kind: {text}"
    ))
    .caused_by(error)
}
