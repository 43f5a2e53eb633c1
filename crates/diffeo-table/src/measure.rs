//! What a table knows of one of its columns.

use diffeo::Result;

use crate::content::Content;
use crate::moments::moments;
use crate::table::Table;
use crate::tally::Tally;
use diffeo::ColumnFacts;

/// A column of a table.
pub(crate) struct Values<'a> {
    table: &'a Table,
    j: usize,
}

impl<'a> Values<'a> {
    /// The column of that name.
    pub(crate) fn of(table: &'a Table, name: &str) -> Result<Self> {
        Ok(Self { table, j: table.index_of(name)? })
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// How many rows have no value.
    pub(crate) fn missing(&self) -> usize {
        self.table.rows.len() - self.len()
    }

    /// The values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> + Clone {
        let all = self.table.rows.values().iter().skip(self.j).step_by(self.table.rows.width());
        all.copied().filter(|x| !x.is_nan())
    }

    /// The value that all cells have, as they are written.
    pub(crate) fn only_value(&self) -> Option<String> {
        let m = moments(self.iter());
        if m.min != m.max || self.len() == 0 {
            return None;
        }
        let text = match self.content() {
            Content::Levels { levels, .. } => {
                levels.first().map(|(level, _)| diffeo::quoted(level))
            }
            Content::Truths { words } => words.get(m.min as usize).map(|word| diffeo::quoted(word)),
            _ => None,
        };
        // Where it may be missing, there are two things that can be the case, but for numbers that have a density.
        let is_outcome = text.is_some() && self.missing() > 0;
        (!is_outcome).then(|| text.unwrap_or_else(|| m.min.to_string()))
    }

    /// What the cells are.
    pub(crate) fn content(&self) -> &'a Content {
        const NUMBERS: &Content = &Content::Numbers { stored_whole: false };
        self.table.contents.get(self.j).unwrap_or(NUMBERS)
    }

    /// What its kind is chosen by, but for the values that are left out of the account.
    pub(crate) fn facts(&self, without: &[f64]) -> ColumnFacts {
        let mut without = without.to_vec();
        without.sort_unstable_by(f64::total_cmp);
        // Not by `total_cmp`: to it 0 and -0 are two.
        let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Less);
        let is_left = |x: &f64| without.binary_search_by(|other| order(other, x)).is_err();
        let rest = self.iter().filter(is_left);
        let m = moments(rest.clone());
        let near_zero = rest.clone().filter(|x| (0.0..0.5 * m.deviation).contains(x)).count();
        ColumnFacts {
            stored_whole: self.table.integer_typed.get(self.j) == Some(&true),
            all_whole: rest.clone().all(|x| x.fract() == 0.0),
            min: m.min,
            max: m.max,
            near_zero,
            skewness: m.skewness,
            log_skewness: (m.min > 0.0).then(|| moments(rest.map(f64::ln)).skewness),
        }
    }

    /// Whether all values are dates written as numbers, `20240131`, of more than one month.
    pub(crate) fn are_dates(&self) -> bool {
        let mut months = std::collections::HashSet::new();
        let mut is_date = |x: f64| {
            months.insert((x / 100.0) as u64);
            crate::dates::from_digits(x).is_some()
        };
        self.iter().all(&mut is_date) && months.len() > 1
    }

    /// How often each value is there.
    pub(crate) fn tally(&self) -> Tally {
        Tally::of(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use diffeo::Rows;

    use super::*;
    use crate::report::ReadReport;

    #[test]
    fn facts_are_those_of_the_column() {
        // Columns: ln x is -1, 0, 1 times ln 2; whole and not positive; skewness 1/sqrt(2), from 0, 0, 3.
        let values = vec![0.5, -1.0, 0.25, 1.0, 0.0, 0.25, 2.0, 1.0, 3.25];
        let table = Table {
            names: ["a", "b", "c"].map(str::to_owned).to_vec(),
            rows: Rows::new(values, 3).unwrap(),
            contents: [false, true, false]
                .map(|stored_whole| Content::Numbers { stored_whole })
                .to_vec(),
            integer_typed: vec![false, true, false],
            report: ReadReport::default(),
        };
        let facts = |name| Values::of(&table, name).unwrap().facts(&[]);
        let (a, b, c) = (facts("a"), facts("b"), facts("c"));
        assert_eq!((a.min, a.max, a.all_whole, a.stored_whole), (0.5, 2.0, false, false));
        assert!(a.log_skewness.unwrap().abs() < 1e-14, "{a:?}");
        assert_eq!((b.min, b.max, b.all_whole, b.stored_whole), (-1.0, 1.0, true, true));
        assert_eq!((b.skewness, b.log_skewness), (0.0, None));
        assert_eq!((c.min, c.max, c.all_whole, c.stored_whole), (0.25, 3.25, false, false));
        assert!((c.skewness - 0.5f64.sqrt()).abs() < 1e-14, "{c:?}");
        assert!(Values::of(&table, "d").is_err());
    }
}
