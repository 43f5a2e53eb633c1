//! Record batches that are in memory already: nothing is copied until a column is needed as numbers.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use diffeo::{Error, Result};

use super::decode::{Decode, Decoded};
use super::image_column::numbers_in;
use crate::options::ReadOptions;

/// A table in memory, as record batches of one schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Batches {
    schema: SchemaRef,
    batches: Arc<[RecordBatch]>,
}

impl Batches {
    /// A table of these batches.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if one of them has other columns.
    pub fn new(schema: SchemaRef, batches: impl Into<Arc<[RecordBatch]>>) -> Result<Self> {
        let batches = batches.into();
        match batches.iter().position(|batch| batch.schema().fields() != schema.fields()) {
            None => Ok(Self { schema, batches }),
            Some(i) => Err(Error::data(format!(
                "batch {i} of the table has other columns than its schema says"
            ))),
        }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The batches, which share their memory with these.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }
}

/// Gives out a table in memory slice by slice.
pub(crate) struct BatchReader {
    table: Batches,
    keep: Option<Vec<usize>>,
    chunk_rows: usize,
    /// The batch that is given out, and how many of its rows were.
    at: (usize, usize),
}

impl BatchReader {
    pub(crate) fn new(table: Batches, options: &ReadOptions) -> Self {
        let chunk_rows = options.rows_per_chunk(numbers_in(&table.schema));
        Self { table, keep: None, chunk_rows, at: (0, 0) }
    }
}

impl Decode for BatchReader {
    fn schema(&self) -> SchemaRef {
        let schema = &self.table.schema;
        match &self.keep {
            Some(keep) => schema.project(keep).map_or_else(|_| schema.clone(), SchemaRef::new),
            None => schema.clone(),
        }
    }

    fn rows_hint(&self) -> Option<u64> {
        Some(self.table.rows() as u64)
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        self.keep = Some(keep.to_vec());
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let refused = |e: ArrowError| Error::data(e.to_string());
        loop {
            let (i, from) = self.at;
            let Some(batch) = self.table.batches.get(i) else { return Ok(None) };
            if from >= batch.num_rows() {
                self.at = (i + 1, 0);
                continue;
            }
            let n = self.chunk_rows.min(batch.num_rows() - from);
            self.at = (i, from + n);
            let mut batch = batch.slice(from, n);
            if let Some(keep) = &self.keep {
                batch = batch.project(keep).map_err(refused)?;
            }
            return Ok(Some(Decoded { batch, lines: None }));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::{Content, Input, MemoryLimit, Reader, read_table};

    fn batch(x: Vec<f64>, word: Vec<&str>) -> RecordBatch {
        let fields = [("x", DataType::Float64), ("word", DataType::Utf8)];
        let fields = fields.map(|(name, kind)| Field::new(name, kind, true));
        let arrays: Vec<arrow_array::ArrayRef> =
            vec![Arc::new(Float64Array::from(x)), Arc::new(StringArray::from(word))];
        RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), arrays).unwrap()
    }

    #[test]
    fn batches_are_read_as_one_table_as_often_as_it_takes() {
        let parts = [
            batch(vec![1.0, 2.0, 3.0], vec!["a", "b", "a"]),
            batch(vec![], vec![]),
            batch(vec![4.0], vec!["b"]),
        ];
        let input = Input::Batches(Batches::new(parts[0].schema(), parts).unwrap());
        assert!(!input.is_read_once());
        let options = ReadOptions { chunk_rows: 2, ..ReadOptions::default() };
        for _ in 0..2 {
            let table = read_table(&input, None, &options, MemoryLimit::unlimited()).unwrap();
            assert_eq!(table.rows.column(0), [1.0, 2.0, 3.0, 4.0]);
            assert_eq!(table.rows.column(1), [0.0, 1.0, 0.0, 1.0]);
            assert!(
                matches!(&table.contents[1], Content::Levels { .. }),
                "{:?}",
                table.contents[1]
            );
        }
        let mut reader = Reader::open(&input, &options).unwrap();
        reader.select(&["x".to_owned()]).unwrap();
        let sizes: Vec<usize> =
            std::iter::from_fn(|| reader.next_chunk().unwrap().map(|c| c.rows())).collect();
        assert_eq!((reader.columns().len(), sizes), (1, vec![2, 1, 1]));
    }

    #[test]
    fn faults_of_tables_in_memory_name_row_and_column() {
        let bad = batch(vec![1.0, f64::NAN], vec!["a", "b"]);
        let input = Input::Batches(Batches::new(bad.schema(), [bad.clone()]).unwrap());
        let options = ReadOptions::default();
        let fault = read_table(&input, None, &options, MemoryLimit::unlimited()).unwrap_err();
        assert!(fault.to_string().contains("row 2, column \"x\""), "{fault}");
        let none = Input::Batches(Batches::new(bad.schema(), []).unwrap());
        let fault = read_table(&none, None, &options, MemoryLimit::unlimited()).unwrap_err();
        assert!(fault.to_string().contains("no rows"), "{fault}");
        let other = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert!(Batches::new(bad.schema(), [bad, other]).is_err());
    }
}
