//! The network of a coupling: some columns stay as they are and give the parameters of the others.

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

/// A [`Half`] conditioner, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HalfSpec {
    /// The network.
    pub network: NetworkSpec,
    /// Which columns stay as they are.
    pub kept: Vec<bool>,
}

impl HalfSpec {
    fn parts(&self) -> [Vec<usize>; 2] {
        let (still, moved) = (0..self.kept.len()).partition(|&i| self.kept[i]);
        [still, moved]
    }
}

impl DescribeConditioner for HalfSpec {
    fn validate(&self, at: Place) -> Result<()> {
        at.expect_width("coupling", self.kept.len())?;
        self.network.validate()
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        let [still, moved] = self.parts().map(|columns| columns.len() as u64);
        self.network.count(still, at.context as u64, moved.checked_mul(per_dim)?)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        Ok(Box::new(Half::new(self, at, per_dim, init)?))
    }
}

#[cfg(feature = "laws")]
impl Cases for HalfSpec {
    fn cases(at: Place) -> Vec<Self> {
        let network = NetworkSpec::cases(at).into_iter().take(usize::from(at.dims > 1));
        let kept: Vec<bool> = (0..at.dims).map(|j| j == 0).collect();
        network.map(|network| Self { network, kept: kept.clone() }).collect()
    }
}

/// A dense network from the columns that stay (and the context) to the parameters of those that are mapped.
///
/// Reference: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, eq. 4, arXiv:1605.08803.
#[derive(Clone, Debug)]
pub struct Half {
    structure: Structure,
    network: Network,
}

impl Half {
    /// A network for `per_dim` parameters a mapped column.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] unless at least one column is kept and one is not.
    pub fn new(spec: &HalfSpec, at: Place, per_dim: usize, init: &mut Init) -> Result<Self> {
        let [still, moved] = spec.parts();
        if still.is_empty() || moved.is_empty() {
            return Err(Error::config(format!(
                "coupling: at least one column must be kept and one transformed, found {} kept of {}; \
                 use an autoregressive or element-wise transform for a single column",
                still.len(),
                spec.kept.len()
            )));
        }
        let shape = [still.len(), at.context, moved.len() * per_dim];
        let network = Network::new(&spec.network, Degrees::Dense, shape, init);
        let levels = vec![moved.len()];
        let structure = Structure::new(spec.kept.len(), Some(still), Some(moved), levels)?;
        Ok(Self { structure, network })
    }
}

impl Conditioner for Half {
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
