//! Training: the loop, its recipe, and everything that a resumed run needs.
//!
//! ```text
//! Plan      what a run will do, from rows, columns and options      recipe.rs, options.rs
//! Run       the loop: step, validate, roll back                     run.rs
//! Shards    one batch on many threads, the same bits                shards.rs
//! Ranks     one batch in several processes, the same bits           ranks.rs
//! State     all that changes, written to checkpoints                state.rs, checkpoint.rs
//! Loss      what steps go down: likelihood, or flow matching        loss.rs, matching.rs
//! Learner   steps of the optimiser on any loss of any module        learner.rs, objective.rs
//! Snapshot  a checkpoint of several learners and numbers            snapshot.rs
//! Search    a graph of the columns, before a flow that follows it   graph_search/
//! Trainer   the loop over a flow: what programs use                 trainer.rs, fit.rs, solve.rs,
//!                                                                   saturation.rs, warnings.rs
//! Candidate which of a few flows suits a table                      selection.rs, trials.rs
//! Deadline  a fit that ends by the clock                            deadline.rs
//! ```
//!
//! A run is a function of plan and data. Order and noise come from counter-based streams (seed, purpose, step, row), so
//! neither the number of threads nor a restart changes a bit of the result.

mod batches;
pub(crate) mod checkpoint;
mod contrast;
mod copies;
mod course;
mod data;
mod deadline;
mod events;
mod fit;
mod graph_search;
mod learner;
mod lookup;
mod loss;
mod matching;
mod objective;
mod optimizer;
mod options;
mod ranks;
mod recipe;
mod run;
mod saturation;
mod schedule;
mod selection;
mod shards;
mod snapshot;
mod solve;
mod state;
mod stopping;
mod trainer;
mod trials;
mod trim;
mod warnings;

#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod toy;

pub use batches::Batch;
pub use checkpoint::{CHECKPOINT_EVERY, Change, Resume};
pub use course::{Course, Stepwise, Turn};
pub use data::{TrainingData, ValidationChoice};
pub use deadline::Deadline;
pub use events::{Event, StopReason};
pub use fit::Fit;
pub use graph_search::{FoundGraph, GraphSearch, NoiseScale};
pub use learner::{Learner, LearnerOptions};
pub use lookup::Checkpoint;
pub use loss::Loss;
pub use objective::{Likelihood, Objective, Source};
pub use options::{Allowed, FitOptions};
pub use ranks::Ranks;
pub use recipe::Plan;
pub use schedule::Schedule;
pub use selection::Candidate;
pub use snapshot::Snapshot;
pub use trainer::Trainer;
pub use trials::{Selection, Trial, Underway, Watch};
pub use trim::{Trim, TrimWatch, Trimmed};
