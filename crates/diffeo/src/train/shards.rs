//! A batch on several threads, with the same bits as on one.
//!
//! The batch is cut into a number of shards that follows from its size alone. A thread runs a whole shard, forward and
//! backward; gradients are then summed half by half. Which thread took which shard leaves no trace, nor which process did.

use std::ops::Range;
use std::sync::Arc;

use diffeo_kernels::Aligned;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::batches::{Batch, Noise, piece};
use super::data::Part;
use super::objective::FlatObjective;
use super::optimizer::Pieces;
use super::ranks::{self, Ranks};
use crate::columns::Encoding;
use crate::engine::Element;
use crate::engine::Layout;
use crate::error::{Error, ErrorKind, Result};

/// Rows that are scored at once in validation.
const VALIDATION_BLOCK: usize = 1024;

/// The run's own threads, and one gradient per shard.
pub(crate) struct Shards<T> {
    pool: Arc<ThreadPool>,
    /// Of the shards that are this process's own; the first is the sum of all after each batch.
    gradients: Vec<Aligned<T>>,
    pieces: Pieces,
    /// Shards of a batch, and which of them are this process's own.
    count: usize,
    own: Range<usize>,
    /// The other processes of the training, if there are any.
    ranks: Option<Box<dyn Ranks>>,
}

impl<T: Element> Shards<T> {
    pub(crate) fn new(threads: usize, count: usize, layout: &Layout) -> Result<Self> {
        let gradients = vec![Aligned::zeros(layout.len()); count];
        let (pool, pieces) = (thread_pool(threads)?, Pieces::new(layout));
        Ok(Self { pool, gradients, pieces, count, own: 0..count, ranks: None })
    }

    /// Leaves other shards than its own to other processes.
    pub(crate) fn join(&mut self, ranks: Box<dyn Ranks>) {
        self.own = ranks::own(&*ranks, self.count);
        // One more than none, which then stays zero.
        self.gradients.truncate(self.own.len().max(1));
        self.ranks = Some(ranks);
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
        let (n, count, own) = (batch.weights.len(), self.count, self.own.clone());
        let gradients = &mut self.gradients;
        let (found, norm): (Vec<_>, f64) = self.pool.install(|| {
            let shards = gradients.par_iter_mut().enumerate().with_max_len(1);
            let losses = shards.map(|(i, gradient)| {
                let rows = if i < own.len() { piece(n, count, own.start + i) } else { 0..0 };
                if rows.is_empty() {
                    gradient.fill(T::ZERO);
                    return (rows, Ok(Vec::new()));
                }
                let losses = objective.gradient(weights, &batch.slice(rows.clone()), gradient);
                (rows, losses)
            });
            let losses = losses.collect();
            (losses, self.pieces.sum(gradients))
        });
        let Some(ranks) = &mut self.ranks else {
            return Ok((concat(found.into_iter().map(|(_, losses)| losses), n)?, norm));
        };
        let losses = ranks::shared(&mut **ranks, found, n)?;
        T::sum_over(&mut **ranks, &mut self.gradients[0])?;
        let (pieces, total) = (&self.pieces, &mut self.gradients[..1]);
        Ok((losses, self.pool.install(|| pieces.sum(total))))
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
        &mut self,
        objective: &dyn FlatObjective<T>,
        weights: &[T],
        part: &Part,
        encoding: &Encoding,
        noise: Noise,
    ) -> Result<Vec<f64>> {
        let n = part.len();
        let (rank, every) = self.ranks.as_ref().map_or((0, 1), |r| (r.rank(), r.count()));
        let own: Vec<usize> = (0..n.div_ceil(VALIDATION_BLOCK)).skip(rank).step_by(every).collect();
        let found: Vec<_> = self.pool.install(|| {
            let blocks = own.into_par_iter().with_max_len(1).map(|block| {
                let start = block * VALIDATION_BLOCK;
                let rows = start..n.min(start + VALIDATION_BLOCK);
                let positions: Vec<u32> = rows.clone().map(|p| p as u32).collect();
                (rows, objective.losses(weights, &part.batch(&positions, encoding, noise)))
            });
            blocks.collect()
        });
        match &mut self.ranks {
            Some(ranks) => ranks::shared(&mut **ranks, found, n),
            None => concat(found.into_iter().map(|(_, losses)| losses), n),
        }
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

fn concat(pieces: impl Iterator<Item = Result<Vec<f64>>>, len: usize) -> Result<Vec<f64>> {
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
