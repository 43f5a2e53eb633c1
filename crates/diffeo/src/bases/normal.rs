//! The standard normal distribution.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{DescribeBase, Distribution, Sampler, Written};
use crate::error::Result;
use crate::host::random::fill_normal;
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// A [`Normal`] base, described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalSpec {}

impl DescribeBase for NormalSpec {
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn count(&self, _dims: u64) -> Option<u64> {
        Some(0)
    }

    fn build(&self, dims: usize, _init: &mut Init) -> Result<Box<dyn Distribution>> {
        Ok(Box::new(Normal::new(dims)))
    }
}

impl Written for NormalSpec {
    const USAGE: &'static str = "normal";

    fn written(number: Option<f64>) -> Option<Self> {
        number.is_none().then_some(Self {})
    }
}

impl Cases for NormalSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self {}]
    }
}

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

    fn is_standard_normal(&self) -> bool {
        true
    }
}
