//! Cells whose widths are shares of the whole.

use super::super::cells::{Cells, LITTLE_BEYOND, Place, density};
use crate::host::normal::{cdf, quantile};

/// The cells of levels that have shares of their own: level `k` reaches from `F_k` to `F_k + p_k`, counted from the nearer end of the line.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// The softmax of the weights.
    softmax: Vec<f64>,
    /// `p_k`.
    shares: Vec<f64>,
    /// What is below and what is above each level.
    below: Vec<f64>,
    above: Vec<f64>,
    /// What lies beyond the cells on either side, and between both.
    beyond: f64,
    between: f64,
}

/// Where a place of a cell comes to lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) y: f64,
    /// Slope of that in the offset, from -1 to 1.
    pub(super) slope: f64,
    /// Slope of that in what is below, or less than in what is above, the place.
    pub(super) by_share: f64,
}

impl Shares {
    /// Least share of a level, times their number: no weight makes a level impossible.
    pub(super) const LEAST: f64 = 1e-3;

    pub(super) fn new(logits: impl Iterator<Item = f64>) -> Self {
        let logits: Vec<f64> = logits.map(|l| l.clamp(-1e30, 1e30)).collect();
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = logits.iter().map(|l| (l - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let softmax: Vec<f64> = powers.into_iter().map(|power| power / sum).collect();
        let least = Self::LEAST / softmax.len() as f64;
        let shares: Vec<f64> = softmax.iter().map(|s| least + (1.0 - Self::LEAST) * s).collect();
        let below = running(shares.iter());
        let mut above = running(shares.iter().rev());
        above.reverse();
        let beyond = LITTLE_BEYOND / shares.len() as f64;
        Self { softmax, shares, below, above, beyond, between: 1.0 - 2.0 * beyond }
    }

    /// The weights of which these counts are the shares.
    pub(super) fn logits(counts: &[f64]) -> Vec<f64> {
        let all: f64 = counts.iter().map(|count| count + 0.5).sum();
        let least = Self::LEAST / counts.len() as f64;
        let rest = |count: &f64| ((count + 0.5) / all - least).max(0.1 * least);
        counts.iter().map(|count| rest(count).ln()).collect()
    }

    /// Logarithm of how much wider a cell is than if all were alike.
    pub(super) fn room(&self, cells: &Cells, cell: usize) -> f64 {
        let levels = self.shares.len() as f64;
        (levels * self.shares[cell] * self.between / cells.share(cell)).ln()
    }

    pub(super) fn share(&self, cell: usize) -> f64 {
        self.shares[cell]
    }

    /// Whether the place of an offset is counted from below.
    pub(super) fn is_low(&self, cell: usize, offset: f64) -> bool {
        self.below[cell] + self.shares[cell] * (1.0 + offset) / 2.0 <= 0.5
    }

    /// The number at an offset of a cell.
    pub(super) fn number(&self, cell: usize, offset: f64) -> Number {
        let (share, offset) = (self.shares[cell], offset.clamp(-1.0, 1.0));
        let is_low = self.is_low(cell, offset);
        let near = match is_low {
            true => self.below[cell] + share * (1.0 + offset) / 2.0,
            false => self.above[cell] + share * (1.0 - offset) / 2.0,
        };
        let y = quantile(self.beyond + self.between * near);
        let by_share = self.between / density(y);
        Number { y: if is_low { y } else { -y }, slope: by_share * share / 2.0, by_share }
    }

    /// The place of a number; of slope zero beyond the cells.
    pub(super) fn locate(&self, y: f64) -> Place {
        let last = self.shares.len() - 1;
        let near = (cdf(-y.abs()) - self.beyond) / self.between;
        if near.is_nan() || near <= 0.0 {
            return Place { cell: 0, offset: -1.0, slope: 0.0 };
        }
        let (cell, offset) = if y <= 0.0 {
            let cell = self.below.partition_point(|below| *below <= near).max(1) - 1;
            (cell, 2.0 * (near - self.below[cell]) / self.shares[cell] - 1.0)
        } else {
            let cell = self.above.partition_point(|above| *above > near).min(last);
            (cell, 1.0 - 2.0 * (near - self.above[cell]) / self.shares[cell])
        };
        let slope = 2.0 * density(y) / (self.between * self.shares[cell]);
        Place { cell, offset: offset.clamp(-1.0, 1.0), slope }
    }

    /// The gradient by the weights, given that by each share.
    pub(super) fn by_logits(&self, by_share: &[f64]) -> Vec<f64> {
        let mean: f64 = self.softmax.iter().zip(by_share).map(|(s, by)| s * by).sum();
        let each = self.softmax.iter().zip(by_share);
        each.map(|(s, by)| (1.0 - Self::LEAST) * s * (by - mean)).collect()
    }
}

/// The sum of all before each.
pub(super) fn running<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<f64> {
    let next = |sum: &mut f64, value: &f64| Some(std::mem::replace(sum, *sum + value));
    values.scan(0.0, next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Shares {
        Shares::new([3.0, -50.0, 0.0, 1e38, 5.0, f64::MIN].into_iter())
    }

    #[test]
    fn numbers_come_back_from_their_places() {
        for shares in [shares(), Shares::new((0..256).map(|i| (f64::from(i) * 7.3).sin() * 4.0))] {
            let levels = shares.shares.len();
            assert!((shares.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for cell in 0..levels {
                for offset in [-0.9, -0.2, 0.4, 0.99] {
                    let Number { y, slope, .. } = shares.number(cell, offset);
                    let back = shares.locate(y);
                    assert_eq!(back.cell, cell, "{levels} {cell} {offset}");
                    assert!((back.offset - offset).abs() < 1e-6, "{cell} {offset} {back:?}");
                    assert!((slope * back.slope - 1.0).abs() < 1e-9, "{cell} {offset}");
                }
            }
        }
    }

    #[test]
    fn equal_weights_change_nothing_and_beyond_there_is_no_place() {
        let (shares, cells) = (Shares::new([0.0; 9].into_iter()), Cells::new(9, LITTLE_BEYOND));
        for y in [-4.0, -1.3, 0.0, 0.2, 3.9] {
            let (a, b) = (shares.locate(y), cells.locate(y));
            // The ends are a little wider here.
            assert_eq!(a.cell, b.cell, "{y}");
            assert!((a.offset - b.offset).abs() < 1e-3, "{y}: {a:?} {b:?}");
        }
        for y in [-9.0, 9.0, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(shares.locate(y).slope, 0.0);
        }
    }

    #[test]
    fn counts_become_shares() {
        let counts = [900.0, 90.0, 9.5, 0.0];
        let shares = Shares::new(Shares::logits(&counts).into_iter());
        for (share, count) in shares.shares.iter().zip(counts) {
            assert!((share - (count + 0.5) / 1001.5).abs() < 1e-3, "{share} {count}");
        }
    }
}
