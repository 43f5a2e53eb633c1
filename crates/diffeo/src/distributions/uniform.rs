//! The uniform distribution on a box.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;

use crate::distribution::{Distribution, Sampler};
use crate::error::{Error, Result};
use crate::random::uniform;

/// Uniform on `[low, high]^d`: `log p(z) = -d ln(high - low)` inside, `-inf` outside.
#[derive(Clone, Debug)]
pub struct Uniform {
    dims: usize,
    low: f64,
    high: f64,
}

impl Uniform {
    /// # Errors
    /// [`crate::ErrorKind::Config`] unless the bounds are finite and `low < high`.
    pub fn new(dims: usize, low: f64, high: f64) -> Result<Self> {
        if low.is_finite() && high.is_finite() && low < high {
            return Ok(Self { dims, low, high });
        }
        Err(Error::config(format!(
            "uniform base: expected finite bounds with low < high, found [{low}, {high}]"
        )))
    }
}

impl Distribution for Uniform {
    fn dims(&self) -> usize {
        self.dims
    }

    fn log_prob(&self, z: Tensor<2>) -> Tensor<1> {
        let inside =
            z.clone().greater_equal_elem(self.low).bool_and(z.clone().lower_equal_elem(self.high));
        let log_density = z.zeros_like().sub_scalar((self.high - self.low).ln());
        // NaN is neither inside nor outside: it stays NaN in its own row.
        let log_density = log_density.mask_fill(inside.bool_not(), f64::NEG_INFINITY);
        sum_rows(log_density.mask_where(z.clone().is_nan(), z))
    }

    fn sampler(&self) -> Result<Sampler> {
        let (low, high) = (self.low, self.high);
        let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
        Ok(Box::new(move |rng, temperature, row| {
            for z in row {
                *z = (middle + temperature * half * (2.0 * uniform(rng) - 1.0)).clamp(low, high);
            }
        }))
    }
}
