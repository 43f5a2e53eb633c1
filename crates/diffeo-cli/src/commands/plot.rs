//! `diffeo plot`: pictures of a model, with data beside its samples.

mod calibration;
mod density;
mod images;

use std::path::{Path, PathBuf};

use diffeo::check::{CheckData, CheckOptions, posterior_ranks};
use diffeo::train::Loss;
use diffeo::{
    Column, ColumnKind, Error, ErrorKind, ImageShape, Model, Result, Rows, SampleOptions, quoted,
};
use diffeo_plot::{
    CalibrationConfig, Figure, FigureFormat, LossCurveConfig, LossPoint, MarginalsConfig, Matrix,
    PairsConfig, PlotError, draw_calibration, draw_loss_curve, draw_marginals, draw_pairs,
};
use diffeo_table::{Input, ReadOptions};

use super::model::{Batch, Loaded};
use crate::args::{Common, PlotArgs, PlotKind};
use crate::faults::Faults;
use crate::options;
use crate::output::{Console, Report};
use crate::preflight::{self, Target};

/// Rows of samples, and most rows of data, that are drawn.
const ROWS: u64 = 4000;
/// More points than this make a picture slow and no better.
const ROWS_MAX: u64 = 1_000_000;

/// Names of the panels that are of no column.
const OF_DENSITY: &str = "density of the row";
const OF_DISTANCE: &str = "distance to a random point";

struct Plan {
    model: PathBuf,
    out: PathBuf,
    read: ReadOptions,
    threads: usize,
    rows: u64,
    seed: u64,
}

/// What is drawn.
struct Scene {
    loaded: Loaded,
    columns: Vec<diffeo_plot::Column>,
    /// Rows of the table, if there is one.
    data: Option<Batch>,
    /// As many rows of the model, given the context of the data if it is conditional.
    samples: Rows,
    seed: u64,
    threads: usize,
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
    let scene = match loaded.model.schema().image {
        None => Drawn::Columns(Scene::gather(args, &plan, loaded, console)?),
        Some(image) => Drawn::Images(gallery(args, &plan, loaded, image, console)?),
    };
    let mut report = Report::default();
    let mut figures = Vec::new();
    for (kind, path) in kinds.iter().zip(&paths) {
        let figure = match &scene {
            Drawn::Columns(scene) => scene.draw(*kind, console)?,
            Drawn::Images(gallery) => gallery.draw(*kind)?,
        };
        figure.notes().iter().for_each(|note| console.note(note));
        figure.save(path).map_err(|e| plot_error(e).at(path))?;
        let text = path.to_string_lossy();
        report.line(format!("{} drawn to {}", name(*kind), quoted(&text)));
        figures.push(serde_json::json!({ "kind": name(*kind), "path": text }));
    }
    report.key("figures", figures);
    let rows = match &scene {
        Drawn::Columns(scene) => scene.samples.len(),
        Drawn::Images(gallery) => gallery.rows,
    };
    report.key("rows", rows);
    Ok(report)
}

/// What figures are drawn of.
enum Drawn {
    Columns(Scene),
    Images(images::Gallery),
}

fn gallery(
    args: &PlotArgs,
    plan: &Plan,
    loaded: Loaded,
    image: ImageShape,
    console: &Console,
) -> Result<images::Gallery> {
    let rows = images::rows(args, plan.rows);
    let data = args.data.as_ref().map(|path| {
        let reader = loaded.open_table(&Input::from_arg(path), &plan.read, true)?;
        loaded.gather(reader, rows as u64, console)
    });
    let data = data.transpose()?;
    let clips = match &args.data {
        Some(path) if loaded.model.schema().earlier_frames() > 0 => {
            images::clips(&loaded, &Input::from_arg(path), &plan.read)?
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
        rows: faults.count("--rows", args.rows, 1, ROWS_MAX).unwrap_or(ROWS),
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
    let mut columns = loaded.model.schema().columns.iter();
    let two = loaded.columns.len() == 2 && columns.all(Column::is_number_alone);
    let flat = two && loaded.context.is_empty();
    let trained = loaded.model.summary.as_ref().is_some_and(|summary| !summary.history.is_empty());
    let kind = args.kind.unwrap_or(if flat { PlotKind::Density } else { PlotKind::Pairs });
    let refuse = |message: &str| Err(Error::config(format!("--kind {}: {message}", name(kind))));
    match kind {
        PlotKind::Images
        | PlotKind::Interpolation
        | PlotKind::Temperature
        | PlotKind::Continuation => refuse("is for models of images, and this is one of columns"),
        PlotKind::Density if !two => refuse(
            "the density is drawn for models of two columns of numbers, without point masses or missing values; see --kind pairs for others",
        ),
        PlotKind::Loss if !trained => refuse("the model has no training history"),
        PlotKind::Calibration if args.data.is_none() => {
            refuse("calibration is measured on DATA; give a table")
        }
        PlotKind::All => {
            let possible = [
                (PlotKind::Pairs, true),
                (PlotKind::Marginals, true),
                (PlotKind::Loss, trained),
                (PlotKind::Density, two),
                (PlotKind::Calibration, args.data.is_some()),
            ];
            Ok(possible
                .into_iter()
                .filter(|(_, possible)| *possible)
                .map(|(kind, _)| kind)
                .collect())
        }
        kind => Ok(vec![kind]),
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

impl Scene {
    fn gather(args: &PlotArgs, plan: &Plan, loaded: Loaded, console: &Console) -> Result<Self> {
        let data = match &args.data {
            Some(path) => {
                let reader = loaded.open_table(&Input::from_arg(path), &plan.read, true)?;
                Some(loaded.gather(reader, plan.rows, console)?)
            }
            None => None,
        };
        let context = data.as_ref().and_then(|data| data.context.as_ref());
        if !loaded.context.is_empty() && context.is_none() {
            let message = "the model is conditional: give a table with its context columns as DATA";
            return Err(Error::config(message));
        }
        let rows = context.map_or(usize::try_from(plan.rows).unwrap_or(usize::MAX), Rows::len);
        let options =
            SampleOptions { seed: plan.seed, threads: plan.threads, ..SampleOptions::default() };
        let samples = loaded.model.sample(rows, context, &options)?;
        let column = |column: &Column| match column.kind.step() {
            Some(step) => diffeo_plot::Column::stepped(column.name.clone(), step.width()),
            None if column.kind.is_discrete() => diffeo_plot::Column::integer(column.name.clone()),
            None => diffeo_plot::Column::real(column.name.clone()),
        };
        let columns = loaded.model.schema().columns.iter().map(column).collect();
        Ok(Self { loaded, columns, data, samples, seed: plan.seed, threads: plan.threads })
    }

    /// The mean of the context of the data, said, or what is most frequent where there is no mean; none for a model without.
    fn mean_context(&self, console: &Console) -> Option<Vec<f64>> {
        let context = self.data.as_ref()?.context.as_ref()?;
        let columns = &self.loaded.model.schema().context;
        let means: Vec<f64> =
            columns.iter().enumerate().map(|(j, c)| typical(c, context.column(j))).collect();
        let name = |(column, mean): (&Column, &f64)| {
            let value = match column.levels.get(*mean as usize).filter(|_| !mean.is_nan()) {
                Some(level) => quoted(level),
                None => format!("{mean:.4}"),
            };
            format!("{} = {value}", quoted(&column.name))
        };
        let named: Vec<String> = columns.iter().zip(&means).map(name).collect();
        let named = named.join(", ");
        console.note(format!(
            "the density is drawn given the mean context of the table, {named}; without the table's points, whose contexts are \
             others"
        ));
        Some(means)
    }

    /// The places of the data among samples that all rows share: by density, then column by column. The band of the picture is that of the data's
    /// noise alone, so that of the samples must be small beside it: sixteen for each row widen the bars by 3 %.
    fn ranks_among_all(&self, data: &Batch) -> Result<Rows> {
        const SAMPLES_PER_ROW: usize = 16;
        let model = &self.loaded.model;
        let n = SAMPLES_PER_ROW * data.x.len();
        let samples = model.sample(n, None, &self.sample_options())?;
        // Scored as the data is: the same outcomes must tie.
        let of_samples = model.log_prob(&samples, None, self.threads)?;
        let of_data = model.log_prob(&data.x, None, self.threads)?;
        let by_density = calibration::ranks(&one_column(of_data)?, &one_column(of_samples)?)?;
        beside(&[&by_density, &calibration::ranks(&data.x, &samples)?])
    }

    /// The places of the data among draws at each row's own context: by density, by distance to a random row, then column by column.
    fn ranks_among_own(&self, data: &Batch, context: &Rows) -> Result<Rows> {
        let data = CheckData { x: data.x.clone(), context: Some(context.clone()) };
        let options = CheckOptions {
            seed: self.seed,
            threads: self.threads,
            samples: data.x.len().max(CheckOptions::SAMPLES_MIN),
        };
        let ranks = posterior_ranks(&self.loaded.model, &data, &options)?;
        beside(&[&one_column(ranks.density)?, &one_column(ranks.distance)?, &ranks.columns])
    }

    /// The calibration of the model, column by column and as a whole.
    fn draw_calibration(&self, data: &Batch) -> Result<Figure> {
        let (names, places) = match &data.context {
            None => (vec![OF_DENSITY], self.ranks_among_all(data)?),
            Some(context) => (vec![OF_DENSITY, OF_DISTANCE], self.ranks_among_own(data, context)?),
        };
        let names = names.into_iter().map(|name| diffeo_plot::Column::real(name.to_owned()));
        let columns: Vec<_> = names.chain(self.columns.iter().cloned()).collect();
        draw_calibration(&CalibrationConfig::new(&columns, matrix(&places)?)).map_err(plot_error)
    }

    fn sample_options(&self) -> SampleOptions {
        SampleOptions { seed: self.seed, threads: self.threads, ..SampleOptions::default() }
    }

    fn draw(&self, kind: PlotKind, console: &Console) -> Result<Figure> {
        let width = self.columns.len();
        let data = self.data.as_ref().map_or(Ok(Matrix::empty(width)), |data| matrix(&data.x))?;
        let samples = matrix(&self.samples)?;
        let figure = match kind {
            PlotKind::Marginals => {
                draw_marginals(&MarginalsConfig::new(&self.columns, data, samples))
            }
            PlotKind::Loss => return draw_loss(&self.loaded.model),
            PlotKind::Density => {
                let given = self.mean_context(console);
                let options = self.sample_options();
                return density::draw(&self.loaded, data, &self.samples, given, &options);
            }
            PlotKind::Calibration => {
                let Some(data) = &self.data else {
                    return Err(Error::config("calibration is measured on DATA; give a table"));
                };
                return self.draw_calibration(data);
            }
            _ => draw_pairs(&PairsConfig::new(&self.columns, data, samples)),
        };
        figure.map_err(plot_error)
    }
}

/// The mean of what is there; of levels, truth values and angles the most frequent.
fn typical(column: &Column, mut values: Vec<f64>) -> f64 {
    let is_circle = matches!(column.kind, ColumnKind::Periodic { .. });
    values.retain(|x| !x.is_nan());
    if !is_circle && column.levels.is_empty() && column.kind != ColumnKind::Boolean {
        return values.iter().sum::<f64>() / values.len() as f64;
    }
    values.sort_unstable_by(f64::total_cmp);
    let runs = values.chunk_by(|a, b| a == b).max_by_key(|run| run.len());
    runs.and_then(|run| run.first()).copied().unwrap_or(f64::NAN)
}

fn draw_loss(model: &Model) -> Result<Figure> {
    let summary = model.summary.as_ref();
    let history = summary.map(|summary| summary.history.as_slice()).unwrap_or_default();
    // Another loss than the likelihood has other units.
    let loss = summary.and_then(|summary| summary.options.pointer("/plan/loss"));
    let is_likelihood = loss.is_none_or(|loss| loss == Loss::Likelihood.name());
    let points: Vec<LossPoint> = history
        .iter()
        .map(|point| LossPoint {
            step: point.step,
            // Before the first step there is none.
            train: (is_likelihood && !point.train_loss.is_nan()).then_some(point.train_loss),
            valid: point.valid_loss,
            learning_rate: point.learning_rate,
        })
        .collect();
    let mut config = LossCurveConfig::new(&points);
    config.best_step = summary.map(|summary| summary.best_step);
    draw_loss_curve(&config).map_err(plot_error)
}

fn one_column(values: Vec<f64>) -> Result<Rows> {
    Rows::new(values, 1)
}

/// Tables of equally many rows as one.
fn beside(tables: &[&Rows]) -> Result<Rows> {
    let rows = 0..tables.first().map_or(0, |table| table.len());
    let values = rows.flat_map(|i| tables.iter().flat_map(move |table| table.row(i)).copied());
    Rows::new(values.collect(), tables.iter().map(|table| table.width()).sum())
}

fn matrix(rows: &Rows) -> Result<Matrix<'_>> {
    Matrix::new(rows.values(), rows.width()).map_err(plot_error)
}

pub(super) fn plot_error(error: PlotError) -> Error {
    let kind = match &error {
        PlotError::Shape(_) => ErrorKind::Shape,
        PlotError::Format(_) => ErrorKind::Config,
        PlotError::Limit(_) => ErrorKind::Limit,
        PlotError::Io { .. } => ErrorKind::Io,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string()).caused_by(error)
}
