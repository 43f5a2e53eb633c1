//! What stands between the cells of a text whose user does not say: seen from its first lines.

use diffeo::{Error, Result, quoted};

use crate::format::Format;
use crate::number::{Cell, parse};
use crate::options::{Delimiter, ReadOptions};

/// The delimiter: the caller's, that of a first line `sep=`, a tab for TSV, else what the first lines show.
pub(crate) fn of_text(
    options: &ReadOptions,
    format: Option<Format>,
    head: &[u8],
) -> Result<Delimiter> {
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

/// A comma, unless the first lines have none: then a tab where nothing names the format, or blanks if that makes columns of numbers.
fn shown(comment: Option<u8>, head: &[u8], may_be_tab: bool) -> Delimiter {
    let is_content = |line: &&[u8]| {
        !line.trim_ascii().is_empty() && comment != line.trim_ascii().first().copied()
    };
    // The last line of the head may be cut.
    let whole = head.iter().rposition(|&b| b == b'\n').map_or(head, |end| &head[..end]);
    let mut lines = without_mark(whole).split(|&b| b == b'\n').filter(is_content);
    let (first, second) = (lines.next().unwrap_or(&[]), lines.next());
    let has = |byte: u8| first.contains(&byte);
    if has(b',') {
        return Delimiter::Byte(b',');
    }
    if has(b'\t') && may_be_tab {
        return Delimiter::Byte(b'\t');
    }
    if ![b'\t', b';', b'|'].into_iter().any(has) && are_columns(first, second) {
        return Delimiter::Blanks;
    }
    Delimiter::Byte(b',')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_show_the_delimiter() {
        let seen = |head: &str| of_text(&ReadOptions::default(), None, head.as_bytes()).unwrap();
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
            "a b;c\n1 2;3\n",
        ] {
            assert_eq!(seen(head), Delimiter::Byte(b','), "{head}");
        }
        assert_eq!(seen("sep=;\r\na;b\r\n"), Delimiter::Byte(b';'));
        assert_eq!(seen("sep=\"\na,b\n"), Delimiter::Byte(b','));
        assert_eq!(seen("a\tb\n1\t2\n"), Delimiter::Byte(b'\t'));
    }
}
