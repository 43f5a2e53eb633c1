//! The network of a coupling: some columns stay as they are and give the parameters of the others.

use serde::{Deserialize, Serialize};

use super::{Conditioner, DescribeConditioner, Networked, Structure};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::network::{Degrees, Network, NetworkSpec};
use crate::parameter::Init;
use crate::place::Place;

/// A dense network from the columns that stay (and the context) to the parameters of those that are mapped.
///
/// Reference: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, eq. 4, arXiv:1605.08803.
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
        let [still, moved] = self.parts();
        if still.is_empty() || moved.is_empty() {
            return Err(Error::config(format!(
                "coupling: at least one column must be kept and one transformed, found {} kept of {}; \
                 use an autoregressive or element-wise transform for a single column",
                still.len(),
                self.kept.len()
            )));
        }
        self.network.validate()
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        let [still, moved] = self.parts().map(|columns| columns.len() as u64);
        self.network.count(still, at.context as u64, moved.checked_mul(per_dim)?)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        self.validate(at)?;
        let [still, moved] = self.parts();
        let shape = [still.len(), at.context, moved.len() * per_dim];
        let network = Network::new(&self.network, Degrees::Dense, shape, init);
        let levels = vec![moved.len()];
        let structure = Structure::new(self.kept.len(), Some(still), Some(moved), levels)?;
        Ok(Box::new(Networked { structure, network }))
    }
}

impl Cases for HalfSpec {
    fn cases(at: Place) -> Vec<Self> {
        let network = NetworkSpec::cases(at).into_iter().take(usize::from(at.dims > 1));
        let kept: Vec<bool> = (0..at.dims).map(|j| j == 0).collect();
        network.map(|network| Self { network, kept: kept.clone() }).collect()
    }
}
