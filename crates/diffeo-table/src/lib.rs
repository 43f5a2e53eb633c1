//! Tables in and out: CSV, TSV, Parquet, Arrow IPC and npy files as checked, column-named chunks of rows; images in: npy, npz and IDX files, folders of PNG and JPEG.
//!
//! A [`Reader`] streams any of these formats in constant memory; its [`Chunk`]s carry the columns of the file unchanged and
//! give the ones a model needs as numbers, or say which cell is not one. A [`Writer`] puts chunks into a file that is whole or
//! not there. [`read_table`] gathers a whole table for fitting and [`infer_schema`] reads off it what kind of values each
//! column holds.
//!
//! Every byte of a file is taken as hostile: the worst result is an [`diffeo::Error`]. Nothing is repaired or left out without
//! being counted in the [`ReadReport`].
//!
//! ```
//! use diffeo_table::{Chunk, Input, MemoryLimit, Output, ReadOptions, Reader, Writer, read_table};
//! # fn main() -> diffeo::Result<()> {
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("points.csv");
//! std::fs::write(&path, "x,name,y\n1,first,2\n3,second,4.5\n").unwrap();
//!
//! let wanted = ["x".to_owned(), "y".to_owned()];
//! let mut reader = Reader::open(&Input::Path(path.clone()), &ReadOptions::default())?;
//! reader.require(&wanted)?;
//! let mut writer = Writer::create(&Output::Path(folder.path().join("sums.parquet")), None, false)?;
//! while let Some(chunk) = reader.next_chunk()? {
//!     let rows = chunk.numbers(&wanted)?;
//!     let sums = (0..rows.len()).map(|i| rows.row(i).iter().sum()).collect();
//!     writer.write(&chunk.with_column("sum", sums)?)?;
//! }
//! writer.finish()?;
//!
//! let table = read_table(&Input::Path(path), Some(&wanted), &ReadOptions::default(), MemoryLimit::bytes(1 << 30))?;
//! assert_eq!(table.rows.values(), [1.0, 2.0, 3.0, 4.5]);
//! # Ok(()) }
//! ```

mod assemble;
mod chunk;
mod coding;
mod content;
mod dates;
mod detect;
mod format;
mod guard;
mod gzip;
mod infer;
mod measure;
mod moments;
mod needs;
mod number;
mod numbers;
mod options;
mod probe;
mod ranks;
mod reader;
mod readers;
mod report;
mod source;
mod table;
mod tally;
mod target;
mod training;
mod words;
mod writer;
mod writers;

pub use chunk::Chunk;
pub use content::Content;
pub use dates::date_number;
pub use format::Format;
pub use infer::{InferOptions, Note, Wish, infer_schema, infer_schema_with};
pub use needs::Wanted;
pub use options::{Delimiter, Header, Input, MemoryLimit, Missing, Output, ReadOptions};
pub use probe::Survey;
pub use reader::Reader;
pub use readers::batches::Batches;
pub use readers::clips::EARLIER_MAX;
pub use report::ReadReport;
pub use table::{Table, read_rows, read_table, read_together, read_wanted};
pub use target::NewFile;
pub use training::images::{expect_image, hold_out_clips};
pub use training::{Roles, TrainingTable};
pub use words::Words;
pub use writer::Writer;
pub use writers::npy::ImageArrayWriter;

/// Arrow's arrays, re-exported so that programs give [`Batches`] of the same version.
pub use arrow_array;
pub use arrow_schema;
