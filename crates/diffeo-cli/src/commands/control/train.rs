//! `diffeo control train`: a policy is learned.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diffeo::network::NetworkSpec;
use diffeo::train::{Course, StopReason};
use diffeo::{DenseEmbeddingSpec, Result, quoted};
use diffeo_control::{
    Advanced, Algorithm, Origin, PolicyKind, Recipe, Task, Temperature, Trainer, Updated,
};
use diffeo_plot::{FigureFormat, ReturnPoint, draw_return_curve};
use serde_json::json;

use super::film::of_plot;
use crate::args::{Common, ControlTrainArgs};
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
const WIDTH_MAX: u64 = 1 << 16;
const ENVIRONMENTS_MAX: u64 = 4096;
const BATCH_MAX: u64 = 1 << 20;
/// Episodes that progress tells the mean return of.
const RECENT: usize = 10;

struct Plan {
    task: Task,
    kind: PolicyKind,
    recipe: Recipe,
    environments: usize,
    max_time: Option<Duration>,
    resume: bool,
    out: PathBuf,
    checkpoint: PathBuf,
    log: Option<PathBuf>,
    plot: Option<PathBuf>,
}

/// What is told of a training beside its policy.
#[derive(Default)]
struct Record {
    last: Updated,
    refused: u64,
}

/// Runs `diffeo control train`.
pub(super) fn run(args: &ControlTrainArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut plan = plan(args, common, console)?;
    let mut journal = Journal::open(plan.log.as_deref(), plan.resume)?;
    if !plan.resume {
        let given = (args.seed).and_then(|seed| u64::try_from(seed).ok());
        plan.recipe.trainer.agent.seed = options::seed_or_drawn(given, console);
    } else if args.seed.is_none() {
        plan.recipe.trainer.agent.seed = Trainer::seed_of(&plan.checkpoint)?;
    }
    let mut trainer = trainer(&plan)?;
    if plan.resume {
        trainer = trainer.resumed(&plan.checkpoint)?;
        console.note(format!("going on from step {}", grouped(trainer.steps())));
    }
    describe(&plan, &trainer, console);
    signals::defer()?;
    let started = Instant::now();
    let (reason, record) = learn(&plan, &mut trainer, &mut journal, console)?;
    let seconds = started.elapsed().as_secs_f64();
    if reason.is_break() {
        trainer.save(&plan.checkpoint)?;
    }
    if reason == StopReason::Interrupted {
        return Ok(interrupted(&plan.checkpoint, trainer.steps(), console));
    }
    let mut policy = trainer.policy()?;
    origin(&plan, &trainer).write_into(&mut policy)?;
    policy.save(&plan.out)?;
    if !reason.is_break() {
        diffeo::train::Trainer::remove_checkpoint(&plan.checkpoint)?;
    }
    let mut report = report(&plan, &trainer, reason, &record, seconds);
    draw(&plan, &trainer, &mut report, console)?;
    Ok(report)
}

fn plan(args: &ControlTrainArgs, common: &Common, console: &Console) -> Result<Plan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    options::threads(common, &mut faults);
    let out = options::required("--out", args.out.as_ref(), &mut faults);
    if args.env.is_none() {
        faults
            .add(format!("--env is missing: name one of {}", Task::ALL.map(Task::name).join(", ")));
    }
    let task = args.env.as_deref().and_then(|name| faults.take("--env", name.parse::<Task>()));
    let policy = args.policy.as_deref().unwrap_or("nsf-coupling");
    let kind = faults.take("--policy", policy.parse::<PolicyKind>());
    let algorithm = args.algorithm.as_deref().unwrap_or("sac");
    let algorithm = faults.take("--algorithm", algorithm.parse::<Algorithm>());
    options::seed(args.seed, &mut faults);
    let environments = faults.count("--envs", args.envs, 1, ENVIRONMENTS_MAX).unwrap_or(1);
    if let Some(path) = &args.plot {
        faults.take("--plot", FigureFormat::from_path(path));
    }
    let found = (task.unwrap_or(Task::Pendulum), kind.unwrap_or(PolicyKind::Gaussian));
    let mut recipe = Recipe::new(found.0, found.1, algorithm.unwrap_or(Algorithm::Sac));
    recipe.trainer.updates = environments;
    settings(args, &mut recipe, &mut faults);
    faults.finish()?;
    let inputs: Vec<&Path> = vec![];
    let overwrite = args.force || args.resume;
    let check = |path: &Path, devices, bytes| {
        let target = Target { path, inputs: inputs.clone(), overwrite, devices, bytes };
        preflight::check(&target, console)
    };
    let out = check(&out, false, 16 << 20)?;
    let checkpoint = preflight::checkpoint(&out, overwrite)?;
    Ok(Plan {
        task: found.0,
        kind: found.1,
        recipe,
        environments: environments as usize,
        max_time: args.max_time.map(|span| span.0),
        resume: args.resume,
        log: args.log.as_deref().map(|path| check(path, true, 0)).transpose()?,
        plot: args.plot.as_deref().map(|path| check(path, false, 1 << 20)).transpose()?,
        out,
        checkpoint,
    })
}

/// What was asked for in place of what suits the environment.
fn settings(args: &ControlTrainArgs, recipe: &mut Recipe, faults: &mut Faults) {
    let Recipe { policy, trainer, steps } = recipe;
    if let Some(n) = faults.count("--steps", args.steps, 1, STEPS_MAX) {
        *steps = n;
    }
    if let Some(n) = faults.count("--warmup", args.warmup, 1, STEPS_MAX) {
        trainer.warmup = n;
    }
    if let Some(n) = faults.count("--batch", args.batch, 1, BATCH_MAX) {
        trainer.batch = n as usize;
    }
    if let Some(n) = faults.count("--transforms", args.transforms, 1, 64) {
        policy.transforms = n as usize;
    }
    if let Some(n) = faults.count("--bins", args.bins, 2, 1024) {
        policy.bins = n as usize;
    }
    if let Some(hidden) = &args.hidden {
        let width =
            |n: &i128| faults.count("--hidden", Some(*n), 1, WIDTH_MAX).unwrap_or(1) as usize;
        let widths: Vec<usize> = hidden.0.iter().map(width).collect();
        (policy.hidden, trainer.agent.hidden) = (widths.clone(), widths);
    }
    if let Some(n) = faults.count("--embed", args.embed, 1, WIDTH_MAX) {
        let hidden = policy.hidden.clone();
        let network = NetworkSpec { hidden, residual: false, activation: policy.activation };
        policy.embedding =
            Some(DenseEmbeddingSpec { network, width: n as usize, members: 1 }.into());
    }
    faults.positive("--temperature", args.temperature);
    faults.positive("--lr", args.lr);
    faults.check("--entropy", args.entropy, "a finite number", f64::is_finite);
    let range = "a number of at least 0 and below 1";
    faults.check("--discount", args.discount, range, |v| (0.0..1.0).contains(&v));
    if args.temperature.is_some() && args.entropy.is_some() {
        faults.add("--entropy is what the temperature is tuned for, --temperature fixes it: give one of them");
    }
    let agent = &mut trainer.agent;
    if let Some(temperature) = args.temperature {
        agent.temperature = Temperature::Fixed(temperature);
    }
    if let Some(entropy) = args.entropy {
        agent.temperature = Temperature::Tuned { initial: 1.0, entropy };
    }
    agent.discount = args.discount.unwrap_or(agent.discount);
    if let Some(rate) = args.lr {
        (agent.policy_rate, agent.value_rate) = (rate, rate);
    }
}

fn trainer(plan: &Plan) -> Result<Trainer> {
    let mut recipe = plan.recipe.clone();
    recipe.policy.seed = recipe.trainer.agent.seed;
    recipe.begin(plan.task, plan.kind, plan.environments)
}

fn describe(plan: &Plan, trainer: &Trainer, console: &Console) {
    let settings = &plan.recipe.trainer;
    if plan.recipe.steps <= settings.warmup {
        console.warn(format!(
            "all {} steps are those at random before the first update: nothing will be learned (--steps, --warmup)",
            grouped(plan.recipe.steps)
        ));
    }
    let temperature = match settings.agent.temperature {
        Temperature::Fixed(temperature) => format!("temperature {temperature}"),
        Temperature::Tuned { entropy, .. } => {
            format!("temperature tuned for an entropy of {entropy} nats")
        }
    };
    console.note(format!(
        "{}: {}; {} by {}, {} parameters; {} steps, the first {} at random; {temperature}",
        plan.task,
        plan.task.summary(),
        plan.kind,
        settings.algorithm,
        grouped(parameters(trainer)),
        grouped(plan.recipe.steps),
        grouped(settings.warmup)
    ));
}

fn parameters(trainer: &Trainer) -> u64 {
    let all = trainer.agent().policy().parameters();
    all.iter().map(|(_, value)| value.dims().iter().product::<usize>() as u64).sum()
}

/// Takes steps until there is a reason to stop.
fn learn(
    plan: &Plan,
    trainer: &mut Trainer,
    journal: &mut Journal,
    console: &Console,
) -> Result<(StopReason, Record)> {
    let mut course = Course::new(plan.max_time, Some(&plan.checkpoint));
    let (mut record, total) = (Record::default(), plan.recipe.steps);
    let mut progress = Progress::new(console);
    loop {
        if signals::received().is_some() {
            return Ok((StopReason::Interrupted, record));
        }
        let turn = course.turn(&mut trainer.up_to(total))?;
        let advanced = match step_of(turn, "policy", &progress) {
            Ok(advanced) => advanced,
            Err(reason) => return Ok((reason, record)),
        };
        note(trainer.steps(), &advanced, &mut record, &progress);
        for warning in write(trainer.steps(), &advanced, journal, course.elapsed()) {
            progress.warn(warning);
        }
        crate::exit::panic_if_asked("control");
        let (steps, end) = (trainer.steps(), trainer.end().unwrap_or(total));
        progress.update(|| {
            let left = course.left(steps, end);
            let recent = &trainer.returns()[trainer.returns().len().saturating_sub(RECENT)..];
            let mean = recent.iter().map(|r| r.earned).sum::<f64>() / recent.len() as f64;
            let Updated { log_prob, temperature, .. } = record.last;
            let best = trainer.best().map(|b| format!("  best {:.2}", b.mean)).unwrap_or_default();
            format!(
                "step {}/{}  return {mean:.2}{best}  entropy {:.2}  temperature {temperature:.3}  left {}",
                grouped(steps),
                grouped(end),
                -log_prob,
                Rough(left)
            )
        });
    }
}

/// Keeps what is told at the end, and warns once of steps that were refused.
fn note(steps: u64, advanced: &Advanced, record: &mut Record, progress: &Progress) {
    let refused: u64 = advanced.updated.iter().map(|updated| updated.refused).sum();
    if refused > 0 && record.refused == 0 {
        progress.warn(format!(
            "step {steps}: a loss or gradient was not finite; the weights went back, the rate was halved"
        ));
    }
    record.refused += refused;
    if let Some(last) = advanced.updated.last() {
        record.last = *last;
    }
}

/// Writes episodes and validations to the log, and what went wrong with it.
fn write(steps: u64, advanced: &Advanced, journal: &mut Journal, elapsed: Duration) -> Vec<String> {
    let mut warnings = Vec::new();
    let updated = advanced.updated.last().copied().unwrap_or_default();
    for ended in &advanced.ended {
        let line = json!({
            "step": steps, "return": number(ended.earned), "length": ended.steps,
            "terminated": ended.terminated, "value_loss": number(updated.value_loss),
            "entropy": number(-updated.log_prob), "temperature": number(updated.temperature),
        });
        warnings.extend(journal.note("episode", line, elapsed));
    }
    if let Some(validated) = advanced.validated {
        let line = json!({
            "step": steps, "return": number(validated.mean),
            "terminated": number(validated.terminated), "best": validated.best,
        });
        warnings.extend(journal.note("validated", line, elapsed));
    }
    warnings
}

fn origin(plan: &Plan, trainer: &Trainer) -> Origin {
    Origin {
        environment: plan.task.name().to_owned(),
        algorithm: plan.recipe.trainer.algorithm,
        policy: plan.kind.name().to_owned(),
        steps: trainer.best().map_or(trainer.steps(), |best| best.steps),
        seed: plan.recipe.trainer.agent.seed,
    }
}

fn report(
    plan: &Plan,
    trainer: &Trainer,
    reason: StopReason,
    record: &Record,
    seconds: f64,
) -> Report {
    let mut report = Report::default();
    let settings = &plan.recipe.trainer;
    report.line(format!(
        "{} learned for {}: {} steps, {} updates, {} episodes in {seconds:.1} s",
        plan.kind,
        plan.task,
        grouped(trainer.steps()),
        grouped(trainer.updates()),
        grouped(trainer.returns().len() as u64)
    ));
    report.key("environment", plan.task.name());
    report.key("policy", plan.kind.name());
    report.key("algorithm", settings.algorithm.to_string());
    report.key("parameters", parameters(trainer));
    report.key("steps", trainer.steps());
    report.key("updates", trainer.updates());
    report.key("episodes", trainer.returns().len());
    report.number("seconds", seconds);
    report.key("stop_reason", reason.to_string());
    report.key("seed", settings.agent.seed);
    if let Some(best) = trainer.best() {
        report.line(format!(
            "return {:.2} on average of {} validation episodes after {} steps: the policy that was kept",
            best.mean,
            settings.validate_episodes,
            grouped(best.steps)
        ));
        report.key(
            "validated",
            json!({"steps": best.steps, "mean": number(best.mean), "terminated": number(best.terminated)}),
        );
    }
    report.number("temperature", record.last.temperature);
    report.number("entropy", -record.last.log_prob);
    report.key("refused", record.refused);
    if record.refused > 0 {
        report.line(format!(
            "{} steps of an optimiser were refused: a number was not finite",
            grouped(record.refused)
        ));
    }
    let out = plan.out.to_string_lossy();
    report.line(format!("policy written to {}", quoted(&out)));
    report.key("out", out);
    if let Some(log) = &plan.log {
        report.key("log", log.to_string_lossy());
    }
    report
}

fn draw(plan: &Plan, trainer: &Trainer, report: &mut Report, console: &Console) -> Result<()> {
    let Some(path) = &plan.plot else { return Ok(()) };
    let returns = trainer.returns().iter();
    let returns: Vec<ReturnPoint> =
        returns.map(|r| ReturnPoint { step: r.steps, earned: r.earned }).collect();
    if returns.is_empty() {
        console.warn("no episode has ended: there are no returns to draw");
        return Ok(());
    }
    let title = format!("{}: {} by {}", plan.task, plan.kind, plan.recipe.trainer.algorithm);
    let figure = draw_return_curve(std::slice::from_ref(&returns), &title, 640.0);
    figure.and_then(|figure| figure.save(path)).map_err(of_plot)?;
    let text = path.to_string_lossy();
    report.line(format!("drawn to {}", quoted(&text)));
    report.key("plot", text);
    Ok(())
}
