//! A random sample of the rows of a table of unknown length, read once.

use std::cmp::{Ordering, Reverse};
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
/// 54, 2007). A few rows far heavier than all others would leave next to none of these: where it helps, the heaviest count for less, which takes at most half a percent off all weight together.
#[derive(Debug)]
pub struct WeightedReservoir {
    /// The row of the largest `r` on top.
    rows: BinaryHeap<Ranked>,
    most: usize,
    seen: u64,
    /// The largest weights, the least of them on top, and the sum of all.
    largest: BinaryHeap<Reverse<Heavy>>,
    total: f64,
    rng: ChaCha8Rng,
}

/// Weights that are looked at to find where to cut, and how much of all weight may be cut off.
const LARGEST: usize = 4096;
const CUT: f64 = 0.005;

/// A weight, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Heavy(f64);

impl Eq for Heavy {}

impl Ord for Heavy {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Heavy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
        let (rows, largest) = (BinaryHeap::new(), BinaryHeap::new());
        Self { rows, most, seen: 0, largest, total: 0.0, rng }
    }

    /// Shows the next row of the table and its weight; one of weight 0 is never kept.
    pub fn offer(&mut self, row: impl Iterator<Item = f64>, weight: f64) {
        self.seen += 1;
        self.total += weight;
        let is_heavy = |least: &Reverse<Heavy>| least.0.0 < weight;
        if self.largest.len() < LARGEST || self.largest.peek().is_some_and(is_heavy) {
            self.largest.push(Reverse(Heavy(weight)));
        }
        if self.largest.len() > LARGEST {
            self.largest.pop();
        }
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

    /// The weight of the rows that are surely kept: the largest, or what heavier rows count for.
    pub fn heaviest(&self) -> f64 {
        let mut largest: Vec<f64> = self.largest.iter().map(|weight| weight.0.0).collect();
        largest.sort_by(|a, b| b.total_cmp(a));
        let first = largest.first().copied().unwrap_or(0.0);
        let (mut sum, mut cut) = (0.0, first);
        for (i, weight) in largest.iter().enumerate() {
            sum += weight;
            // Where these alone are cut to one weight, and what is lost is the most that may be.
            cut = (sum - CUT * self.total) / (i + 1) as f64;
            if largest.get(i + 1).is_none_or(|next| cut >= *next) {
                break;
            }
        }
        // Lighter ones were not looked at.
        let least = if largest.len() == LARGEST { largest[LARGEST - 1] } else { 0.0 };
        // What makes no more rows than are wanted needs no cut, nor what makes few more.
        let enough = match self.rows.peek() {
            Some(last) if self.rows.len() == self.most => 1.0 / last.rank,
            _ => 0.0,
        };
        let cut = cut.max(enough).max(least);
        if cut < 0.5 * first { cut } else { first }
    }

    /// The rows kept, in their order.
    pub fn into_rows(self) -> Vec<Vec<f64>> {
        let heaviest = self.heaviest();
        let mut rows: Vec<Ranked> =
            self.rows.into_iter().filter(|row| row.rank * heaviest < 1.0).collect();
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
    fn a_few_heavy_rows_do_not_cost_all_others() {
        let of = |heavy: usize, weight: f64| {
            let mut reservoir = WeightedReservoir::new(50_000, 1);
            for i in 0..100_000 {
                reservoir.offer([0.0].into_iter(), if i < heavy { weight } else { 1.0 });
            }
            (reservoir.heaviest(), reservoir.into_rows().len())
        };
        // Some three hundred rows would be left beside one that is so heavy.
        let (heaviest, kept) = of(1, 300.0);
        assert!((1.0..3.0).contains(&heaviest) && kept > 49_990, "{heaviest}: {kept}");
        // What is half of all weight is not cut off.
        assert_eq!(of(10, 1e4).0, 1e4);
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
