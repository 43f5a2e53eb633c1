//! The uniform distribution on a box.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;
use serde::{Deserialize, Serialize};

use super::{DescribeBase, Distribution, Sampler, Written};
use crate::error::{Error, Result};
use crate::host::random::uniform;
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// A [`Uniform`] base, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniformSpec {
    /// Lower bound in every dimension.
    pub low: f64,
    /// Upper bound in every dimension.
    pub high: f64,
}

impl DescribeBase for UniformSpec {
    fn validate(&self) -> Result<()> {
        if self.low.is_finite() && self.high.is_finite() && self.low < self.high {
            return Ok(());
        }
        Err(Error::config(format!(
            "uniform base: expected finite bounds with low < high, found [{}, {}]",
            self.low, self.high
        )))
    }

    fn count(&self, _dims: u64) -> Option<u64> {
        Some(0)
    }

    fn build(&self, dims: usize, _init: &mut Init) -> Result<Box<dyn Distribution>> {
        self.validate()?;
        Ok(Box::new(Uniform { dims, low: self.low, high: self.high }))
    }
}

impl Written for UniformSpec {
    const USAGE: &'static str = "uniform[:BOUND]";

    fn written(number: Option<f64>) -> Option<Self> {
        let high = number.unwrap_or(5.0);
        Some(Self { low: -high, high })
    }
}

impl Cases for UniformSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { low: -6.0, high: 5.0 }]
    }
}

/// Uniform on `[low, high]^d`: `log p(z) = -d ln(high - low)` inside, `-inf` outside.
///
/// Reference: Johnson, Kotz, Balakrishnan. *Continuous Univariate Distributions*, volume 2. Wiley 1995, chapter 26.
#[derive(Clone, Debug)]
pub struct Uniform {
    dims: usize,
    low: f64,
    high: f64,
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
