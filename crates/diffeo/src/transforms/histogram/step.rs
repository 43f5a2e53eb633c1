//! The frequencies of levels without tensors.

use std::ops::Range;
use std::sync::Arc;

use diffeo_kernels::{Real, TILE_ROWS};

use super::super::cells::Cells;
use super::shares::{Number, Shares, running};
use crate::error::Result;
use crate::step::{Kept, Pass, Scratch, Step};

/// A histogram of all numbers.
#[derive(Debug)]
pub(super) struct HistogramStep {
    pub(super) logits: Range<usize>,
    pub(super) cells: Arc<Cells>,
    pub(super) dims: usize,
}

impl HistogramStep {
    fn shares<T: Real>(&self, weights: &[T]) -> Shares {
        Shares::new(weights[self.logits.clone()].iter().map(|logit| logit.to_f64()))
    }

    /// The row that a number belongs to.
    fn row(&self, at: usize) -> usize {
        at / (self.dims * TILE_ROWS) * TILE_ROWS + at % TILE_ROWS
    }
}

impl<T: Real> Step<T> for HistogramStep {
    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        Kept { tape, .. }: Kept<'_, T>,
    ) -> Result<()> {
        let shares = self.shares(pass.weights);
        let ([slopes, to], _) = tape.arrays(0);
        let (slopes, to) = (slopes.sized(x.len()), to.sized(x.len()));
        for (at, x) in x.iter().enumerate() {
            let y = x.to_f64();
            let place = self.cells.locate(y);
            (slopes[at], to[at]) = (T::ZERO, *x);
            if place.slope > 0.0 {
                let Number { y: value, slope, .. } = shares.number(place.cell, place.offset);
                (slopes[at], to[at]) = (T::from_f64(place.slope * slope), T::from_f64(value));
                let squares = 0.5 * (value - y) * (value + y);
                log_det[self.row(at)] += shares.room(&self.cells, place.cell) + squares;
            }
        }
        z.copy_from_slice(to);
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        (Kept { tape, .. }, _): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let shares = self.shares(pass.weights);
        let (slopes, to) = (tape.array(0), tape.array(1));
        let levels = self.logits.len();
        let [mut own, mut low, mut high] = [0; 3].map(|_| vec![0.0; levels]);
        for (at, (x, grad)) in x.iter().zip(grad).enumerate() {
            if slopes[at] <= T::ZERO {
                continue;
            }
            let by_log_det = pass.log_det_gradient[self.row(at)];
            let by_value = *grad + by_log_det * to[at];
            let place = self.cells.locate(x.to_f64());
            let (cell, by) = (place.cell, by_value.to_f64());
            let Number { by_share, .. } = shares.number(cell, place.offset);
            own[cell] += by_log_det.to_f64() / shares.share(cell);
            // A place counted from above moves down by what is above it.
            if shares.is_low(cell, place.offset) {
                low[cell] += by * by_share;
                own[cell] += by * by_share * (1.0 + place.offset) / 2.0;
            } else {
                high[cell] -= by * by_share;
                own[cell] -= by * by_share * (1.0 - place.offset) / 2.0;
            }
            if wanted {
                *grad = by_value * slopes[at] - by_log_det * *x;
            }
        }
        // The share of a level is below all levels after it, and above all before it.
        let mut after = running(low.iter().rev());
        after.reverse();
        let before = running(high.iter());
        let sums = own.iter().zip(after).zip(before);
        let by_share: Vec<f64> = sums.map(|((own, after), before)| own + after + before).collect();
        let by_logits = shares.by_logits(&by_share);
        let to = &mut gradient[self.logits.clone()];
        to.iter_mut().zip(by_logits).for_each(|(to, by)| *to = T::from_f64(by));
    }
}
