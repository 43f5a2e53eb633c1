//! Policies for environments of Gymnasium's interface, which Python has: soft actor-critic and MEow with flow policies.

use std::ops::ControlFlow;
use std::time::Instant;

use diffeo::train::{Course, Turn};
use diffeo::{ChaCha8Rng, Error, ErrorKind, Model, PresetOptions, Result, uniform};
use diffeo_control::{
    Algorithm, Axis, Environment, Interface, MEOW_TEMPERATURE, Maker, PolicyKind, Progress, Sketch,
    Space, Step, Temperature, Trainer, TrainerOptions,
};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::draws::drawn_seed;
use crate::errors::{raise, warn};
use crate::fit::TURN;
use crate::inference::Raised;
use crate::model::PyModel;

/// Bounds beyond this are none: Gymnasium writes the largest number of a type.
const BOUND_MAX: f64 = 1e6;

/// What `diffeo.control.train` was given.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    policy: String,
    algorithm: String,
    steps: u64,
    environments: usize,
    warmup: u64,
    hold: u64,
    batch: usize,
    replay: usize,
    every: u64,
    updates: u64,
    discount: f64,
    temperature: Option<f64>,
    value_scale: f64,
    scales: Option<Vec<f64>>,
    hidden: Vec<usize>,
    transforms: Option<usize>,
    lr: f64,
    validate_every: u64,
    validate_episodes: usize,
    seed: Option<u64>,
}

/// An environment of Gymnasium's interface.
struct Gymnasium {
    environment: Py<PyAny>,
    observation: Space,
    action: Space,
    raised: Raised,
}

/// The numbers of a box, by name and bounds.
fn space(bounds: &Bound<'_, PyAny>, name: &str, scales: Option<&[f64]>) -> PyResult<Space> {
    let (low, high): (Vec<f64>, Vec<f64>) = bounds.extract()?;
    if let Some(scales) = scales.filter(|scales| scales.len() != low.len()) {
        return Err(raise(Error::config(format!(
            "scales: expected one for each of {} numbers observed, found {}",
            low.len(),
            scales.len()
        ))));
    }
    let only = low.len() == 1;
    let axis = |(i, (low, high)): (usize, (f64, f64))| {
        let name = if only { name.to_owned() } else { format!("{name}{}", i + 1) };
        let is_bounded = low.abs() < BOUND_MAX && high.abs() < BOUND_MAX;
        let mut axis = match is_bounded {
            true => Axis::bounded(name, low, high),
            false => Axis::unbounded(name, 1.0),
        };
        if !is_bounded {
            axis.scale = scales.and_then(|scales| scales.get(i)).copied().unwrap_or(axis.scale);
        }
        axis
    };
    Space::new(low.into_iter().zip(high).enumerate().map(axis).collect()).map_err(raise)
}

impl Gymnasium {
    fn new(make: &Bound<'_, PyAny>, scales: Option<&[f64]>, raised: Raised) -> PyResult<Self> {
        let py = make.py();
        let wrapped = py.import("diffeo._environments")?.call_method1("Flat", (make.call0()?,))?;
        let observation = space(&wrapped.getattr("observation")?, "state", scales)?;
        let action = space(&wrapped.getattr("action")?, "action", None)?;
        Ok(Self { environment: wrapped.unbind(), observation, action, raised })
    }

    /// Calls the environment, and keeps what it raises.
    fn call<T>(&self, call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T> {
        Python::attach(|py| call(self.environment.bind(py))).map_err(|e| self.raised.keep(e))
    }
}

fn numbers(array: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    PyBuffer::<f64>::get(array)?.to_vec(array.py())
}

impl Environment for Gymnasium {
    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        &self.action
    }

    fn time_limit(&self) -> Option<u32> {
        None // Gymnasium's own wrapper cuts episodes.
    }

    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        let seed = (uniform(rng) * f64::from(u32::MAX)) as u32;
        self.call(|environment| numbers(&environment.call_method1("reset", (seed,))?))
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.call(|environment| {
            let found = environment.call_method1("step", (action.to_vec(),))?;
            let (seen, reward, terminated, truncated): (Bound<'_, PyAny>, f64, bool, bool) =
                found.extract()?;
            let progress = match (terminated, truncated) {
                (true, _) => Progress::Terminated,
                (false, true) => Progress::Truncated,
                (false, false) => Progress::Goes,
            };
            Ok(Step { observation: numbers(&seen)?, reward, progress })
        })
    }

    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    fn set_state(&mut self, _state: &[f64]) -> Result<()> {
        Err(Error::model_file("the state of an environment of Python's cannot be set"))
    }

    fn sketch(&self) -> Sketch {
        Sketch { across: [0.0, 1.0], up: [0.0, 1.0], shapes: Vec::new() }
    }
}

impl Settings {
    fn trainer(&self, acted: usize, seed: u64) -> Result<TrainerOptions> {
        let mut options = TrainerOptions {
            algorithm: self.algorithm.parse::<Algorithm>()?,
            warmup: self.warmup,
            hold: self.hold,
            batch: self.batch,
            replay: self.replay,
            every: self.every,
            updates: self.updates,
            validate_every: self.validate_every,
            validate_episodes: self.validate_episodes,
            ..TrainerOptions::new(acted)
        };
        let agent = &mut options.agent;
        (agent.discount, agent.value_scale, agent.seed) = (self.discount, self.value_scale, seed);
        (agent.policy_rate, agent.value_rate) = (self.lr, self.lr);
        agent.hidden.clone_from(&self.hidden);
        match self.temperature {
            Some(temperature) => agent.temperature = Temperature::Fixed(temperature),
            None if options.algorithm == Algorithm::Meow => {
                agent.temperature = Temperature::Fixed(MEOW_TEMPERATURE);
            }
            None => {}
        }
        Ok(options)
    }

    fn preset(&self, kind: PolicyKind) -> PresetOptions {
        let usual = if kind == PolicyKind::Gaussian { 1 } else { 2 };
        let transforms = self.transforms.unwrap_or(usual);
        PresetOptions { transforms, hidden: self.hidden.clone(), ..PresetOptions::default() }
    }
}

/// Trains a policy; see `diffeo.control.train`. `report` is called with the step, the returns of episodes that ended, and the mean return of a validation.
#[pyfunction]
#[pyo3(signature = (make, settings, report))]
pub(crate) fn train_policy(
    py: Python<'_>,
    make: Py<PyAny>,
    settings: Settings,
    report: Option<Py<PyAny>>,
) -> PyResult<PyModel> {
    let raised = Raised::default();
    let scales = settings.scales.clone();
    let first = Gymnasium::new(make.bind(py), scales.as_deref(), raised.clone())?;
    let kept = raised.clone();
    let maker: Maker = Box::new(move || {
        let made =
            Python::attach(|py| Gymnasium::new(make.bind(py), scales.as_deref(), kept.clone()));
        match made {
            Ok(environment) => Box::new(environment),
            Err(error) => Box::new(Failed::new(kept.keep(error))),
        }
    });
    let trained = py.detach(|| train(maker, &first, &settings, report.as_ref(), &raised));
    trained.map(PyModel::from).map_err(|e| raised.or(e))
}

fn train(
    maker: Maker,
    first: &dyn Environment,
    settings: &Settings,
    report: Option<&Py<PyAny>>,
    raised: &Raised,
) -> Result<Model> {
    let kind: PolicyKind = settings.policy.parse()?;
    let seed = settings.seed.unwrap_or_else(drawn_seed);
    let interface = Interface::of(first);
    let options = settings.trainer(interface.acted(), seed)?;
    let spec = kind.spec(&interface, &settings.preset(kind))?;
    let mut trainer = Trainer::new(maker, settings.environments, &spec, options)?;
    trainer.settle_by(settings.steps);
    let mut looked = Instant::now();
    let (mut returns, mut refused) = (Vec::new(), 0);
    let mut course = Course::new(None, None);
    loop {
        let turn = match course.turn(&mut trainer.up_to(settings.steps)) {
            // Ctrl-C while a function of the caller's ran.
            Err(_) if raised.take_interrupt() => {
                let text = "interrupted: the best policy so far was kept";
                Python::attach(|py| warn(py, text)).map_err(|e| raised.keep(e))?;
                break;
            }
            turn => turn?,
        };
        let advanced = match turn {
            Turn::Step(advanced) => advanced,
            Turn::Ended(_, None) => break,
            Turn::Ended(_, Some(fault)) => {
                let text = format!("{}; the best policy is kept", fault.message());
                Python::attach(|py| warn(py, &text)).map_err(|e| raised.keep(e))?;
                break;
            }
        };
        let now: u64 = advanced.updated.iter().map(|updated| updated.refused).sum();
        if refused == 0 && now > 0 {
            let text = format!(
                "step {}: a loss or gradient was not finite; the weights went back, the rate was halved",
                trainer.steps()
            );
            Python::attach(|py| warn(py, &text)).map_err(|e| raised.keep(e))?;
        }
        refused += now;
        returns.extend(advanced.ended.iter().map(|ended| ended.earned));
        let validated = advanced.validated.map(|found| found.mean);
        if validated.is_some() || looked.elapsed() >= TURN {
            looked = Instant::now();
            let (steps, returns) = (trainer.steps(), std::mem::take(&mut returns));
            let told = Python::attach(|py| {
                let told = (|| {
                    py.check_signals()?;
                    report.map_or(Ok(()), |r| r.call1(py, (steps, returns, validated)).map(drop))
                })();
                match told {
                    Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => {
                        let text = "interrupted: the best policy so far was kept";
                        warn(py, text).map(|()| ControlFlow::Break(()))
                    }
                    told => told.map(ControlFlow::Continue),
                }
            });
            if told.map_err(|e| raised.keep(e))?.is_break() {
                break;
            }
        }
    }
    trainer.policy()
}

/// An environment that could not be made: what the caller's function raised comes when it is asked for anything.
struct Failed {
    space: Space,
    message: String,
}

impl Failed {
    fn new(error: Error) -> Self {
        let space = Space::new(vec![Axis::bounded("none", 0.0, 1.0)]);
        Self { space: space.expect("the bounds are constants"), message: error.to_string() }
    }

    fn error(&self) -> Error {
        Error::new(ErrorKind::Interrupted, self.message.clone())
    }
}

impl Environment for Failed {
    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn action_space(&self) -> &Space {
        &self.space
    }

    fn time_limit(&self) -> Option<u32> {
        None
    }

    fn reset(&mut self, _rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        Err(self.error())
    }

    fn step(&mut self, _action: &[f64]) -> Result<Step> {
        Err(self.error())
    }

    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    fn set_state(&mut self, _state: &[f64]) -> Result<()> {
        Err(self.error())
    }

    fn sketch(&self) -> Sketch {
        Sketch { across: [0.0, 1.0], up: [0.0, 1.0], shapes: Vec::new() }
    }
}
