//! Posteriors of simulators, in rounds of simulations that come ever nearer to what was observed.

use rand_chacha::ChaCha8Rng;

use super::density_region::HighestDensityRegion;
use super::weights::Estimate;
use crate::columns::{Column, Schema};
use crate::error::{Error, ErrorKind, Result};
use crate::host::parallel;
use crate::host::random::{Purpose, Streams};
use crate::host::rows::Rows;
use crate::model::{Model, SampleOptions};
use crate::presets::{Preset, PresetOptions};
use crate::train::{Event, Fit, FitOptions};

/// A model of the world that can be run but whose likelihood cannot be written down.
pub trait Simulator: Sync {
    /// The parameters, of kinds that are no wider than the prior: of an interval the posterior then has no mass outside.
    fn parameters(&self) -> Vec<Column>;

    /// What is observed.
    fn observations(&self) -> Vec<Column>;

    /// A draw of the prior.
    fn draw_prior(&self, rng: &mut ChaCha8Rng) -> Vec<f64>;

    /// An observation given parameters. One that holds a number that is not finite is a simulation that failed: it is left out and counted.
    ///
    /// # Errors
    /// What ends all.
    fn simulate(&self, parameters: &[f64], rng: &mut ChaCha8Rng) -> Result<Vec<f64>>;
}

/// How to fit a posterior to simulations.
#[derive(Clone, Debug)]
pub struct SimulationOptions {
    /// Simulations of each round.
    pub simulations: usize,
    /// Mass of the posterior's region of highest density, from which parameters of the next round are drawn.
    pub mass: f64,
    /// Draws of the prior that may be tried for the parameters of a round.
    pub tries: u64,
    /// The model.
    pub preset: Preset,
    /// Its settings; without them, what suits the number of simulations.
    pub preset_options: Option<PresetOptions>,
    /// How it is fitted, and the seed and threads of all else.
    pub fit: FitOptions,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self {
            simulations: 1000,
            mass: 0.9999,
            tries: 10_000_000,
            preset: Preset::Nsf,
            preset_options: None,
            fit: FitOptions::default(),
        }
    }
}

/// What a round has come to.
#[derive(Clone, Debug)]
pub struct Round {
    /// Simulations that were kept, of all rounds.
    pub kept: usize,
    /// Simulations of this round that failed.
    pub failed: usize,
    /// The share of the prior that the parameters of this round were drawn from.
    pub share: Estimate,
    /// The posterior, whose context is an observation.
    pub posterior: Model,
}

/// Rounds of truncated sequential neural posterior estimation: parameters of the first are drawn from the prior, those of each later one from the prior within the
/// region of highest density of the posterior so far at the observation. All simulations are then fitted alike by maximum likelihood, without correction: within the region
/// the prior's shape is what it was (Deistler, Gonçalves, Macke. *Truncated proposals for scalable and hassle-free simulation-based inference*. NeurIPS 2022).
///
/// After one round the posterior is for any observation; after more, for the given one.
pub struct SimulationRounds<'a> {
    simulator: &'a dyn Simulator,
    observation: Vec<f64>,
    options: SimulationOptions,
    parameters: Vec<f64>,
    observations: Vec<f64>,
    round: u64,
    posterior: Option<Model>,
}

impl<'a> SimulationRounds<'a> {
    /// Rounds for an observation.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] or [`ErrorKind::Data`] for an observation that is none of the simulator's.
    pub fn new(
        simulator: &'a dyn Simulator,
        observation: &[f64],
        options: SimulationOptions,
    ) -> Result<Self> {
        let expected = simulator.observations().len();
        if observation.len() != expected {
            return Err(Error::shape(format!(
                "observation: expected {expected} numbers, found {}",
                observation.len()
            )));
        }
        if let Some(i) = observation.iter().position(|v| !v.is_finite()) {
            return Err(Error::data(format!(
                "observation: expected finite numbers, number {} is {}",
                i + 1,
                observation[i]
            )));
        }
        Ok(Self {
            simulator,
            observation: observation.to_vec(),
            options,
            parameters: Vec::new(),
            observations: Vec::new(),
            round: 0,
            posterior: None,
        })
    }

    /// Simulates, and fits the posterior anew to all simulations so far. `watch` sees the events of the fit, and ends all by an error.
    ///
    /// # Errors
    /// [`ErrorKind::NotConverged`] if the prior is all but never in the region; [`ErrorKind::Data`] if no simulation has succeeded; those of the simulator, the
    /// fit and `watch`.
    pub fn advance(&mut self, mut watch: impl FnMut(&Event) -> Result<()>) -> Result<Round> {
        let (parameters, share) = self.propose()?;
        let failed = self.simulate(&parameters)?;
        let (columns, context) = (self.simulator.parameters(), self.simulator.observations());
        let (d, c) = (columns.len(), context.len());
        let kept = self.parameters.len() / d;
        if kept == 0 {
            return Err(Error::data(format!(
                "none of {failed} simulations is finite; look at what the simulator gives for draws of the prior"
            )));
        }
        let mut fit = Fit::new(self.options.preset)
            .schema(Schema::new(columns, context))
            .rows(Rows::new(self.parameters.clone(), d)?)
            .given(Rows::new(self.observations.clone(), c)?)
            .options(self.options.fit.clone());
        if let Some(options) = &self.options.preset_options {
            fit = fit.preset_options(options.clone());
        }
        let mut trainer = fit.into_trainer()?;
        loop {
            let event = trainer.advance()?;
            watch(&event)?;
            if matches!(event, Event::Finished { .. }) {
                break;
            }
        }
        let posterior = trainer.finish()?;
        self.posterior = Some(posterior.clone());
        self.round += 1;
        Ok(Round { kept, failed, share, posterior })
    }

    /// Parameters of the next round, and the share of the prior that they are from.
    fn propose(&self) -> Result<(Rows, Estimate)> {
        /// Draws of the prior at a time.
        const BATCH: usize = 4096;
        /// Draws of the posterior that say where its region ends.
        const DRAWS: usize = 10_000;
        let n = self.options.simulations;
        let d = self.simulator.parameters().len();
        let (seed, threads) = (self.options.fit.seed, self.options.fit.threads);
        let sampling = SampleOptions { seed, threads, ..SampleOptions::default() };
        let region = self.posterior.as_ref().map(|posterior| {
            let (at, mass) = (Some(self.observation.as_slice()), self.options.mass);
            HighestDensityRegion::new(posterior, at, mass, DRAWS, &sampling)
        });
        let region = region.transpose()?;
        let streams = Streams::new(seed);
        let (mut taken, mut tried, mut inside) = (Vec::new(), 0_u64, 0_u64);
        while taken.len() < n * d {
            if tried >= self.options.tries {
                return Err(Error::new(
                    ErrorKind::NotConverged,
                    format!(
                        "{inside} of {tried} draws of the prior lie in the region of the posterior; {n} are needed: allow more tries, or simulate fewer a round"
                    ),
                ));
            }
            let left = usize::try_from(self.options.tries - tried).unwrap_or(usize::MAX);
            let batch = BATCH.min(left).min(if region.is_some() { BATCH } else { n });
            let mut drawn = Rows::zeros(batch, d);
            for i in 0..batch {
                let mut rng = streams.rng(Purpose::Prior, self.round, tried + i as u64);
                drawn.row_mut(i).copy_from_slice(&self.simulator.draw_prior(&mut rng));
            }
            let held = match &region {
                Some(region) => region.contains(&drawn, threads)?,
                None => vec![true; batch],
            };
            for (i, _) in held.iter().enumerate().filter(|(_, held)| **held) {
                if taken.len() < n * d {
                    taken.extend_from_slice(drawn.row(i));
                }
            }
            tried += batch as u64;
            inside += held.iter().filter(|held| **held).count() as u64;
        }
        Ok((Rows::new(taken, d)?, Estimate::of_share(inside, tried)))
    }

    /// Runs the simulator, keeps what is finite, and counts what is not.
    fn simulate(&mut self, parameters: &Rows) -> Result<usize> {
        let streams = Streams::new(self.options.fit.seed);
        let (round, simulator) = (self.round, self.simulator);
        let expected = self.observation.len();
        let observed = parallel::map(parameters.len(), self.options.fit.threads, |i| {
            let mut rng = streams.rng(Purpose::Simulate, round, i as u64);
            let found = simulator.simulate(parameters.row(i), &mut rng)?;
            if found.len() == expected {
                return Ok(found);
            }
            Err(Error::shape(format!(
                "the simulator gave {} numbers, expected {expected}",
                found.len()
            )))
        })?;
        let mut failed = 0;
        for (i, observation) in observed.into_iter().enumerate() {
            if observation.iter().all(|v| v.is_finite()) {
                self.parameters.extend_from_slice(parameters.row(i));
                self.observations.extend(observation);
            } else {
                failed += 1;
            }
        }
        Ok(failed)
    }
}
