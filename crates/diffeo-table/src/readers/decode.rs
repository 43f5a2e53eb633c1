//! The contract of a decoder.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use diffeo::{ImageShape, Result};

/// What each format provides; all of it may panic on damaged files and is only called under [`crate::guard::guarded`].
pub(crate) trait Decode: Send {
    /// The columns that batches will have.
    fn schema(&self) -> SchemaRef;
    /// Rows in the file, where it says so.
    fn rows_hint(&self) -> Option<u64>;
    /// Share of the file that is read, where that is known.
    fn progress(&self) -> Option<f64> {
        None
    }
    /// Reads only these columns, named by their place in the file and in ascending order, from now on.
    fn project(&mut self, keep: &[usize]) -> Result<()>;
    /// The shape of the images that the rows are, if that is what they are.
    fn image(&self) -> Option<ImageShape> {
        None
    }
    /// Remarks for the report.
    fn take_notes(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// The next rows, never none of them.
    fn next_batch(&mut self) -> Result<Option<Decoded>>;
}

/// Some rows and, for text, the physical line of each.
pub(crate) struct Decoded {
    pub(crate) batch: RecordBatch,
    pub(crate) lines: Option<Vec<u64>>,
}

/// What columns are called where the file gives no names: `x1`, `x2` ...
pub(crate) fn numbered_names(width: usize) -> Vec<String> {
    (1..=width).map(|i| format!("x{i}")).collect()
}
