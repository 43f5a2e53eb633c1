//! `--where`: a region of a model's columns, and rows drawn within it.

use diffeo::inference::{Estimate, ModelProposal, RejectionOptions, draw_within};
use diffeo::{Column, ColumnKind, Error, ErrorKind, Model, Result, Rows, SampleOptions, quoted};
use diffeo_table::date_number;

use crate::columns::{Comparison, Condition};
use crate::progress::{Progress, grouped};
use crate::signals;

/// Rows that are inside, by their columns.
pub(super) struct Region {
    conditions: Vec<(usize, Comparison, f64)>,
    /// Draws of the model that are left, and that were made.
    tries_left: u64,
    tries: u64,
    accepted: u64,
    /// Draws that came with those of the last row, and how many of them were inside: the next rows begin with them.
    rest: [u64; 2],
}

impl Region {
    /// Finds the columns of the conditions and reads their values as these columns have them.
    pub(super) fn new(conditions: &[Condition], columns: &[Column], tries: u64) -> Result<Self> {
        let find = |condition: &Condition| {
            let place = columns.iter().position(|column| column.name == condition.column);
            let place = place.ok_or_else(|| {
                let names: Vec<String> =
                    columns.iter().map(|column| quoted(&column.name)).collect();
                Error::config(format!(
                    "--where: the model draws no column {}; it draws {}",
                    quoted(&condition.column),
                    names.join(", ")
                ))
            })?;
            Ok((place, condition.comparison, value(condition, &columns[place])?))
        };
        let conditions: Vec<_> = conditions.iter().map(find).collect::<Result<_>>()?;
        for (j, column) in columns.iter().enumerate() {
            let of_column = conditions.iter().filter(|(place, ..)| *place == j);
            refuse_contradiction(
                column,
                of_column.map(|(_, comparison, value)| (*comparison, *value)),
            )?;
        }
        Ok(Self { conditions, tries_left: tries, tries: 0, accepted: 0, rest: [0; 2] })
    }

    fn contains(&self, row: &[f64]) -> bool {
        self.conditions
            .iter()
            .all(|(column, comparison, value)| comparison.holds(row[*column], *value))
    }

    /// The next `n` rows inside.
    ///
    /// # Errors
    /// [`ErrorKind::NotConverged`] when the tries are used up.
    pub(super) fn draw(
        &mut self,
        model: &Model,
        options: &SampleOptions,
        n: usize,
        progress: &mut Progress,
    ) -> Result<Rows> {
        let options = SampleOptions { first_row: self.tries, ..options.clone() };
        let proposal = ModelProposal { model, options };
        let limits = RejectionOptions { tries: self.tries_left, ..RejectionOptions::default() };
        let (before, mut so_far) = (self.tries, 0);
        let watch = |found: usize, tries: u64| {
            signals::check()?;
            so_far = found;
            progress
                .update(|| format!("{found} of {n} rows found, {} drawn", grouped(before + tries)));
            Ok(())
        };
        let contains = |row: &[f64]| self.contains(row);
        let found =
            draw_within(&proposal, &contains, n, &limits, watch).map_err(|e| match e.kind() {
                ErrorKind::NotConverged => Error::new(
                    e.kind(),
                    format!(
                        "--where: the region is too rare: {} of {n} rows were found in {} draws; ask for fewer (-n), widen it, or let more be drawn with --max-tries",
                        grouped(so_far as u64),
                        grouped(before + self.tries_left)
                    ),
                ),
                _ => e,
            })?;
        self.tries += found.tries;
        self.tries_left -= found.tries;
        self.accepted += n as u64;
        self.rest = [found.drawn - found.tries, found.accepted - n as u64];
        Ok(found.rows)
    }

    /// The probability of the region under the model, and its standard error.
    pub(super) fn probability(&self) -> Estimate {
        let [drawn, inside] = self.rest;
        Estimate::of_share(self.accepted + inside, self.tries + drawn)
    }
}

/// Whether a column can have a value, of steps only whole multiples.
fn is_value(column: &Column, value: f64) -> bool {
    let is_multiple = column.kind.step().is_none_or(|step| step.divides(value));
    column.masses.contains(&value) || is_multiple && column.contains(value)
}

/// Refuses conditions on one column that no value can meet together.
fn refuse_contradiction(
    column: &Column,
    conditions: impl Iterator<Item = (Comparison, f64)> + Clone,
) -> Result<()> {
    let all = || conditions.clone();
    // Whatever meets them all lies at or between two of their values.
    let values = all().map(|(_, value)| value);
    let above = values.clone().map(|value| value.next_up());
    let below = values.clone().map(|value| value.next_down());
    let meets = |x: &f64| all().all(|(comparison, value)| comparison.holds(*x, value));
    if all().next().is_none() || values.chain(above).chain(below).any(|x| meets(&x)) {
        return Ok(());
    }
    Err(Error::config(format!(
        "--where: no value of column {} meets all conditions on it",
        quoted(&column.name)
    )))
}

/// The value of a condition as a number of the column.
fn value(condition: &Condition, column: &Column) -> Result<f64> {
    let is_word = matches!(column.kind, ColumnKind::Category | ColumnKind::Boolean)
        && !column.levels.is_empty();
    if is_word {
        if condition.comparison != Comparison::Equal {
            return Err(Error::config(format!(
                "--where: column {} holds words, which have no order; compare with =",
                quoted(&column.name)
            )));
        }
        let level = column.levels.iter().position(|level| *level == condition.value);
        return level.map(|level| level as f64).ok_or_else(|| {
            let levels: Vec<String> = column.levels.iter().take(10).map(|l| quoted(l)).collect();
            Error::config(format!(
                "--where: column {} is never {}; it is {}{}",
                quoted(&column.name),
                quoted(&condition.value),
                levels.join(", "),
                if column.levels.len() > levels.len() { ", ..." } else { "" }
            ))
        });
    }
    let number = || condition.value.parse::<f64>().ok().filter(|v| !v.is_nan());
    let value = date_number(column.kind, &condition.value).or_else(number).ok_or_else(|| {
        let holds = match column.kind {
            ColumnKind::Date | ColumnKind::Time => "dates, such as 2024-01-31 or 2024-01-31T12:30",
            _ => "numbers",
        };
        Error::config(format!(
            "--where: column {} holds {holds}, found {}",
            quoted(&column.name),
            quoted(&condition.value)
        ))
    })?;
    if condition.comparison == Comparison::Equal && !is_value(column, value) {
        return Err(Error::config(format!(
            "--where: column {} is never {}: it is {}",
            quoted(&column.name),
            condition.value,
            column.kind
        )));
    }
    if condition.comparison == Comparison::Equal && !column.has_probability(value) {
        return Err(Error::config(format!(
            "--where: column {} has a density, by which no draw is exactly {value}; ask for a range, such as '{name}>{value},{name}<...'",
            quoted(&column.name),
            name = column.name
        )));
    }
    Ok(value)
}
