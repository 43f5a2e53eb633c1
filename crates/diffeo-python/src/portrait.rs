//! What looks at a model as a whole: its self-test and its pictures.

use diffeo::check::{CheckData, CheckOptions, CheckResult};
use diffeo::{Model, Reservoir, Rows, SampleOptions};
use diffeo_cli::figures::images::{CLIPS, FRAMES, Gallery, IMAGES, IMAGES_MAX};
use diffeo_cli::figures::{self, Drawing, Kind, Scene, plot_error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::draws::{Seed, Threads, threads_or_all};
use crate::errors::raise;
use crate::model::PyModel;

/// A random sample of at most `most` rows: the first ones alone would mislead where a table is sorted. Rows that are not known in full are left out, as whole
/// rows are compared with samples.
fn sampled(
    py: Python<'_>,
    model: &PyModel,
    data: &Bound<'_, PyAny>,
    context: Option<&Bound<'_, PyAny>>,
    most: usize,
) -> PyResult<CheckData> {
    let schema = model.model.schema();
    let (columns, width) = (&schema.columns, schema.context.len());
    let is_whole = |row: &[f64]| columns.iter().zip(row).all(|(c, x)| !(c.optional && x.is_nan()));
    let mut reservoir = Reservoir::new(most, 0);
    model.each_block(py, data, context, |x, context| {
        for i in (0..x.len()).filter(|&i| is_whole(x.row(i))) {
            let given = context.map_or(&[][..], |context| context.row(i));
            reservoir.offer(x.row(i).iter().chain(given).copied());
        }
        Ok(())
    })?;
    let (mut x, mut given) = (Vec::new(), Vec::new());
    for row in reservoir.into_rows() {
        let (values, context) = row.split_at(columns.len());
        x.extend_from_slice(values);
        given.extend_from_slice(context);
    }
    let context = (width > 0).then(|| Rows::new(given, width)).transpose().map_err(raise)?;
    Ok(CheckData { x: Rows::new(x, columns.len()).map_err(raise)?, context })
}

/// Runs the self-test: a list of `(name, passed, value, limit, detail)`. See `diffeo.check`.
#[pyfunction]
#[pyo3(signature = (model, data, context, *, samples, seed, threads))]
pub(crate) fn check(
    py: Python<'_>,
    model: &Bound<'_, PyModel>,
    data: Option<&Bound<'_, PyAny>>,
    context: Option<&Bound<'_, PyAny>>,
    samples: usize,
    seed: Seed,
    threads: Option<Threads>,
) -> PyResult<Vec<(String, bool, f64, f64, String)>> {
    let model = model.get();
    let data = data.map(|data| sampled(py, model, data, context, samples)).transpose()?;
    let options = CheckOptions { seed: seed.0, threads: threads_or_all(threads), samples };
    let results = py.detach(|| diffeo::check::check(&model.model, data.as_ref(), &options));
    let row = |r: CheckResult| (r.name, r.passed, r.value, r.limit, r.detail);
    Ok(results.map_err(raise)?.into_iter().map(row).collect())
}

/// Draws a picture. See `diffeo.plot`.
#[pyfunction]
#[pyo3(signature = (model, data, context, *, kind, rows, seed, threads))]
#[expect(clippy::too_many_arguments, reason = "they are named in Python")]
pub(crate) fn plot(
    py: Python<'_>,
    model: &Bound<'_, PyModel>,
    data: Option<&Bound<'_, PyAny>>,
    context: Option<&Bound<'_, PyAny>>,
    kind: Option<&str>,
    rows: Option<usize>,
    seed: Seed,
    threads: Option<Threads>,
) -> PyResult<Figure> {
    let model = model.get();
    let flow: &Model = &model.model;
    let kind = kind.map_or(Ok(Kind::usual_of(flow)), str::parse).map_err(raise)?;
    kind.expect_of(flow, data.is_some()).map_err(raise)?;
    let image = flow.schema().image;
    let rows = match image {
        Some(_) => rows.unwrap_or(IMAGES).min(IMAGES_MAX),
        None => rows.unwrap_or(figures::ROWS),
    };
    let clips = match data.filter(|_| flow.schema().earlier_frames() > 0) {
        Some(data) => model.first_clips(py, data, [CLIPS, FRAMES])?,
        None => Vec::new(),
    };
    let given = if data.is_none() { model.context_rows(context)? } else { None };
    let data = data.map(|data| sampled(py, model, data, context, rows)).transpose()?;
    let threads = threads_or_all(threads);
    let draw = || match (image, given) {
        (None, Some(given)) => Scene::given(flow, &given, rows, seed.0, threads)?.draw(kind),
        (None, None) => Scene::new(flow, data, rows, seed.0, threads)?.draw(kind),
        (Some(image), _) => {
            let options = SampleOptions { seed: seed.0, threads, ..SampleOptions::default() };
            let gallery = Gallery { model: flow, image, data, clips, options, rows };
            gallery.draw(kind).map(Drawing::from)
        }
    };
    py.detach(draw).map(|drawing| Figure { drawing }).map_err(raise)
}

/// A picture, which notebooks show.
#[pyclass(frozen, module = "diffeo")]
pub(crate) struct Figure {
    drawing: Drawing,
}

#[pymethods]
impl Figure {
    /// Writes it; the extension of the path, svg or png, chooses the format.
    fn save(&self, path: std::path::PathBuf) -> PyResult<()> {
        self.drawing.figure.save(&path).map_err(|e| raise(plot_error(e).at(&path)))
    }

    /// As SVG text.
    fn svg(&self) -> String {
        self.drawing.figure.to_svg()
    }

    /// As the bytes of a PNG file.
    fn png<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.drawing.figure.to_png().map_err(|e| raise(plot_error(e)))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// What there is to say of it: sizes, and what was left out.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.drawing.notes.clone()
    }

    fn _repr_png_<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.png(py)
    }

    fn __repr__(&self) -> String {
        let figure = &self.drawing.figure;
        format!("<diffeo.Figure, {:.0} by {:.0}>", figure.width(), figure.height())
    }
}
