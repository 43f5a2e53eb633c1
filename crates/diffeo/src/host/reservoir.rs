//! A random sample of the rows of a table of unknown length, read once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand_chacha::ChaCha8Rng;

use crate::host::random::{Purpose, Streams, below, uniform};

/// Keeps every row with the same probability (algorithm R: Vitter, ACM TOMS 11, 1985, in constant memory).
#[derive(Debug)]
pub struct Reservoir {
    rows: Vec<Vec<f64>>,
    most: usize,
    seen: u64,
    rng: ChaCha8Rng,
}

impl Reservoir {
    /// Keeps at most `most` rows.
    pub fn new(most: usize, seed: u64) -> Self {
        let rng = Streams::new(seed).rng(Purpose::Check, u64::MAX, 0);
        Self { rows: Vec::new(), most, seen: 0, rng }
    }

    /// Shows the next row of the table.
    pub fn offer(&mut self, row: impl Iterator<Item = f64>) {
        self.seen += 1;
        if self.rows.len() < self.most {
            self.rows.push(row.collect());
            return;
        }
        let slot = below(&mut self.rng, self.seen);
        if let Some(kept) = usize::try_from(slot).ok().and_then(|slot| self.rows.get_mut(slot)) {
            kept.clear();
            kept.extend(row);
        }
    }

    /// The rows kept.
    pub fn into_rows(self) -> Vec<Vec<f64>> {
        self.rows
    }
}

/// Keeps every row with a probability in proportion to its weight, in constant memory: what is kept stands for all that the weights stand for.
///
/// Of each row `r = u / w` is drawn, with `u` uniform; kept are those of the smallest `r`, as far as no weight makes a probability above 1 (priority sampling: Duffield, Lund, Thorup, J. ACM
/// 54, 2007).
#[derive(Debug)]
pub struct WeightedReservoir {
    /// The row of the largest `r` on top.
    rows: BinaryHeap<Ranked>,
    most: usize,
    seen: u64,
    largest: f64,
    rng: ChaCha8Rng,
}

/// A row, when it came, and its `r`.
#[derive(Debug)]
struct Ranked {
    rank: f64,
    place: u64,
    row: Vec<f64>,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.total_cmp(&other.rank).then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

impl WeightedReservoir {
    /// Keeps at most `most` rows.
    pub fn new(most: usize, seed: u64) -> Self {
        let rng = Streams::new(seed).rng(Purpose::Check, u64::MAX, 1);
        Self { rows: BinaryHeap::new(), most, seen: 0, largest: 0.0, rng }
    }

    /// Shows the next row of the table and its weight; one of weight 0 is never kept.
    pub fn offer(&mut self, row: impl Iterator<Item = f64>, weight: f64) {
        self.seen += 1;
        self.largest = self.largest.max(weight);
        // Infinite, or no number, for a row that counts nothing.
        let rank = uniform(&mut self.rng) / weight;
        let is_last = || self.rows.peek().is_some_and(|last| rank >= last.rank);
        if !rank.is_finite() || self.rows.len() >= self.most && is_last() {
            return;
        }
        self.rows.push(Ranked { rank, place: self.seen, row: row.collect() });
        if self.rows.len() > self.most {
            self.rows.pop();
        }
    }

    /// The rows kept, in their order.
    pub fn into_rows(self) -> Vec<Vec<f64>> {
        let mut rows: Vec<Ranked> =
            self.rows.into_iter().filter(|row| row.rank * self.largest < 1.0).collect();
        rows.sort_unstable_by_key(|row| row.place);
        rows.into_iter().map(|row| row.row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_in_proportion_to_their_weights() {
        // A row of weight i for each i below 1,000, again and again: what is kept has the mean 2/3 of the largest.
        for (most, limit) in [(500, 15.0), (1_000_000, 3.0)] {
            let mut reservoir = WeightedReservoir::new(most, 1);
            for i in 0..100_000 {
                let weight = f64::from(i % 1000);
                reservoir.offer([weight].into_iter(), weight);
            }
            let kept = reservoir.into_rows();
            let mean = kept.iter().map(|r| r[0]).sum::<f64>() / kept.len() as f64;
            assert!((mean - 666.0).abs() < 3.0 * limit, "{mean} of {}", kept.len());
            // Half of all can be kept where the mean weight is half of the largest.
            assert!(kept.len() == 500 || kept.len().abs_diff(50_000) < 1000, "{}", kept.len());
        }
        let mut none = WeightedReservoir::new(5, 1);
        none.offer([1.0].into_iter(), 0.0);
        assert!(none.into_rows().is_empty());
    }

    #[test]
    fn a_sorted_table_is_sampled_evenly_and_a_short_one_is_kept_whole() {
        let mut reservoir = Reservoir::new(500, 1);
        (0..100_000).for_each(|i| reservoir.offer([f64::from(i)].into_iter()));
        let kept = reservoir.into_rows();
        let mean = kept.iter().map(|r| r[0]).sum::<f64>() / 500.0;
        // The mean of 500 uniform draws from 0..100,000 has deviation 1291: 5 of them is a false alarm in two million.
        assert!(kept.len() == 500 && (mean - 50_000.0).abs() < 5.0 * 1291.0, "{mean}");
        let mut short = Reservoir::new(5, 1);
        (0..3).for_each(|i| short.offer([f64::from(i)].into_iter()));
        assert_eq!(short.into_rows().concat(), [0.0, 1.0, 2.0]);
    }
}
