//! Errors of the library as exceptions of the package: a class for each kind, defined in `diffeo/_errors.py`.

use diffeo::{Error, ErrorKind};
use pyo3::prelude::*;

/// The exception for an error; options are named as parameters are.
pub(crate) fn raise(error: Error) -> PyErr {
    Python::attach(|py| match exception(py, &error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    })
}

fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let class = match error.kind() {
        ErrorKind::Config => "ConfigError",
        ErrorKind::Data | ErrorKind::Shape | ErrorKind::Domain => "DataError",
        ErrorKind::ModelFile | ErrorKind::Version => "ModelFileError",
        ErrorKind::Limit => "LimitError",
        ErrorKind::Io if is_not_found(error) => "NotFoundError",
        ErrorKind::Io | ErrorKind::Device => "IoError",
        ErrorKind::NotConverged | ErrorKind::Diverged | ErrorKind::CheckFailed => "TrainingError",
        _ => "InternalError",
    };
    let module = py.import("diffeo._errors")?;
    module.getattr(class)?.call1((as_parameters(&error.to_string()),))
}

/// Says a warning, with options named as parameters are.
pub(crate) fn tell(warn: &Bound<'_, PyAny>, text: &str) -> PyResult<()> {
    warn.call1((as_parameters(text),)).map(drop)
}

fn is_not_found(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
}

/// Options of the command line by the names that they have as parameters: `--drop-constant` is `drop_constant`.
fn as_parameters(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find("--") {
        let (before, option) = rest.split_at(at);
        text.push_str(before);
        let name = &option[2..];
        let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
        let end = name.find(|c| !is_word(c)).unwrap_or(name.len());
        let starts_anew = !before.ends_with(|c: char| c.is_alphanumeric() || c == '-');
        if end > 0 && starts_anew && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            text.push_str(&name[..end].replace('-', "_"));
        } else {
            text.push_str(&option[..2 + end]);
        }
        rest = &name[end..];
    }
    text + rest
}
