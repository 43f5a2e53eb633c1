//! The cells of the real line that whole numbers stand for.

use rand_chacha::rand_core::Rng;

use super::kind::ColumnKind;
use super::schema::{Column, Schema};
use super::step::Step;
use crate::host::random::uniform;
use crate::host::rows::Rows;

/// The cells of a column: the whole number `k` stands for `[k, k + 1)`, `k` steps for `[k, k + 1)` of them.
///
/// A value that has a mass of its own has no cell. The flow sees a line without gaps: what is above a mass lies a cell lower there.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    kind: ColumnKind,
    step: Step,
    /// In steps, the lowest first.
    masses: Vec<f64>,
}

impl Cell {
    /// The largest double that a whole number of 64 bits can be.
    const WHOLE_MAX: f64 = 9_223_372_036_854_774_784.0;

    /// The cells of a column whose values are whole multiples of a step and have a density for that.
    pub(super) fn of(column: &Column) -> Option<Self> {
        let step = column.kind.step().filter(|_| column.has_number())?;
        let masses = column.masses.iter().map(|mass| column.kind.steps(*mass));
        let mut masses: Vec<f64> = masses.collect();
        masses.sort_unstable_by(f64::total_cmp);
        Some(Self { kind: column.kind, step, masses })
    }

    pub(super) fn width(&self) -> f64 {
        self.step.width()
    }

    /// The point of a value's cell that is `u` of its width above its start; a point mass stays where it is.
    pub(super) fn point(&self, x: f64, u: f64) -> f64 {
        let k = self.kind.steps(x);
        let u = if self.masses.contains(&k) { 0.0 } else { u };
        let start = if self.step == Step::ONE { k } else { self.step.value(k) };
        start + u * self.width()
    }

    /// The value in whose cell a point lies, or the last that 64 bits hold: of a steep map of heavy tails a draw may be any number.
    fn value(&self, point: f64) -> f64 {
        let last = (Self::WHOLE_MAX / self.width().max(1.0)).floor();
        self.step.value(self.step.count(point).floor().clamp(-last, last))
    }

    /// A point of a cell on the line without gaps.
    pub(super) fn onto_line(&self, point: f64) -> f64 {
        let k = self.step.count(point).floor();
        let below = self.masses.iter().filter(|mass| **mass <= k).count();
        point - below as f64 * self.width()
    }

    /// The point of a cell that has this place on the line without gaps.
    pub(super) fn off_line(&self, place: f64) -> f64 {
        let k = self.step.count(place).floor();
        let above = |gaps: f64, mass: &f64| gaps + f64::from(u8::from(*mass <= k + gaps));
        place + self.masses.iter().fold(0.0, above) * self.width()
    }
}

/// Columns of whole numbers, or of whole multiples of a step, each of which stands for a [`Cell`].
///
/// `P(k) = integral over u in [0,1)^m of p(k + u) du` is approximated by the mean over a rank-1 lattice of 8 points
/// (Sloan and Joe, 1994) with generators 1, 3, 5, 7 in turn, shifted to the centres of its cells. The points are the same for every row, so
/// that a probability never depends on chunks or order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    whole: Vec<(usize, Cell)>,
    /// Of the volume of a row's cells.
    log_volume: f64,
}

impl Cells {
    /// Points of the lattice.
    const POINTS: usize = 8;

    pub(crate) fn new(schema: &Schema) -> Self {
        let columns = schema.columns.iter().enumerate();
        let whole: Vec<_> =
            columns.filter_map(|(j, column)| Some((j, Cell::of(column)?))).collect();
        let log_volume = whole.iter().map(|(_, cell)| cell.width().ln()).sum();
        Self { whole, log_volume }
    }

    /// Of the volume of a row's cells: what makes a density that is the same all over them a probability.
    pub(super) fn log_volume(&self) -> f64 {
        self.log_volume
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
        for (i, (j, cell)) in self.whole.iter().enumerate() {
            let u = Self::offset(i, point);
            each(&mut rows, *j, |v| *v = cell.point(*v, u));
        }
        rows
    }

    /// The rows, moved to the middle of their cells.
    pub(crate) fn middle(&self, rows: &Rows) -> Rows {
        let mut rows = rows.clone();
        let whole = self.whole.iter();
        whole.for_each(|(j, cell)| each(&mut rows, *j, |v| *v = cell.point(*v, 0.5)));
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
            let whole = self.whole.iter();
            whole.for_each(|(j, cell)| values[*j] = cell.point(values[*j], uniform(&mut rng)));
        }
    }

    /// Takes rows back to the whole numbers whose cells they lie in; says whether there is a column of such.
    pub(crate) fn settle(&self, rows: &mut Rows) -> bool {
        self.whole.iter().for_each(|(j, cell)| each(rows, *j, |v| *v = cell.value(*v)));
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

    /// A number that is not of its kind has probability 0 in a column of whole numbers; a missing one has what the marks give it.
    pub(crate) fn refuse_fractions(&self, x: &Rows, log_prob: &mut [f64]) {
        for (i, p) in log_prob.iter_mut().enumerate() {
            let row = x.row(i);
            let is_fraction =
                |(j, cell): &(usize, Cell)| !row[*j].is_nan() && !cell.kind.contains(row[*j]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_of_any_size_become_whole_numbers_that_64_bits_hold() {
        for (kind, step) in
            [("integer", 1.0), ("integer>=0", 1.0), ("rounded(0.1)", 0.1), ("rounded(500)", 500.0)]
        {
            let column = Column::new("n", kind.parse().unwrap());
            let cells = Cells { whole: vec![(0, Cell::of(&column).unwrap())], log_volume: 0.0 };
            let drawn = vec![1e132, -1e132, f64::INFINITY, 1e21, 3.7 * step, f64::NAN];
            let mut rows = Rows::new(drawn, 1).unwrap();
            assert!(cells.settle(&mut rows));
            let found: Vec<f64> = (0..6).map(|i| rows.row(i)[0]).collect();
            for v in &found[..4] {
                assert!(
                    v.abs() > 9.2e18 * step.min(1.0) && v.abs() <= 9.223_372_036_854_775e18,
                    "{kind}: {v}"
                );
            }
            assert!(
                (found[4] - 3.0 * step).abs() < 1e-12 && found[5].is_nan(),
                "{kind}: {found:?}"
            );
        }
    }
}
