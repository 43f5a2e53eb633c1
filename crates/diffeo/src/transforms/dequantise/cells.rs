//! Where a number lies in the cell of its level.

use crate::host::normal::{cdf, quantile};

/// The cells of the levels of images, `y = Phi^-1((k + v) / levels)` for `k` from 0 and `v` from 0 to 1. The two at the ends of the line have none themselves: a share of them lies beyond where
/// numbers have a place, as offsets would take digits from numbers far out.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    levels: f64,
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

fn density(y: f64) -> f64 {
    (-0.5 * y * y).exp() / std::f64::consts::TAU.sqrt()
}

impl Cells {
    /// Share of a cell at the end that lies beyond.
    const BEYOND: f64 = 0.01;

    /// How far out numbers have a place: 2.6 for two levels, 3.9 for 256.
    pub(super) fn reach(levels: u32) -> f64 {
        -quantile(Self::BEYOND / f64::from(levels))
    }

    pub(super) fn new(levels: u32) -> Self {
        let count = f64::from(levels);
        let middle = |cell: u32| {
            let near = f64::from(cell.min(levels - 1 - cell)) + 0.5;
            let distance = quantile(near / count).abs();
            if 2 * cell + 1 < levels { -distance } else { distance }
        };
        let middles = (0..levels).map(middle).collect();
        Self { levels: count, middles }
    }

    pub(super) fn middle(&self, cell: usize) -> f64 {
        self.middles[cell]
    }

    /// Where a cell that is so many cells from its end of the line starts, and the share of it that has places.
    fn inside(near: f64) -> (f64, f64) {
        if near == 0.0 { (Self::BEYOND, 1.0 - Self::BEYOND) } else { (0.0, 1.0) }
    }

    /// Both ends of the line are counted from themselves: there are most digits there.
    pub(super) fn locate(&self, y: f64) -> Place {
        let last = self.levels - 1.0;
        let place = self.levels * cdf(-y.abs());
        let near = place.floor().min(last);
        let (start, share) = Self::inside(near);
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
        let (start, share) = Self::inside(near);
        let y = quantile((near + start + share * (from + 1.0) / 2.0) / self.levels);
        let slope = share / (2.0 * self.levels * density(y));
        (if is_low { y } else { -y }, slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_their_places_with_all_their_digits() {
        for levels in [2, 3, 16, 256, 65_536] {
            let cells = Cells::new(levels);
            for i in -400..400 {
                let y = Cells::reach(levels) * (f64::from(i) + 0.5) / 400.0;
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
        let (cells, h) = (Cells::new(16), 1e-6);
        for y in [-3.0, -2.0, -0.3, 0.2, 1.7, 3.1] {
            let of = |y| cells.locate(y);
            assert_eq!(of(y - h).cell, of(y + h).cell, "{y}");
            let found = (of(y + h).offset - of(y - h).offset) / (2.0 * h);
            assert!((found / of(y).slope - 1.0).abs() < 1e-5, "{y}");
        }
    }

    #[test]
    fn beyond_the_reach_there_is_no_place_and_the_ends_meet_it() {
        let cells = Cells::new(256);
        for (y, cell, offset) in
            [(-5.0, 0, -1.0), (f64::NEG_INFINITY, 0, -1.0), (5.0, 255, 1.0), (1e300, 255, 1.0)]
        {
            assert_eq!(cells.locate(y), Place { cell, offset, slope: 0.0 });
        }
        assert!((cells.number(0, -1.0).0 + Cells::reach(256)).abs() < 1e-9);
        assert!((cells.number(255, 1.0).0 - Cells::reach(256)).abs() < 1e-9);
        assert!((3.9..4.0).contains(&Cells::reach(256)));
        assert!(cells.locate(f64::NAN).slope == 0.0);
        assert!(Cells::new(5).middle(2) == 0.0 && cells.middle(3) == -cells.middle(252));
    }
}
