//! Counting values into bins, in one and two dimensions.

use crate::axis::Range;
use crate::matrix::Finite;

/// Equal bins on a stretch of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bins {
    low: f64,
    step: f64,
    count: usize,
}

impl Bins {
    /// `count` bins that fill a range.
    pub(crate) fn filling(range: Range, count: usize) -> Self {
        Self { low: range.low, step: range.span() / count.max(1) as f64, count: count.max(1) }
    }

    /// Bins for a histogram on an axis: Freedman and Diaconis (1981), at least `least` and at most `most`.
    ///
    /// An edge lies at the smallest value drawn, so that a density that starts abruptly is not smeared
    /// over a bin that is half empty. Numbers of a lattice lie in the middle of their bins.
    pub(crate) fn for_axis(
        values: &Finite,
        axis: Range,
        lattice: Option<f64>,
        most: usize,
    ) -> Self {
        const LEAST: usize = 10;
        if let Some(unit) = lattice.filter(|unit| axis.span() / unit < 1e9) {
            let step = (axis.span() / unit / most.max(1) as f64).ceil().max(1.0) * unit;
            let low = ((axis.low / unit - 0.5).ceil() - 0.5) * unit;
            return Self::covering(low, step, axis);
        }
        let Some([least, lower, upper, largest]) = values.quantiles([0.0, 0.25, 0.75, 1.0]) else {
            return Self::filling(axis, LEAST.max(most / 2));
        };
        let (start, end) = (least.max(axis.low), largest.min(axis.high));
        let span = Range::new(start, end).span().min(axis.span());
        let width = 2.0 * (upper - lower) / (values.values.len() as f64).cbrt();
        let wanted = if width > 0.0 { span / width } else { most as f64 / 2.0 };
        let count = wanted.round().clamp(LEAST.min(most) as f64, most as f64);
        let constant = largest <= least;
        // A constant sits in the middle of one bin, anything else starts at an edge.
        let start = if constant { start - span / count / 2.0 } else { start };
        Self::covering(start, span / count, axis)
    }

    /// Bins with an edge at `edge` that cover the whole axis.
    fn covering(edge: f64, step: f64, axis: Range) -> Self {
        let before = ((edge - axis.low) / step - 1e-9).ceil().clamp(0.0, 4096.0);
        let low = edge - before * step;
        let count = ((axis.high - low) / step - 1e-9).ceil().clamp(1.0, 4096.0) as usize;
        Self { low, step, count }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The bin of a value, if it has one.
    pub(crate) fn index(&self, value: f64) -> Option<usize> {
        let at = (value - self.low) / self.step;
        // The last edge belongs to the last bin: a range that ends at the largest value holds it.
        if at == self.count as f64 {
            return Some(self.count - 1);
        }
        (at >= 0.0 && at < self.count as f64).then_some(at as usize)
    }

    /// Lower and upper edge of a bin.
    pub(crate) fn edges(&self, index: usize) -> [f64; 2] {
        [self.low + index as f64 * self.step, self.low + (index + 1) as f64 * self.step]
    }

    /// Share of all values per bin; values outside count in the total, so that heights compare.
    pub(crate) fn shares(&self, values: &[f64]) -> Vec<f64> {
        let mut counts = vec![0.0; self.count];
        for index in values.iter().filter_map(|&v| self.index(v)) {
            counts[index] += 1.0;
        }
        let total = values.len().max(1) as f64;
        counts.iter_mut().for_each(|c| *c /= total);
        counts
    }
}

/// Counts over a rectangle.
#[derive(Clone, Debug)]
pub(crate) struct Counts2d {
    pub(crate) x: Bins,
    pub(crate) y: Bins,
    /// Row-major, row = y from below.
    pub(crate) counts: Vec<f64>,
}

impl Counts2d {
    pub(crate) fn of(points: &[[f64; 2]], x: Bins, y: Bins) -> Self {
        let mut counts = vec![0.0; x.count() * y.count()];
        for &[px, py] in points {
            if let (Some(i), Some(j)) = (x.index(px), y.index(py)) {
                counts[j * x.count() + i] += 1.0;
            }
        }
        Self { x, y, counts }
    }

    /// The count of the cell that holds a place, 0 outside.
    pub(crate) fn at(&self, x: f64, y: f64) -> f64 {
        match (self.x.index(x), self.y.index(y)) {
            (Some(i), Some(j)) => self.counts[j * self.x.count() + i],
            _ => 0.0,
        }
    }

    pub(crate) fn largest(&self) -> f64 {
        self.counts.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_the_part_inside() {
        let bins = Bins::filling(Range::new(0.0, 1.0), 4);
        let shares = bins.shares(&[0.1, 0.3, 0.3, 1.0, 2.0]);
        assert_eq!(shares, [0.2, 0.4, 0.0, 0.2]);
    }

    #[test]
    fn whole_numbers_lie_in_the_middle() {
        let values = Finite::of((0..5).map(f64::from));
        let bins = Bins::for_axis(&values, Range::new(-0.6, 4.6), Some(1.0), 40);
        let index = bins.index(3.0).unwrap();
        assert_eq!(bins.edges(index), [2.5, 3.5]);
    }

    #[test]
    fn bins_start_at_the_smallest_value_and_cover_the_axis() {
        let values = Finite::of((0..1000).map(|i| f64::from(i) / 100.0));
        let axis = Range::new(0.0, 9.99).padded(0.05);
        let bins = Bins::for_axis(&values, axis, None, 40);
        assert!((0..bins.count()).any(|i| bins.edges(i)[0].abs() < 1e-9));
        assert!(
            bins.edges(0)[0] <= axis.low && bins.edges(bins.count() - 1)[1] >= axis.high - 1e-6
        );
    }

    #[test]
    fn hostile_columns_make_few_bins() {
        for values in [vec![], vec![5.0; 9], vec![0.0, 1e-300], vec![-1e308, 1e308], vec![0.0; 99]]
        {
            let values = Finite::of(values.into_iter());
            let axis = Range::of(&values, &Finite::default()).padded(0.05);
            for lattice in [None, Some(1.0), Some(0.1), Some(1e-300)] {
                assert!((1..=4096).contains(&Bins::for_axis(&values, axis, lattice, 40).count()));
            }
        }
    }
}
