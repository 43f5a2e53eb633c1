//! What a density is conditional on, as numbers: levels one by one, angles as a point on a circle.

use rand_chacha::ChaCha8Rng;

use super::kind::ColumnKind;
use super::outcomes::radix;
use super::schema::{Column, Schema};
use super::units::Units;
use crate::host::random::{normal, uniform};
use crate::host::rows::Rows;

/// How the context columns of a table become those of a flow.
#[derive(Clone, Debug)]
pub(crate) struct Contexts {
    columns: Vec<Column>,
    /// How many of them are the context's own; the others are columns that may be given.
    own: usize,
    /// The places of those in a row of the table.
    optional: Vec<usize>,
    width: usize,
}

/// What is known of rows beside themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known<'a> {
    /// The context of each row, if there is one.
    pub(crate) context: Option<&'a Rows>,
    /// The values of columns that are given, NaN where they are not; absent if none are.
    pub(crate) given: Option<&'a Rows>,
}

impl<'a> From<Option<&'a Rows>> for Known<'a> {
    fn from(context: Option<&'a Rows>) -> Self {
        Self { context, given: None }
    }
}

impl Column {
    /// Numbers that a value of the column becomes as a context: one, but
    /// * a category one for each level (two digits from 65 levels on), all zero for a level that it does not have;
    /// * a periodic value the sine and the cosine of its angle;
    /// * one more for each point mass: 1 at it, and zeros elsewhere, the number itself among these unless the column is [`Column::numbered`];
    /// * one more where values may be missing: 1 where it is missing, and zeros in place of the value.
    pub fn context_width(&self) -> usize {
        let value = match self.kind {
            ColumnKind::Category => {
                let count = self.levels.len() + usize::from(self.other);
                radix(count).map_or(count, |radix| count.div_ceil(radix) + radix)
            }
            ColumnKind::Periodic { .. } => 2,
            _ => 1,
        };
        value + self.masses.len() + usize::from(self.holes)
    }

    /// Whether its context is a number with a centre and a scale.
    pub(crate) fn is_scaled_context(&self) -> bool {
        !matches!(self.kind, ColumnKind::Category | ColumnKind::Periodic { .. })
    }

    /// Whether `x` can stand in a context.
    pub(crate) fn takes_context(&self, x: f64) -> bool {
        match (x.is_nan(), self.kind) {
            (true, _) => self.holes,
            _ if self.masses.contains(&x) => true,
            // Where a column was bounded in training, another row may lie beyond.
            (false, ColumnKind::Positive | ColumnKind::Category | ColumnKind::Boolean) => {
                self.kind.contains(x)
            }
            (false, _) => x.is_finite(),
        }
    }
}

impl Contexts {
    pub(super) fn new(schema: &Schema) -> Self {
        let optional = schema.columns.iter().enumerate().filter(|(_, column)| column.optional);
        Self {
            columns: schema.conditions().collect(),
            own: schema.context.len(),
            optional: optional.map(|(j, _)| j).collect(),
            width: schema.context_width(),
        }
    }

    /// The columns that may be given.
    pub(super) fn optional(&self) -> &[usize] {
        &self.optional
    }

    /// Brings what is known of `n` rows to real numbers of order one; nothing if there is nothing to know.
    pub(super) fn encode(&self, known: Known<'_>, n: usize, units: &Units) -> Option<Rows> {
        if self.width == 0 {
            return None;
        }
        let mut out = Rows::zeros(n, self.width);
        for (i, row) in out.values_mut().chunks_exact_mut(self.width).enumerate() {
            let mut at = 0;
            let context = known.context.map_or(&[][..], |context| context.row(i));
            let given = |&j: &usize| known.given.map_or(f64::NAN, |given| given.row(i)[j]);
            let values = context.iter().copied().chain(self.optional.iter().map(given));
            for (column, x) in self.columns.iter().zip(values) {
                let width = column.context_width();
                write(column, x, &mut row[at..at + width], units.context.get(at));
                at += width;
            }
        }
        Some(out)
    }
}

impl Contexts {
    /// A context in the units of the data: drawn, or the centre of all.
    pub(super) fn some(&self, units: &Units, mut rng: Option<&mut ChaCha8Rng>) -> Vec<f64> {
        let mut at = 0;
        let mut values = Vec::with_capacity(self.own);
        for column in &self.columns[..self.own] {
            let unit = units.context.get(at).copied().unwrap_or_default();
            at += column.context_width();
            let mut share = || rng.as_mut().map_or(0.0, |rng| uniform(*rng));
            values.push(match column.kind {
                ColumnKind::Category => (share() * column.levels.len() as f64).floor(),
                ColumnKind::Boolean => (2.0 * share()).floor(),
                ColumnKind::Periodic { low, high } => low + share() * (high - low),
                _ => {
                    let z = rng.as_mut().map_or(0.0, |rng| normal(*rng));
                    unit.support.to_data(z * unit.scale + unit.center).0
                }
            });
        }
        values
    }
}

fn write(column: &Column, x: f64, to: &mut [f64], unit: Option<&super::units::Unit>) {
    if column.holes {
        let last = to.len() - 1;
        to[last] = f64::from(u8::from(x.is_nan()));
        if x.is_nan() {
            return;
        }
    }
    let masses = column.context_width() - usize::from(column.holes) - column.masses.len();
    let value = column.kind.nearest(x);
    if let Some(mass) = column.masses.iter().position(|mass| *mass == value) {
        to[masses + mass] = 1.0;
        if !(column.numbered && column.kind.contains(value)) {
            return;
        }
    }
    match column.kind {
        ColumnKind::Category => {
            let count = column.levels.len() + usize::from(column.other);
            if x.is_nan() {
                to.fill(f64::NAN);
            } else if x >= 0.0 {
                // A level that is not in the list is `other` where there is one, else nothing.
                let level = match x as usize {
                    level if level < column.levels.len() => Some(level),
                    _ => column.other.then_some(column.levels.len()),
                };
                match (level, radix(count)) {
                    (Some(level), None) => to[level] = 1.0,
                    (Some(level), Some(radix)) => {
                        to[level / radix] = 1.0;
                        to[count.div_ceil(radix) + level % radix] = 1.0;
                    }
                    (None, _) => {}
                }
            }
        }
        ColumnKind::Periodic { low, high } => {
            let angle = std::f64::consts::TAU * ((x - low) / (high - low));
            (to[0], to[1]) = (angle.sin(), angle.cos());
        }
        _ => {
            let unit = unit.copied().unwrap_or_default();
            to[0] = (unit.support.image(x) - unit.center) / unit.scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::units::Unit;
    use super::*;

    #[test]
    fn what_is_given_at_a_point_mass_is_a_number_too_where_there_is_one() {
        let masses: Vec<f64> = (0..20).map(|i| f64::from((i * 7) % 20)).collect();
        let mut column = Column { masses, ..Column::new("x", ColumnKind::Positive) };
        let old = Column { optional: true, ..column.clone() };
        column.make_optional();
        let [seen, before] =
            [column, old].map(|c| Schema::new(vec![c], Vec::new()).conditions().next().unwrap());
        // The number, the most frequent masses and that of 0, which has no logarithm, and whether it is missing.
        assert_eq!((seen.context_width(), before.context_width()), (1 + 8 + 1, 1 + 20 + 1));
        assert_eq!(seen.masses[..2], [0.0, 7.0]);
        let unit = Unit { support: seen.kind.context_support(), ..Unit::default() };
        let written = |column: &Column, x: f64| {
            let mut to = vec![0.0; column.context_width()];
            write(column, x, &mut to, Some(&unit));
            to
        };
        let of = |number: f64, mass: Option<usize>| {
            let mut to = vec![0.0; 10];
            to[0] = number;
            mass.into_iter().for_each(|at| to[1 + at] = 1.0);
            to
        };
        assert_eq!(written(&seen, 7.0), of(7f64.ln(), Some(1)));
        assert_eq!(written(&seen, 0.0), of(0.0, Some(0)));
        assert_eq!(written(&seen, 6.0), of(6f64.ln(), None), "a rare one is a number alone");
        assert_eq!(written(&before, 7.0)[..3], [0.0, 0.0, 1.0]);
        assert_eq!(written(&seen, f64::NAN)[9], 1.0);
    }
}
