//! Densities that a function of Python's gives, up to a constant: flows that are fitted to them, and weights of draws.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::inference::{
    Constrained, Domain, FlowProposal, LogDensity, VariationalOptions, Weights, Whitened, weigh,
};
use diffeo::train::{Event, LearnerOptions};
use diffeo::{
    BaseSpec, Error, ErrorKind, Flow, Preset, PresetOptions, Result, Rows, host_values, quoted,
};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::raise;
use crate::fit::TURN;

/// What a call back into Python raised, on its way through the library.
#[derive(Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    pub(crate) fn keep(&self, error: PyErr) -> Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        Error::new(ErrorKind::Interrupted, "a function of the caller's raised an exception")
    }

    /// Whether what was raised is an interruption, which is then taken care of.
    pub(crate) fn take_interrupt(&self) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it =
            |e: &mut PyErr| Python::attach(|py| e.is_instance_of::<PyKeyboardInterrupt>(py));
        kept.take_if(is_it).is_some()
    }

    /// The exception for an error: the one that was raised, if one was.
    pub(crate) fn or(&self, error: Error) -> PyErr {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or_else(|| raise(error))
    }
}

/// `function(x)` of an array of points gives `ln p~` of each and the gradients.
struct Callable {
    function: Py<PyAny>,
    dims: usize,
    raised: Raised,
}

impl Callable {
    fn evaluate(&self, py: Python<'_>, points: &Rows) -> PyResult<(Vec<f64>, Vec<f64>)> {
        let found = self.function.bind(py).call1((arrays::matrix(py, points)?,))?;
        let shapes = (points.len(), points.width());
        let checked = py.import("diffeo._targets")?.call_method1("checked", (found, shapes))?;
        let (values, gradients): (Bound<'_, PyAny>, Bound<'_, PyAny>) = checked.extract()?;
        let numbers = |array: &Bound<'_, PyAny>| PyBuffer::<f64>::get(array)?.to_vec(py);
        Ok((numbers(&values)?, numbers(&gradients)?))
    }
}

impl LogDensity for Callable {
    fn dims(&self) -> usize {
        self.dims
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let [n, d] = x.dims();
        let constant = x.clone().detach();
        let points = Rows::new(host_values(constant.clone())?, d)?;
        let (values, gradients) =
            Python::attach(|py| self.evaluate(py, &points)).map_err(|e| self.raised.keep(e))?;
        let to = (&x.device(), x.dtype());
        let values = Tensor::<1>::from_data(TensorData::new(values, [n]), to);
        let gradients = Tensor::<2>::from_data(TensorData::new(gradients, [n, d]), to);
        // Adds nothing, and its derivative by x is the gradient.
        let slope = ((x - constant) * gradients).sum_dim(1).reshape([n]);
        Ok(values + slope)
    }
}

/// The target as the flow sees it: over free numbers, about its mode if that was looked for.
enum Space {
    Plain(Constrained<Callable>),
    Whitened(Whitened<Constrained<Callable>>),
}

impl Space {
    /// Rows of free numbers as numbers of the target.
    fn constrained(&self, rows: &Rows) -> Result<Rows> {
        let data = TensorData::new(rows.values().to_vec(), [rows.len(), rows.width()]);
        let z = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
        let x = match self {
            Self::Plain(target) => target.constrained(z),
            Self::Whitened(target) => target.target().constrained(target.unwhitened(z)),
        };
        let width = x.dims()[1];
        Rows::new(host_values(x)?, width)
    }

    fn target(&self) -> &dyn LogDensity {
        match self {
            Self::Plain(target) => target,
            Self::Whitened(target) => target,
        }
    }
}

/// What `diffeo.inference.fit` was given.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    model: Option<String>,
    transforms: usize,
    hidden: Vec<usize>,
    base: String,
    at_mode: bool,
    alpha: f64,
    annealed: f64,
    steps: u64,
    draws: usize,
    lr: Option<f64>,
    seed: u64,
}

impl Settings {
    fn flow(&self, dims: usize) -> Result<Flow> {
        let usual = if dims == 1 { Preset::Nsf } else { Preset::NsfCoupling };
        let preset = self.model.as_deref().map_or(Ok(usual), str::parse::<Preset>)?;
        let base: BaseSpec = self.base.parse()?;
        let (transforms, hidden) = (self.transforms, self.hidden.clone());
        let shape =
            PresetOptions { transforms, hidden, base, seed: self.seed, ..PresetOptions::default() };
        preset.spec(dims, 0, &shape)?.build(self.seed)
    }

    fn options(&self) -> VariationalOptions {
        let usual = VariationalOptions::default();
        let learning_rate = self.lr.unwrap_or(usual.learner.learning_rate);
        VariationalOptions {
            alpha: self.alpha,
            steps: self.steps,
            draws: self.draws,
            annealed: self.annealed,
            seed: self.seed,
            learner: LearnerOptions { learning_rate, ..usual.learner },
        }
    }
}

/// A domain by its name: kind, numbers of a value, bounds.
type Named = (String, usize, Option<(f64, f64)>);

fn domain((kind, size, bounds): &Named) -> Result<Domain> {
    Ok(match (kind.as_str(), bounds) {
        ("real", _) => Domain::Real(*size),
        ("positive", _) => Domain::Positive(*size),
        ("interval", Some((low, high))) => {
            Domain::Interval { low: *low, high: *high, count: *size }
        }
        ("simplex", _) => Domain::Simplex(*size),
        ("ordered", _) => Domain::Ordered(*size),
        ("correlation", _) => Domain::CorrelationCholesky(*size),
        _ => {
            return Err(Error::config(format!(
                "expected real, positive, [low, high], simplex, ordered or correlation, found {}",
                quoted(kind)
            )));
        }
    })
}

/// A flow that was fitted to a density; see `diffeo.inference.fit`.
#[pyclass(frozen, module = "diffeo")]
pub(crate) struct FittedTarget {
    flow: Flow,
    space: Space,
    raised: Raised,
}

/// Fits a flow to a density; `report` is called with the step and the loss now and then.
#[pyfunction]
#[pyo3(signature = (function, domains, settings, report))]
pub(crate) fn fit_target(
    py: Python<'_>,
    function: Py<PyAny>,
    domains: Vec<Named>,
    settings: Settings,
    report: Option<Py<PyAny>>,
) -> PyResult<FittedTarget> {
    let raised = Raised::default();
    let fitted = py.detach(|| {
        let domains = domains.iter().map(domain).collect::<Result<Vec<_>>>()?;
        let dims = domains.iter().map(Domain::size).sum();
        let target = Callable { function, dims, raised: raised.clone() };
        let target = Constrained::new(target, domains)?;
        let space = match settings.at_mode {
            true => Space::Whitened(Whitened::at_mode(target, settings.seed)?),
            false => Space::Plain(target),
        };
        let flow = settings.flow(space.target().dims())?;
        let mut looked = Instant::now();
        let watch = |event: &Event| match event {
            Event::Step { step, loss, .. } if looked.elapsed() >= TURN => {
                looked = Instant::now();
                look(report.as_ref(), *step, *loss).map_err(|e| raised.keep(e))
            }
            _ => Ok(()),
        };
        let flow = diffeo::inference::fit(flow, space.target(), &settings.options(), watch)?;
        Ok((flow, space))
    });
    let (flow, space) = fitted.map_err(|e| raised.or(e))?;
    Ok(FittedTarget { flow, space, raised })
}

fn look(report: Option<&Py<PyAny>>, step: u64, loss: f64) -> PyResult<()> {
    Python::attach(|py| {
        py.check_signals()?;
        report.map_or(Ok(()), |report| report.call1(py, (step, loss)).map(drop))
    })
}

#[pymethods]
impl FittedTarget {
    /// Draws of the flow, as numbers of the target, and their weights: `(array, Weights)`.
    fn draw<'py>(
        &self,
        py: Python<'py>,
        n: usize,
        seed: u64,
    ) -> PyResult<(Bound<'py, PyAny>, PyWeights)> {
        let drawn = py.detach(|| {
            let proposal = FlowProposal { flow: &self.flow, seed };
            let (rows, weights) = weigh(&proposal, self.space.target(), n)?;
            Ok((self.space.constrained(&rows)?, weights))
        });
        let (rows, weights) = drawn.map_err(|e| self.raised.or(e))?;
        Ok((arrays::matrix(py, &rows)?, PyWeights { weights }))
    }
}

/// Importance weights by their logarithms: effective size, the tail, what both say of estimates.
#[pyclass(frozen, name = "Weights", module = "diffeo.inference")]
pub(crate) struct PyWeights {
    weights: Weights,
}

impl PyWeights {
    pub(crate) fn of(weights: Weights) -> Self {
        Self { weights }
    }
}

#[pymethods]
impl PyWeights {
    /// Weights of draws, `ln p~(x) - ln q(x)` of each.
    #[new]
    fn new(log_weights: &Bound<'_, PyAny>) -> PyResult<Self> {
        let log = arrays::column(log_weights)?;
        Ok(Self { weights: Weights::new(log).map_err(raise)? })
    }

    fn __len__(&self) -> usize {
        self.weights.len()
    }

    /// The logarithms as they were given.
    #[getter]
    fn log<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        arrays::vector(py, self.weights.log())
    }

    /// The weights, which sum to 1.
    #[getter]
    fn normalised<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        arrays::vector(py, &self.weights.normalised())
    }

    /// How many draws of the target they are worth.
    #[getter]
    fn effective_size(&self) -> f64 {
        self.weights.effective_size()
    }

    /// The shape of the tail; None of too few draws.
    #[getter]
    fn pareto_k(&self) -> Option<f64> {
        self.weights.pareto_k()
    }

    /// The same weights with their tail smoothed by a Pareto distribution.
    fn smoothed(&self) -> Self {
        Self { weights: self.weights.smoothed() }
    }

    /// The logarithm of the mean weight, which is the evidence where the proposal is normalised, and its standard error.
    #[getter]
    fn log_mean(&self) -> (f64, f64) {
        let found = self.weights.log_mean();
        (found.mean, found.standard_error)
    }

    /// The mean of a function under the target, by its values at the draws, and its standard error.
    fn mean(&self, values: &Bound<'_, PyAny>) -> PyResult<(f64, f64)> {
        let found = self.weights.mean(&arrays::column(values)?).map_err(raise)?;
        Ok((found.mean, found.standard_error))
    }

    /// Places of `n` draws taken again in proportion to their weights.
    fn resample<'py>(&self, py: Python<'py>, n: usize, seed: u64) -> PyResult<Bound<'py, PyAny>> {
        let places: Vec<i64> =
            self.weights.resample(n, seed).into_iter().map(|i| i as i64).collect();
        arrays::whole(py, &places, None)
    }

    /// Whether estimates and their errors can be relied on.
    #[getter]
    fn is_good(&self) -> bool {
        self.weights.verdict().is_good()
    }

    /// The same in a sentence, and what to do if not.
    #[getter]
    fn verdict(&self) -> String {
        self.weights.verdict().to_string()
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyAny>,))> {
        Ok((slf.get_type().into_any(), (slf.get().log(slf.py())?,)))
    }

    fn __repr__(&self) -> String {
        format!("<diffeo.inference.Weights: {}>", self.weights.verdict())
    }
}
