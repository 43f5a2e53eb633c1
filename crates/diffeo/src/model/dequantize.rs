//! Probabilities of whole numbers from a density: a fixed lattice of points in the unit cell.

use crate::rows::Rows;
use crate::schema::{ColumnKind, Schema};

/// Points in the unit cell, the same for every row, so that a probability never depends on chunks or order.
///
/// `P(k) = integral over u in [0,1)^m of p(k + u) du` is approximated by the mean over a rank-1 lattice of 8 points
/// (Sloan and Joe, 1994) with generators 1, 3, 5, 7 in turn, shifted to the centres of its cells.
pub(super) struct Lattice {
    integers: Vec<usize>,
    points: usize,
}

impl Lattice {
    const POINTS: usize = 8;

    pub(super) fn new(schema: &Schema) -> Self {
        let integers = integers_of(schema);
        let points = if integers.is_empty() { 1 } else { Self::POINTS };
        Self { integers, points }
    }

    /// The single point in the middle of the cell.
    pub(super) fn middle(schema: &Schema) -> Self {
        Self { integers: integers_of(schema), points: 1 }
    }

    pub(super) fn points(&self) -> usize {
        self.points
    }

    /// The rows, moved to a point of their cells.
    pub(super) fn shift(&self, rows: &Rows, point: usize) -> Rows {
        let mut rows = rows.clone();
        let width = rows.width();
        for (i, &j) in self.integers.iter().enumerate() {
            let generator = 2 * (i % 4) + 1;
            let u = ((point * generator) % self.points) as f64 + 0.5;
            let u = u / self.points as f64;
            rows.values_mut().iter_mut().skip(j).step_by(width).for_each(|v| *v += u);
        }
        rows
    }

    /// `ln` of the mean density over the points.
    pub(super) fn average(&self, log_probs: impl Iterator<Item = f64> + Clone) -> f64 {
        if self.points == 1 {
            return log_probs.clone().next().unwrap_or(f64::NAN);
        }
        let top = log_probs.clone().fold(f64::NEG_INFINITY, f64::max);
        if !top.is_finite() {
            return if log_probs.clone().any(f64::is_nan) { f64::NAN } else { top };
        }
        let sum: f64 = log_probs.map(|p| (p - top).exp()).sum();
        top + (sum / self.points as f64).ln()
    }

    /// A number that is not whole has probability 0 in an integer column.
    pub(super) fn refuse_fractions(&self, x: &Rows, log_prob: &mut [f64]) {
        for (i, p) in log_prob.iter_mut().enumerate() {
            let row = x.row(i);
            if !p.is_nan() && self.integers.iter().any(|&j| row[j].fract() != 0.0) {
                *p = f64::NEG_INFINITY;
            }
        }
    }
}

fn integers_of(schema: &Schema) -> Vec<usize> {
    let kinds = schema.columns.iter().enumerate();
    kinds.filter(|(_, c)| c.kind == ColumnKind::Integer).map(|(j, _)| j).collect()
}
