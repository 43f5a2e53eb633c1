//! A random sample of the rows of a table of unknown length, read once.

use rand_chacha::ChaCha8Rng;

use crate::host::random::{Purpose, Streams, below};

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

#[cfg(test)]
mod tests {
    use super::*;

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
