//! Markov chains that a flow helps along: local moves by the slope of the target, global ones by draws of the flow.

use super::convergence::{bulk_effective_size, r_hat};
use super::hamiltonian::{Points, move_points};
use super::proposal::Proposal;
use super::target::{LogDensity, expect_slopes, value_and_gradient};
use crate::error::{Error, Result};
use crate::host::random::{Purpose, Streams, uniform_open};
use crate::host::rows::Rows;

/// Share of local moves that should be accepted.
const ACCEPTANCE: f64 = 0.8;

/// How chains run.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainOptions {
    /// Chains side by side.
    pub chains: usize,
    /// Draws of each that are kept.
    pub draws: usize,
    /// Draws of each before these, in which the size of local moves adapts.
    pub warmup: usize,
    /// Local moves before each draw; 0 leaves the independence sampler alone.
    pub local_moves: usize,
    /// Leapfrog steps of a local move.
    pub leapfrogs: usize,
    /// Size of these at first.
    pub step_size: f64,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for ChainOptions {
    fn default() -> Self {
        Self {
            chains: 8,
            draws: 1000,
            warmup: 200,
            local_moves: 1,
            leapfrogs: 5,
            step_size: 0.2,
            seed: 0,
        }
    }
}

/// Draws of Markov chains.
#[derive(Clone, Debug, PartialEq)]
pub struct Chains {
    /// The draws of each chain.
    pub draws: Vec<Rows>,
    /// Share of the flow's proposals that were accepted.
    pub global_acceptance: f64,
    /// Share of local moves that were; NaN without any.
    pub local_acceptance: f64,
}

impl Chains {
    /// The effective number of draws of each column, in the bulk of the target (Vehtari, Gelman, Simpson, Carpenter, Bürkner. Bayesian Analysis 16, 2021, arXiv:1903.08008).
    pub fn effective_sizes(&self) -> Vec<f64> {
        self.of_columns(bulk_effective_size)
    }

    /// How far chains are from having mixed, for each column: 1 if they have; beyond 1.01 they have not (the same).
    pub fn r_hats(&self) -> Vec<f64> {
        self.of_columns(r_hat)
    }

    fn of_columns(&self, diagnose: fn(&[Vec<f64>]) -> f64) -> Vec<f64> {
        let width = self.draws.first().map_or(0, Rows::width);
        let column = |j| self.draws.iter().map(|rows| rows.column(j)).collect::<Vec<_>>();
        (0..width).map(|j| diagnose(&column(j))).collect()
    }

    /// All draws of all chains, with chain and draw as first columns, as ArviZ and others read them: rows of `chain, draw, x_1 ... x_d`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if there are no chains.
    pub fn table(&self) -> Result<Rows> {
        let width = self.draws.first().map_or(0, Rows::width);
        let mut values = Vec::new();
        for (chain, rows) in self.draws.iter().enumerate() {
            for draw in 0..rows.len() {
                values.extend([chain as f64, draw as f64]);
                values.extend_from_slice(rows.row(draw));
            }
        }
        Rows::new(values, width + 2)
    }
}

/// Runs chains from draws of the proposal: between draws, local Hamiltonian moves and one proposal of the flow, accepted by the ratio of its weight to that of the place (independence Metropolis), so
/// that modes that are far apart are visited in their shares.
///
/// `watch` sees the number of draws so far and ends all by an error.
///
/// Reference: Gabrié, Rotskoff, Vanden-Eijnden. *Adaptive Monte Carlo augmented with normalizing flows*. PNAS 119, 2022, arXiv:2105.12603.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for options out of range, [`crate::ErrorKind::Shape`] if target and proposal differ in width; those of target, proposal and `watch`.
pub fn run_chains(
    target: &dyn LogDensity,
    proposal: &dyn Proposal,
    options: &ChainOptions,
    mut watch: impl FnMut(usize) -> Result<()>,
) -> Result<Chains> {
    options.validate(target, proposal)?;
    let (n, streams) = (options.chains, Streams::new(options.seed));
    let (start, mut log_q) = proposal.draw(0, n)?;
    if options.local_moves > 0 {
        expect_slopes(target, &start)?;
    }
    let mut points = OfTarget::new(target, start)?;
    let mut kept = vec![Vec::new(); n];
    let (mut accepted, mut moved, mut step_size) = (0, 0, options.step_size);
    for iteration in 0..options.warmup + options.draws {
        let is_kept = iteration >= options.warmup;
        for local in 0..options.local_moves {
            let key = (iteration * options.local_moves + local) as u64;
            let taken = move_points(&mut points, options.leapfrogs, step_size, streams, key)?;
            if is_kept {
                moved += taken;
            } else {
                let share = taken as f64 / n as f64;
                step_size *= (0.2 * (share - ACCEPTANCE)).exp();
            }
        }
        if options.local_moves > 0 {
            log_q = proposal.log_density(&points.rows)?;
        }
        let (rows, log_q_there) = proposal.draw(((iteration + 1) * n) as u64, n)?;
        let there = OfTarget::new(target, rows)?;
        for i in 0..n {
            let mut rng = streams.rng(Purpose::Accept, iteration as u64, i as u64);
            let gain = (there.log[i] - log_q_there[i]) - (points.log[i] - log_q[i]);
            // Never where it is NaN; always from a place that the target does not have.
            if uniform_open(&mut rng).ln() < gain {
                points.take(i, &there);
                log_q[i] = log_q_there[i];
                accepted += usize::from(is_kept);
            }
            if is_kept {
                kept[i].extend_from_slice(points.rows.row(i));
            }
        }
        watch(iteration + 1)?;
    }
    let width = target.dims();
    let draws = kept.into_iter().map(|values| Rows::new(values, width)).collect::<Result<_>>()?;
    let all = (n * options.draws) as f64;
    Ok(Chains {
        draws,
        global_acceptance: accepted as f64 / all,
        local_acceptance: moved as f64 / (all * options.local_moves as f64),
    })
}

impl ChainOptions {
    fn validate(&self, target: &dyn LogDensity, proposal: &dyn Proposal) -> Result<()> {
        let steps = self.step_size > 0.0 && self.step_size.is_finite();
        if self.chains == 0 || self.draws == 0 || self.leapfrogs == 0 || !steps {
            return Err(Error::config(
                "chains need at least one chain, one draw and one leapfrog step, and a positive step size",
            ));
        }
        if target.dims() != proposal.dims() {
            let (expected, found) = (target.dims(), proposal.dims());
            return Err(Error::shape(format!(
                "the target has {expected} numbers in a row, the proposal {found}"
            )));
        }
        Ok(())
    }
}

/// Points that move by a target.
#[derive(Clone)]
struct OfTarget<'a> {
    target: &'a dyn LogDensity,
    rows: Rows,
    log: Vec<f64>,
    slope: Rows,
}

impl<'a> OfTarget<'a> {
    fn new(target: &'a dyn LogDensity, rows: Rows) -> Result<Self> {
        let (log, slope) = value_and_gradient(target, &rows)?;
        Ok(Self { target, rows, log, slope })
    }
}

impl Points for OfTarget<'_> {
    fn at(&self, rows: Rows) -> Result<Self> {
        OfTarget::new(self.target, rows)
    }

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn log_density(&self, i: usize) -> f64 {
        self.log[i]
    }

    fn slope(&self, at: usize) -> f64 {
        self.slope.values()[at]
    }

    fn take(&mut self, i: usize, from: &Self) {
        self.rows.row_mut(i).copy_from_slice(from.rows.row(i));
        self.slope.row_mut(i).copy_from_slice(from.slope.row(i));
        self.log[i] = from.log[i];
    }
}

#[cfg(test)]
mod tests {
    use super::super::FlowProposal;
    use super::*;
    use crate::bases::StudentTSpec;
    use crate::spec::{FlowSpec, Precision};
    use burn::tensor::Tensor;

    /// Two wells about -3 and 3, with masses as 1 to 3.
    struct TwoWells;

    impl LogDensity for TwoWells {
        fn dims(&self) -> usize {
            1
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            let n = x.dims()[0];
            let at = |centre: f64| ((x.clone() - centre) / 0.4).square() * -0.5;
            let (left, right) = (at(-3.0), at(3.0) + 3f64.ln());
            let high = left.clone().max_pair(right.clone()).detach();
            let sum = (left - high.clone()).exp() + (right - high.clone()).exp();
            Ok((sum.log() + high).reshape([n]))
        }
    }

    #[test]
    fn chains_visit_wells_that_lie_apart_in_their_shares() -> Result<()> {
        let flow = FlowSpec::new(1, vec![]).in_precision(Precision::F64);
        let flow = flow.onto(StudentTSpec { dof: 2.0 }).build(0)?;
        let proposal = FlowProposal { flow: &flow, seed: 4 };
        for local_moves in [0, 2] {
            let options =
                ChainOptions { chains: 16, draws: 800, local_moves, ..ChainOptions::default() };
            let chains = run_chains(&TwoWells, &proposal, &options, |_| Ok(()))?;
            let all = chains.table()?;
            assert_eq!((all.len(), all.width()), (16 * 800, 3));
            let share = all.column(2).iter().filter(|x| **x > 0.0).count() as f64 / 12_800.0;
            assert!((share - 0.75).abs() < 0.03, "{local_moves}: {share}");
            let size = chains.effective_sizes()[0];
            assert!(size > 100.0 && chains.r_hats()[0] < 1.1, "{size} {:?}", chains.r_hats());
            assert!(chains.global_acceptance > 0.01);
            assert!(local_moves == 0 || (0.5..1.0).contains(&chains.local_acceptance));
        }
        Ok(())
    }

    #[test]
    fn chains_that_cannot_run_are_refused() -> Result<()> {
        let flow = FlowSpec::new(2, vec![]).build(0)?;
        let proposal = FlowProposal { flow: &flow, seed: 4 };
        let error = run_chains(&TwoWells, &proposal, &ChainOptions::default(), |_| Ok(()));
        assert!(error.unwrap_err().message().contains("the proposal 2"));
        let flow = FlowSpec::new(1, vec![]).build(0)?;
        let proposal = FlowProposal { flow: &flow, seed: 4 };
        let none = ChainOptions { draws: 0, ..ChainOptions::default() };
        assert!(run_chains(&TwoWells, &proposal, &none, |_| Ok(())).is_err());
        Ok(())
    }
}
