//! Images as rows: each pixel a column.

use serde::{Deserialize, Serialize};

use super::kind::ColumnKind;
use super::schema::Column;
use super::support::Support;
use super::units::Unit;
use crate::error::{Error, Result};

/// The shape of images that are rows of whole numbers from 0 to `levels - 1`: line after line from the top, a line from the left, the channels of a pixel side by side.
///
/// A level `k` stands for the cell `[k, k + 1)` of the interval from 0 to `levels`, which reaches a flow by `z = Phi^-1(x / levels)`: noise that is uniform over all levels is
/// then exactly normal, so that a flow that changes nothing gives each number of an image `log2 levels` bits, and no draw is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Lines.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Numbers of a pixel: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// How many values each number may have: 256 for bytes.
    pub levels: u32,
}

impl ImageShape {
    /// Most numbers of an image.
    pub const NUMBERS_MAX: usize = 1 << 20;
    /// Most levels.
    pub const LEVELS_MAX: u32 = 1 << 16;

    /// Images of bytes.
    pub fn of_bytes(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels, levels: 256 }
    }

    /// Numbers in an image.
    pub fn numbers(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Where a number of an image stands in its row.
    pub fn place(&self, line: usize, pixel: usize, channel: usize) -> usize {
        (line * self.width + pixel) * self.channels + channel
    }

    /// Checks all sizes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for images without pixels, beyond [`Self::NUMBERS_MAX`] numbers, or of fewer than two levels.
    pub fn validate(&self) -> Result<()> {
        let Self { height, width, channels, levels } = *self;
        let numbers = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if !numbers.is_some_and(|n| (1..=Self::NUMBERS_MAX).contains(&n)) {
            return Err(Error::config(format!(
                "images: expected 1 to {} numbers, found {height} x {width} pixels of {channels}",
                Self::NUMBERS_MAX
            )));
        }
        if !(2..=Self::LEVELS_MAX).contains(&levels) {
            return Err(Error::config(format!(
                "images: expected 2 to {} levels, found {levels}",
                Self::LEVELS_MAX
            )));
        }
        Ok(())
    }

    /// The columns of the numbers: `y3x12` is pixel 12 of line 3 (both from 0), `y3x12c0` its first channel of several.
    pub fn columns(&self) -> Vec<Column> {
        self.columns_after("")
    }

    /// The columns of an image that others are given: `given.y3x12`.
    pub fn given_columns(&self) -> Vec<Column> {
        self.columns_after("given.")
    }

    fn columns_after(&self, prefix: &str) -> Vec<Column> {
        let high = Some(i64::from(self.levels) - 1);
        let kind = ColumnKind::IntegerRange { low: Some(0), high };
        let name = |i: usize| {
            let (pixel, channel) = (i / self.channels, i % self.channels);
            let name = format!("{prefix}y{}x{}", pixel / self.width, pixel % self.width);
            if self.channels == 1 { name } else { format!("{name}c{channel}") }
        };
        (0..self.numbers()).map(|i| Column::new(name(i), kind)).collect()
    }

    /// The unit that all numbers share.
    pub(super) fn unit(&self) -> Unit {
        let support = Support::Probit { low: 0.0, high: f64::from(self.levels) };
        Unit { support, ..Unit::default() }
    }

    /// The unit of all numbers of an image that others are given: levels that are all as frequent have mean 0 and deviation 1.
    pub(super) fn given_unit(&self) -> Unit {
        let [center, scale] = Self::given_scale(self.levels);
        Unit { center, scale, ..Unit::default() }
    }

    /// Mean and deviation of levels that are all as frequent.
    fn given_scale(levels: u32) -> [f64; 2] {
        let levels = f64::from(levels);
        [(levels - 1.0) / 2.0, levels / 12f64.sqrt()]
    }

    /// What a flow sees of a level of an image that it is given.
    pub(crate) fn given_number(levels: u32, level: u32) -> f64 {
        let [center, scale] = Self::given_scale(levels);
        (f64::from(level) - center) / scale
    }

    /// The level that is nearest to what a flow sees.
    pub(crate) fn given_level(levels: u32, number: f64) -> u32 {
        let [center, scale] = Self::given_scale(levels);
        (number * scale + center).round().clamp(0.0, f64::from(levels - 1)) as u32
    }
}

impl std::fmt::Display for ImageShape {
    /// `28 x 28` for grey bytes, `32 x 32 x 3, 32 levels`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}", self.height, self.width)?;
        if self.channels != 1 {
            write!(f, " x {}", self.channels)?;
        }
        if self.levels != 256 {
            write!(f, ", {} levels", self.levels)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_where_place_says() {
        let shape = ImageShape::of_bytes(2, 3, 2);
        let columns = shape.columns();
        assert_eq!(columns.len(), 12);
        assert_eq!(columns[shape.place(1, 2, 0)].name, "y1x2c0");
        assert_eq!(ImageShape::of_bytes(2, 3, 1).columns()[4].name, "y1x1");
        assert_eq!(shape.to_string(), "2 x 3 x 2");
    }

    #[test]
    fn levels_come_back_from_what_a_flow_sees() {
        for levels in [2, 256, 65_536] {
            for level in [0, 1, levels / 2, levels - 1] {
                let number = ImageShape::given_number(levels, level);
                for seen in [number, f64::from(number as f32)] {
                    assert_eq!(ImageShape::given_level(levels, seen), level);
                }
            }
            assert_eq!(ImageShape::given_level(levels, 1e9), levels - 1);
            assert_eq!(ImageShape::given_level(levels, f64::NAN), 0);
        }
    }

    #[test]
    fn sizes_that_are_none_are_refused() {
        for (height, width, channels, levels) in
            [(0, 1, 1, 256), (1, 1, 1, 1), (usize::MAX, 2, 1, 256), (2000, 2000, 1, 256)]
        {
            let shape = ImageShape { height, width, channels, levels };
            assert!(shape.validate().is_err(), "{shape}");
        }
    }
}
