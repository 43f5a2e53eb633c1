//! A fitted model: a flow, the columns that give its numbers their units, and how it was trained.

mod blocks;
mod dequantize;
mod persist;
mod round_trip;

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::linalg::{host_values, tensor_of};
use crate::rows::Rows;
use crate::schema::{ColumnKind, Schema};
use crate::summary::TrainingSummary;

use blocks::Blocks;
use dequantize::Lattice;

/// What a model file holds. All its verbs take and give rows in the units of the data, in `f64`.
///
/// Work is cut into blocks of rows whose size is fixed, so that results do not depend on the number of threads, on how a table was
/// cut into chunks, or on which other rows there are.
#[derive(Clone, Debug)]
pub struct Model {
    /// The density.
    pub flow: Flow,
    /// The columns of data and context.
    pub schema: Schema,
    /// How it was trained, if it was.
    pub summary: Option<TrainingSummary>,
    /// Texts of its file that this release does not know: written back by [`Model::save`].
    texts: BTreeMap<String, String>,
}

/// How to draw samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    /// Seed of the draws.
    pub seed: u64,
    /// Number of the first row: row `i` of a call is row `first_row + i` of the seed, so that chunks join up.
    pub first_row: u64,
    /// Scales the spread of the base distribution; 1 samples the model itself.
    pub temperature: f64,
    /// Threads to use.
    pub threads: usize,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self { seed: 0, first_row: 0, temperature: 1.0, threads: 1 }
    }
}

impl Model {
    /// A model of a flow and the columns it is about.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the schema does not have a column for every dimension of data and context.
    pub fn new(flow: Flow, schema: Schema) -> Result<Self> {
        let expected = (flow.dims(), flow.context_dims());
        let found = (schema.columns.len(), schema.context.len());
        if expected != found {
            return Err(Error::shape(format!(
                "expected {} columns and {} context columns, found {} and {}",
                expected.0, expected.1, found.0, found.1
            )));
        }
        schema.validate()?;
        Ok(Self { flow, schema, summary: None, texts: BTreeMap::new() })
    }

    /// Log-density in nats of each row, in the units of the data.
    ///
    /// `-inf` outside the support and at infinity, NaN for a row that holds NaN or has a context that is not finite. An integer column counts probability mass: the density is averaged
    /// over a fixed lattice of points in the unit cell, and a value that is not whole has probability 0.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn log_prob(&self, x: &Rows, context: Option<&Rows>, threads: usize) -> Result<Vec<f64>> {
        self.check(x, context)?;
        let lattice = Lattice::new(&self.schema);
        let blocks = self.blocks(x.len(), threads, lattice.points());
        let parts = blocks.run(|block| {
            let c = context.map(|c| block.pad(c));
            let mut points = Vec::with_capacity(lattice.points());
            for point in 0..lattice.points() {
                let x = lattice.shift(&block.pad(x), point);
                points.push(self.flow.score(&x, c.as_ref())?);
            }
            Ok((0..block.len()).map(|i| lattice.average(points.iter().map(|p| p[i]))).collect())
        })?;
        let mut result: Vec<f64> = parts.into_iter().flat_map(|p: Vec<f64>| p).collect();
        lattice.refuse_fractions(x, &mut result);
        Ok(result)
    }

    /// Draws `n` rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the context does not have `n` rows, [`crate::ErrorKind::Config`] for a bad temperature.
    pub fn sample(
        &self,
        n: usize,
        context: Option<&Rows>,
        options: &SampleOptions,
    ) -> Result<Rows> {
        let mut rows = self.draw(n, context, options)?.0;
        self.floor_integers(&mut rows);
        Ok(rows)
    }

    /// Draws `n` rows and their log-density under the model (also when the temperature is not 1).
    ///
    /// Samples that are moved after the draw, to a whole number or away from the edge of an interval by rounding, are scored where
    /// they are.
    ///
    /// # Errors
    /// As [`Model::sample`].
    pub fn sample_with_log_prob(
        &self,
        n: usize,
        context: Option<&Rows>,
        options: &SampleOptions,
    ) -> Result<(Rows, Vec<f64>)> {
        let (mut rows, mut log_prob) = self.draw(n, context, options)?;
        let moved: Vec<usize> = match self.floor_integers(&mut rows) {
            true => (0..n).collect(),
            false => (0..n).filter(|i| self.schema.is_at_edge(rows.row(*i))).collect(),
        };
        if moved.is_empty() {
            return Ok((rows, log_prob));
        }
        let context = context.map(|c| c.select(&moved));
        let again = self.log_prob(&rows.select(&moved), context.as_ref(), options.threads)?;
        moved.into_iter().zip(again).for_each(|(i, p)| log_prob[i] = p);
        Ok((rows, log_prob))
    }

    /// Data to base: `z` and `log|det dz/dx|` of each row. Whole numbers are taken at the middle of their cell.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn to_base(
        &self,
        x: &Rows,
        context: Option<&Rows>,
        threads: usize,
    ) -> Result<(Rows, Vec<f64>)> {
        self.check(x, context)?;
        let middle = Lattice::middle(&self.schema);
        self.map(x, context, threads, |x, c| {
            let mapped = self.flow.to_base(tensor_of(&middle.shift(&x, 0)), c)?;
            Ok((host_values(mapped.value)?, host_values(mapped.log_det)?))
        })
    }

    /// Base to data: `x` and `log|det dx/dz|` of each row, without rounding whole numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn to_data(
        &self,
        z: &Rows,
        context: Option<&Rows>,
        threads: usize,
    ) -> Result<(Rows, Vec<f64>)> {
        self.check(z, context)?;
        self.map(z, context, threads, |z, c| {
            let mapped = self.flow.to_data(tensor_of(&z), c)?;
            Ok((host_values(mapped.value)?, host_values(mapped.log_det)?))
        })
    }

    /// Writes the model to one file, atomically: a reader sees the old file or the new one, whole.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`] if the file cannot be written; the old file is then unchanged.
    pub fn save(&self, path: &Path) -> Result<()> {
        persist::save(self, path)
    }

    /// Reads a model. Nothing in the file is run, followed or trusted.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] or [`crate::ErrorKind::Version`] saying what is wrong with the file.
    pub fn load(path: &Path) -> Result<Self> {
        persist::load(path)
    }

    fn check(&self, x: &Rows, context: Option<&Rows>) -> Result<()> {
        if x.width() != self.flow.dims() {
            return Err(Error::shape(format!(
                "expected rows of {} numbers, found {}",
                self.flow.dims(),
                x.width()
            )));
        }
        self.check_context(x.len(), context)
    }

    fn check_context(&self, rows: usize, context: Option<&Rows>) -> Result<()> {
        let expected = (self.flow.context_dims() > 0).then_some((rows, self.flow.context_dims()));
        let found = context.map(|c| (c.len(), c.width()));
        if expected == found || (rows == 0 && context.is_none()) {
            return Ok(());
        }
        let say = |shape: Option<(usize, usize)>| {
            shape
                .map_or("no context".to_owned(), |(n, w)| format!("{n} rows of {w} context values"))
        };
        Err(Error::shape(format!("expected {}, found {}", say(expected), say(found))))
    }

    fn draw(
        &self,
        n: usize,
        context: Option<&Rows>,
        options: &SampleOptions,
    ) -> Result<(Rows, Vec<f64>)> {
        use crate::distribution::Distribution;
        self.check_context(n, context)?;
        let temperature = options.temperature;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::config(format!(
                "temperature must be a finite number of at least 0, found {temperature}"
            )));
        }
        let blocks = self.blocks(n, options.threads, 1);
        let parts = blocks.run(|block| {
            let first = options.first_row + block.start() as u64;
            let z = self.flow.draw(block.padded(), options.seed, first, temperature)?;
            let log_base = host_values(self.flow.base().log_prob(z.clone()))?;
            let mapped = self.flow.to_data(z, context.map(|c| tensor_of(&block.pad(c))))?;
            let log_det = host_values(mapped.log_det)?;
            let log_prob = log_base.iter().zip(&log_det).map(|(p, d)| p - d);
            let log_prob: Vec<f64> = log_prob.take(block.len()).collect();
            let mut value = host_values(mapped.value)?;
            value.truncate(block.len() * self.flow.dims());
            Ok((value, log_prob))
        })?;
        self.join(parts)
    }

    /// Blocks of rows each of which goes through the flow so many times.
    fn blocks(&self, rows: usize, threads: usize, times: usize) -> Blocks {
        let weights = self.flow.spec().parameter_count().unwrap_or(0);
        Blocks::new(rows, threads, weights.saturating_mul(times as u64))
    }

    fn map(
        &self,
        rows: &Rows,
        context: Option<&Rows>,
        threads: usize,
        apply: impl Fn(Rows, Option<burn::tensor::Tensor<2>>) -> Result<(Vec<f64>, Vec<f64>)> + Sync,
    ) -> Result<(Rows, Vec<f64>)> {
        let parts = self.blocks(rows.len(), threads, 1).run(|block| {
            let c = context.map(|c| tensor_of(&block.pad(c)));
            let (mut value, mut log_det) = apply(block.pad(rows), c)?;
            value.truncate(block.len() * rows.width());
            log_det.truncate(block.len());
            Ok((value, log_det))
        })?;
        self.join(parts)
    }

    fn join(&self, parts: Vec<(Vec<f64>, Vec<f64>)>) -> Result<(Rows, Vec<f64>)> {
        let (values, numbers): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok((Rows::new(values.concat(), self.flow.dims())?, numbers.concat()))
    }

    /// Rounds dequantised columns down again; says whether there was one.
    fn floor_integers(&self, rows: &mut Rows) -> bool {
        let width = rows.width();
        let mut any = false;
        for (j, column) in self.schema.columns.iter().enumerate() {
            if column.kind == ColumnKind::Integer {
                any = true;
                rows.values_mut().iter_mut().skip(j).step_by(width).for_each(|v| *v = v.floor());
            }
        }
        any
    }
}
