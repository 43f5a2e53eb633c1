//! The cells of the real line that whole numbers stand for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::kind::ColumnKind;
use super::schema::{Column, Schema};
use super::step::Step;
use crate::host::likelihood::log_mean_exp;
use crate::host::random::{Purpose, Streams, normal, uniform};
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

    /// The value that is nearest to a point.
    fn nearest(&self, point: f64) -> f64 {
        let nearest = self.value(point + 0.5 * self.width());
        let [low, high] =
            self.kind.bounds_in_steps().map(|end| end.map(|k| self.step.value(k as f64)));
        nearest.max(low.unwrap_or(nearest)).min(high.unwrap_or(nearest))
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
/// `P(k) = integral over u in [0,1)^m of p(k + u) du` is approximated by the mean over some [`Points`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    whole: Vec<(usize, Cell)>,
    /// Of the volume of a row's cells.
    log_volume: f64,
    points: Points,
    /// The deviation of normal noise that whole numbers have in place of cells: see [`Schema::noised`].
    noise: Option<f64>,
}

/// The points of a cell at which a density is taken. They depend on the row alone, so that a probability never depends on chunks or order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Points {
    /// A rank-1 lattice of 8 points (Sloan and Joe, 1994) with generators 1, 3, 5, 7 in turn, shifted to the centres of its cells; the same for every row.
    #[default]
    Lattice,
    /// So many random points, which follow from the numbers of the row: what is estimated is a lower bound of `ln P` on average, which rises to it with their number
    /// (Burda, Grosse, Salakhutdinov, 2016). For images, whose cells have more sides than a lattice can serve.
    Random(usize),
}

impl Cells {
    /// Points of the lattice.
    const LATTICE: usize = 8;

    pub(crate) fn new(schema: &Schema) -> Self {
        let columns = schema.columns.iter().enumerate();
        let whole: Vec<_> =
            columns.filter_map(|(j, column)| Some((j, Cell::of(column)?))).collect();
        let log_volume = whole.iter().map(|(_, cell)| cell.width().ln()).sum();
        let points = schema.image.map_or(Points::Lattice, |_| Points::Random(1));
        Self { whole, log_volume, points, noise: schema.noise }
    }

    /// The same with so many random points for each row.
    pub(crate) fn with_random_points(self, points: usize) -> Self {
        Self { points: Points::Random(points.max(1)), ..self }
    }

    /// Of the volume of a row's cells: what makes a density that is the same all over them a probability.
    pub(super) fn log_volume(&self) -> f64 {
        self.log_volume
    }

    /// The deviation of the noise that stands for cells, if it does.
    pub(crate) fn noise(&self) -> Option<f64> {
        self.noise
    }

    /// Where point `point` of the lattice lies in the cell of the `i`-th whole number.
    pub(super) fn offset(i: usize, point: usize) -> f64 {
        let generator = 2 * (i % 4) + 1;
        let u = ((point * generator) % Self::LATTICE) as f64 + 0.5;
        u / Self::LATTICE as f64
    }

    /// Whether no column has cells.
    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Whether they are those of images, whose points are random.
    pub(crate) fn are_of_images(&self) -> bool {
        self.points != Points::Lattice
    }

    /// Points at which a density must be known for a probability.
    pub(crate) fn points(&self) -> usize {
        match self.points {
            _ if self.whole.is_empty() => 1,
            Points::Lattice => Self::LATTICE,
            Points::Random(points) => points,
        }
    }

    /// The rows, moved to a point of their cells.
    pub(crate) fn at_point(&self, rows: &Rows, point: usize) -> Rows {
        let mut moved = rows.clone();
        if let Points::Random(_) = self.points {
            self.scatter(&mut moved, |i| noise_of(rows.row(i), point));
            return moved;
        }
        let mut rows = moved;
        for (i, (j, cell)) in self.whole.iter().enumerate() {
            let u = Self::offset(i, point);
            each(&mut rows, *j, |v| *v = cell.point(*v, u));
        }
        rows
    }

    /// The rows, moved to the middle of their cells or noise.
    pub(crate) fn middle(&self, rows: &Rows) -> Rows {
        let mut rows = rows.clone();
        if self.noise.is_none() {
            let whole = self.whole.iter();
            whole.for_each(|(j, cell)| each(&mut rows, *j, |v| *v = cell.point(*v, 0.5)));
        }
        rows
    }

    /// Moves each row to a random point of its cells, or adds noise to it; `rng` makes the random numbers of a row.
    pub(crate) fn scatter<R: Rng>(&self, rows: &mut Rows, rng: impl Fn(usize) -> R) {
        if self.whole.is_empty() {
            return;
        }
        let width = rows.width();
        for (i, values) in rows.values_mut().chunks_exact_mut(width).enumerate() {
            let mut rng = rng(i);
            for (j, cell) in &self.whole {
                values[*j] = match self.noise {
                    None => cell.point(values[*j], uniform(&mut rng)),
                    Some(deviation) => values[*j] + deviation * normal(&mut rng),
                };
            }
        }
    }

    /// Takes rows back to the whole numbers whose cells they lie in, or that are nearest where noise stands for cells; says whether there is a column of such.
    pub(crate) fn settle(&self, rows: &mut Rows) -> bool {
        for (j, cell) in &self.whole {
            each(rows, *j, |v| {
                *v = if self.noise.is_some() { cell.nearest(*v) } else { cell.value(*v) };
            });
        }
        !self.whole.is_empty()
    }

    /// `ln` of the mean density over the points.
    pub(crate) fn average(&self, log_probs: impl Iterator<Item = f64> + Clone) -> f64 {
        if self.whole.is_empty() {
            return log_probs.clone().next().unwrap_or(f64::NAN);
        }
        log_mean_exp(log_probs, self.points() as f64)
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

/// The random numbers of a row that follow from its own.
fn noise_of(row: &[f64], point: usize) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    let bytes: Vec<u8> = row.iter().flat_map(|v| v.to_le_bytes()).collect();
    let hash = hasher.update(&bytes).finalize();
    let (head, _) = hash.as_bytes().as_chunks::<8>();
    Streams::new(u64::from_le_bytes(head[0])).rng(Purpose::Noise, point as u64, 0)
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
            let whole = vec![(0, Cell::of(&column).unwrap())];
            let cells = Cells { whole, ..Cells::default() };
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
