//! Rows of a model as the cells that they stand for: levels as text, days as dates, NaN as a cell without a value.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field};
use diffeo::{Column, ColumnKind, Error, Result, Rows, Step, quoted};

use crate::chunk::{Chunk, batch_of, check_names};

/// What a level is called that is none of the list.
pub(crate) const OTHER: &str = "other";

impl Chunk {
    /// A chunk of the rows of a model, with columns of more numbers behind them. Levels become text, days dates, seconds timestamps, whole
    /// numbers integers, and truth values the words that the column has for them; true and false are stored as truth values in formats with types. NaN in a
    /// column that may have holes becomes a cell without a value, and a level beyond the list `other`.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Shape`] if the lengths differ, [`diffeo::ErrorKind::Data`] if a name is used twice or a number cannot stand for a
    /// cell of its column.
    pub fn from_columns(
        columns: &[Column],
        rows: &Rows,
        more: &[(&str, Vec<f64>)],
    ) -> Result<Self> {
        if columns.len() != rows.width() || more.iter().any(|(_, x)| x.len() != rows.len()) {
            return Err(Error::shape(format!(
                "expected rows of {} columns and as many further values as rows, found rows of {}",
                columns.len(),
                rows.width()
            )));
        }
        check_names(columns.iter().map(|c| c.name.as_str()).chain(more.iter().map(|(n, _)| *n)))?;
        let (mut fields, mut arrays, mut typed) = (Vec::new(), Vec::new(), Vec::new());
        for (j, column) in columns.iter().enumerate() {
            let (cells, of_type) = cells(column, &rows.column(j))?;
            fields.push(Field::new(
                &column.name,
                cells.data_type().clone(),
                column.may_be_missing(),
            ));
            arrays.push(cells);
            typed.push(of_type);
        }
        for (name, values) in more {
            fields.push(Field::new(*name, DataType::Float64, false));
            arrays.push(Arc::new(Float64Array::from(values.clone())) as ArrayRef);
            typed.push(None);
        }
        Ok(Self::of_cells(batch_of(fields, arrays, rows.len())?, typed))
    }
}

/// The cells of a column, and those of formats with types if they are others.
fn cells(column: &Column, values: &[f64]) -> Result<(ArrayRef, Option<ArrayRef>)> {
    let present = || values.iter().map(|x| (!x.is_nan() || !column.may_be_missing()).then_some(*x));
    let word = |levels: &'_ [String], x: f64| {
        levels.get(x as usize).map_or(OTHER, String::as_str).to_owned()
    };
    Ok(match column.kind {
        ColumnKind::Category => {
            let text = present().map(|x| x.map(|x| word(&column.levels, x)));
            (Arc::new(text.collect::<StringArray>()), None)
        }
        ColumnKind::Boolean if !column.levels.is_empty() => {
            let text = present().map(|x| x.map(|x| word(&column.levels, x)));
            let truths = || present().map(|x| x.map(|x| x == 1.0)).collect::<BooleanArray>();
            let of_type = are_plain(&column.levels).then(|| Arc::new(truths()) as ArrayRef);
            (Arc::new(text.collect::<StringArray>()), of_type)
        }
        ColumnKind::Date => {
            let days = wholes(column, present(), i32::MAX as f64, "days")?;
            let days = days.into_iter().map(|days| days.map(|days| days as i32));
            (Arc::new(days.collect::<Date32Array>()), None)
        }
        ColumnKind::Time => {
            const MICRO: f64 = 1e6;
            let micros = present().map(|x| x.map(|x| (x * MICRO).round()));
            let micros = wholes(column, micros, i64::MAX as f64, "microseconds")?;
            (Arc::new(micros.into_iter().collect::<TimestampMicrosecondArray>()), None)
        }
        kind if kind.is_discrete() && kind.step().is_none_or(Step::is_whole) => {
            let whole = wholes(column, present(), i64::MAX as f64, "whole numbers")?;
            (Arc::new(whole.into_iter().collect::<Int64Array>()), None)
        }
        _ => (Arc::new(present().collect::<Float64Array>()), None),
    })
}

/// Whether words for truth values are those of the type itself.
fn are_plain(words: &[String]) -> bool {
    words.iter().zip(["false", "true"]).all(|(word, plain)| word.eq_ignore_ascii_case(plain))
}

fn wholes(
    column: &Column,
    values: impl Iterator<Item = Option<f64>>,
    most: f64,
    what: &str,
) -> Result<Vec<Option<i64>>> {
    let whole = |x: Option<f64>| match x {
        Some(x) if x.fract() != 0.0 || x.abs() >= most || x.is_nan() => Err(Error::data(format!(
            "column {}: expected {what} between -{most:e} and {most:e}, found {x}",
            quoted(&column.name)
        ))),
        x => Ok(x.map(|x| x as i64)),
    };
    values.map(whole).collect()
}

#[cfg(test)]
mod tests {
    use arrow_schema::TimeUnit;

    use super::*;

    const STAMPS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    #[test]
    fn rows_become_cells_of_the_types_of_their_columns() {
        let words = |kind| Column {
            levels: vec!["False".into(), "True".into()],
            holes: true,
            ..Column::new("b", kind)
        };
        let columns = [
            Column { holes: true, ..Column::category("c", ["elm", "oak"]) },
            words(ColumnKind::Boolean),
            Column::new("flag", ColumnKind::Boolean),
            Column { holes: true, ..Column::new("d", ColumnKind::Date) },
            Column::new("t", ColumnKind::Time),
            Column { holes: true, ..Column::real("x") },
        ];
        let nan = f64::NAN;
        let rows = vec![
            1.0,
            1.0,
            0.0,
            19_753.0,
            1_706_704_200.25,
            0.5, //
            2.0,
            nan,
            1.0,
            nan,
            0.0,
            nan,
        ];
        let rows = Rows::new(rows, 6).unwrap();
        let chunk = Chunk::from_columns(&columns, &rows, &[("log_prob", vec![1.5, nan])]).unwrap();
        let types = |batch: &arrow_array::RecordBatch| -> Vec<DataType> {
            batch.columns().iter().map(|a| a.data_type().clone()).collect()
        };
        let (text, typed) = (DataType::Utf8, DataType::Boolean);
        let rest =
            [DataType::Int64, DataType::Date32, STAMPS, DataType::Float64, DataType::Float64];
        assert_eq!(types(chunk.batch())[..2], [text.clone(), text.clone()]);
        assert_eq!(types(chunk.batch())[2..], rest);
        assert_eq!(types(&chunk.typed_batch().unwrap())[..2], [text, typed]);
        // The cells read back as the same rows, but for a level that is not in the list.
        let again = chunk.rows_for(&columns).unwrap();
        let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan();
        assert!(rows.values().iter().zip(again.values()).all(same), "{again:?}");
        // Other words for truth are words in every format.
        let answer =
            Column { levels: vec!["No".into(), "Yes".into()], ..words(ColumnKind::Boolean) };
        let answers =
            Chunk::from_columns(&[answer], &Rows::new(vec![1.0], 1).unwrap(), &[]).unwrap();
        assert_eq!(types(&answers.typed_batch().unwrap()), [DataType::Utf8]);
        let bad = Rows::new(vec![0.5], 1).unwrap();
        assert!(Chunk::from_columns(&[Column::new("d", ColumnKind::Date)], &bad, &[]).is_err());
        assert!(Chunk::from_columns(&[Column::real("x")], &rows, &[]).is_err());
    }
}
