//! The no-U-turn sampler on a target that a flow has warped into a standard normal, by the sampler of nuts-rs.

use std::collections::HashMap;
use std::fmt;

use nuts_rs::rand::SeedableRng;
use nuts_rs::rand::rngs::ChaCha8Rng;
use nuts_rs::{
    Chain, CpuLogpFunc, CpuMath, CpuMathError, FlowNutsSettings, HasDims, LogpError, Settings,
};

use super::chains::Chains;
use super::target::PlainDensity;
use super::warp::Tuner;
use crate::error::{Error, ErrorKind, Result};
use crate::host::parallel;
use crate::host::random::{Purpose, Streams, fill_normal};
use crate::host::rows::Rows;

/// How warped chains run.
#[derive(Clone, Debug, PartialEq)]
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

/// Draws of a density by the no-U-turn sampler in the base of a flow that is learned along the way, by the Fisher divergence of draws and gradients,
/// `ln mean |z + d ln p(z) / dz|^2`: funnels and narrow valleys become round before they are sampled. Started at draws of a standard normal.
///
/// The sampler is nuts-rs (Hoffman and Gelman. *The No-U-Turn Sampler*. JMLR 15, 2014); the warp is as in nutpie's.
///
/// # Errors
/// [`ErrorKind::Config`] without a chain or a draw, or for an acceptance out of range; [`ErrorKind::Domain`] if no finite density is found to start from; those of `watch`.
pub fn warped_nuts(
    target: &dyn PlainDensity,
    options: &NutsOptions,
    watch: &Watch<'_>,
) -> Result<WarpedChains> {
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
    let found = parallel::map(options.chains, options.chains, |chain| {
        one_chain(target, options, chain, watch)
    })?;
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
        all.leapfrogs += one.leapfrogs as f64 / (options.draws * options.chains as u64) as f64;
        all.warp_divergences.push(one.warp_divergence);
    }
    Ok(all)
}

struct One {
    draws: Rows,
    divergences: u64,
    leapfrogs: u64,
    warp_divergence: f64,
}

fn one_chain(
    target: &dyn PlainDensity,
    options: &NutsOptions,
    chain: usize,
    watch: &Watch<'_>,
) -> Result<One> {
    let mut settings = FlowNutsSettings {
        num_tune: options.warmup,
        num_draws: options.draws,
        ..FlowNutsSettings::default()
    };
    // All points of a path tell of gradients, not only those that became draws.
    settings.adapt_options.use_orbit_for_training = true;
    settings.adapt_options.step_size_settings.target_accept = options.acceptance;
    let seed = options.seed.wrapping_add(chain as u64);
    let divergence = std::rc::Rc::new(std::cell::Cell::new(f64::NAN));
    let math = CpuMath::new(Warped { target, seed, divergence: divergence.clone() });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sampler = settings.new_chain(chain as u64, math, &mut rng);
    sampler.set_position(&start(target, seed)?).map_err(failed)?;
    let mut found = One {
        draws: Rows::zeros(options.draws as usize, target.dims()),
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
    }
    found.warp_divergence = divergence.get();
    Ok(found)
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
    seed: u64,
    /// Told to the outside.
    divergence: std::rc::Rc<std::cell::Cell<f64>>,
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
    type FlowParameters = Tuner;
    type ExpandedVector = Vec<f64>;

    fn dim(&self) -> usize {
        self.target.dims()
    }

    fn logp(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Fault> {
        let log_p = self.target.log_density(position, gradient);
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
        tuner: &Tuner,
        x: &[f64],
        gradient: &[f64],
        z: &mut [f64],
        of_base: &mut [f64],
    ) -> Result<f64, Fault> {
        Ok(tuner.warp.to_base(x, gradient, z, of_base))
    }

    fn init_from_untransformed_position(
        &mut self,
        tuner: &Tuner,
        x: &[f64],
        gradient: &mut [f64],
        z: &mut [f64],
        of_base: &mut [f64],
    ) -> Result<(f64, f64), Fault> {
        let log_p = self.logp(x, gradient)?;
        Ok((log_p, tuner.warp.to_base(x, gradient, z, of_base)))
    }

    fn init_from_transformed_position(
        &mut self,
        tuner: &Tuner,
        x: &mut [f64],
        gradient: &mut [f64],
        z: &[f64],
        of_base: &mut [f64],
    ) -> Result<(f64, f64), Fault> {
        let mut passed = Vec::new();
        let log_det = tuner.warp.to_target(z, x, &mut passed);
        let log_p = self.logp(x, gradient)?;
        tuner.warp.pull_back(gradient, &passed, of_base);
        Ok((log_p, log_det))
    }

    fn update_transformation<'a, R: nuts_rs::rand::Rng + ?Sized>(
        &'a mut self,
        _: &mut R,
        positions: impl ExactSizeIterator<Item = &'a [f64]>,
        gradients: impl ExactSizeIterator<Item = &'a [f64]>,
        _: impl ExactSizeIterator<Item = &'a f64>,
        tuner: &'a mut Tuner,
    ) -> Result<(), Fault> {
        let (positions, gradients): (Vec<_>, Vec<_>) = (positions.collect(), gradients.collect());
        tuner.update(&positions, &gradients).map_err(Fault::Warp)?;
        self.divergence.set(tuner.divergence);
        Ok(())
    }

    fn init_transformation<R: nuts_rs::rand::Rng + ?Sized>(
        &mut self,
        _: &mut R,
        position: &[f64],
        gradient: &[f64],
        _: u64,
    ) -> Result<Tuner, Fault> {
        Ok(Tuner::new(position, gradient, self.seed))
    }

    fn new_transformation<R: nuts_rs::rand::Rng + ?Sized>(
        &mut self,
        _: &mut R,
        dim: usize,
        _: u64,
    ) -> Result<Tuner, Fault> {
        Ok(Tuner::new(&vec![0.0; dim], &vec![1.0; dim], self.seed))
    }

    fn transformation_id(&self, tuner: &Tuner) -> Result<i64, Fault> {
        Ok(tuner.version)
    }
}
