//! The header of an npy file: a Python dictionary literal, read by a parser that knows nothing else of Python.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use diffeo::{Error, ImageShape, Result, quoted};

/// Most channels of an image.
pub(crate) const CHANNELS_MAX: u64 = 4;

/// What lies behind the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NpyHeader {
    pub(crate) kind: NpyKind,
    pub(crate) big_endian: bool,
    pub(crate) fortran: bool,
    /// Lengths of the axes, at least one.
    pub(crate) axes: Vec<u64>,
}

impl NpyHeader {
    pub(crate) fn rows(&self) -> u64 {
        self.axes[0]
    }

    /// As NumPy writes a shape: `(60000, 28, 28)`.
    pub(crate) fn shape(&self) -> String {
        let axes: Vec<String> = self.axes.iter().map(u64::to_string).collect();
        format!("({})", axes.join(", "))
    }

    /// The shape of the images that an array of more than two axes holds.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] for one that holds none.
    pub(crate) fn image(&self) -> Result<Option<ImageShape>> {
        let [height, width, channels] = match self.axes[..] {
            [_] | [_, _] => return Ok(None),
            [_, height, width] => [height, width, 1],
            [_, height, width, channels @ 1..=CHANNELS_MAX] => [height, width, channels],
            _ => {
                return Err(Error::data(format!(
                    "expected rows, rows and columns, or images of shape (n, height, width) or (n, height, width, channels), found shape {}; reshape it, or move the channels to the end",
                    self.shape()
                )));
            }
        };
        if self.kind != NpyKind::Uint(1) {
            return Err(Error::data(format!(
                "expected images as bytes from 0 to 255 (uint8), found an array of shape {} of another type; convert with (255 * x).round().astype('uint8') if 1 is white, with x.astype('uint8') if 255 is",
                self.shape()
            )));
        }
        let size = |axis: u64| usize::try_from(axis).unwrap_or(usize::MAX);
        let image = ImageShape::of_bytes(size(height), size(width), size(channels));
        image.validate().map_err(|e| Error::data(e.message().to_owned()))?;
        Ok(Some(image))
    }

    /// Elements of a row; `None` if that overflows.
    pub(crate) fn width(&self) -> Option<u64> {
        self.axes[1..].iter().try_fold(1, |width: u64, axis| width.checked_mul(*axis))
    }
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
    if shape.is_empty() {
        return Err(Error::data(
            "expected an array of at least one axis, found 0 axes: a single number",
        ));
    }
    Ok(NpyHeader { kind, big_endian, fortran, axes: shape })
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
                axes: vec![3, 2],
            }
        );
        let header = parse("{'descr': '>i2', 'fortran_order': True, 'shape': (7,)}").unwrap();
        assert_eq!(
            (header.rows(), header.width(), header.big_endian, header.fortran),
            (7, Some(1), true, true)
        );
    }

    #[test]
    fn images_are_bytes_with_their_channels_last() {
        let image = |kind: &str, shape: &str| {
            let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}");
            parse(&text).unwrap().image()
        };
        assert_eq!(image("|u1", "(5, 2)").unwrap(), None);
        assert_eq!(image("|u1", "(5, 2, 3)").unwrap(), Some(ImageShape::of_bytes(2, 3, 1)));
        assert_eq!(image("|u1", "(5, 2, 3, 3)").unwrap(), Some(ImageShape::of_bytes(2, 3, 3)));
        let refused = |kind, shape| image(kind, shape).unwrap_err().to_string();
        assert!(refused("|u1", "(5, 3, 32, 32)").contains("channels to the end"));
        assert!(refused("<f4", "(5, 2, 3)").contains("astype"));
        assert!(refused("|u1", "(5, 0, 3)").contains("expected 1 to"));
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
        refused("{'descr': '<f8', 'fortran_order': False, 'shape': ()}", "single number");
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
