//! What can be the case in a cell: one of some values, each with a probability of its own, or a number that has a density.
//!
//! A row of a table becomes **marks** and **numbers**. A mark says which of a column's outcomes is the case (or, for a periodic column, where
//! on its circle the value lies); a number is there if the outcome is not a value itself. See [`crate::marks`] for their density.

use super::kind::ColumnKind;
use super::schema::Column;
use crate::marks::MarkSpec;

/// The outcomes of a column, numbered: its values first, then the rest, then the hole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcomes {
    /// How many there are; 0 for a column that is a number and nothing else, or a place on a circle; 1 for a number that may be left out.
    pub(crate) count: usize,
    /// Point masses, the bounds that belong to the kind among them: the first outcomes.
    pub(crate) masses: Vec<f64>,
    /// The outcome that leaves a number with a density.
    pub(crate) rest: Option<usize>,
    /// The outcome that there is no value.
    pub(crate) hole: Option<usize>,
}

impl Outcomes {
    /// How many outcomes the second of two marks tells apart; `None` if there is one mark, as there is where an outcome says that a number is
    /// there: one entry of a mark's code is then 1.
    pub(crate) fn radix(&self) -> Option<usize> {
        radix(self.count).filter(|_| self.rest.is_none())
    }
}

/// What is the case in a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Case {
    /// An outcome, by its number.
    Outcome(usize),
    /// A number that has a density; the outcome that says so is the rest, if there are others.
    Number,
    /// Something that no training row had, with the logarithm of its probability.
    Unseen(f64),
    /// Something that cannot be.
    Impossible,
    /// Left out: nothing is known, and nothing counts.
    Unknown,
    /// NaN where values may not be missing.
    Undefined,
}

/// Most outcomes that one mark tells apart; more need two, the second within the first.
const MARK_MAX: usize = 64;
/// Knots of the density on a circle.
const KNOTS: usize = 64;

impl Column {
    pub(crate) fn outcomes(&self) -> Outcomes {
        let mut masses = self.kind.closed_bounds();
        masses.extend(&self.masses);
        let values = match (self.kind, self.range) {
            (ColumnKind::Category, _) => self.levels.len() + usize::from(self.other),
            (ColumnKind::Boolean, _) => 2,
            (_, Some([low, high])) => (high.abs_diff(low) as usize).saturating_add(1),
            _ => masses.len(),
        };
        let has_rest = self.has_number() || self.circle().is_some();
        let more = usize::from(has_rest) + usize::from(self.holes);
        let count = values.saturating_add(more);
        // A place on a circle is a mark itself; a number needs one to say whether it is there.
        let is_marked = values > 0 || self.holes || (self.optional && self.has_number());
        Outcomes {
            count: if is_marked { count } else { 0 },
            masses,
            rest: (has_rest && is_marked).then_some(values),
            hole: self.holes.then(|| count - 1),
        }
    }

    /// Whether every value is a number that has a density.
    pub fn is_number_alone(&self) -> bool {
        self.has_number() && self.outcomes().count <= usize::from(self.optional)
    }

    /// Whether there may be a number that has a density.
    pub fn has_number(&self) -> bool {
        !matches!(
            self.kind,
            ColumnKind::Boolean | ColumnKind::Category | ColumnKind::Periodic { .. }
        ) && self.range.is_none()
    }

    /// Whether a value may be drawn exactly: it has a probability, alone or as one of those between which others round.
    pub fn has_probability(&self, x: f64) -> bool {
        self.kind.step().is_some() || matches!(self.case(x, &self.outcomes()), Case::Outcome(_))
    }

    /// Where the circle of a periodic column begins and ends.
    pub(crate) fn circle(&self) -> Option<(f64, f64)> {
        match self.kind {
            ColumnKind::Periodic { low, high } => Some((low, high)),
            _ => None,
        }
    }

    /// The marks of the column, in order: its outcomes in one or two digits, then its place on a circle.
    pub(crate) fn marks(&self) -> Vec<MarkSpec> {
        let outcomes = self.outcomes();
        let count = outcomes.count;
        let mut marks = match outcomes.radix() {
            _ if count == 0 => Vec::new(),
            None => vec![MarkSpec::Levels { count, last: None }],
            Some(radix) => {
                let first = count.div_ceil(radix);
                let last = count - (first - 1) * radix;
                vec![
                    MarkSpec::Levels { count: first, last: None },
                    MarkSpec::Levels { count: radix, last: (last < radix).then_some(last) },
                ]
            }
        };
        marks.extend(self.circle().map(|_| MarkSpec::Circle { knots: KNOTS }));
        marks
    }

    /// What a value of the column is.
    pub(crate) fn case(&self, x: f64, outcomes: &Outcomes) -> Case {
        if x.is_nan() {
            return match outcomes.hole {
                _ if self.optional => Case::Unknown,
                Some(hole) => Case::Outcome(hole),
                None => Case::Undefined,
            };
        }
        let value = self.kind.nearest(x);
        if let Some(mass) = outcomes.masses.iter().position(|mass| *mass == value) {
            return Case::Outcome(mass);
        }
        if self.kind.is_whole() && self.range.is_none() {
            // That a fraction is none of them is told where it is brought into a cell.
            return if x.is_finite() { Case::Number } else { Case::Impossible };
        }
        if !self.kind.contains(x) {
            return Case::Impossible;
        }
        let x = self.kind.steps(x);
        match (self.kind, self.range) {
            (ColumnKind::Category, _) if x < self.levels.len() as f64 => Case::Outcome(x as usize),
            (ColumnKind::Category, _) if self.other => Case::Outcome(self.levels.len()),
            (ColumnKind::Category, _) => Case::Unseen(self.unseen.ln()),
            (ColumnKind::Boolean, _) => Case::Outcome(x as usize),
            (_, Some([low, high])) => match x {
                x if x < low as f64 => self.beyond(low as f64 - x, [low, high], true),
                x if x > high as f64 => self.beyond(x - high as f64, [low, high], false),
                x => Case::Outcome((x - low as f64) as usize),
            },
            _ => Case::Number,
        }
    }

    /// A whole number `steps >= 1` beyond the range: the tails are geometric, with the width of the range as their mean length, and share what
    /// is set aside for unseen values; where a bound lies on the way, its side's tail ends there.
    fn beyond(&self, steps: f64, [low, high]: [i64; 2], below: bool) -> Case {
        let room = |bound: Option<i64>, end: i64| match bound {
            None => f64::INFINITY,
            Some(bound) => bound.abs_diff(end) as f64,
        };
        let [least, most] = self.kind.bounds_in_steps();
        let rooms = [room(least, low), room(most, high)];
        let sides = rooms.iter().filter(|room| **room > 0.0).count() as f64;
        let stay = (-1.0 / (high.abs_diff(low) as f64 + 1.0)).exp();
        // Of a geometric tail that ends after `room` steps.
        let room = rooms[usize::from(!below)];
        let total = if room.is_infinite() { 1.0 } else { 1.0 - stay.powf(room) };
        Case::Unseen(
            self.unseen.ln() - sides.ln() + (1.0 - stay).ln() + (steps - 1.0) * stay.ln()
                - total.ln(),
        )
    }

    /// The logarithm of the probability that a value is none of the unseen ones.
    pub(crate) fn log_seen(&self) -> f64 {
        (-self.unseen).ln_1p()
    }

    /// The value that an outcome is; `None` for the rest.
    pub(crate) fn value(&self, outcome: usize, outcomes: &Outcomes) -> Option<f64> {
        if outcomes.rest == Some(outcome) {
            return None;
        }
        if outcomes.hole == Some(outcome) {
            return Some(f64::NAN);
        }
        Some(match (self.kind, self.range) {
            (ColumnKind::Category | ColumnKind::Boolean, _) => outcome as f64,
            (kind, Some([low, _])) => {
                let k = low as f64 + outcome as f64;
                kind.step().map_or(k, |step| step.value(k))
            }
            _ => outcomes.masses.get(outcome).copied().unwrap_or(f64::NAN),
        })
    }
}

/// How many outcomes the second of two marks tells apart; `None` if one mark is enough.
pub(crate) fn radix(count: usize) -> Option<usize> {
    (count > MARK_MAX).then(|| count.isqrt() + usize::from(count.isqrt() * count.isqrt() < count))
}
