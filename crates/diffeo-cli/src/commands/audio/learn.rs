//! What fit and distill have in common: clips that are split, a loop of steps, a model that is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diffeo::train::{Course, StopReason};
use diffeo::{Result, Trainable, quoted};
use diffeo_audio::{
    Advanced, AudioModel, AudioSpec, Dataset, STRETCH_MAX, Split, Task, Training, TrainingOptions,
};
use serde_json::json;

use crate::args::LearnArgs;
use crate::commands::interrupted;
use crate::commands::journal::Journal;
use crate::commands::turn::step_of;
use crate::duration::Rough;
use crate::faults::Faults;
use crate::output::{Console, Report, number};
use crate::preflight::{self, Target};
use crate::progress::{Progress, grouped};
use crate::{options, signals};

const STEPS_MAX: u64 = 1_000_000_000;
const ROWS_MAX: u64 = 1 << 16;
/// Share of the clips that validate.
const VALID: f64 = 0.1;
/// Seconds of a stretch.
const STRETCH: f64 = 0.16;

/// What was asked for of a training.
pub(super) struct Plan {
    pub(super) out: PathBuf,
    pub(super) checkpoint: PathBuf,
    pub(super) options: TrainingOptions,
    pub(super) valid: f64,
    stretch: f64,
    log: Option<PathBuf>,
    max_time: Option<Duration>,
    pub(super) resume: bool,
}

impl Plan {
    /// Reads the options of training, of which `usual` are those where nothing is said.
    pub(super) fn new(
        args: &LearnArgs,
        usual: TrainingOptions,
        (mut faults, inputs): (Faults, Vec<&Path>),
        console: &Console,
    ) -> Result<Self> {
        let out = options::required("--out", args.out.as_ref(), &mut faults);
        let mut options = usual;
        if let Some(n) = faults.count("--steps", args.steps, 1, STEPS_MAX) {
            options.steps = n;
        }
        if let Some(n) = faults.count("--batch", args.batch, 1, ROWS_MAX) {
            options.rows = n as usize;
        }
        faults.positive("--lr", args.lr);
        options.learning_rate = args.lr.unwrap_or(options.learning_rate);
        let below_1 = "a number of at least 0 and below 1";
        faults.check("--average", args.average, below_1, |v| (0.0..1.0).contains(&v));
        options.average = args.average.unwrap_or(options.average);
        let share = "a share above 0 and below 1";
        faults.check("--valid", args.valid, share, |v| v > 0.0 && v < 1.0);
        let length = "a number of seconds above 0 and up to 60";
        faults.check("--stretch", args.stretch, length, |v| v > 0.0 && v <= STRETCH_MAX);
        let every = faults.count("--validate-every", args.validate_every, 1, STEPS_MAX);
        options.validate_every = every.unwrap_or(TrainingOptions::usual_validation(options.steps));
        let seed = options::seed(args.seed, &mut faults);
        faults.finish()?;
        let overwrite = args.force || args.resume;
        let check = |path: &Path, devices, bytes| {
            let target = Target { path, inputs: inputs.clone(), overwrite, devices, bytes };
            preflight::check(&target, console)
        };
        let out = check(&out, false, 16 << 20)?;
        let checkpoint = preflight::checkpoint(&out, overwrite)?;
        options.seed = match (args.resume, args.seed) {
            (true, None) => TrainingOptions::of_checkpoint(&checkpoint)?.seed,
            _ => options::seed_or_drawn(seed, console),
        };
        Ok(Self {
            log: args.log.as_deref().map(|path| check(path, true, 0)).transpose()?,
            out,
            checkpoint,
            options,
            valid: args.valid.unwrap_or(VALID),
            stretch: args.stretch.unwrap_or(STRETCH),
            max_time: args.max_time.map(|span| span.0),
            resume: args.resume,
        })
    }

    /// Sets the length of stretches of sound like a model's; `is_heard` where their spectra are compared, too.
    pub(super) fn fit_length(&mut self, spec: &AudioSpec, is_heard: bool) {
        self.options = self.options.clone().of_stretch(self.stretch, spec, is_heard);
    }

    /// Which clips validate.
    pub(super) fn split(&self, clips: usize) -> Split {
        Split { share: self.valid, seed: self.options.seed, clips: clips as u64 }
    }
}

/// What a training came to.
pub(super) enum Learned<M> {
    /// The module of the best validation.
    Done { module: M, valid: f64, reason: StopReason, steps: u64, seconds: f64 },
    /// What is told of an interruption.
    Stopped(Report),
}

impl<M> Learned<M> {
    /// The same of what a module is turned into.
    pub(super) fn map<N>(self, turn: impl FnOnce(M) -> N) -> Learned<N> {
        match self {
            Self::Done { module, valid, reason, steps, seconds } => {
                Learned::Done { module: turn(module), valid, reason, steps, seconds }
            }
            Self::Stopped(report) => Learned::Stopped(report),
        }
    }
}

/// Takes steps until there is a reason to stop, and keeps a checkpoint.
pub(super) fn learn<M: Trainable + 'static>(
    plan: &Plan,
    mut training: Training<M>,
    task: &impl Task<M>,
    console: &Console,
) -> Result<Learned<M>> {
    if plan.resume {
        training = training.resumed(&plan.checkpoint)?;
        console.note(format!("going on from step {}", grouped(training.steps())));
    }
    let mut journal = Journal::open(plan.log.as_deref(), plan.resume)?;
    signals::defer()?;
    let mut course = Course::new(plan.max_time, Some(&plan.checkpoint));
    let mut progress = Progress::new(console);
    let mut refused = 0u64;
    let reason = loop {
        if signals::received().is_some() {
            break StopReason::Interrupted;
        }
        let turn = course.turn(&mut training.on(task))?;
        let advanced = match step_of(turn, "validation", &progress) {
            Ok(advanced) => advanced,
            Err(reason) => break reason,
        };
        note_refused(&advanced, &mut refused, &progress);
        if let Some(warning) = write(&advanced, &mut journal, course.elapsed()) {
            progress.warn(warning);
        }
        crate::exit::panic_if_asked("audio");
        progress.update(|| {
            let best = training.best().map(|b| format!("  best {b:.4}")).unwrap_or_default();
            format!(
                "step {}/{}  loss {:.4}{best}  rate {:.1e}  left {}",
                grouped(advanced.step),
                grouped(training.end()),
                advanced.loss,
                advanced.learning_rate,
                Rough(course.left(advanced.step, training.end()))
            )
        });
    };
    drop(progress);
    let seconds = course.elapsed().as_secs_f64();
    if reason.is_break() {
        training.save(&plan.checkpoint)?;
    }
    let steps = training.steps();
    if reason == StopReason::Interrupted {
        return Ok(Learned::Stopped(interrupted(&plan.checkpoint, steps, console)));
    }
    let (module, valid) = training.finish(task)?;
    Ok(Learned::Done { module, valid, reason, steps, seconds })
}

/// Counts steps that were refused, and warns of the first.
fn note_refused(advanced: &Advanced, refused: &mut u64, progress: &Progress) {
    *refused += u64::from(advanced.refused.is_some());
    if let (Some(reason), 1) = (&advanced.refused, *refused) {
        progress.warn(format!(
            "step {}: {reason}; the weights went back, the rate was halved",
            advanced.step
        ));
    }
}

/// Writes a step to the log, and says what went wrong with it.
fn write(advanced: &Advanced, journal: &mut Journal, elapsed: Duration) -> Option<String> {
    let line = json!({
        "step": advanced.step, "loss": number(advanced.loss),
        "learning_rate": number(advanced.learning_rate),
        "valid": advanced.validated.map(|(loss, _)| number(loss)),
    });
    journal.note("step", line, elapsed)
}

/// Writes the model, and says what is told of every training.
pub(super) fn keep(
    plan: &Plan,
    model: &AudioModel,
    (reason, steps, seconds): (StopReason, u64, f64),
    data: &[Dataset; 2],
) -> Result<Report> {
    model.save(&plan.out)?;
    if !reason.is_break() {
        diffeo::train::Trainer::remove_checkpoint(&plan.checkpoint)?;
    }
    let mut report = Report::default();
    let [clips, valid] = data.each_ref().map(|d| d.signals.len());
    let rate = model.spec.units.rate;
    let sound = (data[0].samples() + data[1].samples()) as f64 / f64::from(rate);
    report.line(format!(
        "{} steps in {} on {} clips, {} validate: {} of sound at {} Hz",
        grouped(steps),
        Rough(seconds),
        grouped((clips + valid) as u64),
        grouped(valid as u64),
        Rough(sound),
        grouped(rate.into())
    ));
    report.key("model", model.spec.kind.name().to_lowercase());
    report.key("parameters", model.spec.weights()?);
    report.key("rate", rate);
    report.key("clips", clips + valid);
    report.key("clips_valid", valid);
    report.number("seconds_of_sound", sound);
    report.key("steps", steps);
    report.key("stop_reason", reason.to_string());
    report.number("seconds", seconds);
    report.key("seed", plan.options.seed);
    let out = plan.out.to_string_lossy();
    report.line(format!("model written to {}", quoted(&out)));
    report.key("out", out);
    if let Some(log) = &plan.log {
        report.key("log", log.to_string_lossy());
    }
    Ok(report)
}
