//! How far data -> base -> data misses: the proof, row by row, that the flow can be inverted where it is used.

use super::Model;
use crate::columns::Cells;
use crate::error::Result;
use crate::host::rows::Rows;

impl Model {
    /// The largest [`Model::round_trip_error`] of a row where the model is numerically invertible: 1e-2 in single precision, 1e-6 in
    /// double. Beyond it the density of the row is not to be relied on (Behrmann et al. AISTATS 2021, arXiv:2006.09347).
    pub fn round_trip_limit(&self) -> f64 {
        self.flow.spec().precision.round_trip_limit()
    }

    /// The round-trip error of each row, measured in base space: `max_j |z_j - z'_j|` with `z` the image of the row and `z'` that of
    /// the row that `z` is mapped back to. Base space has unit scale, so one limit serves columns of any unit. NaN where a row is
    /// not finite or lies outside the support.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn round_trip_error(
        &self,
        x: &Rows,
        context: Option<&Rows>,
        threads: usize,
    ) -> Result<Vec<f64>> {
        let (z, _) = self.to_base(x, context, threads)?;
        let (mut back, _) = self.to_data(&z, context, threads)?;
        Cells::new(&self.schema).settle(&mut back);
        let (again, _) = self.to_base(&back, context, threads)?;
        let rows = z.values().chunks_exact(z.width()).zip(again.values().chunks_exact(z.width()));
        let miss = |(a, b): (&[f64], &[f64])| {
            // `f64::max` would drop a NaN.
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |worst: f64, miss| {
                if worst.is_nan() || miss.is_nan() { f64::NAN } else { worst.max(miss) }
            })
        };
        Ok(rows.map(miss).collect())
    }
}
