//! Arrow columns of any numeric or text type as `f64`, with every oddity found on the way.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array};
use arrow_cast::cast;
use arrow_schema::DataType;

use crate::number::{Cell, EXACT_INTEGER, Words, not_a_number, parse};

/// A column as numbers. Missing values are NaN here and listed by row.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) values: Vec<f64>,
    pub(crate) missing: Vec<usize>,
    pub(crate) underflows: u64,
    pub(crate) inexact: u64,
    /// The words that a column of truth values is written in.
    pub(crate) words: Option<Words>,
}

impl Parsed {
    /// Adds a cell without a value.
    pub(crate) fn push_missing(&mut self) {
        self.missing.push(self.values.len());
        self.values.push(f64::NAN);
    }
}

/// What may pass as a number, and what counts as missing.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    /// The largest magnitude of a finite number.
    pub(crate) magnitude: f64,
    /// Whether infinities pass as well.
    pub(crate) infinite: bool,
    /// Cells that mark a missing value besides the usual ones.
    pub(crate) marks: Arc<[String]>,
}

impl Allowed {
    /// Every number there is.
    pub(crate) fn any() -> Self {
        Self { magnitude: f64::MAX, infinite: true, marks: Arc::from([]) }
    }

    /// Whether a trimmed cell is one of the marks.
    pub(crate) fn is_mark(&self, trimmed: &str) -> bool {
        self.marks.iter().any(|mark| mark == trimmed)
    }

    /// The same with marks as single precision has them: -999.9 of a file is not that number there.
    fn of_singles(&self) -> Self {
        let rounded = |mark: &String| match mark.parse::<f32>() {
            Ok(x) => f64::from(x).to_string(),
            Err(_) => mark.clone(),
        };
        Self { marks: self.marks.iter().map(rounded).collect(), ..*self }
    }

    fn contains(&self, x: f64) -> bool {
        x.abs() <= self.magnitude || self.infinite && x.is_infinite()
    }
}

/// Why a column is not numbers.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The whole column is of another type.
    Type(String),
    /// One cell is at fault.
    Cell { row: usize, reason: String },
}

/// Whether values of this Arrow type are whole numbers.
pub(crate) fn is_integer_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean => true,
        DataType::Dictionary(_, value) => is_integer_type(value),
        other => other.is_integer(),
    }
}

/// Reads a column as numbers.
pub(crate) fn parse_column(array: &ArrayRef, allowed: &Allowed) -> Result<Parsed, Fault> {
    match array.data_type() {
        DataType::Float64 => from_floats(array.as_primitive::<Float64Type>(), allowed),
        DataType::Float32 => {
            let (floats, allowed) = (array.as_primitive::<Float32Type>(), &allowed.of_singles());
            if floats.null_count() > 0 {
                return from_floats(&widened(array)?, allowed);
            }
            collect(floats.values().iter().map(|&x| f64::from(x)), allowed)
        }
        DataType::Utf8 => from_text(array.as_string::<i32>().iter(), allowed),
        DataType::LargeUtf8 => from_text(array.as_string::<i64>().iter(), allowed),
        DataType::Utf8View => from_text(array.as_string_view().iter(), allowed),
        DataType::Null => {
            let n = array.len();
            Ok(Parsed { values: vec![f64::NAN; n], missing: (0..n).collect(), ..Parsed::default() })
        }
        DataType::Dictionary(_, value) => {
            let plain = cast(array, value).map_err(|e| Fault::Type(e.to_string()))?;
            parse_column(&plain, allowed)
        }
        DataType::Int64 => {
            let ints = array.as_primitive::<Int64Type>();
            let big =
                ints.iter().flatten().filter(|x| x.unsigned_abs() > EXACT_INTEGER as u64).count();
            Ok(Parsed { inexact: big as u64, ..from_floats(&widened(array)?, allowed)? })
        }
        DataType::UInt64 => {
            let ints = array.as_primitive::<UInt64Type>();
            let big = ints.iter().flatten().filter(|&x| x > EXACT_INTEGER as u64).count();
            Ok(Parsed { inexact: big as u64, ..from_floats(&widened(array)?, allowed)? })
        }
        DataType::Boolean | DataType::Float16 => from_floats(&widened(array)?, allowed),
        t if t.is_integer() => from_floats(&widened(array)?, allowed),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => from_floats(&widened(array)?, allowed),
        other => Err(Fault::Type(other.to_string())),
    }
}

fn widened(array: &ArrayRef) -> Result<Float64Array, Fault> {
    let wide = cast(array, &DataType::Float64).map_err(|e| Fault::Type(e.to_string()))?;
    Ok(wide.as_primitive::<Float64Type>().clone())
}

fn from_floats(array: &Float64Array, allowed: &Allowed) -> Result<Parsed, Fault> {
    if array.null_count() == 0 {
        return collect(array.values().iter().copied(), allowed);
    }
    collect(array.iter().map(|x| x.unwrap_or(f64::NAN)), allowed)
}

/// Takes numbers; NaN is missing.
fn collect(numbers: impl Iterator<Item = f64>, allowed: &Allowed) -> Result<Parsed, Fault> {
    let mut parsed = Parsed { values: numbers.collect(), ..Parsed::default() };
    let marks: Vec<f64> = allowed.marks.iter().filter_map(|mark| mark.parse().ok()).collect();
    if !marks.is_empty() {
        parsed.values.iter_mut().filter(|x| marks.contains(x)).for_each(|x| *x = f64::NAN);
    }
    // NaN is not allowed either; the common case is one pass without a branch in it.
    if parsed.values.iter().fold(true, |good, x| good & (x.abs() <= allowed.magnitude)) {
        return Ok(parsed);
    }
    for (row, &x) in parsed.values.iter().enumerate() {
        if x.is_nan() {
            parsed.missing.push(row);
        } else if !allowed.contains(x) {
            return Err(Fault::Cell { row, reason: format!("{x:e} {}", beyond(x, allowed)) });
        }
    }
    Ok(parsed)
}

fn from_text<'a>(
    cells: impl Iterator<Item = Option<&'a str>>,
    allowed: &Allowed,
) -> Result<Parsed, Fault> {
    let mut parsed =
        Parsed { values: Vec::with_capacity(cells.size_hint().0), ..Parsed::default() };
    for (row, cell) in cells.enumerate() {
        let text = cell.unwrap_or("");
        let cell = match allowed.is_mark(text.trim()) {
            true => Cell::Missing,
            false => parse(text),
        };
        // Words for true and false make sense in a column of such words alone.
        let words = match cell {
            Cell::Missing => parsed.words,
            Cell::Truth(words, _) => Some(words),
            _ => None,
        };
        let is_first = parsed.missing.len() == row;
        if words != parsed.words && !is_first {
            return Err(Fault::Cell { row, reason: not_the_same_words(text) });
        }
        parsed.words = words;
        let x = match cell {
            Cell::Truth(_, value) => f64::from(u8::from(value)),
            Cell::Number(x) => x,
            Cell::Inexact(x) => {
                parsed.inexact += 1;
                x
            }
            Cell::Underflow => {
                parsed.underflows += 1;
                0.0
            }
            Cell::Missing => {
                parsed.missing.push(row);
                f64::NAN
            }
            Cell::Infinite if text.trim_start().starts_with('-') => f64::NEG_INFINITY,
            Cell::Infinite => f64::INFINITY,
            Cell::Text => return Err(Fault::Cell { row, reason: not_a_number(text) }),
        };
        if !x.is_nan() && !allowed.contains(x) {
            let reason = format!("{} {}", diffeo::quoted(text), beyond(x, allowed));
            return Err(Fault::Cell { row, reason });
        }
        parsed.values.push(x);
    }
    Ok(parsed)
}

/// Why a cell does not go with the others of its column.
pub(crate) fn not_the_same_words(cell: &str) -> String {
    format!(
        "{} stands beside cells of another kind; a column holds numbers, or one pair of words such as true and false",
        diffeo::quoted(cell)
    )
}

/// Why a number that is not NaN cannot be used.
fn beyond(x: f64, allowed: &Allowed) -> String {
    if x.is_infinite() {
        "is infinite; expected finite numbers, remove the row or mark the value as missing (NA)"
            .to_owned()
    } else {
        format!(
            "is larger than {:.2e}, the most a 32-bit float holds; rescale the column",
            allowed.magnitude
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BooleanArray, Float32Array, Int64Array, StringArray, TimestampSecondArray};

    use super::*;

    fn limit() -> Allowed {
        Allowed { magnitude: f64::from(f32::MAX), infinite: false, ..Allowed::any() }
    }

    #[test]
    fn types_become_numbers() {
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        let parsed = parse_column(&bools, &limit()).unwrap();
        assert_eq!((parsed.values[0], parsed.missing), (1.0, vec![1]));
        let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1]));
        assert!(matches!(parse_column(&times, &limit()), Err(Fault::Type(_))));
    }

    #[test]
    fn a6_infinities_are_refused_and_underflow_counted() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["1e-400", "2"]));
        assert_eq!(parse_column(&text, &limit()).unwrap().underflows, 1);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, f64::NEG_INFINITY]));
        assert!(matches!(parse_column(&floats, &limit()), Err(Fault::Cell { row: 1, .. })));
        let odd: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY]));
        let parsed = parse_column(&odd, &Allowed::any()).unwrap();
        assert_eq!((parsed.values[1], parsed.missing), (f64::INFINITY, vec![0]));
    }

    #[test]
    fn marks_of_missing_values_are_found_in_single_precision() {
        let allowed = Allowed { marks: ["-999.9", "1e20"].map(String::from).into(), ..limit() };
        let cells = [Some(-999.9f32), Some(1e20), Some(0.5), None];
        for cells in [&cells[..3], &cells] {
            let array: ArrayRef = Arc::new(Float32Array::from(cells.to_vec()));
            let missing: Vec<usize> = (0..cells.len()).filter(|i| *i != 2).collect();
            assert_eq!(parse_column(&array, &allowed).unwrap().missing, missing);
        }
    }

    #[test]
    fn a7_too_large_for_f32_is_refused_and_big_integers_counted() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1e39]));
        assert!(matches!(parse_column(&floats, &limit()), Err(Fault::Cell { row: 0, .. })));
        assert_eq!(parse_column(&floats, &Allowed::any()).unwrap().values, [1e39]);
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![1, (1 << 53) + 1, i64::MIN]));
        assert_eq!(parse_column(&ints, &limit()).unwrap().inexact, 2);
    }
}
