//! MADE: all conditionals of an autoregressive model in one pass of a masked network.

use serde::{Deserialize, Serialize};

use super::{Conditioner, DescribeConditioner, Networked, Structure};
use crate::catalog::Cases;
use crate::error::Result;
use crate::network::{Degrees, Network, NetworkSpec};
use crate::parameter::Init;
use crate::place::Place;

/// Masked autoregressive network: the parameters of a column depend on the columns before it and on the context.
///
/// Reference: Germain, Gregor, Murray, Larochelle. *MADE: Masked Autoencoder for Distribution Estimation*. ICML 2015, arXiv:1502.03509.
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
        self.validate(at)?;
        let dims = at.dims;
        let order = || self.order.clone();
        let structure = Structure::new(dims, order(), order(), vec![1; dims])?;
        let shape = [dims, at.context, dims * per_dim];
        let network = Network::new(&self.network, Degrees::Sequential, shape, init);
        Ok(Box::new(Networked { structure, network }))
    }
}

impl Cases for MaskedSpec {
    fn cases(at: Place) -> Vec<Self> {
        let network = NetworkSpec::cases(at).into_iter().take(1);
        network.map(|network| Self { network, order: None }).collect()
    }
}
