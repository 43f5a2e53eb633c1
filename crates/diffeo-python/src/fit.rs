//! Fits: the library's steps, with signals, progress and checkpoints in between.

use std::time::{Duration, Instant};

use arrow_schema::DataType;
use diffeo::train::{
    CHECKPOINT_EVERY, Deadline, Event, StopReason, Trainer, TrainingData, ValidationChoice,
};
use diffeo::{ColumnKind, Model, Result, Schema, quoted};
use diffeo_cli::memory;
use diffeo_table::{Input, ReadOptions, ReadReport, Reader, Roles, TrainingTable, expect_image};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{raise, tell};
use crate::model::PyModel;
use crate::preparation::prepare;
use crate::ranks::PyRanks;
use crate::settings::Settings;

/// Time without the interpreter's lock, after which signals and progress are seen to.
pub(crate) const TURN: Duration = Duration::from_millis(50);

/// Fits a model; see `diffeo.fit`, which names the settings. `report` is called with a dictionary now and then, and `warn` with a text.
///
/// Gives the model and why the fit ended.
#[pyfunction]
#[pyo3(signature = (data, settings, *, valid, communicator, report, warn))]
pub(crate) fn fit(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    settings: Settings,
    valid: Option<&Bound<'_, PyAny>>,
    communicator: Option<&Bound<'_, PyAny>>,
    report: Option<&Bound<'_, PyAny>>,
    warn: &Bound<'_, PyAny>,
) -> PyResult<(PyModel, String)> {
    let ranks = communicator.map(|one| PyRanks::of(one, &settings)).transpose()?;
    let is_first = ranks.as_ref().is_none_or(|ranks| ranks.is_first());
    let (report, warn) = (report.filter(|_| is_first), &Warn { warn, is_heard: is_first });
    let table = read(py, data, &settings, warn)?;
    let validation = valid.map(|valid| known(py, valid, &settings, &table)).transpose()?;
    let prepared = prepare(py, &settings, report, table, validation)?;
    prepared.warnings.iter().try_for_each(|text| warn.tell(text))?;
    let mut trainer = prepared.trainer;
    if let Some(ranks) = ranks {
        py.detach(|| trainer.join(Box::new(ranks))).map_err(raise)?;
    }
    let deadline = Deadline::new(prepared.time_left);
    let checkpoint = settings.checkpoint.clone().filter(|_| is_first);
    let is_joined = communicator.is_some();
    let course =
        Course { trainer, deadline, checkpoint, saved: Instant::now(), is_joined, skipped: 0 };
    let (mut model, reason) = course.run(py, report, warn)?;
    model.summary.iter_mut().for_each(|summary| summary.rows_trimmed = prepared.rows_trimmed);
    Ok((model.into(), reason.to_string()))
}

/// Whom warnings are told; of several processes, those of the first are enough.
struct Warn<'a, 'py> {
    warn: &'a Bound<'py, PyAny>,
    is_heard: bool,
}

impl Warn<'_, '_> {
    fn tell(&self, text: &str) -> PyResult<()> {
        if self.is_heard { tell(self.warn, text) } else { Ok(()) }
    }
}

fn read(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    settings: &Settings,
    warn: &Warn<'_, '_>,
) -> PyResult<TrainingTable> {
    let input = settings.input(data)?;
    let roles = settings.roles().map_err(raise)?;
    let options = settings.read_options().map_err(raise)?;
    let mut warnings = Vec::new();
    let table = py.detach(|| {
        let limit = memory::limit(None);
        let mut keep = |text| warnings.push(text);
        let schema = match (settings.start(), settings.image(&input, &options)?) {
            (Some(model), _) => model.schema().clone(),
            (None, None) => return roles.read(&input, &options, limit, &mut keep),
            (None, Some(image)) => {
                roles.image_schema(image, &input, (&options, limit), &mut keep)?
            }
        };
        let (data, report) = read_known(&schema, &input, &settings.roles()?, &options)?;
        report.warnings().into_iter().for_each(keep);
        Ok(TrainingTable { schema, data, notes: Vec::new() })
    });
    warnings.iter().try_for_each(|text| warn.tell(text))?;
    let table = table.map_err(raise)?;
    let told = table.notes.iter().filter(|note| note.warning);
    told.into_iter().try_for_each(|note| warn.tell(&note.to_string()))?;
    if table.schema.image.is_none() {
        text_as_numbers(&input, &table).iter().try_for_each(|text| warn.tell(text))?;
    }
    Ok(table)
}

/// Warnings of columns whose text was read as numbers: their types say text, and codes lose their zeros.
fn text_as_numbers(input: &Input, table: &TrainingTable) -> Vec<String> {
    let Input::Batches(batches) = input else { return Vec::new() };
    let is_text = |name: &str| {
        batches.schema().field_with_name(name).is_ok_and(|field| match field.data_type() {
            DataType::Dictionary(_, value) => value.is_string(),
            other => other.is_string(),
        })
    };
    let columns = table.schema.columns.iter().chain(&table.schema.context);
    let odd = columns.filter(|column| column.levels.is_empty() && is_text(&column.name));
    let odd = odd
        .filter(|c| !matches!(c.kind, ColumnKind::Category | ColumnKind::Date | ColumnKind::Time));
    odd.map(|column| {
        let name = quoted(&column.name);
        format!("column {name}: its text was read as numbers ({}); columns={{{name}: \"category\"}} takes it as it is", column.describe())
    })
    .collect()
}

/// Rows that validate, of another table than those that are learned from.
fn known(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    settings: &Settings,
    table: &TrainingTable,
) -> PyResult<ValidationChoice> {
    let (schema, input) = (&table.schema, settings.input(data)?);
    let roles = settings.roles().map_err(raise)?;
    let options = settings.read_options().map_err(raise)?;
    let rows = py.detach(|| read_known(schema, &input, &roles, &options));
    rows.map(|(rows, _)| ValidationChoice::Given(rows)).map_err(raise)
}

/// Reads rows of columns that are known.
fn read_known(
    schema: &Schema,
    input: &Input,
    roles: &Roles,
    options: &ReadOptions,
) -> Result<(TrainingData, ReadReport)> {
    if schema.image.is_some() {
        expect_image(schema, &Reader::open(input, options)?, input)?;
    }
    roles.read_known(schema, input, options, memory::limit(None))
}

/// A fit on its way.
struct Course {
    trainer: Trainer,
    deadline: Deadline,
    checkpoint: Option<std::path::PathBuf>,
    saved: Instant,
    /// Whether it is one of several processes, none of which can end by itself but by an error.
    is_joined: bool,
    /// Steps that were left out.
    skipped: u64,
}

/// Where a fit stands.
#[derive(Clone, Copy)]
struct Standing {
    step: u64,
    loss: f64,
    valid_loss: f64,
    learning_rate: f64,
}

impl Course {
    /// Trains until there is a reason to stop; Ctrl-C is one, after which the best weights so far are kept.
    fn run(
        mut self,
        py: Python<'_>,
        report: Option<&Bound<'_, PyAny>>,
        warn: &Warn<'_, '_>,
    ) -> PyResult<(Model, StopReason)> {
        let mut at = Standing {
            step: self.trainer.step(),
            loss: f64::NAN,
            valid_loss: f64::NAN,
            learning_rate: f64::NAN,
        };
        let mut interruption = None;
        let reason = loop {
            let (warnings, finished) = py.detach(|| self.turn(&mut at)).map_err(raise)?;
            if let Err(error) = self.tell(py, (&warnings, at, finished), report, warn) {
                interruption = Some(error);
            }
            if self.is_joined && interruption.is_some() {
                break StopReason::Interrupted;
            }
            if let Some(reason) = finished {
                break reason;
            }
            if interruption.is_some() {
                self.trainer.stop(StopReason::Interrupted);
            }
        };
        // An error of the caller's own is not to be lost, and others that train along must hear of any.
        let is_raised = |e: &PyErr| self.is_joined || !e.is_instance_of::<PyKeyboardInterrupt>(py);
        let raised = interruption.take_if(|error| is_raised(error));
        let is_whole = !reason.is_break();
        if let Some(path) = self.checkpoint.as_ref().filter(|_| !is_whole || raised.is_some()) {
            self.trainer.save_checkpoint(path).map_err(raise)?;
        }
        if let Some(error) = raised {
            return Err(error);
        }
        let seconds = self.deadline.elapsed().as_secs_f64();
        let trainer = self.trainer;
        match (py.detach(|| trainer.finish()), interruption) {
            (Ok(mut model), interruption) => {
                if let Some(path) = self.checkpoint.filter(|_| is_whole) {
                    Trainer::remove_checkpoint(&path).map_err(raise)?;
                }
                model.summary.iter_mut().for_each(|summary| summary.seconds = seconds);
                // Ctrl-C in the last moment is one, too.
                let is_cut = interruption.is_some();
                Ok((model, if is_cut { StopReason::Interrupted } else { reason }))
            }
            (Err(_), Some(interruption)) => Err(interruption),
            (Err(error), None) => Err(raise(error)),
        }
    }

    /// Says what there is to say, and looks at signals.
    fn tell(
        &self,
        py: Python<'_>,
        (warnings, at, finished): (&[String], Standing, Option<StopReason>),
        report: Option<&Bound<'_, PyAny>>,
        warn: &Warn<'_, '_>,
    ) -> PyResult<()> {
        warnings.iter().try_for_each(|text| warn.tell(text))?;
        if finished.is_some() && self.skipped > 1 {
            warn.tell(&format!("{} steps were left out in all", self.skipped))?;
        }
        if let Some(report) = report {
            report.call1((self.standing(py, at, finished)?,))?;
        }
        py.check_signals()
    }

    /// Trains for a short while: gives the warnings and, if it is at its end, why.
    fn turn(&mut self, at: &mut Standing) -> Result<(Vec<String>, Option<StopReason>)> {
        let (started, mut warnings) = (Instant::now(), Vec::new());
        loop {
            self.deadline.stop_if_over(&mut self.trainer);
            match self.trainer.advance()? {
                Event::Step { step, loss, learning_rate, .. } => {
                    (at.step, at.loss, at.learning_rate) = (step, loss, learning_rate);
                    self.deadline.step(&mut self.trainer);
                    self.save_if_due()?;
                }
                Event::Validated { valid_loss, .. } => at.valid_loss = valid_loss,
                Event::RolledBack { step, to_step, learning_rate, reason, .. } => {
                    warnings.push(format!(
                        "step {step}: {reason}; back to step {to_step} with rate {learning_rate:.1e}"
                    ));
                }
                Event::Skipped { step, reason } => {
                    self.skipped += 1;
                    if self.skipped == 1 {
                        warnings.push(format!(
                            "step {step}: {reason}; it is left out, and so are others like it"
                        ));
                    }
                }
                Event::Warning(text) => warnings.push(text),
                Event::Finished { reason } => return Ok((warnings, Some(reason))),
                _ => {}
            }
            if started.elapsed() >= TURN {
                return Ok((warnings, None));
            }
        }
    }

    fn save_if_due(&mut self) -> Result<()> {
        if let Some(path) =
            self.checkpoint.as_ref().filter(|_| self.saved.elapsed() >= CHECKPOINT_EVERY)
        {
            self.trainer.save_checkpoint(path)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    fn standing<'py>(
        &self,
        py: Python<'py>,
        at: Standing,
        finished: Option<StopReason>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let standing = PyDict::new(py);
        standing.set_item("step", at.step)?;
        standing.set_item("steps", self.trainer.end())?;
        standing.set_item("loss", at.loss)?;
        standing.set_item("valid_loss", at.valid_loss)?;
        standing.set_item("lr", at.learning_rate)?;
        standing.set_item("seconds", self.deadline.elapsed().as_secs_f64())?;
        standing.set_item("finished", finished.map(|reason| reason.to_string()))?;
        Ok(standing)
    }
}
