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

/// What rows may have that no row of the fit had.
#[derive(Clone, Copy)]
pub(crate) enum Unseen {
    /// A level, in their context.
    Given,
    /// A level, in a column of the model.
    Level,
    /// A context far outside.
    Beyond,
}

/// Warns of rows that no row of the fit was like, if there are any.
pub(crate) fn tell_unseen(py: Python<'_>, rows: usize, what: Unseen) -> PyResult<()> {
    let text = match what {
        _ if rows == 0 => return Ok(()),
        Unseen::Given => {
            "have a context with a level that no row of the fit had; they count as having none of the levels"
        }
        Unseen::Level => {
            "have a level that no row of the fit had, in a column of the model; it counts as one of those that were never seen"
        }
        Unseen::Beyond => {
            "have a context far outside of that of all rows of the fit: nothing was learned there, and what the model says of them is a guess (context_ranges in model.summary)"
        }
    };
    warn(py, &format!("{rows} rows {text}"))
}

/// Says a warning of what goes on inside.
pub(crate) fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    tell(&py.import("diffeo._fit")?.getattr("warn")?, text)
}

fn is_not_found(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
}

/// Options of the command line by the names that they have as parameters: `--drop-constant` is `drop_constant`, `--missing model` is `missing="model"`, and
/// `--columns 'x=category'` is `columns={"x": "category"}`.
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
        let (word, behind) = name.split_at(end);
        rest = behind;
        if !(starts_anew && word.starts_with(|c: char| c.is_ascii_lowercase())) {
            text.push_str(&option[..2 + end]);
            continue;
        }
        text.push_str(&word.replace('-', "_"));
        if let Some((value, left)) = value_of(word, behind) {
            text.push_str(&value);
            rest = left;
        }
    }
    text + rest
}

/// The value that stands behind an option, as it is written in Python, and what follows.
fn value_of<'a>(option: &str, behind: &'a str) -> Option<(String, &'a str)> {
    let value = behind.strip_prefix(' ')?;
    if ["kind", "missing", "model"].contains(&option) {
        let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let (word, left) = value.split_at(end.unwrap_or(value.len()));
        return (!word.is_empty()).then(|| (format!("=\"{word}\""), left));
    }
    let (item, left) = value.strip_prefix('\'')?.split_once('\'')?;
    let (name, kind) = item.split_once('=')?;
    Some((format!("={{\"{name}\": \"{kind}\"}}"), left))
}
