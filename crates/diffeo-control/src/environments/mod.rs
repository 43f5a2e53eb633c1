//! Worlds with dynamics in closed form.

mod mountain_car;
mod multi_goal;
mod pendulum;
mod reacher;
mod swing_up;

use std::fmt;
use std::str::FromStr;

use diffeo::{Error, Result, quoted};

use crate::environment::Environment;

pub use mountain_car::MountainCar;
pub use multi_goal::{GoalTally, MultiGoal};
pub use pendulum::Pendulum;
pub use reacher::Reacher;
pub use swing_up::SwingUp;

/// An environment by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// [`Pendulum`].
    Pendulum,
    /// [`MountainCar`].
    MountainCar,
    /// [`SwingUp`].
    SwingUp,
    /// [`Reacher`].
    Reacher,
    /// [`MultiGoal`].
    MultiGoal,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pendulum, Self::MountainCar, Self::SwingUp, Self::Reacher, Self::MultiGoal];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pendulum => "pendulum",
            Self::MountainCar => "mountain-car",
            Self::SwingUp => "swing-up",
            Self::Reacher => "reacher",
            Self::MultiGoal => "multi-goal",
        }
    }

    /// What is to be done, in a few words.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Pendulum => "swing a pendulum up by too weak a motor and hold it there",
            Self::MountainCar => "drive out of a valley that is too steep for the engine",
            Self::SwingUp => "swing a pole on a cart up and balance it, within a track",
            Self::Reacher => "bring the tip of a two-link arm to a point; either elbow will do",
            Self::MultiGoal => "reach one of four goals that are as good as each other",
        }
    }

    /// The environment.
    pub fn environment(self) -> Box<dyn Environment> {
        match self {
            Self::Pendulum => Box::new(Pendulum::default()),
            Self::MountainCar => Box::new(MountainCar::default()),
            Self::SwingUp => Box::new(SwingUp::default()),
            Self::Reacher => Box::new(Reacher::default()),
            Self::MultiGoal => Box::new(MultiGoal::default()),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::config(format!("environment {} is unknown; choose one of {names}", quoted(text)))
        })
    }
}

/// The spaces of an environment of ours, which are known to be sound.
fn space(axes: Vec<crate::space::Axis>) -> crate::space::Space {
    crate::space::Space::new(axes).expect("the bounds are constants")
}

/// Uniform on `[low, high)`.
fn between(rng: &mut diffeo::ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * diffeo::uniform(rng)
}
