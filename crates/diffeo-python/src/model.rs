//! A fitted model and its verbs.

use diffeo::{Column, Error, Model, Rows, SampleOptions};
use diffeo_cli::memory;
use diffeo_table::Words;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};

use crate::arrays;
use crate::blocks::{Beside, names};
use crate::draws::{Count, FirstRow, Seed, Threads, sample_options, threads_or_all};
use crate::errors::raise;
use crate::table::Table;

/// Values drawn or mapped between two looks at signals.
const BLOCK_VALUES: usize = 1 << 20;

/// A normalizing flow together with the columns that it is of: densities, samples, and the maps to the base and back.
///
/// Data may be an array of NumPy (or what NumPy makes one of), whose columns are `x1`, `x2`, ... as in a fit of an array, or, for a model of other names, its own in order; anything with Arrow's C stream interface (data frames of
/// pandas or polars, tables of pyarrow), a mapping of names to columns, or the path of a file, whose columns are found by name, in any order and among others.
/// Log-densities are in nats, in the units of the data.
#[pyclass(frozen, name = "Model", module = "diffeo")]
pub(crate) struct PyModel {
    pub(crate) model: Model,
}

impl From<Model> for PyModel {
    fn from(model: Model) -> Self {
        Self { model }
    }
}

#[pymethods]
impl PyModel {
    /// Reads a model from its file. Nothing in the file is run or trusted.
    #[classmethod]
    fn load(_class: &Bound<'_, PyType>, path: std::path::PathBuf) -> PyResult<Self> {
        Model::load(&path).map(Self::from).map_err(raise)
    }

    /// Writes the model to one file, which other programs see whole or not at all.
    fn save(&self, path: std::path::PathBuf) -> PyResult<()> {
        self.model.save(&path).map_err(raise)
    }

    /// The bytes of the model's file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.model.to_bytes().map_err(raise)?))
    }

    /// A model from the bytes of its file.
    #[classmethod]
    fn from_bytes(_class: &Bound<'_, PyType>, data: &[u8]) -> PyResult<Self> {
        Model::from_bytes(data, &Default::default()).map(Self::from).map_err(raise)
    }

    /// The same flow, which goes further where its context leads: by 0 this one, by more one whose draws are more like their class, and less varied. Of models fitted with `context_dropout`.
    fn guided(&self, weight: f64) -> PyResult<Self> {
        self.model.guided(weight).map(Self::from).map_err(raise)
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let bytes = slf.get().to_bytes(slf.py())?;
        Ok((slf.get_type().getattr("from_bytes")?, (bytes,)))
    }

    fn __repr__(&self) -> String {
        let list = |columns: &[Column]| {
            let shown = columns.iter().take(8);
            let mut items: Vec<String> =
                shown.map(|c| format!("{}={}", c.name, c.describe())).collect();
            if columns.len() > items.len() {
                items.push(format!("... {} in all", columns.len()));
            }
            items.join(", ")
        };
        let schema = self.model.schema();
        let context = match schema.context.as_slice() {
            [] => String::new(),
            context => format!(" given {}", list(context)),
        };
        let of = match schema.image {
            Some(image) => format!("images {image}"),
            None => list(&schema.columns),
        };
        format!("<diffeo.Model of {of}{context}; {} parameters>", self.parameters())
    }

    /// The names of the columns that the density is of.
    #[getter]
    fn columns(&self) -> Vec<String> {
        names(&self.model.schema().columns)
    }

    /// The names of the columns that it is conditional on.
    #[getter]
    fn context(&self) -> Vec<String> {
        names(&self.model.schema().context)
    }

    /// What each column holds, as it is written for `columns` of a fit.
    #[getter]
    fn kinds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let kinds = PyDict::new(py);
        let schema = self.model.schema();
        for column in schema.columns.iter().chain(&schema.context) {
            kinds.set_item(&column.name, column.describe_in_full())?;
        }
        Ok(kinds)
    }

    /// How many frames before it a frame is given; 0 for models of anything but clips.
    #[getter]
    fn frames(&self) -> usize {
        self.model.schema().earlier_frames()
    }

    /// The shape of the images that the model is of: `(height, width, channels, levels)`, or None.
    #[getter]
    fn image(&self) -> Option<(usize, usize, usize, u32)> {
        let image = self.model.schema().image?;
        Some((image.height, image.width, image.channels, image.levels))
    }

    /// How many weights there are.
    #[getter]
    fn parameters(&self) -> usize {
        self.model.flow().parameters().iter().map(|(_, p)| p.shape().num_elements()).sum()
    }

    /// How the model was trained: a dictionary, or None.
    #[getter]
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.model.summary.as_ref().map(|summary| from_json(py, summary)).transpose()
    }

    /// The architecture as it stands in the file: a dictionary.
    #[getter]
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        from_json(py, self.model.flow().spec())
    }

    /// The log-density of each row. A row that is not finite, or outside of what its columns may hold, is NaN or -inf; it says nothing of others.
    #[pyo3(signature = (data, context=None, *, threads=None))]
    fn log_prob<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        threads: Option<Threads>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut log_prob = Vec::new();
        let threads = threads_or_all(threads);
        self.each_block(py, data, context, |x, context| {
            log_prob.extend(self.model.log_prob(x, context, threads)?);
            Ok(())
        })?;
        arrays::vector(py, &log_prob)
    }

    /// Draws rows: `n`, or `n` for each row of the context one after another. The same seed gives the same rows, whatever the number of threads; row `i` is row
    /// `first_row + i` of the seed, so that parts join up. A temperature below 1 draws nearer to the modes. With `common` each row of the context gets the same
    /// draws of the base, so that its rows do not depend on which others there are.
    #[pyo3(
        signature = (n=Count(1), context=None, *, seed=None, temperature=1.0, first_row=FirstRow(0), common=false, threads=None),
        text_signature = "($self, n=1, context=None, *, seed=None, temperature=1.0, first_row=0, common=False, threads=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are named in Python")]
    fn sample<'py>(
        &self,
        py: Python<'py>,
        n: Count,
        context: Option<&Bound<'py, PyAny>>,
        seed: Option<Seed>,
        temperature: f64,
        first_row: FirstRow,
        common: bool,
        threads: Option<Threads>,
    ) -> PyResult<Table> {
        let options = sample_options(seed, temperature, first_row, threads);
        let plan = Draws { n: n.0, common, with_log_prob: false };
        let (rows, _) = self.draw(py, plan, context, options)?;
        self.table(&rows)
    }

    /// As `sample`, with the log-density of each row: `(rows, log_prob)`.
    #[pyo3(
        signature = (n=Count(1), context=None, *, seed=None, temperature=1.0, first_row=FirstRow(0), threads=None),
        text_signature = "($self, n=1, context=None, *, seed=None, temperature=1.0, first_row=0, threads=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are named in Python")]
    fn sample_with_log_prob<'py>(
        &self,
        py: Python<'py>,
        n: Count,
        context: Option<&Bound<'py, PyAny>>,
        seed: Option<Seed>,
        temperature: f64,
        first_row: FirstRow,
        threads: Option<Threads>,
    ) -> PyResult<(Table, Bound<'py, PyAny>)> {
        let options = sample_options(seed, temperature, first_row, threads);
        let plan = Draws { n: n.0, common: false, with_log_prob: true };
        let (rows, log_prob) = self.draw(py, plan, context, options)?;
        Ok((self.table(&rows)?, arrays::vector(py, &log_prob)?))
    }

    /// Goes on with clips by `n` frames each, or begins one where none are given: an array `[clips, n, height, width]`, perhaps with channels last. Of models of clips (`frames` of a fit).
    #[pyo3(signature = (n, clips=None, *, seed=None, threads=None))]
    fn continue_clips<'py>(
        &self,
        py: Python<'py>,
        n: Count,
        clips: Option<&Bound<'py, PyAny>>,
        seed: Option<Seed>,
        threads: Option<Threads>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (n, schema) = (n.0, self.model.schema());
        let (Some(image), 1..) = (schema.image, schema.earlier_frames()) else {
            let text = "continue_clips is of models of clips, which fit with frames gives";
            return Err(raise(Error::config(text)));
        };
        let given = match clips {
            None => vec![Vec::new()],
            Some(clips) => self.first_clips(py, clips, [usize::MAX; 2])?,
        };
        let width = image.numbers();
        let mut contexts = Vec::new();
        for clip in &given {
            let mut context = schema.first_context();
            for frame in clip.chunks_exact(width) {
                context = schema.next_context(frame, &context).map_err(raise)?;
            }
            contexts.extend(context);
        }
        let context = Rows::new(contexts, schema.context.len()).map_err(raise)?;
        let options = sample_options(seed, 1.0, FirstRow(0), threads);
        let mut frames = self.model.continue_clips(context, options).map_err(raise)?;
        let mut levels = vec![0u16; given.len() * n * width];
        for j in 0..n {
            py.check_signals()?;
            let drawn = py.detach(|| frames.next()).transpose().map_err(raise)?;
            for (i, row) in drawn.iter().flat_map(|rows| (0..rows.len()).map(|i| (i, rows.row(i))))
            {
                let at = (i * n + j) * width;
                levels[at..at + width].iter_mut().zip(row).for_each(|(to, x)| *to = *x as u16);
            }
        }
        let array = arrays::images(py, &levels, given.len() * n, image)?;
        let shape = array.getattr("shape")?.get_item(pyo3::types::PySlice::new(py, 1, 5, 1))?;
        let shape = (given.len(), n).into_pyobject(py)?.call_method1("__add__", (shape,))?;
        array.call_method1("reshape", (shape,))
    }

    /// Bits that each number of an image takes to write it without loss: `-log_prob / (numbers ln 2)`; of models of images.
    #[pyo3(signature = (data, context=None, *, threads=None))]
    fn bits_per_dim<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        threads: Option<Threads>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(image) = self.model.schema().image else {
            let text = "bits_per_dim is of models of images, and this is one of columns";
            return Err(raise(Error::config(text)));
        };
        let each = -(image.numbers() as f64 * std::f64::consts::LN_2);
        self.log_prob(py, data, context, threads)?.call_method1("__truediv__", (each,))
    }

    /// The classes of the context, by Bayes' rule: their names, and the probability of each for each row, `[n, classes]`. Of models fitted given a category or a truth value; the data need not have
    /// it. `by` names it where there are several; `shares` are the probabilities of the classes before a row is seen, by default as frequent as they were in the fit. A fit with `contrast` tells classes better.
    #[pyo3(signature = (data, *, by=None, shares=None, threads=None))]
    fn classify<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        by: Option<&str>,
        shares: Option<Vec<f64>>,
        threads: Option<Threads>,
    ) -> PyResult<(Vec<String>, Bound<'py, PyAny>)> {
        let column = self.model.class_column(by).map_err(raise)?;
        let schema = self.model.schema();
        let classes = schema.context[column].classes().unwrap_or_default();
        let shares = shares.unwrap_or_else(|| self.model.class_shares(column));
        let (threads, mut values) = (threads_or_all(threads), Vec::new());
        self.each_chunk(py, data, Beside::ContextBut(column), |chunk, context| {
            let x = chunk.rows_for(&schema.columns)?;
            let context = context.cloned().unwrap_or_else(|| Rows::zeros(x.len(), 1));
            let found = self.model.classify(&x, &context, column, &shares, threads)?;
            values.extend_from_slice(found.probabilities.values());
            Ok(())
        })?;
        let probabilities = Rows::new(values, classes.len()).map_err(raise)?;
        Ok((classes, arrays::matrix(py, &probabilities)?))
    }

    /// Draws what is missing in each row given what is there, for a model that was fitted with `any_subset=True`.
    #[pyo3(
        signature = (data, context=None, *, seed=None, first_row=FirstRow(0), threads=None),
        text_signature = "($self, data, context=None, *, seed=None, first_row=0, threads=None)"
    )]
    fn impute<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        seed: Option<Seed>,
        first_row: FirstRow,
        threads: Option<Threads>,
    ) -> PyResult<Table> {
        let mut options = sample_options(seed, 1.0, first_row, threads);
        let columns = &self.model.schema().columns;
        let (mut values, mut words) = (Vec::new(), Words::new(columns));
        let has = vec![true; columns.len()];
        self.each_chunk(py, data, Beside::Context(context), |chunk, context| {
            let given = words.rows(chunk, &has)?;
            let mut whole = self.model.impute(&words.known(&given), context, &options)?;
            words.restore(&given, &mut whole);
            options.first_row += whole.len() as u64;
            values.extend_from_slice(whole.values());
            Ok(())
        })?;
        let rows = Rows::new(values, columns.len()).map_err(raise)?;
        Table::of_rows(words.columns(), &rows, &[])
    }

    /// Data to base: the points `z` and `log|det dz/dx|` of each row.
    #[pyo3(signature = (data, context=None, *, threads=None))]
    fn to_base<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        threads: Option<Threads>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (mut values, mut log_det) = (Vec::new(), Vec::new());
        let threads = threads_or_all(threads);
        self.each_block(py, data, context, |x, context| {
            let (z, of_rows) = self.model.to_base(x, context, threads)?;
            values.extend_from_slice(z.values());
            log_det.extend(of_rows);
            Ok(())
        })?;
        let z = Rows::new(values, self.model.flow().dims()).map_err(raise)?;
        Ok((arrays::matrix(py, &z)?, arrays::vector(py, &log_det)?))
    }

    /// Base to data: the numbers `x` and `log|det dx/dz|` of each row; whole numbers are not rounded.
    #[pyo3(signature = (z, context=None, *, threads=None))]
    fn to_data<'py>(
        &self,
        py: Python<'py>,
        z: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        threads: Option<Threads>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let z = arrays::rows(z)?;
        let context = self.context_rows(context)?;
        let threads = threads_or_all(threads);
        let mapped = py.detach(|| self.model.to_data(&z, context.as_ref(), threads));
        let (x, log_det) = mapped.map_err(raise)?;
        Ok((arrays::matrix(py, &x)?, arrays::vector(py, &log_det)?))
    }

    /// How far each row is from where it comes back to from the base, relative to its scale.
    #[pyo3(signature = (data, context=None, *, threads=None))]
    fn round_trip_error<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        threads: Option<Threads>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut errors = Vec::new();
        let threads = threads_or_all(threads);
        self.each_block(py, data, context, |x, context| {
            errors.extend(self.model.round_trip_error(x, context, threads)?);
            Ok(())
        })?;
        arrays::vector(py, &errors)
    }

    /// The share of the rows of the fit that are less likely than each of these log-densities; NaN where the file does not hold them.
    fn tail_probability<'py>(
        &self,
        py: Python<'py>,
        log_prob: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let summary = self.model.summary.as_ref();
        let share = |l: f64| summary.and_then(|summary| summary.share_below(l));
        let log_prob = arrays::column(log_prob)?;
        let shares = log_prob.into_iter().map(|l| share(l).unwrap_or(f64::NAN));
        arrays::vector(py, &shares.collect::<Vec<_>>())
    }

    /// The log-density below which this share of the rows of the fit lies, or None where the file does not hold it.
    fn log_prob_quantile(&self, share: f64) -> PyResult<Option<f64>> {
        if !(0.0..=1.0).contains(&share) {
            let text = format!("expected a share from 0 to 1, found {share}");
            return Err(raise(Error::config(text)));
        }
        Ok(self.model.summary.as_ref().and_then(|summary| summary.quantile(share)))
    }
}

impl PyModel {
    /// The frames of the first clips of the data, one after another.
    pub(crate) fn first_clips(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        [clips, frames]: [usize; 2],
    ) -> PyResult<Vec<Vec<f64>>> {
        let mut found: Vec<Vec<f64>> = Vec::new();
        let mut all = 0;
        self.each_block(py, data, None, |x, context| {
            for i in 0..x.len() {
                if context.is_some_and(|context| context.row(i).last() == Some(&0.0)) {
                    all += 1;
                    if all <= clips {
                        found.push(Vec::new());
                    }
                }
                let is_wanted =
                    |clip: &&mut Vec<f64>| clip.len() < frames.saturating_mul(x.width());
                if let Some(clip) = found.last_mut().filter(|_| all <= clips).filter(is_wanted) {
                    clip.extend_from_slice(x.row(i));
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Rows of the model as a table.
    fn table(&self, rows: &Rows) -> PyResult<Table> {
        let schema = self.model.schema();
        Ok(Table::of_rows(&schema.columns, rows, &[])?.of_images(schema.image))
    }

    /// The rows that are asked for, and their log-density if it is.
    fn draw(
        &self,
        py: Python<'_>,
        plan: Draws,
        context: Option<&Bound<'_, PyAny>>,
        options: SampleOptions,
    ) -> PyResult<(Rows, Vec<f64>)> {
        let given = self.context_rows(context)?;
        let schema = self.model.schema();
        if given.is_none() && !schema.context.is_empty() {
            let names = names(&schema.context).join(", ");
            let text = format!("the model is conditional on {names}; give context");
            return Err(raise(Error::config(text)));
        }
        let n = plan.n;
        let rows = n.saturating_mul(given.as_ref().map_or(1, Rows::len));
        if options.first_row.checked_add(rows as u64).is_none() {
            let text = format!(
                "first_row: rows are numbered up to 2^64 - 1, and {rows} from {} on are more",
                options.first_row
            );
            return Err(raise(Error::config(text)));
        }
        let width = schema.columns.len();
        let block = match plan.common {
            true => n.max(1),
            false => (BLOCK_VALUES / (width + schema.context.len()).max(1)).max(1),
        };
        let (mut values, mut log_prob, mut from) = (room(rows, width)?, Vec::new(), 0);
        while from < rows {
            py.check_signals()?;
            let to = rows.min(from.saturating_add(block));
            let before = if plan.common { 0 } else { from as u64 };
            let options =
                SampleOptions { first_row: options.first_row + before, ..options.clone() };
            let drawn = py.detach(|| {
                let places = || (from..to).map(|i| i / n).collect::<Vec<_>>();
                let context = given.as_ref().map(|given| given.select(&places()));
                let context = context.as_ref();
                match plan.with_log_prob {
                    true => self.model.sample_with_log_prob(to - from, context, &options),
                    false => Ok((self.model.sample(to - from, context, &options)?, Vec::new())),
                }
            });
            let (x, of_rows) = drawn.map_err(raise)?;
            values.extend_from_slice(x.values());
            log_prob.extend(of_rows);
            from = to;
        }
        Ok((Rows::new(values, width).map_err(raise)?, log_prob))
    }
}

/// Room for so many rows, if the machine has it.
fn room(rows: usize, width: usize) -> PyResult<Vec<f64>> {
    let bytes = rows.saturating_mul(width).saturating_mul(8);
    let mut values = Vec::new();
    let most = memory::limit(None).limit().unwrap_or(u64::MAX);
    if bytes as u64 > most || values.try_reserve_exact(bytes / 8).is_err() {
        let text = format!(
            "{rows} rows of {width} columns need {} MiB of memory; draw them in parts with first_row",
            bytes >> 20
        );
        return Err(raise(Error::new(diffeo::ErrorKind::Limit, text)));
    }
    Ok(values)
}

/// How many rows are drawn, and how.
#[derive(Clone, Copy)]
struct Draws {
    /// For each row of the context, if there is one.
    n: usize,
    /// Each row of the context gets the same draws of the base.
    common: bool,
    with_log_prob: bool,
}

/// What would stand in a file of JSON, as objects of Python.
pub(crate) fn from_json<'py>(
    py: Python<'py>,
    value: &impl serde::Serialize,
) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|e| {
        raise(Error::new(diffeo::ErrorKind::Internal, format!("cannot describe: {e}")))
    })?;
    py.import("json")?.call_method1("loads", (text,))
}
