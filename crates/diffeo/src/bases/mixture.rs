//! A mixture of Gaussians with diagonal covariances.

use burn::tensor::{Tensor, activation};
use diffeo_kernels::ops::sum_dtype;
use serde::{Deserialize, Serialize};

use super::{DescribeBase, Distribution, Sampler, Written};
use crate::error::{Error, Result};
use crate::host::linalg::host_values;
use crate::host::random::{normal, uniform};
use crate::parameter::{Init, Parameter, Visitor};
use crate::{catalog::Cases, place::Place};

/// A [`Mixture`] base, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureSpec {
    /// Number of Gaussians.
    pub components: usize,
}

impl DescribeBase for MixtureSpec {
    fn validate(&self) -> Result<()> {
        if (1..=4096).contains(&self.components) {
            return Ok(());
        }
        Err(Error::config(format!(
            "mixture base: expected 1 to 4096 components, found {}",
            self.components
        )))
    }

    fn count(&self, dims: u64) -> Option<u64> {
        (self.components as u64).checked_mul(2 * dims)?.checked_add(self.components as u64)
    }

    fn build(&self, dims: usize, init: &mut Init) -> Result<Box<dyn Distribution>> {
        self.validate()?;
        Ok(Box::new(Mixture::new(dims, self.components, init)))
    }
}

impl Written for MixtureSpec {
    const USAGE: &'static str = "mixture[:COMPONENTS]";

    fn written(number: Option<f64>) -> Option<Self> {
        let count = number.unwrap_or(8.0);
        // What is no count is refused as zero is.
        Some(Self { components: if count.fract() == 0.0 { count as usize } else { 0 } })
    }
}

impl Cases for MixtureSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { components: 3 }]
    }
}

/// `p(z) = sum_k w_k N(z; mu_k, diag(e^(2 s_k)))`, all trainable; `s = S tanh(raw / S)` with `S = 7`.
///
/// Reference: McLachlan, Peel. *Finite Mixture Models*. Wiley 2000, chapter 3.
#[derive(Clone, Debug)]
pub struct Mixture {
    logits: Parameter,
    means: Parameter,
    log_scales: Parameter,
}

impl Mixture {
    const LOG_SCALE_MAX: f64 = 7.0;

    /// `components` Gaussians of equal weight with spread-out random means.
    pub fn new(dims: usize, components: usize, init: &mut Init) -> Self {
        let means = if components == 1 {
            init.full([1, dims], 0.0)
        } else {
            init.uniform([components, dims], 1.5)
        };
        Self {
            logits: Parameter::new(init.full([1, components], 0.0)),
            means: Parameter::new(means),
            log_scales: Parameter::new(init.full([components, dims], 0.0)),
        }
    }

    fn log_scales(&self) -> Tensor<2> {
        self.log_scales.bounded(Self::LOG_SCALE_MAX)
    }

    fn log_weights(&self) -> Tensor<2> {
        activation::log_softmax(self.logits.value.clone(), 1)
    }
}

impl Distribution for Mixture {
    fn dims(&self) -> usize {
        self.means.value.dims()[1]
    }

    fn log_prob(&self, z: Tensor<2>) -> Tensor<1> {
        let [n, d] = z.dims();
        let k = self.means.value.dims()[0];
        let dtype = sum_dtype(&z.device());
        let log_scales = self.log_scales();
        let means: Tensor<3> = self.means.value.clone().reshape([1, k, d]);
        let scales: Tensor<3> = log_scales.clone().exp().reshape([1, k, d]);
        let z: Tensor<3> = z.reshape([n, 1, d]);
        let square = ((z - means) / scales).cast(dtype).square().sum_dim(2).reshape([n, k]);
        let volume = log_scales.cast(dtype).sum_dim(1).reshape([1, k]);
        let constant = -0.5 * d as f64 * (2.0 * std::f64::consts::PI).ln();
        let each: Tensor<2> =
            self.log_weights().cast(dtype) - volume - square.mul_scalar(0.5) + constant;
        // Log-sum-exp about the largest term; so far out that every square overflows, the density is zero, not NaN.
        let top = each.clone().detach().max_dim(1).clamp_min(f64::MIN);
        let sum = (each - top.clone()).exp().sum_dim(1).log() + top;
        sum.reshape([n])
    }

    fn sampler(&self) -> Result<Sampler> {
        let weights: Vec<f64> = host_values(self.log_weights())?.iter().map(|w| w.exp()).collect();
        let means = host_values(self.means.value.clone())?;
        let scales: Vec<f64> = host_values(self.log_scales())?.iter().map(|s| s.exp()).collect();
        let d = self.dims();
        Ok(Box::new(move |rng, temperature, row| {
            let mut left = uniform(rng);
            let chosen = weights
                .iter()
                .position(|w| {
                    left -= w;
                    left < 0.0
                })
                .unwrap_or(weights.len() - 1);
            for (i, z) in row.iter_mut().enumerate() {
                let at = chosen * d + i;
                *z = means[at] + temperature * scales[at] * normal(rng);
            }
        }))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("logits", &mut self.logits);
        visitor("means", &mut self.means);
        visitor("log_scales", &mut self.log_scales);
    }
}
