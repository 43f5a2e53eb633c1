//! What a policy acts in: Gymnasium's conventions, as a trait.

use diffeo::{ChaCha8Rng, Error, ErrorKind, Result};

use crate::sketch::Sketch;
use crate::space::Space;

/// Whether an episode goes on. The difference matters: what would have come after a state in which an episode was merely cut is worth something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It does.
    Goes,
    /// A state was reached after which nothing comes: goal or failure.
    Terminated,
    /// It was cut for a reason that lies outside the state, such as a limit of time.
    Truncated,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is seen after it.
    pub observation: Vec<f64>,
    /// What it earned.
    pub reward: f64,
    /// Whether the episode goes on.
    pub progress: Progress,
}

/// A world with a state, in which actions earn rewards.
///
/// One of Gymnasium maps to it thus: `observation_space` and `action_space` are boxes, `reset` takes its randomness from a generator (or a seed drawn from it), and the flags
/// `terminated` and `truncated` are one [`Progress`], where `terminated` wins.
pub trait Environment: Send {
    /// What an observation consists of.
    fn observation_space(&self) -> &Space;

    /// What an action consists of; every number has two bounds.
    fn action_space(&self) -> &Space;

    /// Steps after which an episode is cut, if there is a limit.
    fn time_limit(&self) -> Option<u32>;

    /// Starts an episode, and what is seen at its start.
    ///
    /// # Errors
    /// When the world cannot start.
    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>>;

    /// Takes an action, whose numbers lie within their bounds.
    ///
    /// # Errors
    /// When the world cannot go on.
    fn step(&mut self, action: &[f64]) -> Result<Step>;

    /// All numbers that a checkpoint must hold for the episode to go on.
    fn state(&self) -> Vec<f64>;

    /// Goes on from such numbers.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] if they are not a state of this world.
    fn set_state(&mut self, state: &[f64]) -> Result<()>;

    /// What it looks like now.
    fn sketch(&self) -> Sketch;
}

/// An environment in the midst of an episode: counts steps, cuts at the limit, and lets nothing through that is not a number of its space.
pub struct Episode {
    environment: Box<dyn Environment>,
    observation: Vec<f64>,
    steps: u32,
    earned: f64,
}

/// An episode that has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// The sum of its rewards.
    pub earned: f64,
    /// Its steps.
    pub steps: u32,
    /// Whether it ended by itself, and was not cut.
    pub terminated: bool,
}

impl Episode {
    /// Starts an episode.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for actions without bounds; those of the environment.
    pub fn start(mut environment: Box<dyn Environment>, rng: &mut ChaCha8Rng) -> Result<Self> {
        if let Some(axis) = environment.action_space().axes().iter().find(|axis| !axis.is_bounded())
        {
            return Err(Error::config(format!(
                "actions need two bounds each, {} has [{}, {}]",
                axis.name, axis.low, axis.high
            )));
        }
        let observation = environment.reset(rng)?;
        let episode = Self { environment, observation, steps: 0, earned: 0.0 };
        episode.expect_seen(&episode.observation)?;
        Ok(episode)
    }

    /// Starts the next episode.
    ///
    /// # Errors
    /// Those of the environment.
    pub fn restart(&mut self, rng: &mut ChaCha8Rng) -> Result<()> {
        self.observation = self.environment.reset(rng)?;
        (self.steps, self.earned) = (0, 0.0);
        self.expect_seen(&self.observation)
    }

    /// Takes an action.
    ///
    /// # Errors
    /// [`ErrorKind::Domain`] for an action outside its space, and where the environment gives a number that is none; those of the environment.
    pub fn step(&mut self, action: &[f64]) -> Result<(Step, Option<Ended>)> {
        if let Some(fault) = self.environment.action_space().fault(action) {
            return Err(Error::new(ErrorKind::Domain, format!("action: {fault}")));
        }
        let mut step = self.environment.step(action)?;
        self.expect_seen(&step.observation)?;
        self.steps += 1;
        // As large as what learns can hold.
        if !(step.reward as f32).is_finite() {
            return Err(Error::new(
                ErrorKind::Domain,
                format!(
                    "the environment gave the reward {} at step {}; expected a finite number of single precision",
                    step.reward, self.steps
                ),
            ));
        }
        let is_over = self.environment.time_limit().is_some_and(|limit| self.steps >= limit);
        if is_over && step.progress == Progress::Goes {
            step.progress = Progress::Truncated;
        }
        self.earned += step.reward;
        self.observation.clone_from(&step.observation);
        let ended = (step.progress != Progress::Goes).then_some(Ended {
            earned: self.earned,
            steps: self.steps,
            terminated: step.progress == Progress::Terminated,
        });
        Ok((step, ended))
    }

    /// What is seen now.
    pub fn observation(&self) -> &[f64] {
        &self.observation
    }

    /// The environment.
    pub fn environment(&self) -> &dyn Environment {
        &*self.environment
    }

    /// All numbers that a checkpoint must hold.
    pub(crate) fn state(&self) -> Vec<f64> {
        let mut state = vec![f64::from(self.steps), self.earned];
        state.extend_from_slice(&self.observation);
        state.extend(self.environment.state());
        state
    }

    pub(crate) fn set_state(&mut self, state: &[f64]) -> Result<()> {
        let width = self.observation.len();
        let [steps, earned, rest @ ..] = state else { return Err(cut_off()) };
        let (observation, rest) = rest.split_at_checked(width).ok_or_else(cut_off)?;
        self.environment.set_state(rest)?;
        (self.steps, self.earned) = (*steps as u32, *earned);
        self.observation.copy_from_slice(observation);
        Ok(())
    }

    fn expect_seen(&self, observation: &[f64]) -> Result<()> {
        match self.environment.observation_space().fault(observation) {
            None => Ok(()),
            Some(fault) => {
                let text = format!("the environment gave an observation where {fault}");
                Err(Error::new(ErrorKind::Domain, text))
            }
        }
    }
}

fn cut_off() -> Error {
    Error::model_file("the state of an episode is cut off; start anew")
}

/// A state of so many numbers, each finite.
///
/// # Errors
/// [`ErrorKind::ModelFile`] if it is another.
pub(crate) fn numbers_of<const N: usize>(state: &[f64]) -> Result<[f64; N]> {
    let numbers = <[f64; N]>::try_from(state).ok();
    numbers.filter(|numbers| numbers.iter().all(|v| v.is_finite())).ok_or_else(|| {
        Error::model_file(format!(
            "expected the {N} numbers of an environment's state, found {}; start anew",
            state.len()
        ))
    })
}
