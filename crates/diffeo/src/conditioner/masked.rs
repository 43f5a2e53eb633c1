//! MADE: all conditionals of an autoregressive model in one pass of a masked network.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Conditioner, DescribeConditioner, Structure};
#[cfg(feature = "laws")]
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::network::{Degrees, Network, NetworkSpec};
use crate::parameter::{Init, Visitor, visit_part};
use crate::place::Place;
use crate::transform::Given;

/// A [`Masked`] conditioner, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskedSpec {
    /// The network.
    pub network: NetworkSpec,
    /// The column that comes `i`-th; absent for the order of the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<usize>>,
}

impl DescribeConditioner for MaskedSpec {
    fn validate(&self, at: Place) -> Result<()> {
        let order = self.order.as_ref();
        order.map_or(Ok(()), |order| at.expect_width("autoregressive order", order.len()))?;
        self.network.validate()
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        let dims = at.dims as u64;
        self.network.count(dims, at.context as u64, dims.checked_mul(per_dim)?)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        Ok(Box::new(Masked::new(self, at, per_dim, init)?))
    }
}

#[cfg(feature = "laws")]
impl Cases for MaskedSpec {
    fn cases(at: Place) -> Vec<Self> {
        let network = NetworkSpec::cases(at).into_iter().take(1);
        network.map(|network| Self { network, order: None }).collect()
    }
}

/// Masked autoregressive network: the parameters of a column depend on the columns before it and on the context.
///
/// Reference: Germain, Gregor, Murray, Larochelle. *MADE: Masked Autoencoder for Distribution Estimation*. ICML 2015, arXiv:1502.03509.
#[derive(Clone, Debug)]
pub struct Masked {
    structure: Structure,
    network: Network,
}

impl Masked {
    /// A network for `per_dim` parameters a column.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if the order is not a permutation of the columns.
    pub fn new(spec: &MaskedSpec, at: Place, per_dim: usize, init: &mut Init) -> Result<Self> {
        let dims = at.dims;
        if let Some(order) = spec.order.as_ref().filter(|order| order.len() != dims) {
            return Err(Error::config(format!(
                "autoregressive order: expected {dims} columns, found {}",
                order.len()
            )));
        }
        let structure =
            Structure::new(dims, spec.order.clone(), spec.order.clone(), vec![1; dims])?;
        let shape = [dims, at.context, dims * per_dim];
        let network = Network::new(&spec.network, Degrees::Sequential, shape, init);
        Ok(Self { structure, network })
    }
}

impl Conditioner for Masked {
    fn structure(&self) -> &Structure {
        &self.structure
    }

    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.network.forward(x, given.context))
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.network)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("network", visitor, |v| self.network.visit(v));
    }
}
