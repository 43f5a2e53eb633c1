//! Steps towards an objective, validations, and checkpoints.

use std::path::Path;

use diffeo::burn::tensor::Tensor;
use diffeo::train::{Event, Learner, LearnerOptions, Schedule, Snapshot, Stepwise};
use diffeo::{Error, ErrorKind, Result, Streams, Trainable};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::{Batch, Dataset, Signal};

/// How a module is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingOptions {
    /// Steps.
    pub steps: u64,
    /// Stretches of a step.
    pub rows: usize,
    /// Samples of each, a multiple of a frame.
    pub length: usize,
    /// Peak learning rate; it rises over the first fiftieth of the steps, and falls like half a cosine.
    pub learning_rate: f64,
    /// Longest gradient that is used as it is.
    pub clip_norm: f64,
    /// Decay of the running average of the weights, which are validated and kept.
    pub average: f64,
    /// Steps from one validation to the next.
    pub validate_every: u64,
    /// Seed of weights and draws.
    pub seed: u64,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self {
            steps: 1000,
            rows: 64,
            length: 1600,
            learning_rate: 2e-3,
            clip_norm: 10.0,
            average: 0.99,
            validate_every: 100,
            seed: 0,
        }
    }
}

/// Seconds of the longest stretch.
pub const STRETCH_MAX: f64 = 60.0;
/// Validations of a training where nothing is said.
const VALIDATIONS: u64 = 20;

impl TrainingOptions {
    /// Steps from one validation to the next where nothing is said, of so many.
    pub fn usual_validation(steps: u64) -> u64 {
        (steps / VALIDATIONS).max(1)
    }

    /// Those of the training that left a checkpoint.
    ///
    /// # Errors
    /// As [`Training::resumed`].
    pub fn of_checkpoint(path: &Path) -> Result<Self> {
        Snapshot::read(KIND, path)?.get("options").map_err(|e| e.at(path))
    }
}

/// Steps in which the rate rises, as a part of all.
const WARMUP: u64 = 50;

/// Something to be learned by a module.
pub trait Task<M> {
    /// What a step goes down the gradient of.
    ///
    /// # Errors
    /// Those of the module.
    fn loss(&self, module: &M, step: u64) -> Result<Tensor<1>>;

    /// What is compared: the lower, the better.
    ///
    /// # Errors
    /// Those of the module.
    fn validate(&self, module: &M) -> Result<f64>;
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Advanced {
    /// Steps so far.
    pub step: u64,
    /// The loss; NaN where the step was refused.
    pub loss: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// Why the step was refused, if it was: the weights went back, and the rate was halved.
    pub refused: Option<String>,
    /// What the validation behind it found, if there was one, and whether none before was as good.
    pub validated: Option<(f64, bool)>,
}

/// A module that is being trained.
pub struct Training<M> {
    learner: Learner<M>,
    options: TrainingOptions,
    identity: Value,
    end: Option<u64>,
    best: Option<(M, f64)>,
}

/// A training towards a task.
pub struct OnTask<'a, M, T> {
    training: &'a mut Training<M>,
    task: &'a T,
}

impl<M: Trainable + 'static, T: Task<M>> Stepwise for OnTask<'_, M, T> {
    type Step = Advanced;

    fn steps(&self) -> u64 {
        self.training.steps()
    }

    fn is_done(&self) -> bool {
        self.training.is_done()
    }

    fn advance(&mut self) -> Result<Advanced> {
        self.training.advance(self.task)
    }

    fn has_best(&self) -> bool {
        self.training.best().is_some()
    }

    fn settle_by(&mut self, step: u64) {
        self.training.settle_by(step);
    }

    fn save(&self, path: &Path) -> Result<()> {
        self.training.save(path)
    }
}

const KIND: &str = "audio";

impl<M: Trainable + 'static> Training<M> {
    /// At the first step. `identity` is what a checkpoint must have been of to go on from it, beside the options.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for options out of range.
    pub fn new(module: M, options: TrainingOptions, identity: Value) -> Result<Self> {
        let counts = [options.steps, options.rows as u64, options.length as u64];
        if counts.contains(&0) || options.validate_every == 0 {
            return Err(Error::config(format!(
                "expected a step, a row of a sample, and validations at least a step apart, found {options:?}"
            )));
        }
        let learner = LearnerOptions {
            learning_rate: options.learning_rate,
            clip_norm: options.clip_norm,
            average: options.average,
            ..LearnerOptions::default()
        };
        let learner = Learner::new(module, learner)?;
        Ok(Self { learner, options, identity, end: None, best: None })
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.learner.steps()
    }

    /// The options.
    pub fn options(&self) -> &TrainingOptions {
        &self.options
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.steps() >= self.options.steps
    }

    /// The step at which the rate has fallen.
    pub fn end(&self) -> u64 {
        self.end.map_or(self.options.steps, |end| end.min(self.options.steps))
    }

    /// Lets the rate fall by a step, if that comes before the last: for a caller who stops by the clock.
    pub fn settle_by(&mut self, step: u64) {
        self.end = Some(step);
    }

    /// The best validation so far.
    pub fn best(&self) -> Option<f64> {
        self.best.as_ref().map(|(_, loss)| *loss)
    }

    /// The averaged weights of the best validation.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] if no validation was finite.
    pub fn finish(mut self, task: &impl Task<M>) -> Result<(M, f64)> {
        if self.best.is_none() || !self.learner.steps().is_multiple_of(self.options.validate_every)
        {
            self.validate(task)?;
        }
        self.best.ok_or_else(|| {
            Error::new(
                ErrorKind::Diverged,
                "no validation was a number; lower the learning rate, or look for damaged recordings",
            )
        })
    }

    /// Its steps towards a task.
    pub fn on<'a, T: Task<M>>(&'a mut self, task: &'a T) -> OnTask<'a, M, T> {
        OnTask { training: self, task }
    }

    /// Takes a step, and validates where that is due.
    ///
    /// # Errors
    /// Those of the task.
    pub fn advance(&mut self, task: &impl Task<M>) -> Result<Advanced> {
        let (step, total) = (self.learner.steps(), self.end());
        let peak = self.options.learning_rate;
        let schedule = Schedule { peak, warmup: total / WARMUP, total };
        self.learner.set_learning_rate(schedule.rate(step))?;
        let event = self.learner.step(|module| task.loss(module, step))?;
        let mut advanced = match event {
            Event::Step { step, loss, learning_rate, .. } => {
                Advanced { step, loss, learning_rate, refused: None, validated: None }
            }
            Event::RolledBack { step, learning_rate, reason, .. } => Advanced {
                step,
                loss: f64::NAN,
                learning_rate,
                refused: Some(reason),
                validated: None,
            },
            other => {
                let message = format!("a step came to {other:?}");
                return Err(Error::new(ErrorKind::Internal, message));
            }
        };
        if advanced.step.is_multiple_of(self.options.validate_every) || self.is_done() {
            advanced.validated = Some(self.validate(task)?);
        }
        Ok(advanced)
    }

    fn validate(&mut self, task: &impl Task<M>) -> Result<(f64, bool)> {
        let module = match self.options.average > 0.0 {
            true => self.learner.averaged()?,
            false => self.learner.module().clone(),
        };
        let loss = task.validate(&module)?;
        let is_best = loss.is_finite() && self.best().is_none_or(|best| loss < best);
        if is_best {
            self.best = Some((module, loss));
        }
        Ok((loss, is_best))
    }

    /// Writes everything that [`Training::resumed`] needs, in one step, keeping the checkpoint before.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; what is on disk is then as it was.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut snapshot = Snapshot::new(KIND)?;
        snapshot.set("identity", &self.identity)?;
        snapshot.set("options", &self.options)?;
        snapshot.set_learner("module", &self.learner)?;
        snapshot.set("best", &self.best().map(f64::to_bits))?;
        if let Some((module, _)) = &self.best {
            snapshot.set_module("best", module)?;
        }
        snapshot.write(path)
    }

    /// Goes on from a checkpoint of the same training, to the same bits as if it had never stopped.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is none, [`ErrorKind::ModelFile`] or [`ErrorKind::Version`] if it cannot be used, [`ErrorKind::Config`] if it is of another training.
    pub fn resumed(mut self, path: &Path) -> Result<Self> {
        let snapshot = Snapshot::read(KIND, path)?;
        self.read_from(&snapshot).map_err(|e| e.at(path))?;
        Ok(self)
    }

    fn read_from(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.expect("training", "options", &self.options)?;
        snapshot.expect("training", "identity", &self.identity)?;
        snapshot.restore_learner("module", &mut self.learner)?;
        let best: Option<u64> = snapshot.get("best")?;
        let module =
            |bits| Ok((snapshot.module("best", self.learner.module())?, f64::from_bits(bits)));
        self.best = best.map(module).transpose()?;
        Ok(())
    }
}

/// A module that gives a waveform a density.
pub trait Density {
    /// `ln p` of each sample given those that come before it in the order of the module, `[n, length]`, of rows around which is silence; `mask` is 1 where a recording is, 0 behind it.
    ///
    /// # Errors
    /// As [`Network::parameters`](crate::Network::parameters).
    fn log_prob(
        &self,
        x: Tensor<2>,
        mask: &Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<Tensor<2>>;

    /// The same of some signals.
    ///
    /// # Errors
    /// As [`Network::parameters`](crate::Network::parameters).
    fn score(&self, signals: &[&Signal]) -> Result<Vec<Vec<f64>>>;
}

/// The density of recordings: the mean of `-ln p(x_t | x_<t)`.
pub struct Likelihood {
    /// Recordings to learn from.
    pub train: Dataset,
    /// Recordings to validate on.
    pub valid: Dataset,
    /// Rows and samples of a step.
    pub shape: [usize; 2],
    /// Draws of stretches and noise.
    pub streams: Streams,
}

impl<M: Density> Task<M> for Likelihood {
    fn loss(&self, module: &M, step: u64) -> Result<Tensor<1>> {
        let Batch { x, log_gain, mask, context } =
            self.train.batch(self.streams, step, self.shape)?;
        let count = mask.clone().sum();
        let log_prob = (module.log_prob(x, &mask, context.as_ref())? - log_gain) * mask;
        Ok(log_prob.sum().neg() / count)
    }

    fn validate(&self, module: &M) -> Result<f64> {
        let signals = self.valid.unrounded(self.streams);
        let signals: Vec<&Signal> = signals.iter().collect();
        let Dataset { condition, units, .. } = &self.valid;
        let found = condition.score(&signals, units.rate, |seen| module.score(seen))?;
        let count: usize = found.iter().map(Vec::len).sum();
        Ok(-found.iter().flatten().sum::<f64>() / count as f64)
    }
}
