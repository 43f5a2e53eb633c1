//! Independent Student-t distributions: a base with heavy tails.

use burn::tensor::Tensor;
use diffeo_kernels::ops::{softplus, sum_rows};
use serde::{Deserialize, Serialize};

use super::{DescribeBase, Distribution, Sampler, Written};
use crate::error::{Error, Result};
use crate::host::linalg::host_values;
use crate::host::random::{normal, uniform};
use crate::parameter::{Init, Parameter, Visitor};
use crate::{catalog::Cases, place::Place};

/// A [`StudentT`] base, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentTSpec {
    /// Degrees of freedom to start from.
    pub dof: f64,
}

impl DescribeBase for StudentTSpec {
    fn validate(&self) -> Result<()> {
        if self.dof > 1.0 && self.dof <= 1000.0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "student-t base: expected degrees of freedom in (1, 1000], found {}",
            self.dof
        )))
    }

    fn count(&self, dims: u64) -> Option<u64> {
        Some(dims)
    }

    fn build(&self, dims: usize, init: &mut Init) -> Result<Box<dyn Distribution>> {
        self.validate()?;
        Ok(Box::new(StudentT::new(dims, self.dof, init)))
    }
}

impl Written for StudentTSpec {
    const USAGE: &'static str = "student-t[:DOF]";

    fn written(number: Option<f64>) -> Option<Self> {
        Some(Self { dof: number.unwrap_or(5.0) })
    }
}

impl Cases for StudentTSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { dof: 4.0 }]
    }
}

/// Student-t with its own degrees of freedom `nu_i` in every dimension, location 0 and scale 1.
///
/// `log p(z) = sum_i ln G((nu+1)/2) - ln G(nu/2) - ln(nu pi)/2 - (nu+1)/2 ln(1 + z^2/nu)`, with `nu = 1 + softplus(raw)` trainable:
/// the mean always exists.
///
/// Reference: Jaini, Kobyzev, Yu, Brubaker. *Tails of Lipschitz Triangular Flows*. ICML 2020, arXiv:1907.04481.
#[derive(Clone, Debug)]
pub struct StudentT {
    raw: Parameter,
}

impl StudentT {
    /// `dof`, above 1, is the starting value of every `nu`.
    pub fn new(dims: usize, dof: f64, init: &Init) -> Self {
        // softplus^-1(dof - 1)
        let raw = (dof - 1.0) + (-(1.0 - dof).exp()).ln_1p();
        Self { raw: Parameter::new(init.full([1, dims], raw)) }
    }

    fn dof(&self) -> Tensor<2> {
        softplus(self.raw.value.clone()).add_scalar(1.0)
    }
}

/// `ln Gamma(x)` for `x > 0`: Stirling's series at `x + 8`, brought back by the recurrence; 1e-13 relative in `f64`.
fn ln_gamma(x: Tensor<2>) -> Tensor<2> {
    let mut product = x.clone();
    for k in 1..8 {
        product = product * x.clone().add_scalar(f64::from(k));
    }
    let y = x.add_scalar(8.0);
    let r = y.clone().recip();
    let r2 = r.clone().square();
    // B_2k / (2k (2k - 1)): 1/12, -1/360, 1/1260, -1/1680, 1/1188, -691/360360.
    let series =
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let mut sum = r.zeros_like();
    for coefficient in series.iter().rev() {
        sum = sum * r2.clone() + *coefficient;
    }
    let half_ln_tau = 0.5 * (2.0 * std::f64::consts::PI).ln();
    y.clone().sub_scalar(0.5) * y.clone().log() - y + half_ln_tau + sum * r - product.log()
}

impl Distribution for StudentT {
    fn dims(&self) -> usize {
        self.raw.value.dims()[1]
    }

    fn log_prob(&self, z: Tensor<2>) -> Tensor<1> {
        let nu = self.dof();
        let half = nu.clone().add_scalar(1.0).mul_scalar(0.5);
        let norm = ln_gamma(half.clone())
            - ln_gamma(nu.clone().mul_scalar(0.5))
            - nu.clone().mul_scalar(std::f64::consts::PI).log().mul_scalar(0.5);
        // ln(1 + z^2 / nu) = 2 ln|z| - ln nu for huge z, where the square would overflow.
        const HUGE: f64 = 1e15;
        let size = z.abs();
        let near = (size.clone().clamp_max(HUGE).square() / nu.clone()).log1p();
        let far = size.clone().clamp_min(HUGE).log().sub_scalar(HUGE.ln()).mul_scalar(2.0);
        sum_rows(norm - half * (near + far))
    }

    fn sampler(&self) -> Result<Sampler> {
        let dof = host_values(self.dof())?;
        Ok(Box::new(move |rng, temperature, row| {
            for (z, &nu) in row.iter_mut().zip(&dof) {
                let chi2 = 2.0 * standard_gamma(0.5 * nu, rng);
                *z = temperature * normal(rng) * (nu / chi2).sqrt();
            }
        }))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("dof", &mut self.raw);
    }
}

/// Gamma(shape, 1) by Marsaglia and Tsang (2000); for `shape < 1` by the power-of-a-uniform boost.
fn standard_gamma(shape: f64, rng: &mut rand_chacha::ChaCha8Rng) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - uniform(rng)).powf(1.0 / shape);
        return boost * standard_gamma(shape + 1.0, rng);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - uniform(rng)).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}
