//! Levels of images as differences to what was foretold of them.

use std::sync::Arc;

use burn::tensor::{DType, Tensor, TensorData};
use diffeo_kernels::ops::{sum_dtype, sum_rows};
use diffeo_kernels::{Real, TILE_ROWS};
use serde::{Deserialize, Serialize};

use super::cells::{Cells, LITTLE_BEYOND};
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::columns::ImageShape;
use crate::error::{Error, Result};
use crate::host::linalg::host_values;
use crate::parameter::Init;
use crate::step::{Kept, Pass, Scratch, Step, Steps, Weights};
use crate::transform::{Given, Mapped, Transform};

/// A [`Difference`] layer, described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifferenceSpec {
    /// Numbers of a pixel.
    pub channels: usize,
    /// How many values each may have.
    pub levels: u32,
    /// Numbers of a pixel of the image that the context starts with, before those that were foretold.
    pub features: usize,
}

impl DifferenceSpec {
    /// Where the context has what was foretold of a column.
    fn foretold(&self, column: usize) -> usize {
        let (pixel, channel) = (column / self.channels, column % self.channels);
        pixel * (self.features + self.channels) + self.features + channel
    }
}

impl Describe for DifferenceSpec {
    fn validate(&self, at: Place) -> Result<()> {
        if self.channels == 0 || !at.dims.is_multiple_of(self.channels) {
            return Err(Error::config(format!(
                "difference: expected a number of channels that divides a row of {}, found {}",
                at.dims, self.channels
            )));
        }
        if !(2..=ImageShape::LEVELS_MAX).contains(&self.levels) {
            return Err(Error::config(format!(
                "difference: expected 2 to {} levels, found {}",
                ImageShape::LEVELS_MAX,
                self.levels
            )));
        }
        let pixels = at.dims / self.channels;
        let numbers = self.features.checked_add(self.channels).and_then(|n| n.checked_mul(pixels));
        if numbers.is_none_or(|numbers| numbers > at.context) {
            return Err(Error::config(format!(
                "difference: expected a context that starts with {} and {} numbers for each of {pixels} pixels, found {} numbers",
                self.features, self.channels, at.context
            )));
        }
        Ok(())
    }

    fn count(&self, _at: Place) -> Option<u64> {
        Some(0)
    }

    fn build(&self, at: Place, _init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(Difference::new(*self, at)))
    }
}

impl Cases for DifferenceSpec {
    /// Odd numbers of levels, of which none begins at zero.
    fn cases(at: Place) -> Vec<Self> {
        match at {
            Place { dims: 1, context: 2, .. } => vec![Self { channels: 1, levels: 7, features: 1 }],
            Place { dims: 2, context: 2, .. } => vec![Self { channels: 2, levels: 5, features: 0 }],
            _ => vec![],
        }
    }
}

/// Each number of an image goes to the level that is as far from the middle one as its own is from the one that was foretold, counted round: what came as foretold is in the middle.
///
/// A number `y` is `Phi^-1((k + v) / L)` with its level `k`, a place `v` from 0 to 1 in the cell of that, and `L` levels; `m` is what the context foretells, as a level.
///
/// * forward: `k' = (k - m + L div 2) mod L`, `y' = Phi^-1((k' + v) / L)`. inverse: `k = (k' + m - L div 2) mod L`. `m = L div 2` changes nothing.
///   `log|det| = sum (y'^2 - y^2) / 2`: cells are equally wide where the noise is uniform, so that nothing is lost or gained but what the layers behind make of it.
/// * In the outermost ten-thousandth of the first and of the last cell, which reach to infinity, numbers stay as they are; the others have so much more room there, `ln(s' / s)` with the shares `s`
///   and `s'` of both cells.
/// * The result is piecewise constant in the context, and has no gradient by it.
///
/// What lossless codes of images do to their bytes, *differential coding*, as a layer: ISO/IEC 15948 (PNG), section 9, codes them modulo 256, too.
#[derive(Clone, Debug)]
pub struct Difference {
    cells: Arc<Cells>,
    levels: u32,
    /// Where the context has what was foretold of each column.
    foretold: Vec<usize>,
}

/// Which way levels go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Turn {
    Forward,
    Back,
}

impl Difference {
    fn new(spec: DifferenceSpec, at: Place) -> Self {
        let foretold = (0..at.dims).map(|column| spec.foretold(column)).collect();
        Self {
            cells: Arc::new(Cells::new(spec.levels, LITTLE_BEYOND)),
            levels: spec.levels,
            foretold,
        }
    }

    /// Where a number goes, the slope of that, and how much more room it has than by its density.
    fn moved(&self, y: f64, given: f64, turn: Turn, round: impl Fn(f64) -> f64) -> (f64, f64, f64) {
        let place = self.cells.locate(y);
        if place.slope <= 0.0 {
            return (y, 1.0, 0.0);
        }
        let (levels, middle) = (self.levels as usize, self.levels as usize / 2);
        let foretold = ImageShape::given_level(self.levels, given) as usize;
        let by = match turn {
            Turn::Forward => levels + middle - foretold,
            Turn::Back => levels + foretold - middle,
        };
        if by.is_multiple_of(levels) {
            return (y, 1.0, 0.0);
        }
        let cell = (place.cell + by) % levels;
        let (to, slope) = self.cells.number(cell, place.offset);
        let room = (self.cells.share(cell) / self.cells.share(place.cell)).ln();
        (self.cells.rounded(cell, to, round), place.slope * slope, room)
    }

    fn mapped(&self, y: Tensor<2>, given: &Given<'_>, turn: Turn) -> Result<Mapped> {
        let ([n, d], Some(context)) = (y.dims(), given.context.filter(|_| y.dims()[0] > 0)) else {
            let log_det = super::no_log_det(&y);
            return Ok(Mapped { value: y, log_det });
        };
        let (context, numbers) = (context.clone().detach(), host_values(y.clone().detach())?);
        let (width, context) = (context.dims()[1], host_values(context)?);
        let is_single = y.dtype() == DType::F32;
        let round = |y: f64| if is_single { f64::from(y as f32) } else { y };
        let (mut values, mut slopes, mut rooms) = (Vec::new(), Vec::new(), vec![0.0; n]);
        for (i, y) in numbers.into_iter().enumerate() {
            let (row, column) = (i / d, i % d);
            let foretold = context[row * width + self.foretold[column]];
            let (value, slope, room) = self.moved(y, foretold, turn, round);
            values.push(value);
            slopes.push(slope);
            rooms[row] += room;
        }
        let device = y.device();
        let like =
            |values| Tensor::from_data(TensorData::new(values, [n, d]), (&device, y.dtype()));
        // The value is found on the host, its gradient is that of a line.
        let value = like(values) + (y.clone() - y.clone().detach()) * like(slopes);
        // Numbers that stay as they are may be too large for a square.
        let mean = value.clone().mul_scalar(0.5) + y.clone().mul_scalar(0.5);
        let squares = sum_rows((value.clone() - y) * mean);
        let rooms = TensorData::new(rooms, [n]);
        let rooms = Tensor::from_data(rooms, (&device, sum_dtype(&device)));
        Ok(Mapped { value, log_det: squares + rooms })
    }
}

impl Transform for Difference {
    fn dims(&self) -> usize {
        self.foretold.len()
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        self.mapped(x, given, Turn::Forward)
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        self.mapped(z, given, Turn::Back)
    }

    fn steps(&self, _weights: &Weights<'_>) -> Option<Steps> {
        Some(vec![Box::new(DifferenceStep(self.clone()))])
    }
}

/// The same without tensors.
#[derive(Debug)]
struct DifferenceStep(Difference);

impl<T: Real> Step<T> for DifferenceStep {
    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        Kept { tape, .. }: Kept<'_, T>,
    ) -> Result<()> {
        let Self(layer) = self;
        let (d, width) = (layer.foretold.len(), pass.context.len() / pass.tiles.max(1));
        let ([slopes, to], _) = tape.arrays(0);
        let (slopes, to) = (slopes.sized(x.len()), to.sized(x.len()));
        let round = |y: f64| T::from_f64(y).to_f64();
        for (at, x) in x.iter().enumerate() {
            let (column, row) = (at / TILE_ROWS, at % TILE_ROWS);
            let tile = column / d;
            let foretold = tile * width + layer.foretold[column % d] * TILE_ROWS + row;
            let (y, foretold) = (x.to_f64(), pass.context[foretold].to_f64());
            let (value, slope, room) = layer.moved(y, foretold, Turn::Forward, round);
            (slopes[at], to[at]) = (T::from_f64(slope), T::from_f64(value));
            let squares = if value == y { 0.0 } else { 0.5 * (value - y) * (value + y) };
            log_det[tile * TILE_ROWS + row] += room + squares;
        }
        z.copy_from_slice(to);
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        (Kept { tape, .. }, _): (Kept<'_, T>, &mut Scratch<T>),
        _gradient: &mut [T],
    ) {
        if !wanted {
            return;
        }
        let tile = self.0.foretold.len() * TILE_ROWS;
        let (slopes, to) = (tape.array(0), tape.array(1));
        for (at, (x, grad)) in x.iter().zip(grad).enumerate() {
            let by_log_det = pass.log_det_gradient[at / tile * TILE_ROWS + at % TILE_ROWS];
            if to[at] != *x {
                *grad = (*grad + by_log_det * to[at]) * slopes[at] - by_log_det * *x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(levels: u32) -> Difference {
        let spec = DifferenceSpec { channels: 1, levels, features: 0 };
        Difference::new(spec, Place::new(1, 1))
    }

    /// The level of a number after the layer, of one before it, given what was foretold.
    fn level(levels: u32, level: usize, foretold: u32) -> usize {
        let layer = layer(levels);
        let given = ImageShape::given_number(levels, foretold);
        let (y, _) = layer.cells.number(level, 0.1);
        let (to, slope, _) = layer.moved(y, given, Turn::Forward, |y| y);
        let (back, slope_back, _) = layer.moved(to, given, Turn::Back, |y| y);
        assert!((back - y).abs() < 1e-12 && (slope * slope_back - 1.0).abs() < 1e-9);
        layer.cells.locate(to).cell
    }

    #[test]
    fn what_was_foretold_goes_to_the_middle_and_others_round_it() {
        assert_eq!(level(256, 0, 0), 128);
        assert_eq!(level(256, 200, 200), 128);
        assert_eq!(level(256, 203, 200), 131);
        assert_eq!(level(256, 20, 200), 204);
        assert_eq!(level(256, 7, 128), 7);
        assert_eq!((0..5).map(|k| level(5, k, 1)).collect::<Vec<_>>(), [1, 2, 3, 4, 0]);
    }

    #[test]
    fn levels_move_as_a_whole_also_beside_the_borders_of_cells_and_in_single_precision() {
        let single = |y: f64| f64::from(y as f32);
        let layer = layer(256);
        let given = ImageShape::given_number(256, 3);
        for level in [0, 1, 130, 255] {
            for offset in [-1.0, -0.999_999_9, 0.0, 0.999_999_9, 1.0] {
                let y = layer.cells.rounded(level, layer.cells.number(level, offset).0, single);
                let (to, ..) = layer.moved(y, given, Turn::Forward, single);
                let (back, slope, _) = layer.moved(to, given, Turn::Back, single);
                assert_eq!(layer.cells.locate(back).cell, level, "{offset}");
                // Far out a number moves by many times what it is rounded by in the middle.
                let unit = f64::from(f32::EPSILON) * (to.abs() * slope + y.abs());
                assert!((back - y).abs() < 2.0 * unit + 1e-9, "{level} {offset}: {y} {back}");
            }
        }
        let far = layer.moved(-7.0, given, Turn::Forward, single);
        assert_eq!(far, (-7.0, 1.0, 0.0));
    }

    #[test]
    fn a_context_that_foretells_nothing_is_refused() {
        let spec = DifferenceSpec { channels: 2, levels: 256, features: 3 };
        assert!(spec.validate(Place::new(8, 20)).is_ok());
        for (dims, context) in [(8, 19), (7, 20), (8, 0)] {
            assert!(spec.validate(Place::new(dims, context)).is_err(), "{dims} {context}");
        }
        assert!(DifferenceSpec { levels: 1, ..spec }.validate(Place::new(8, 20)).is_err());
    }
}
