//! `diffeo fit`: a table in, a model out.

mod images;
mod selection;
mod tables;
mod training;
mod trim;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diffeo::train::{
    Candidate, FitOptions, Loss, NoiseScale, Plan, Resume, Selection, StopReason, Trainer,
};
use diffeo::{Error, ErrorKind, Model, Preset, PresetOptions, Result, quoted};
use diffeo_table::Input;

use super::journal::Journal;
use super::model::{Loaded, WEIGHT};
use crate::args::{Common, FitArgs, PlotArgs, ResumeMode};
use crate::duration::Rough;
use crate::graph;
use crate::options::fit::{Choice, FitPlan, Valid, plan};
use crate::output::{Console, Report};
use crate::preflight::{self, Target};
use crate::progress::{Progress, grouped};
use crate::{exit, memory, options, signals};
use selection::Watcher;
use tables::Prepared;
use training::Training;

/// Room for a small model and its checkpoints; larger ones are checked again when their size is known.
const SPACE_MIN: u64 = 16 << 20;
/// Two checkpoints with weights, moments, average and best weights, in single precision.
const BYTES_PER_PARAMETER: u64 = 48;

/// The files that a fit writes.
struct Files {
    out: PathBuf,
    checkpoint: PathBuf,
    log: Option<PathBuf>,
    plot: Option<PathBuf>,
}

/// Runs `diffeo fit`.
pub(super) fn run(args: &FitArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut plan = plan(args, common)?;
    let files = Files::check(&plan, console)?;
    let start = load_start(&mut plan)?;
    let mut journal = Journal::open(files.log.as_deref(), plan.resume.is_some())?;
    let graph = wanted_graph(&plan, args)?;
    if start.is_none() && args.columns.is_none() {
        // To find what there is to model, a table is read twice.
        plan.data = plan.data.read_ahead(memory::limit(plan.max_memory))?;
    }
    let prepared = tables::prepare(&plan, start, console)?;
    let began = Instant::now();
    let seed = seed(&plan, &files, console)?;
    let (prepared, rows_trimmed) = trim::apply(&plan, prepared, seed, console)?;
    let (mut trainer, selection) =
        begin(&plan, &files, prepared, (graph, seed, began), &mut journal, console)?;
    let tried = gone_by(began, &plan, console);
    preflight::check_space(
        &files.out,
        trainer.plan().parameters.saturating_mul(BYTES_PER_PARAMETER),
    )?;
    describe(&plan, trainer.plan(), console);
    signals::defer()?;
    let started = Instant::now();
    let training = Training::new(&plan, tried, &files.checkpoint, Progress::new(console), journal);
    let reason = training.run(&mut trainer)?;
    if reason.is_break() {
        trainer.save_checkpoint(&files.checkpoint)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    if reason == StopReason::Interrupted {
        return Ok(interrupted(&files, &trainer, seconds, console));
    }
    let planned = trainer.plan().clone();
    let mut model = trainer.finish()?;
    if let Some(summary) = &mut model.summary {
        (summary.seconds, summary.rows_trimmed) = (seconds, rows_trimmed);
    }
    if let Some(name) = &args.weight {
        model.set_note(WEIGHT, name.as_str())?;
    }
    model.save(&files.out)?;
    if reason != StopReason::MaxTime {
        Trainer::remove_checkpoint(&files.checkpoint)?;
    }
    let mut report = report(&model, &planned, reason, &files);
    selection.iter().for_each(|selection| selection::report_on(selection, &mut report));
    if let Some(path) = &files.plot {
        draw(args, &files.out, path, common, console)?;
        let text = path.to_string_lossy();
        report.line(format!("drawn to {}", quoted(&text)));
        report.key("plot", text);
    }
    Ok(report)
}

/// Draws the new model with `diffeo plot`, over the table if that can be read a second time.
fn draw(
    args: &FitArgs,
    model: &Path,
    out: &Path,
    common: &Common,
    console: &Console,
) -> Result<()> {
    let plot = PlotArgs {
        model: Some(model.to_owned()),
        data: args.data.clone().filter(|path| !Input::from_arg(path).is_read_once()),
        out: Some(out.to_owned()),
        weight: args.weight.clone(),
        kind: None,
        rows: None,
        seed: None,
        force: true,
        read: args.read.clone(),
    };
    super::plot::run(&plot, common, console).map(drop)
}

impl Files {
    /// Checks that all files can be written.
    fn check(plan: &FitPlan, console: &Console) -> Result<Self> {
        let args = &plan.args;
        let graph = args.graph.as_deref().and_then(graph::file);
        let mut inputs: Vec<&Path> = args.data.iter().map(PathBuf::as_path).chain(graph).collect();
        if let Valid::Table(path) = &plan.valid {
            inputs.push(path);
        }
        inputs.extend(args.start.as_deref());
        // A run that goes on may replace the model of its first part (it stopped at --max-time, say).
        let overwrite = args.force || plan.resume.is_some();
        let check = |path: &Path, devices, bytes| {
            preflight::check(
                &Target { path, inputs: inputs.clone(), overwrite, devices, bytes },
                console,
            )
        };
        let out = check(&plan.out, false, SPACE_MIN)?;
        let log = args.log.as_deref().map(|path| check(path, true, 0)).transpose()?;
        let plot = args.plot.as_deref().map(|path| check(path, false, 1 << 20)).transpose()?;
        if let Some(path) = &plot {
            super::plot::check_format(path)?;
        }
        let checkpoint = preflight::checkpoint(&out, overwrite)?;
        Ok(Self { out, checkpoint, log, plot })
    }
}

/// The model whose weights the fit begins from, if any; what is read is then read as it has it.
fn load_start(plan: &mut FitPlan) -> Result<Option<Model>> {
    let Some(path) = &plan.args.start else { return Ok(None) };
    let loaded = Loaded::open(path)?;
    plan.read = loaded.as_read(&plan.read);
    Ok(Some(loaded.model))
}

/// The graph that the model follows, if any: `gnf` learns one if none is given, and if any column may be.
fn wanted_graph(plan: &FitPlan, args: &FitArgs) -> Result<Option<graph::Wanted>> {
    match &args.graph {
        Some(graph) => graph::Wanted::read(graph).map(Some),
        None if plan.choice == Choice::Named(Preset::Gnf) && !args.any_subset => {
            Ok(Some(graph::Wanted::learned(NoiseScale::Own)))
        }
        None => Ok(None),
    }
}

/// The time that looking for a graph or a model has taken of that which is allowed.
fn gone_by(began: Instant, plan: &FitPlan, console: &Console) -> Duration {
    let gone = began.elapsed();
    if plan.max_time.is_some_and(|limit| gone >= limit) {
        console.warn(format!(
            "{} went by before the first step, all of --max-time: none is taken",
            Rough(gone.as_secs_f64())
        ));
    }
    gone
}

/// The graph that is wanted, as the parents of each column.
fn parents(
    wanted: graph::Wanted,
    prepared: &Prepared,
    seed: u64,
    console: &Console,
) -> Result<Vec<Vec<usize>>> {
    let mut tell = |remark| match remark {
        graph::Remark::Note(text) => console.note(text),
        graph::Remark::Warning(text) => console.warn(text),
    };
    wanted.parents(&prepared.schema, &prepared.data, seed, &mut tell)
}

/// A new trainer, that of the model that the fit begins from, or the one of the checkpoint.
fn begin(
    plan: &FitPlan,
    files: &Files,
    prepared: Prepared,
    (graph, seed, began): (Option<graph::Wanted>, u64, Instant),
    journal: &mut Journal,
    console: &Console,
) -> Result<(Trainer, Option<Selection>)> {
    let mut training = FitOptions { seed, ..plan.training.clone() };
    if let Some(validation) = &prepared.validation {
        training.validation = validation.clone();
    }
    let parents = graph.map(|wanted| parents(wanted, &prepared, seed, console)).transpose()?;
    let candidates = match (&prepared.start, prepared.schema.image) {
        (Some(_), _) => Vec::new(),
        (None, Some(image)) => images::candidates(image, plan, seed)?,
        (None, None) => candidates(plan, &prepared, seed, parents, console),
    };
    // Those that are tried are all trained alike.
    let usual = candidates.first().map(|candidate| Loss::of(candidate.preset));
    training.loss = training.loss.or(usual);
    let Prepared { schema, data, start, .. } = prepared;
    let spec_of = |candidate: &Candidate| {
        candidate.spec(&schema.shape()).map_err(too_large_is_a_fault_of_the_options)
    };
    if plan.resume.is_some() {
        let resume = Resume { changes: plan.changes.clone(), start, ..Resume::default() };
        let trainer = Trainer::resume_with(&files.checkpoint, data, training, &resume)?;
        let expect = |candidate| trainer.expect(&spec_of(candidate)?, &schema);
        match &*candidates {
            [] => {}
            [one] => expect(one)?,
            // One of them was selected when the run began.
            several if several.iter().any(|candidate| expect(candidate).is_ok()) => {}
            _ => {
                return Err(Error::config(
                    "cannot resume: the checkpoint is of none of the models that --model auto tries; give the data and settings of the first run, or name its model",
                ));
            }
        }
        console.note(format!("going on from step {}", grouped(trainer.step())));
        return Ok((trainer, None));
    }
    if let Some(model) = start {
        let trainer = Trainer::start_from(&model, data, training);
        return Ok((trainer.map_err(|e| plan.data.located(e))?, None));
    }
    let mut selection = None;
    let candidate = match (plan.choice, &*candidates) {
        (Choice::Named(_), [one]) => one,
        _ => {
            signals::defer()?;
            let mut watch = Watcher { console, journal, progress: Progress::new(console) };
            let left = plan.max_time.map(|limit| limit.saturating_sub(began.elapsed()));
            let how = (&training, left);
            let found = Selection::of(candidates, (&schema, &data), how, &mut watch)?;
            drop(watch);
            console.note(format!("selected {}", found.candidate));
            &selection.insert(found).candidate
        }
    };
    let trainer = Trainer::new(spec_of(candidate)?, schema.clone(), data, training)
        .map_err(|e| plan.data.located(e))?;
    Ok((trainer, selection))
}

/// The seed, of the run that goes on if there is one.
fn seed(plan: &FitPlan, files: &Files, console: &Console) -> Result<u64> {
    match plan.resume {
        Some(mode) => seed_of_checkpoint(plan, files, mode, console),
        None => Ok(options::seed_or_drawn(plan.seed, console)),
    }
}

/// The model that was asked for, or those to try.
fn candidates(
    plan: &FitPlan,
    prepared: &Prepared,
    seed: u64,
    graph: Option<Vec<Vec<usize>>>,
    console: &Console,
) -> Vec<Candidate> {
    let (args, rows) = (&plan.args, prepared.data.x.len());
    // Residual blocks need equal widths; a choice of other widths is one against them.
    let equal = plan.shape.hidden.windows(2).all(|w| w[0] == w[1]);
    let residual = args.residual.unwrap_or(equal && PresetOptions::for_rows(rows).residual);
    let options = PresetOptions { seed, residual, graph, ..plan.shape.clone() };
    let shape = prepared.schema.shape();
    let preset = match plan.choice {
        Choice::Auto => return Candidate::for_table(&shape, &options),
        Choice::Named(preset) => preset,
    };
    let is_free =
        args.model.is_none() && args.base.is_none() && args.order.is_none() && args.graph.is_none();
    let usual = Preset::usual_of_rows(&prepared.schema, rows);
    if is_free && usual != preset {
        console.warn(format!("there are no more rows than columns: fitted with --model {usual}; any other --model is taken as it is given"));
        return vec![Candidate::new(usual, options)];
    }
    vec![Candidate::new(preset, options)]
}

/// A model beyond all limits was asked for; no machine is short of anything.
fn too_large_is_a_fault_of_the_options(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Limit => Error::config(error.message().to_string()).caused_by(error),
        _ => error,
    }
}

/// The seed of the run that goes on; only `auto` falls back to the checkpoint before the newest.
fn seed_of_checkpoint(
    plan: &FitPlan,
    files: &Files,
    mode: ResumeMode,
    console: &Console,
) -> Result<u64> {
    let found = Trainer::look_at_checkpoint(&files.checkpoint).map_err(|error| {
        match Trainer::has_checkpoint(&files.checkpoint) || !files.out.exists() {
            true => error,
            false => Error::config(format!(
                "--resume: the fit to {} has come to its end, which takes its checkpoint away; to fit anew, give --force in place of --resume",
                quoted(&files.out.to_string_lossy())
            )),
        }
    })?;
    match found.refused {
        Some(error) if mode == ResumeMode::Latest => {
            let hint = "the checkpoint before it is sound: --resume=auto goes on from that one";
            return Err(Error::new(error.kind(), format!("{}; {hint}", error.message()))
                .at(&files.checkpoint));
        }
        _ => {}
    }
    if plan.seed.is_none() {
        console.note(format!("seed {} (of the checkpoint)", found.seed));
    }
    Ok(plan.seed.unwrap_or(found.seed))
}

/// Says what is about to happen.
fn describe(asked: &FitPlan, plan: &Plan, console: &Console) {
    if let Some(batch) = asked.training.batch.filter(|&batch| batch > plan.batch) {
        console.note(format!(
            "--batch {batch} is more than there are rows to train; each step takes all {}",
            grouped(plan.batch as u64)
        ));
    }
    let validation = match plan.rows_valid {
        0 => "no validation".to_string(),
        rows => format!("{} for validation", grouped(rows)),
    };
    let loss = match plan.loss {
        Loss::Likelihood => String::new(),
        loss => format!("; by {loss}, validated by likelihood"),
    };
    console.note(format!(
        "{} rows to train, {validation}; {} parameters; {} steps of {} rows; rate {:.1e}{loss}",
        grouped(plan.rows_train),
        grouped(plan.parameters),
        grouped(plan.steps_total),
        grouped(plan.batch as u64),
        plan.learning_rate
    ));
}

fn interrupted(files: &Files, trainer: &Trainer, seconds: f64, console: &Console) -> Report {
    let plan = trainer.plan();
    let mut report = super::interrupted(&files.checkpoint, trainer.step(), console);
    report.key("model", serde_json::Value::Null);
    fixed_keys(&mut report, plan, StopReason::Interrupted);
    let best_step = trainer.best().map_or(trainer.step(), |(step, _)| step);
    report.number("epochs", trainer.step() as f64 / plan.steps_per_epoch as f64);
    report.number("seconds", seconds);
    report.number("valid_log_prob_mean", selection::score(trainer));
    report.key("best_step", best_step);
    report
}

/// The keys that are known before the end.
fn fixed_keys(report: &mut Report, plan: &Plan, reason: StopReason) {
    report.key("loss", plan.loss.name());
    report.key("parameters", plan.parameters);
    report.key("rows_train", plan.rows_train);
    report.key("rows_valid", plan.rows_valid);
    report.key("stop_reason", reason.to_string());
    report.key("seed", plan.seed);
}

fn report(model: &Model, plan: &Plan, reason: StopReason, files: &Files) -> Report {
    let mut report = Report::default();
    let out = files.out.to_string_lossy();
    report.key("model", out.clone());
    fixed_keys(&mut report, plan, reason);
    if let Some(summary) = &model.summary {
        report.key("steps", summary.steps);
        report.number("epochs", summary.epochs);
        report.number("seconds", summary.seconds);
        report.number("valid_log_prob_mean", summary.valid_log_prob_mean);
        report.key("best_step", summary.best_step);
        let numbers = model.schema().image.map(|image| image.numbers() as f64);
        let score = match (plan.rows_valid, numbers) {
            (0, _) => "without validation rows".to_string(),
            (rows, None) => format!(
                "validation log-likelihood {:.4} nats per row ({} {}rows)",
                summary.valid_log_prob_mean,
                grouped(rows),
                if model.is_of_subsets() { "whole " } else { "" }
            ),
            (rows, Some(numbers)) => {
                let bits = -summary.valid_log_prob_mean / numbers / std::f64::consts::LN_2;
                report.number("valid_bits_per_dim", bits);
                let noise = if model.schema().noise.is_some() { " with noise" } else { "" };
                format!("validation {bits:.4} bits per dimension ({} images{noise})", grouped(rows))
            }
        };
        if let Some(evaluations) = summary.evaluations {
            report.number("evaluations", evaluations);
            report.line(format!("{evaluations:.0} evaluations of the field to score a row"));
        }
        report.line(format!(
            "{score}\nbest step {} of {} ({:.1} epochs), {}, {}",
            grouped(summary.best_step),
            grouped(summary.steps),
            summary.epochs,
            Rough(summary.seconds),
            explain(reason)
        ));
    }
    report.line(format!("model written to {}", quoted(&out)));
    if reason == StopReason::MaxTime {
        report.key("checkpoint", files.checkpoint.to_string_lossy());
        report.line("the time limit came first; --resume goes on from here");
    }
    if reason == StopReason::Diverged {
        report.code = exit::FAILED;
        report.line("training diverged: the weights of the best step were kept; try a lower --lr");
    }
    report
}

fn explain(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Completed => "all steps taken",
        StopReason::Patience => "validation did not improve any more",
        StopReason::MaxTime => "time limit reached",
        StopReason::Interrupted => "interrupted",
        StopReason::Diverged => "diverged",
        _ => "stopped",
    }
}
