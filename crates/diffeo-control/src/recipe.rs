//! What suits each of our environments.

use diffeo::{PresetOptions, Result};

use crate::agent::Temperature;
use crate::environments::Task;
use crate::interface::Interface;
use crate::policy::PolicyKind;
use crate::trainer::{Algorithm, Trainer, TrainerOptions};

/// The temperature of [`Algorithm::Meow`], which tunes none, where nothing is said.
pub const MEOW_TEMPERATURE: f64 = 0.1;

/// Everything that a training needs beside its environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The options of the policy's flow.
    pub policy: PresetOptions,
    /// Those of the training.
    pub trainer: TrainerOptions,
    /// Steps in the environment.
    pub steps: u64,
}

impl Recipe {
    /// For a task, a policy and an algorithm.
    pub fn new(task: Task, kind: PolicyKind, algorithm: Algorithm) -> Self {
        let interface = Interface::of(&*task.environment());
        let mut trainer = TrainerOptions { algorithm, ..TrainerOptions::new(interface.acted()) };
        let transforms = if kind == PolicyKind::Gaussian { 1 } else { 2 };
        let policy = PresetOptions { transforms, hidden: vec![64, 64], ..PresetOptions::default() };
        let agent = &mut trainer.agent;
        let steps = match task {
            Task::Pendulum => {
                agent.value_scale = 10.0;
                20_000
            }
            // Random actions that are held reach the goal now and then; what they have seen must not be forgotten again.
            Task::MountainCar => {
                (trainer.hold, trainer.warmup, agent.discount) = (50, 5_000, 0.999);
                (agent.policy_rate, agent.value_rate, agent.smoothing) = (3e-4, 3e-4, 0.01);
                agent.value_scale = 30.0;
                20_000
            }
            Task::SwingUp => {
                agent.value_scale = 30.0;
                50_000
            }
            // Seen from afar, being near the target and being on it are worth nearly the same.
            Task::Reacher => {
                (agent.discount, agent.value_scale) = (0.9, 10.0);
                agent.temperature = Temperature::Tuned { initial: 1.0, entropy: -4.0 };
                50_000
            }
            // Which goal is nearest shows in a few units of values about -130: coarser values, and all episodes end at one goal.
            Task::MultiGoal => {
                (agent.discount, agent.temperature) = (0.9, Temperature::Fixed(2.5));
                (agent.value_scale, agent.hidden) = (30.0, vec![128, 128]);
                20_000
            }
        };
        if algorithm == Algorithm::Meow && !matches!(agent.temperature, Temperature::Fixed(_)) {
            agent.temperature = Temperature::Fixed(MEOW_TEMPERATURE);
        }
        Self { policy, trainer, steps }
    }

    /// A training by it at its first step, whose learning rates fall by its last one.
    ///
    /// # Errors
    /// As [`PolicyKind::spec`] and [`Trainer::new`].
    pub fn begin(&self, task: Task, kind: PolicyKind, environments: usize) -> Result<Trainer> {
        let spec = kind.spec(&Interface::of(&*task.environment()), &self.policy)?;
        let make = Box::new(move || task.environment());
        let mut trainer = Trainer::new(make, environments, &spec, self.trainer.clone())?;
        trainer.settle_by(self.steps);
        Ok(trainer)
    }
}
