//! One encoder a format.

use arrow_array::RecordBatch;
use diffeo::Error;

pub(crate) mod arrow_ipc;
pub(crate) mod cells;
pub(crate) mod delimited;
pub(crate) mod json_lines;
pub(crate) mod npy;
pub(crate) mod packed;
pub(crate) mod parquet;

/// Turns batches with the same columns into the bytes of a file.
pub(crate) trait Encode: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure>;
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Why an encoder stopped.
pub(crate) enum Failure {
    /// The operating system did not take the bytes.
    Io(std::io::Error),
    /// The format cannot hold the data.
    Data(Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Finds the error of the operating system below the error of a format crate.
pub(crate) fn failure(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Failure::Io(again(io));
        }
        cause = inner.source();
    }
    Failure::Data(
        Error::data(format!("cannot write the table: {}", diffeo::printable(&error.to_string())))
            .caused_by(error),
    )
}

/// `io::Error` cannot be cloned; its kind and code are what callers look at.
fn again(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}
