//! The cells of a column as the numbers of a model: levels by their places, truth values as 0 and 1, dates as days.

use std::borrow::Cow;
use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use diffeo::{Column, ColumnKind, quoted};

use crate::dates::{self, DAY, Stamp};
use crate::number::{Cell, is_missing, parse};
use crate::numbers::{Allowed, Fault, Parsed, parse_column};

/// Turns the cells of a column into its numbers, NaN where there is none.
pub(crate) struct Coder {
    column: Column,
    /// The places of the levels.
    places: HashMap<String, usize>,
}

impl Coder {
    pub(crate) fn new(column: &Column) -> Self {
        let levels = column.levels.iter().filter(|_| column.kind == ColumnKind::Category);
        let places = levels.enumerate().map(|(place, level)| (level.clone(), place)).collect();
        Self { column: column.clone(), places }
    }

    pub(crate) fn column(&self) -> &Column {
        &self.column
    }

    /// The numbers of some cells.
    pub(crate) fn code(&self, array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
        match self.column.kind {
            ColumnKind::Category => {
                let mut parsed = Parsed::default();
                let is_known = |text: &str| self.places.contains_key(text);
                each_level(array, (allowed, &is_known), |level| match level {
                    None => parsed.push_missing(),
                    Some(level) => {
                        let place = self.places.get(level);
                        parsed.values.push(place.map_or(self.places.len(), |p| *p) as f64);
                    }
                })?;
                Ok(parsed)
            }
            ColumnKind::Boolean => self.truths(array, allowed),
            ColumnKind::Date => stamps(array, allowed, Stamp::days),
            ColumnKind::Time => stamps(array, allowed, Stamp::seconds),
            _ => parse_column(array, allowed),
        }
    }

    fn truths(&self, array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
        let fault = |row: usize, found: &str| Fault::Cell {
            row,
            reason: format!(
                "{found} is no truth value; expected one of two words such as true and false, or 0 and 1"
            ),
        };
        let Some(cells) = text_of(array)? else {
            let parsed = parse_column(array, allowed)?;
            let odd = parsed.values.iter().position(|x| !(x.is_nan() || *x == 0.0 || *x == 1.0));
            return match odd {
                Some(row) => Err(fault(row, &parsed.values[row].to_string())),
                None => Ok(parsed),
            };
        };
        let mut parsed = Parsed::default();
        for (row, cell) in cells.iter().enumerate() {
            let text = cell.unwrap_or("").trim();
            let is = |word: &String| text.eq_ignore_ascii_case(word);
            let value = self.column.levels.iter().position(is).map(|place| place as f64);
            match (value, parse(text)) {
                _ if allowed.is_mark(text) => parsed.push_missing(),
                (Some(value), _) => parsed.values.push(value),
                (_, Cell::Missing) => parsed.push_missing(),
                (_, Cell::Truth(_, value)) => parsed.values.push(f64::from(u8::from(value))),
                (_, Cell::Number(value)) if value == 0.0 || value == 1.0 => {
                    parsed.values.push(value);
                }
                (_, Cell::Underflow) => {
                    parsed.underflows += 1;
                    parsed.values.push(0.0);
                }
                _ => return Err(fault(row, &quoted(text))),
            }
        }
        Ok(parsed)
    }
}

/// Text of any layout; `None` for other types.
pub(crate) fn text_of(array: &ArrayRef) -> Result<Option<StringArray>, Fault> {
    let is_text = |t: &DataType| t.is_string();
    match array.data_type() {
        DataType::Utf8 => Ok(Some(array.as_string::<i32>().clone())),
        DataType::Dictionary(_, value) if is_text(value) => as_text(array).map(Some),
        other if is_text(other) => as_text(array).map(Some),
        _ => Ok(None),
    }
}

/// The cells themselves, where they are stored once each in a dictionary.
fn unpacked(array: &ArrayRef) -> Result<ArrayRef, Fault> {
    match array.data_type() {
        DataType::Dictionary(_, value) => {
            cast(array, value).map_err(|e| Fault::Type(e.to_string()))
        }
        _ => Ok(array.clone()),
    }
}

fn as_text(array: &ArrayRef) -> Result<StringArray, Fault> {
    let text = cast(array, &DataType::Utf8).map_err(|e| Fault::Type(e.to_string()))?;
    Ok(text.as_string::<i32>().clone())
}

/// Gives the level of each cell, and none where it is missing: a text that is a known level is not, even if it is NA.
pub(crate) fn each_level(
    array: &ArrayRef,
    (allowed, is_known): (&Allowed, &dyn Fn(&str) -> bool),
    mut take: impl FnMut(Option<&str>),
) -> Result<(), Fault> {
    if let Some(cells) = text_of(array)? {
        // Whoever made a dictionary had a cell without a value for what is missing: NA is a level.
        let is_of_categories = matches!(array.data_type(), DataType::Dictionary(..));
        for cell in &cells {
            let text = cell.unwrap_or("").trim();
            let is_usual_mark =
                text.is_empty() || !is_of_categories && is_missing(text) && !is_known(text);
            match allowed.is_mark(text) || is_usual_mark {
                true => take(None),
                false => take(Some(&level_of(text))),
            }
        }
        return Ok(());
    }
    let array = &unpacked(array)?;
    match array.data_type() {
        DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            as_text(array)?.iter().for_each(take);
        }
        _ => {
            let texts = shortest(array)?;
            for (i, x) in parse_column(array, allowed)?.values.into_iter().enumerate() {
                match (x.is_nan(), &texts) {
                    (true, _) => take(None),
                    (false, Some(texts)) => take(Some(texts.value(i))),
                    (false, None) => take(Some(&x.to_string())),
                }
            }
        }
    }
    Ok(())
}

/// Numbers as text that tells all of their type apart, where a double may not: large whole numbers, and those of single precision.
fn shortest(array: &ArrayRef) -> Result<Option<StringArray>, Fault> {
    match array.data_type() {
        DataType::Float32 => {
            let floats = array.as_primitive::<Float32Type>().iter();
            Ok(Some(floats.map(|x| x.map(|x| x.to_string())).collect()))
        }
        other if other.is_integer() => as_text(array).map(Some),
        _ => Ok(None),
    }
}

/// The level that a trimmed cell is: its text; a number the way it is written shortest, so that it is the same in every format, unless zeros
/// before it say that it is a code.
fn level_of(text: &str) -> Cow<'_, str> {
    let digits = text.trim_start_matches('-');
    let is_code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    match parse(text) {
        Cell::Number(x) if !is_code && text.contains(['.', 'e', 'E']) => Cow::Owned(x.to_string()),
        _ => Cow::Borrowed(text),
    }
}

/// Dates, as what `number` makes of them.
fn stamps(
    array: &ArrayRef,
    allowed: &Allowed,
    number: impl Fn(Stamp) -> f64,
) -> Result<Parsed, Fault> {
    let mut parsed = Parsed::default();
    each_stamp(array, allowed, |_, stamp| {
        match stamp {
            Some(stamp) => parsed.values.push(number(stamp)),
            None => parsed.push_missing(),
        }
        Ok(())
    })?;
    Ok(parsed)
}

/// Gives the date of each cell, and none where it is missing.
pub(crate) fn each_stamp(
    array: &ArrayRef,
    allowed: &Allowed,
    mut take: impl FnMut(usize, Option<Stamp>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let fault = |row, found: &str| Fault::Cell {
        row,
        reason: format!(
            "{found} is no date; expected one such as 2024-01-31 or 2024-01-31T12:30:00Z, or a mark of a missing value (see --missing-as)"
        ),
    };
    if let Some(cells) = text_of(array)? {
        for (row, cell) in cells.iter().enumerate() {
            let text = cell.unwrap_or("").trim();
            if allowed.is_mark(text) || is_missing(text) {
                take(row, None)?;
                continue;
            }
            let digits = || text.parse().ok().and_then(dates::from_digits).map(Stamp::Day);
            let stamp = dates::parse(text).or_else(digits);
            take(row, Some(stamp.ok_or_else(|| fault(row, &quoted(text)))?))?;
        }
        return Ok(());
    }
    let array = &unpacked(array)?;
    let whole = |to: &DataType| {
        let of_type = cast(array, to).and_then(|a| cast(&a, &DataType::Int64));
        let numbers = of_type.map_err(|e| Fault::Type(e.to_string()))?;
        Ok(numbers.as_primitive::<Int64Type>().clone())
    };
    // A count of units since 1970, whole seconds and the rest apart so that no digit is lost.
    let split = |units: i64, per_second: i64| {
        units.div_euclid(per_second) as f64
            + units.rem_euclid(per_second) as f64 / per_second as f64
    };
    match array.data_type() {
        DataType::Date32 => {
            for (row, days) in whole(&DataType::Int32)?.iter().enumerate() {
                take(row, days.map(|days| Stamp::Day(days as f64)))?;
            }
        }
        DataType::Date64 => {
            for (row, millis) in whole(&DataType::Int64)?.iter().enumerate() {
                take(row, millis.map(|millis| Stamp::Day((split(millis, 1000) / DAY).floor())))?;
            }
        }
        DataType::Timestamp(unit, _) => {
            let per_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            for (row, units) in whole(&DataType::Int64)?.iter().enumerate() {
                take(row, units.map(|units| Stamp::Second(split(units, per_second))))?;
            }
        }
        _ => {
            for (row, x) in parse_column(array, allowed)?.values.into_iter().enumerate() {
                let day = dates::from_digits(x).map(Stamp::Day);
                if day.is_none() && !x.is_nan() {
                    return Err(fault(row, &x.to_string()));
                }
                take(row, day)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{
        BooleanArray, Date32Array, DictionaryArray, Float32Array, Float64Array, Int32Array,
        Int64Array, LargeStringArray, TimestampMillisecondArray,
    };

    use super::*;

    fn numbers(column: &Column, array: impl Array + 'static) -> Vec<f64> {
        let array: ArrayRef = Arc::new(array);
        let parsed = Coder::new(column).code(&array, &Allowed::any()).unwrap();
        let holes = parsed.values.iter().enumerate().filter(|(_, x)| x.is_nan()).map(|(i, _)| i);
        assert!(holes.eq(parsed.missing.iter().copied()), "{parsed:?}");
        parsed.values.into_iter().map(|x| if x.is_nan() { -99.0 } else { x }).collect()
    }

    #[test]
    fn cells_become_the_places_of_levels_in_every_type() {
        let column = Column::category("c", ["elm", "oak"]);
        let text = vec![Some("oak"), Some(" elm "), Some("ash"), None, Some("NA")];
        let expected = [1.0, 0.0, 2.0, -99.0, -99.0];
        assert_eq!(numbers(&column, StringArray::from(text.clone())), expected);
        assert_eq!(numbers(&column, LargeStringArray::from(text.clone())), expected);
        // What is missing in a dictionary is no cell of it.
        let coded: DictionaryArray<Int32Type> = text.into_iter().collect();
        assert_eq!(numbers(&column, coded), [1.0, 0.0, 2.0, -99.0, 2.0]);
    }

    #[test]
    fn codes_that_are_numbers_are_the_same_levels_in_every_format() {
        let column = Column::category("c", ["3", "2.5", "007"]);
        let text = StringArray::from(vec!["3", "3.0", "2.50", "007", "7"]);
        assert_eq!(numbers(&column, text), [0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(numbers(&column, Float64Array::from(vec![3.0, 2.5, 4.0])), [0.0, 1.0, 3.0]);
        assert_eq!(numbers(&column, Int64Array::from(vec![Some(3), None])), [0.0, -99.0]);
        let countries = Column::category("c", ["NA", "DE"]);
        let cells = StringArray::from(vec!["NA", "DE", "n/a", ""]);
        assert_eq!(numbers(&countries, cells), [0.0, 1.0, -99.0, -99.0]);
        // Where doubles are too coarse, and too fine.
        let column = Column::category("c", ["9007199254740992", "9007199254740993", "0.1"]);
        let large = Int64Array::from(vec![(1 << 53) + 1, 1 << 53]);
        assert_eq!(numbers(&column, large), [1.0, 0.0]);
        assert_eq!(numbers(&column, Float32Array::from(vec![Some(0.1f32), None])), [2.0, -99.0]);
    }

    #[test]
    fn truth_values_are_zero_and_one_in_every_type() {
        let column = Column {
            levels: vec!["No".into(), "Yes".into()],
            ..Column::new("b", ColumnKind::Boolean)
        };
        let text = StringArray::from(vec!["yes", "NO", "true", "0", "", "1.0"]);
        assert_eq!(numbers(&column, text), [1.0, 0.0, 1.0, 0.0, -99.0, 1.0]);
        assert_eq!(numbers(&column, BooleanArray::from(vec![true, false])), [1.0, 0.0]);
        // Too small for a number, and so 0, as in a column of numbers.
        assert_eq!(numbers(&column, StringArray::from(vec!["1", "1e-400"])), [1.0, 0.0]);
        for odd in ["2", "maybe"] {
            let array: ArrayRef = Arc::new(StringArray::from(vec!["yes", odd]));
            let fault = Coder::new(&column).code(&array, &Allowed::any()).unwrap_err();
            assert!(matches!(fault, Fault::Cell { row: 1, .. }), "{fault:?}");
        }
    }

    #[test]
    fn truth_values_and_dates_in_a_dictionary_are_what_they_are_without() {
        let keys = || Int32Array::from(vec![1, 0, 1]);
        let truths: ArrayRef = Arc::new(BooleanArray::from(vec![false, true]));
        let coded: ArrayRef = Arc::new(DictionaryArray::new(keys(), truths));
        let mut levels = Vec::new();
        let take = |level: Option<&str>| levels.push(level.unwrap_or("").to_owned());
        each_level(&coded, (&Allowed::any(), &|_| false), take).unwrap();
        assert_eq!(levels, ["true", "false", "true"]);
        let days: ArrayRef = Arc::new(Date32Array::from(vec![7, 9]));
        let date = Column::new("d", ColumnKind::Date);
        assert_eq!(numbers(&date, DictionaryArray::new(keys(), days)), [9.0, 7.0, 9.0]);
    }

    #[test]
    fn dates_are_days_and_times_are_seconds_in_every_type() {
        let (date, time) = (Column::new("d", ColumnKind::Date), Column::new("t", ColumnKind::Time));
        let text = || StringArray::from(vec!["2024-01-31", "2024-01-31T12:30:00Z", "20240131"]);
        assert_eq!(numbers(&date, text()), [19_753.0; 3]);
        assert_eq!(numbers(&time, text()), [1_706_659_200.0, 1_706_704_200.0, 1_706_659_200.0]);
        assert_eq!(numbers(&date, Date32Array::from(vec![19_753, -1])), [19_753.0, -1.0]);
        let stamps =
            || TimestampMillisecondArray::from(vec![1_706_704_200_250]).with_timezone("+01:00");
        assert_eq!(numbers(&time, stamps()), [1_706_704_200.25]);
        assert_eq!(numbers(&date, stamps()), [19_753.0]);
        assert_eq!(numbers(&date, Int64Array::from(vec![20_240_131])), [19_753.0]);
        let array: ArrayRef = Arc::new(StringArray::from(vec!["2024-01-31", "soon"]));
        let fault = Coder::new(&date).code(&array, &Allowed::any()).unwrap_err();
        assert!(matches!(fault, Fault::Cell { row: 1, reason } if reason.contains("soon")));
    }
}
