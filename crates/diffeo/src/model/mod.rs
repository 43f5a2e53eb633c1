//! A fitted model: a flow, the columns and units that give its numbers their meaning, and how it was trained.

mod blocks;
mod classes;
mod clips;
mod columns;
pub mod file;
mod format_1;
mod guidance;
mod persist;
mod round_trip;
mod subsets;
mod summary;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;

pub use classes::Classified;
pub use clips::Continuation;
pub use summary::{HistoryPoint, TrainingSummary};

use crate::columns::{Encoded, Encoding, Known, Schema, Units, Within};
use crate::engine::{Input, Score, padded, scorer};
use crate::error::{Error, Result, quoted};
use crate::flow::Flow;
use crate::host::linalg::{host_values, padded_tensor_of};
use crate::host::rows::Rows;
use crate::transforms::Registry;

use blocks::{Block, Blocks};
pub(crate) use columns::expect_columns;

/// What a model file holds. All its verbs take and give rows in the units of the data, in `f64`.
///
/// Work is cut into blocks of rows whose size is fixed, so that results do not depend on the number of threads, on how a table was
/// cut into chunks, or on which other rows there are.
#[derive(Clone, Debug)]
pub struct Model {
    flow: Flow,
    schema: Schema,
    encoding: Encoding,
    /// How it was trained, if it was.
    pub summary: Option<TrainingSummary>,
    /// Texts of its file that say nothing to a model itself: written back by [`Model::save`].
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

impl SampleOptions {
    /// Checks the options of a call for so many rows.
    fn validate(&self, rows: usize) -> Result<()> {
        let Self { temperature, first_row, .. } = *self;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::config(format!(
                "temperature must be a finite number of at least 0, found {temperature}"
            )));
        }
        match first_row.checked_add(rows as u64) {
            Some(_) => Ok(()),
            None => Err(Error::config(format!(
                "first_row: rows are numbered up to 2^64 - 1, and {rows} from {first_row} on are more"
            ))),
        }
    }
}

impl Model {
    /// A model of a flow and the columns it is about, whose numbers the flow takes as they are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the schema does not have a column for every dimension of data and context.
    pub fn new(flow: Flow, schema: Schema) -> Result<Self> {
        let units = Units::none(schema.numbers().count(), schema.context_width());
        Self::with_units(flow, schema, units)
    }

    /// A model of a flow, the columns it is about and the units that lie between.
    ///
    /// # Errors
    /// As [`Model::new`]; [`crate::ErrorKind::Config`] for units that are not finite.
    pub fn with_units(flow: Flow, schema: Schema, units: Units) -> Result<Self> {
        // A file may say anything of its columns.
        schema.validate()?;
        let expected = (flow.dims(), flow.context_dims());
        let found = (schema.width(), schema.context_width());
        if expected != found {
            return Err(Error::shape(format!(
                "expected {} columns and {} context columns, found {} and {}",
                expected.0, expected.1, found.0, found.1
            )));
        }
        expect_columns(flow.spec(), &schema)?;
        units.validate(flow.numbers(), found.1)?;
        let encoding = Encoding::new(&schema, units);
        let (texts, scorer) = (BTreeMap::new(), OnceLock::new());
        Ok(Self { flow, schema, encoding, summary: None, texts, scorer })
    }

    /// What a program has noted in the model's file under a name.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Notes a text under a name, which [`Model::save`] writes: what a model is for, or where it comes from.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a name that begins with `diffeo.`, as those of the file's own texts do.
    pub fn set_note(&mut self, name: &str, text: impl Into<String>) -> Result<()> {
        if name.starts_with("diffeo.") {
            return Err(Error::config(format!(
                "a note's name must not begin with diffeo., found {}",
                quoted(name)
            )));
        }
        self.texts.insert(name.to_owned(), text.into());
        Ok(())
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
        self.encoding.units()
    }

    /// The same density before whole numbers are rounded: points of their cells are drawn and scored as they are.
    pub(crate) fn unrounded(&self) -> Result<Self> {
        let model = Self::with_units(self.flow.clone(), self.schema.clone(), self.units().clone())?;
        Ok(Self { encoding: model.encoding.unrounded(), ..model })
    }

    /// The same model of images, which estimates the probability of each by its density at so many random points of its cells (1 without this): the log-probability is then a
    /// lower bound on average, which rises towards the truth with their number (Burda, Grosse, Salakhutdinov, ICLR 2016, arXiv:1509.00519). The points follow from the image
    /// alone.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a model of anything else, and for no points.
    pub fn with_noise_points(self, points: usize) -> Result<Self> {
        if self.schema.image.is_none() || self.schema.noise.is_some() || points == 0 {
            return Err(Error::config(format!(
                "expected a model of images and at least one point of the cells of their levels, found {points} for a model of {}",
                match (self.schema.image, self.schema.noise) {
                    (Some(_), None) => "images",
                    (Some(_), Some(_)) => "images with noise, which has no cells",
                    (None, _) => "columns",
                }
            )));
        }
        Ok(Self { encoding: self.encoding.with_random_points(points), ..self })
    }

    /// How rows of a table reach the flow.
    pub(crate) fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// Log-density in nats of each row, in the units of the data.
    ///
    /// Rows have a number for each column: a category's is that of its level, and NaN is a missing value where there may be one, or one that is
    /// not known in a column that may be left out: the density is then that of the others, integrated over it. Outcomes count
    /// with their probability, numbers with their density. `-inf` outside the support and at infinity, NaN for a row that holds another NaN or has
    /// a context that is not finite. A whole number that has no probability of its own gets the density averaged over a fixed lattice of points in the
    /// unit cell, and a value that is not whole has probability 0.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn log_prob(&self, x: &Rows, context: Option<&Rows>, threads: usize) -> Result<Vec<f64>> {
        self.check(x, context)?;
        self.score(x, context.into(), threads)
    }

    /// [`Model::log_prob`] of rows from which the columns that are given were taken out.
    fn score(&self, x: &Rows, known: Known<'_>, threads: usize) -> Result<Vec<f64>> {
        let (scorer, cells) = (self.scorer()?, self.encoding.cells());
        let parts = self.blocks(x.len(), threads, cells.points()).run(|block| {
            let (x, context) = (block.of(x), known.context.map(|context| block.of(context)));
            let given = known.given.map(|given| block.of(given));
            let known = Known { context: context.as_ref(), given: given.as_ref() };
            let mut points = Vec::with_capacity(cells.points());
            for point in 0..cells.points() {
                let within = Within::Point(point);
                let Encoded { x, log_det, context } = self.encoding.encode(&x, known, within);
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

    /// Draws `n` rows, whole numbers as such; those of images with noise ([`Schema::noised`]) are cleaned of it ([`Flow::denoised`]).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the context does not have `n` rows, [`crate::ErrorKind::Data`] if it holds what is no value of its columns,
    /// [`crate::ErrorKind::Config`] for a bad temperature.
    pub fn sample(
        &self,
        n: usize,
        context: Option<&Rows>,
        options: &SampleOptions,
    ) -> Result<Rows> {
        let (mut rows, _) = self.draw(n, context, options, |block, z| {
            let context = self.context_tensor(block, context.into());
            let mut values = self.flow.values_of_data(z, context.clone())?;
            if let Some(deviation) = self.encoding.noise() {
                values = self.flow.denoised(values, context, deviation)?;
            }
            let (rows, mut none) = (self.rows_of(values, block.len())?, vec![0.0; block.len()]);
            Ok((self.encoding.decode(rows, &mut none), none))
        })?;
        self.encoding.settle(&mut rows);
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
        if !self.encoding.cells().is_empty() {
            let rows = self.sample(n, context, options)?;
            let log_prob = self.log_prob(&rows, context, options.threads)?;
            return Ok((rows, log_prob));
        }
        let (rows, mut log_prob) = self.draw(n, context, options, |block, z| {
            let log_base = host_values(self.flow.log_base(z.clone()))?;
            let (x, log_det) = self.block_to_data(block, z, context.into())?;
            Ok((x, log_base.iter().zip(&log_det).map(|(p, d)| p - d).collect()))
        })?;
        let moved: Vec<usize> = (0..n).filter(|i| self.schema.is_at_edge(rows.row(*i))).collect();
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
        self.image(x, context, threads, None)
    }

    /// [`Model::to_base`] with whole numbers and marks at random places of their cells: the images of draws of the model are then draws of the
    /// base.
    pub(crate) fn to_base_scattered(
        &self,
        x: &Rows,
        context: Option<&Rows>,
        threads: usize,
        rng: &(dyn Fn(usize) -> ChaCha8Rng + Sync),
    ) -> Result<(Rows, Vec<f64>)> {
        self.check(x, context)?;
        self.image(x, context, threads, Some(rng))
    }

    fn image(
        &self,
        x: &Rows,
        context: Option<&Rows>,
        threads: usize,
        scatter: Option<&(dyn Fn(usize) -> ChaCha8Rng + Sync)>,
    ) -> Result<(Rows, Vec<f64>)> {
        self.map(x.len(), threads, self.flow.dims(), |block| {
            let (x, context) = (block.of(x), context.map(|context| block.of(context)));
            let first = block.start();
            let of_block = scatter.map(|rng| move |i: usize| rng(first + i));
            let within = of_block.as_ref().map_or(Within::Middle, |rng| Within::Scattered(rng));
            let encoded = self.encoding.encode(&x, context.as_ref().into(), within);
            let rows = padded(block.len());
            let context = encoded.context.map(|context| padded_tensor_of(&context, rows));
            let mapped = self.flow.to_base(padded_tensor_of(&encoded.x, rows), context)?;
            let log_det = host_values(mapped.log_det)?;
            let log_det = encoded.log_det.iter().zip(&log_det).map(|(a, b)| a + b).collect();
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
        self.check_width(z, self.flow.dims())?;
        self.check_context(z.len(), context)?;
        self.map(z.len(), threads, self.schema.columns.len(), |block| {
            let z = padded_tensor_of(&block.of(z), padded(block.len()));
            self.block_to_data(&block, z, context.into())
        })
    }

    /// Rows of [`Model::to_data`] with whole numbers for points of their cells, as samples have them.
    #[must_use]
    pub fn settled(&self, mut x: Rows) -> Rows {
        self.encoding.settle(&mut x);
        x
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

    /// Tells the model from others that say anything else of rows.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        persist::fingerprint(self)
    }

    fn scorer(&self) -> Result<&dyn Score> {
        if let Some(scorer) = self.scorer.get() {
            return Ok(&**scorer);
        }
        let made = Arc::from(scorer(&self.flow)?);
        Ok(&**self.scorer.get_or_init(|| made))
    }

    fn check(&self, x: &Rows, context: Option<&Rows>) -> Result<()> {
        self.check_width(x, self.schema.columns.len())?;
        self.check_context(x.len(), context)
    }

    fn check_width(&self, x: &Rows, expected: usize) -> Result<()> {
        if x.width() == expected {
            return Ok(());
        }
        Err(Error::shape(format!("expected rows of {expected} numbers, found {}", x.width())))
    }

    fn check_context(&self, rows: usize, context: Option<&Rows>) -> Result<()> {
        let width = self.schema.context.len();
        let expected = (width > 0).then_some((rows, width));
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

    /// Nothing can be drawn given what is no value; a density given it is NaN.
    fn check_values_of_context(&self, context: Option<&Rows>) -> Result<()> {
        let Some(context) = context else { return Ok(()) };
        let columns = &self.schema.context;
        let is_bad = |(at, v): &(usize, &f64)| !columns[at % columns.len()].takes_context(**v);
        match context.values().iter().enumerate().find(is_bad) {
            None => Ok(()),
            Some((at, v)) => Err(Error::data(format!(
                "context, row {}, column {}: expected a value of the column, found {v}",
                at / columns.len() + 1,
                quoted(&columns[at % columns.len()].name)
            ))),
        }
    }

    fn draw(
        &self,
        n: usize,
        context: Option<&Rows>,
        options: &SampleOptions,
        map: impl Fn(&Block, Tensor<2>) -> Result<(Rows, Vec<f64>)> + Sync,
    ) -> Result<(Rows, Vec<f64>)> {
        self.check_context(n, context)?;
        self.check_values_of_context(context)?;
        options.validate(n)?;
        let temperature = options.temperature;
        self.map(n, options.threads, self.schema.columns.len(), |block| {
            let first = options.first_row + block.start() as u64;
            map(&block, self.flow.draw(padded(block.len()), options.seed, first, temperature)?)
        })
    }

    fn block_to_data(
        &self,
        block: &Block,
        z: Tensor<2>,
        known: Known<'_>,
    ) -> Result<(Rows, Vec<f64>)> {
        let mapped = self.flow.to_data(z, self.context_tensor(block, known))?;
        let mut log_det = host_values(mapped.log_det)?;
        log_det.truncate(block.len());
        let x = self.rows_of(mapped.value, block.len())?;
        Ok((self.encoding.decode(x, &mut log_det), log_det))
    }

    fn context_tensor(&self, block: &Block, known: Known<'_>) -> Option<Tensor<2>> {
        let context = known.context.map(|context| block.of(context));
        let given = known.given.map(|given| block.of(given));
        let known = Known { context: context.as_ref(), given: given.as_ref() };
        let context = self.encoding.context(known, block.len())?;
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
        Blocks::new(rows, threads, self.flow.spec().work().saturating_mul(times as u64))
    }

    /// Rows of so many numbers and a number of each, block by block.
    fn map(
        &self,
        rows: usize,
        threads: usize,
        width: usize,
        apply: impl Fn(Block) -> Result<(Rows, Vec<f64>)> + Sync,
    ) -> Result<(Rows, Vec<f64>)> {
        let parts = self.blocks(rows, threads, 1).run(apply)?;
        let (values, numbers): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|(rows, numbers)| (rows.into_values(), numbers)).unzip();
        Ok((Rows::new(values.concat(), width)?, numbers.concat()))
    }
}
