//! The standard normal distribution.

use burn::tensor::Tensor;

use crate::distribution::{Distribution, Sampler};
use crate::error::Result;
use crate::random::fill_normal;

/// `N(0, I)`: `log p(z) = -(d ln 2 pi + |z|^2) / 2`.
#[derive(Clone, Debug)]
pub struct Normal {
    dims: usize,
}

impl Normal {
    /// Standard normal in `dims` dimensions.
    pub fn new(dims: usize) -> Self {
        Self { dims }
    }
}

impl Distribution for Normal {
    fn dims(&self) -> usize {
        self.dims
    }

    fn log_prob(&self, z: Tensor<2>) -> Tensor<1> {
        diffeo_kernels::ops::standard_normal_log_prob(z)
    }

    fn sampler(&self) -> Result<Sampler> {
        Ok(Box::new(|rng, temperature, row| {
            fill_normal(rng, row);
            row.iter_mut().for_each(|z| *z *= temperature);
        }))
    }
}
