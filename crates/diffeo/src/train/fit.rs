//! A fit in one expression.

use super::data::TrainingData;
use super::loss::Loss;
use super::options::FitOptions;
use super::trainer::Trainer;
use crate::columns::{Column, Schema};
use crate::error::{Error, Result};
use crate::host::rows::Rows;
use crate::model::Model;
use crate::presets::{Preset, PresetOptions};
use crate::spec::FlowSpec;

/// A fit to be: what is not said follows from the rows.
///
/// ```
/// use diffeo::train::Fit;
/// use diffeo::{Preset, Rows};
///
/// # fn main() -> diffeo::Result<()> {
/// let x = Rows::new((0..400).map(|i| (f64::from(i) * 0.37).sin()).collect(), 2)?;
/// let model = Fit::new(Preset::Maf).columns(["a", "b"]).rows(x.clone()).steps(20).run()?;
/// assert!(model.log_prob(&x, None, 1)?.iter().all(|p| p.is_finite()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fit {
    shape: Shape,
    preset_options: Option<PresetOptions>,
    schema: Option<Schema>,
    x: Option<Rows>,
    given: Option<Rows>,
    weights: Option<Vec<f64>>,
    options: FitOptions,
}

/// The flow that is asked for.
#[derive(Clone, Debug)]
enum Shape {
    Preset(Preset),
    Spec(FlowSpec),
}

impl Fit {
    /// A fit of a named model.
    pub fn new(preset: Preset) -> Self {
        Self::of_shape(Shape::Preset(preset))
    }

    /// A fit of a flow of your own, for columns of mean 0 and deviation 1.
    pub fn of(spec: FlowSpec) -> Self {
        Self::of_shape(Shape::Spec(spec))
    }

    fn of_shape(shape: Shape) -> Self {
        let options = FitOptions::default();
        let (x, given, weights) = (None, None, None);
        Self { shape, preset_options: None, schema: None, x, given, weights, options }
    }

    /// The settings of the named model; without them, what suits the number of rows.
    #[must_use]
    pub fn preset_options(self, options: PresetOptions) -> Self {
        Self { preset_options: Some(options), ..self }
    }

    /// Names of the columns, any real numbers; without them `x0`, `x1`, ...
    #[must_use]
    pub fn columns<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.schema(Schema::real(names))
    }

    /// Names and kinds of the columns, and of the context's.
    #[must_use]
    pub fn schema(self, schema: Schema) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// The rows to learn from, in the units of the data.
    #[must_use]
    pub fn rows(self, x: Rows) -> Self {
        Self { x: Some(x), ..self }
    }

    /// What the density is conditional on, a row for each row.
    #[must_use]
    pub fn given(self, context: Rows) -> Self {
        Self { given: Some(context), ..self }
    }

    /// How much each row counts.
    #[must_use]
    pub fn weights(self, weights: Vec<f64>) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// How to train.
    #[must_use]
    pub fn options(self, options: FitOptions) -> Self {
        Self { options, ..self }
    }

    /// Optimiser steps, instead of what the recipe chooses.
    #[must_use]
    pub fn steps(mut self, steps: u64) -> Self {
        self.options.steps = Some(steps);
        self
    }

    /// Seed of everything random.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Threads; the result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads;
        self
    }

    /// The fit, to be stepped through, watched and saved.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] if there are no rows, [`crate::ErrorKind::Config`] for preset options without a preset; others as [`Trainer::new`].
    pub fn into_trainer(self) -> Result<Trainer> {
        let Some(x) = self.x else {
            return Err(Error::data("there are no rows to learn from; give them with `rows`"));
        };
        let numbered = |prefix: &str, rows: &Rows| -> Vec<Column> {
            (0..rows.width()).map(|i| Column::real(format!("{prefix}{i}"))).collect()
        };
        let mut schema = self.schema.unwrap_or_else(|| Schema::new(numbered("x", &x), vec![]));
        if let Some(given) = self.given.as_ref().filter(|_| schema.context.is_empty()) {
            schema.context = numbered("context", given);
        }
        let usual = match &self.shape {
            Shape::Preset(preset) => Loss::of(*preset),
            Shape::Spec(_) => Loss::default(),
        };
        let loss = self.options.loss.or(Some(usual));
        let spec = match (self.shape, self.preset_options) {
            (Shape::Spec(spec), None) => spec,
            (Shape::Spec(_), Some(_)) => {
                return Err(Error::config(
                    "a flow of your own has no preset options; leave `preset_options` out, or start from a preset",
                ));
            }
            (Shape::Preset(preset), options) => {
                let mut options = options.unwrap_or_else(|| PresetOptions::for_rows(x.len()));
                options.seed = self.options.seed;
                preset.spec_for(&schema.shape(), &options)?
            }
        };
        let data = TrainingData { x, context: self.given, weights: self.weights };
        Trainer::new(spec, schema, data, FitOptions { loss, ..self.options })
    }

    /// Fits, and gives the model with the best weights.
    ///
    /// # Errors
    /// As [`Fit::into_trainer`] and [`Trainer::run`].
    pub fn run(self) -> Result<Model> {
        self.into_trainer()?.run()
    }
}
