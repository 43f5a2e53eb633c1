//! A fixed shift and scale per column: brings data to mean 0 and deviation 1.

use burn::tensor::{Tensor, TensorData};

use super::no_log_det;
use crate::error::{Error, Result};
use crate::transform::{Mapped, Transform};

/// `z_i = (x_i - center_i) / scale_i` with constants taken from the training data.
///
/// * forward: as above; inverse: `x_i = z_i scale_i + center_i`. Log-determinant: minus the sum of `ln scale_i`.
///
/// Runs in the precision of the data, so that a column like `1e9 ± 1` keeps its digits.
#[derive(Clone, Debug)]
pub struct Standardize {
    center: Vec<f64>,
    scale: Vec<f64>,
}

impl Standardize {
    /// # Errors
    /// [`crate::ErrorKind::Config`] unless every centre is finite and every scale finite and positive.
    pub fn new(center: Vec<f64>, scale: Vec<f64>) -> Result<Self> {
        // Normal, not merely above 0: the reciprocal of a subnormal scale overflows.
        let good = |(c, s): (&f64, &f64)| c.is_finite() && s.is_normal() && *s > 0.0;
        if center.len() != scale.len() || !center.iter().zip(&scale).all(good) {
            return Err(Error::config(
                "standardize: expected one finite centre and one positive finite scale per column",
            ));
        }
        Ok(Self { center, scale })
    }

    /// Standardises rows in place and returns the log-determinant, the same for each.
    pub(crate) fn forward_rows(&self, rows: &mut [f64]) -> f64 {
        for row in rows.chunks_exact_mut(self.center.len().max(1)) {
            let constants = self.center.iter().zip(&self.scale);
            row.iter_mut()
                .zip(constants)
                .for_each(|(v, (center, scale))| *v = (*v - center) / scale);
        }
        self.log_det()
    }

    fn row(values: &[f64], like: &Tensor<2>) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [1, values.len()]);
        Tensor::from_data(data, (&like.device(), like.dtype()))
    }

    fn log_det(&self) -> f64 {
        -self.scale.iter().map(|s| s.ln()).sum::<f64>()
    }
}

impl Transform for Standardize {
    fn dims(&self) -> usize {
        self.center.len()
    }

    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        let log_det = no_log_det(&x).add_scalar(self.log_det());
        let (center, scale) = (Self::row(&self.center, &x), Self::row(&self.scale, &x));
        Ok(Mapped { value: (x - center) / scale, log_det })
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        let log_det = no_log_det(&z).sub_scalar(self.log_det());
        let (center, scale) = (Self::row(&self.center, &z), Self::row(&self.scale, &z));
        Ok(Mapped { value: z * scale + center, log_det })
    }
}
