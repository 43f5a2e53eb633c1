//! What the user should know about a table before a density is fitted to it.

use std::collections::HashSet;

use super::data::TrainingData;
use crate::columns::{Column, Schema, Units};
use crate::error::quoted;
use crate::spec::FlowSpec;

/// Rows that are looked at: repetition that matters shows in these.
const ROWS_EXAMINED: usize = 100_000;
/// Share of repeated rows that is worth a warning. Real tables have a few doubled records.
const REPEATED_SHARE: f64 = 0.02;
/// Share of a column outside the splines' box that is worth a warning. A normal column has 0.3 % beyond three deviations.
const OUTSIDE_SHARE: f64 = 0.03;
/// Distance of the quartiles, in standard deviations, below which far values set the scale; 1.35 for a normal column.
const RANGE_MIN: f64 = 1.0 / 20.0;

/// Sentences about the data, none if all is well.
pub(crate) fn about(schema: &Schema, data: &TrainingData) -> Vec<String> {
    let mut found = Vec::new();
    if data.x.len() == 1 {
        found.push(
            "a density cannot be learned from one row; what comes out describes that row only"
                .into(),
        );
    }
    let (rows, width) = (data.x.len(), data.x.width());
    if rows > 1 && rows <= width {
        found.push(format!(
            "{rows} rows for {width} columns determine no density, and what is learned is chance for the most part; give more rows or fewer \
             columns; the model that fits so few rows best is gaussian, whose covariance is then shrunk"
        ));
    }
    let continuous: Vec<usize> =
        (0..data.x.width()).filter(|&j| schema.columns[j].is_dense()).collect();
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
            // Of one column, repeated values are meant, and not whole rows.
            let place = match continuous[..] {
                [j] => format!("column {}", quoted(&schema.columns[j].name)),
                _ => "every continuous column".to_owned(),
            };
            found.push(format!(
                "{repeated} of the first {examined} rows repeat another row in {place}: the likelihood has no \
                 maximum there and grows without bound; keep one of \
                 each and count them with a weight (--weight), declare whole numbers as integer columns, or add the noise that \
                 rounding took away"
            ));
        }
    }
    found
}

/// A sentence about rows with levels that the model does not know that a fit begins from.
pub(crate) fn about_levels(schema: &Schema, data: &TrainingData) -> Option<String> {
    let given = data.context.as_ref();
    let of_context = given.map_or(0, |rows| Column::rows_of_unknown_levels(&schema.context, rows));
    let rows = of_context + Column::rows_of_unknown_levels(&schema.columns, &data.x);
    (rows > 0).then(|| {
        format!(
            "{rows} of {} rows have a level that the model which the fit begins from does not know: all of these are one to it, which has no name; fit anew to tell them apart",
            data.x.len()
        )
    })
}

/// Sentences about the numbers behind the maps of the columns: far values that set a scale, values where splines do not act.
pub(crate) fn about_scale(
    spec: &FlowSpec,
    units: &Units,
    schema: &Schema,
    data: &TrainingData,
) -> Vec<String> {
    let mut found = Vec::new();
    let bounds = spec.transforms.iter().map(|layer| layer.bound());
    let bound = bounds.fold(f64::INFINITY, f64::min);
    let mut outside = (OUTSIDE_SHARE, None);
    let numbers = schema.columns.iter().enumerate().filter(|(_, column)| column.has_number());
    for (number, (j, column)) in numbers.enumerate() {
        let mut values = units.column_to_real(column, number, &data.x, j, ROWS_EXAMINED);
        if values.is_empty() {
            continue;
        }
        let far = values.iter().filter(|v| v.abs() > bound).count();
        let share = far as f64 / values.len() as f64;
        if share > outside.0 {
            outside = (share, Some(&column.name));
        }
        values.sort_unstable_by(f64::total_cmp);
        let quartile = |share: usize| values[(values.len() - 1) * share / 4];
        let range = quartile(3) - quartile(1);
        // No range at all is a column of ties, which is another matter; the scale of images with noise is not that of their values.
        if range > 0.0 && range < RANGE_MIN && schema.noise.is_none() {
            found.push(format!(
                "column {}: the middle half of its values spans 1/{:.0} of its standard deviation: a few extreme values \
                 set the scale, and the flow sees the others as almost one point; remove those rows, or model the \
                 logarithm",
                quoted(&column.name),
                1.0 / range
            ));
        }
    }
    if let (share, Some(name)) = outside {
        found.push(format!(
            "{:.0}% of the values of column {} lie outside the box of the splines, [-{bound}, {bound}] in standard \
             deviations, where the flow is linear: choose a larger bound",
            100.0 * share,
            quoted(name)
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::ColumnKind;
    use crate::host::rows::Rows;
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
        let mut one = schema(ColumnKind::Real);
        one.columns[0].kind = ColumnKind::Integer;
        let found = about(&one, &repeated);
        assert!(found[0].contains(&format!("in column {}:", quoted(&one.columns[1].name))));
        let mut spiked = schema(ColumnKind::Real);
        spiked.columns.iter_mut().for_each(|column| column.masses = vec![0.0]);
        assert!(about(&spiked, &repeated).is_empty(), "a point mass is there to be repeated");
    }

    /// The warnings of two columns, with a spline of this bound behind their maps.
    fn of_scale(x: Vec<f64>, kind: ColumnKind, bound: f64) -> Vec<String> {
        let (schema, data) = (schema(kind), of(x));
        let spline = format!(
            r#"{{"dims":2,"transforms":[{{"type":"inverted","transform":{{"type":"elementwise",
            "monotone":{{"type":"rational_quadratic","bins":4,"bound":{bound}}}}}}}],"base":{{"type":"normal"}}}}"#
        );
        let spec: FlowSpec = serde_json::from_str(&spline).unwrap();
        let units = Units::fit(&schema, &data.x, None, |_| 1.0).unwrap();
        about_scale(&spec, &units, &schema, &data)
    }

    #[test]
    fn b5_values_outside_the_box_of_the_splines_are_warned_about_with_their_share() {
        let normals = table(500).x.into_values();
        for bound in [3.0, 5.0] {
            let found = of_scale(normals.clone(), ColumnKind::Real, bound);
            assert!(found.is_empty(), "{found:?}");
        }
        let found = of_scale(normals.clone(), ColumnKind::Real, 1.0);
        assert!(found.len() == 1 && found[0].contains("[-1, 1]"), "{found:?}");
        let share: f64 = found[0].split('%').next().unwrap().parse().unwrap();
        assert!((25.0..40.0).contains(&share), "a normal column has 32% there: {found:?}");
        // The map of the kind comes first: logarithms of these are as normal as before.
        let logs: Vec<f64> = normals.iter().map(|v| v.exp()).collect();
        assert!(of_scale(logs.clone(), ColumnKind::Positive, 5.0).is_empty());
        assert_eq!(of_scale(logs, ColumnKind::Positive, 0.1).len(), 1);
    }

    #[test]
    fn p20_a_few_extreme_values_that_set_the_scale_are_warned_about() {
        let mut values = table(500).x.into_values();
        values[40] = 1e5;
        let found = of_scale(values.clone(), ColumnKind::Real, 5.0);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("column \"a\"") && found[0].contains("extreme"), "{found:?}");
        // Ties have no range: they are reported as what they are.
        values.chunks_exact_mut(2).skip(100).for_each(|row| row[0] = 3.0);
        assert!(of_scale(values, ColumnKind::Real, 5.0).is_empty());
    }

    #[test]
    fn a2_one_row_is_reported() {
        assert_eq!(about(&schema(ColumnKind::Real), &of(vec![1.0, 2.0])).len(), 1);
    }
}
