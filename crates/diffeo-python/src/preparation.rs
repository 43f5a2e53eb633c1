//! From a table to a fit that may begin: which model, with what seed, from which checkpoint.

use std::path::Path;
use std::time::{Duration, Instant};

use diffeo::train::{
    Candidate, Event, FitOptions, Loss, NoiseScale, Resume, Selection, Trainer, Trial, Trim,
    Underway, ValidationChoice, Watch,
};
use diffeo::{Error, ErrorKind, Preset, Result, quoted};
use diffeo_cli::graph::{Remark, Wanted};
use diffeo_table::{TrainingTable, hold_out_clips};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::draws::drawn_seed;
use crate::errors::raise;
use crate::fit::TURN;
use crate::settings::Settings;

/// A fit that may begin.
pub(crate) struct Prepared {
    pub(crate) trainer: Trainer,
    pub(crate) warnings: Vec<String>,
    /// What trials have left of the time that there is.
    pub(crate) time_left: Option<Duration>,
    /// Rows that were left out as unlike the others.
    pub(crate) rows_trimmed: u64,
}

/// Prepares a fit of a table; `report` hears of the models that are tried.
pub(crate) fn prepare(
    py: Python<'_>,
    settings: &Settings,
    report: Option<&Bound<'_, PyAny>>,
    table: TrainingTable,
    validation: Option<ValidationChoice>,
) -> PyResult<Prepared> {
    let report = report.map(|report| report.clone().unbind());
    let (looked, left_out) = (Instant::now(), Vec::new());
    let mut watcher = Watcher { report, looked, left_out, interruption: None };
    let mut warnings = Vec::new();
    let begun = py.detach(|| {
        let started = Instant::now();
        let (table, validation) = without_held_out_clips(settings, table, validation);
        settings.checkpoint.as_deref().map_or(Ok(()), |path| expect_free(path, settings.resume))?;
        let (seed, max_time) = (seed(settings)?, settings.max_time()?);
        let mut warn = |text| warnings.push(text);
        let (table, validation, rows_trimmed) =
            trimmed(settings, (table, validation), seed, &mut watcher, &mut warn)?;
        let mut training = settings.training(seed, settings.threads())?;
        training.validation = validation.unwrap_or(training.validation);
        let candidates = match settings.start() {
            Some(_) => Vec::new(),
            None => candidates(settings, &table, seed, &mut warn)?,
        };
        // Those that are tried are all trained alike.
        let usual = candidates.first().map(|candidate| Loss::of(candidate.preset));
        training.loss = training.loss.or(usual);
        let left = || max_time.map(|time| time.saturating_sub(started.elapsed()));
        let trainer = begin(settings, table, training, (candidates, left()), &mut watcher)?;
        Ok((trainer, left(), rows_trimmed))
    });
    warnings.append(&mut watcher.left_out);
    match (begun, watcher.interruption) {
        (Err(_), Some(interruption)) => Err(interruption),
        (Err(error), None) => Err(raise(error)),
        (Ok((trainer, time_left, rows_trimmed)), _) => {
            Ok(Prepared { trainer, warnings, time_left, rows_trimmed })
        }
    }
}

/// A trainer at its first step, or at that of the checkpoint.
fn begin(
    settings: &Settings,
    table: TrainingTable,
    training: FitOptions,
    (candidates, time_left): (Vec<Candidate>, Option<Duration>),
    watcher: &mut Watcher,
) -> Result<Trainer> {
    let TrainingTable { schema, data, .. } = table;
    let shape = schema.shape();
    let candidate = match (&settings.checkpoint, settings.resume, settings.start()) {
        (None, true, _) => {
            return Err(Error::config("resume needs checkpoint, the file to go on from"));
        }
        (Some(path), true, start) => {
            let (changes, model) = (settings.changes()?, start.cloned());
            let resume = Resume { changes, start: model, ..Resume::default() };
            let trainer = Trainer::resume_with(path, data, training, &resume)?;
            if start.is_some() {
                return Ok(trainer);
            }
            // One of several was selected when the fit began.
            let found = candidates.iter().map(|one| trainer.expect(&one.spec(&shape)?, &schema));
            let found: Vec<Result<()>> = found.collect();
            let fits = found.iter().any(Result::is_ok);
            return match found.into_iter().next() {
                _ if fits => Ok(trainer),
                Some(Err(error)) if !settings.is_auto() => Err(error),
                _ => {
                    let text = "cannot resume: the checkpoint is of none of the models that auto tries; name its model";
                    Err(Error::config(text))
                }
            };
        }
        (_, false, Some(model)) => return Trainer::start_from(model, data, training),
        _ if settings.is_auto() => {
            let how = (&training, time_left);
            Some(Selection::of(candidates, (&schema, &data), how, watcher)?.candidate)
        }
        _ => candidates.into_iter().next(),
    };
    let candidate = candidate.ok_or_else(|| {
        Error::new(ErrorKind::Internal, "there is no model to fit; please report this")
    })?;
    Trainer::new(candidate.spec(&shape)?, schema, data, training)
}

/// Clips that are held out as a whole, if the data are such and no others validate.
fn without_held_out_clips(
    settings: &Settings,
    table: TrainingTable,
    validation: Option<ValidationChoice>,
) -> (TrainingTable, Option<ValidationChoice>) {
    let is_of_clips = table.schema.earlier_frames() > 0 && validation.is_none();
    match settings.share_of_clips().filter(|_| is_of_clips) {
        None => (table, validation),
        Some(share) => {
            let [data, held_out] = hold_out_clips(&table.data, share);
            (TrainingTable { data, ..table }, Some(ValidationChoice::Given(held_out)))
        }
    }
}

/// The seed, of the fit that goes on if there is one.
fn seed(settings: &Settings) -> Result<u64> {
    match (&settings.checkpoint, settings.seed()) {
        (_, Some(seed)) => Ok(seed),
        (Some(path), None) if settings.resume => Ok(Trainer::look_at_checkpoint(path)?.seed),
        _ => Ok(drawn_seed()),
    }
}

/// A table and what validates it without the rows that are unlike the others, if some are to be left out, and how many are.
fn trimmed(
    settings: &Settings,
    (table, validation): (TrainingTable, Option<ValidationChoice>),
    seed: u64,
    watcher: &mut Watcher,
    warn: &mut dyn FnMut(String),
) -> Result<(TrainingTable, Option<ValidationChoice>, u64)> {
    let Some(trim) = settings.trim(seed) else { return Ok((table, validation, 0)) };
    let began = Instant::now();
    let TrainingTable { schema, data, notes } = table;
    let trimmed = trim.apply(&schema, data, &mut |member, trainer, event| match event {
        Event::Step { step, loss, .. } if watcher.is_due() => {
            let name = format!("unlike rows, flow {} of {}", member + 1, Trim::MEMBERS);
            let at = ([*step, trainer.end()], began.elapsed());
            watcher.tell(&name, at, [*loss, f64::NAN], false)
        }
        _ => Ok(()),
    })?;
    for column in &trimmed.constant {
        let name = quoted(&column.name);
        warn(format!(
            "column {name} is left out: the rows that are not trimmed have one value in it"
        ));
    }
    let validation = validation.map(|choice| trimmed.validation(choice));
    let table = TrainingTable { schema: trimmed.schema, data: trimmed.data, notes };
    Ok((table, validation, trimmed.rows))
}

/// The model that was asked for, or those to try.
fn candidates(
    settings: &Settings,
    table: &TrainingTable,
    seed: u64,
    warn: &mut dyn FnMut(String),
) -> Result<Vec<Candidate>> {
    let TrainingTable { schema, data, .. } = table;
    let (rows, preset) = (data.x.len(), settings.preset()?);
    let mut options = settings.shape(rows, seed)?;
    Ok(match schema.image {
        Some(image) if settings.is_auto() || settings.graph.is_some() => {
            let what = if settings.is_auto() { "model=\"auto\"" } else { "graph" };
            return Err(Error::config(format!(
                "{what} is about tables; for images name a model, such as \"{}\"",
                Preset::usual_of(image)
            )));
        }
        Some(image) => {
            options.dequantise = settings.roles()?.learns_noise();
            vec![Candidate::for_images(image, preset, options, settings.is_deep())]
        }
        None => {
            options.graph = match settings.wanted_graph(preset)? {
                None => None,
                Some(wanted) => {
                    let mut tell = |remark| match remark {
                        Remark::Warning(text) => warn(text),
                        Remark::Note(_) => {}
                    };
                    Some(wanted.parents(schema, data, seed, &mut tell)?)
                }
            };
            let usual = Preset::usual_of_rows(schema, rows);
            match preset {
                None if settings.is_auto() => Candidate::for_table(&schema.shape(), &options),
                None if settings.is_free() => {
                    if usual != Preset::default() {
                        warn(format!(
                            "there are no more rows than columns: fitted with model=\"{usual}\""
                        ));
                    }
                    vec![Candidate::new(usual, options)]
                }
                preset => vec![Candidate::new(preset.unwrap_or_default(), options)],
            }
        }
    })
}

impl Settings {
    /// The graph that the model follows: `gnf` learns one if none is given, and if any column may be.
    fn wanted_graph(&self, preset: Option<Preset>) -> Result<Option<Wanted>> {
        let Some((kind, text)) = &self.graph else {
            let learns = preset == Some(Preset::Gnf) && !self.any_subset();
            return Ok(learns.then(|| Wanted::learned(NoiseScale::Own)));
        };
        if let Some(preset) = preset {
            preset.expect_graph().map_err(|e| Error::config(format!("graph: {}", e.message())))?;
        }
        match kind.as_str() {
            "json" => Wanted::of_json(text),
            _ => Wanted::read(Path::new(text)),
        }
        .map(Some)
    }
}

/// Refuses a checkpoint that could not be written, or would take the place of one that is not gone on from, before the work.
fn expect_free(path: &Path, resume: bool) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if path.file_name().is_some() && folder.is_none_or(Path::is_dir) {
        if resume || !Trainer::has_checkpoint(path) {
            return Ok(());
        }
        let text = "checkpoint: an earlier training left this one; go on from it with resume=True, or remove it";
        return Err(Error::new(ErrorKind::Io, text).at(path));
    }
    let text = "checkpoint: expected a file in a folder that is there";
    Err(Error::new(ErrorKind::Io, text).at(path))
}

/// Looks for signals while models are tried, and reports.
struct Watcher {
    report: Option<Py<PyAny>>,
    looked: Instant,
    left_out: Vec<String>,
    interruption: Option<PyErr>,
}

impl Watcher {
    /// Whether it is time to look again.
    fn is_due(&mut self) -> bool {
        let is_due = self.looked.elapsed() >= TURN;
        if is_due {
            self.looked = Instant::now();
        }
        is_due
    }

    /// Tells how a candidate does: so many steps of so many after so long, its losses, and whether its trial has ended.
    fn tell(
        &mut self,
        name: &str,
        (steps, elapsed): ([u64; 2], Duration),
        [loss, valid_loss]: [f64; 2],
        is_over: bool,
    ) -> Result<()> {
        let report = self.report.as_ref();
        let told = Python::attach(|py| {
            py.check_signals()?;
            let Some(report) = report else { return Ok(()) };
            let standing = PyDict::new(py);
            standing.set_item("trying", name)?;
            standing.set_item("step", steps[0])?;
            standing.set_item("steps", steps[1])?;
            standing.set_item("loss", loss)?;
            standing.set_item("valid_loss", valid_loss)?;
            standing.set_item("lr", f64::NAN)?;
            standing.set_item("seconds", elapsed.as_secs_f64())?;
            standing.set_item("finished", is_over.then_some("tried"))?;
            report.call1(py, (standing,)).map(drop)
        });
        told.map_err(|error| {
            self.interruption = Some(error);
            Error::new(ErrorKind::Interrupted, "interrupted while models were tried")
        })
    }
}

impl Watch for Watcher {
    fn step(&mut self, at: Underway<'_>) -> Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        let name = at.candidate.to_string();
        self.tell(&name, (at.steps, at.elapsed), [at.loss, f64::NAN], false)
    }

    fn tried(&mut self, trial: &Trial) -> Result<()> {
        let losses = [f64::NAN, -trial.valid_log_prob_mean];
        self.tell(&trial.name, ([trial.steps; 2], trial.elapsed), losses, true)
    }

    fn left_out(&mut self, candidate: &Candidate, error: &Error) {
        self.left_out.push(format!("{candidate} is left out: {error}"));
    }
}
