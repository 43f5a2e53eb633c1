//! The checked options of `diffeo fit`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use diffeo::monotone::RationalQuadratic;
use diffeo::network::NetworkSpec;
use diffeo::train::{Change, FitOptions, Loss, Trim, ValidationChoice};
use diffeo::{
    BaseSpec, DenseEmbeddingSpec, EmbeddingSpec, ImageShape, Precision, Preset, PresetOptions,
    Result, quoted,
};
use diffeo_table::{EARLIER_MAX, Input, ReadOptions};

use crate::args::{Common, FitArgs, Missing, ResumeMode};
use crate::faults::Faults;
use crate::options;

/// Rows that decide when to stop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Valid {
    /// As the recipe chooses.
    Default,
    /// This share of the rows.
    Share(f64),
    /// These rows.
    Table(PathBuf),
}

/// Which model to fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Choice {
    /// This one.
    Named(Preset),
    /// The best of a few that are tried.
    Auto,
}

impl Choice {
    fn parse(name: Option<&str>) -> Result<Self> {
        match name {
            None => Ok(Self::Named(Preset::default())),
            Some("auto") => Ok(Self::Auto),
            Some(name) => name.parse().map(Self::Named).map_err(|e: diffeo::Error| {
                diffeo::Error::config(format!("{}, or auto", e.message()))
            }),
        }
    }
}

/// What `fit` is asked to do.
pub(crate) struct FitPlan {
    pub(crate) args: FitArgs,
    pub(crate) data: Input,
    pub(crate) out: PathBuf,
    pub(crate) read: ReadOptions,
    pub(crate) choice: Choice,
    pub(crate) shape: PresetOptions,
    pub(crate) training: FitOptions,
    pub(crate) valid: Valid,
    pub(crate) seed: Option<u64>,
    pub(crate) max_time: Option<Duration>,
    pub(crate) max_memory: Option<u64>,
    pub(crate) checkpoint_every: Option<u64>,
    pub(crate) resume: Option<ResumeMode>,
    pub(crate) changes: Vec<Change>,
    /// Levels of a number of an image.
    pub(crate) levels: Option<u32>,
}

/// Checks every option of `fit`.
///
/// # Errors
/// [`diffeo::ErrorKind::Config`] with all faults.
pub(crate) fn plan(args: &FitArgs, common: &Common) -> Result<FitPlan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let data = options::required("DATA", args.data.as_ref(), &mut faults);
    let out = options::required("--out", args.out.as_ref(), &mut faults);
    check_names(args, &mut faults);
    let mut read = options::read_options(&args.read, &mut faults);
    let frames = faults.count("--frames", args.frames, 0, EARLIER_MAX as u64);
    read.earlier = frames.map(|frames| frames as usize);
    if read.earlier > Some(0) && args.context.is_some() {
        faults.add("--frames is what each frame is given; leave --context out");
    }
    match args.read.missing {
        None if args.any_subset => read.missing = diffeo_table::Missing::Model,
        Some(Missing::Model) if args.any_subset => faults.add(
            "--any-subset takes missing values as not known, --missing model as outcomes of their own; give one of them",
        ),
        _ => {}
    }
    let choice = faults.take("--model", Choice::parse(args.model.as_deref()));
    check_graph(args, choice, &mut faults);
    let valid = faults.take("--valid", valid(args.valid.as_deref())).unwrap_or(Valid::Default);
    if valid == Valid::Table("-".into()) {
        faults.add("--valid: validation rows come from a file, not from stdin");
    }
    if choice == Some(Choice::Auto) && valid == Valid::Share(0.0) {
        faults.add("--model auto compares models by validation rows, but --valid is 0");
    }
    let plan = FitPlan {
        data: Input::from_arg(data),
        out,
        read,
        choice: choice.unwrap_or(Choice::Auto),
        shape: shape(args, &mut faults),
        training: training(args, common, &valid, &mut faults),
        valid,
        seed: options::seed(args.seed, &mut faults),
        max_time: args.max_time.map(|span| span.0),
        max_memory: args
            .max_memory
            .as_deref()
            .and_then(|t| faults.take("--max-memory", options::bytes(t))),
        checkpoint_every: faults.count("--checkpoint-every", args.checkpoint_every, 1, u64::MAX),
        resume: args.resume,
        changes: changes(args, &mut faults),
        levels: faults
            .count("--levels", args.levels, 2, 256)
            .and_then(|levels| u32::try_from(levels).ok()),
        args: args.clone(),
    };
    faults.finish()?;
    Ok(plan)
}

/// Refuses a graph together with what it excludes.
fn check_graph(args: &FitArgs, choice: Option<Choice>, faults: &mut Faults) {
    if args.graph.is_none() {
        return;
    }
    if let Some(Choice::Named(preset)) = choice
        && let Err(error) = preset.expect_graph()
    {
        faults.add(format!("--graph: {}", error.message()));
    }
    if args.order.is_some() {
        faults.add("--graph says itself in which order columns are taken; leave --order out");
    }
    if args.any_subset {
        faults.add(
            "--any-subset makes every column depend on all that are given, which --graph forbids; give one of them",
        );
    }
}

fn check_names(args: &FitArgs, faults: &mut Faults) {
    let columns = args.columns.iter().flat_map(|list| list.0.iter().map(|(name, _)| name));
    let columns: Vec<&String> = columns.collect();
    let context: Vec<&String> =
        args.context.iter().flat_map(|list| list.0.iter().map(|(name, _)| name)).collect();
    let excluded: Vec<&String> = args.exclude.iter().flat_map(|list| &list.0).collect();
    let weight: Vec<&String> = args.weight.iter().collect();
    let dequantize: Vec<&String> = args.dequantize.iter().flat_map(|list| &list.0).collect();
    for name in dequantize.iter().filter(|name| context.contains(name) || excluded.contains(name)) {
        faults.add(format!("--dequantize: column {} is not modelled", quoted(name)));
    }
    let roles = [
        ("--columns", columns),
        ("--context", context),
        ("--exclude", excluded),
        ("--weight", weight),
    ];
    for (i, (role, names)) in roles.iter().enumerate() {
        for (other, others) in roles.iter().skip(i + 1) {
            for name in names.iter().filter(|name| others.contains(name)) {
                faults.add(format!("column {} is named by both {role} and {other}", quoted(name)));
            }
        }
    }
}

/// What a resumed run may do in another way.
fn changes(args: &FitArgs, faults: &mut Faults) -> Vec<Change> {
    if args.allow_changed.is_some() && args.resume.is_none() {
        faults.add("--allow-changed is about going on; give --resume too");
    }
    let change = |name: &String| match name.as_str() {
        "lr" => Some(Change::LearningRate),
        "epochs" => Some(Change::Epochs),
        _ => {
            faults.add(format!("--allow-changed: expected lr or epochs, found {}", quoted(name)));
            None
        }
    };
    args.allow_changed.iter().flat_map(|list| &list.0).filter_map(change).collect()
}

fn precision(name: &str) -> Result<Precision, String> {
    match name {
        "f32" => Ok(Precision::F32),
        "f64" => Ok(Precision::F64),
        _ => Err(format!("expected f32 or f64, found {}", quoted(name))),
    }
}

/// A number is a share of the rows, anything else the name of a table.
fn valid(given: Option<&OsStr>) -> Result<Valid, String> {
    let Some(given) = given else { return Ok(Valid::Default) };
    match given.to_str().map(str::parse::<f64>) {
        Some(Ok(share)) if (0.0..1.0).contains(&share) => Ok(Valid::Share(share)),
        Some(Ok(share)) => {
            Err(format!("expected a share of at least 0 and below 1, or a file, found {share}"))
        }
        _ => Ok(Valid::Table(given.into())),
    }
}

fn shape(args: &FitArgs, faults: &mut Faults) -> PresetOptions {
    let mut shape = PresetOptions::default();
    let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    if let Some(n) =
        faults.count("--transforms", args.transforms, 1, PresetOptions::TRANSFORMS_MAX as u64)
    {
        shape.transforms = narrow(n);
    }
    if let Some(n) = faults.count("--bins", args.bins, 2, RationalQuadratic::BINS_MAX as u64) {
        shape.bins = narrow(n);
    }
    let side = ImageShape::NUMBERS_MAX as u64;
    shape.patch = faults.count("--patch", args.patch, 1, side).map(narrow);
    faults.positive("--bound", args.bound);
    shape.bound = args.bound.unwrap_or(shape.bound);
    if let Some(widths) = &args.hidden {
        if widths.0.len() > NetworkSpec::DEPTH_MAX {
            faults.add(format!(
                "--hidden: expected at most {} layers, found {}",
                NetworkSpec::DEPTH_MAX,
                widths.0.len()
            ));
        }
        let width = |w: &i128| {
            faults.count("--hidden", Some(*w), 1, NetworkSpec::WIDTH_MAX as u64).map(narrow)
        };
        shape.hidden = widths.0.iter().filter_map(width).collect();
    }
    shape.order = args.order.as_deref().and_then(|text| {
        faults.take("--order", text.parse().map_err(|e: diffeo::Error| e.message().to_owned()))
    });
    let base = args.base.as_deref().and_then(|text| {
        faults.take("--base", text.parse::<BaseSpec>().map_err(|e| e.message().to_owned()))
    });
    shape.base = base.unwrap_or(shape.base);
    if let Some(precision) =
        args.precision.as_deref().and_then(|text| faults.take("--precision", precision(text)))
    {
        shape.precision = precision;
    }
    shape.embedding = embedding(args, &shape, faults);
    shape
}

/// What the transforms see of the context: of the widths of all networks, without residual blocks.
fn embedding(args: &FitArgs, shape: &PresetOptions, faults: &mut Faults) -> Option<EmbeddingSpec> {
    let most = NetworkSpec::WIDTH_MAX as u64;
    let width = faults.count("--embed", args.embed, 1, most);
    let members = faults.count("--embed-members", args.embed_members, 1, most);
    if (args.embed.is_some() || members.is_some()) && args.context.is_none() {
        faults.add("--embed makes something of a context; name its columns with --context");
    } else if members.is_some() && args.embed.is_none() {
        faults.add("--embed-members says what --embed makes something of; give --embed");
    }
    let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (hidden, activation) = (shape.hidden.clone(), shape.activation);
    let network = NetworkSpec { hidden, residual: false, activation };
    let (width, members) = (narrow(width?), members.map_or(1, narrow));
    Some(DenseEmbeddingSpec { network, width, members }.into())
}

fn training(args: &FitArgs, common: &Common, valid: &Valid, faults: &mut Faults) -> FitOptions {
    let defaults = FitOptions::default();
    faults.positive("--epochs", args.epochs);
    faults.positive("--clip-norm", args.clip_norm);
    for (name, value, allowed) in [
        ("--lr", args.lr, FitOptions::LEARNING_RATE),
        ("--weight-decay", args.weight_decay, FitOptions::WEIGHT_DECAY),
        ("--warmup", args.warmup, FitOptions::WARMUP),
        ("--average", args.average, FitOptions::AVERAGE),
        ("--context-dropout", args.context_dropout, FitOptions::CONTEXT_DROPOUT),
        ("--contrast", args.contrast, FitOptions::CONTRAST),
        ("--trim", args.trim, Trim::SHARE),
    ] {
        faults.check(name, value, allowed.expected, allowed.holds);
    }
    if args.epochs.is_some() && args.steps.is_some() {
        faults.add("--epochs and --steps say the same thing twice; give one of them");
    }
    if args.patience.is_some() && *valid == Valid::Share(0.0) {
        faults.add("--patience needs validation rows, but --valid is 0");
    }
    let loss = args.loss.as_deref().and_then(|text| {
        faults.take("--loss", text.parse::<Loss>().map_err(|e| e.message().to_owned()))
    });
    FitOptions {
        loss,
        epochs: args.epochs,
        steps: faults.count("--steps", args.steps, 1, 1 << 53),
        batch: faults
            .count("--batch", args.batch, 1, FitOptions::BATCH_MAX as u64)
            .and_then(|n| usize::try_from(n).ok()),
        learning_rate: args.lr,
        weight_decay: args.weight_decay.unwrap_or(defaults.weight_decay),
        clip_norm: args.clip_norm.unwrap_or(defaults.clip_norm),
        warmup: args.warmup.unwrap_or(defaults.warmup),
        average: args.average.or(defaults.average),
        patience: faults
            .count("--patience", args.patience, 1, u64::from(u32::MAX))
            .and_then(|n| u32::try_from(n).ok())
            .or(defaults.patience),
        context_dropout: args.context_dropout.unwrap_or(defaults.context_dropout),
        contrast: args.contrast.unwrap_or(defaults.contrast),
        threads: options::threads(common, faults),
        validation: match valid {
            Valid::Share(0.0) => ValidationChoice::None,
            Valid::Share(share) => ValidationChoice::Fraction(*share),
            _ => defaults.validation,
        },
        seed: defaults.seed,
    }
}
