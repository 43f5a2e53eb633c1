//! `diffeo control run`: a policy acts.

use std::path::{Path, PathBuf};

use diffeo::inference::Estimate;
use diffeo::{Error, Model, Result, Rows, quoted};
use diffeo_control::{Conduct, Environment, Interface, Origin, Played, Task, play};
use diffeo_plot::FigureFormat;
use diffeo_table::{Chunk, Output, Writer};

use super::film;
use crate::args::{Common, ControlRunArgs};
use crate::commands::score::{checked_output, output};
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::preflight::{self, Target};
use crate::progress::{Progress, grouped};
use crate::{options, signals};

const EPISODES: u64 = 100;
const EPISODES_MAX: u64 = 1_000_000;
const DRAWS_MAX: u64 = 10_000;
/// Episodes that are played side by side.
const BLOCK: usize = 100;
/// Episodes whose moments are kept for pictures.
const PICTURED: usize = 4;

struct Plan {
    model: PathBuf,
    task: Option<Task>,
    episodes: usize,
    conduct: Conduct,
    seed: u64,
    out: Option<Output>,
    plot: Option<PathBuf>,
    film: Option<PathBuf>,
    force: bool,
}

/// Runs `diffeo control run`.
pub(super) fn run(args: &ControlRunArgs, common: &Common, console: &Console) -> Result<Report> {
    let plan = plan(args, common, console)?;
    let model = Model::load(&plan.model)?;
    let task = task(&plan, &model)?;
    expect_columns(&model, task)?;
    signals::defer()?;
    let mut writer =
        plan.out.as_ref().map(|out| Writer::create(out, None, plan.force)).transpose()?;
    let (mut all, mut pictured) = (Vec::new(), Vec::new());
    let mut progress = Progress::new(console);
    while all.len() < plan.episodes {
        signals::check()?;
        let n = if all.len() < PICTURED { PICTURED } else { BLOCK };
        let n = n.min(plan.episodes - all.len());
        let sketched = all.len() < PICTURED && (plan.plot.is_some() || plan.film.is_some());
        let make = || task.environment();
        let first = all.len() as u64;
        let played = play(model.flow(), &make, (first, n), plan.conduct, (plan.seed, sketched))?;
        if let Some(writer) = &mut writer {
            played.iter().enumerate().try_for_each(|(i, played)| {
                writer.write(&steps_of(&*make(), first + i as u64, played)?)
            })?;
        }
        all.extend(played.iter().map(|played| played.ended));
        if sketched {
            pictured.extend(played);
        }
        progress.update(|| format!("{} of {} episodes", all.len(), plan.episodes));
    }
    writer.map(Writer::finish).transpose()?;
    drop(progress);
    let title = format!("{task}: {}", task.summary());
    if let (Some(path), Some(first)) = (&plan.plot, pictured.first()) {
        film::draw(first, &title, path)?;
    }
    if let Some(path) = &plan.film {
        film::save(&pictured, &title, path)?;
    }
    Ok(report(&plan, task, &all))
}

fn plan(args: &ControlRunArgs, common: &Common, console: &Console) -> Result<Plan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    options::threads(common, &mut faults);
    let model = options::required("POLICY", args.model.as_ref(), &mut faults);
    let task = args.env.as_deref().and_then(|name| faults.take("--env", name.parse()));
    let episodes = faults.count("--episodes", args.episodes, 1, EPISODES_MAX);
    let best = faults.count("--best", args.best, 1, DRAWS_MAX);
    let seed = options::seed(args.seed, &mut faults).unwrap_or(0);
    if let Some(path) = &args.plot {
        faults.take("--plot", FigureFormat::from_path(path));
    }
    if let Some(path) = &args.film
        && !matches!(FigureFormat::from_path(path), Ok(FigureFormat::Png))
    {
        faults.add(format!(
            "--film: expected a path that ends in .png, found {}",
            quoted(&path.to_string_lossy())
        ));
    }
    let out = args.out.as_deref().map(|path| output(Some(path), "", common.json, &mut faults));
    faults.finish()?;
    let inputs: [&Path; 1] = [&model];
    let check = |out| checked_output(out, &inputs, args.force, console);
    let picture = |path: &PathBuf| {
        let (inputs, overwrite) = (inputs.to_vec(), args.force);
        preflight::check(
            &Target { path, inputs, overwrite, devices: false, bytes: 1 << 20 },
            console,
        )
    };
    Ok(Plan {
        task,
        episodes: episodes.unwrap_or(EPISODES) as usize,
        conduct: best.map_or(Conduct::Drawn, |draws| Conduct::Best(draws as usize)),
        seed,
        out: out.map(check).transpose()?,
        plot: args.plot.as_ref().map(picture).transpose()?,
        film: args.film.as_ref().map(picture).transpose()?,
        force: args.force,
        model,
    })
}

/// The environment that was asked for, or that the policy is of.
fn task(plan: &Plan, model: &Model) -> Result<Task> {
    let unknown =
        |what: &str| Error::config(format!("{what}; name an environment by --env")).at(&plan.model);
    match (plan.task, Origin::of(model).map_err(|e| e.at(&plan.model))?) {
        (Some(task), _) => Ok(task),
        (None, Some(origin)) => origin.environment.parse().map_err(|_| {
            unknown(&format!(
                "the policy was learned in {}, which is none of ours",
                quoted(&origin.environment)
            ))
        }),
        (None, None) => Err(unknown("the file does not say what it is a policy for")),
    }
}

/// A policy of another environment is refused by the names of its columns.
fn expect_columns(model: &Model, task: Task) -> Result<()> {
    let interface = Interface::of(&*task.environment());
    let schema = model.schema();
    let expected = interface.schema();
    if schema.columns == expected.columns && schema.context == expected.context {
        return Ok(());
    }
    let names = |columns: &[diffeo::Column]| {
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        names.join(", ")
    };
    Err(Error::config(format!(
        "a policy for {task} gives {} from {}, this model gives {} from {}",
        names(&expected.columns),
        names(&expected.context),
        names(&schema.columns),
        names(&schema.context)
    )))
}

/// The steps of an episode as rows.
fn steps_of(environment: &dyn Environment, episode: u64, played: &Played) -> Result<Chunk> {
    let axes = environment.observation_space().axes().iter();
    let axes = axes.chain(environment.action_space().axes());
    let mut names = vec!["episode".to_owned(), "step".to_owned()];
    names.extend(axes.map(|axis| axis.name.clone()));
    names.push("reward".to_owned());
    let mut values = Vec::with_capacity(names.len() * played.actions.len());
    for (step, action) in played.actions.iter().enumerate() {
        values.extend([episode as f64, step as f64]);
        values.extend(&played.observations[step]);
        values.extend(action);
        values.push(played.rewards[step]);
    }
    let integer: Vec<bool> = (0..names.len()).map(|j| j < 2).collect();
    Chunk::from_rows(&names, &Rows::new(values, names.len())?, &integer)
}

fn report(plan: &Plan, task: Task, all: &[diffeo_control::Ended]) -> Report {
    let mut report = Report::default();
    let returns: Vec<f64> = all.iter().map(|ended| ended.earned).collect();
    let mean = Estimate::of_mean(&returns);
    let (n, terminated) = (all.len() as f64, all.iter().filter(|e| e.terminated).count());
    let steps = all.iter().map(|e| f64::from(e.steps)).sum::<f64>() / n;
    let ends = [f64::min as fn(f64, f64) -> f64, f64::max]
        .map(|of| returns.iter().copied().reduce(of).unwrap_or(f64::NAN));
    report.line(format!("{task}, {} episodes", grouped(all.len() as u64)));
    report.line(format!(
        "return {:.2} ± {:.2} on average, from {:.2} to {:.2}",
        mean.mean, mean.standard_error, ends[0], ends[1]
    ));
    report.line(format!("{terminated} ended by themselves; {steps:.1} steps on average"));
    report.key("environment", task.name());
    report.key("episodes", all.len());
    report.number("return_mean", mean.mean);
    report.number("return_stderr", mean.standard_error);
    report.number("return_min", ends[0]);
    report.number("return_max", ends[1]);
    report.number("terminated", terminated as f64 / n);
    report.number("steps_mean", steps);
    let files = [("plot", &plan.plot), ("film", &plan.film)];
    for (key, path) in files.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?))) {
        let text = path.to_string_lossy();
        report.line(format!("{key} written to {}", quoted(&text)));
        report.key(key, text);
    }
    if let Some(Output::Path(path)) = &plan.out {
        report.key("out", path.to_string_lossy());
    }
    report
}
