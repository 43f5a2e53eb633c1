//! `diffeo plot`: pictures of a model, with data beside its samples.

mod images;

use std::path::{Path, PathBuf};

use diffeo::check::CheckData;
use diffeo::{Error, ImageShape, Result, SampleOptions, quoted};
use diffeo_plot::FigureFormat;
use diffeo_table::{Input, ReadOptions};

use super::model::{Batch, Loaded};
use crate::args::{Common, PlotArgs, PlotKind};
use crate::faults::Faults;
use crate::figures::{self, Drawing, Kind, Scene, plot_error};
use crate::options;
use crate::output::{Console, Report};
use crate::preflight::{self, Target};

/// More points than this make a picture slow and no better.
const ROWS_MAX: u64 = 1_000_000;

struct Plan {
    model: PathBuf,
    out: PathBuf,
    read: ReadOptions,
    threads: usize,
    rows: u64,
    seed: u64,
}

/// Runs `diffeo plot`.
pub(super) fn run(args: &PlotArgs, common: &Common, console: &Console) -> Result<Report> {
    let plan = plan(args, common)?;
    let loaded = Loaded::open(&plan.model)?.weighted_by(args.weight.as_ref());
    let kinds = kinds(args, &loaded)?;
    let paths: Vec<PathBuf> = kinds
        .iter()
        .map(|kind| {
            let path = if args.kind == Some(PlotKind::All) {
                with_suffix(&plan.out, *kind)
            } else {
                plan.out.clone()
            };
            let inputs =
                [&plan.model].into_iter().chain(&args.data).map(PathBuf::as_path).collect();
            preflight::check(
                &Target {
                    path: &path,
                    inputs,
                    overwrite: args.force,
                    devices: false,
                    bytes: 1 << 20,
                },
                console,
            )
        })
        .collect::<Result<_>>()?;
    let drawn = match loaded.model.schema().image {
        None => Drawn::Columns(scene(args, &plan, &loaded, console)?),
        Some(image) => Drawn::Images(gallery(args, &plan, &loaded, image, console)?),
    };
    let mut report = Report::default();
    let mut figures = Vec::new();
    for (kind, path) in kinds.iter().zip(&paths) {
        let Drawing { figure, notes } = match &drawn {
            Drawn::Columns(scene) => scene.draw(kind.of_columns().unwrap_or(Kind::Pairs))?,
            Drawn::Images(gallery) => Drawing::from(gallery.draw(*kind)?),
        };
        notes.iter().for_each(|note| console.note(note));
        figure.save(path).map_err(|e| plot_error(e).at(path))?;
        let text = path.to_string_lossy();
        report.line(format!("{} drawn to {}", name(*kind), quoted(&text)));
        figures.push(serde_json::json!({ "kind": name(*kind), "path": text }));
    }
    report.key("figures", figures);
    let rows = match &drawn {
        Drawn::Columns(scene) => scene.rows(),
        Drawn::Images(gallery) => gallery.rows,
    };
    report.key("rows", rows);
    Ok(report)
}

/// What figures are drawn of.
enum Drawn<'a> {
    Columns(Scene<'a>),
    Images(images::Gallery<'a>),
}

/// Samples of a model of columns, and rows of the table if there is one.
fn scene<'a>(
    args: &PlotArgs,
    plan: &Plan,
    loaded: &'a Loaded,
    console: &Console,
) -> Result<Scene<'a>> {
    let mut data = None;
    if let Some(path) = &args.data {
        let reader = loaded.open_table(&Input::from_arg(path), &plan.read, true)?;
        let Batch { x, context, .. } = loaded.gather(reader, plan.rows, console)?;
        data = Some(CheckData { x, context });
    }
    let rows = usize::try_from(plan.rows).unwrap_or(usize::MAX);
    Scene::new(&loaded.model, data, rows, plan.seed, plan.threads)
}

fn gallery<'a>(
    args: &PlotArgs,
    plan: &Plan,
    loaded: &'a Loaded,
    image: ImageShape,
    console: &Console,
) -> Result<images::Gallery<'a>> {
    let rows = images::rows(args, plan.rows);
    let data = args.data.as_ref().map(|path| {
        let reader = loaded.open_table(&Input::from_arg(path), &plan.read, true)?;
        loaded.gather(reader, rows as u64, console)
    });
    let data = data.transpose()?;
    let clips = match &args.data {
        Some(path) if loaded.model.schema().earlier_frames() > 0 => {
            images::clips(loaded, &Input::from_arg(path), &plan.read)?
        }
        _ => Vec::new(),
    };
    let options =
        SampleOptions { seed: plan.seed, threads: plan.threads, ..SampleOptions::default() };
    Ok(images::Gallery { loaded, image, data, clips, options, rows })
}

fn plan(args: &PlotArgs, common: &Common) -> Result<Plan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let plan = Plan {
        model: options::required("MODEL", args.model.as_ref(), &mut faults),
        out: options::required("--out", args.out.as_ref(), &mut faults),
        read: options::read_options(&args.read, &mut faults),
        threads: options::threads(common, &mut faults),
        rows: faults.count("--rows", args.rows, 1, ROWS_MAX).unwrap_or(figures::ROWS as u64),
        seed: options::seed(args.seed, &mut faults).unwrap_or(0),
    };
    if args.out.is_some() {
        faults.take("--out", FigureFormat::from_path(&plan.out));
    }
    faults.finish()?;
    Ok(plan)
}

/// Refuses a picture that is neither PNG nor SVG.
///
/// # Errors
/// [`ErrorKind::Config`] naming the formats.
pub(super) fn check_format(path: &Path) -> Result<()> {
    let mut faults = Faults::default();
    faults.take("--plot", FigureFormat::from_path(path));
    faults.finish()
}

/// The pictures to draw.
fn kinds(args: &PlotArgs, loaded: &Loaded) -> Result<Vec<PlotKind>> {
    if loaded.model.schema().image.is_some() {
        return images::kinds(args, loaded);
    }
    let (model, has_data) = (&loaded.model, args.data.is_some());
    let kind = args.kind.unwrap_or_else(|| PlotKind::from(Kind::usual_of(model)));
    if kind == PlotKind::All {
        let possible = Kind::ALL.into_iter().filter(|(_, k)| k.expect_of(model, has_data).is_ok());
        return Ok(possible.map(|(_, kind)| kind.into()).collect());
    }
    match kind.of_columns() {
        Some(of_columns) => of_columns.expect_of(model, has_data).map(|()| vec![kind]),
        None => Err(Error::config(format!(
            "--kind {}: is for models of images, and this is one of columns",
            name(kind)
        ))),
    }
}

impl PlotKind {
    /// The picture of a model of columns that this is.
    fn of_columns(self) -> Option<Kind> {
        Kind::ALL.into_iter().map(|(_, kind)| kind).find(|kind| Self::from(*kind) == self)
    }
}

impl From<Kind> for PlotKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Pairs => Self::Pairs,
            Kind::Marginals => Self::Marginals,
            Kind::Loss => Self::Loss,
            Kind::Density => Self::Density,
            Kind::Calibration => Self::Calibration,
        }
    }
}

fn name(kind: PlotKind) -> &'static str {
    match kind {
        PlotKind::Pairs => "pairs",
        PlotKind::Marginals => "marginals",
        PlotKind::Loss => "loss",
        PlotKind::Density => "density",
        PlotKind::Calibration => "calibration",
        PlotKind::Images => "images",
        PlotKind::Interpolation => "interpolation",
        PlotKind::Temperature => "temperature",
        PlotKind::Continuation => "continuation",
        PlotKind::All => "all",
    }
}

/// `figure.png` becomes `figure-pairs.png`.
fn with_suffix(path: &Path, kind: PlotKind) -> PathBuf {
    let mut file = path.file_stem().unwrap_or_default().to_os_string();
    file.push(format!("-{}", name(kind)));
    if let Some(extension) = path.extension() {
        file.push(".");
        file.push(extension);
    }
    path.with_file_name(file)
}
