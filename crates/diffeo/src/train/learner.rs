//! Steps of an optimiser on any loss: what fits, variational inference and policies have in common.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use diffeo_kernels::Aligned;
use rayon::ThreadPool;
use serde::Serialize;

use super::events::Event;
use super::objective::{Objective, Source};
use super::optimizer::{Pieces, Update, clip_scale};
use super::shards::thread_pool;
use super::snapshot::Snapshot;
use super::state::State;
use crate::engine::{Element, Layout, flat_gradient, flat_weights, set_weights, tracked};
use crate::error::{Error, ErrorKind, Result};
use crate::file::container::Container;
use crate::flow::Flow;
use crate::host::linalg::host_values;
use crate::parameter::Trainable;

/// How a [`Learner`] takes its steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearnerOptions {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay of the matrices of networks, relative to the learning rate.
    pub weight_decay: f64,
    /// Longest gradient that is used as it is; longer ones are shortened to this norm.
    pub clip_norm: f64,
    /// Decay of a running average of the weights, see [`Learner::averaged`]; 0 for none.
    pub average: f64,
    /// Whether the average starts with a low decay, so that the weights of the start are soon forgotten; else it has its decay from the first step on, as the targets of
    /// critics do.
    pub average_warmup: bool,
    /// Finite steps after which the weights are taken as good: those that a step that is not finite goes back to.
    pub good_after: u64,
    /// Threads of the optimiser; the result does not depend on it.
    #[serde(skip)]
    pub threads: usize,
}

impl Default for LearnerOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            weight_decay: 0.0,
            clip_norm: 5.0,
            average: 0.0,
            average_warmup: true,
            good_after: 100,
            threads: 1,
        }
    }
}

/// A module and the optimiser of its parameters: AdamW with clipping, averaging, roll-back and checkpoints.
///
/// ```
/// use diffeo::burn::tensor::{Device, Tensor};
/// use diffeo::train::{Learner, LearnerOptions};
/// use diffeo::{Preset, PresetOptions};
///
/// # fn main() -> diffeo::Result<()> {
/// let options = PresetOptions { hidden: vec![8], ..PresetOptions::default() };
/// let flow = Preset::Maf.spec(2, 0, &options)?.build(0)?;
/// let mut learner = Learner::new(flow, LearnerOptions::default())?;
/// let x = Tensor::<2>::ones([16, 2], &Device::flex());
/// for _ in 0..3 {
///     learner.step(|flow| Ok(flow.log_prob(x.clone(), None)?.mean().neg()))?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Learner<M> {
    module: M,
    state: Box<dyn Steps<M>>,
    options: LearnerOptions,
}

impl<M: Trainable + 'static> Learner<M> {
    /// At the first step, with the parameters that the module has.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for options out of range, [`crate::ErrorKind::Limit`] if threads cannot be started.
    pub fn new(module: M, options: LearnerOptions) -> Result<Self> {
        options.validate()?;
        let mut dtype = DType::F32;
        module.clone().visit(&mut |_, p| dtype = p.value.dtype());
        let state: Box<dyn Steps<M>> = match dtype {
            DType::F64 => Box::new(Flat::<f64>::new(&module, &options)?),
            _ => Box::new(Flat::<f32>::new(&module, &options)?),
        };
        Ok(Self { module, state, options })
    }

    /// The module with its weights of now.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// The module with the running average of its weights, if there is one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] if the module has other parameters than it had.
    pub fn averaged(&self) -> Result<M> {
        let mut module = self.module.clone();
        self.state.put(&mut module, true)?;
        Ok(module)
    }

    /// Steps taken so far, those that were refused included.
    pub fn steps(&self) -> u64 {
        self.state.steps()
    }

    /// Changes the learning rate of the steps to come.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a rate that is not positive; the rate then stays.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        let options = LearnerOptions { learning_rate: rate, ..self.options.clone() };
        options.validate()?;
        self.options = options;
        Ok(())
    }

    /// One step down the gradient of a loss, and what it was: [`Event::Step`], or [`Event::RolledBack`] where loss or gradient was not
    /// finite; the weights are then those of the last good step and the rate is halved, to be doubled again with each good one.
    ///
    /// # Errors
    /// Those of the loss; [`crate::ErrorKind::Diverged`] if the weights went back ten times and no step between was good. They are then the last good ones.
    pub fn step(&mut self, loss: impl FnOnce(&M) -> Result<Tensor<1>>) -> Result<Event> {
        let (with_gradients, leaves) = tracked(&self.module);
        let loss = loss(&with_gradients)?;
        let event = self.state.step(&loss, leaves, &self.options);
        self.state.put(&mut self.module, false)?;
        event
    }

    /// Writes weights and optimiser in one step, keeping the checkpoint before.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`]; the checkpoints on disk are then as they were.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut snapshot = Snapshot::new(KIND)?;
        snapshot.set_learner(KIND, self)?;
        snapshot.write(path)
    }

    /// What a [`Snapshot`] holds of it.
    pub(crate) fn write_into(&self, container: &mut Container) -> Result<()> {
        container.set_json(PARAMETERS, &parameters_of(&self.module))?;
        self.state.write_into(container)
    }

    /// Goes on from a checkpoint of a learner of the same module, to the same bits as if it had never stopped.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] or [`crate::ErrorKind::Version`] if it cannot be used, [`crate::ErrorKind::Config`] if it is of another
    /// module, or only one of the two averages; the learner is then as it was.
    pub fn restore(&mut self, path: &Path) -> Result<()> {
        Snapshot::read(KIND, path)?.restore_learner(KIND, self).map_err(|e| e.at(path))
    }

    /// Reads what [`Learner::write_into`] wrote.
    pub(crate) fn read_from(&mut self, container: &Container) -> Result<()> {
        let (was, is) = (container.json(PARAMETERS)?, parameters_of(&self.module));
        same_parameters(&was, &is)?;
        self.state.read_from(container, &self.options)?;
        self.state.put(&mut self.module, false)
    }
}

impl Learner<Flow> {
    /// One step on a batch of a source, towards an objective.
    ///
    /// # Errors
    /// Those of source and objective.
    pub fn learn(&mut self, objective: &dyn Objective, source: &mut dyn Source) -> Result<Event> {
        let batch = source.batch(self.steps())?;
        self.step(|flow| objective.loss(flow, &batch))
    }
}

impl LearnerOptions {
    fn validate(&self) -> Result<()> {
        let rate = self.learning_rate;
        if !(rate > 0.0 && rate.is_finite() && self.clip_norm > 0.0 && self.weight_decay >= 0.0) {
            return Err(Error::config(format!(
                "a learner needs a positive rate and clip norm and a weight decay of at least 0, found {rate}, {} and {}",
                self.clip_norm, self.weight_decay
            )));
        }
        if !(0.0..1.0).contains(&self.average) || self.threads == 0 || self.good_after == 0 {
            return Err(Error::config(format!(
                "a learner needs an average of at least 0 and below 1, threads and good steps of at least 1, found {}, {} and {}",
                self.average, self.threads, self.good_after
            )));
        }
        Ok(())
    }
}

/// Times that the weights go back with no good ones in between.
const ROLLBACKS_MAX: u32 = 10;
const KIND: &str = "learner";
/// The text of a checkpoint that says whose weights it holds.
const PARAMETERS: &str = "diffeo.parameters";

/// Names and shapes.
type Parameters = Vec<(String, [usize; 2])>;

fn parameters_of(module: &impl Trainable) -> Parameters {
    let mut found = Vec::new();
    module.clone().visit(&mut |name, p| found.push((name.to_owned(), p.value.dims())));
    found
}

/// # Errors
/// [`crate::ErrorKind::Config`] with the first difference.
fn same_parameters(was: &Parameters, is: &Parameters) -> Result<()> {
    let say = |parameter: Option<&(String, [usize; 2])>| {
        parameter
            .map_or("no parameter".to_owned(), |(name, shape)| format!("{name} of shape {shape:?}"))
    };
    match (0..was.len().max(is.len())).find(|&i| was.get(i) != is.get(i)) {
        None => Ok(()),
        Some(i) => Err(Error::config(format!(
            "the checkpoint is of another module: parameter {i} was {}, is {}",
            say(was.get(i)),
            say(is.get(i))
        ))),
    }
}

/// The state of a learner in the precision of its weights.
trait Steps<M>: Send {
    fn steps(&self) -> u64;
    fn step(
        &mut self,
        loss: &Tensor<1>,
        leaves: Vec<Tensor<2>>,
        options: &LearnerOptions,
    ) -> Result<Event>;
    fn put(&self, module: &mut M, average: bool) -> Result<()>;
    fn write_into(&self, container: &mut Container) -> Result<()>;
    fn read_from(&mut self, container: &Container, options: &LearnerOptions) -> Result<()>;
}

struct Flat<T> {
    state: State<T>,
    layout: Layout,
    pieces: Pieces,
    gradient: [Aligned<T>; 1],
    /// Absent where one thread is to do all: waking another would take longer than most steps of small modules.
    pool: Option<Arc<ThreadPool>>,
}

fn within<R: Send>(pool: &Option<Arc<ThreadPool>>, work: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

impl<T: Element> Flat<T> {
    fn new(module: &impl Trainable, options: &LearnerOptions) -> Result<Self> {
        let (layout, weights) = flat_weights(module)?;
        let gradient = [Aligned::zeros(layout.len())];
        let pieces = Pieces::new(&layout);
        let pool = (options.threads > 1).then(|| thread_pool(options.threads)).transpose()?;
        let state = State::new(weights, options.average > 0.0);
        Ok(Self { state, layout, pieces, gradient, pool })
    }

    /// Takes the weights as good, if so many steps were finite.
    fn note_good(&mut self, options: &LearnerOptions) {
        let counters = &mut self.state.counters;
        if counters.updates.is_multiple_of(options.good_after) {
            counters.good_step = counters.step;
            counters.rollbacks = 0;
            counters.rate_scale = (2.0 * counters.rate_scale).min(1.0);
            self.state.good.copy_from_slice(&self.state.weights);
        }
    }

    /// Goes back to the good weights, from a step that was not finite.
    fn roll_back(&mut self, loss: f64, learning_rate: f64) -> Result<Event> {
        let at = self.gradient[0].iter().position(|g| !g.wide().is_finite());
        let reason = match at {
            Some(at) => format!("the gradient of {} is not finite", self.layout.name_at(at)),
            None => format!("the loss is {loss}"),
        };
        self.state.roll_back();
        let counters = &self.state.counters;
        if counters.rollbacks >= ROLLBACKS_MAX {
            return Err(Error::new(
                ErrorKind::Diverged,
                format!(
                    "step {}: {reason}, as {} times since the last good step; lower the learning rate, or look for numbers far from all others",
                    counters.step, counters.rollbacks
                ),
            ));
        }
        let (step, to_step) = (counters.step, counters.good_step);
        let learning_rate = 0.5 * learning_rate;
        Ok(Event::RolledBack { step, to_step, learning_rate, reason, rows: vec![] })
    }
}

impl<M: Trainable, T: Element> Steps<M> for Flat<T> {
    fn steps(&self) -> u64 {
        self.state.counters.step
    }

    fn step(
        &mut self,
        loss: &Tensor<1>,
        leaves: Vec<Tensor<2>>,
        options: &LearnerOptions,
    ) -> Result<Event> {
        let rows = loss.dims()[0];
        flat_gradient(&loss.clone().sum(), leaves, &mut self.gradient[0])?;
        let loss: f64 = host_values(loss.clone().detach())?.iter().sum();
        let (pieces, gradient) = (&self.pieces, &mut self.gradient);
        let grad_norm = within(&self.pool, || pieces.sum(gradient));
        let learning_rate = options.learning_rate * self.state.counters.rate_scale;
        self.state.counters.step += 1;
        let step = self.state.counters.step;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return self.roll_back(loss, learning_rate);
        }
        let update = Update {
            rate: learning_rate,
            decay: options.weight_decay,
            scale: clip_scale(grad_norm, options.clip_norm),
            count: self.state.counters.updates + 1,
            average: options.average,
            average_warmup: options.average_warmup,
        };
        self.state.counters.updates += 1;
        let state = &mut self.state;
        let arrays = [state.weights.as_mut_slice(), state.average.as_mut_slice()];
        let (moments, gradient) = (&mut state.moments, &self.gradient[0]);
        within(&self.pool, || moments.update(arrays, gradient, &self.pieces, update));
        self.note_good(options);
        let clipped = grad_norm > options.clip_norm;
        Ok(Event::Step { step, loss, grad_norm, learning_rate, rows, clipped })
    }

    fn put(&self, module: &mut M, average: bool) -> Result<()> {
        let weights = if average { self.state.candidate() } else { &self.state.weights };
        set_weights(module, weights)
    }

    fn write_into(&self, container: &mut Container) -> Result<()> {
        self.state.write_into(container)
    }

    fn read_from(&mut self, container: &Container, options: &LearnerOptions) -> Result<()> {
        self.state = State::read_from(container, self.layout.len(), options.average > 0.0)?;
        Ok(())
    }
}
