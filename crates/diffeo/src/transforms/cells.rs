//! Where a number lies in the cell of its level.

use crate::host::normal::{cdf, quantile};

/// A share of a cell so small that nothing is lost by what it is left out of, and so large that offsets keep their digits.
pub(super) const LITTLE_BEYOND: f64 = 1e-4;

/// The cells of the levels of images, `y = Phi^-1((k + v) / levels)` for `k` from 0 and `v` from 0 to 1. The two at the ends of the line have none themselves: a share of them lies beyond where
/// numbers have a place, as offsets would take digits from numbers far out.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    levels: f64,
    /// Share of a cell at the end that lies beyond.
    beyond: f64,
    /// The middle of each cell.
    middles: Vec<f64>,
}

/// The place of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// The cell.
    pub(super) cell: usize,
    /// From -1 at its start to 1 at its end.
    pub(super) offset: f64,
    /// Slope of the offset in the number; 0 beyond the reach of the cells.
    pub(super) slope: f64,
}

pub(super) fn density(y: f64) -> f64 {
    (-0.5 * y * y).exp() / std::f64::consts::TAU.sqrt()
}

impl Cells {
    /// How far out numbers have a place: with a share of a hundredth 2.6 for two levels, 3.9 for 256.
    pub(super) fn reach(levels: u32, beyond: f64) -> f64 {
        -quantile(beyond / f64::from(levels))
    }

    /// So many cells, of the two at the end of which this share lies beyond.
    pub(super) fn new(levels: u32, beyond: f64) -> Self {
        let count = f64::from(levels);
        let middle = |cell: u32| {
            let near = f64::from(cell.min(levels - 1 - cell)) + 0.5;
            let distance = quantile(near / count).abs();
            if 2 * cell + 1 < levels { -distance } else { distance }
        };
        let middles = (0..levels).map(middle).collect();
        Self { levels: count, beyond, middles }
    }

    pub(super) fn middle(&self, cell: usize) -> f64 {
        self.middles[cell]
    }

    /// Where a cell that is so many cells from its end of the line starts, and the share of it that has places.
    fn inside(&self, near: f64) -> (f64, f64) {
        if near == 0.0 { (self.beyond, 1.0 - self.beyond) } else { (0.0, 1.0) }
    }

    /// The share of a cell that has places.
    pub(super) fn share(&self, cell: usize) -> f64 {
        let cell = cell as f64;
        self.inside(cell.min(self.levels - 1.0 - cell)).1
    }

    /// Both ends of the line are counted from themselves: there are most digits there.
    pub(super) fn locate(&self, y: f64) -> Place {
        let last = self.levels - 1.0;
        let place = self.levels * cdf(-y.abs());
        let near = place.floor().min(last);
        let (start, share) = self.inside(near);
        let offset = (2.0 * (place - near - start) / share - 1.0).min(1.0);
        let is_inside = !place.is_nan() && (near > 0.0 || offset > -1.0);
        let (near, offset, slope) = match is_inside {
            true => (near, offset, 2.0 * self.levels * density(y) / share),
            false => (0.0, -1.0, 0.0),
        };
        match y > 0.0 {
            true => Place { cell: (last - near) as usize, offset: -offset, slope },
            false => Place { cell: near as usize, offset, slope },
        }
    }

    /// The number at an offset of a cell, and its slope in the offset.
    pub(super) fn number(&self, cell: usize, offset: f64) -> (f64, f64) {
        let (cell, offset) = (cell as f64, offset.clamp(-1.0, 1.0));
        let is_low = 2.0 * cell + 1.0 + offset <= self.levels;
        let (near, from) =
            if is_low { (cell, offset) } else { (self.levels - 1.0 - cell, -offset) };
        let (start, share) = self.inside(near);
        let y = quantile((near + start + share * (from + 1.0) / 2.0) / self.levels);
        let slope = share / (2.0 * self.levels * density(y));
        (if is_low { y } else { -y }, slope)
    }

    /// A number of this cell as `round` leaves it, moved towards the middle where that would bring it into the next one.
    pub(super) fn rounded(&self, cell: usize, y: f64, round: impl Fn(f64) -> f64) -> f64 {
        let middle = self.middle(cell);
        let is_inside = |y: f64| {
            let place = self.locate(y);
            place.cell == cell && place.slope > 0.0
        };
        let shares = (0..60).map(|i| if i == 0 { 0.0 } else { 0.5_f64.powi(60 - i) });
        let tries = shares.map(|share| round(y + share * (middle - y)));
        tries.into_iter().find(|y| is_inside(*y)).unwrap_or_else(|| round(middle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_their_places_with_all_their_digits() {
        for levels in [2, 3, 16, 256, 65_536] {
            let cells = Cells::new(levels, 0.01);
            for i in -400..400 {
                let y = Cells::reach(levels, 0.01) * (f64::from(i) + 0.5) / 400.0;
                let Place { cell, offset, slope } = cells.locate(y);
                let (back, back_slope) = cells.number(cell, offset);
                assert!((back - y).abs() < 1e-9, "{levels}: {y} {back}");
                assert!((slope * back_slope - 1.0).abs() < 1e-6, "{levels}: {y}");
                let share = f64::from(levels) * cdf(y);
                assert!((share - cell as f64 - 0.5).abs() <= 0.5 + 1e-9, "{levels}: {y} {cell}");
            }
        }
    }

    #[test]
    fn the_slope_is_that_of_the_offset() {
        let (cells, h) = (Cells::new(16, 0.01), 1e-6);
        for y in [-3.0, -2.0, -0.3, 0.2, 1.7, 3.1] {
            let of = |y| cells.locate(y);
            assert_eq!(of(y - h).cell, of(y + h).cell, "{y}");
            let found = (of(y + h).offset - of(y - h).offset) / (2.0 * h);
            assert!((found / of(y).slope - 1.0).abs() < 1e-5, "{y}");
        }
    }

    #[test]
    fn beyond_the_reach_there_is_no_place_and_the_ends_meet_it() {
        let cells = Cells::new(256, 0.01);
        for (y, cell, offset) in
            [(-5.0, 0, -1.0), (f64::NEG_INFINITY, 0, -1.0), (5.0, 255, 1.0), (1e300, 255, 1.0)]
        {
            assert_eq!(cells.locate(y), Place { cell, offset, slope: 0.0 });
        }
        assert!((cells.number(0, -1.0).0 + Cells::reach(256, 0.01)).abs() < 1e-9);
        assert!((cells.number(255, 1.0).0 - Cells::reach(256, 0.01)).abs() < 1e-9);
        assert!((3.9..4.0).contains(&Cells::reach(256, 0.01)));
        assert!(cells.locate(f64::NAN).slope == 0.0);
        assert!(Cells::new(5, 0.01).middle(2) == 0.0 && cells.middle(3) == -cells.middle(252));
    }

    #[test]
    fn a_number_is_rounded_within_its_cell() {
        let single = |y: f64| f64::from(y as f32);
        for levels in [2, 256, 65_536] {
            let cells = Cells::new(levels, 1e-4);
            for cell in [0, 1, levels as usize / 2, levels as usize - 1] {
                for offset in [-1.0, 0.3, 1.0] {
                    let (y, _) = cells.number(cell, offset);
                    let (near, far) = (cells.rounded(cell, y, single), cells.number(cell, 0.0).0);
                    assert_eq!(cells.locate(near).cell, cell, "{levels} {cell} {offset}");
                    assert!(cells.locate(near).slope > 0.0, "{levels} {cell} {offset}");
                    let width = (y - far).abs().max(1e-9);
                    assert!((near - y).abs() < 0.05 * width + 1e-6, "{levels} {cell} {offset}");
                }
            }
        }
    }
}
