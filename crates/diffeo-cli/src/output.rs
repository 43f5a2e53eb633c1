//! What is said, and where: results on stdout, progress, notes, warnings and errors on stderr.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diffeo::{Error, printable};
use serde_json::{Map, Value, json};

use crate::args::Common;
use crate::exit;

/// What a command found: for people and, key by key, for programs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    text: String,
    json: Map<String, Value>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Report {
    /// Adds a line for people.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Adds a key for programs. Keys are stable.
    pub(crate) fn key(&mut self, key: &str, value: impl Into<Value>) {
        self.json.insert(key.to_string(), value.into());
    }

    /// Adds a number for programs.
    pub(crate) fn number(&mut self, key: &str, value: f64) {
        self.json.insert(key.to_string(), number(value));
    }

    /// Adds a table for people: columns aligned, numbers included.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |j: usize| {
            rows.iter().filter_map(|r| r.get(j)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            self.line(line.trim_end());
        }
    }
}

/// A number in JSON: JSON has no infinities and no NaN, so these are strings.
pub(crate) fn number(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => Value::from("nan"),
        None => Value::from(if value > 0.0 { "inf" } else { "-inf" }),
    }
}

/// Where things are said.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// What was warned of so far, for the report.
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Console {
    pub(crate) fn new(common: &Common) -> Self {
        Self { json: common.json, quiet: common.quiet, warnings: Arc::default() }
    }

    /// Says something that helps to follow the work; not with `--quiet`.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            say(text.as_ref());
        }
    }

    /// Says something that the user must know, also with `--quiet`; programs find it under `warnings` in the report.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        say(&format!("warning: {}", text.as_ref()));
        self.warned().push(text.as_ref().to_owned());
    }

    fn warned(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the report and gives the exit code. A reader that has gone is no fault.
    pub(crate) fn finish(&self, report: &Report) -> u8 {
        let printed = if self.json {
            let mut object = report.json.clone();
            object.insert("warnings".to_owned(), self.warned().clone().into());
            print(&format!("{}\n", Value::Object(object)))
        } else {
            print(&report.text)
        };
        match printed {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                fail(&Error::io("standard output", "write", e), false)
            }
            _ => report.code,
        }
    }

    /// Prints the error and gives its exit code.
    pub(crate) fn fail(&self, error: &Error) -> u8 {
        if exit::is_broken_pipe(error) { exit::DONE } else { fail(error, self.json) }
    }
}

/// Prints `error` and gives its exit code.
pub(crate) fn fail(error: &Error, json: bool) -> u8 {
    let code = exit::code(error.kind());
    let mut text = format!("diffeo: {error}");
    if code == exit::BUG {
        let _ = write!(
            text,
            "\nThis is a bug in diffeo {}; please report it",
            env!("CARGO_PKG_VERSION")
        );
    }
    say(&text);
    if json {
        print_error_json(&format!("{:?}", error.kind()), &error.to_string(), code);
    }
    code
}

/// The JSON object of a command that failed.
pub(crate) fn print_error_json(kind: &str, message: &str, code: u8) {
    let object =
        json!({ "error": { "kind": kind.to_lowercase(), "message": message, "exit_code": code } });
    let _ = print(&format!("{object}\n"));
}

/// Writes lines to stderr; there is nobody to tell if that fails.
fn say(text: &str) {
    let lines: Vec<String> = text.lines().map(printable).collect();
    let _ = writeln!(io::stderr().lock(), "{}", lines.join("\n"));
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c15_numbers_that_json_lacks_are_strings() {
        assert_eq!(number(f64::NAN), "nan");
        assert_eq!(number(f64::INFINITY), "inf");
        assert_eq!(number(f64::NEG_INFINITY), "-inf");
        assert_eq!(number(-0.5), -0.5);
    }

    #[test]
    fn tables_are_aligned() {
        let mut report = Report::default();
        report.table(&[vec!["a".into(), "bb".into()], vec!["ccc".into(), "d".into()]]);
        assert_eq!(report.text, "a    bb\nccc  d\n");
    }
}
