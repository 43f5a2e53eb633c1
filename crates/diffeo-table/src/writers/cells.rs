//! Cells of Arrow columns as text.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
use arrow_array::{
    Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, make_array,
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::ArrowError;
use arrow_schema::DataType;

use super::{Failure, failure};

/// A column that can write its cells.
pub(crate) enum Cells<'a> {
    Text(&'a StringArray),
    Double(&'a Float64Array),
    Single(&'a Float32Array),
    Whole(&'a Int64Array),
    /// Every other type, by Arrow's own formatter; true for types that JSON writes without quotes.
    Other(ArrayFormatter<'a>, &'a dyn Array, bool),
}

/// A cell that was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Number,
    /// Infinite or NaN.
    NotFinite,
    Text,
}

/// The columns of a batch, ready to write.
pub(crate) fn columns(batch: &RecordBatch) -> Result<Vec<Cells<'_>>, Failure> {
    static OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(false);
    batch
        .columns()
        .iter()
        .map(|column| {
            Ok(match column.data_type() {
                DataType::Utf8 => Cells::Text(column.as_string::<i32>()),
                DataType::Float64 => Cells::Double(column.as_primitive()),
                DataType::Float32 => Cells::Single(column.as_primitive()),
                DataType::Int64 => Cells::Whole(column.as_primitive()),
                other => {
                    expect_decimals_to_fit(column.as_ref()).map_err(failure)?;
                    let formatter =
                        ArrayFormatter::try_new(column.as_ref(), &OPTIONS).map_err(failure)?;
                    let plain = other.is_numeric() || *other == DataType::Boolean;
                    Cells::Other(formatter, column.as_ref(), plain)
                }
            })
        })
        .collect()
}

/// Refuses decimals of more digits than their type has: the formatter would leave digits out, or panic.
fn expect_decimals_to_fit(array: &dyn Array) -> Result<(), ArrowError> {
    match *array.data_type() {
        DataType::Decimal32(digits, _) => {
            array.as_primitive::<Decimal32Type>().validate_decimal_precision(digits)
        }
        DataType::Decimal64(digits, _) => {
            array.as_primitive::<Decimal64Type>().validate_decimal_precision(digits)
        }
        DataType::Decimal128(digits, _) => {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(digits)
        }
        DataType::Decimal256(digits, _) => {
            array.as_primitive::<Decimal256Type>().validate_decimal_precision(digits)
        }
        _ => {
            let data = array.to_data();
            let mut inner = data.child_data().iter();
            inner.try_for_each(|inner| expect_decimals_to_fit(&make_array(inner.clone())))
        }
    }
}

impl Cells<'_> {
    /// Appends the cell of a row to `out`.
    pub(crate) fn push(&self, row: usize, out: &mut Vec<u8>) -> Result<Kind, Failure> {
        let is_null = match self {
            Self::Text(a) => a.is_null(row),
            Self::Double(a) => a.is_null(row),
            Self::Single(a) => a.is_null(row),
            Self::Whole(a) => a.is_null(row),
            Self::Other(_, a, _) => a.is_null(row),
        };
        if is_null {
            return Ok(Kind::Null);
        }
        Ok(match self {
            Self::Text(a) => {
                out.extend_from_slice(a.value(row).as_bytes());
                Kind::Text
            }
            Self::Double(a) => push_float(a.value(row), a.value(row).is_finite(), out),
            Self::Single(a) => push_float(a.value(row), a.value(row).is_finite(), out),
            Self::Whole(a) => {
                use std::io::Write;
                write!(out, "{}", a.value(row))?;
                Kind::Number
            }
            Self::Other(formatter, _, plain) => {
                let text = formatter.value(row).try_to_string().map_err(failure)?;
                out.extend_from_slice(text.as_bytes());
                let letters = text.as_bytes();
                match plain {
                    true if matches!(letters, b"NaN" | b"inf" | b"-inf") => Kind::NotFinite,
                    true => Kind::Number,
                    false => Kind::Text,
                }
            }
        })
    }
}

/// The shortest decimal that reads back as the same number; `inf`, `-inf` and `NaN` for the others.
fn push_float<F: ryu::Float + std::fmt::Display>(x: F, is_finite: bool, out: &mut Vec<u8>) -> Kind {
    if is_finite {
        out.extend_from_slice(ryu::Buffer::new().format_finite(x).as_bytes());
        Kind::Number
    } else {
        out.extend_from_slice(x.to_string().as_bytes());
        Kind::NotFinite
    }
}
