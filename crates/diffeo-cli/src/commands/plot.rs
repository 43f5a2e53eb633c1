//! `diffeo plot`: pictures of a model, with data beside its samples.

use std::path::{Path, PathBuf};

use diffeo::check::CheckData;
use diffeo::{Column, ErrorKind, ImageShape, Result, Rows, SampleOptions, quoted};
use diffeo_plot::FigureFormat;
use diffeo_table::{Input, ReadOptions, Reader};

use super::model::{Batch, Loaded};
use crate::args::{Common, PlotArgs, PlotKind};
use crate::faults::Faults;
use crate::figures::images::{CLIPS, FRAMES, Gallery, IMAGES, IMAGES_MAX};
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
    if args.data.is_some() {
        loaded.warn_of_weight(args.weight.as_ref(), console);
    }
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
            Drawn::Columns(scene) => scene.draw(*kind)?,
            Drawn::Images(gallery) => match gallery.draw(*kind) {
                // Of all, those that can be drawn.
                Err(error)
                    if args.kind == Some(PlotKind::All) && error.kind() == ErrorKind::Config =>
                {
                    console.note(format!("{kind} is left out: {}", error.message()));
                    continue;
                }
                figure => Drawing::from(figure?),
            },
        };
        notes.iter().for_each(|note| console.note(note));
        figure.save(path).map_err(|e| plot_error(e).at(path))?;
        let text = path.to_string_lossy();
        report.line(format!("{kind} drawn to {}", quoted(&text)));
        figures.push(serde_json::json!({ "kind": kind.to_string(), "path": text }));
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
    Images(Gallery<'a>),
}

/// Samples of a model of columns, and rows of the table if there is one.
fn scene<'a>(
    args: &PlotArgs,
    plan: &Plan,
    loaded: &'a Loaded,
    console: &Console,
) -> Result<Scene<'a>> {
    let rows = usize::try_from(plan.rows).unwrap_or(usize::MAX);
    let mut data = None;
    if let Some(path) = &args.data {
        let input = Input::from_arg(path);
        if let Some(given) = given_alone(loaded, &input, plan)? {
            return Scene::given(&loaded.model, &given, rows, plan.seed, plan.threads);
        }
        let reader = loaded.open_table(&input, &plan.read, true)?;
        let Batch { x, context, .. } = loaded.gather(reader, plan.rows, console)?;
        data = Some(CheckData { x, context });
    }
    Scene::new(&loaded.model, data, rows, plan.seed, plan.threads)
}

/// The rows of a table that has the context of a model and none of its columns: what is drawn is then given them.
fn given_alone(loaded: &Loaded, input: &Input, plan: &Plan) -> Result<Option<Rows>> {
    let schema = loaded.model.schema();
    if schema.context.is_empty() || input.is_read_once() {
        return Ok(None);
    }
    let mut reader = Reader::open(input, &plan.read)?;
    let has = |column: &Column| reader.columns().contains(&column.name);
    if schema.columns.iter().any(has) || !schema.context.iter().all(has) {
        return Ok(None);
    }
    reader.select_columns(&schema.context)?;
    let (mut values, most) = (Vec::new(), figures::ROWS * schema.context.len());
    while values.len() < most
        && let Some(chunk) = reader.next_chunk()?
    {
        values.extend_from_slice(chunk.rows_for(&schema.context)?.values());
    }
    values.truncate(most);
    Rows::new(values, schema.context.len()).map(Some)
}

fn gallery<'a>(
    args: &PlotArgs,
    plan: &Plan,
    loaded: &'a Loaded,
    image: ImageShape,
    console: &Console,
) -> Result<Gallery<'a>> {
    let rows = match args.rows {
        None => IMAGES,
        Some(_) => usize::try_from(plan.rows).unwrap_or(IMAGES_MAX).min(IMAGES_MAX),
    };
    let data = args.data.as_ref().map(|path| {
        let reader = loaded.open_table(&Input::from_arg(path), &plan.read, true)?;
        // However few samples are drawn, there are ways from one image to another.
        let most = rows.max(figures::images::ENDS) as u64;
        let Batch { x, context, .. } = loaded.gather(reader, most, console)?;
        Ok(CheckData { x, context })
    });
    let data = data.transpose()?;
    let clips = match &args.data {
        Some(path) if loaded.model.schema().earlier_frames() > 0 => {
            first_clips(loaded, &Input::from_arg(path), &plan.read)?
        }
        _ => Vec::new(),
    };
    let options =
        SampleOptions { seed: plan.seed, threads: plan.threads, ..SampleOptions::default() };
    Ok(Gallery { model: &loaded.model, image, data, clips, options, rows })
}

/// The first frames of the first clips of the data.
fn first_clips(loaded: &Loaded, input: &Input, read: &ReadOptions) -> Result<Vec<Vec<f64>>> {
    let mut reader = loaded.open_table(input, read, true)?;
    let mut clips: Vec<Vec<f64>> = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        let batch = loaded.batch(&chunk)?;
        let Some(context) = batch.context else { continue };
        for i in 0..batch.x.len() {
            if context.row(i).last() == Some(&0.0) {
                if clips.len() == CLIPS {
                    return Ok(clips);
                }
                clips.push(Vec::new());
            }
            let full = FRAMES * batch.x.width();
            if let Some(clip) = clips.last_mut().filter(|clip| clip.len() < full) {
                clip.extend_from_slice(batch.x.row(i));
            }
        }
    }
    Ok(clips)
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
fn kinds(args: &PlotArgs, loaded: &Loaded) -> Result<Vec<Kind>> {
    let (model, has_data) = (&loaded.model, args.data.is_some());
    let kind = match args.kind {
        Some(PlotKind::All) => return Ok(Kind::all_of(model, has_data)),
        Some(kind) => kind.single().unwrap_or_else(|| Kind::usual_of(model)),
        None => Kind::usual_of(model),
    };
    kind.expect_of(model, has_data).map(|()| vec![kind])
}

impl PlotKind {
    /// The one picture that this asks for, if it is one.
    fn single(self) -> Option<Kind> {
        Some(match self {
            Self::Pairs => Kind::Pairs,
            Self::Marginals => Kind::Marginals,
            Self::Loss => Kind::Loss,
            Self::Density => Kind::Density,
            Self::Calibration => Kind::Calibration,
            Self::Images => Kind::Images,
            Self::Interpolation => Kind::Interpolation,
            Self::Temperature => Kind::Temperature,
            Self::Continuation => Kind::Continuation,
            Self::All => return None,
        })
    }
}

/// `figure.png` becomes `figure-pairs.png`.
fn with_suffix(path: &Path, kind: Kind) -> PathBuf {
    let mut file = path.file_stem().unwrap_or_default().to_os_string();
    file.push(format!("-{kind}"));
    if let Some(extension) = path.extension() {
        file.push(".");
        file.push(extension);
    }
    path.with_file_name(file)
}
