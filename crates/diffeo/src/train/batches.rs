//! Which rows each step sees: a new order every epoch, cut into batches of equal size.

use std::ops::Range;

use crate::random::{Purpose, Streams, permutation, uniform};
use crate::rows::Rows;
use crate::schema::{ColumnKind, Schema};

use super::data::Part;

/// The order of rows, epoch after epoch. Step `t` sees the same rows whether or not the steps before it were run here.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    streams: Streams,
    rows: usize,
    per_epoch: u64,
    /// The order of one epoch, kept because a run asks for its steps in turn.
    order: Option<(u64, Vec<u32>)>,
}

impl Batches {
    /// Batches of at most `batch` of `rows` rows.
    pub(crate) fn new(streams: Streams, rows: usize, batch: usize) -> Self {
        Self { streams, rows, per_epoch: rows.div_ceil(batch).max(1) as u64, order: None }
    }

    /// Positions (in the training part) of the rows of step `step`, counted from 0.
    ///
    /// The batches of an epoch differ by at most one row: no step is left with a single noisy one.
    pub(crate) fn positions(&mut self, step: u64) -> &[u32] {
        let (epoch, within) = (step / self.per_epoch, step % self.per_epoch);
        let range = piece(self.rows, self.per_epoch as usize, within as usize);
        let current = self.order.take().filter(|(e, _)| *e == epoch);
        let (_, order) = self.order.insert(current.unwrap_or_else(|| {
            let mut rng = self.streams.rng(Purpose::Shuffle, epoch, 0);
            (epoch, permutation(&mut rng, self.rows as u32))
        }));
        &order[range]
    }
}

/// Piece `i` of `n` items cut into `pieces` whose sizes differ by at most one.
pub(crate) fn piece(n: usize, pieces: usize, i: usize) -> Range<usize> {
    let cut = |i: usize| (n as u128 * i as u128 / pieces as u128) as usize;
    cut(i)..cut(i + 1)
}

/// Rows as an objective takes them.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) x: Rows,
    pub(crate) context: Option<Rows>,
    /// The factor of each row's loss.
    pub(crate) weights: Vec<f64>,
}

impl Batch {
    /// Some of the rows.
    pub(crate) fn slice(&self, rows: Range<usize>) -> Self {
        Self {
            x: self.x.slice(rows.clone()),
            context: self.context.as_ref().map(|c| c.slice(rows.clone())),
            weights: self.weights[rows].to_vec(),
        }
    }
}

/// Which noise makes whole numbers continuous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) streams: Streams,
    pub(crate) purpose: Purpose,
    pub(crate) step: u64,
}

impl Part {
    /// The rows at the given positions, with weights as in the table and noise on integer columns.
    ///
    /// The noise of a row depends on its number in the table, not on its place in the batch.
    pub(crate) fn batch(&self, positions: &[u32], schema: &Schema, noise: Noise) -> Batch {
        let rows: Vec<usize> = positions.iter().map(|&p| self.rows[p as usize] as usize).collect();
        let mut x = self.data.x.select(&rows);
        let integers: Vec<usize> =
            (0..x.width()).filter(|&j| schema.columns[j].kind == ColumnKind::Integer).collect();
        if !integers.is_empty() {
            let width = x.width();
            for (values, &row) in x.values_mut().chunks_exact_mut(width).zip(&rows) {
                let mut rng = noise.streams.rng(noise.purpose, noise.step, row as u64);
                integers.iter().for_each(|&j| values[j] += uniform(&mut rng));
            }
        }
        let context = self.data.context.as_ref().map(|c| c.select(&rows));
        let weights = rows.iter().map(|&i| self.data.weight(i)).collect();
        Batch { x, context, weights }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schema::Column;
    use crate::train::data::TrainingData;

    #[test]
    fn d8_an_epoch_shows_every_row_once_in_batches_of_equal_size() {
        for (rows, batch) in [(1, 1), (10, 3), (10, 10), (101, 25), (7, 6)] {
            let mut batches = Batches::new(Streams::new(1), rows, batch);
            let steps = rows.div_ceil(batch) as u64;
            let mut seen = Vec::new();
            let mut sizes = Vec::new();
            for step in 0..steps {
                let positions = batches.positions(step);
                sizes.push(positions.len());
                seen.extend_from_slice(positions);
            }
            seen.sort_unstable();
            assert!(seen.iter().enumerate().all(|(i, &p)| i == p as usize) && seen.len() == rows);
            let (low, high) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(high - low <= 1 && *high <= batch, "{sizes:?}");
        }
    }

    #[test]
    fn a_step_shows_the_same_rows_wherever_a_run_begins_and_epochs_differ() {
        let mut whole = Batches::new(Streams::new(1), 100, 10);
        let all: Vec<Vec<u32>> = (0..30).map(|t| whole.positions(t).to_vec()).collect();
        for step in [29, 0, 15] {
            assert_eq!(Batches::new(Streams::new(1), 100, 10).positions(step), all[step as usize]);
        }
        assert_ne!(all[..10].concat(), all[10..20].concat());
    }

    #[test]
    fn noise_belongs_to_the_row_and_is_fresh_at_each_step() {
        let column = |kind| Column { name: format!("{kind}"), kind };
        let schema = Schema {
            columns: vec![column(ColumnKind::Integer), column(ColumnKind::Real)],
            context: vec![],
        };
        let x = Rows::new((0..20).map(f64::from).collect(), 2).unwrap();
        let data = Arc::new(TrainingData { x, context: None, weights: None });
        let part = Part { data, rows: (0..10).collect(), mean_weight: 1.0 };
        let noise = |step| Noise { streams: Streams::new(2), purpose: Purpose::Dequantise, step };
        let a = part.batch(&[3, 7], &schema, noise(0));
        let b = part.batch(&[7], &schema, noise(0));
        let later = part.batch(&[7], &schema, noise(1));
        assert_eq!(a.x.row(1), b.x.row(0));
        assert_ne!(b.x.row(0), later.x.row(0));
        assert!(b.x.row(0)[0] >= 14.0 && b.x.row(0)[0] < 15.0 && b.x.row(0)[1] == 15.0);
    }
}
