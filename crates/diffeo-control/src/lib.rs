//! Soft actor-critic whose policy is a normalizing flow: environments, algorithms and the loop between them.
//!
//! A policy is the density `pi(a | s)` of an action given what is observed. A flow gives a draw of it and its exact density at once, which is all that
//! maximum-entropy control asks for, and may have several modes where a Gaussian has one.
//!
//! * [`Environment`] is the seam: Gymnasium's conventions as a trait. [`Task`] names those with dynamics in closed form.
//! * [`Trainer`] takes steps and lets an [`Agent`] learn: [`SoftActorCritic`], or [`EnergyFlow`], where one flow is policy and critic.
//! * A policy is a [`diffeo::Model`] of the columns of an action given those of an observation ([`Interface::model`]); [`play`] lets it act.
//!
//! Actions are kept before `tanh`, so densities have their digits next to the bounds.
//!
//! ```
//! use diffeo_control::{Algorithm, PolicyKind, Recipe, Task, Trainer};
//!
//! # fn main() -> diffeo::Result<()> {
//! let (task, kind) = (Task::Pendulum, PolicyKind::Gaussian);
//! let mut recipe = Recipe::new(task, kind, Algorithm::Sac);
//! (recipe.trainer.warmup, recipe.trainer.batch) = (20, 8);
//! let interface = diffeo_control::Interface::of(&*task.environment());
//! let spec = kind.spec(&interface, &recipe.policy)?;
//! let mut trainer = Trainer::new(Box::new(move || task.environment()), 1, &spec, recipe.trainer)?;
//! while trainer.steps() < 30 {
//!     trainer.advance()?;
//! }
//! let policy = trainer.policy()?;
//! assert_eq!(policy.schema().columns[0].name, "torque");
//! # Ok(())
//! # }
//! ```

mod agent;
mod environment;
mod environments;
mod interface;
mod meow;
mod origin;
mod play;
mod policy;
mod recipe;
mod replay;
mod sac;
mod sketch;
mod space;
mod trainer;
mod value_networks;

pub use agent::{Agent, AgentOptions, Temperature, Updated};
pub use environment::{Ended, Environment, Episode, Progress, Step};
pub use environments::{GoalTally, MountainCar, MultiGoal, Pendulum, Reacher, SwingUp, Task};
pub use interface::{Interface, squash};
pub use meow::EnergyFlow;
pub use origin::Origin;
pub use play::{Conduct, Played, play};
pub use policy::{Drawn, PolicyKind, draw, log_prob};
pub use recipe::{MEOW_TEMPERATURE, Recipe};
pub use replay::{Batch, Replay, Transition};
pub use sac::SoftActorCritic;
pub use sketch::{Shape, Sketch, Tone};
pub use space::{Axis, Space};
pub use trainer::{Advanced, Algorithm, Maker, Return, Trainer, TrainerOptions, UpTo, Validated};
pub use value_networks::Twins;
