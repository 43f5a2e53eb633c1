//! Markov chains that a flow helps along: local moves by the slope of the target, global ones by draws of the flow.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chains::{ChainOptions, Chains};
use super::hamiltonian::{Points, move_points};
use super::proposal::Proposal;
use super::target::{LogDensity, expect_slopes, value_and_gradient};
use crate::error::{Error, ErrorKind, Result};
use crate::host::random::{Purpose, Streams, uniform_open};
use crate::host::rows::Rows;
use crate::train::Snapshot;

/// Share of local moves that should be accepted.
const ACCEPTANCE: f64 = 0.8;

/// Chains from draws of a proposal: between draws, local Hamiltonian moves and one proposal of the flow, accepted by the ratio of its weight to that of the place (independence Metropolis), so that modes that
/// are far apart are visited in their shares.
///
/// Reference: Gabrié, Rotskoff, Vanden-Eijnden. *Adaptive Monte Carlo augmented with normalizing flows*. PNAS 119, 2022, arXiv:2105.12603.
pub struct ChainRun<'a> {
    proposal: &'a dyn Proposal,
    options: ChainOptions,
    streams: Streams,
    points: OfTarget<'a>,
    /// The proposal's log-density where the chains are.
    log_q: Vec<f64>,
    /// What is kept of each chain, row after row.
    kept: Vec<Vec<f64>>,
    progress: Progress,
}

/// How far chains are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    /// Draws of each chain, those of the warm-up among them.
    iteration: usize,
    step_size: f64,
    /// Moves after the warm-up that were accepted.
    global: usize,
    local: usize,
}

/// The options of a run, in its checkpoint.
const OPTIONS: &str = "chains";
const PROGRESS: &str = "progress";
const KIND: &str = "chains";

impl<'a> ChainRun<'a> {
    /// Chains at their start.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for options out of range, [`ErrorKind::Shape`] if target and proposal differ in width; those of target and proposal.
    pub fn new(
        target: &'a dyn LogDensity,
        proposal: &'a dyn Proposal,
        options: ChainOptions,
    ) -> Result<Self> {
        options.validate(target, proposal)?;
        let (start, log_q) = proposal.draw(0, options.chains)?;
        if options.local_moves > 0 {
            expect_slopes(target, &start)?;
        }
        let points = OfTarget::new(target, start)?;
        let kept = vec![Vec::new(); options.chains];
        let progress = Progress { iteration: 0, step_size: options.step_size, global: 0, local: 0 };
        let streams = Streams::new(options.seed);
        Ok(Self { proposal, options, streams, points, log_q, kept, progress })
    }

    /// Draws of each chain so far, those of the warm-up among them.
    pub fn iteration(&self) -> usize {
        self.progress.iteration
    }

    /// Whether all draws that were asked for are there.
    pub fn is_done(&self) -> bool {
        self.progress.iteration == self.options.warmup + self.options.draws
    }

    /// The next draw of each chain; nothing once all are there.
    ///
    /// # Errors
    /// Those of target and proposal.
    pub fn advance(&mut self) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let iteration = self.progress.iteration;
        let is_kept = iteration >= self.options.warmup;
        self.move_about(is_kept)?;
        let n = self.options.chains;
        let (rows, log_q_there) = self.proposal.draw(((iteration + 1) * n) as u64, n)?;
        let there = self.points.at(rows)?;
        for i in 0..n {
            let mut rng = self.streams.rng(Purpose::Accept, iteration as u64, i as u64);
            let gain = (there.log[i] - log_q_there[i]) - (self.points.log[i] - self.log_q[i]);
            // Never where it is NaN; always from a place that the target does not have.
            if uniform_open(&mut rng).ln() < gain {
                self.points.take(i, &there);
                self.log_q[i] = log_q_there[i];
                self.progress.global += usize::from(is_kept);
            }
            if is_kept {
                self.kept[i].extend_from_slice(self.points.rows.row(i));
            }
        }
        self.progress.iteration += 1;
        Ok(())
    }

    /// The local moves of an iteration.
    fn move_about(&mut self, is_kept: bool) -> Result<()> {
        let ChainOptions { chains, local_moves, leapfrogs, .. } = self.options;
        for local in 0..local_moves {
            let key = (self.progress.iteration * local_moves + local) as u64;
            let step = self.progress.step_size;
            let taken = move_points(&mut self.points, leapfrogs, step, self.streams, key)?;
            if is_kept {
                self.progress.local += taken;
            } else {
                let share = taken as f64 / chains as f64;
                self.progress.step_size *= (0.2 * (share - ACCEPTANCE)).exp();
            }
        }
        if local_moves > 0 {
            self.log_q = self.proposal.log_density(&self.points.rows)?;
        }
        Ok(())
    }

    /// The draws so far.
    ///
    /// # Errors
    /// None but [`ErrorKind::Internal`].
    pub fn chains(&self) -> Result<Chains> {
        let width = self.points.target.dims();
        let rows = |values: &Vec<f64>| Rows::new(values.clone(), width);
        let draws = self.kept.iter().map(rows).collect::<Result<Vec<_>>>()?;
        let all = draws.iter().map(Rows::len).sum::<usize>() as f64;
        Ok(Chains {
            draws,
            global_acceptance: self.progress.global as f64 / all,
            local_acceptance: self.progress.local as f64 / (all * self.options.local_moves as f64),
        })
    }

    /// Writes all that the run needs to go on, keeping the checkpoint before.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; the checkpoints on disk are then as they were.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (n, width) = (self.options.chains, self.points.target.dims());
        let mut snapshot = Snapshot::new(KIND)?;
        snapshot.set(OPTIONS, &self.options)?;
        snapshot.set(PROGRESS, &self.progress)?;
        let kept = self.kept.concat();
        let shape = vec![n, kept.len() / (n * width), width];
        let numbers = [
            ("points", vec![n, width], self.points.rows.values()),
            ("slopes", vec![n, width], self.points.slope.values()),
            ("log_density", vec![n], &self.points.log[..]),
            ("log_proposal", vec![n], &self.log_q[..]),
            ("draws", shape, &kept[..]),
        ];
        for (name, shape, values) in numbers {
            snapshot.set_numbers(name, &shape, values);
        }
        snapshot.write(path)
    }

    /// Goes on from a checkpoint of a run with the same target, proposal and options, to the same bits as if it had never stopped.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFile`] or [`ErrorKind::Version`] if it cannot be used, [`ErrorKind::Config`] if it is of other options; the run is then as it was.
    pub fn restore(&mut self, path: &Path) -> Result<()> {
        let snapshot = Snapshot::read(KIND, path)?;
        self.read_from(&snapshot).map_err(|e| e.at(path))
    }

    fn read_from(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.expect("run of chains", OPTIONS, &self.options)?;
        let was = &self.options;
        let progress: Progress = snapshot.get(PROGRESS)?;
        let (n, width) = (was.chains, self.points.target.dims());
        let drawn = progress.iteration.saturating_sub(was.warmup);
        let good = progress.iteration <= was.warmup + was.draws && progress.step_size > 0.0;
        if !good {
            return Err(Error::new(
                ErrorKind::ModelFile,
                format!("expected chains on their way, found {progress:?}; start anew"),
            ));
        }
        let numbers = |name: &str, len: usize| snapshot.numbers(name, len);
        let rows = |values: Vec<f64>| Rows::new(values, width);
        let (points, slope) = (numbers("points", n * width)?, numbers("slopes", n * width)?);
        let (log, log_q) = (numbers("log_density", n)?, numbers("log_proposal", n)?);
        let kept = numbers("draws", n * drawn * width)?;
        let target = self.points.target;
        self.points = OfTarget { target, rows: rows(points)?, log, slope: rows(slope)? };
        self.kept = (0..n).map(|i| kept[i * drawn * width..][..drawn * width].to_vec()).collect();
        (self.log_q, self.progress) = (log_q, progress);
        Ok(())
    }
}

/// Runs a [`ChainRun`] to its end. `watch` sees the number of draws so far and ends all by an error.
///
/// # Errors
/// As [`ChainRun::new`], and those of `watch`.
pub fn run_chains(
    target: &dyn LogDensity,
    proposal: &dyn Proposal,
    options: &ChainOptions,
    mut watch: impl FnMut(usize) -> Result<()>,
) -> Result<Chains> {
    let mut run = ChainRun::new(target, proposal, options.clone())?;
    while !run.is_done() {
        run.advance()?;
        watch(run.iteration())?;
    }
    run.chains()
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

    struct Standard(usize);

    impl LogDensity for Standard {
        fn dims(&self) -> usize {
            self.0
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            let n = x.dims()[0];
            Ok((x.square().sum_dim(1) * -0.5).reshape([n]))
        }
    }

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

    #[test]
    fn a_run_that_was_stopped_goes_on_to_the_same_bits() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.checkpoint");
        let flow = FlowSpec::new(1, vec![]).in_precision(Precision::F64);
        let flow = flow.onto(StudentTSpec { dof: 2.0 }).build(0)?;
        let proposal = FlowProposal { flow: &flow, seed: 4 };
        for (local_moves, stop) in [(0, 3), (2, 3), (2, 17), (1, 25)] {
            let options = ChainOptions {
                chains: 3,
                warmup: 5,
                draws: 20,
                local_moves,
                ..ChainOptions::default()
            };
            let whole = run_chains(&TwoWells, &proposal, &options, |_| Ok(()))?;
            let start = || ChainRun::new(&TwoWells, &proposal, options.clone());
            let mut first = start()?;
            (0..stop).try_for_each(|_| first.advance())?;
            first.save(&path)?;
            let mut second = start()?;
            second.restore(&path)?;
            assert_eq!((second.iteration(), second.is_done()), (stop, stop == 25));
            assert_eq!(second.chains()?.draws, first.chains()?.draws);
            while !second.is_done() {
                second.advance()?;
            }
            let found = second.chains()?;
            assert_eq!(format!("{found:?}"), format!("{whole:?}"));
        }
        Ok(())
    }

    #[test]
    fn a_checkpoint_of_other_chains_is_refused() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.checkpoint");
        let of_width = |width| FlowSpec::new(width, vec![]).in_precision(Precision::F64).build(0);
        let flow = of_width(1)?;
        let proposal = FlowProposal { flow: &flow, seed: 4 };
        let options = ChainOptions { chains: 3, ..ChainOptions::default() };
        let mut run = ChainRun::new(&TwoWells, &proposal, options.clone())?;
        assert!(run.restore(&path).is_err());
        run.advance()?;
        run.save(&path)?;
        let other = ChainOptions { seed: 1, ..options.clone() };
        let mut other = ChainRun::new(&TwoWells, &proposal, other)?;
        let error = other.restore(&path).unwrap_err();
        assert_eq!((error.kind(), other.iteration()), (ErrorKind::Config, 0), "{error}");
        let wide = of_width(2)?;
        let (target, proposal) = (Standard(2), FlowProposal { flow: &wide, seed: 4 });
        let mut wide = ChainRun::new(&target, &proposal, options)?;
        let error = wide.restore(&path).unwrap_err();
        assert_eq!((error.kind(), wide.iteration()), (ErrorKind::ModelFile, 0), "{error}");
        Ok(())
    }
}
