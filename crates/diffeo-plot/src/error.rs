//! What can go wrong when a figure is drawn or written.

use std::fmt;
use std::path::PathBuf;

/// Why a figure could not be drawn or written.
///
/// The message says what was expected, what was found and what to do; lower case, no full stop.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlotError {
    /// The arrays handed in disagree about their shape.
    Shape(String),
    /// The path does not end in `.svg` or `.png`.
    Format(PathBuf),
    /// The figure would be larger than a picture can sensibly be.
    Limit(String),
    /// The operating system refused to write the file.
    Io {
        /// The file that was being written.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The picture could not be encoded; a bug in diffeo.
    Encode(String),
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(message) | Self::Limit(message) => f.write_str(message),
            Self::Format(path) => write!(
                f,
                "expected a figure path that ends in .svg or .png, found {path:?} (rename the output)"
            ),
            Self::Io { path, source } => write!(f, "cannot write the figure {path:?}: {source}"),
            Self::Encode(message) => write!(f, "cannot encode the figure: {message}"),
        }
    }
}

impl std::error::Error for PlotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
