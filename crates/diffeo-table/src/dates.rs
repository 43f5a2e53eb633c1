//! Dates and times as text, in the forms of ISO 8601, and as numbers since 1970.

use arrow_array::types::Date32Type;
use arrow_cast::parse::{Parser, string_to_timestamp_nanos};
use diffeo::ColumnKind;

/// Seconds of a day.
pub(crate) const DAY: f64 = 86_400.0;

/// A cell that is a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stamp {
    /// `2024-01-31`: days since 1970-01-01.
    Day(f64),
    /// `2024-01-31T12:30:00.5+01:00`: seconds since 1970-01-01T00:00Z.
    Second(f64),
}

impl Stamp {
    /// Seconds since 1970-01-01T00:00Z.
    pub(crate) fn seconds(self) -> f64 {
        match self {
            Self::Day(days) => days * DAY,
            Self::Second(seconds) => seconds,
        }
    }

    /// The day it lies on, as days since 1970-01-01.
    pub(crate) fn days(self) -> f64 {
        match self {
            Self::Day(days) => days,
            Self::Second(seconds) => (seconds / DAY).floor(),
        }
    }
}

/// Reads a trimmed cell: a date, or one with a time behind `T` or a blank, its seconds, their fraction and its zone left out or not (a time
/// without a zone is one of UTC).
pub(crate) fn parse(cell: &str) -> Option<Stamp> {
    let (date, rest) = cell.split_at_checked(10)?;
    let is_date = |(i, byte): (usize, u8)| match i {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    if !date.bytes().enumerate().all(is_date) {
        return None;
    }
    let days = f64::from(<Date32Type as Parser>::parse(date)?);
    let clock = rest.strip_prefix(['T', 't', ' ']);
    match (rest, clock) {
        ("", _) => Some(Stamp::Day(days)),
        (_, Some(clock)) => {
            let seconds = if clock.len() == 5 { ":00" } else { "" };
            // The time alone, on the first day: nanoseconds do not reach to every year.
            let nanos = string_to_timestamp_nanos(&format!("1970-01-01T{clock}{seconds}")).ok()?;
            Some(Stamp::Second(days * DAY + nanos as f64 / 1e9))
        }
        _ => None,
    }
}

/// The number that a cell stands for in a column of dates or times; none for other columns, and for what is no date.
pub fn date_number(kind: ColumnKind, cell: &str) -> Option<f64> {
    let stamp = parse(cell.trim())?;
    match kind {
        ColumnKind::Date => Some(stamp.days()),
        ColumnKind::Time => Some(stamp.seconds()),
        _ => None,
    }
}

/// The day that a number such as `20240131` says, of the years 1900 to 2100.
pub(crate) fn from_digits(number: f64) -> Option<f64> {
    if number.fract() != 0.0 || !(19_000_101.0..21_010_101.0).contains(&number) {
        return None;
    }
    let text = format!("{number}");
    let (year, rest) = text.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    parse(&format!("{year}-{month}-{day}")).map(Stamp::days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_parse() {
        for (text, days) in [
            ("1970-01-01", 0.0),
            ("1969-12-31", -1.0),
            ("2000-02-29", 11_016.0),
            ("2024-01-31", 19_753.0),
            ("0001-01-01", -719_162.0),
            ("9999-12-31", 2_932_896.0),
        ] {
            assert_eq!(parse(text), Some(Stamp::Day(days)), "{text}");
        }
        // 2024-01-31T12:30:00Z by the clock of another program: date -u -d ... +%s.
        let noon = 1_706_704_200.0;
        for (text, seconds) in [
            ("2024-01-31T12:30:00Z", noon),
            ("2024-01-31 12:30:00", noon),
            ("2024-01-31T12:30", noon),
            ("2024-01-31t12:30:00.25z", noon + 0.25),
            ("2024-01-31T13:30:00+01:00", noon),
            ("2024-02-01T01:30:00+13:00", noon),
            ("2024-01-31 05:30:00.125-07:00", noon + 0.125),
        ] {
            assert_eq!(parse(text), Some(Stamp::Second(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_not_one() {
        for text in [
            "",
            "2024",
            "2023-02-29",
            "2024-13-01",
            "2024-1-31",
            "2024/01/31",
            "31-01-2024",
            "2024-01-31x",
            "2024-01-31T25:00:00",
            "2024-01-31T12:30:00 Mars",
            "20240131",
            "ä024-01-31",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn digits_are_dates_of_two_centuries() {
        assert_eq!(from_digits(20_240_131.0), Some(19_753.0));
        assert_eq!(from_digits(19_000_101.0), Some(-25_567.0));
        assert_eq!(from_digits(21_001_231.0), Some(47_846.0));
        for number in [20_240_230.0, 20_241_301.0, 18_991_231.0, 21_010_101.0, 20_240_131.5, 0.0] {
            assert_eq!(from_digits(number), None, "{number}");
        }
        assert_eq!(from_digits(f64::NAN), None);
    }
}
