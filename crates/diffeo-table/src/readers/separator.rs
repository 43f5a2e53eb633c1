//! What stands between the cells of a text whose user does not say: seen from its first lines.

use diffeo::{Error, Result, quoted};

use crate::format::Format;
use crate::number::{Cell, parse};
use crate::options::{Delimiter, ReadOptions};

/// How the cells of a text are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    /// What stands between them.
    pub(crate) delimiter: Delimiter,
    /// Whether numbers are written with commas for points.
    pub(crate) has_decimal_commas: bool,
}

/// The layout that the caller and the first lines tell.
///
/// # Errors
/// [`diffeo::ErrorKind::Config`] for a delimiter that cannot be one.
pub(crate) fn layout(options: &ReadOptions, format: Option<Format>, head: &[u8]) -> Result<Layout> {
    let delimiter = delimiter(options, format, head)?;
    Ok(Layout { delimiter, has_decimal_commas: has_decimal_commas(options, delimiter, head) })
}

/// The delimiter: the caller's, that of a first line `sep=`, a tab for TSV, else what the first lines show.
fn delimiter(options: &ReadOptions, format: Option<Format>, head: &[u8]) -> Result<Delimiter> {
    match (options.delimiter, format) {
        (Some(Delimiter::Byte(byte)), _) if !may_separate(byte) => Err(Error::config(format!(
            "a delimiter is one ASCII character that is no letter, digit, quote or line end, not {}",
            quoted(&char::from(byte).to_string())
        ))),
        (Some(delimiter), _) => Ok(delimiter),
        (None, format) => Ok(match (declared(head), format) {
            (Some(byte), _) => Delimiter::Byte(byte),
            (None, Some(Format::Tsv)) => Delimiter::Byte(b'\t'),
            (None, format) => shown(options.comment, head, format.is_none()),
        }),
    }
}

/// The delimiter of a first line such as `sep=;`, which spreadsheets write and read.
pub(crate) fn declared(head: &[u8]) -> Option<u8> {
    let line = without_mark(head).split(|&b| b == b'\n').next()?;
    match line.strip_suffix(b"\r").unwrap_or(line) {
        [b's', b'e', b'p', b'=', byte] if may_separate(*byte) => Some(*byte),
        _ => None,
    }
}

fn may_separate(byte: u8) -> bool {
    !(matches!(byte, b'"' | b'\n' | b'\r' | 0) || byte.is_ascii_alphanumeric() || byte >= 128)
}

fn without_mark(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head)
}

/// The first of comma, tab, semicolon and bar that the first two lines have as often, at least once; else a tab where nothing names the format, or blanks if that makes columns
/// of numbers.
fn shown(comment: Option<u8>, head: &[u8], may_be_tab: bool) -> Delimiter {
    let mut lines = lines(comment, head);
    let (first, second) = (lines.next().unwrap_or(&[]), lines.next());
    let cuts_alike = |byte: &u8| {
        let cuts = count_of(*byte, first);
        cuts > 0 && second.is_none_or(|line| count_of(*byte, line) == cuts)
    };
    let others = [b'\t', b';', b'|'];
    if let Some(byte) = [b','].into_iter().chain(others).find(cuts_alike) {
        return Delimiter::Byte(byte);
    }
    let has = |byte: u8| first.contains(&byte);
    if has(b'\t') && may_be_tab && !has(b',') {
        return Delimiter::Byte(b'\t');
    }
    if ![b','].into_iter().chain(others).any(has) && are_columns(first, second) {
        return Delimiter::Blanks;
    }
    Delimiter::Byte(b',')
}

/// The first lines of a text that are neither blank nor comments.
fn lines(comment: Option<u8>, head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_content = move |line: &&[u8]| {
        !line.trim_ascii().is_empty() && comment != line.trim_ascii().first().copied()
    };
    // The last line of the head may be cut.
    let whole = head.iter().rposition(|&b| b == b'\n').map_or(head, |end| &head[..end]);
    without_mark(whole).split(|&b| b == b'\n').filter(is_content)
}

/// How often a byte stands in a line outside of quotes.
fn count_of(byte: u8, line: &[u8]) -> usize {
    let mut is_quoted = false;
    let is_cut = |b: &&u8| {
        is_quoted ^= **b == b'"';
        **b == byte && !is_quoted
    };
    line.iter().filter(is_cut).count()
}

/// Whether numbers are written with commas for points: where semicolons part the cells, and some cell of the first lines can be nothing else. (1,234 can.)
fn has_decimal_commas(options: &ReadOptions, delimiter: Delimiter, head: &[u8]) -> bool {
    let is_decimal = |cell: &[u8]| {
        let digits = cell.rsplit(|&b| b == b',').next().map_or(0, <[u8]>::len);
        is_with_comma(cell.trim_ascii()) && digits != 3
    };
    delimiter == Delimiter::Byte(b';')
        && lines(options.comment, head).any(|line| line.split(|&b| b == b';').any(is_decimal))
}

/// Whether a cell is a number with a comma for its point.
pub(crate) fn is_with_comma(cell: &[u8]) -> bool {
    let digits = cell.strip_prefix(b"-").or(cell.strip_prefix(b"+")).unwrap_or(cell);
    let Some(comma) = digits.iter().position(|&b| b == b',') else { return false };
    let (whole, behind) = (&digits[..comma], &digits[comma + 1..]);
    let end = behind.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(behind.len());
    let (decimals, exponent) = behind.split_at(end);
    let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let is_exponent = exponent.is_empty()
        || std::str::from_utf8(&exponent[1..]).is_ok_and(|text| text.parse::<i32>().is_ok());
    all_digits(whole) && all_digits(decimals) && !decimals.is_empty() && is_exponent
}

/// Whether blanks cut two lines into as many columns, of numbers in the second; or into one more there, which names the row.
fn are_columns(first: &[u8], second: Option<&[u8]>) -> bool {
    let (Some(names), Some(cells)) = (words(first), words(second.unwrap_or(first))) else {
        return false;
    };
    let is_number = |word: &&[u8]| {
        std::str::from_utf8(word).is_ok_and(|word| !matches!(parse(word), Cell::Text))
    };
    match cells.len() {
        0 | 1 => false,
        n if n == names.len() => cells.iter().all(is_number),
        n if n == names.len() + 1 => cells[1..].iter().all(is_number),
        _ => false,
    }
}

/// The words of a line, whose blanks may be in quotes; `None` if a quote does not close.
fn words(line: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut words, mut rest) = (Vec::new(), line.trim_ascii());
    while let Some(&byte) = rest.first() {
        let end = if byte == b'"' {
            rest.iter().skip(1).position(|&b| b == b'"')? + 2
        } else {
            rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Some(words)
}

/// Such a number with a point.
pub(crate) fn with_point(cell: &[u8]) -> Vec<u8> {
    cell.iter().map(|&b| if b == b',' { b'.' } else { b }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_points_where_they_can_be_nothing_else() {
        for cell in ["1,5", "-0,25", ",5", "+1,5e-3", "1,234"] {
            assert!(is_with_comma(cell.as_bytes()), "{cell}");
        }
        for cell in ["1.5", "1,", "a,5", "1,5,6", "1.234,5", "1,5e", "1,5 kg", ""] {
            assert!(!is_with_comma(cell.as_bytes()), "{cell}");
        }
        let options = ReadOptions::default();
        let found = |delimiter: u8, head: &str| {
            has_decimal_commas(&options, Delimiter::Byte(delimiter), head.as_bytes())
        };
        assert!(found(b';', "a;b\n1;2\n3;4,25\n") && !found(b';', "a;b\n1,234;2\n"));
        assert!(!found(b'\t', "a\tb\n1,5\t2\n"));
    }

    #[test]
    fn first_lines_show_the_delimiter() {
        let seen = |head: &str| delimiter(&ReadOptions::default(), None, head.as_bytes()).unwrap();
        for head in [
            "a b\n1 2\n",
            "  a  b \n 1\t 2\n",
            "# a b\n1 2\n3 4\n",
            "\"u v\" w\n\"1\" 1 2\n",
            "1 NA\n",
        ] {
            assert_eq!(seen(head), Delimiter::Blanks, "{head}");
        }
        for head in [
            "a\n1\n",
            "a b\n1\n",
            "a b,c\n1,2\n",
            "first name\nanna maria\n",
            "a b\nx y\n",
            "a;b\n1\n",
            "\"a;b\"\n1\n",
            "a,b;c\n1,2\n",
        ] {
            assert_eq!(seen(head), Delimiter::Byte(b','), "{head}");
        }
        for head in [
            "a b;c\n1 2;3\n",
            "a;b\n1,5;2,5\n",
            "\"u v\";b\n1;2\n",
            "the group, all;k\n1;2\n",
            "a;b",
        ] {
            assert_eq!(seen(head), Delimiter::Byte(b';'), "{head}");
        }
        assert_eq!(seen("a|b\n1|2\n"), Delimiter::Byte(b'|'));
        assert_eq!(seen("sep=;\r\na;b\r\n"), Delimiter::Byte(b';'));
        assert_eq!(seen("sep=\"\na,b\n"), Delimiter::Byte(b','));
        assert_eq!(seen("a\tb\n1\t2\n"), Delimiter::Byte(b'\t'));
    }
}
