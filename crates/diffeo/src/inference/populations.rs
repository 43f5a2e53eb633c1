//! Two tables of the same columns, dealt into folds so that no row is judged by what was learned from it.

use super::regression::{Loss, Terms, minimise};
use crate::columns::{Column, ColumnKind, Schema};
use crate::error::{Error, Result, quoted};
use crate::host::random::{Purpose, Streams, permutation};
use crate::host::rows::Rows;
use crate::train::TrainingData;

/// Fewest rows of a population in a fold.
const ROWS_MIN: usize = 2;
/// Parts of a line that populations are compared over, and how little they have in common of a column that tells them apart.
const PARTS: usize = 64;
const TELLING: f64 = 0.02;

/// Rows of two populations under the same columns.
#[derive(Clone, Debug)]
pub struct Populations {
    columns: Vec<Column>,
    /// Of the first population and of the second.
    rows: [Rows; 2],
    /// The fold of each row.
    fold_of: [Vec<usize>; 2],
    folds: usize,
}

/// `ln p2(x) / p1(x)` at the rows of the first population and at those of the second.
pub type LogRatios = [Vec<f64>; 2];

impl Populations {
    /// Deals the rows of both into `folds` parts by the seed, each part with its share of both.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for fewer than 2 folds, [`crate::ErrorKind::Data`] for too few rows, [`crate::ErrorKind::Shape`] for rows of another width.
    pub fn new(columns: Vec<Column>, rows: [Rows; 2], folds: usize, seed: u64) -> Result<Self> {
        if folds < 2 {
            return Err(Error::config(format!(
                "rows are judged by what was learned from others: expected at least 2 folds, found {folds}"
            )));
        }
        for (rows, which) in rows.iter().zip(["first", "second"]) {
            if rows.width() != columns.len() {
                let (expected, found) = (columns.len(), rows.width());
                return Err(Error::shape(format!(
                    "{which} population: expected rows of {expected} columns, found {found}"
                )));
            }
            if rows.len() < ROWS_MIN * folds {
                return Err(Error::data(format!(
                    "{which} population: expected at least {} rows for {folds} folds, found {}",
                    ROWS_MIN * folds,
                    rows.len()
                )));
            }
        }
        let streams = Streams::new(seed);
        let deal = |population: usize| {
            let n = rows[population].len();
            let mut rng = streams.rng(Purpose::Fold, population as u64, 0);
            let mut fold_of = vec![0; n];
            let order = permutation(&mut rng, n as u32);
            order.iter().enumerate().for_each(|(place, &i)| fold_of[i as usize] = place % folds);
            fold_of
        };
        let fold_of = [deal(0), deal(1)];
        Ok(Self { columns, rows, fold_of, folds })
    }

    /// What the columns hold.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many folds there are.
    pub fn folds(&self) -> usize {
        self.folds
    }

    /// The rows of the first population and those of the second.
    pub fn rows(&self) -> &[Rows; 2] {
        &self.rows
    }

    /// The rows of a fold, or all others, of a population: their numbers and themselves.
    pub(super) fn part(&self, population: usize, fold: usize, within: bool) -> (Vec<usize>, Rows) {
        let fold_of = &self.fold_of[population];
        let chosen: Vec<usize> =
            (0..fold_of.len()).filter(|&i| (fold_of[i] == fold) == within).collect();
        let rows = self.rows[population].select(&chosen);
        (chosen, rows)
    }

    /// The columns, and as their context which population a row is of.
    pub(super) fn schema(&self) -> Schema {
        let mut name = "population".to_owned();
        while self.columns.iter().any(|column| column.name == name) {
            name.push('\'');
        }
        let context = vec![Column::new(name, ColumnKind::Boolean)];
        Schema::new(self.columns.clone(), context)
    }

    /// All rows but those of a fold, with which population they are of.
    pub(super) fn others(&self, fold: usize) -> Result<TrainingData> {
        let parts = [0, 1].map(|population| self.part(population, fold, false).1);
        let mut context = vec![0.0; parts[0].len()];
        context.resize(parts[0].len() + parts[1].len(), 1.0);
        let x = parts.map(Rows::into_values).concat();
        let x = Rows::new(x, self.columns.len())?;
        Ok(TrainingData { x, context: Some(Rows::new(context, 1)?), weights: None })
    }

    /// Calls `of_fold` with each fold and gathers what it gives for the rows of that fold, `[first, second]`.
    pub(super) fn gather(
        &self,
        mut of_fold: impl FnMut(usize, [&Rows; 2]) -> Result<LogRatios>,
    ) -> Result<LogRatios> {
        let mut gathered = [0, 1].map(|population| vec![0.0; self.rows[population].len()]);
        for fold in 0..self.folds {
            let [first, second] = [0, 1].map(|population| self.part(population, fold, true));
            let found = of_fold(fold, [&first.1, &second.1])?;
            for ((to, places), values) in gathered.iter_mut().zip([first.0, second.0]).zip(found) {
                places.into_iter().zip(values).for_each(|(i, value)| to[i] = value);
            }
        }
        Ok(gathered)
    }

    /// The log-ratio by a classifier of the two populations: logistic regression on columns, squares and products, each row judged by one that was fitted to other
    /// folds. `p2 / p1` are the odds of the second population over those of all rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for columns that cannot be used.
    pub fn classifier_log_ratios(&self, threads: usize) -> Result<LogRatios> {
        let terms = self.terms()?;
        self.gather(|fold, held_out| {
            let data = self.others(fold)?;
            let numbers = terms.numbers(&data.x);
            let first = self.rows[0].len() - held_out[0].len();
            let coefficients = terms.classify(&numbers, |i| i >= first, threads)?;
            let prior = ((data.x.len() - first) as f64 / first as f64).ln();
            Ok(held_out.map(|rows| {
                let odds = terms.values(&coefficients, &terms.numbers(rows));
                odds.into_iter().map(|odds| odds - prior).collect()
            }))
        })
    }

    /// What is expected of an outcome that was observed in the first population, at the rows of both: a regression on columns, squares and products, each row by one that
    /// was fitted to other folds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] unless there is an outcome for each row of the first population.
    pub fn expected_outcome(&self, outcome: &[f64], threads: usize) -> Result<LogRatios> {
        let n = self.rows[0].len();
        if outcome.len() != n {
            let found = outcome.len();
            return Err(Error::shape(format!("expected {n} outcomes, found {found}")));
        }
        let spread = Spread::of(outcome);
        let terms = self.terms()?;
        self.gather(|fold, held_out| {
            let (places, rows) = self.part(0, fold, false);
            let y: Vec<f64> = places.iter().map(|&i| spread.standard(outcome[i])).collect();
            let coefficients = terms.regress(&terms.numbers(&rows), &y, threads)?;
            Ok(held_out.map(|rows| {
                let values = terms.values(&coefficients, &terms.numbers(rows));
                values.into_iter().map(|value| spread.original(value)).collect()
            }))
        })
    }

    /// Columns whose values alone all but tell the populations apart: what the values of one have in common with those of the other, and how much of them it is,
    /// `sum min(p1, p2)` over levels, or over parts of a line that hold a sixty-fourth of all rows each.
    ///
    /// Such a column is rarely what populations are to be compared by, but often what one of them is defined by.
    pub fn telling_columns(&self) -> Vec<(&Column, f64)> {
        let all = self.columns.iter().enumerate().map(|(j, column)| (column, self.overlap(j)));
        all.filter(|(_, overlap)| *overlap < TELLING).collect()
    }

    /// What both populations have in common of a column.
    fn overlap(&self, j: usize) -> f64 {
        let share = |k: usize| 1.0 / self.rows[k].len() as f64;
        let of = |k: usize| self.rows[k].column(j).into_iter().map(move |x| (x, k));
        let mut values: Vec<(f64, usize)> = of(0).chain(of(1)).collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let most = match self.columns[j].kind {
            ColumnKind::Category | ColumnKind::Boolean => 1,
            _ => values.len().div_ceil(PARTS),
        };
        let (mut common, mut part, mut count) = (0.0, [0.0; 2], 0);
        // Equal values are never parted.
        for equal in values.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            equal.iter().for_each(|(_, k)| part[*k] += share(*k));
            count += equal.len();
            if count >= most {
                common += part[0].min(part[1]);
                (part, count) = ([0.0; 2], 0);
            }
        }
        common + part[0].min(part[1])
    }

    fn terms(&self) -> Result<Terms> {
        let all = self.rows.each_ref().map(|rows| rows.values().to_vec()).concat();
        if let Some(column) = self.columns.iter().find(|column| column.optional) {
            return Err(Error::config(format!(
                "column {} may be left out of a row; populations are compared by whole rows",
                quoted(&column.name)
            )));
        }
        Terms::new(&self.columns, &Rows::new(all, self.columns.len())?)
    }
}

/// Mean and deviation of an outcome.
struct Spread {
    mean: f64,
    deviation: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Self { mean, deviation }
    }

    fn standard(&self, value: f64) -> f64 {
        (value - self.mean) / self.deviation
    }

    fn original(&self, value: f64) -> f64 {
        self.mean + self.deviation * value
    }
}

/// `a + b s`, the log-odds of the second population at a log-ratio `s`: by the maximum of their likelihood on rows that had no part in `s`, with `b` held to 1 as by
/// one row. Where `s` is noise, `b` is near 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calibration {
    /// `b`, at least 0.
    pub(super) slope: f64,
    /// `a` over the log-odds of all rows.
    intercept: f64,
}

impl Calibration {
    pub(super) fn of(ratios: &LogRatios, threads: usize) -> Result<Self> {
        let first = ratios[0].len();
        let prior = (ratios[1].len() as f64 / first as f64).ln();
        let at = |i: usize| if i < first { ratios[0][i] } else { ratios[1][i - first] };
        let n = first + ratios[1].len();
        let write = |i: usize, terms: &mut Vec<f64>| {
            terms.clear();
            terms.extend([1.0, at(i)]);
        };
        let loss = |i: usize, value: f64| Loss::logistic(prior + at(i) + value, i >= first);
        let found = minimise(n, 2, threads, write, loss)?;
        Ok(Self { slope: (1.0 + found[1]).max(0.0), intercept: found[0] })
    }

    pub(super) fn apply(self, log_ratio: f64) -> f64 {
        self.intercept + self.slope * log_ratio
    }
}
