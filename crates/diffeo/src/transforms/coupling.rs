//! Coupling: some of the columns give the parameters of a scalar map of the others.

use serde::{Deserialize, Serialize};

use super::conditional::{ConditionalSpec, Gates, Short};
use crate::conditioner::HalfSpec;
use crate::monotone::MonotoneSpec;
use crate::network::NetworkSpec;
use crate::{catalog::Cases, place::Place};

/// `z_a = x_a`, `z_b = g(x_b; theta(x_a, c))`, both directions at the price of one pass: a [`super::Conditional`] layer with a dense network.
///
/// Reference: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, eqs. 4-8, arXiv:1605.08803.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouplingSpec {
    /// The scalar map.
    pub monotone: MonotoneSpec,
    /// The network.
    pub network: NetworkSpec,
    /// Which columns stay as they are.
    pub kept: Vec<bool>,
    /// Which columns may be absent.
    #[serde(default, skip_serializing_if = "Gates::is_empty")]
    pub gates: Gates,
}

impl Cases for CouplingSpec {
    fn cases(at: Place) -> Vec<Self> {
        if at.dims < 2 {
            return vec![];
        }
        let (networks, maps) = (NetworkSpec::cases(at), MonotoneSpec::cases(at));
        let case = |i: usize| Self {
            monotone: maps[i % maps.len()].clone(),
            network: networks[i % networks.len()].clone(),
            kept: (0..at.dims).map(|j| j % 2 == i % 2).collect(),
            gates: Gates::default(),
        };
        (0..networks.len().max(maps.len())).map(case).collect()
    }
}

impl Short for CouplingSpec {
    fn long(&self) -> ConditionalSpec {
        let half = HalfSpec { network: self.network.clone(), kept: self.kept.clone() };
        ConditionalSpec::new(half, &self.monotone).gated(self.gates.clone())
    }
}
