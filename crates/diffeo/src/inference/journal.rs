//! What a warped chain was told on its way, from which it can be led over it again.

use std::path::Path;

use super::nuts::NutsOptions;
use super::target::PlainDensity;
use super::warp::{Tuned, Tuner};
use crate::error::Result;
use crate::train::Snapshot;

/// The most numbers of densities and gradients that are kept: 256 MiB.
const NUMBERS_MAX: usize = 32 << 20;
const KIND: &str = "warped chain";
const OPTIONS: &str = "options";
const SEED: &str = "seed";
const TOLD: &str = "densities";
const WARPS: &str = "warps";

/// Densities and warps in the order in which a chain asked for them. One that was read answers from what is written for as long as that lasts, and then goes on by itself.
pub(super) struct Journal {
    dims: usize,
    seed: u64,
    /// Of each point its log-density and then its gradient, up to a limit.
    told: Vec<f64>,
    /// Where the next point is among them, or would be.
    at: usize,
    warps: Vec<Tuned>,
    /// Which of them comes next.
    warp: usize,
    tuner: Tuner,
}

impl Journal {
    pub(super) fn new(dims: usize, seed: u64) -> Self {
        let tuner = Tuner::new(seed);
        Self { dims, seed, told: Vec::new(), at: 0, warps: Vec::new(), warp: 0, tuner }
    }

    /// The log-density of a point and its gradient.
    pub(super) fn log_density(
        &mut self,
        target: &dyn PlainDensity,
        x: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let end = self.at + self.dims + 1;
        if let Some(told) = self.told.get(self.at..end) {
            self.at = end;
            gradient.copy_from_slice(&told[1..]);
            return told[0];
        }
        let log_p = target.log_density(x, gradient);
        if end <= NUMBERS_MAX && self.at == self.told.len() {
            self.told.push(log_p);
            self.told.extend_from_slice(gradient);
            self.at = end;
        }
        log_p
    }

    /// A better warp from all points so far.
    ///
    /// # Errors
    /// Those of [`Tuner::update`].
    pub(super) fn update(
        &mut self,
        tuned: &mut Tuned,
        points: &[&[f64]],
        gradients: &[&[f64]],
    ) -> Result<()> {
        match self.warps.get(self.warp) {
            Some(known) => *tuned = known.clone(),
            None => {
                self.tuner.update(tuned, points, gradients)?;
                self.warps.push(tuned.clone());
            }
        }
        self.warp += 1;
        Ok(())
    }

    /// Whether the chain is on the part of its path that is written.
    pub(super) fn is_repeating(&self) -> bool {
        self.at < self.told.len() || self.warp < self.warps.len()
    }

    /// The divergence of the last warp.
    pub(super) fn warp_divergence(&self) -> f64 {
        self.warps.last().map_or(f64::NAN, |tuned| tuned.divergence)
    }

    /// Writes all, keeping the file before.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`]; what is on disk is then as it was.
    pub(super) fn write(&self, path: &Path, options: &NutsOptions) -> Result<()> {
        let mut snapshot = Snapshot::new(KIND)?;
        snapshot.set(OPTIONS, options)?;
        snapshot.set(SEED, &self.seed)?;
        let width = self.dims + 1;
        snapshot.set_numbers(TOLD, &[self.told.len() / width, width], &self.told);
        snapshot.set(WARPS, &self.warps.len())?;
        for (k, tuned) in self.warps.iter().enumerate() {
            tuned.write(&warp_name(k), &mut snapshot)?;
        }
        self.tuner.write(&mut snapshot)?;
        snapshot.write(path)
    }

    /// What a chain of the same options wrote.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] or [`crate::ErrorKind::Version`] if it cannot be used, [`crate::ErrorKind::Config`] if it is of other options.
    pub(super) fn read(path: &Path, dims: usize, seed: u64, options: &NutsOptions) -> Result<Self> {
        let read = || {
            let snapshot = Snapshot::read(KIND, path)?;
            snapshot.expect("run of warped chains", OPTIONS, options)?;
            snapshot.expect("chain", SEED, &seed)?;
            let warps = 0..snapshot.get::<usize>(WARPS)?;
            Ok(Self {
                told: snapshot.numbers(TOLD, snapshot.len(TOLD))?,
                warps: warps
                    .map(|k| Tuned::read(&warp_name(k), &snapshot, dims))
                    .collect::<Result<_>>()?,
                tuner: Tuner::read(seed, &snapshot, dims)?,
                ..Self::new(dims, seed)
            })
        };
        read().map_err(|error: crate::error::Error| error.at(path))
    }
}

fn warp_name(k: usize) -> String {
    format!("warp.{k}")
}
