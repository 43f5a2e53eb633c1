//! A fitted model: a flow, the columns and units that give its numbers their meaning, and how it was trained.

mod blocks;
pub mod file;
mod format_1;
mod persist;
mod round_trip;
mod summary;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;

pub use summary::{HistoryPoint, TrainingSummary};

use crate::columns::{Cells, Schema, Units};
use crate::engine::{Input, Score, padded, scorer};
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::host::linalg::{host_values, padded_tensor_of};
use crate::host::rows::Rows;
use crate::transforms::Registry;

use blocks::{Block, Blocks};

/// What a model file holds. All its verbs take and give rows in the units of the data, in `f64`.
///
/// Work is cut into blocks of rows whose size is fixed, so that results do not depend on the number of threads, on how a table was
/// cut into chunks, or on which other rows there are.
#[derive(Clone, Debug)]
pub struct Model {
    flow: Flow,
    schema: Schema,
    units: Units,
    /// How it was trained, if it was.
    pub summary: Option<TrainingSummary>,
    /// Texts of its file that this release does not know: written back by [`Model::save`].
    texts: BTreeMap<String, String>,
    /// What scores rows, made when first needed.
    scorer: OnceLock<Arc<dyn Score>>,
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
    /// A model of a flow and the columns it is about, whose numbers the flow takes as they are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the schema does not have a column for every dimension of data and context.
    pub fn new(flow: Flow, schema: Schema) -> Result<Self> {
        let units = Units::none(schema.width(), schema.context_width());
        Self::with_units(flow, schema, units)
    }

    /// A model of a flow, the columns it is about and the units that lie between.
    ///
    /// # Errors
    /// As [`Model::new`]; [`crate::ErrorKind::Config`] for units that are not finite.
    pub fn with_units(flow: Flow, schema: Schema, units: Units) -> Result<Self> {
        let expected = (flow.dims(), flow.context_dims());
        let found = (schema.width(), schema.context_width());
        if expected != found {
            return Err(Error::shape(format!(
                "expected {} columns and {} context columns, found {} and {}",
                expected.0, expected.1, found.0, found.1
            )));
        }
        schema.validate()?;
        units.validate(found.0, found.1)?;
        let (texts, scorer) = (BTreeMap::new(), OnceLock::new());
        Ok(Self { flow, schema, units, summary: None, texts, scorer })
    }

    /// The density, of numbers of order one.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The columns of data and context.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What lies between the data and the flow.
    pub fn units(&self) -> &Units {
        &self.units
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
        let (scorer, cells) = (self.scorer()?, Cells::new(&self.schema));
        let parts = self.blocks(x.len(), threads, cells.points()).run(|block| {
            let (x, context) = (block.of(x), self.context_of(&block, context));
            let mut points = Vec::with_capacity(cells.points());
            for point in 0..cells.points() {
                let mut x = cells.at_point(&x, point);
                let log_det = self.units.to_real(&mut x);
                let context = context.as_ref();
                points.push(scorer.log_prob(Input {
                    x: &x,
                    log_det: &log_det,
                    context,
                    draws: None,
                })?);
            }
            Ok((0..block.len()).map(|i| cells.average(points.iter().map(|p| p[i]))).collect())
        })?;
        let mut result: Vec<f64> = parts.into_iter().flat_map(|p: Vec<f64>| p).collect();
        cells.refuse_fractions(x, &mut result);
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
        Cells::new(&self.schema).settle(&mut rows);
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
        let moved: Vec<usize> = match Cells::new(&self.schema).settle(&mut rows) {
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
        let cells = Cells::new(&self.schema);
        self.map(x.len(), threads, |block| {
            let mut x = cells.middle(&block.of(x));
            let before = self.units.to_real(&mut x);
            let context = self.context_tensor(&block, context);
            let mapped = self.flow.to_base(padded_tensor_of(&x, padded(block.len())), context)?;
            let log_det = host_values(mapped.log_det)?;
            let log_det = before.iter().zip(&log_det).map(|(a, b)| a + b).collect();
            Ok((self.rows_of(mapped.value, block.len())?, log_det))
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
        self.map(z.len(), threads, |block| {
            let z = padded_tensor_of(&block.of(z), padded(block.len()));
            self.block_to_data(&block, z, context)
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
    /// [`crate::ErrorKind::ModelFile`] or [`crate::ErrorKind::Version`] saying what is wrong with the file; a layer of another program's
    /// own is refused by its name.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, &Registry::new())
    }

    /// Reads a model that may have layers of this program's own: those of the registry.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with(path: &Path, registry: &Registry) -> Result<Self> {
        persist::load(path, registry)
    }

    /// The bytes of the model's file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Limit`] if it would be too large for one.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        persist::encode(self)
    }

    /// A model from the bytes of its file.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(bytes: &[u8], registry: &Registry) -> Result<Self> {
        persist::decode(bytes, registry)
    }

    fn scorer(&self) -> Result<&dyn Score> {
        if let Some(scorer) = self.scorer.get() {
            return Ok(&**scorer);
        }
        let made = Arc::from(scorer(&self.flow)?);
        Ok(&**self.scorer.get_or_init(|| made))
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
        self.check_context(n, context)?;
        let temperature = options.temperature;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::config(format!(
                "temperature must be a finite number of at least 0, found {temperature}"
            )));
        }
        self.map(n, options.threads, |block| {
            let first = options.first_row + block.start() as u64;
            let z = self.flow.draw(padded(block.len()), options.seed, first, temperature)?;
            let log_base = host_values(self.flow.base().log_prob(z.clone()))?;
            let (x, log_det) = self.block_to_data(&block, z, context)?;
            Ok((x, log_base.iter().zip(&log_det).map(|(p, d)| p - d).collect()))
        })
    }

    fn block_to_data(
        &self,
        block: &Block,
        z: Tensor<2>,
        context: Option<&Rows>,
    ) -> Result<(Rows, Vec<f64>)> {
        let mapped = self.flow.to_data(z, self.context_tensor(block, context))?;
        let mut log_det = host_values(mapped.log_det)?;
        log_det.truncate(block.len());
        let mut x = self.rows_of(mapped.value, block.len())?;
        self.units.to_data(&mut x, &mut log_det);
        Ok((x, log_det))
    }

    /// The context of a block as the flow sees it.
    fn context_of(&self, block: &Block, context: Option<&Rows>) -> Option<Rows> {
        let mut context = block.of(context?);
        self.units.context_to_real(&mut context);
        Some(context)
    }

    fn context_tensor(&self, block: &Block, context: Option<&Rows>) -> Option<Tensor<2>> {
        let context = self.context_of(block, context)?;
        Some(padded_tensor_of(&context, padded(block.len())))
    }

    /// The first `n` rows of a tensor.
    fn rows_of(&self, tensor: Tensor<2>, n: usize) -> Result<Rows> {
        let mut values = host_values(tensor)?;
        values.truncate(n * self.flow.dims());
        Rows::new(values, self.flow.dims())
    }

    /// Blocks of rows each of which goes through the flow so many times.
    fn blocks(&self, rows: usize, threads: usize, times: usize) -> Blocks {
        let weights = self.flow.spec().parameter_count().unwrap_or(0);
        Blocks::new(rows, threads, weights.saturating_mul(times as u64))
    }

    /// Rows and a number of each, block by block.
    fn map(
        &self,
        rows: usize,
        threads: usize,
        apply: impl Fn(Block) -> Result<(Rows, Vec<f64>)> + Sync,
    ) -> Result<(Rows, Vec<f64>)> {
        let parts = self.blocks(rows, threads, 1).run(apply)?;
        let (values, numbers): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|(rows, numbers)| (rows.into_values(), numbers)).unzip();
        Ok((Rows::new(values.concat(), self.flow.dims())?, numbers.concat()))
    }
}
