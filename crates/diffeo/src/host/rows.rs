//! A row-major matrix of `f64` on the host: what tables become before they meet a flow.

use std::ops::Range;

use crate::error::{Error, Result};

/// `n` rows of `width` numbers, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    values: Vec<f64>,
    width: usize,
}

impl Rows {
    /// Takes `n * width` numbers, row after row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if `width` is zero or does not divide the number of values.
    pub fn new(values: Vec<f64>, width: usize) -> Result<Self> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::shape(format!(
                "expected a whole number of rows of width {width} (at least 1), found {} values",
                values.len()
            )));
        }
        Ok(Self { values, width })
    }

    /// `n` rows of zeros.
    pub fn zeros(n: usize, width: usize) -> Self {
        Self { values: vec![0.0; n * width], width: width.max(1) }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All numbers, row after row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// All numbers, row after row, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Rows::len`].
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// Row `i`, to be changed in place.
    ///
    /// # Panics
    /// If `i` is not below [`Rows::len`].
    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.width..(i + 1) * self.width]
    }

    /// Column `j` as a vector of its own.
    pub fn column(&self, j: usize) -> Vec<f64> {
        self.values.iter().skip(j).step_by(self.width).copied().collect()
    }

    /// The rows of a range, copied.
    ///
    /// # Panics
    /// If the range ends after [`Rows::len`].
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let values = self.values[rows.start * self.width..rows.end * self.width].to_vec();
        Self { values, width: self.width }
    }

    /// The rows with the given numbers, in that order.
    ///
    /// # Panics
    /// If an index is not below [`Rows::len`].
    pub fn select(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&i| self.row(i)).copied().collect();
        Self { values, width: self.width }
    }

    /// The numbers themselves.
    pub fn into_values(self) -> Vec<f64> {
        self.values
    }
}

/// The rows that hold a number beyond the largest one, and their log-density: a row with NaN is not known, all densities go to zero at
/// infinity.
pub(crate) fn density_of_bad(values: &[f64], width: usize, largest: f64) -> Vec<(usize, f64)> {
    // False for NaN.
    let good = |v: &f64| v.abs() <= largest;
    if values.iter().all(good) {
        return Vec::new();
    }
    let bad = |(i, row): (usize, &[f64])| {
        let nan = row.iter().any(|v| v.is_nan());
        let density = if nan { f64::NAN } else { f64::NEG_INFINITY };
        (!row.iter().all(good)).then_some((i, density))
    };
    values.chunks_exact(width).enumerate().filter_map(bad).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns() {
        let rows = Rows::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2).unwrap();
        assert_eq!((rows.len(), rows.row(1)), (3, &[3.0, 4.0][..]));
        assert_eq!(rows.column(1), [2.0, 4.0, 6.0]);
        assert_eq!(rows.select(&[2, 0]).values(), [5.0, 6.0, 1.0, 2.0]);
        assert!(Rows::new(vec![1.0], 2).is_err() && Rows::new(vec![], 0).is_err());
    }
}
