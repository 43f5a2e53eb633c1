//! A map that is the identity plus a contraction.

mod activation;
mod determinant;
mod fixed_point;
mod jacobian;
mod network;
mod norm;
mod plain;
mod roulette;
mod step;
#[cfg(test)]
mod tests;

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::network::NetworkSpec;
use crate::parameter::{Init, Visitor};
use crate::step::{Steps, Weights};
use crate::transform::{Given, Mapped, Transform};
pub use activation::ContractiveActivation;
use network::{Held, Network, Slopes};
pub use norm::LipschitzNorm;

/// A [`Residual`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualSpec {
    /// Widths of the hidden layers of `g`.
    pub hidden: Vec<usize>,
    /// The non-linearity of `g`.
    #[serde(default)]
    pub activation: ContractiveActivation,
    /// The norm in which `g` contracts.
    #[serde(default)]
    pub norm: LipschitzNorm,
    /// `k`, what `g` shrinks distances by at least, in `(0, 0.99]`.
    #[serde(default = "lipschitz")]
    pub lipschitz: f64,
    /// Most columns whose log-determinant is exact in training, too; with more it is estimated there.
    #[serde(default = "exact_dims")]
    pub exact_dims: usize,
    /// Terms of the estimate that are always taken.
    #[serde(default = "terms")]
    pub terms: usize,
}

fn lipschitz() -> f64 {
    0.97
}

fn exact_dims() -> usize {
    32
}

fn terms() -> usize {
    4
}

impl ResidualSpec {
    /// Largest `k`: the plain iteration then gains a digit in 230 steps.
    pub const LIPSCHITZ_MAX: f64 = 0.99;
    /// Most columns: an exact density takes a Jacobian for each row.
    pub const DIMS_MAX: usize = 1024;
    /// Most terms that are always taken.
    pub const TERMS_MAX: usize = 1000;

    /// The usual layer with such a network.
    pub fn new(hidden: Vec<usize>) -> Self {
        Self {
            hidden,
            activation: ContractiveActivation::default(),
            norm: LipschitzNorm::default(),
            lipschitz: lipschitz(),
            exact_dims: exact_dims(),
            terms: terms(),
        }
    }

    fn network(&self) -> NetworkSpec {
        NetworkSpec {
            hidden: self.hidden.clone(),
            residual: false,
            activation: crate::network::Activation::default(),
        }
    }
}

impl Describe for ResidualSpec {
    fn validate(&self, at: Place) -> Result<()> {
        self.network().validate()?;
        if !(self.lipschitz > 0.0 && self.lipschitz <= Self::LIPSCHITZ_MAX) {
            return Err(Error::config(format!(
                "residual: lipschitz must be in (0, {}], found {}",
                Self::LIPSCHITZ_MAX,
                self.lipschitz
            )));
        }
        if !(1..=Self::DIMS_MAX).contains(&at.dims) {
            return Err(Error::config(format!(
                "residual: columns must be in 1..={}, as a density takes so many passes of the network, found {}",
                Self::DIMS_MAX,
                at.dims
            )));
        }
        if !(1..=Self::TERMS_MAX).contains(&self.terms) {
            return Err(Error::config(format!(
                "residual: terms must be in 1..={}, found {}",
                Self::TERMS_MAX,
                self.terms
            )));
        }
        let widest = LipschitzNorm::SPECTRAL_WIDTH_MAX;
        match self.hidden.iter().find(|width| **width > widest) {
            Some(width) if self.norm == LipschitzNorm::Spectral => Err(Error::config(format!(
                "residual: expected hidden widths of at most {widest} for the spectral norm, found {width}; use the norm infinity"
            ))),
            _ => Ok(()),
        }
    }

    fn count(&self, at: Place) -> Option<u64> {
        let (d, c) = (at.dims as u64, at.context as u64);
        let betas = match self.activation {
            ContractiveActivation::LipSwish => self.hidden.len() as u64,
            _ => 0,
        };
        self.network().count(d, c, d)?.checked_add(betas)
    }

    fn work(&self, at: Place) -> Option<u64> {
        // The Jacobian takes so many passes; the inverse, some ten.
        self.count(at)?.checked_mul(1 + at.dims as u64)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(Residual::new(self, at, init)))
    }
}

impl Cases for ResidualSpec {
    fn cases(_at: Place) -> Vec<Self> {
        let usual = Self::new(vec![12, 12]);
        let tanh = Self {
            activation: ContractiveActivation::Tanh,
            norm: LipschitzNorm::Infinity,
            lipschitz: 0.9,
            ..Self::new(vec![9])
        };
        let elu = Self { activation: ContractiveActivation::Elu, ..usual.clone() };
        vec![usual, tanh, elu]
    }
}

/// `z = x + g(x, c)`: `g` a network that shrinks distances of `x` by `k` at least, so that the map is a bijection whatever the weights are.
///
/// * Network: `g = W_L a(... a(W_1 x + V c + b_1) ...) + b_L` with an activation of slope one at most. Each `W_l` is scaled down to norm `k^(1/L)` where it is above; `V` is
///   free. The norm is a bound from above by the weights alone, see [`LipschitzNorm`].
/// * forward: one pass. Log-determinant: `ln det(I + J)` by elimination, `d` derivatives of `g` along the axes and `d^3`. In training and with more than `exact_dims` columns
///   an estimate without bias: a power series of which the first terms are always taken and the others by roulette, some tens of derivatives of `g`, of which one has a gradient.
/// * inverse: `x` with `x + g(x, c) = z` by Newton's steps, each held to shrink the residual as the iteration `x <- z - g(x, c)` would; measured, as long as a density takes.
///   One further step carries the gradients of the implicit function, `dx/dz = (I + J)^-1`.
///
/// Starts as the identity.
///
/// Reference: Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen. *Invertible Residual Networks*. ICML 2019, theorem 1 and section 3, arXiv:1811.00995; Chen, Behrmann,
/// Duvenaud, Jacobsen. *Residual Flows for Invertible Generative Modeling*. NeurIPS 2019, eq. 6-8, arXiv:1906.02735.
#[derive(Clone, Debug)]
pub struct Residual {
    network: Network,
    spec: ResidualSpec,
    at: Place,
}

/// Most numbers of Jacobians that the inverse holds at a time.
const JACOBIANS_MAX: usize = 1 << 22;

impl Residual {
    /// The identity.
    pub fn new(spec: &ResidualSpec, at: Place, init: &mut Init) -> Self {
        Self { network: Network::new(spec, at, init), spec: spec.clone(), at }
    }

    /// `ln det(I + J)` of each row.
    fn log_det(&self, held: &Held, slopes: &Slopes, given: &Given<'_>) -> Result<Tensor<1>> {
        match &given.draws {
            Some(draws) if self.at.dims > self.spec.exact_dims => {
                let probes = roulette::Probes::draw(draws, [slopes.rows(), self.at.dims]);
                roulette::estimate(held, slopes, &probes, &self.spec)
            }
            _ => determinant::log_det(held, slopes),
        }
    }

    /// The inverse.
    fn inverses(
        &self,
        z: Tensor<2>,
        context: Option<&Tensor<2>>,
        held: &Held,
    ) -> Result<Tensor<2>> {
        let still = context.map(|context| context.clone().inner());
        let found =
            fixed_point::solve(&self.network, &z.clone().inner(), still.as_ref(), &self.spec)?;
        let addend = self.network.addend(context);
        let is_tracked = |t: &Tensor<2>| t.is_tracked();
        if !(z.is_tracked() || held.is_tracked() || addend.as_ref().is_some_and(is_tracked)) {
            return Ok(found);
        }
        // So many rows at a time as their Jacobians leave room for.
        let [n, d] = z.dims();
        let (mut parts, mut start) = (Vec::new(), 0);
        while start < n {
            let len = (JACOBIANS_MAX / (d * d)).clamp(1, n - start);
            let part = |t: &Tensor<2>| t.clone().narrow(0, start, len);
            let addend = addend.as_ref().map(part);
            parts.push(with_gradient(part(&z), part(&found), addend, held)?);
            start += len;
        }
        Ok(if parts.is_empty() { z } else { Tensor::cat(parts, 0) })
    }
}

/// The roots of a few rows with their exact gradients: one more step of Newton's carries them, and removes rounding.
fn with_gradient(
    z: Tensor<2>,
    found: Tensor<2>,
    addend: Option<Tensor<2>>,
    held: &Held,
) -> Result<Tensor<2>> {
    let ([n, d], still) = (z.dims(), held.detached());
    let slopes = still.at(found.clone(), addend.clone().map(Tensor::inner)).slopes;
    let inverses = determinant::inverses(still.jacobian(&slopes))?.concat();
    let inverses = TensorData::new(inverses, [n, d, d]);
    let inverses: Tensor<3> = Tensor::from_data(inverses, (&z.device(), z.dtype()));
    let residual = z - found.clone() - held.at(found.clone(), addend).value;
    Ok(found + (residual.reshape([n, d, 1]) * inverses).sum_dim(1).reshape([n, d]))
}

impl Transform for Residual {
    fn dims(&self) -> usize {
        self.at.dims
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let held = self.network.held();
        let trace = held.at(x.clone(), self.network.addend(given.context));
        let log_det = self.log_det(&held, &trace.slopes, given)?;
        Ok(Mapped { value: x + trace.value, log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let held = self.network.held();
        let value = self.inverses(z, given.context, &held)?;
        let slopes = held.at(value.clone(), self.network.addend(given.context)).slopes;
        Ok(Mapped { value, log_det: self.log_det(&held, &slopes, given)?.neg() })
    }

    fn inverse_value(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        self.inverses(z, given.context, &self.network.held())
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        Some(vec![Box::new(step::ResidualStep::new(self, weights)?)])
    }
}
