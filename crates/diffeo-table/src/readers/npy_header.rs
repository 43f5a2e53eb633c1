//! The header of an npy file: a Python dictionary literal, read by a parser that knows nothing else of Python.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use diffeo::{Error, Result, quoted};

/// What lies behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NpyHeader {
    pub(crate) kind: NpyKind,
    pub(crate) big_endian: bool,
    pub(crate) fortran: bool,
    pub(crate) rows: u64,
    pub(crate) width: u64,
}

/// Type of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NpyKind {
    Bool,
    Int(u8),
    Uint(u8),
    Float(u8),
}

impl NpyKind {
    /// Bytes of an element.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int(n) | Self::Uint(n) | Self::Float(n) => usize::from(n),
        }
    }
}

/// Parses the dictionary.
pub(crate) fn parse(text: &str) -> Result<NpyHeader> {
    let fault = |what: &str| Error::data(format!("npy header {}: {what}", quoted(text.trim())));
    let mut rest = Literal(text.trim_matches([' ', '\n', '\0']));
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    rest.expect('{').ok_or_else(|| fault("expected a dictionary"))?;
    while !rest.skip('}') {
        let key = rest.string().ok_or_else(|| fault("expected a key in quotes"))?;
        rest.expect(':').ok_or_else(|| fault("expected ':' after a key"))?;
        let twice = match key {
            "descr" => {
                let value = rest.string().ok_or_else(|| {
                    fault("records with named fields are not read; save one plain array, or use Parquet")
                })?;
                descr.replace(value).is_some()
            }
            "fortran_order" => fortran
                .replace(rest.boolean().ok_or_else(|| fault("fortran_order is True or False"))?)
                .is_some(),
            "shape" => {
                let value = rest
                    .shape()
                    .ok_or_else(|| fault("shape is a tuple of numbers that are not negative"))?;
                shape.replace(value).is_some()
            }
            _ => {
                return Err(fault(
                    "expected the keys descr, fortran_order and shape, found another",
                ));
            }
        };
        if twice {
            return Err(fault("a key stands twice"));
        }
        if !rest.skip(',') {
            rest.expect('}').ok_or_else(|| fault("expected ',' or '}'"))?;
            break;
        }
    }
    if !rest.0.trim().is_empty() {
        return Err(fault("something follows the dictionary"));
    }
    let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
        return Err(fault("expected the keys descr, fortran_order and shape"));
    };
    let (kind, big_endian) = element(descr)?;
    let (rows, width) = match shape[..] {
        [rows] => (rows, 1),
        [rows, width] => (rows, width),
        _ => {
            return Err(Error::data(format!(
                "expected an array with one or two axes (rows, columns), found {} axes; reshape it before saving",
                shape.len()
            )));
        }
    };
    Ok(NpyHeader { kind, big_endian, fortran, rows, width })
}

fn element(descr: &str) -> Result<(NpyKind, bool)> {
    let (order, code) = match descr.chars().next() {
        Some(c @ ('<' | '>' | '|' | '=')) => (c, &descr[1..]),
        _ => ('=', descr),
    };
    let kind = match code {
        "f2" => NpyKind::Float(2),
        "f4" => NpyKind::Float(4),
        "f8" => NpyKind::Float(8),
        "i1" => NpyKind::Int(1),
        "i2" => NpyKind::Int(2),
        "i4" => NpyKind::Int(4),
        "i8" => NpyKind::Int(8),
        "u1" => NpyKind::Uint(1),
        "u2" => NpyKind::Uint(2),
        "u4" => NpyKind::Uint(4),
        "u8" => NpyKind::Uint(8),
        "b1" => NpyKind::Bool,
        _ if code.starts_with('O') => {
            return Err(Error::data(
                "the npy file holds Python objects (a pickle), which can run code and are never loaded; convert with x.astype(float)",
            ));
        }
        _ => {
            return Err(Error::data(format!(
                "expected an npy array of integers or floats, found {}; convert with x.astype(float)",
                quoted(descr)
            )));
        }
    };
    if kind.size() > 1 && order == '|' {
        return Err(Error::data(format!("npy type {} has no byte order", quoted(descr))));
    }
    // '=' means the order of the machine that wrote the file; it is never written by NumPy and taken as little-endian.
    Ok((kind, order == '>'))
}

/// The rest of a literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn skip(&mut self, c: char) -> bool {
        match self.0.trim_start().strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Option<()> {
        self.skip(c).then_some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote = if self.skip('\'') {
            '\''
        } else if self.skip('"') {
            '"'
        } else {
            return None;
        };
        let (value, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        Some(value)
    }

    fn boolean(&mut self) -> Option<bool> {
        let text = self.0.trim_start();
        let (value, rest) = match (text.strip_prefix("True"), text.strip_prefix("False")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return None,
        };
        self.0 = rest;
        Some(value)
    }

    fn shape(&mut self) -> Option<Vec<u64>> {
        const AXES_MAX: usize = 32;
        self.expect('(')?;
        let mut axes = Vec::new();
        while !self.skip(')') {
            let text = self.0.trim_start();
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            axes.push(text.get(..digits)?.parse().ok()?);
            // Python 2 wrote 10L.
            let rest = text.get(digits..)?;
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if axes.len() > AXES_MAX {
                return None;
            }
            if !self.skip(',') {
                self.expect(')')?;
                break;
            }
        }
        Some(axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_parse() {
        let header =
            parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }      \n").unwrap();
        assert_eq!(
            header,
            NpyHeader {
                kind: NpyKind::Float(8),
                big_endian: false,
                fortran: false,
                rows: 3,
                width: 2
            }
        );
        let header = parse("{'descr': '>i2', 'fortran_order': True, 'shape': (7,)}").unwrap();
        assert_eq!(
            (header.rows, header.width, header.big_endian, header.fortran),
            (7, 1, true, true)
        );
    }

    #[test]
    fn a14_hostile_headers_are_refused() {
        let refused = |text: &str, part: &str| {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        };
        refused("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "pickle");
        refused("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", "not negative");
        refused(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "not negative",
        );
        refused("{'descr': '<f8', 'fortran_order': False, 'shape': ()}", "0 axes");
        refused("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2, 3)}", "3 axes");
        refused("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", "named fields");
        refused("{'descr': '<c16', 'fortran_order': False, 'shape': (1,)}", "integers or floats");
        refused("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "twice");
        refused("{'descr': '<f8', 'shape': (1,)}", "expected the keys");
        refused("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} import os", "follows");
        for text in [
            "",
            "{",
            "{'",
            "{'descr",
            "{'descr':",
            "{'descr': 'é",
            "{'shape': (",
            "{'shape': (1",
            "é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
