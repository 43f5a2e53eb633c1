//! The no-U-turn sampler on a target that a flow has warped into a standard normal, by the sampler of nuts-rs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use nuts_rs::rand::SeedableRng;
use nuts_rs::rand::rngs::ChaCha8Rng;
use nuts_rs::{
    Chain, CpuLogpFunc, CpuMath, CpuMathError, FlowNutsSettings, HasDims, LogpError, Settings,
};
use serde::{Deserialize, Serialize};

use super::chains::Chains;
use super::journal::Journal;
use super::target::PlainDensity;
use super::warp::Tuned;
use crate::error::{Error, ErrorKind, Result};
use crate::host::parallel;
use crate::host::random::{Purpose, Streams, fill_normal};
use crate::host::rows::Rows;
use crate::train::Trainer;

/// How warped chains run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NutsOptions {
    /// Chains, one for each thread.
    pub chains: usize,
    /// Draws of each before those that are kept, from which the warp is learned.
    pub warmup: u64,
    /// Draws of each that are kept.
    pub draws: u64,
    /// The mean acceptance that the step size aims at: higher is smaller steps, which leave the energy surface more rarely and cost more.
    pub acceptance: f64,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for NutsOptions {
    fn default() -> Self {
        Self { chains: 2, warmup: 1500, draws: 1000, acceptance: 0.9, seed: 0 }
    }
}

/// Chains of the warped sampler.
#[derive(Clone, Debug, PartialEq)]
pub struct WarpedChains {
    /// The draws.
    pub chains: Chains,
    /// Draws after warm-up, in all chains, whose path left the energy surface: the sampler has then missed a part of the target.
    pub divergences: u64,
    /// Mean number of leapfrog steps of a draw after warm-up.
    pub leapfrogs: f64,
    /// The Fisher divergence of each chain's warp: below -2 is good, above 6 hopeless.
    pub warp_divergences: Vec<f64>,
}

/// What a watcher of chains is told: which chain, its draws so far, whether it still warms up.
pub type Watch<'a> = dyn Fn(usize, u64, bool) -> Result<()> + Sync + 'a;

/// Chains of the no-U-turn sampler in the base of a flow that is learned along the way, by the Fisher divergence of draws and gradients,
/// `ln mean |z + d ln p(z) / dz|^2`: funnels and narrow valleys become round before they are sampled. Started at draws of a standard normal.
///
/// The sampler is nuts-rs (Hoffman and Gelman. *The No-U-Turn Sampler*. JMLR 15, 2014); the warp is as in nutpie's.
pub struct WarpedRun<'a> {
    target: &'a dyn PlainDensity,
    options: NutsOptions,
    checkpoint: Option<Checkpoint>,
}

struct Checkpoint {
    path: PathBuf,
    /// Draws of a chain from one to the next.
    every: u64,
}

impl<'a> WarpedRun<'a> {
    /// Chains at their start.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without a chain or a draw, or for an acceptance out of range.
    pub fn new(target: &'a dyn PlainDensity, options: NutsOptions) -> Result<Self> {
        if options.chains == 0 || options.draws == 0 {
            return Err(Error::config(format!(
                "a sampler needs at least one chain and one draw, found {} and {}",
                options.chains, options.draws
            )));
        }
        if !(0.5..1.0).contains(&options.acceptance) {
            return Err(Error::config(format!(
                "the acceptance that a sampler aims at must be in 0.5..1, found {}",
                options.acceptance
            )));
        }
        Ok(Self { target, options, checkpoint: None })
    }

    /// Writes what each chain needs to go on after `every` draws of it, and where it ends or is ended; goes on from there if it was written before, to the same bits as if it had
    /// never stopped. Chain `k` writes to `path` with `.k` behind it.
    ///
    /// The sampler keeps its state to itself, so a chain is led over its path again, by densities, gradients and warps that were written down: that takes the steps of the
    /// sampler alone. A file holds at most 256 MiB of them; what is beyond is computed again.
    #[must_use]
    pub fn checkpoint(self, path: impl Into<PathBuf>, every: u64) -> Self {
        Self { checkpoint: Some(Checkpoint { path: path.into(), every: every.max(1) }), ..self }
    }

    /// Removes what the chains wrote; nothing if that is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn remove_checkpoint(&self) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        (0..self.options.chains)
            .try_for_each(|chain| Trainer::remove_checkpoint(&checkpoint.of(chain)))
    }

    /// Runs all chains to their end, each in a thread. `watch` sees every draw and ends all by an error.
    ///
    /// # Errors
    /// [`ErrorKind::Domain`] if no finite density is found to start from; [`ErrorKind::NotConverged`] if the sampler fails; those of `watch`, of reading and writing checkpoints,
    /// and [`ErrorKind::Config`] for one of other options.
    pub fn run(&self, watch: &Watch<'_>) -> Result<WarpedChains> {
        let chains = self.options.chains;
        let found = parallel::map(chains, chains, |chain| self.one_chain(chain, watch))?;
        let mut all = WarpedChains {
            chains: Chains {
                draws: Vec::new(),
                global_acceptance: f64::NAN,
                local_acceptance: f64::NAN,
            },
            divergences: 0,
            leapfrogs: 0.0,
            warp_divergences: Vec::new(),
        };
        for one in found {
            all.chains.draws.push(one.draws);
            all.divergences += one.divergences;
            all.leapfrogs += one.leapfrogs as f64 / (self.options.draws * chains as u64) as f64;
            all.warp_divergences.push(one.warp_divergence);
        }
        Ok(all)
    }

    fn one_chain(&self, chain: usize, watch: &Watch<'_>) -> Result<One> {
        let seed = self.options.seed.wrapping_add(chain as u64);
        let dims = self.target.dims();
        let path = self.checkpoint.as_ref().map(|checkpoint| checkpoint.of(chain));
        let mut journal = Journal::new(dims, seed);
        if let Some(path) = path.as_deref().filter(|path| Trainer::has_checkpoint(path)) {
            journal = Journal::read(path, dims, seed, &self.options)?;
        }
        let journal = Rc::new(RefCell::new(journal));
        let found = self.sample(chain, seed, &journal, watch);
        if let Some(path) = &path {
            let kept = journal.borrow().write(path, &self.options);
            // What ended the chain is what counts.
            return found.and_then(|found| kept.map(|()| found));
        }
        found
    }

    fn sample(
        &self,
        chain: usize,
        seed: u64,
        journal: &Rc<RefCell<Journal>>,
        watch: &Watch<'_>,
    ) -> Result<One> {
        let options = &self.options;
        let mut settings = FlowNutsSettings {
            num_tune: options.warmup,
            num_draws: options.draws,
            ..FlowNutsSettings::default()
        };
        // All points of a path tell of gradients, not only those that became draws.
        settings.adapt_options.use_orbit_for_training = true;
        settings.adapt_options.step_size_settings.target_accept = options.acceptance;
        let math = CpuMath::new(Warped { target: self.target, journal: journal.clone() });
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut sampler = settings.new_chain(chain as u64, math, &mut rng);
        sampler.set_position(&start(self.target, seed)?).map_err(failed)?;
        let mut found = One {
            draws: Rows::zeros(options.draws as usize, self.target.dims()),
            divergences: 0,
            leapfrogs: 0,
            warp_divergence: f64::NAN,
        };
        for draw in 0..options.warmup + options.draws {
            let (position, told) = sampler.draw().map_err(failed)?;
            if let Some(kept) = draw.checked_sub(options.warmup) {
                found.draws.row_mut(kept as usize).copy_from_slice(&position);
                found.divergences += u64::from(told.diverging);
                found.leapfrogs += told.num_steps;
            }
            watch(chain, draw + 1, told.tuning)?;
            if let Some(checkpoint) = &self.checkpoint
                && (draw + 1).is_multiple_of(checkpoint.every)
                && !journal.borrow().is_repeating()
            {
                journal.borrow().write(&checkpoint.of(chain), options)?;
            }
        }
        found.warp_divergence = journal.borrow().warp_divergence();
        Ok(found)
    }
}

impl Checkpoint {
    fn of(&self, chain: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{chain}"));
        name.into()
    }
}

/// Runs a [`WarpedRun`] to its end, without checkpoints.
///
/// # Errors
/// As [`WarpedRun::new`] and [`WarpedRun::run`].
pub fn warped_nuts(
    target: &dyn PlainDensity,
    options: &NutsOptions,
    watch: &Watch<'_>,
) -> Result<WarpedChains> {
    WarpedRun::new(target, options.clone())?.run(watch)
}

struct One {
    draws: Rows,
    divergences: u64,
    leapfrogs: u64,
    warp_divergence: f64,
}

/// A draw of a standard normal at which the density is finite.
fn start(target: &dyn PlainDensity, seed: u64) -> Result<Vec<f64>> {
    const TRIES: u64 = 100;
    let (mut x, mut gradient) = (vec![0.0; target.dims()], vec![0.0; target.dims()]);
    for tried in 0..TRIES {
        fill_normal(&mut Streams::new(seed).rng(Purpose::Start, 0, tried), &mut x);
        let log_p = target.log_density(&x, &mut gradient);
        if log_p.is_finite() && gradient.iter().all(|g| g.is_finite()) {
            return Ok(x);
        }
    }
    Err(Error::new(
        ErrorKind::Domain,
        format!(
            "none of {TRIES} draws of a standard normal has a finite density and gradient; shift and scale the target so that it is of order one"
        ),
    ))
}

fn failed(error: impl fmt::Display) -> Error {
    Error::new(ErrorKind::NotConverged, format!("the sampler stopped: {error}"))
}

/// A target with its warp, as nuts-rs asks for both.
struct Warped<'a> {
    target: &'a dyn PlainDensity,
    journal: Rc<RefCell<Journal>>,
}

/// A point at which there is no density.
#[derive(Debug)]
enum Fault {
    /// The density or the gradient is not finite.
    NotFinite,
    /// The warp could not be learned.
    Warp(Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => f.write_str("density or gradient is not finite"),
            Self::Warp(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Fault {}

impl LogpError for Fault {
    fn is_recoverable(&self) -> bool {
        matches!(self, Self::NotFinite)
    }
}

impl HasDims for Warped<'_> {
    fn dim_sizes(&self) -> HashMap<String, u64> {
        HashMap::from([(String::from("unconstrained_parameter"), self.target.dims() as u64)])
    }
}

impl CpuLogpFunc for Warped<'_> {
    type LogpError = Fault;
    type FlowParameters = Tuned;
    type ExpandedVector = Vec<f64>;

    fn dim(&self) -> usize {
        self.target.dims()
    }

    fn logp(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Fault> {
        let log_p = self.journal.borrow_mut().log_density(self.target, position, gradient);
        let finite = log_p.is_finite() && gradient.iter().all(|g| g.is_finite());
        if finite { Ok(log_p) } else { Err(Fault::NotFinite) }
    }

    fn expand_vector<R: nuts_rs::rand::Rng + ?Sized>(
        &mut self,
        _: &mut R,
        array: &[f64],
    ) -> Result<Vec<f64>, CpuMathError> {
        Ok(array.to_vec())
    }

    fn inv_transform_normalize(
        &mut self,
        tuned: &Tuned,
        x: &[f64],
        gradient: &[f64],
        z: &mut [f64],
        of_base: &mut [f64],
    ) -> Result<f64, Fault> {
        Ok(tuned.warp.to_base(x, gradient, z, of_base))
    }

    fn init_from_untransformed_position(
        &mut self,
        tuned: &Tuned,
        x: &[f64],
        gradient: &mut [f64],
        z: &mut [f64],
        of_base: &mut [f64],
    ) -> Result<(f64, f64), Fault> {
        let log_p = self.logp(x, gradient)?;
        Ok((log_p, tuned.warp.to_base(x, gradient, z, of_base)))
    }

    fn init_from_transformed_position(
        &mut self,
        tuned: &Tuned,
        x: &mut [f64],
        gradient: &mut [f64],
        z: &[f64],
        of_base: &mut [f64],
    ) -> Result<(f64, f64), Fault> {
        let mut passed = Vec::new();
        let log_det = tuned.warp.to_target(z, x, &mut passed);
        let log_p = self.logp(x, gradient)?;
        tuned.warp.pull_back(gradient, &passed, of_base);
        Ok((log_p, log_det))
    }

    fn update_transformation<'a, R: nuts_rs::rand::Rng + ?Sized>(
        &'a mut self,
        _: &mut R,
        positions: impl ExactSizeIterator<Item = &'a [f64]>,
        gradients: impl ExactSizeIterator<Item = &'a [f64]>,
        _: impl ExactSizeIterator<Item = &'a f64>,
        tuned: &'a mut Tuned,
    ) -> Result<(), Fault> {
        let (positions, gradients): (Vec<_>, Vec<_>) = (positions.collect(), gradients.collect());
        self.journal.borrow_mut().update(tuned, &positions, &gradients).map_err(Fault::Warp)
    }

    fn init_transformation<R: nuts_rs::rand::Rng + ?Sized>(
        &mut self,
        _: &mut R,
        position: &[f64],
        gradient: &[f64],
        _: u64,
    ) -> Result<Tuned, Fault> {
        Ok(Tuned::new(&[position], &[gradient]))
    }

    fn new_transformation<R: nuts_rs::rand::Rng + ?Sized>(
        &mut self,
        _: &mut R,
        dim: usize,
        _: u64,
    ) -> Result<Tuned, Fault> {
        Ok(Tuned::new(&[&vec![0.0; dim]], &[&vec![1.0; dim]]))
    }

    fn transformation_id(&self, tuned: &Tuned) -> Result<i64, Fault> {
        Ok(tuned.version)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A number, another whose deviation is the exponential of it, and how often it was asked.
    #[derive(Default)]
    struct Funnel(AtomicU64);

    impl PlainDensity for Funnel {
        fn dims(&self) -> usize {
            2
        }

        fn log_density(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
            self.0.fetch_add(1, Ordering::Relaxed);
            let precision = (-2.0 * x[0]).exp();
            gradient[1] = -x[1] * precision;
            gradient[0] = -x[0] - 1.0 + x[1] * x[1] * precision;
            -0.5 * (x[0] * x[0] + x[1] * x[1] * precision) - x[0]
        }
    }

    fn options() -> NutsOptions {
        NutsOptions { warmup: 300, draws: 40, seed: 3, ..NutsOptions::default() }
    }

    /// Runs until a chain has so many draws.
    fn stopped(run: &WarpedRun<'_>, stop: u64) -> Error {
        let watch = |_: usize, draw: u64, _: bool| match draw < stop {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Interrupted, "stopped")),
        };
        run.run(&watch).unwrap_err()
    }

    #[test]
    fn chains_that_were_stopped_go_on_to_the_same_bits_and_ask_only_for_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chains");
        let target = Funnel::default();
        let asked = || target.0.swap(0, Ordering::Relaxed);
        let whole = warped_nuts(&target, &options(), &|_, _, _| Ok(())).unwrap();
        let all = asked();
        assert!(whole.warp_divergences.iter().all(|divergence| divergence.is_finite()));
        // While only scales are learned, while couplings are, and when all is known.
        for stop in [40, 270, 330] {
            let run = WarpedRun::new(&target, options()).unwrap().checkpoint(&path, 100);
            assert_eq!(stopped(&run, stop).kind(), ErrorKind::Interrupted);
            asked();
        }
        let run = WarpedRun::new(&target, options()).unwrap().checkpoint(&path, 100);
        let found = run.run(&|_, _, _| Ok(())).unwrap();
        assert_eq!(
            (&found.chains.draws, found.divergences),
            (&whole.chains.draws, whole.divergences)
        );
        assert_eq!(found.warp_divergences, whole.warp_divergences);
        let again = asked();
        assert!(again < all / 5, "{again} of {all}");
        run.remove_checkpoint().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_checkpoint_of_other_chains_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chains");
        let target = Funnel::default();
        let run = WarpedRun::new(&target, options()).unwrap().checkpoint(&path, 100);
        stopped(&run, 20);
        let other = NutsOptions { acceptance: 0.8, ..options() };
        let other = WarpedRun::new(&target, other).unwrap().checkpoint(&path, 100);
        let error = other.run(&|_, _, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains("acceptance"), "{error}");
    }
}
