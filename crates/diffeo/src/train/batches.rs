//! Which rows each step sees: a new order every epoch, cut into batches of equal size.

use std::ops::Range;

use crate::columns::{Encoded, Encoding, Known, Within};
use crate::engine::Input;
use crate::host::draws::Draws;
use crate::host::random::{Purpose, Streams, permutation, uniform};
use crate::host::rows::Rows;

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
pub struct Batch {
    /// Rows as the flow sees them: real numbers of order one, or draws of its base.
    pub x: Rows,
    /// `log|det|` of what was done to each row before.
    pub log_det: Vec<f64>,
    /// The context of each row.
    pub context: Option<Rows>,
    /// How much each row counts.
    pub weights: Vec<f64>,
    /// Random numbers for layers that estimate; absent where results must be exact.
    pub draws: Option<Draws>,
}

impl Batch {
    /// Rows that all count alike.
    pub fn of(x: Rows) -> Self {
        let n = x.len();
        Self { x, log_det: vec![0.0; n], context: None, weights: vec![1.0; n], draws: None }
    }

    /// Some of the rows, each with the random numbers that it has in the whole.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let part = |rows: &Rows| rows.slice(range.clone());
        Self {
            x: part(&self.x),
            log_det: self.log_det[range.clone()].to_vec(),
            context: self.context.as_ref().map(part),
            weights: self.weights[range.clone()].to_vec(),
            draws: self.draws.map(|draws| draws.after(range.start)),
        }
    }

    /// The rows for an engine.
    pub(crate) fn input(&self) -> Input<'_> {
        let context = self.context.as_ref();
        Input { x: &self.x, log_det: &self.log_det, context, draws: self.draws }
    }
}

/// Which noise makes whole numbers continuous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) streams: Streams,
    pub(crate) purpose: Purpose,
    pub(crate) step: u64,
    /// Share of the rows whose context is hidden.
    pub(crate) hidden: f64,
}

impl Part {
    /// The rows at the given positions, encoded, with weights as in the table.
    ///
    /// The noise of a row depends on its number in the table, not on its place in the batch.
    pub(crate) fn batch(&self, positions: &[u32], encoding: &Encoding, noise: Noise) -> Batch {
        let rows: Vec<usize> = positions.iter().map(|&p| self.rows[p as usize] as usize).collect();
        let context = self.data.context.as_ref().map(|c| c.select(&rows));
        let rng = |i: usize| noise.streams.rng(noise.purpose, noise.step, rows[i] as u64);
        let mut x = self.data.x.select(&rows);
        // Other subsets at each look would make its noise look like progress, or like its end.
        let step = if noise.purpose == Purpose::Validation { u64::MAX } else { noise.step };
        let given = encoding
            .draw_subsets(&mut x, |i| noise.streams.rng(Purpose::Subset, step, rows[i] as u64));
        let known = Known { context: context.as_ref(), given: given.as_ref() };
        let Encoded { x, log_det, mut context } = encoding.encode(&x, known, Within::Random(&rng));
        if let Some(context) = context.as_mut().filter(|_| noise.hidden > 0.0) {
            let width = context.width();
            for (row, context) in rows.iter().zip(context.values_mut().chunks_exact_mut(width)) {
                let mut rng = noise.streams.rng(Purpose::Hide, noise.step, *row as u64);
                if uniform(&mut rng) < noise.hidden {
                    context.fill(0.0);
                }
            }
        }
        let weights = rows.iter().map(|&i| self.data.weight(i)).collect();
        Batch { x, log_det, context, weights, draws: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::columns::{Column, ColumnKind, Schema, Units};
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
        let column = |kind| Column::new(format!("{kind}"), kind);
        let schema =
            Schema::new(vec![column(ColumnKind::Integer), column(ColumnKind::Real)], Vec::new());
        let x = Rows::new((0..20).map(f64::from).collect(), 2).unwrap();
        let data = Arc::new(TrainingData { x, context: None, weights: None });
        let part = Part { data, rows: (0..10).collect(), mean_weight: 1.0 };
        let noise = |step| Noise {
            streams: Streams::new(2),
            purpose: Purpose::Dequantise,
            step,
            hidden: 0.0,
        };
        let encoding = Encoding::new(&schema, Units::none(2, 0));
        let of = |positions: &[u32], step| part.batch(positions, &encoding, noise(step)).x;
        let (a, b, later) = (of(&[3, 7], 0), of(&[7], 0), of(&[7], 1));
        assert_eq!(a.row(1), b.row(0));
        assert_ne!(b.row(0), later.row(0));
        assert!(b.row(0)[0] >= 14.0 && b.row(0)[0] < 15.0 && b.row(0)[1] == 15.0);
    }

    #[test]
    fn contexts_are_hidden_in_a_share_of_the_rows_anew_at_each_step() {
        let column = |name| Column::category(name, ["a", "b"]);
        let schema = Schema::new(vec![Column::new("x", ColumnKind::Real)], vec![column("who")]);
        let rows = |values: Vec<f64>| Rows::new(values, 1).unwrap();
        let (x, context) =
            (rows(vec![0.0; 1000]), rows((0..1000).map(|i| f64::from(i % 2)).collect()));
        let data = Arc::new(TrainingData { x, context: Some(context), weights: None });
        let part = Part { data, rows: (0..1000).collect(), mean_weight: 1.0 };
        let encoding = Encoding::new(&schema, Units::none(1, 2));
        let positions: Vec<u32> = (0..1000).collect();
        let of = |step, hidden| {
            let streams = Streams::new(2);
            let noise = Noise { streams, purpose: Purpose::Dequantise, step, hidden };
            let context = part.batch(&positions, &encoding, noise).context.unwrap();
            (0..1000).map(|i| context.row(i).to_vec()).collect::<Vec<_>>()
        };
        let (all, some, later) = (of(0, 0.0), of(0, 0.3), of(1, 0.3));
        let is_hidden = |row: &Vec<f64>| row == &[0.0, 0.0];
        assert!(!all.iter().any(is_hidden));
        let count = some.iter().filter(|row| is_hidden(row)).count();
        assert!((250..350).contains(&count), "{count}");
        assert!(some.iter().zip(&all).all(|(a, b)| is_hidden(a) || a == b));
        assert_ne!(some, later);
    }
}
