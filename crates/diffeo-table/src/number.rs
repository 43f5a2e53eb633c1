//! Text as a number: strict, the same in every locale, and plain about what is wrong.

use diffeo::quoted;

/// What a cell of text holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    /// A finite number.
    Number(f64),
    /// A number that is not zero but too small for `f64`.
    Underflow,
    /// A whole number beyond 2^53, rounded.
    Inexact(f64),
    /// An infinity, written out or by overflow.
    Infinite,
    /// One of the marks for a missing value.
    Missing,
    /// A truth value, and which pair of words it is written in.
    Truth(Words, bool),
    /// Anything else.
    Text,
}

/// A pair of words for false and true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) [&'static str; 2]);

impl Words {
    /// Those in which truth values are written.
    pub(crate) const PLAIN: Self = WORDS[0];
}

/// The pairs, in lower case.
const WORDS: [Words; 4] =
    [Words(["false", "true"]), Words(["f", "t"]), Words(["no", "yes"]), Words(["n", "y"])];

/// Whole numbers up to this magnitude are exact in `f64`.
pub(crate) const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Whether a trimmed cell marks a missing value. `None` does as Python writes it; `none` is a word, of a category often enough.
pub(crate) fn is_missing(cell: &str) -> bool {
    const MARKS: [&str; 8] = ["na", "n/a", "#n/a", "null", "nan", "-nan", "+nan", "?"];
    let is_mark = || MARKS.iter().any(|mark| cell.eq_ignore_ascii_case(mark)) || cell == "None";
    cell.is_empty() || cell.len() <= 4 && is_mark()
}

/// Reads one cell; white space around it counts for nothing.
pub(crate) fn parse(cell: &str) -> Cell {
    let cell = cell.trim();
    // A first byte that starts a number cannot start a mark, save "-nan" and "+nan", which fail to parse as digits below.
    match cell.parse::<f64>() {
        Ok(x) if x.is_finite() => classify(cell, x),
        Ok(x) if x.is_nan() => Cell::Missing,
        Ok(_) => Cell::Infinite,
        Err(_) if is_missing(cell) => Cell::Missing,
        Err(_) => truth(cell).or_else(|| fortran(cell)).unwrap_or(Cell::Text),
    }
}

fn truth(cell: &str) -> Option<Cell> {
    WORDS.into_iter().find_map(|words| {
        let value = words.0.iter().position(|word| cell.eq_ignore_ascii_case(word))?;
        Some(Cell::Truth(words, value == 1))
    })
}

/// A number whose exponent follows a D, as Fortran writes double precision: `1.0D+03`.
fn fortran(cell: &str) -> Option<Cell> {
    let (mantissa, exponent) = cell.split_once(['d', 'D'])?;
    let is_plain = |text: &str, more: &[char]| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || more.contains(&c))
    };
    let good = is_plain(mantissa, &['+', '-', '.']) && is_plain(exponent, &['+', '-']);
    let number = format!("{mantissa}e{exponent}");
    match (good, number.parse::<f64>()) {
        (true, Ok(x)) if x.is_finite() => Some(classify(&number, x)),
        (true, Ok(_)) => Some(Cell::Infinite),
        _ => None,
    }
}

fn classify(cell: &str, x: f64) -> Cell {
    if x == 0.0 {
        let mantissa = cell.split(['e', 'E']).next().unwrap_or(cell);
        return if mantissa.bytes().any(|b| matches!(b, b'1'..=b'9')) {
            Cell::Underflow
        } else {
            Cell::Number(x)
        };
    }
    if x.abs() >= EXACT_INTEGER && !cell.contains(['.', 'e', 'E']) {
        // 2^53 + 1 rounds to 2^53, so the digits decide.
        let digits = cell.trim_start_matches(['+', '-', '0']);
        return if digits == "9007199254740992" { Cell::Number(x) } else { Cell::Inexact(x) };
    }
    Cell::Number(x)
}

/// Whether a trimmed cell is a number with a decimal comma, or with commas between thousands.
pub(crate) fn has_comma_as_point(trimmed: &str) -> bool {
    trimmed.split_once(',').is_some_and(|(a, b)| {
        a.trim_start_matches(['-', '+']).bytes().all(|c| c.is_ascii_digit() || c == b'.')
            && !b.is_empty()
            && b.bytes()
                .all(|c| c.is_ascii_digit() || matches!(c, b'.' | b',' | b'e' | b'E' | b'-' | b'+'))
    })
}

/// Whether a trimmed cell that is no number was meant to be one, so that its column is not one of text.
pub(crate) fn looks_like_a_number(trimmed: &str) -> bool {
    let is_several = trimmed.contains([';', '\t'])
        && trimmed.split([';', '\t']).all(|part| matches!(parse(part), Cell::Number(_)));
    is_several || has_comma_as_point(trimmed) || has_underscores(trimmed) || is_percentage(trimmed)
}

fn has_underscores(trimmed: &str) -> bool {
    trimmed.contains('_')
        && trimmed.bytes().any(|c| c.is_ascii_digit())
        && trimmed.bytes().all(|c| c.is_ascii_digit() || c == b'_' || c == b'.')
}

fn is_percentage(trimmed: &str) -> bool {
    trimmed.strip_suffix('%').is_some_and(|number| matches!(parse(number), Cell::Number(_)))
}

/// Why a cell is not a number, with a hint where the fault is a known one.
pub(crate) fn not_a_number(cell: &str) -> String {
    let trimmed = cell.trim();
    let hint = if has_comma_as_point(trimmed) {
        "write numbers with a decimal point and no thousands separators"
    } else if has_underscores(trimmed) {
        "write numbers without underscores"
    } else if is_percentage(trimmed) {
        "it is a percentage; write all of them as plain numbers, without the sign"
    } else if trimmed.contains([';', '\t']) {
        "is the delimiter another one? see --delimiter"
    } else {
        "mark missing values as empty, NA or ?, name their mark with --missing-as, or see all cells of the column as text with --columns 'NAME=category'"
    };
    format!("{} is not a number ({hint})", quoted(cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_only_plain_decimal_numbers_parse() {
        for (text, x) in
            [("1", 1.0), ("-0.5", -0.5), ("+1e3", 1000.0), (".5", 0.5), ("1.", 1.0), (" 2 ", 2.0)]
        {
            assert_eq!(parse(text), Cell::Number(x), "{text}");
        }
        for text in ["1,5", "1e", "0x10", "1_000", "abc", "--1", "1 2", "1.2.3", "١"] {
            assert_eq!(parse(text), Cell::Text, "{text}");
        }
        assert!(not_a_number("1,5").contains("decimal point"));
        assert!(not_a_number("1_000").contains("underscores"));
        assert!(not_a_number("1;2").contains("--delimiter"));
    }

    #[test]
    fn truth_values_and_the_exponents_of_fortran() {
        for (text, pair, value) in
            [("True", 0, true), ("FALSE", 0, false), ("yes", 2, true), ("N", 3, false)]
        {
            assert_eq!(parse(text), Cell::Truth(WORDS[pair], value), "{text}");
        }
        for (text, x) in [("1.0D+03", 1000.0), ("-2d-1", -0.2), ("5D0", 5.0)] {
            assert_eq!(parse(text), Cell::Number(x), "{text}");
        }
        assert_eq!(parse("1D-400"), Cell::Underflow);
        for text in ["D", "1D", "D5", "abcd", "1.5.D2", "0xD1", "2D6D"] {
            assert_eq!(parse(text), Cell::Text, "{text}");
        }
        assert!(not_a_number("12.5 %").contains("percentage"));
    }

    #[test]
    fn a5_marks_of_missing_values() {
        for text in [
            "", " ", "\x0c", "NA\u{a0}", "NA", "n/a", "#N/A", "null", "None", "nan", "NaN", "-nan",
            "?",
        ] {
            assert_eq!(parse(text), Cell::Missing, "{text}");
        }
        assert_eq!([parse("none"), parse("NONE")], [Cell::Text, Cell::Text]);
    }

    #[test]
    fn a6_infinities_and_underflow() {
        for text in ["inf", "-inf", "Infinity", "1e400", "-1e400"] {
            assert_eq!(parse(text), Cell::Infinite, "{text}");
        }
        assert_eq!(parse("1e-400"), Cell::Underflow);
        assert_eq!(parse("0e-400"), Cell::Number(0.0));
        assert_eq!(parse("-0.000"), Cell::Number(-0.0));
    }

    #[test]
    fn a7_whole_numbers_beyond_two_to_53() {
        assert_eq!(parse("9007199254740992"), Cell::Number(EXACT_INTEGER));
        assert_eq!(parse("-09007199254740992"), Cell::Number(-EXACT_INTEGER));
        assert!(matches!(parse("9007199254740993"), Cell::Inexact(_)));
        assert!(matches!(parse("12345678901234567890"), Cell::Inexact(_)));
        assert_eq!(parse("1e300"), Cell::Number(1e300));
    }
}
