//! What draws of one density say of another: variational inference, importance and rejection sampling, ratios of populations.
//!
//! * [`LogDensity`]: a density that is known up to a constant; [`fit`] fits a flow to it, [`weigh`] weighs draws so that they stand for it.
//! * [`Bootstrap`]: a flow fitted to a density of modes that lie apart.
//! * [`run_chains`]: Markov chains that a flow helps from mode to mode.
//! * [`Weights`]: estimates with errors, effective size, the tail of weights and a [`Verdict`] in a sentence.
//! * [`reject`], [`draw_within`]: exact draws of a density, or of a model within a region, from those of another.
//! * [`SimulationRounds`]: the posterior of a simulator whose likelihood cannot be written down, in rounds; [`HighestDensityRegion`], where a model has most of its mass.
//! * [`Populations`], [`DensityRatio`]: `p2(x) / p1(x)` from a table of each, cross-fitted.
//! * [`Transported`]: the average of an outcome in a population where it was not observed, with an interval.

mod bootstrap;
mod chain_run;
mod chains;
mod convergence;
mod density_region;
mod domain;
mod hamiltonian;
#[cfg(feature = "nuts")]
mod journal;
mod laplace;
#[cfg(feature = "nuts")]
mod nuts;
mod pareto;
mod populations;
mod proposal;
mod ratio;
mod regression;
mod rejection;
mod simulation;
mod target;
mod transported;
mod variational;
mod verdict;
#[cfg(feature = "nuts")]
mod warp;
mod weights;

pub use bootstrap::{Bootstrap, BootstrapOptions, Iterated};
pub use chain_run::{ChainRun, run_chains};
pub use chains::{ChainOptions, Chains};
pub use density_region::HighestDensityRegion;
pub use domain::{Constrained, Domain};
pub use laplace::Whitened;
#[cfg(feature = "nuts")]
pub use nuts::{NutsOptions, WarpedChains, WarpedRun, Watch, warped_nuts};
pub use populations::{LogRatios, Populations};
pub use proposal::{Defensive, FlowProposal, ModelProposal, Proposal};
pub use ratio::{DensityRatio, RatioOptions, relative, unseen};
pub use rejection::{Accepted, Bound, RejectionOptions, draw_within, reject};
pub use simulation::{Round, SimulationOptions, SimulationRounds, Simulator};
pub use target::{Annealed, LogDensity, OwnGradient, PlainDensity};
pub use transported::{IntervalOptions, Transported};
pub use variational::{
    AlphaDivergence, BaseDraws, ImportanceWeighted, ReverseKl, VariationalOptions, fit, weigh,
};
pub use verdict::Verdict;
pub use weights::{Estimate, Weights};
