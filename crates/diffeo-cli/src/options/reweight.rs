//! The checked options of `diffeo reweight`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diffeo::inference::RatioOptions;
use diffeo::train::FitOptions;
use diffeo::{Preset, Result, quoted};
use diffeo_table::{Format, Input, Output, ReadOptions};

use crate::args::{Common, Missing, ReweightArgs};
use crate::faults::Faults;
use crate::options;

/// Most parts that rows are dealt into.
const FOLDS_MAX: u64 = 100;
/// What folds there are unless the user says so.
const FOLDS: usize = 5;

/// Where the two densities come from.
pub(crate) enum Sources {
    /// Two models, and the table to weight.
    Models { models: [PathBuf; 2], data: Input },
    /// Two tables, of which the first is weighted.
    Tables([Input; 2]),
}

/// What `reweight` is asked to do.
pub(crate) struct ReweightPlan {
    pub(crate) args: ReweightArgs,
    pub(crate) sources: Sources,
    pub(crate) out: Option<PathBuf>,
    pub(crate) read: ReadOptions,
    pub(crate) ratio: RatioOptions,
    pub(crate) folds: usize,
    pub(crate) relative: Option<f64>,
    pub(crate) seed: Option<u64>,
    pub(crate) max_time: Option<Duration>,
    pub(crate) threads: usize,
}

impl ReweightPlan {
    /// Where the flow of each part is kept while it is fitted.
    pub(crate) fn checkpoints(&self) -> impl Iterator<Item = PathBuf> + '_ {
        (0..self.folds).filter_map(|fold| self.ratio.checkpoint(fold))
    }
}

/// Checks every option of `reweight`.
///
/// # Errors
/// [`diffeo::ErrorKind::Config`] with all faults.
pub(crate) fn plan(args: &ReweightArgs, common: &Common) -> Result<ReweightPlan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let threads = options::threads(common, &mut faults);
    let read = options::read_options(&args.read, &mut faults);
    if args.read.missing == Some(Missing::Model) {
        faults.add("--missing model is for fit; the averages of reweight are of whole rows: refuse or drop");
    }
    if args.out.is_none() && args.outcome.is_none() {
        faults.add(
            "there is nothing to do: name a table to write with --out, or a column with --outcome",
        );
    }
    if let Some(path) = &args.out
        && Format::from_path(path).is_none()
    {
        faults.add(format!("--out: {}", super::TABLE_NAME));
    }
    if args.resume && args.out.is_none() {
        faults.add(
            "--resume goes on from what was left beside --out; give the --out of the first run",
        );
    }
    if let (Some(list), Some(name)) = (&args.columns, &args.outcome)
        && list.0.iter().any(|(column, _)| column == name)
    {
        let name = quoted(name);
        faults.add(format!("--columns: the outcome {name} cannot be among what populations are compared by; leave it out there"));
    }
    faults
        .check("--relative", args.relative, "a share above 0 and below 1", |a| a > 0.0 && a < 1.0);
    let sources = sources(args, &mut faults);
    let preset = args.model.as_deref().map(|name| name.parse::<Preset>());
    let preset = preset.and_then(|preset| faults.take("--model", preset)).unwrap_or_default();
    let fit = FitOptions {
        steps: faults.count("--steps", args.steps, 1, 1 << 53),
        threads,
        ..FitOptions::default()
    };
    let folds = faults.count("--folds", args.folds, 2, FOLDS_MAX);
    let plan = ReweightPlan {
        sources,
        out: args.out.clone(),
        read,
        ratio: RatioOptions { preset, fit, checkpoints: args.out.clone(), preset_options: None },
        folds: folds.and_then(|n| usize::try_from(n).ok()).unwrap_or(FOLDS),
        relative: args.relative,
        seed: options::seed(args.seed, &mut faults),
        max_time: args.max_time.map(|span| span.0),
        threads,
        args: args.clone(),
    };
    faults.finish()?;
    Ok(plan)
}

/// The two densities: both models or both tables.
fn sources(args: &ReweightArgs, faults: &mut Faults) -> Sources {
    let from = options::required("--from", args.from.as_ref(), faults);
    let to = options::required("--to", args.to.as_ref(), faults);
    let given = [&from, &to].iter().all(|path| !path.as_os_str().is_empty());
    if is_model(&from) != is_model(&to) && given {
        faults.add(
            "--from and --to are both models or both tables: a flow that knows both tables errs alike in both, so that errors cancel in the ratio; \
             give two tables, or fit a model to the other with `diffeo fit`",
        );
    }
    if !is_model(&from) {
        if args.data.is_some() {
            faults.add("DATA is the table to weight with two models; with two tables, the rows of --from are weighted");
        }
        return Sources::Tables([from, to].map(Input::from_arg));
    }
    let of_tables = [
        ("--columns", args.columns.is_some()),
        ("--exclude", args.exclude.is_some()),
        ("--model", args.model.is_some()),
        ("--folds", args.folds.is_some()),
        ("--steps", args.steps.is_some()),
        ("--max-time", args.max_time.is_some()),
        ("--resume", args.resume),
    ];
    for (name, _) in of_tables.iter().filter(|(_, given)| *given) {
        faults
            .add(format!("{name} is about two tables; two models say themselves what they are of"));
    }
    let data = options::required("DATA", args.data.as_ref(), faults);
    Sources::Models { models: [from, to], data: Input::from_arg(data) }
}

fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

impl ReweightPlan {
    /// The files that are read.
    pub(crate) fn inputs(&self) -> Vec<&Path> {
        let args = &self.args;
        [&args.from, &args.to, &args.data].into_iter().flatten().map(PathBuf::as_path).collect()
    }

    /// The table that is weighted.
    pub(crate) fn weighted(&self) -> &Input {
        match &self.sources {
            Sources::Models { data, .. } => data,
            Sources::Tables([from, _]) => from,
        }
    }

    /// Where the weights go.
    pub(crate) fn output(&self) -> Option<Output> {
        self.out.clone().map(Output::Path)
    }
}
