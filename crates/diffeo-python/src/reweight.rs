//! One population carried over to another: what `diffeo reweight` does to two tables.

use std::time::Instant;

use diffeo::inference::{
    DensityRatio, IntervalOptions, Populations, RatioOptions, Transported, Verdict, Weights,
    relative,
};
use diffeo::train::{Event, FitOptions, Trainer};
use diffeo::{Column, Error, ErrorKind, Preset, Result, Rows, quoted};
use diffeo_cli::memory;
use diffeo_table::{
    InferOptions, Input, ReadOptions, Wanted, infer_schema_with, read_rows, read_together,
};
use pyo3::prelude::*;

use crate::arrays;
use crate::draws::{Seed, Threads, drawn_seed, threads_or_all};
use crate::errors::{raise, tell};
use crate::fit::TURN;
use crate::inference::{PyWeights, Raised};
use crate::settings::{Asked, wishes};
use crate::table::input_of;

/// What `diffeo.reweight` was given.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    columns: Vec<Asked>,
    outcome: Option<String>,
    folds: usize,
    relative: f64,
    model: Option<String>,
    epochs: Option<f64>,
    steps: Option<u64>,
    seed: Option<Seed>,
    threads: Option<Threads>,
}

/// An average: by what, the mean, its standard error, and the ends of its 95% interval.
type Average = (&'static str, f64, f64, f64, f64);

/// A ratio of densities that was learned of two tables; see `diffeo.reweight`.
#[pyclass(frozen, module = "diffeo")]
pub(crate) struct LearnedRatio {
    ratio: DensityRatio,
    columns: Vec<Column>,
    averages: Vec<Average>,
    classifier: String,
    verdict: Verdict,
    relative: f64,
    threads: usize,
}

/// Both tables.
struct Observed {
    columns: Vec<Column>,
    rows: [Rows; 2],
    outcome: Option<Vec<f64>>,
    notes: Vec<String>,
}

/// Learns `p2 / p1` of two tables, and averages an outcome of the first by it; `report` is called with the number of the flow, its step and its loss now and then.
#[pyfunction]
#[pyo3(signature = (source, target, settings, report, warn))]
pub(crate) fn reweight(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    settings: Settings,
    report: Option<Py<PyAny>>,
    warn: &Bound<'_, PyAny>,
) -> PyResult<LearnedRatio> {
    settings.check().map_err(raise)?;
    let tables = [input_of(source, &[])?, input_of(target, &[])?];
    let observed = py.detach(|| read(&tables, &settings)).map_err(raise)?;
    observed.notes.iter().try_for_each(|note| tell(warn, note))?;
    let seed = settings.seed.map_or_else(drawn_seed, |seed| seed.0);
    let Observed { columns, rows, outcome, .. } = observed;
    let populations = Populations::new(columns, rows, settings.folds, seed).map_err(raise)?;
    for (column, overlap) in populations.telling_columns() {
        tell(
            warn,
            &format!(
                "column {} alone tells the tables apart, whose values have {:.1}% in common: no weights can make up for that; leave it out of columns if it says which table a row is of",
                quoted(&column.name),
                100.0 * overlap
            ),
        )?;
    }
    let raised = Raised::default();
    let mut looked = Instant::now();
    let watch = |fold: usize, _: &mut Trainer, event: &Event| match event {
        Event::Step { step, loss, .. } if looked.elapsed() >= TURN => {
            looked = Instant::now();
            let told = Python::attach(|py| {
                py.check_signals()?;
                report.as_ref().map_or(Ok(()), |r| r.call1(py, (fold, *step, *loss)).map(drop))
            });
            told.map_err(|e| raised.keep(e))
        }
        _ => Ok(()),
    };
    let learned = py.detach(|| learn(&populations, outcome, (&settings, seed), watch));
    let learned = learned.map_err(|e| raised.or(e))?;
    if learned.verdict.is_blind() {
        tell(
            warn,
            &format!(
                "{:.0}% of the rows of the second table lie where the first has next to none: weights cannot stand for them, and no average knows of them",
                100.0 * learned.verdict.unseen
            ),
        )?;
    }
    Ok(learned)
}

/// Reads the columns to compare as what the values of both tables make them.
fn read(tables: &[Input; 2], settings: &Settings) -> Result<Observed> {
    let wishes = wishes(&settings.columns)?;
    let wanted = wishes.iter().map(|(name, wish)| Wanted {
        kind: wish.as_ref().map(|wish| wish.kind),
        ..Wanted::any(name)
    });
    let (options, limit) = (ReadOptions::default(), memory::limit(None));
    let both = read_together(tables, &wanted.collect::<Vec<_>>(), &options, limit)?;
    let infer = InferOptions { drop_constant: true, ..InferOptions::default() };
    let (schema, notes) = infer_schema_with(&both, &wishes, &[], &infer)?;
    let width = schema.columns.len();
    let mut first = schema.columns.clone();
    first.extend(settings.outcome.iter().map(Column::real));
    let (here, _) = read_rows(&tables[0], &first, &options, limit)?;
    let (there, _) = read_rows(&tables[1], &schema.columns, &options, limit)?;
    let outcome = settings.outcome.as_ref().map(|_| here.column(width));
    let cut = (0..here.len()).flat_map(|i| here.row(i)[..width].iter().copied()).collect();
    let notes = notes.iter().filter(|note| note.warning).map(ToString::to_string).collect();
    Ok(Observed { columns: schema.columns, rows: [Rows::new(cut, width)?, there], outcome, notes })
}

fn learn(
    populations: &Populations,
    outcome: Option<Vec<f64>>,
    (settings, seed): (&Settings, u64),
    watch: impl FnMut(usize, &mut Trainer, &Event) -> Result<()>,
) -> Result<LearnedRatio> {
    let threads = threads_or_all(settings.threads);
    let fit = FitOptions {
        epochs: settings.epochs,
        steps: settings.steps,
        seed,
        threads,
        ..FitOptions::default()
    };
    let preset = settings.model.as_deref().map_or(Ok(Preset::default()), str::parse)?;
    let options = RatioOptions { preset, fit, ..RatioOptions::default() };
    let ratio = DensityRatio::fit(populations, &options, watch)?;
    let weights = |log: &[f64]| -> Result<Weights> {
        let log = log.iter().map(|r| relative(*r, settings.relative));
        Weights::new(log.collect::<Result<_>>()?)
    };
    let own = weights(&ratio.log_ratios()[0])?;
    let by_classifier = weights(&populations.classifier_log_ratios(threads)?[0])?;
    let mut averages = Vec::new();
    if let Some(outcome) = outcome {
        let interval = IntervalOptions { seed, threads, ..IntervalOptions::default() };
        let mut add = |by, transported: &Transported| -> Result<()> {
            let [low, high] = transported.interval(&interval)?;
            let found = transported.estimate();
            averages.push((by, found.mean, found.standard_error, low, high));
            Ok(())
        };
        let by_weights = Transported::new(&own, &outcome)?;
        let [expected, expected_there] = populations.expected_outcome(&outcome, threads)?;
        let equal = Weights::new(vec![0.0; outcome.len()])?;
        add(
            "weights and regression",
            &by_weights.clone().with_expected(&expected, expected_there)?,
        )?;
        add("weights", &by_weights)?;
        add("classifier", &Transported::new(&by_classifier, &outcome)?)?;
        add("unweighted", &Transported::new(&equal, &outcome)?)?;
    }
    let classifier = by_classifier.verdict().to_string();
    let (relative, columns) = (settings.relative, populations.columns().to_vec());
    let verdict = ratio.verdict(&own);
    Ok(LearnedRatio { ratio, columns, averages, classifier, verdict, relative, threads })
}

#[pymethods]
impl LearnedRatio {
    /// The weights of the rows of the first table, each by flows that have not seen it.
    #[getter]
    fn weights(&self) -> PyResult<PyWeights> {
        let log = self.ratio.log_ratios()[0].iter().map(|r| relative(*r, self.relative));
        let log: Vec<f64> = log.collect::<Result<_>>().map_err(raise)?;
        Ok(PyWeights::of(Weights::new(log).map_err(raise)?))
    }

    /// `ln p2 / p1` at the rows of both tables, each by flows that have not seen it.
    #[getter]
    fn log_ratios<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let [here, there] = self.ratio.log_ratios();
        Ok((arrays::vector(py, here)?, arrays::vector(py, there)?))
    }

    /// `ln p2 / p1` at other rows: the mean over all flows.
    fn log_ratio<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let input = input_of(data, &names)?;
        let found = py.detach(|| {
            let limit = memory::limit(None);
            let (rows, _) = read_rows(&input, &self.columns, &ReadOptions::default(), limit)?;
            self.ratio.log_ratio(&rows, self.threads)
        });
        arrays::vector(py, &found.map_err(raise)?)
    }

    /// 1 where the flows' ratios can be taken as they are, near 0 where they are noise: of two samples of one population.
    #[getter]
    fn slope(&self) -> f64 {
        self.ratio.slope()
    }

    /// How far the weights can be relied on, and what to do if not.
    #[getter]
    fn verdict(&self) -> String {
        self.verdict.to_string()
    }

    /// Whether they can be.
    #[getter]
    fn is_good(&self) -> bool {
        self.verdict.is_good()
    }

    /// The share of the second population that rows of the first are likely to miss.
    #[getter]
    fn unseen(&self) -> f64 {
        self.verdict.unseen
    }

    /// What a classifier's weights would be worth.
    #[getter]
    fn classifier(&self) -> &str {
        &self.classifier
    }

    /// The averages of the outcome.
    #[getter]
    fn averages(&self) -> Vec<Average> {
        self.averages.clone()
    }

    /// The columns that were compared.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

impl Settings {
    /// Refuses what the library would not.
    pub(crate) fn check(&self) -> Result<()> {
        if self.columns.is_empty() {
            let text = "the tables have no column in common that populations could differ in";
            return Err(Error::new(ErrorKind::Data, text));
        }
        if let Some(name) = &self.outcome
            && self.columns.iter().any(|(column, _)| column == name)
        {
            return Err(Error::config(format!(
                "columns: the outcome {} cannot be among what populations are compared by; leave it out there",
                quoted(name)
            )));
        }
        relative(0.0, self.relative).map(drop)
    }
}
