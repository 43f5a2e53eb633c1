//! What a caller may choose about reading and writing tables.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diffeo::{Error, ErrorKind, Result};

use crate::format::Format;
use crate::readers::batches::Batches;

/// Where a table comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Standard input, spelt `-` on the command line.
    Stdin,
    /// A file, a FIFO or a device.
    Path(PathBuf),
    /// The bytes of a file that could be read once only: see [`Input::read_ahead`].
    Bytes {
        /// What messages call it.
        label: PathBuf,
        /// What was read.
        bytes: Arc<[u8]>,
    },
    /// Record batches in memory.
    Batches(Batches),
}

impl Input {
    /// `-` is standard input, anything else a path.
    pub fn from_arg(arg: impl AsRef<Path>) -> Self {
        let path = arg.as_ref();
        if path.as_os_str() == "-" { Self::Stdin } else { Self::Path(path.to_path_buf()) }
    }

    /// What messages call it.
    pub(crate) fn label(&self) -> &Path {
        match self {
            Self::Stdin => Path::new("standard input"),
            Self::Path(path) | Self::Bytes { label: path, .. } => path,
            Self::Batches(_) => Path::new("table"),
        }
    }

    /// Whether a second reading would find nothing, or wait for ever.
    pub fn is_read_once(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::Path(path) => {
                std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
            }
            Self::Bytes { .. } | Self::Batches(_) => false,
        }
    }

    /// The same, which can be read any number of times: what can be read once only is read into memory, in which it may take `limit`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Limit`] if it is larger.
    pub fn read_ahead(self, limit: MemoryLimit) -> Result<Self> {
        if !self.is_read_once() {
            return Ok(self);
        }
        let label = self.label().to_path_buf();
        let mut source: Box<dyn Read> = match &self {
            Self::Path(path) => Box::new(File::open(path).map_err(|e| Error::io(path, "open", e))?),
            _ => Box::new(std::io::stdin()),
        };
        let most = limit.limit().unwrap_or(u64::MAX - 1);
        let mut bytes = Vec::new();
        let read = source.by_ref().take(most + 1).read_to_end(&mut bytes);
        read.map_err(|e| Error::io(&label, "read", e))?;
        if bytes.len() as u64 > most {
            let text = format!(
                "holds more than the {most} bytes of memory that it may take; write it to a file first"
            );
            return Err(Error::new(ErrorKind::Limit, text).at(&label));
        }
        Ok(Self::Bytes { label, bytes: bytes.into() })
    }

    /// Names the file in an error about its content that names none.
    pub fn located(&self, error: Error) -> Error {
        match self {
            Self::Path(path) if error.kind() == ErrorKind::Data && error.path().is_none() => {
                error.at(path)
            }
            _ => error,
        }
    }
}

/// Where a table goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output, which has no extension to tell the format.
    Stdout(Format),
    /// A file; its extension tells the format unless the caller does.
    Path(PathBuf),
}

/// What to do with missing values: empty cells, `NA`, `N/A`, `#N/A`, `null`, `None`, `nan`, `?`, nulls and NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Count them over the whole file, then refuse it.
    #[default]
    Refuse,
    /// Leave out the rows that have one in a needed column, and count them.
    Drop,
    /// Keep these rows where it has been said that a value may be missing, with NaN in its place; refuse the others.
    Model,
    /// Keep these rows with NaN in place of the value, and infinities as they are: for scoring, where a row answers for
    /// itself.
    Keep,
}

/// Whether the first line of a text file holds the names of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// It does unless it holds nothing but numbers; the report says so when it is taken as data.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not: the columns are called `x1`, `x2` ...
    No,
}

/// What stands between the cells of a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// One byte.
    Byte(u8),
    /// Any number of blanks and tabs; those at the ends of a line count for nothing.
    Blanks,
}

/// How to read a table. `ReadOptions::default()` suits most.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The format; by default the bytes tell, then the extension.
    pub format: Option<Format>,
    /// What stands between the cells of a text file; by default a tab for TSV, else what its first lines show.
    pub delimiter: Option<Delimiter>,
    /// Lines of a text file that start with this byte are comments: they are counted and left out. If the one before the first row has
    /// a word for each column and the row has numbers, these are the names.
    pub comment: Option<u8>,
    /// Cells that mark a missing value, besides the usual ones: in text as they are written, in columns of numbers by their value.
    pub missing_marks: Vec<String>,
    /// Whether a text file starts with names.
    pub header: Header,
    /// What to do with missing values.
    pub missing: Missing,
    /// Most bytes to read, after decompression. By default plain files have no limit and compressed ones 1 GiB plus 256 times
    /// their packed size.
    pub max_bytes: Option<u64>,
    /// Read clips, each frame with so many of those before it: see [`diffeo::Schema::frames`].
    pub earlier: Option<usize>,
    /// Numbers of a pixel that frames of GIF and APNG files are to have, 1 or 3; `None` for grey where all frames of all files are so. (Such a file does not say that it is grey.)
    pub channels: Option<usize>,
    /// Read no more than this many rows.
    pub max_rows: Option<u64>,
    /// Most rows in a chunk. Wide tables get fewer, so that a chunk has at most four million cells.
    pub chunk_rows: usize,
    /// The largest magnitude a number may have; by default the largest `f32`.
    pub max_magnitude: f64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            delimiter: None,
            comment: Some(b'#'),
            missing_marks: Vec::new(),
            header: Header::Auto,
            missing: Missing::Refuse,
            max_bytes: None,
            earlier: None,
            channels: None,
            max_rows: None,
            chunk_rows: 65_536,
            max_magnitude: f64::from(f32::MAX),
        }
    }
}

/// Most cells in a chunk, whatever [`ReadOptions::chunk_rows`] says.
const CHUNK_CELLS: usize = 1 << 22;

impl ReadOptions {
    /// Rows in a chunk of a table with so many columns.
    pub(crate) fn rows_per_chunk(&self, width: usize) -> usize {
        self.chunk_rows.min(CHUNK_CELLS / width.max(1)).max(1)
    }
}

/// How much memory a whole table may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryLimit(Option<u64>);

impl MemoryLimit {
    /// As much as there is.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// At most so many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(Some(bytes))
    }

    /// The number of bytes, if there is a limit.
    pub fn limit(self) -> Option<u64> {
        self.0
    }
}
