//! `--log`: what happens in training, one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use diffeo::train::Event;
use diffeo::{Error, Result, printable};
use serde_json::{Value, json};

use crate::output::number;

/// The log file; none if none was asked for or it failed once.
pub(super) struct Journal {
    file: Option<(File, PathBuf)>,
}

impl Journal {
    /// Opens the log: anew, or at its end when a run goes on.
    pub(super) fn open(path: Option<&Path>, append: bool) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { file: None }) };
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(append)
            .truncate(!append)
            .open(path)
            .map_err(|e| Error::io(path, "write the log", e))?;
        Ok(Self { file: Some((file, path.to_path_buf())) })
    }

    /// Writes `event`. The first failure gives a warning and ends the log: training is worth more.
    pub(super) fn write(&mut self, event: &Event, elapsed: Duration) -> Option<String> {
        self.line(line(event)?, elapsed)
    }

    /// Writes something that is no event of a fit, under a name.
    pub(super) fn note(
        &mut self,
        event: &str,
        mut line: Value,
        elapsed: Duration,
    ) -> Option<String> {
        line["event"] = event.into();
        self.line(line, elapsed)
    }

    fn line(&mut self, mut line: Value, elapsed: Duration) -> Option<String> {
        let (file, path) = self.file.as_mut()?;
        if let Some(object) = line.as_object_mut() {
            object.insert("seconds".to_string(), number(elapsed.as_secs_f64()));
        }
        // One call a line, so that a reader never sees half of one.
        let written: io::Result<()> = file.write_all(format!("{line}\n").as_bytes());
        let error = written.err()?;
        let warning = format!(
            "the log {} cannot be written ({error}); training goes on without it",
            printable(&path.to_string_lossy())
        );
        self.file = None;
        Some(warning)
    }
}

/// The event as JSON. Keys are stable.
fn line(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Step { step, loss, grad_norm, learning_rate, rows, clipped } => json!({
            "event": "step", "step": step, "loss": number(*loss), "grad_norm": number(*grad_norm),
            "learning_rate": number(*learning_rate), "rows": rows, "clipped": clipped,
        }),
        Event::Validated { step, epoch, train_loss, valid_loss, best } => json!({
            "event": "validated", "step": step, "epoch": number(*epoch), "train_loss": number(*train_loss),
            "valid_loss": number(*valid_loss), "best": best,
        }),
        Event::RolledBack { step, to_step, learning_rate, reason, rows } => json!({
            "event": "rolled_back", "step": step, "to_step": to_step, "learning_rate": number(*learning_rate),
            "reason": reason, "rows": rows,
        }),
        Event::Skipped { step, reason } => {
            json!({ "event": "skipped", "step": step, "reason": reason })
        }
        Event::Warning(text) => json!({ "event": "warning", "text": text }),
        Event::Finished { reason } => json!({ "event": "finished", "reason": reason.to_string() }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c15_a_loss_that_is_not_finite_stays_readable() {
        let event = Event::Validated {
            step: 1,
            epoch: 0.5,
            train_loss: f64::NAN,
            valid_loss: 2.0,
            best: true,
        };
        let line = line(&event).expect("a line");
        assert_eq!(line["train_loss"], "nan");
        assert_eq!(line["valid_loss"], 2.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn f4_a_full_disk_ends_the_log_with_one_warning() {
        let mut journal = Journal::open(Some(Path::new("/dev/full")), false).expect("opens");
        let event = Event::Warning("x".to_string());
        assert!(journal.write(&event, Duration::ZERO).is_some());
        assert!(journal.write(&event, Duration::ZERO).is_none());
    }
}
