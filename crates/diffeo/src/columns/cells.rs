//! The cells of the real line that whole numbers stand for.

use rand_chacha::rand_core::Rng;

use super::schema::Schema;
use crate::host::random::uniform;
use crate::host::rows::Rows;

/// Columns of whole numbers, each of which stands for a cell: `k` for `[k, k + 1)`.
///
/// `P(k) = integral over u in [0,1)^m of p(k + u) du` is approximated by the mean over a rank-1 lattice of 8 points
/// (Sloan and Joe, 1994) with generators 1, 3, 5, 7 in turn, shifted to the centres of its cells. The points are the same for every row, so
/// that a probability never depends on chunks or order.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    whole: Vec<usize>,
}

impl Cells {
    /// Points of the lattice.
    const POINTS: usize = 8;

    pub(crate) fn new(schema: &Schema) -> Self {
        let columns = schema.columns.iter().enumerate();
        let whole = columns.filter(|(_, c)| c.kind.is_whole() && c.has_number());
        Self { whole: whole.map(|(j, _)| j).collect() }
    }

    /// Where point `point` of the lattice lies in the cell of the `i`-th whole number.
    pub(super) fn offset(i: usize, point: usize) -> f64 {
        let generator = 2 * (i % 4) + 1;
        let u = ((point * generator) % Self::POINTS) as f64 + 0.5;
        u / Self::POINTS as f64
    }

    /// Points at which a density must be known for a probability.
    pub(crate) fn points(&self) -> usize {
        if self.whole.is_empty() { 1 } else { Self::POINTS }
    }

    /// The rows, moved to a point of their cells.
    pub(crate) fn at_point(&self, rows: &Rows, point: usize) -> Rows {
        let mut rows = rows.clone();
        for (i, &j) in self.whole.iter().enumerate() {
            let u = Self::offset(i, point);
            each(&mut rows, j, |v| *v += u);
        }
        rows
    }

    /// The rows, moved to the middle of their cells.
    pub(crate) fn middle(&self, rows: &Rows) -> Rows {
        let mut rows = rows.clone();
        self.whole.iter().for_each(|&j| each(&mut rows, j, |v| *v += 0.5));
        rows
    }

    /// Moves each row to a random point of its cells; `rng` makes the random numbers of a row.
    pub(crate) fn scatter<R: Rng>(&self, rows: &mut Rows, rng: impl Fn(usize) -> R) {
        if self.whole.is_empty() {
            return;
        }
        let width = rows.width();
        for (i, values) in rows.values_mut().chunks_exact_mut(width).enumerate() {
            let mut rng = rng(i);
            self.whole.iter().for_each(|&j| values[j] += uniform(&mut rng));
        }
    }

    /// Takes rows back to the whole numbers whose cells they lie in; says whether there is a column of such.
    pub(crate) fn settle(&self, rows: &mut Rows) -> bool {
        self.whole.iter().for_each(|&j| each(rows, j, |v| *v = v.floor()));
        !self.whole.is_empty()
    }

    /// `ln` of the mean density over the points.
    pub(crate) fn average(&self, log_probs: impl Iterator<Item = f64> + Clone) -> f64 {
        if self.whole.is_empty() {
            return log_probs.clone().next().unwrap_or(f64::NAN);
        }
        let top = log_probs.clone().fold(f64::NEG_INFINITY, f64::max);
        if !top.is_finite() {
            return if log_probs.clone().any(f64::is_nan) { f64::NAN } else { top };
        }
        let sum: f64 = log_probs.map(|p| (p - top).exp()).sum();
        top + (sum / Self::POINTS as f64).ln()
    }

    /// A number that is not whole has probability 0 in a column of whole numbers; a missing one has what the marks give it.
    pub(crate) fn refuse_fractions(&self, x: &Rows, log_prob: &mut [f64]) {
        for (i, p) in log_prob.iter_mut().enumerate() {
            let row = x.row(i);
            let is_fraction = |j: &usize| !row[*j].is_nan() && row[*j].fract() != 0.0;
            if !p.is_nan() && self.whole.iter().any(is_fraction) {
                *p = f64::NEG_INFINITY;
            }
        }
    }
}

fn each(rows: &mut Rows, column: usize, change: impl FnMut(&mut f64)) {
    let width = rows.width();
    rows.values_mut().iter_mut().skip(column).step_by(width).for_each(change);
}
