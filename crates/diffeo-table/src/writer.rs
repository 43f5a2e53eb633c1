//! The writer of all formats: a file that is whole or not there.

use arrow_schema::SchemaRef;
use diffeo::{Error, ErrorKind, Result, quoted};

use crate::chunk::Chunk;
use crate::format::{Format, Packing};
use crate::options::Output;
use crate::target::{Sink, Target};
use crate::writers::{
    Encode, Failure, arrow_ipc::IpcEncoder, delimited::TextEncoder, json_lines::JsonEncoder,
    npy::NpyEncoder, parquet::ParquetEncoder,
};

/// Writes chunks of one table. The file appears under its name only in [`Writer::finish`]; without that nothing remains of it.
pub struct Writer {
    target: Target,
    state: State,
    format: Format,
    packing: Packing,
    schema: Option<SchemaRef>,
}

enum State {
    /// Waits for the first chunk, which tells the columns.
    Open(Sink),
    Encoding(Box<dyn Encode>),
    Failed,
}

impl Writer {
    /// Prepares to write. For a path, the format is that of its extension unless given; `.gz` and `.zst` compress CSV, TSV and
    /// JSON lines. Without `overwrite` an existing file is refused.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the format is unknown or does not go with the output, [`ErrorKind::Io`] if the file exists or
    /// its folder cannot be written.
    pub fn create(output: &Output, format: Option<Format>, overwrite: bool) -> Result<Self> {
        let (format, packing, (target, sink)) = match output {
            Output::Stdout(format) => {
                if *format == Format::Npy {
                    return Err(Error::config(
                        "npy starts with the number of rows, which is not known in time for standard output; name a file",
                    ));
                }
                (*format, Packing::Plain, Target::stdout())
            }
            Output::Path(path) => {
                let Some(format) = format.or_else(|| Format::from_path(path)) else {
                    return Err(Error::config(
                        "the extension tells no table format; use .csv, .tsv, .parquet, .arrow, .arrows, .npy or .jsonl, or give the format",
                    )
                    .at(path));
                };
                if !format.is_written() {
                    return Err(Error::config(format!(
                        "{format} can be read, not written; write npy"
                    ))
                    .at(path));
                }
                let packing = Packing::from_path(path);
                if packing != Packing::Plain && !(format.is_text() || format == Format::JsonLines) {
                    return Err(Error::config(format!(
                        "{format} is not compressed from outside; leave out the .gz or .zst"
                    ))
                    .at(path));
                }
                (format, packing, Target::file(path, overwrite)?)
            }
        };
        if format == Format::Npy && matches!(target, Target::Device { .. }) {
            return Err(Error::config("npy needs a regular file"));
        }
        Ok(Self { target, state: State::Open(sink), format, packing, schema: None })
    }

    /// Appends the rows of a chunk.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if writing fails (a closed pipe has [`std::io::ErrorKind::BrokenPipe`] in its source),
    /// [`ErrorKind::Shape`] if the columns are not those of the chunks before, [`ErrorKind::Data`] for what the format cannot
    /// hold, such as text in npy.
    pub fn write(&mut self, chunk: &Chunk) -> Result<()> {
        let batch =
            if self.format.is_text() { chunk.batch().clone() } else { chunk.typed_batch()? };
        match &self.schema {
            None => self.schema = Some(batch.schema()),
            Some(schema) => same_columns(schema, &batch.schema())?,
        }
        let mut encoder = match std::mem::replace(&mut self.state, State::Failed) {
            State::Open(sink) => self.start(sink, batch.schema())?,
            State::Encoding(encoder) => encoder,
            State::Failed => {
                return Err(Error::new(
                    ErrorKind::Io,
                    "an earlier write failed; nothing more is written",
                ));
            }
        };
        encoder.write(&batch).map_err(|failure| self.describe(failure))?;
        self.state = State::Encoding(encoder);
        Ok(())
    }

    /// Ends the file, syncs it to disk and gives it its name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if any of it fails; the target is then as it was before.
    pub fn finish(self) -> Result<()> {
        match self.state {
            State::Encoding(encoder) => {
                encoder.finish().map_err(|failure| describe(&self.target, failure))?
            }
            State::Open(_) => {
                return Err(Error::data(
                    "there are no columns to write: no chunk was written, not even an empty one",
                ));
            }
            State::Failed => {
                return Err(Error::new(
                    ErrorKind::Io,
                    "an earlier write failed; the file was not written",
                ));
            }
        }
        self.target.publish()
    }

    fn start(&self, sink: Sink, schema: SchemaRef) -> Result<Box<dyn Encode>> {
        let encoder: Result<Box<dyn Encode>, Failure> = match self.format {
            Format::Csv => TextEncoder::start(sink, self.packing, b',').map(|e| Box::new(e) as _),
            Format::Tsv => TextEncoder::start(sink, self.packing, b'\t').map(|e| Box::new(e) as _),
            Format::JsonLines => JsonEncoder::start(sink, self.packing).map(|e| Box::new(e) as _),
            Format::Parquet => ParquetEncoder::start(sink, schema).map(|e| Box::new(e) as _),
            Format::Arrow => IpcEncoder::start_file(sink, &schema).map(|e| Box::new(e) as _),
            Format::ArrowStream => {
                IpcEncoder::start_stream(sink, &schema).map(|e| Box::new(e) as _)
            }
            Format::Npy => NpyEncoder::start(sink, schema.fields().len()).map(|e| Box::new(e) as _),
            Format::Npz | Format::Idx | Format::Images | Format::Clip => {
                return Err(Error::config(format!("{} can be read, not written", self.format)));
            }
        };
        encoder.map_err(|failure| self.describe(failure))
    }

    fn describe(&self, failure: Failure) -> Error {
        describe(&self.target, failure)
    }
}

fn describe(target: &Target, failure: Failure) -> Error {
    match failure {
        Failure::Io(error) => target.error(error),
        Failure::Data(error) => error,
    }
}

fn same_columns(before: &SchemaRef, now: &SchemaRef) -> Result<()> {
    let same = before.fields().len() == now.fields().len()
        && before
            .fields()
            .iter()
            .zip(now.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
    if same {
        return Ok(());
    }
    let list = |s: &SchemaRef| {
        s.fields().iter().take(20).map(|f| quoted(f.name())).collect::<Vec<_>>().join(", ")
    };
    Err(Error::shape(format!(
        "expected the columns of the chunks before ({}), found {}",
        list(before),
        list(now)
    )))
}
