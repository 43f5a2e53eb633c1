//! The input of figures: named columns and a borrowed matrix of numbers.

use crate::dates::Clock;
use crate::error::PlotError;

/// A column of a table as a figure sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name on the axis; any text, cut where it does not fit.
    pub name: String,
    /// The distance between values that lie on a lattice, such as whole numbers: these get one bar each.
    pub step: Option<f64>,
    /// The names of levels, which are the values 0, 1, 2 and so on; none of a column of numbers.
    pub levels: Vec<String>,
    /// What numbers count that are dates or times.
    pub clock: Option<Clock>,
}

impl Column {
    /// A column of real numbers.
    pub fn real(name: impl Into<String>) -> Self {
        Self { name: name.into(), step: None, levels: Vec::new(), clock: None }
    }

    /// A column of dates, or of times.
    pub fn of_dates(name: impl Into<String>, clock: Clock) -> Self {
        let step = (clock == Clock::Days).then_some(1.0);
        Self { step, clock: Some(clock), ..Self::real(name) }
    }

    /// A column of levels with names, whose values are 0, 1, 2 and so on.
    pub fn of_levels(name: impl Into<String>, levels: Vec<String>) -> Self {
        Self { levels, ..Self::integer(name) }
    }

    /// A column of whole numbers.
    pub fn integer(name: impl Into<String>) -> Self {
        Self::stepped(name, 1.0)
    }

    /// A column of whole multiples of a step; one of real numbers if it is not positive and finite.
    pub fn stepped(name: impl Into<String>, step: f64) -> Self {
        let step = Some(step).filter(|step| step.is_normal() && *step > 0.0);
        Self { step, ..Self::real(name) }
    }

    /// Whether values are whole numbers.
    pub(crate) fn is_whole(&self) -> bool {
        self.step.is_some_and(|step| step.fract() == 0.0)
    }
}

/// A borrowed row-major matrix, `[n, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f64],
    width: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix over `values`, row after row.
    ///
    /// # Errors
    /// [`PlotError::Shape`] if the values do not fill whole rows.
    pub fn new(values: &'a [f64], width: usize) -> Result<Self, PlotError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(PlotError::Shape(format!(
                "expected rows of {width} values, found {} values in all",
                values.len()
            )));
        }
        Ok(Self { values, width })
    }

    /// A matrix without rows.
    pub const fn empty(width: usize) -> Self {
        Self { values: &[], width }
    }

    /// Number of rows.
    pub const fn len(&self) -> usize {
        match self.values.len().checked_div(self.width) {
            Some(rows) => rows,
            None => 0,
        }
    }

    /// Whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of columns.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The values of column `j`, from the first row on; none if there is no such column.
    pub fn column(&self, j: usize) -> impl Iterator<Item = f64> + use<'a> {
        self.values.get(j..).unwrap_or(&[]).iter().step_by(self.width.max(1)).copied()
    }

    /// The pairs of columns `i` and `j` in which both are finite.
    pub(crate) fn finite_pairs(&self, i: usize, j: usize) -> Vec<[f64; 2]> {
        let pairs = self.column(i).zip(self.column(j));
        pairs.filter(|(x, y)| x.is_finite() && y.is_finite()).map(|(x, y)| [x, y]).collect()
    }

    /// Refuses a matrix whose width differs from the number of columns named.
    pub(crate) fn expect_width(&self, width: usize, what: &str) -> Result<(), PlotError> {
        if self.width == width {
            return Ok(());
        }
        Err(PlotError::Shape(format!(
            "expected {what} with {width} columns, one per name, found {} columns",
            self.width
        )))
    }
}

/// A column split into its finite values and the number of others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finite {
    pub(crate) values: Vec<f64>,
    pub(crate) skipped: usize,
}

impl Finite {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut out = Self::default();
        for value in values {
            if value.is_finite() {
                out.values.push(value);
            } else {
                out.skipped += 1;
            }
        }
        out
    }

    /// The values at the given shares of the sorted order; empty without values.
    pub(crate) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        let mut values = self.values.clone();
        let last = values.len().checked_sub(1)?;
        // Selection instead of sorting: linear in the number of values.
        Some(shares.map(|share| {
            let at = ((last as f64) * share).round() as usize;
            *values.select_nth_unstable_by(at.min(last), f64::total_cmp).1
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_with_a_stride() {
        let m = Matrix::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3).unwrap();
        assert_eq!(m.column(1).collect::<Vec<_>>(), [2.0, 5.0]);
        assert_eq!(m.column(7).count(), 0);
        assert_eq!((m.len(), Matrix::empty(0).len()), (2, 0));
    }

    #[test]
    fn ragged_values_are_refused() {
        assert!(matches!(Matrix::new(&[1.0, 2.0, 3.0], 2), Err(PlotError::Shape(_))));
        assert!(matches!(Matrix::new(&[], 0), Err(PlotError::Shape(_))));
    }

    #[test]
    fn only_finite_values_are_kept() {
        let f = Finite::of([1.0, f64::NAN, f64::INFINITY, 3.0].into_iter());
        assert_eq!((f.values.len(), f.skipped), (2, 2));
        assert_eq!(f.quantiles([0.0, 1.0]), Some([1.0, 3.0]));
        assert_eq!(Finite::default().quantiles([0.5]), None);
    }
}
