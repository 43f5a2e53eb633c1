//! Steps in environments and updates of an agent, in turn.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use diffeo::burn::tensor::Tensor;
use diffeo::file::container::finite_or_text;
use diffeo::train::{Snapshot, Stepwise};
use diffeo::{Error, Flow, FlowSpec, Model, Purpose, Result, Streams, quoted, uniform_open};
use serde::{Deserialize, Serialize};

use crate::agent::{Agent, AgentOptions, Temperature, Updated};
use crate::environment::{Ended, Environment, Episode, Progress};
use crate::interface::{Interface, rows};
use crate::meow::EnergyFlow;
use crate::play::{Conduct, Played, play};
use crate::policy::{base_draws, draw};
use crate::replay::{Replay, Transition};
use crate::sac::SoftActorCritic;

/// What learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// [`SoftActorCritic`].
    Sac,
    /// [`EnergyFlow`].
    Meow,
}

/// How experience is made and used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerOptions {
    /// What learns.
    pub algorithm: Algorithm,
    /// Its options.
    pub agent: AgentOptions,
    /// Steps in all environments together with random actions, before anything is learned.
    pub warmup: u64,
    /// Steps for which a random action is held.
    pub hold: u64,
    /// Transitions of an update.
    pub batch: usize,
    /// Most transitions that are kept.
    pub replay: usize,
    /// Steps, one in each environment, from one round of updates to the next.
    pub every: u64,
    /// Updates of a round.
    pub updates: u64,
    /// Steps in all environments together from one validation to the next; 0 for none.
    pub validate_every: u64,
    /// Episodes of a validation, which start the same each time.
    pub validate_episodes: usize,
}

impl TrainerOptions {
    /// What suits an action of so many numbers.
    pub fn new(acted: usize) -> Self {
        Self {
            algorithm: Algorithm::Sac,
            agent: AgentOptions::new(acted),
            warmup: 1000,
            hold: 1,
            batch: 256,
            replay: 100_000,
            every: 1,
            updates: 1,
            validate_every: 1000,
            validate_episodes: 20,
        }
    }

    fn validate(&self) -> Result<()> {
        let counts = [self.hold, self.batch as u64, self.every, self.updates];
        if counts.contains(&0) {
            return Err(Error::config(format!(
                "expected actions to be held for a step at least, a batch, and rounds of an update at least after a step at least, found {counts:?}"
            )));
        }
        self.agent.validate()
    }
}

/// What a step in each environment came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advanced {
    /// Episodes that ended.
    pub ended: Vec<Ended>,
    /// Updates that were made.
    pub updated: Vec<Updated>,
    /// How the policy did, where it was validated.
    pub validated: Option<Validated>,
}

/// How a policy did on the episodes of a validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validated {
    /// Steps in all environments before it.
    pub steps: u64,
    /// Mean of the returns.
    #[serde(with = "finite_or_text")]
    pub mean: f64,
    /// What validations are compared by: the mean return, plus the temperature times the mean of `-ln pi` summed over an episode where the temperature is fixed, so that it has a worth.
    #[serde(with = "finite_or_text")]
    pub worth: f64,
    /// Standard error of the worth.
    #[serde(with = "finite_or_text")]
    pub error: f64,
    /// Share of the episodes that ended by themselves.
    pub terminated: f64,
    /// Whether its policy is kept: none before was better by more than the error.
    pub best: bool,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sac => "sac",
            Self::Meow => "meow",
        })
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Sac, Self::Meow];
        all.into_iter().find(|algorithm| algorithm.to_string() == text).ok_or_else(|| {
            Error::config(format!("algorithm {} is unknown; choose sac or meow", quoted(text)))
        })
    }
}

/// Makes environments of one kind.
pub type Maker = Box<dyn Fn() -> Box<dyn Environment> + Send>;

/// How far training has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    /// Steps in each environment.
    steps: u64,
    updates: u64,
    /// Episodes that were begun.
    episodes: u64,
}

/// What two trainings that give the same bits have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    policy: FlowSpec,
    options: TrainerOptions,
    environments: usize,
}

/// A policy that is being learned: a few environments, what was experienced, and an agent.
///
/// Results depend on the options alone; a training that goes on from its checkpoint gives the same bits as one that never stopped.
pub struct Trainer {
    episodes: Vec<Episode>,
    interface: Interface,
    agent: Box<dyn Agent>,
    replay: Replay,
    identity: Identity,
    streams: Streams,
    count: Count,
    make: Maker,
    end: Option<u64>,
    best: Option<(Flow, Validated)>,
    /// The greatest worth of all validations.
    highest: f64,
    returns: Vec<Return>,
}

/// What an episode of a training earned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Return {
    /// Steps in all environments by its end.
    pub steps: u64,
    /// The sum of its rewards.
    pub earned: f64,
}

/// A training up to so many steps.
pub struct UpTo<'a> {
    trainer: &'a mut Trainer,
    steps: u64,
}

impl Stepwise for UpTo<'_> {
    type Step = Advanced;

    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn is_done(&self) -> bool {
        self.trainer.steps() >= self.steps
    }

    fn advance(&mut self) -> Result<Advanced> {
        self.trainer.advance()
    }

    fn has_best(&self) -> bool {
        self.trainer.best().is_some()
    }

    fn settle_by(&mut self, step: u64) {
        self.trainer.settle_by(step.min(self.steps));
    }

    fn save(&self, path: &Path) -> Result<()> {
        self.trainer.save(path)
    }
}

/// Share of the learning rates that is left at the end, where an end is known.
const SETTLED: f64 = 0.05;
const KIND: &str = "control";
/// Most environments that are stepped side by side.
const ENVIRONMENTS_MAX: usize = 4096;

impl Trainer {
    /// At the first step, in so many environments.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for options out of range or no environment, [`diffeo::ErrorKind::Shape`] for a policy of other widths; those of the environments.
    pub fn new(
        make: Maker,
        environments: usize,
        policy: &FlowSpec,
        options: TrainerOptions,
    ) -> Result<Self> {
        options.validate()?;
        if !(1..=ENVIRONMENTS_MAX).contains(&environments) {
            return Err(Error::config(format!(
                "expected 1 to {ENVIRONMENTS_MAX} environments, found {environments}"
            )));
        }
        let streams = Streams::new(options.agent.seed);
        let start = |i| Episode::start(make(), &mut streams.rng(Purpose::Simulate, i as u64, 0));
        let episodes: Vec<Episode> = (0..environments).map(start).collect::<Result<_>>()?;
        let interface = Interface::of(episodes[0].environment());
        let flow = policy.build(options.agent.seed)?;
        // Refuses a flow of other widths, and columns with one name, before anything is learned.
        interface.model(flow.clone())?;
        let replay = Replay::new(options.replay, interface.observed(), interface.acted())?;
        let agent: Box<dyn Agent> = match options.algorithm {
            Algorithm::Sac => Box::new(SoftActorCritic::new(flow, &options.agent)?),
            Algorithm::Meow => Box::new(EnergyFlow::new(flow, &options.agent)?),
        };
        let count = Count { episodes: environments as u64, ..Count::default() };
        let identity = Identity { policy: policy.clone(), options, environments };
        Ok(Self {
            episodes,
            interface,
            agent,
            replay,
            identity,
            streams,
            count,
            make,
            end: None,
            best: None,
            highest: f64::NEG_INFINITY,
            returns: Vec::new(),
        })
    }

    /// Lets the learning rates fall over the second half of so many steps in all environments together, for a caller who will stop there; before, they are constant.
    /// Critics chase targets that they make themselves: what they are off by last is what the policy of the last steps has believed.
    ///
    /// A checkpoint does not hold this.
    pub fn settle_by(&mut self, step: u64) {
        self.end = Some(step);
    }

    /// The step by which the rates fall, if one was said.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// Its steps up to so many.
    pub fn up_to(&mut self, steps: u64) -> UpTo<'_> {
        UpTo { trainer: self, steps }
    }

    /// Steps so far, in all environments together.
    pub fn steps(&self) -> u64 {
        self.count.steps * self.episodes.len() as u64
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.count.updates
    }

    /// Environments that are stepped side by side.
    pub fn environments(&self) -> usize {
        self.episodes.len()
    }

    /// The episodes that have ended, also before the checkpoint that the training went on from.
    pub fn returns(&self) -> &[Return] {
        &self.returns
    }

    /// What learns.
    pub fn agent(&self) -> &dyn Agent {
        &*self.agent
    }

    /// The last validation of which no other was better by more than its error.
    pub fn best(&self) -> Option<Validated> {
        self.best.as_ref().map(|(_, validated)| *validated)
    }

    /// The averaged policy of that validation, or the one of now if there was none, with the columns that it is about.
    ///
    /// # Errors
    /// As [`Interface::model`].
    pub fn policy(&self) -> Result<Model> {
        let best = self.best.as_ref().map(|(flow, _)| flow.clone());
        self.interface.model(best.map_or_else(|| self.agent.averaged(), Ok)?)
    }

    /// A step in each environment, and the updates that are due.
    ///
    /// # Errors
    /// Those of environments and agent.
    pub fn advance(&mut self) -> Result<Advanced> {
        let mut advanced = Advanced::default();
        let contexts: Vec<Vec<f32>> =
            self.episodes.iter().map(|e| self.interface.context(e.observation())).collect();
        let actions = self.actions(&contexts)?;
        let d = self.interface.acted();
        for (i, (state, u)) in contexts.into_iter().zip(actions.chunks(d)).enumerate() {
            let episode = &mut self.episodes[i];
            let (step, ended) = episode.step(&self.interface.action(u))?;
            self.replay.add(&Transition {
                state,
                u: u.to_vec(),
                reward: step.reward as f32,
                next: self.interface.context(&step.observation),
                terminal: step.progress == Progress::Terminated,
            });
            if let Some(ended) = ended {
                advanced.ended.push(ended);
                let number = self.count.episodes;
                episode.restart(&mut self.streams.rng(Purpose::Simulate, number, 0))?;
                self.count.episodes += 1;
            }
        }
        self.count.steps += 1;
        let steps = self.steps();
        let returns = advanced.ended.iter().map(|ended| Return { steps, earned: ended.earned });
        self.returns.extend(returns);
        let options = &self.identity.options;
        if self.steps() < options.warmup {
            return Ok(advanced);
        }
        if self.count.steps.is_multiple_of(options.every) {
            if let Some(end) = self.end {
                let left = 1.0 - self.steps() as f64 / end.max(1) as f64;
                self.agent.slow_to((2.0 * left).clamp(SETTLED, 1.0))?;
            }
            for _ in 0..options.updates {
                let number = self.count.updates;
                let mut rng = self.streams.rng(Purpose::Shuffle, number, 0);
                let batch = self.replay.draw(options.batch, &mut rng, self.agent.policy());
                advanced.updated.push(self.agent.update(&batch, self.streams, number)?);
                self.count.updates += 1;
            }
        }
        advanced.validated = self.validate()?;
        Ok(advanced)
    }

    /// Lets the policy act, if it is time to.
    fn validate(&mut self) -> Result<Option<Validated>> {
        let (options, steps) = (&self.identity.options, self.steps());
        let before = steps - self.episodes.len() as u64;
        let round = |steps: u64| steps.checked_div(options.validate_every);
        if round(steps) == round(before) || options.validate_episodes == 0 {
            return Ok(None);
        }
        let flow = self.agent.averaged()?;
        let (seed, n) = (self.streams.seed(), options.validate_episodes);
        let played = play(&flow, &*self.make, (0, n), Conduct::Drawn, (seed, false))?;
        let worth = |p: &Played| match options.agent.temperature {
            Temperature::Fixed(temperature) => {
                p.ended.earned - temperature * p.log_probs.iter().sum::<f64>()
            }
            Temperature::Tuned { .. } => p.ended.earned,
        };
        let (worth, error) = mean_and_error(played.iter().map(worth));
        let mut validated = Validated {
            steps,
            mean: mean_and_error(played.iter().map(|p| p.ended.earned)).0,
            worth,
            error,
            terminated: played.iter().filter(|p| p.ended.terminated).count() as f64 / n as f64,
            best: false,
        };
        // The luck of twenty episodes must not choose an early policy over all that learned more.
        validated.best = self.best.is_none() || worth + error >= self.highest;
        self.highest = self.highest.max(worth);
        if validated.best {
            self.best = Some((flow, validated));
        }
        Ok(Some(validated))
    }

    /// An action for each state, before `tanh`.
    fn actions(&self, contexts: &[Vec<f32>]) -> Result<Vec<f32>> {
        let (options, d) = (&self.identity.options, self.interface.acted());
        if self.steps() < options.warmup {
            let held = self.count.steps / options.hold;
            let any = |i: usize| {
                let mut rng = self.streams.rng(Purpose::Start, held, i as u64);
                (0..d).map(move |_| (2.0 * uniform_open(&mut rng) - 1.0).atanh() as f32)
            };
            return Ok((0..contexts.len()).flat_map(any).collect());
        }
        let flow = self.agent.policy();
        let states = rows(contexts.concat(), self.interface.observed(), flow);
        let z =
            base_draws(flow, self.streams, (Purpose::Sample, self.count.steps), contexts.len())?;
        numbers(draw(flow, &states, z)?.u)
    }

    /// Writes all that it needs to go on, keeping the checkpoint before.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Io`]; the checkpoints on disk are then as they were.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut snapshot = Snapshot::new(KIND)?;
        snapshot.set("identity", &self.identity)?;
        snapshot.set("count", &self.count)?;
        self.agent.write_into(&mut snapshot)?;
        self.replay.write_into(&mut snapshot)?;
        for (i, episode) in self.episodes.iter().enumerate() {
            let state = episode.state();
            snapshot.set_numbers(&format!("episode.{i}"), &[state.len()], &state);
        }
        snapshot.set("best", &self.best())?;
        snapshot.set("highest", &self.highest.to_bits())?;
        let returns: Vec<f64> =
            self.returns.iter().flat_map(|r| [r.steps as f64, r.earned]).collect();
        snapshot.set_numbers("returns", &[self.returns.len(), 2], &returns);
        if let Some((flow, _)) = &self.best {
            snapshot.set_module("best", flow)?;
        }
        snapshot.write(path)
    }

    /// The seed of the training that left a checkpoint.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Io`] if there is none, [`diffeo::ErrorKind::ModelFile`] or [`diffeo::ErrorKind::Version`] if it cannot be used.
    pub fn seed_of(path: &Path) -> Result<u64> {
        let was: Identity = Snapshot::read(KIND, path)?.get("identity").map_err(|e| e.at(path))?;
        Ok(was.options.agent.seed)
    }

    /// Goes on from a checkpoint of the same training, which was made anew for this.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Io`] if there is none, [`diffeo::ErrorKind::ModelFile`] or [`diffeo::ErrorKind::Version`] if it cannot be used, [`diffeo::ErrorKind::Config`] if it is of
    /// another training.
    pub fn resumed(mut self, path: &Path) -> Result<Self> {
        let snapshot = Snapshot::read(KIND, path)?;
        self.read_from(&snapshot).map_err(|e| e.at(path))?;
        Ok(self)
    }

    fn read_from(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.expect("training", "identity", &self.identity)?;
        let count: Count = snapshot.get("count")?;
        self.agent.read_from(snapshot)?;
        self.replay.read_from(snapshot)?;
        for (i, episode) in self.episodes.iter_mut().enumerate() {
            let name = format!("episode.{i}");
            episode.set_state(&snapshot.numbers(&name, snapshot.len(&name))?)?;
        }
        let best: Option<Validated> = snapshot.get("best")?;
        let flow = |validated| Ok((snapshot.module("best", self.agent.policy())?, validated));
        self.best = best.map(flow).transpose()?;
        self.highest = f64::from_bits(snapshot.get("highest")?);
        // A checkpoint of a release that did not keep them has none.
        let returns = snapshot.numbers("returns", snapshot.len("returns"))?;
        let of = |r: &[f64]| Return { steps: r[0] as u64, earned: r[1] };
        self.returns = returns.chunks_exact(2).map(of).collect();
        self.count = count;
        Ok(())
    }
}

/// Mean and standard error of some numbers.
fn mean_and_error(numbers: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.clone().sum::<f64>() / n;
    let squares: f64 = numbers.map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n * (n - 1.0)).max(1.0)).sqrt())
}

/// The numbers of rows.
pub(crate) fn numbers(rows: Tensor<2>) -> Result<Vec<f32>> {
    rows.into_data().convert::<f32>().try_to_vec::<f32>().map_err(unread)
}

fn unread(error: impl fmt::Debug) -> Error {
    Error::new(diffeo::ErrorKind::Device, format!("cannot read numbers: {error:?}"))
}
