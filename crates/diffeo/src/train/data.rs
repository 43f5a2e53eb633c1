//! The rows to learn from: checked against the schema, fingerprinted, and split into training and validation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::copies::Copies;
use crate::columns::{Column, Schema};
use crate::error::{Error, Result, quoted};
use crate::host::random::{Purpose, Streams, permutation};
use crate::host::rows::Rows;

/// How many offending rows a message lists.
const ROWS_LISTED: usize = 5;
/// The most rows a table may have: row numbers are kept in 32 bits, half the memory of an epoch's order.
const ROWS_MAX: usize = u32::MAX as usize;

/// A table to learn from, in the units of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingData {
    /// Values, one column per column of the schema.
    pub x: Rows,
    /// Values conditioned on, one row per row of `x`.
    pub context: Option<Rows>,
    /// How much each row counts: finite, not negative. `None` counts all alike; a row of weight 0 is left out.
    pub weights: Option<Vec<f64>>,
}

/// What validates a fit.
#[derive(Clone, Debug, PartialEq)]
pub enum ValidationChoice {
    /// A share of the rows, drawn by the seed; 0 is the same as [`ValidationChoice::None`].
    Fraction(f64),
    /// Rows of their own.
    Given(TrainingData),
    /// Nothing: all steps are taken and the last weights are kept.
    None,
}

impl Default for ValidationChoice {
    /// A tenth.
    fn default() -> Self {
        Self::Fraction(0.1)
    }
}

impl TrainingData {
    /// Rows that all count alike, without context.
    pub fn rows(x: Rows) -> Self {
        Self { x, context: None, weights: None }
    }

    /// Checks widths, lengths, supports and weights.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] or [`crate::ErrorKind::Data`] naming column and rows.
    pub(crate) fn check(&self, schema: &Schema) -> Result<()> {
        let n = self.x.len();
        if n == 0 {
            return Err(Error::data("there are no rows to learn from"));
        }
        if n > ROWS_MAX {
            return Err(Error::data(format!(
                "{n} rows are too many; at most {ROWS_MAX} can be used"
            )));
        }
        check_table("data", &self.x, &schema.columns, Column::contains)?;
        match &self.context {
            None if schema.context.is_empty() => {}
            None => {
                let names: Vec<String> = schema.context.iter().map(|c| quoted(&c.name)).collect();
                let names = names.join(", ");
                return Err(Error::data(format!("the context columns {names} are missing")));
            }
            Some(context) if context.len() != n => {
                let found = context.len();
                return Err(Error::shape(format!("expected {n} rows of context, found {found}")));
            }
            Some(context) => {
                check_table("context", context, &schema.context, Column::takes_context)?;
            }
        }
        self.check_weights(n)
    }

    fn check_weights(&self, n: usize) -> Result<()> {
        let Some(weights) = &self.weights else { return Ok(()) };
        if weights.len() != n {
            let found = weights.len();
            return Err(Error::shape(format!("expected {n} weights, one per row, found {found}")));
        }
        if let Some(i) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            let found = weights[i];
            return Err(Error::data(format!(
                "weights must be finite and not negative, found {found} in row {i} (counted from 0)"
            )));
        }
        let total: f64 = weights.iter().sum();
        if total == 0.0 {
            return Err(Error::data("every row has weight 0; at least one must count"));
        }
        if !total.is_finite() {
            return Err(Error::data(
                "the sum of the weights is not a finite number; scale them down",
            ));
        }
        Ok(())
    }

    /// The weight of row `i`.
    pub(crate) fn weight(&self, i: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |w| w[i])
    }

    /// The range of each number of the context among the rows that count, by the name of its column; of images that are given there is none.
    pub(crate) fn context_ranges(&self, schema: &Schema) -> BTreeMap<String, [f64; 2]> {
        let Some(context) = &self.context else { return BTreeMap::new() };
        let of_image = schema.given_image.map_or(0, |image| image.numbers());
        let numbers = schema.context.iter().enumerate().skip(of_image);
        let numbers = numbers.filter(|(_, column)| column.is_scaled_context());
        let range = |(j, column): (usize, &Column)| {
            let counted = (0..context.len()).filter(|i| self.weight(*i) > 0.0);
            let values = counted.map(|i| context.row(i)[j]).filter(|v| !v.is_nan());
            let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| {
                [low.min(v), high.max(v)]
            });
            (low <= high).then(|| (column.name.clone(), [low, high]))
        };
        numbers.filter_map(range).collect()
    }

    /// How the rows that count are shared among the classes of each column of the context that has such, by its name.
    pub(crate) fn context_shares(&self, schema: &Schema) -> BTreeMap<String, Vec<f64>> {
        let Some(context) = &self.context else { return BTreeMap::new() };
        let shares = |(j, column): (usize, &Column)| {
            let mut shares = vec![0.0; column.classes()?.len()];
            for i in 0..context.len() {
                let class = context.row(i)[j];
                // A missing one is none.
                if let Some(share) = shares.get_mut(class as usize).filter(|_| class >= 0.0) {
                    *share += self.weight(i);
                }
            }
            let total: f64 = shares.iter().sum();
            shares.iter_mut().for_each(|share| *share /= total);
            (total > 0.0).then(|| (column.name.clone(), shares))
        };
        schema.context.iter().enumerate().filter_map(shares).collect()
    }

    fn hash_into(&self, hasher: &mut blake3::Hasher) {
        let mut table = |width: usize, values: &[f64]| {
            hasher.update(&(width as u64).to_le_bytes());
            hasher.update(&(values.len() as u64).to_le_bytes());
            let mut buffer = Vec::with_capacity(8 * 8192);
            for chunk in values.chunks(8192) {
                buffer.clear();
                buffer.extend(chunk.iter().flat_map(|v| v.to_le_bytes()));
                hasher.update(&buffer);
            }
        };
        table(self.x.width(), self.x.values());
        match &self.context {
            Some(context) => table(context.width(), context.values()),
            None => table(0, &[]),
        }
        table(usize::from(self.weights.is_some()), self.weights.as_deref().unwrap_or_default());
    }
}

fn check_table(
    what: &str,
    rows: &Rows,
    columns: &[Column],
    is_good: fn(&Column, f64) -> bool,
) -> Result<()> {
    if rows.width() != columns.len() {
        return Err(Error::shape(format!(
            "{what}: the schema has {} columns, the rows have {}",
            columns.len(),
            rows.width()
        )));
    }
    for (j, column) in columns.iter().enumerate() {
        let values = rows.values().iter().skip(j).step_by(rows.width());
        let bad = values.enumerate().filter(|(_, v)| !is_good(column, **v));
        let listed: Vec<String> =
            bad.clone().take(ROWS_LISTED).map(|(i, v)| format!("{v} in row {i}")).collect();
        if !listed.is_empty() {
            return Err(Error::data(format!(
                "column {}: expected {} values, found {} others: {} (rows counted from 0)",
                quoted(&column.name),
                column.describe(),
                bad.count(),
                listed.join(", ")
            )));
        }
    }
    Ok(())
}

/// A hash of everything a fit learns from: schema, values, weights and validation. The schema counts as a file has it, so that a checkpoint stays good
/// when a later version can say more of a column.
pub(crate) fn fingerprint(
    schema: &Schema,
    data: &TrainingData,
    valid: &ValidationChoice,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&serde_json::to_vec(schema).expect("a schema is written in every model file"));
    data.hash_into(&mut hasher);
    match valid {
        ValidationChoice::Given(rows) => rows.hash_into(hasher.update(b"given")),
        ValidationChoice::Fraction(share) => {
            hasher.update(b"fraction").update(&share.to_le_bytes());
        }
        ValidationChoice::None => {
            hasher.update(b"none");
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Some rows of a table: those that train, or those that validate.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) data: Arc<TrainingData>,
    /// Row numbers, ascending; none of weight 0.
    pub(crate) rows: Vec<u32>,
    /// Mean weight of these rows.
    pub(crate) mean_weight: f64,
}

impl Part {
    fn new(data: Arc<TrainingData>, mut rows: Vec<u32>) -> Self {
        rows.retain(|&i| data.weight(i as usize) > 0.0);
        rows.sort_unstable();
        let total: f64 = rows.iter().map(|&i| data.weight(i as usize)).sum();
        let mean_weight = total / rows.len() as f64;
        Self { data, rows, mean_weight }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// At most `most` rows, in equal steps through the table.
    pub(crate) fn at_most(self, most: usize) -> Self {
        let step = self.len().div_ceil(most.max(1)).max(1);
        match step {
            1 => self,
            _ => Self::new(self.data, self.rows.into_iter().step_by(step).collect()),
        }
    }

    /// At most `most` rows, in equal steps through the table, as they are in it.
    pub(crate) fn some_rows(&self, most: usize) -> Sample {
        let step = self.len().div_ceil(most.max(1)).max(1);
        let rows: Vec<usize> = self.rows.iter().step_by(step).map(|&i| i as usize).collect();
        Sample {
            x: self.data.x.select(&rows),
            context: self.data.context.as_ref().map(|c| c.select(&rows)),
            weights: rows.iter().map(|&i| self.data.weight(i)).collect(),
        }
    }
}

/// Some rows of a part.
pub(crate) struct Sample {
    pub(crate) x: Rows,
    pub(crate) context: Option<Rows>,
    /// How much each counts.
    pub(crate) weights: Vec<f64>,
}

/// Splits checked data into the rows that train and the rows that validate. Where rows are points of a plane or a space of more dimensions
/// (`is_continuous`), those that are equal stay on one side.
///
/// # Errors
/// [`crate::ErrorKind::Data`] if one side would be empty.
pub(crate) fn split(
    data: TrainingData,
    validation: &ValidationChoice,
    is_continuous: bool,
    streams: Streams,
) -> Result<(Part, Option<Part>)> {
    let n = data.x.len();
    let data = Arc::new(data);
    let every = |data: &TrainingData| (0..data.x.len() as u32).collect::<Vec<_>>();
    match validation {
        ValidationChoice::None => Ok((Part::new(data.clone(), every(&data)), None)),
        ValidationChoice::Fraction(share) if *share == 0.0 => {
            Ok((Part::new(data.clone(), every(&data)), None))
        }
        ValidationChoice::Given(valid) => {
            let valid = Arc::new(valid.clone());
            let part = Part::new(valid.clone(), every(&valid));
            Ok((Part::new(data.clone(), every(&data)), Some(part)))
        }
        ValidationChoice::Fraction(share) => {
            let order = permutation(&mut streams.rng(Purpose::Split, 0, 0), n as u32);
            let held_out = ((n as f64 * share).round() as usize).max(1);
            let copies = match is_continuous {
                true => Copies::of(&data.x, data.context.as_ref()),
                false => Copies::default(),
            };
            let [valid, train] = copies.split(&order, held_out);
            let train = Part::new(data.clone(), train);
            let valid = Part::new(data, valid);
            if train.len() < 2 || valid.len() == 0 {
                return Err(Error::data(format!(
                    "holding out {share} of {n} rows leaves {} to train on (at least 2 are needed) and {} to \
                     validate on (at least 1); give more rows, another share, or no validation",
                    train.len(),
                    valid.len()
                )));
            }
            Ok((train, Some(valid)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::ColumnKind;
    use crate::error::ErrorKind;

    fn schema(kind: ColumnKind) -> Schema {
        Schema::new(vec![Column::new("a", kind)], Vec::new())
    }

    fn table(values: &[f64]) -> TrainingData {
        TrainingData { x: Rows::new(values.to_vec(), 1).unwrap(), context: None, weights: None }
    }

    #[test]
    fn a1_no_rows() {
        let empty = TrainingData { x: Rows::zeros(0, 1), context: None, weights: None };
        assert_eq!(empty.check(&schema(ColumnKind::Real)).unwrap_err().kind(), ErrorKind::Data);
    }

    #[test]
    fn a2_too_few_rows_to_split_names_the_minimum() {
        let share = ValidationChoice::Fraction(0.1);
        let error = split(table(&[1.0, 2.0]), &share, true, Streams::new(0)).unwrap_err();
        assert!(error.message().contains("at least 2"), "{error}");
        assert!(split(table(&[1.0, 2.0, 3.0]), &share, true, Streams::new(0)).is_ok());
        let (train, valid) =
            split(table(&[1.0]), &ValidationChoice::None, true, Streams::new(0)).unwrap();
        assert!(train.len() == 1 && valid.is_none());
    }

    #[test]
    fn values_outside_the_support_are_named() {
        for (kind, bad) in [
            (ColumnKind::Real, f64::NAN),
            (ColumnKind::Positive, 0.0),
            (ColumnKind::Interval { low: 0.0, high: 1.0 }, 1.0),
            (ColumnKind::Integer, 0.5),
        ] {
            let error = table(&[bad, bad]).check(&schema(kind)).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("\"a\"") && message.contains("found 2 others"), "{message}");
            assert!(message.contains("row 0"), "{message}");
        }
    }

    #[test]
    fn weights_are_checked_and_zero_rows_left_out() {
        let weighted =
            |w: &[f64]| TrainingData { weights: Some(w.to_vec()), ..table(&[1.0, 2.0, 3.0]) };
        let schema = schema(ColumnKind::Real);
        for bad in
            [&[1.0, -1.0, 1.0][..], &[1.0, f64::NAN, 1.0], &[0.0; 3], &[1.0; 2], &[f64::MAX; 3]]
        {
            assert!(weighted(bad).check(&schema).is_err(), "{bad:?}");
        }
        let data = weighted(&[1.0, 0.0, 2.0]);
        data.check(&schema).unwrap();
        let (train, _) = split(data, &ValidationChoice::None, true, Streams::new(0)).unwrap();
        assert_eq!(train.rows, [0, 2]);
    }

    #[test]
    fn e7_context_must_be_there_and_as_long_as_the_data() {
        let mut schema = schema(ColumnKind::Real);
        schema.context.push(Column::new("c", ColumnKind::Real));
        let error = table(&[1.0]).check(&schema).unwrap_err();
        assert!(error.message().contains("\"c\""), "{error}");
        let longer = TrainingData { context: Some(Rows::zeros(2, 1)), ..table(&[1.0]) };
        assert_eq!(longer.check(&schema).unwrap_err().kind(), ErrorKind::Shape);
    }

    #[test]
    fn the_split_takes_every_row_once() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let share = ValidationChoice::default();
        let (train, valid) = split(table(&values), &share, true, Streams::new(4)).unwrap();
        let valid = valid.unwrap();
        assert_eq!((train.len(), valid.len()), (90, 10));
        let mut all = [train.rows.clone(), valid.rows.clone()].concat();
        all.sort_unstable();
        assert!(all.iter().enumerate().all(|(i, &row)| row as usize == i));
        let (other, _) = split(table(&values), &share, true, Streams::new(5)).unwrap();
        assert_ne!(train.rows, other.rows);
    }

    #[test]
    fn c14_the_fingerprint_changes_with_everything_that_is_learned_from() {
        let real = schema(ColumnKind::Real);
        let none = ValidationChoice::None;
        let data = table(&[1.0, 2.0]);
        let base = fingerprint(&real, &data, &none);
        assert_eq!(base, fingerprint(&real, &data.clone(), &none));
        let weighted = TrainingData { weights: Some(vec![1.0, 1.0]), ..data.clone() };
        let others = [
            fingerprint(&schema(ColumnKind::Integer), &data, &none),
            fingerprint(&real, &table(&[1.0, 2.5]), &none),
            fingerprint(&real, &table(&[2.0, 1.0]), &none),
            fingerprint(&real, &weighted, &none),
            fingerprint(&real, &data, &ValidationChoice::Given(data.clone())),
            fingerprint(&real, &data, &ValidationChoice::Fraction(0.2)),
        ];
        assert!(others.iter().all(|f| *f != base));
    }
}
