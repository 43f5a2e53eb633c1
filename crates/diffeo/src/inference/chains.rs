//! Draws of Markov chains, and what they are worth.

use serde::{Deserialize, Serialize};

use super::convergence::{bulk_effective_size, r_hat};
use super::proposal::Proposal;
use super::target::LogDensity;
use crate::error::{Error, Result};
use crate::host::rows::Rows;

/// How chains run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

impl ChainOptions {
    pub(super) fn validate(&self, target: &dyn LogDensity, proposal: &dyn Proposal) -> Result<()> {
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
