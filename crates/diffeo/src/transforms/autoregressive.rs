//! Autoregressive transform: every column is mapped with parameters that depend on the columns before it.

use serde::{Deserialize, Serialize};

use super::conditional::{ConditionalSpec, Gates, Short};
use crate::conditioner::MaskedSpec;
use crate::monotone::MonotoneSpec;
use crate::network::NetworkSpec;
use crate::{catalog::Cases, place::Place};

/// `z_i = g(x_i; theta_i(x_before_i, c))`, a triangular Jacobian in the given order: a [`super::Conditional`] layer with a masked network.
///
/// Reference: Papamakarios, Pavlakou, Murray. *Masked Autoregressive Flow*. NeurIPS 2017, arXiv:1705.07057.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoregressiveSpec {
    /// The scalar map.
    pub monotone: MonotoneSpec,
    /// The network.
    pub network: NetworkSpec,
    /// The column that comes `i`-th; absent for the order of the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<usize>>,
    /// Which columns may be absent.
    #[serde(default, skip_serializing_if = "Gates::is_empty")]
    pub gates: Gates,
}

impl AutoregressiveSpec {
    /// In the order of the columns, all of which are always there.
    pub fn new(monotone: impl Into<MonotoneSpec>, network: NetworkSpec) -> Self {
        Self { monotone: monotone.into(), network, order: None, gates: Gates::default() }
    }
}

impl Cases for AutoregressiveSpec {
    fn cases(at: Place) -> Vec<Self> {
        let (networks, maps) = (NetworkSpec::cases(at), MonotoneSpec::cases(at));
        let case = |i: usize| Self {
            monotone: maps[i % maps.len()].clone(),
            network: networks[i % networks.len()].clone(),
            order: (i / 2 == 1).then(|| (1..at.dims).chain([0]).collect()),
            gates: Gates::default(),
        };
        (0..networks.len().max(maps.len())).map(case).collect()
    }
}

impl Short for AutoregressiveSpec {
    fn long(&self) -> ConditionalSpec {
        let masked = MaskedSpec { network: self.network.clone(), order: self.order.clone() };
        ConditionalSpec::new(masked, &self.monotone).gated(self.gates.clone())
    }
}
