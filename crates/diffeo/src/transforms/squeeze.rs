//! Fewer pixels of more numbers.

use serde::{Deserialize, Serialize};

use super::permutation::Permutation;
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::columns::ImageShape;
use crate::error::{Error, Result};
use crate::parameter::Init;
use crate::transform::Transform;

/// Blocks of two by two pixels become a pixel of four times as many numbers: an image of `height x width` pixels of `channels` numbers becomes one of half the lines of half the pixels.
/// Volumes do not change.
///
/// * A pixel's numbers are those of the block's four pixels, line after line. Its first and last quarter are the white squares of a checkerboard, the others the black ones.
/// * It is built as a [`super::Permutation`], and other layers see the new pixels side by side.
///
/// Reference: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, section 3.6, arXiv:1605.08803.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqueezeSpec {
    /// Lines before, an even number.
    pub height: usize,
    /// Pixels of a line before, an even number.
    pub width: usize,
    /// Numbers of a pixel before.
    pub channels: usize,
}

impl SqueezeSpec {
    /// Which number of the image before each number is.
    pub(crate) fn order(&self) -> Vec<usize> {
        let Self { height, width, channels } = *self;
        let image = ImageShape::of_bytes(height, width, channels);
        let blocks = (0..height / 2).flat_map(|a| (0..width / 2).map(move |b| (2 * a, 2 * b)));
        let pixels = blocks.flat_map(|(line, pixel)| {
            [[0, 0], [0, 1], [1, 0], [1, 1]].map(|[down, right]| [line + down, pixel + right])
        });
        let of_pixel = |[line, pixel]: [usize; 2]| {
            (0..channels).map(move |channel| image.place(line, pixel, channel))
        };
        pixels.flat_map(of_pixel).collect()
    }
}

impl Describe for SqueezeSpec {
    fn validate(&self, at: Place) -> Result<()> {
        let Self { height, width, channels } = *self;
        at.expect_image("squeeze", [height, width, channels])?;
        if height.is_multiple_of(2) && width.is_multiple_of(2) {
            return Ok(());
        }
        Err(Error::config(format!(
            "squeeze: expected even numbers of lines and of pixels in each, found {height} x {width}"
        )))
    }

    fn count(&self, _at: Place) -> Option<u64> {
        Some(0)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(Permutation::new(&self.order(), &init.device)?))
    }

    fn gates_after(&self, gates: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        self.order().into_iter().map(|column| gates.get(column).copied()).collect()
    }
}

impl Cases for SqueezeSpec {
    fn cases(at: Place) -> Vec<Self> {
        let of = |height, width| Self { height, width, channels: at.dims / (height * width) };
        match (at.dims.is_multiple_of(8), at.context) {
            (true, 0) => vec![of(2, 2), of(4, 2)],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_pixels() {
        let order = SqueezeSpec { height: 4, width: 2, channels: 1 }.order();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
        let order = SqueezeSpec { height: 2, width: 4, channels: 2 }.order();
        assert_eq!(order, [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]);
    }

    #[test]
    fn sides_are_even_and_fit_the_row() {
        let of = |height, width, dims| {
            SqueezeSpec { height, width, channels: 2 }.validate(Place::new(dims, 0))
        };
        assert!(of(2, 4, 16).is_ok());
        for (height, width, dims, said) in [
            (2, 3, 12, "found 2 x 3"),
            (4, 4, 16, "an image of 16 numbers, found 4 x 4 pixels of 2"),
            (usize::MAX, 2, 16, "an image of 16 numbers"),
            (0, 2, 0, "an image of 0 numbers"),
        ] {
            let error = of(height, width, dims).unwrap_err();
            assert!(error.message().contains(said), "{error}");
        }
    }
}
