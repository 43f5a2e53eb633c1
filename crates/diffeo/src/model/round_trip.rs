//! How far data -> base -> data misses: the proof, row by row, that the flow can be inverted where it is used.

use super::Model;
use crate::error::Result;
use crate::host::rows::Rows;

impl Model {
    /// The largest [`Model::round_trip_error`] of a row where the model is numerically invertible: 1e-2 in single precision, 1e-6 in
    /// double. Beyond it the density of the row is not to be relied on (Behrmann et al. AISTATS 2021, arXiv:2006.09347).
    pub fn round_trip_limit(&self) -> f64 {
        self.flow.spec().precision.round_trip_limit()
    }

    /// The round-trip error of each row, measured in base space: `max_j |z_j - z'_j|` with `z` the image of the row and `z'` that of
    /// the row that `z` is mapped back to, and at least the spacing of the model's numbers at `z_j`: rows closer than that are one
    /// row to the model, also where rounding happens to bring `z` back. Base space has unit scale, so one limit serves columns of
    /// any unit. NaN where a row is not finite or lies outside the support.
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
        self.encoding.settle(&mut back);
        let (again, _) = self.to_base(&back, context, threads)?;
        let rows = z.values().chunks_exact(z.width()).zip(again.values().chunks_exact(z.width()));
        let precision = self.flow.spec().precision;
        // `f64::max` would drop a NaN.
        let worse = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        let miss = |(a, b): (&f64, &f64)| worse((a - b).abs(), precision.spacing(*a));
        Ok(rows.map(|(a, b)| a.iter().zip(b).map(miss).fold(0.0, worse)).collect())
    }
}
