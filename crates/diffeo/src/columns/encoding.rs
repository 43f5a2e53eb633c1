//! From rows of a table to what a flow learns from, and back.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::cells::{Cell, Cells};
use super::context::{Contexts, Known};
use super::outcomes::{Case, Outcomes};
use super::schema::{Column, Schema};
use super::units::Units;
use crate::host::normal::LN_2PI_HALF;
use crate::host::random::{normal, uniform};
use crate::host::rows::Rows;
use crate::marks::MarkSpec;

/// How a table's rows reach a flow: outcomes as marks, whole numbers as cells, numbers in their units.
#[derive(Clone, Debug)]
pub(crate) struct Encoding {
    slots: Vec<Slot>,
    /// Marks in a row; they come before its numbers.
    marks: usize,
    cells: Cells,
    contexts: Contexts,
    units: Units,
}

/// Rows as a flow sees them.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// Marks, then real numbers of order one.
    pub(crate) x: Rows,
    /// What the way from the data adds to the log-density of each row.
    pub(crate) log_det: Vec<f64>,
    pub(crate) context: Option<Rows>,
}

/// Where in the cell of a whole number a row is taken, and where in those of its marks.
#[derive(Clone, Copy)]
pub(crate) enum Within<'a> {
    /// At a point of the lattice.
    Point(usize),
    /// In the middle.
    Middle,
    /// Anywhere; this makes the random numbers of a row. Marks are taken in the middle.
    Random(&'a (dyn Fn(usize) -> ChaCha8Rng + Sync)),
    /// Anywhere, marks too, and numbers that are not there are draws of the base: a row's image is then a draw of the base.
    Scattered(&'a (dyn Fn(usize) -> ChaCha8Rng + Sync)),
}

/// Where a column's marks and its number lie in a row of the flow.
#[derive(Clone, Debug)]
struct Slot {
    column: Column,
    outcomes: Outcomes,
    /// The first mark.
    mark: usize,
    /// How many marks say which outcome is the case, and how many outcomes the second one tells apart.
    digits: usize,
    radix: usize,
    /// Number of knots of a place on a circle, which is the last mark.
    knots: Option<usize>,
    /// Its place among the numbers.
    number: Option<usize>,
    /// The cells that its values stand for,
    cell: Option<Cell>,
    /// and its place among the columns that have cells, unless points of cells are taken as they are.
    lattice: Option<usize>,
    log_seen: f64,
}

impl Encoding {
    pub(crate) fn new(schema: &Schema, units: Units) -> Self {
        let (mut slots, mut marks, mut numbers, mut whole) = (Vec::new(), 0, 0, 0..);
        for column in &schema.columns {
            let (outcomes, specs) = (column.outcomes(), column.marks());
            let knots = specs.iter().find_map(|mark| match mark {
                MarkSpec::Circle { knots } => Some(*knots),
                MarkSpec::Levels { .. } => None,
            });
            let number = column.has_number().then_some(numbers);
            numbers += usize::from(number.is_some());
            let cell = Cell::of(column);
            let lattice = cell.as_ref().and_then(|_| whole.next());
            slots.push(Slot {
                digits: specs.len() - usize::from(knots.is_some()),
                radix: outcomes.radix().unwrap_or(outcomes.count.max(1)),
                mark: marks,
                log_seen: column.log_seen(),
                column: column.clone(),
                outcomes,
                knots,
                number,
                cell,
                lattice,
            });
            marks += specs.len();
        }
        Self { slots, marks, cells: Cells::new(schema), contexts: Contexts::new(schema), units }
    }

    /// The same with points of cells for the values that have them: nothing is rounded, and a density stays a density.
    pub(crate) fn unrounded(mut self) -> Self {
        self.slots.iter_mut().for_each(|slot| slot.lattice = None);
        self.cells = Cells::default();
        self
    }

    /// The same with so many random points of a row's cells for its probability.
    pub(crate) fn with_random_points(self, points: usize) -> Self {
        Self { cells: self.cells.with_random_points(points), ..self }
    }

    pub(crate) fn units(&self) -> &Units {
        &self.units
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The deviation of the noise that numbers of the flow have, if they are of images with noise.
    pub(crate) fn noise(&self) -> Option<f64> {
        Some(self.cells.noise()? / self.units.columns.first()?.scale)
    }

    /// Whether rows of the table and of the flow have the same numbers in the same places.
    fn is_plain(&self) -> bool {
        self.marks == 0
    }

    /// Encodes rows in the units of the data. Columns that are given must be left out of `x`: their cells are NaN.
    pub(crate) fn encode(&self, x: &Rows, known: Known<'_>, within: Within<'_>) -> Encoded {
        let context = self.context(known, x.len());
        let (x, log_det) = match self.is_plain() {
            true => self.encode_numbers(x, within),
            false => self.encode_mixed(x, within),
        };
        Encoded { x, log_det, context }
    }

    /// What is known of `n` rows as a flow sees it; absent if there is nothing to know.
    pub(crate) fn context(&self, known: Known<'_>, n: usize) -> Option<Rows> {
        self.contexts.encode(known, n, &self.units)
    }

    /// The columns that may be given, by their places.
    pub(crate) fn optional(&self) -> &[usize] {
        self.contexts.optional()
    }

    /// Makes the marks of columns that are given unknown, in rows of the flow or of its base.
    pub(crate) fn leave_out(&self, given: &Rows, rows: &mut Rows) {
        let width = rows.width();
        for (i, row) in rows.values_mut().chunks_exact_mut(width).enumerate().take(given.len()) {
            let slots = self.slots.iter().zip(given.row(i)).filter(|(_, x)| !x.is_nan());
            slots.for_each(|(slot, _)| slot.unmark(f64::NAN, row));
        }
    }

    fn encode_numbers(&self, x: &Rows, within: Within<'_>) -> (Rows, Vec<f64>) {
        let mut x = match within {
            Within::Point(point) => self.cells.at_point(x, point),
            Within::Middle => self.cells.middle(x),
            Within::Random(rng) | Within::Scattered(rng) => {
                let mut x = x.clone();
                self.cells.scatter(&mut x, rng);
                x
            }
        };
        let mut log_det = self.units.to_real(&mut x);
        log_det.iter_mut().for_each(|log_det| *log_det += self.cells.log_volume());
        (x, log_det)
    }

    fn encode_mixed(&self, x: &Rows, within: Within<'_>) -> (Rows, Vec<f64>) {
        let width = self.marks + self.units.columns.len();
        let (mut out, mut log_det) = (Rows::zeros(x.len(), width), vec![0.0; x.len()]);
        let rows = out.values_mut().chunks_exact_mut(width).zip(&mut log_det);
        for (i, (row, log_det)) in rows.enumerate() {
            let mut rng = match within {
                Within::Random(rng) | Within::Scattered(rng) => Some(rng(i)),
                Within::Point(_) | Within::Middle => None,
            };
            let (marks, numbers) = row.split_at_mut(self.marks);
            for (slot, &x) in self.slots.iter().zip(x.row(i)) {
                *log_det += slot.encode(x, marks, numbers, self, (within, &mut rng));
            }
        }
        (out, log_det)
    }

    /// Takes rows of a flow back to the units of the data, and adds to each log-determinant that of the way. Whole numbers are not rounded yet.
    pub(crate) fn decode(&self, mut rows: Rows, log_det: &mut [f64]) -> Rows {
        if self.is_plain() {
            self.units.to_data(&mut rows, log_det);
            log_det.iter_mut().for_each(|log_det| *log_det -= self.cells.log_volume());
            return rows;
        }
        let mut out = Rows::zeros(rows.len(), self.slots.len());
        let outs = out.values_mut().chunks_exact_mut(self.slots.len());
        for (i, (out, log_det)) in outs.zip(log_det).enumerate() {
            let (marks, numbers) = rows.row(i).split_at(self.marks);
            for (slot, out) in self.slots.iter().zip(out) {
                let (value, slope) = slot.decode(marks, numbers, &self.units);
                (*out, *log_det) = (value, *log_det + slope);
            }
        }
        out
    }

    /// Rounds what is a cell to its whole number; says whether there is a column of such.
    pub(crate) fn settle(&self, x: &mut Rows) -> bool {
        self.cells.settle(x)
    }

    /// A context of what training may have seen, in the units of the data: drawn, or the centre of all.
    pub(crate) fn some_context(&self, rng: Option<&mut ChaCha8Rng>) -> Vec<f64> {
        self.contexts.some(&self.units, rng)
    }
}

impl Slot {
    /// Writes the marks and the number of a value; returns what that adds to the log-density.
    fn encode(
        &self,
        x: f64,
        marks: &mut [f64],
        numbers: &mut [f64],
        encoding: &Encoding,
        (within, rng): (Within<'_>, &mut Option<ChaCha8Rng>),
    ) -> f64 {
        let is_bare = self.digits == 0 && self.knots.is_none();
        let case = if is_bare { Case::Number } else { self.column.case(x, &self.outcomes) };
        let mut sum = match case {
            Case::Outcome(outcome) => {
                self.mark(outcome, marks);
                self.log_seen
            }
            Case::Number => {
                self.outcomes.rest.into_iter().for_each(|rest| self.mark(rest, marks));
                self.place(x, marks)
            }
            Case::Unseen(log_prob) => {
                self.unmark(-1.0, marks);
                log_prob
            }
            Case::Impossible => {
                self.mark(0, marks);
                f64::NEG_INFINITY
            }
            Case::Unknown => {
                self.unmark(-1.0, marks);
                0.0
            }
            Case::Undefined => {
                self.unmark(f64::NAN, marks);
                0.0
            }
        };
        if let (Case::Outcome(_) | Case::Impossible, Some(_)) = (case, self.knots) {
            marks[self.mark + self.digits] = -1.0;
        }
        if let (Within::Scattered(_), Some(rng)) = (within, &mut *rng) {
            self.scatter(marks, rng);
        }
        let Some(number) = self.number else { return sum };
        if case == Case::Number {
            let (x, log_width) = self.point(x, within, rng);
            let (z, slope) = encoding.units.number_to_real(number, x);
            numbers[number] = z;
            sum += slope + log_width;
        } else {
            let z = match (within, rng) {
                (Within::Scattered(_), Some(rng)) => normal(rng),
                _ => 0.0,
            };
            numbers[number] = z;
            sum += LN_2PI_HALF + 0.5 * z * z;
        }
        sum
    }

    /// Where a number is taken, and the logarithm of the width of its cell, if it stands for one; `-inf` for a fraction, which is no whole number.
    fn point(&self, x: f64, within: Within<'_>, rng: &mut Option<ChaCha8Rng>) -> (f64, f64) {
        let Some(cell) = &self.cell else { return (x, 0.0) };
        let Some(i) = self.lattice else { return (cell.onto_line(x), 0.0) };
        let u = match within {
            Within::Point(point) => Cells::offset(i, point),
            Within::Middle => 0.5,
            Within::Random(_) | Within::Scattered(_) => rng.as_mut().map_or(0.5, uniform),
        };
        let is_fraction = x.is_finite() && !self.column.kind.contains(x);
        let log_width = if is_fraction { f64::NEG_INFINITY } else { cell.width().ln() };
        (cell.onto_line(cell.point(x, u)), log_width)
    }

    /// Marks an outcome, in the middle of its cells.
    fn mark(&self, outcome: usize, marks: &mut [f64]) {
        match &mut marks[self.mark..][..self.digits] {
            [] => {}
            [only] => *only = outcome as f64 + 0.5,
            [first, second, ..] => {
                *first = (outcome / self.radix) as f64 + 0.5;
                *second = (outcome % self.radix) as f64 + 0.5;
            }
        }
    }

    fn unmark(&self, with: f64, marks: &mut [f64]) {
        marks[self.mark..][..self.digits + usize::from(self.knots.is_some())].fill(with);
    }

    /// Writes the place of a number on its circle, if it is on one; returns the log-slope.
    fn place(&self, x: f64, marks: &mut [f64]) -> f64 {
        let (Some(knots), Some((low, high))) = (self.knots, self.column.circle()) else {
            return 0.0;
        };
        let (knots, turn) = (knots as f64, high - low);
        let place = (((x - low) / turn).rem_euclid(1.0)) * knots;
        // The remainder may round to a whole turn.
        marks[self.mark + self.digits] = if place >= knots { 0.0 } else { place };
        knots.ln() - turn.ln()
    }

    /// Moves marks of outcomes to a random place in their cells.
    fn scatter(&self, marks: &mut [f64], rng: &mut impl Rng) {
        for mark in &mut marks[self.mark..][..self.digits] {
            let u = uniform(rng);
            if *mark >= 0.0 {
                *mark = mark.floor() + u;
            }
        }
    }

    /// The value that marks and number say, and the log-slope of the way there.
    fn decode(&self, marks: &[f64], numbers: &[f64], units: &Units) -> (f64, f64) {
        let digits = &marks[self.mark..][..self.digits];
        let outcome = match digits {
            [] => None,
            [only] => Some(only.floor()),
            [first, second, ..] => Some(first.floor() * self.radix as f64 + second.floor()),
        };
        let absent = |number: usize| -LN_2PI_HALF - 0.5 * numbers[number] * numbers[number];
        if let Some(outcome) = outcome {
            // A mark of nothing that was seen in training is no value that can be named.
            let outcome = if outcome >= 0.0 { outcome as usize } else { usize::MAX };
            if self.outcomes.rest != Some(outcome) {
                let value = match outcome < self.outcomes.count {
                    true => self.column.value(outcome, &self.outcomes).unwrap_or(f64::NAN),
                    false => f64::NAN,
                };
                return (value, self.number.map_or(0.0, absent) - self.log_seen);
            }
        }
        if let (Some(knots), Some((low, high))) = (self.knots, self.column.circle()) {
            let (place, turn) = (marks[self.mark + self.digits], high - low);
            let x = low + turn * (place / knots as f64);
            let x = if x < high { x } else { low };
            return (x, turn.ln() - (knots as f64).ln());
        }
        let Some(number) = self.number else { return (f64::NAN, 0.0) };
        let (x, slope) = units.number_to_data(number, numbers[number]);
        match &self.cell {
            None => (x, slope),
            Some(cell) => {
                let log_width = self.lattice.map_or(0.0, |_| cell.width().ln());
                (cell.off_line(x), slope - log_width)
            }
        }
    }
}
