//! Flow annealed importance sampling bootstrap: a flow that finds modes that its own draws do not reach.

use std::f64::consts::LN_10;
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::hamiltonian::{Points, move_points};
use super::proposal::{FlowProposal, Proposal};
use super::target::{LogDensity, expect_slopes, value_and_gradient};
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::host::linalg::{host_values, tensor_of};
use crate::host::random::{Purpose, Streams};
use crate::host::rows::Rows;
use crate::train::{Event, Learner, LearnerOptions, Snapshot};

/// Share of Hamiltonian moves that should be accepted.
const ACCEPTANCE: f64 = 0.65;
/// By how much a step size is changed at a time.
const ADAPTED_BY: f64 = 1.05;
/// Largest correction of a stored draw for how the flow has changed since, as a logarithm: a factor of 10.
const CORRECTION_MAX: f64 = LN_10;

/// What a checkpoint holds beside the learner.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    iteration: u64,
    step_size: f64,
    /// Where the store takes the next draw.
    next: usize,
}

const KIND: &str = "bootstrap";
const OPTIONS: &str = "options";
const PROGRESS: &str = "progress";
/// The names of stored draws, their weights, and the flow's log-densities.
const STORED: [&str; 3] = ["stored.rows", "stored.log_weights", "stored.log_density"];

/// How a [`Bootstrap`] works.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BootstrapOptions {
    /// Draws of an iteration, and of a step of the optimiser.
    pub draws: usize,
    /// Densities between the flow and `p^2 / q`.
    pub levels: usize,
    /// Leapfrog steps of a Hamiltonian move.
    pub leapfrogs: usize,
    /// Size of these at first; it adapts.
    pub step_size: f64,
    /// Steps of the optimiser for each iteration.
    pub steps: usize,
    /// Most draws that are stored.
    pub stored: usize,
    /// Iterations before the first step of the optimiser.
    pub warmup: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// How steps are taken.
    pub learner: LearnerOptions,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            draws: 256,
            levels: 3,
            leapfrogs: 5,
            step_size: 0.2,
            steps: 4,
            stored: 25_600,
            warmup: 5,
            seed: 0,
            learner: LearnerOptions { clip_norm: 100.0, average: 0.99, ..Default::default() },
        }
    }
}

/// What an iteration came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Iterated {
    /// Draws of `p^2 / q` that the annealed ones are worth.
    pub effective_size: f64,
    /// Share of Hamiltonian moves that were accepted.
    pub acceptance: f64,
    /// Steps of the optimiser that were refused because a number was not finite.
    pub refused: usize,
}

/// Fits a flow `q` to a target `p` by the divergence `int p^2 / q`, whose integrand is large where `q` has missed mass. Its draws come from annealed importance sampling, from the flow over
/// intermediate densities to `p^2 / q` by Hamiltonian moves; a store of them, drawn by weight, serves several steps and remembers modes.
///
/// Reference: Midgley, Stimper, Simm, Schölkopf, Hernández-Lobato. *Flow Annealed Importance Sampling Bootstrap*. ICLR 2023, arXiv:2208.01893.
pub struct Bootstrap<D> {
    target: D,
    learner: Learner<Flow>,
    options: BootstrapOptions,
    streams: Streams,
    store: Store,
    step_size: f64,
    iteration: u64,
}

impl<D: LogDensity> Bootstrap<D> {
    /// At the first iteration.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for options out of range, [`crate::ErrorKind::Shape`] if flow and target differ in width,
    /// [`crate::ErrorKind::Domain`] if the target's slope by a number is finite at no draw.
    pub fn new(flow: Flow, target: D, options: BootstrapOptions) -> Result<Self> {
        let counts = [options.draws, options.levels, options.leapfrogs, options.steps];
        let has_room = options.stored >= options.draws;
        let steps = options.step_size > 0.0 && options.step_size.is_finite();
        if counts.contains(&0) || !has_room || !steps {
            return Err(Error::config(
                "a bootstrap needs draws, levels, leapfrogs and steps of at least 1, a positive step size, and room for the draws of an iteration",
            ));
        }
        if flow.dims() != target.dims() {
            let (expected, found) = (target.dims(), flow.dims());
            return Err(Error::shape(format!(
                "the target has {expected} numbers in a row, the flow {found}"
            )));
        }
        let (drawn, _) = FlowProposal { flow: &flow, seed: options.seed }.draw(0, options.draws)?;
        expect_slopes(&target, &drawn)?;
        let store = Store { width: flow.dims(), most: options.stored, ..Store::default() };
        Ok(Self {
            target,
            learner: Learner::new(flow, options.learner.clone())?,
            streams: Streams::new(options.seed),
            step_size: options.step_size,
            options,
            store,
            iteration: 0,
        })
    }

    /// The flow with the running average of its weights, or those of now if there is none.
    ///
    /// # Errors
    /// As [`Learner::averaged`].
    pub fn flow(&self) -> Result<Flow> {
        match self.options.learner.average > 0.0 {
            true => self.learner.averaged(),
            false => Ok(self.learner.module().clone()),
        }
    }

    /// Draws, moves, stores, and takes steps.
    ///
    /// # Errors
    /// Those of flow and target.
    pub fn iterate(&mut self) -> Result<Iterated> {
        let flow = self.learner.module().clone();
        let mut iterated = self.anneal(&flow)?;
        self.iteration += 1;
        if self.iteration > self.options.warmup {
            for step in 0..self.options.steps as u64 {
                let key = self.iteration * self.options.steps as u64 + step;
                let seed = self.streams.rng(Purpose::Bootstrap, key, 0).next_u64();
                iterated.refused += usize::from(!self.step(seed)?);
            }
        }
        Ok(iterated)
    }

    /// Writes all that the fit needs to go on, keeping the checkpoint before.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`]; the checkpoints on disk are then as they were.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut snapshot = Snapshot::new(KIND)?;
        snapshot.set(OPTIONS, &self.options)?;
        snapshot.set_learner("learner", &self.learner)?;
        let (iteration, step_size, next) = (self.iteration, self.step_size, self.store.next);
        snapshot.set(PROGRESS, &Progress { iteration, step_size, next })?;
        let n = self.store.log_q.len();
        let Store { width, values, log_weights, log_q, .. } = &self.store;
        snapshot.set_numbers(STORED[0], &[n, *width], values);
        snapshot.set_numbers(STORED[1], &[n], log_weights);
        snapshot.set_numbers(STORED[2], &[n], log_q);
        snapshot.write(path)
    }

    /// Goes on from a checkpoint of a fit of the same flow to the same target with the same options, to the same bits as if it had never stopped.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] or [`crate::ErrorKind::Version`] if it cannot be used, [`crate::ErrorKind::Config`] if it is of another flow or of other options, but for threads; the fit is then as it was.
    pub fn restore(&mut self, path: &Path) -> Result<()> {
        let snapshot = Snapshot::read(KIND, path)?;
        self.read_from(&snapshot).map_err(|e| e.at(path))
    }

    fn read_from(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.expect("fit", OPTIONS, &self.options)?;
        let progress: Progress = snapshot.get(PROGRESS)?;
        let Store { width, most, .. } = self.store;
        let n = snapshot.len(STORED[2]);
        let is_sound = progress.step_size > 0.0 && progress.step_size.is_finite();
        if n > most || !is_sound {
            return Err(Error::new(
                ErrorKind::ModelFile,
                format!(
                    "expected at most {most} stored draws and a positive step size, found {n} and {}; start anew",
                    progress.step_size
                ),
            ));
        }
        let values = snapshot.numbers(STORED[0], n * width)?;
        let log_weights = snapshot.numbers(STORED[1], n)?;
        let log_q = snapshot.numbers(STORED[2], n)?;
        snapshot.restore_learner("learner", &mut self.learner)?;
        self.store = Store { width, most, values, log_weights, log_q, next: progress.next };
        (self.iteration, self.step_size) = (progress.iteration, progress.step_size);
        Ok(())
    }

    /// Draws of the flow moved towards `p^2 / q`, stored with their weights.
    fn anneal(&mut self, flow: &Flow) -> Result<Iterated> {
        let n = self.options.draws;
        let first = self.iteration * n as u64;
        let (rows, _) = FlowProposal { flow, seed: self.options.seed }.draw(first, n)?;
        let mut points = Level::new(&self.target, flow, 0.0, rows)?;
        let mut log_weights = vec![0.0; n];
        let (mut accepted, levels) = (0, self.options.levels);
        for level in 1..=levels + 1 {
            let rise = 2.0 / (levels + 1) as f64;
            for (i, w) in log_weights.iter_mut().enumerate() {
                *w += rise * (points.log_p[i] - points.log_q[i]);
            }
            if level <= levels {
                points.beta = level as f64 / (levels + 1) as f64;
                let key = self.iteration * (levels as u64 + 1) + level as u64;
                let (leapfrogs, step_size) = (self.options.leapfrogs, self.step_size);
                accepted += move_points(&mut points, leapfrogs, step_size, self.streams, key)?;
            }
        }
        self.store.add(&points.rows, &log_weights, &points.log_q);
        let acceptance = accepted as f64 / (levels * n) as f64;
        self.step_size *= if acceptance > ACCEPTANCE { ADAPTED_BY } else { 1.0 / ADAPTED_BY };
        let effective_size = Weights::new(log_weights).map_or(0.0, |w| w.effective_size());
        Ok(Iterated { effective_size, acceptance, refused: 0 })
    }

    /// A step on stored draws, which a seed chooses; whether it was taken.
    fn step(&mut self, seed: u64) -> Result<bool> {
        let Some(chosen) = self.store.choose(self.options.draws, seed) else {
            return Ok(true);
        };
        let x = self.store.rows(&chosen)?;
        let stored: Vec<f64> = chosen.iter().map(|&i| self.store.log_q[i]).collect();
        let mut now = Vec::new();
        let event = self.learner.step(|flow| {
            let log_q = flow.log_prob(tensor_of(&x), None)?;
            now = host_values(log_q.clone().detach())?;
            let corrected = stored.iter().zip(&now).map(|(then, now)| {
                let correction = (then - now).min(CORRECTION_MAX).exp();
                if correction.is_finite() { correction } else { 0.0 }
            });
            let data = TensorData::new(corrected.collect::<Vec<f64>>(), [now.len()]);
            let weights = Tensor::<1>::from_data(data, (&log_q.device(), log_q.dtype()));
            Ok((weights * log_q).mean().neg())
        })?;
        self.store.refresh(&chosen, &now);
        Ok(matches!(event, Event::Step { .. }))
    }
}

/// A flow as a density like any other.
struct OfFlow<'a>(&'a Flow);

impl LogDensity for OfFlow<'_> {
    fn dims(&self) -> usize {
        self.0.dims()
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        self.0.log_prob(x, None)
    }
}

/// Points with the log-densities of target and flow, and the slope of `pi_b = q^(1 - 2 b) p^(2 b)`, which goes from `q` to `p^2 / q`.
#[derive(Clone)]
struct Level<'a> {
    target: &'a dyn LogDensity,
    flow: &'a Flow,
    beta: f64,
    rows: Rows,
    log_p: Vec<f64>,
    log_q: Vec<f64>,
    slope_p: Rows,
    slope_q: Rows,
}

impl<'a> Level<'a> {
    fn new(target: &'a dyn LogDensity, flow: &'a Flow, beta: f64, rows: Rows) -> Result<Self> {
        let (log_p, slope_p) = value_and_gradient(target, &rows)?;
        let (log_q, slope_q) = value_and_gradient(&OfFlow(flow), &rows)?;
        Ok(Self { target, flow, beta, rows, log_p, log_q, slope_p, slope_q })
    }

    fn mixed(&self, of_q: f64, of_p: f64) -> f64 {
        (1.0 - 2.0 * self.beta) * of_q + 2.0 * self.beta * of_p
    }
}

impl Points for Level<'_> {
    fn at(&self, rows: Rows) -> Result<Self> {
        Level::new(self.target, self.flow, self.beta, rows)
    }

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn log_density(&self, i: usize) -> f64 {
        self.mixed(self.log_q[i], self.log_p[i])
    }

    fn slope(&self, at: usize) -> f64 {
        self.mixed(self.slope_q.values()[at], self.slope_p.values()[at])
    }

    fn take(&mut self, i: usize, from: &Self) {
        self.rows.row_mut(i).copy_from_slice(from.rows.row(i));
        self.slope_p.row_mut(i).copy_from_slice(from.slope_p.row(i));
        self.slope_q.row_mut(i).copy_from_slice(from.slope_q.row(i));
        (self.log_p[i], self.log_q[i]) = (from.log_p[i], from.log_q[i]);
    }
}

/// Draws with their weights, the oldest of which make room.
#[derive(Default)]
struct Store {
    width: usize,
    most: usize,
    values: Vec<f64>,
    log_weights: Vec<f64>,
    /// `ln q` when they were weighed last.
    log_q: Vec<f64>,
    next: usize,
}

impl Store {
    /// Draws whose numbers are not finite are not taken.
    fn add(&mut self, rows: &Rows, log_weights: &[f64], log_q: &[f64]) {
        for (i, (log_weight, log_q)) in log_weights.iter().zip(log_q).enumerate() {
            let row = rows.row(i);
            if !(log_weight.is_finite() && log_q.is_finite() && row.iter().all(|v| v.is_finite())) {
                continue;
            }
            if self.log_q.len() < self.most {
                self.values.extend_from_slice(row);
                self.log_weights.push(*log_weight);
                self.log_q.push(*log_q);
                continue;
            }
            let at = self.next % self.most;
            self.values[at * self.width..(at + 1) * self.width].copy_from_slice(row);
            (self.log_weights[at], self.log_q[at]) = (*log_weight, *log_q);
            self.next = at + 1;
        }
    }

    /// `n` of them in proportion to their weights; nothing if all weigh nothing.
    fn choose(&self, n: usize, seed: u64) -> Option<Vec<usize>> {
        let weights = Weights::new(self.log_weights.clone()).ok()?;
        Some(weights.resample(n, seed))
    }

    fn rows(&self, chosen: &[usize]) -> Result<Rows> {
        let row = |&i: &usize| self.values[i * self.width..(i + 1) * self.width].iter().copied();
        Rows::new(chosen.iter().flat_map(row).collect(), self.width)
    }

    /// Weights are those for `p^2 / q` of the flow as it is now.
    fn refresh(&mut self, chosen: &[usize], log_q: &[f64]) {
        for (&i, now) in chosen.iter().zip(log_q).filter(|(_, now)| now.is_finite()) {
            self.log_weights[i] += self.log_q[i] - now;
            self.log_q[i] = *now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::{Preset, PresetOptions};
    use crate::spec::Precision;

    /// Two wells of width 0.3 about -3 and 3 in the first number, a standard normal in the second; their masses are as 1 to 3.
    struct TwoWells;

    impl LogDensity for TwoWells {
        fn dims(&self) -> usize {
            2
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            let n = x.dims()[0];
            let a = x.clone().narrow(1, 0, 1);
            let at = |centre: f64| ((a.clone() - centre) / 0.3).square() * -0.5;
            let (left, right) = (at(-3.0), at(3.0) + 3f64.ln());
            let high = left.clone().max_pair(right.clone()).detach();
            let sum = (left - high.clone()).exp() + (right - high.clone()).exp();
            let second = x.narrow(1, 1, 1).square() * -0.5;
            Ok((sum.log() + high + second).reshape([n]))
        }
    }

    fn flow(width: usize) -> Result<Flow> {
        let shape = PresetOptions {
            transforms: 4,
            hidden: vec![width],
            precision: Precision::F64,
            ..PresetOptions::default()
        };
        Preset::NsfCoupling.spec(2, 0, &shape)?.build(0)
    }

    #[test]
    fn a_fit_that_was_stopped_goes_on_to_the_same_bits() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fit.checkpoint");
        let options = BootstrapOptions { draws: 16, stored: 50, ..BootstrapOptions::default() };
        let start = |width| Bootstrap::new(flow(width)?, TwoWells, options.clone());
        let bits = |fit: &Bootstrap<TwoWells>| -> Result<String> {
            let at = tensor_of(&Rows::new(vec![-2.9, 0.3, 3.1, -0.2], 2)?);
            let log_q = host_values(fit.flow()?.log_prob(at, None)?)?;
            Ok(format!("{log_q:?} {} {:?}", fit.step_size, fit.store.log_weights))
        };
        for stop in [2, 8] {
            let (mut whole, mut first) = (start(8)?, start(8)?);
            (0..12).try_for_each(|_| whole.iterate().map(|_| ()))?;
            (0..stop).try_for_each(|_| first.iterate().map(|_| ()))?;
            first.save(&path)?;
            let mut second = start(8)?;
            second.restore(&path)?;
            assert_eq!(bits(&second)?, bits(&first)?);
            (stop..12).try_for_each(|_| second.iterate().map(|_| ()))?;
            assert_eq!(bits(&second)?, bits(&whole)?);
        }
        let seeded = BootstrapOptions { seed: 1, ..options.clone() };
        for mut other in [start(9)?, Bootstrap::new(flow(8)?, TwoWells, seeded)?] {
            let before = bits(&other)?;
            assert_eq!(other.restore(&path).unwrap_err().kind(), ErrorKind::Config);
            assert_eq!(bits(&other)?, before);
        }
        Ok(())
    }

    #[test]
    fn wells_that_lie_apart_are_found_and_have_their_masses() -> Result<()> {
        let flow = flow(16)?;
        let options = BootstrapOptions {
            draws: 128,
            learner: LearnerOptions { learning_rate: 3e-3, ..BootstrapOptions::default().learner },
            ..BootstrapOptions::default()
        };
        let mut bootstrap = Bootstrap::new(flow, TwoWells, options)?;
        for _ in 0..120 {
            bootstrap.iterate()?;
        }
        let flow = bootstrap.flow()?;
        let proposal = FlowProposal { flow: &flow, seed: 9 };
        let (rows, weights) = super::super::weigh(&proposal, &TwoWells, 4000)?;
        let right: Vec<f64> =
            rows.column(0).iter().map(|x| f64::from(u8::from(*x > 0.0))).collect();
        let share = right.iter().sum::<f64>() / 4000.0;
        assert!((0.4..0.95).contains(&share), "both are there: {share}");
        let mean = weights.mean(&right)?;
        assert!((mean.mean - 0.75).abs() < 5.0 * mean.standard_error.max(0.01), "{mean:?}");
        Ok(())
    }

    #[test]
    fn draws_that_are_not_finite_are_not_stored() {
        let mut store = Store { width: 1, most: 2, ..Store::default() };
        let one = |x: f64| Rows::new(vec![x], 1).unwrap();
        assert_eq!(store.choose(1, 0), None);
        store.add(&one(f64::NAN), &[0.0], &[-1.0]);
        store.add(&one(0.5), &[f64::INFINITY], &[-1.0]);
        assert!(store.log_q.is_empty());
        for x in [1.0, 2.0, 3.0] {
            store.add(&one(x), &[0.0], &[-1.0]);
        }
        assert_eq!(store.values, [3.0, 2.0], "the oldest made room");
        store.refresh(&[0], &[-3.0]);
        assert_eq!((store.log_weights[0], store.log_q[0]), (2.0, -3.0));
    }
}
