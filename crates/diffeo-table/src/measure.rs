//! What a table knows of one of its columns.

use diffeo::Result;

use crate::content::Content;
use crate::moments::moments;
use crate::table::Table;
use diffeo::ColumnFacts;

/// A real column with fewer distinct values than this share of the rows has few of them,
const DISTINCT_SHARE: f64 = 0.1;
/// one with a value that fills at least this share of the rows has heavy ties,
const TIE_SHARE: f64 = 0.05;
/// if there are so many rows.
const TIE_ROWS: usize = 50;
/// Other values that there must be beside those that are frequent.
const SPIKE_REST: usize = 20;
/// Rows looked at for these two.
const TIE_SAMPLE: usize = 100_000;

/// A column of a table.
pub(crate) struct Values<'a> {
    table: &'a Table,
    j: usize,
}

/// Values that repeat.
pub(crate) enum Ties {
    FewDistinct(usize),
    Heavy { value: f64, share: f64 },
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
        let rest = self.iter().filter(|x| !without.contains(x));
        let m = moments(rest.clone());
        ColumnFacts {
            stored_whole: self.table.integer_typed.get(self.j) == Some(&true),
            all_whole: rest.clone().all(|x| x.fract() == 0.0),
            min: m.min,
            max: m.max,
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

    /// The values that make up at least a share of the rows each, beside others that hardly repeat: the most frequent first, with their
    /// shares. None where there are more than `most` of them, or too few other values to tell. An infinity, which a table to be scored may
    /// hold, is none.
    pub(crate) fn spikes(&self, most: usize) -> Vec<(f64, f64)> {
        let n = self.len();
        let mut sorted: Vec<f64> = self.iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (mut spikes, mut rest, mut distinct) = (Vec::new(), 0, 0);
        for run in sorted.chunk_by(|a, b| a == b) {
            let share = run.len() as f64 / n as f64;
            match run.first() {
                Some(value) if share >= TIE_SHARE && value.is_finite() => {
                    spikes.push((*value, share));
                }
                _ => (rest, distinct) = (rest + run.len(), distinct + 1),
            }
        }
        let is_dense = rest >= SPIKE_REST && distinct as f64 >= DISTINCT_SHARE * rest as f64;
        if n < TIE_ROWS || spikes.len() > most || !is_dense {
            return Vec::new();
        }
        spikes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.total_cmp(&b.0)));
        spikes
    }

    /// Few distinct values or one that is frequent, if there are rows enough to tell.
    pub(crate) fn ties(&self) -> Option<Ties> {
        let n = self.len();
        if n < TIE_ROWS {
            return None;
        }
        let mut sorted: Vec<f64> = self.iter().step_by(n.div_ceil(TIE_SAMPLE)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let looked_at = sorted.len() as f64;
        let (mut distinct, mut longest, mut value) = (0, 0, 0.0);
        for run in sorted.chunk_by(|a, b| a == b) {
            distinct += 1;
            if run.len() > longest {
                longest = run.len();
                value = run.first().copied().unwrap_or(0.0);
            }
        }
        if (distinct as f64) < DISTINCT_SHARE * looked_at {
            return Some(Ties::FewDistinct(distinct));
        }
        let share = longest as f64 / looked_at;
        (share >= TIE_SHARE).then_some(Ties::Heavy { value, share })
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
