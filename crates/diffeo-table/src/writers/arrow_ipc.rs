//! Arrow IPC as a file or a stream.

use std::io::{BufWriter, Write};

use arrow_array::RecordBatch;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::SchemaRef;

use super::{Encode, Failure, failure};
use crate::target::Sink;

/// Writes Arrow IPC.
pub(crate) enum IpcEncoder {
    File(Box<FileWriter<BufWriter<Sink>>>),
    Stream(Box<StreamWriter<BufWriter<Sink>>>),
}

impl IpcEncoder {
    pub(crate) fn start_file(sink: Sink, schema: &SchemaRef) -> Result<Self, Failure> {
        Ok(Self::File(Box::new(
            FileWriter::try_new(BufWriter::new(sink), schema).map_err(failure)?,
        )))
    }

    pub(crate) fn start_stream(sink: Sink, schema: &SchemaRef) -> Result<Self, Failure> {
        Ok(Self::Stream(Box::new(
            StreamWriter::try_new(BufWriter::new(sink), schema).map_err(failure)?,
        )))
    }
}

impl Encode for IpcEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        match self {
            Self::File(writer) => writer.write(batch),
            Self::Stream(writer) => writer.write(batch),
        }
        .map_err(failure)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        let out = match *self {
            Self::File(writer) => writer.into_inner(),
            Self::Stream(writer) => writer.into_inner(),
        };
        Ok(out.map_err(failure)?.flush()?)
    }
}
