//! The one error type of diffeo: what was expected, what was found, where, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for a result with diffeo's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong. Programs branch on this; people read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option, flag or specification is outside its range or contradicts another.
    Config,
    /// A data file or table holds something that cannot be used.
    Data,
    /// Two arrays disagree about their shape.
    Shape,
    /// A value lies outside the domain of a function.
    Domain,
    /// An iterative method stopped before it reached its tolerance.
    NotConverged,
    /// Training produced non-finite numbers and could not recover.
    Diverged,
    /// A self-test was run and did not hold.
    CheckFailed,
    /// A model or checkpoint file is damaged or is not one.
    ModelFile,
    /// A model or checkpoint was written by an incompatible version.
    Version,
    /// A stated limit would be exceeded.
    Limit,
    /// The operating system refused to read or write.
    Io,
    /// Someone asked the work to stop.
    Interrupted,
    /// The requested compute device is not there.
    Device,
    /// A bug in diffeo itself.
    Internal,
}

/// An error with its kind, its place and its cause.
///
/// The message follows one rule: what was expected, what was found, where, and what to do; lower case, no full stop.
#[derive(Debug)]
pub struct Error(Box<Repr>);

#[derive(Debug)]
struct Repr {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error of the given kind.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr { kind, message: message.into(), path: None, source: None }))
    }

    /// [`ErrorKind::Config`]: an option is out of range or contradicts another.
    #[cold]
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// [`ErrorKind::Data`]: a table holds something that cannot be used.
    #[cold]
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// [`ErrorKind::Shape`]: two arrays disagree.
    #[cold]
    pub fn shape(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, message)
    }

    /// [`ErrorKind::ModelFile`]: a model file is damaged or is not one.
    #[cold]
    pub fn model_file(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ModelFile, message)
    }

    /// [`ErrorKind::Io`] with the path that was being worked on.
    #[cold]
    pub fn io(path: impl AsRef<Path>, action: &str, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("cannot {action}: {source}")).at(path).caused_by(source)
    }

    /// Names the file that the error is about; shown before the message.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.0.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// Keeps the underlying error as the source.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without the path.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file the error is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.0.path {
            write!(f, "{}: ", printable(&path.to_string_lossy()))?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}

/// Quotes text that came from a file: control characters are escaped, more than 80 characters are cut.
pub fn quoted(text: &str) -> String {
    const LIMIT: usize = 80;
    let mut out = String::from("\"");
    out.push_str(&printable(&text.chars().take(LIMIT).collect::<String>()));
    out.push_str(if text.chars().nth(LIMIT).is_some() { "...\"" } else { "\"" });
    out
}

/// Escapes control characters so that text from a file cannot move the cursor or forge a line of output.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_the_file_first() {
        let e = Error::data("column \"a\": \"x\" is not a number").at("d.csv");
        assert_eq!(e.to_string(), "d.csv: column \"a\": \"x\" is not a number");
        assert_eq!(e.kind(), ErrorKind::Data);
    }

    #[test]
    fn f11_control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(quoted("a\u{1b}[31mb"), "\"a\\u{1b}[31mb\"");
        assert_eq!(quoted(&"x".repeat(81)).chars().count(), 80 + 5);
    }
}
