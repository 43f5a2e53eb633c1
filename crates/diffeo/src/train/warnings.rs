//! What the user should know about a table before a density is fitted to it.

use std::collections::HashSet;

use super::data::TrainingData;
use crate::schema::{ColumnKind, Schema};

/// Rows that are looked at: repetition that matters shows in these.
const ROWS_EXAMINED: usize = 100_000;
/// Share of repeated rows that is worth a warning. Real tables have a few doubled records.
const REPEATED_SHARE: f64 = 0.02;

/// Sentences about the data, none if all is well.
pub(crate) fn about(schema: &Schema, data: &TrainingData) -> Vec<String> {
    let mut found = Vec::new();
    if data.x.len() == 1 {
        found.push(
            "a density cannot be learned from one row; what comes out describes that row only"
                .into(),
        );
    }
    let continuous: Vec<usize> =
        (0..data.x.width()).filter(|&j| schema.columns[j].kind != ColumnKind::Integer).collect();
    let examined = data.x.len().min(ROWS_EXAMINED);
    if !continuous.is_empty() && examined > 1 {
        let mut seen = HashSet::with_capacity(examined);
        let key = |i: usize| -> Vec<u64> {
            let row = data.x.row(i);
            // Adding zero makes -0 and 0 the same.
            continuous.iter().map(|&j| (row[j] + 0.0).to_bits()).collect()
        };
        let repeated = (0..examined).filter(|&i| !seen.insert(key(i))).count();
        if repeated as f64 > REPEATED_SHARE * examined as f64 {
            found.push(format!(
                "{repeated} of the first {examined} rows repeat another row in every continuous column: the likelihood has no \
                 maximum there and grows without bound; declare whole numbers as integer columns, add the noise that \
                 rounding took away, or remove the repetitions"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Rows;
    use crate::train::toy::{schema, table};

    fn of(values: Vec<f64>) -> TrainingData {
        TrainingData { x: Rows::new(values, 2).unwrap(), context: None, weights: None }
    }

    #[test]
    fn d6_repeated_rows_are_reported_and_distinct_ones_are_not() {
        assert!(about(&schema(ColumnKind::Real), &table(200)).is_empty());
        let repeated = of((0..400).map(|i| f64::from(i / 2 % 5)).collect());
        assert_eq!(about(&schema(ColumnKind::Real), &repeated).len(), 1);
        assert!(about(&schema(ColumnKind::Integer), &repeated).is_empty());
    }

    #[test]
    fn a2_one_row_is_reported() {
        assert_eq!(about(&schema(ColumnKind::Real), &of(vec![1.0, 2.0])).len(), 1);
    }
}
