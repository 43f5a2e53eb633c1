//! Densities and samples of diffeo's models as functions of SQL.
//!
//! ```sql
//! SELECT *, diffeo_log_prob('model.safetensors', age, income) AS score FROM people ORDER BY score LIMIT 100;
//! SELECT unnest(diffeo_sample('model.safetensors', 7, value)) FROM generate_series(1, 1000000);
//! ```
//!
//! The functions are those of DataFusion: [`register`] adds them to a session. Each batch of rows is scored by itself on the thread that brings it, and a row's result follows from the row, the model and,
//! for draws, from a seed and the number of the row: neither partitions nor machines change a bit. With the feature `cluster` the same functions are registered in the scheduler and the
//! executors of Ballista (`cluster`).

#[cfg(feature = "cluster")]
pub mod cluster;
mod log_prob;
mod models;
mod sample;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

pub use log_prob::LogProb;
pub use sample::Sample;

/// All functions.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::new_from_impl(LogProb::default())),
        Arc::new(ScalarUDF::new_from_impl(Sample::default())),
    ]
}

/// Adds all functions to a session.
pub fn register(session: &SessionContext) {
    for function in functions() {
        session.register_udf(function.as_ref().clone());
    }
}
