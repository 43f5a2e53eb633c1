//! A batch on several threads, with the same bits as on one.
//!
//! The batch is cut into a number of shards that follows from its size alone. A thread runs a whole shard, forward and
//! backward; gradients are then summed in the order of the shards. Which thread took which shard leaves no trace.

use std::sync::Arc;

use diffeo_kernels::Aligned;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::batches::{Batch, Noise, piece};
use super::data::Part;
use super::objective::FlatObjective;
use super::optimizer::Pieces;
use crate::columns::Encoding;
use crate::engine::Element;
use crate::engine::Layout;
use crate::error::{Error, ErrorKind, Result};

/// Rows that are scored at once in validation.
const VALIDATION_BLOCK: usize = 1024;

/// The run's own threads, and one gradient per shard.
pub(crate) struct Shards<T> {
    pool: Arc<ThreadPool>,
    /// The first is the sum of all after each batch.
    gradients: Vec<Aligned<T>>,
    pieces: Pieces,
}

impl<T: Element> Shards<T> {
    pub(crate) fn new(threads: usize, shards: usize, layout: &Layout) -> Result<Self> {
        let gradients = vec![Aligned::zeros(layout.len()); shards];
        Ok(Self { pool: thread_pool(threads)?, gradients, pieces: Pieces::new(layout) })
    }

    /// The threads of the run.
    pub(crate) fn pool(&self) -> Arc<ThreadPool> {
        Arc::clone(&self.pool)
    }

    /// The loss of each row of a batch, and the norm of the summed gradient, which is then [`Shards::total`].
    pub(crate) fn gradient(
        &mut self,
        objective: &dyn FlatObjective<T>,
        weights: &[T],
        batch: &Batch,
    ) -> Result<(Vec<f64>, f64)> {
        let count = self.gradients.len();
        let gradients = &mut self.gradients;
        let (losses, norm): (Vec<Result<Vec<f64>>>, f64) = self.pool.install(|| {
            let shards = gradients.par_iter_mut().enumerate().with_max_len(1);
            let losses = shards.map(|(i, gradient)| {
                let rows = piece(batch.weights.len(), count, i);
                if rows.is_empty() {
                    gradient.fill(T::ZERO);
                    return Ok(Vec::new());
                }
                objective.gradient(weights, &batch.slice(rows), gradient)
            });
            let losses = losses.collect();
            (losses, self.pieces.sum(gradients))
        });
        Ok((concat(losses, batch.weights.len())?, norm))
    }

    /// The pieces that threads share the weights by.
    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// The gradient of the last batch.
    pub(crate) fn total(&self) -> &[T] {
        self.gradients.first().map_or(&[], |total| total)
    }

    /// The loss of each row of a part, in the order of the table.
    pub(crate) fn losses(
        &self,
        objective: &dyn FlatObjective<T>,
        weights: &[T],
        part: &Part,
        encoding: &Encoding,
        noise: Noise,
    ) -> Result<Vec<f64>> {
        let n = part.len();
        let losses: Vec<Result<Vec<f64>>> = self.pool.install(|| {
            let blocks = (0..n.div_ceil(VALIDATION_BLOCK)).into_par_iter().with_max_len(1);
            let score = blocks.map(|block| {
                let start = block * VALIDATION_BLOCK;
                let positions: Vec<u32> =
                    (start..n.min(start + VALIDATION_BLOCK)).map(|p| p as u32).collect();
                objective.losses(weights, &part.batch(&positions, encoding, noise))
            });
            score.collect()
        });
        concat(losses, n)
    }
}

/// Threads of their own.
///
/// # Errors
/// [`ErrorKind::Limit`] if they cannot be started.
pub(super) fn thread_pool(threads: usize) -> Result<Arc<ThreadPool>> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| {
        let text = format!("cannot start {threads} threads: {e}; ask for fewer");
        Error::new(ErrorKind::Limit, text).caused_by(e)
    })?;
    Ok(Arc::new(pool))
}

fn concat(pieces: Vec<Result<Vec<f64>>>, len: usize) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(len);
    for piece in pieces {
        all.extend(piece?);
    }
    if all.len() != len {
        let text = format!("expected {len} losses, found {}", all.len());
        return Err(Error::new(ErrorKind::Internal, text));
    }
    Ok(all)
}
