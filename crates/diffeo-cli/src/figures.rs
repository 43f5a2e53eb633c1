//! Pictures of a model, its samples beside data: what `diffeo plot` draws, and what the package for Python shows.

mod density;
pub mod images;
mod ranks;

use std::fmt;
use std::str::FromStr;

use diffeo::check::{CheckData, CheckOptions, posterior_ranks};
use diffeo::train::Loss;
use diffeo::{Column, ColumnKind, Error, ErrorKind, Model, Result, Rows, SampleOptions, quoted};
use diffeo_plot::{
    CalibrationConfig, Clock, Figure, LossCurveConfig, LossPoint, MarginalsConfig, Matrix,
    PairsConfig, PlotError, draw_calibration, draw_loss_curve, draw_marginals, draw_pairs,
};

/// Rows of samples, and most rows of data, that are drawn.
pub const ROWS: usize = 4000;

/// Names of the panels that are of no column: the density of the row, and its distance to a random point.
const OF_DENSITY: &str = "density, low to high";
const OF_DISTANCE: &str = "distance, near to far";

/// What can be drawn of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each column against each other.
    Pairs,
    /// Each column by itself.
    Marginals,
    /// The density of two columns, and the grid that the flow warps.
    Density,
    /// Where the rows of data lie among draws.
    Calibration,
    /// Samples beside images of data.
    Images,
    /// From one image to another, through the base.
    Interpolation,
    /// The same draws at several temperatures.
    Temperature,
    /// How draws go on with clips.
    Continuation,
    /// The course of the training.
    Loss,
}

impl Kind {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 9] = [
        ("pairs", Self::Pairs),
        ("marginals", Self::Marginals),
        ("density", Self::Density),
        ("calibration", Self::Calibration),
        ("images", Self::Images),
        ("interpolation", Self::Interpolation),
        ("temperature", Self::Temperature),
        ("continuation", Self::Continuation),
        ("loss", Self::Loss),
    ];

    /// What says most of a model.
    pub fn usual_of(model: &Model) -> Self {
        let schema = model.schema();
        match schema.image {
            Some(_) if schema.earlier_frames() > 0 => Self::Continuation,
            Some(_) => Self::Images,
            None if is_of_two(model) && schema.context.is_empty() => Self::Density,
            None => Self::Pairs,
        }
    }

    /// Those that can be drawn of a model, with data or without.
    pub fn all_of(model: &Model, has_data: bool) -> Vec<Self> {
        let all = Self::ALL.into_iter().map(|(_, kind)| kind);
        all.filter(|kind| kind.expect_of(model, has_data).is_ok()).collect()
    }

    /// Refuses what cannot be drawn of a model, with data or without.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] saying why.
    pub fn expect_of(self, model: &Model, has_data: bool) -> Result<()> {
        let refuse = |message: &str| Err(Error::config(format!("--kind {self}: {message}")));
        let is_of_clips = model.schema().earlier_frames() > 0;
        match (self, model.schema().image) {
            (Self::Loss, _) if !is_trained(model) => refuse("the model has no training history"),
            (Self::Loss, _) => Ok(()),
            (Self::Pairs | Self::Marginals | Self::Density | Self::Calibration, Some(_)) => {
                refuse("is for models of columns, and this is one of images; see --kind images")
            }
            (Self::Density, None) if !is_of_two(model) => refuse(
                "the density is drawn for models of two columns of numbers, without point masses or missing values; see --kind pairs for others",
            ),
            (Self::Calibration, None) if !has_data => {
                refuse("calibration is measured on DATA; give a table")
            }
            (Self::Pairs | Self::Marginals | Self::Density | Self::Calibration, None) => Ok(()),
            (_, None) => refuse("is for models of images, and this is one of columns"),
            (Self::Continuation, Some(_)) if !is_of_clips => {
                refuse("is for models of clips, and this is one of single images")
            }
            (Self::Interpolation, Some(_)) if !has_data => {
                refuse("goes from one image of DATA to another; give some")
            }
            (Self::Images | Self::Temperature, Some(_)) if is_of_clips && !has_data => {
                refuse("frames of clips are drawn given those before them; give clips as DATA")
            }
            (_, Some(_)) => Ok(()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.into_iter().find(|(_, kind)| kind == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|(name, _)| *name == text);
        named.map(|(_, kind)| kind).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            Error::config(format!("--kind: expected one of {names}, found {}", quoted(text)))
        })
    }
}

fn is_of_two(model: &Model) -> bool {
    let columns = &model.schema().columns;
    columns.len() == 2 && columns.iter().all(Column::is_number_alone)
}

fn is_trained(model: &Model) -> bool {
    model.summary.as_ref().is_some_and(|summary| !summary.history.is_empty())
}

/// What is drawn.
pub struct Scene<'a> {
    model: &'a Model,
    columns: Vec<diffeo_plot::Column>,
    /// Rows of a table, if there is one.
    data: Option<CheckData>,
    /// The context that samples are given, if the model is conditional.
    given: Option<Rows>,
    /// As many rows of the model, given the context of the data if it is conditional.
    samples: Rows,
    seed: u64,
    threads: usize,
}

/// A figure, and what there is to say of it.
pub struct Drawing {
    /// The figure.
    pub figure: Figure,
    /// Sentences.
    pub notes: Vec<String>,
}

impl From<Figure> for Drawing {
    fn from(figure: Figure) -> Self {
        let notes = figure.notes().to_vec();
        Self { figure, notes }
    }
}

impl<'a> Scene<'a> {
    /// Draws `rows` samples, or one for each row of the data if the model is conditional.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a conditional model without data.
    pub fn new(
        model: &'a Model,
        data: Option<CheckData>,
        rows: usize,
        seed: u64,
        threads: usize,
    ) -> Result<Self> {
        let given = data.as_ref().and_then(|data| data.context.clone());
        let rows = given.as_ref().map_or(rows, Rows::len);
        Self::with(model, (data, given), rows, (seed, threads))
    }

    /// Draws `rows` samples given the rows of a context, over and over, without rows of data: the posterior at an observation, if there is one row.
    ///
    /// # Errors
    /// As [`Scene::new`]; [`ErrorKind::Data`] for a context without rows.
    pub fn given(
        model: &'a Model,
        context: &Rows,
        rows: usize,
        seed: u64,
        threads: usize,
    ) -> Result<Self> {
        if context.is_empty() {
            return Err(Error::data("expected at least one row of context, found none"));
        }
        let all: Vec<usize> = (0..rows).map(|i| i % context.len()).collect();
        Self::with(model, (None, Some(context.select(&all))), rows, (seed, threads))
    }

    fn with(
        model: &'a Model,
        (data, given): (Option<CheckData>, Option<Rows>),
        rows: usize,
        (seed, threads): (u64, usize),
    ) -> Result<Self> {
        if !model.schema().context.is_empty() && given.is_none() {
            let message = "the model is conditional: give a table with its context columns as DATA";
            return Err(Error::config(message));
        }
        let options = SampleOptions { seed, threads, ..SampleOptions::default() };
        let samples = model.sample(rows, given.as_ref(), &options)?;
        let columns = model.schema().columns.iter().map(drawn).collect();
        Ok(Self { model, columns, data, given, samples, seed, threads })
    }

    /// How many samples there are.
    pub fn rows(&self) -> usize {
        self.samples.len()
    }

    /// Draws one picture.
    ///
    /// # Errors
    /// As [`Kind::expect_of`], and others from the model.
    pub fn draw(&self, kind: Kind) -> Result<Drawing> {
        kind.expect_of(self.model, self.data.is_some())?;
        let width = self.columns.len();
        let data = self.data.as_ref().map_or(Ok(Matrix::empty(width)), |data| matrix(&data.x))?;
        let samples = matrix(&self.samples)?;
        let figure = match (kind, &self.data) {
            (Kind::Marginals, _) => {
                draw_marginals(&MarginalsConfig::new(&self.columns, data, samples))
                    .map_err(plot_error)?
            }
            (Kind::Loss, _) => draw_loss(self.model)?,
            (Kind::Density, _) => {
                let options = self.sample_options();
                density::draw(self.model, data, &self.samples, self.mean_context(), &options)?
            }
            (Kind::Calibration, Some(data)) => self.draw_calibration(data)?,
            _ => draw_pairs(&PairsConfig::new(&self.columns, data, samples)).map_err(plot_error)?,
        };
        Ok(Drawing::from(figure))
    }

    /// The mean of the context of the data, or what is most frequent where there is no mean, and a sentence that says so; none for a model without.
    fn mean_context(&self) -> Option<(Vec<f64>, String)> {
        let context = self.given.as_ref()?;
        let columns = &self.model.schema().context;
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
        let is_one = context.values().chunks_exact(context.width()).all(|row| row == means);
        let note = match (is_one, &self.data) {
            (true, _) => format!("The density is drawn given {named}."),
            (false, None) => {
                format!("The density is drawn given the mean context of the table, {named}.")
            }
            (false, Some(_)) => format!(
                "The density is drawn given the mean context of the table, {named}; without the table's points, whose contexts are others."
            ),
        };
        Some((means, note))
    }

    /// The places of the data among samples that all rows share: by density, then column by column. The band of the picture is that of the data's
    /// noise alone, so that of the samples must be small beside it: sixteen for each row widen the bars by 3 %.
    fn ranks_among_all(&self, data: &CheckData) -> Result<Rows> {
        const SAMPLES_PER_ROW: usize = 16;
        let model = self.model;
        let n = SAMPLES_PER_ROW * data.x.len();
        let samples = model.sample(n, None, &self.sample_options())?;
        // Scored as the data is: the same outcomes must tie.
        let of_samples = model.log_prob(&samples, None, self.threads)?;
        let of_data = model.log_prob(&data.x, None, self.threads)?;
        let by_density = ranks::ranks(&one_column(of_data)?, &one_column(of_samples)?)?;
        beside(&[&by_density, &ranks::ranks(&data.x, &samples)?])
    }

    /// The places of the data among draws at each row's own context: by density, by distance to a random row, then column by column.
    fn ranks_among_own(&self, data: &CheckData, context: &Rows) -> Result<Rows> {
        let data = CheckData { x: data.x.clone(), context: Some(context.clone()) };
        let options = CheckOptions {
            seed: self.seed,
            threads: self.threads,
            samples: data.x.len().max(CheckOptions::SAMPLES_MIN),
        };
        let ranks = posterior_ranks(self.model, &data, &options)?;
        beside(&[&one_column(ranks.density)?, &one_column(ranks.distance)?, &ranks.columns])
    }

    /// The calibration of the model, column by column and as a whole.
    fn draw_calibration(&self, data: &CheckData) -> Result<Figure> {
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
}

/// A column as pictures show it.
fn drawn(column: &Column) -> diffeo_plot::Column {
    let name = column.name.clone();
    match (column.kind, column.kind.step()) {
        (ColumnKind::Category, _) => {
            let other = column.other.then(|| "other".to_owned());
            let levels = column.levels.iter().cloned().chain(other).collect();
            diffeo_plot::Column::of_levels(name, levels)
        }
        (ColumnKind::Boolean, _) if !column.levels.is_empty() => {
            diffeo_plot::Column::of_levels(name, column.levels.clone())
        }
        (ColumnKind::Boolean, _) => {
            diffeo_plot::Column::of_levels(name, vec!["0".to_owned(), "1".to_owned()])
        }
        (ColumnKind::Date, _) => diffeo_plot::Column::of_dates(name, Clock::Days),
        (ColumnKind::Time, _) => diffeo_plot::Column::of_dates(name, Clock::Seconds),
        (_, Some(step)) => diffeo_plot::Column::stepped(name, step.width()),
        (kind, None) if kind.is_discrete() => diffeo_plot::Column::integer(name),
        _ => diffeo_plot::Column::real(name),
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

/// The course of a training.
pub(crate) fn draw_loss(model: &Model) -> Result<Figure> {
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
    // Outcomes and numbers are kept of their own best steps.
    let is_in_parts = !model.schema().shape().marks.is_empty() && !model.is_of_subsets();
    config.kept = summary.filter(|_| is_in_parts).map(|summary| -summary.valid_log_prob_mean);
    config.kept = config.kept.filter(|kept| kept.is_finite());
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

/// An error of a picture as one of the library.
pub fn plot_error(error: PlotError) -> Error {
    let kind = match &error {
        PlotError::Shape(_) => ErrorKind::Shape,
        PlotError::Format(_) => ErrorKind::Config,
        PlotError::Limit(_) => ErrorKind::Limit,
        PlotError::Io { .. } => ErrorKind::Io,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string()).caused_by(error)
}
