//! The integral of a positive network: a smooth map of any shape.

use std::sync::Arc;

use diffeo_kernels as kernels;
use serde::{Deserialize, Serialize};

use super::fused::Fused;
use super::{DescribeMap, MIN_SLOPE, Monotone, expect_bound, expect_within};
use crate::error::{Error, Result};
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// `z = b + integral_0^x g(t) dt` on `[-B, B]` with `g(t) = m + (1 - m) e^(7 tanh(s / 7))` and the network `s(t) = c + sum_j v_j tanh((t - p_j) / s_j)` of `M` units, all of whose
/// weights are parameters. Beyond, the tangent at the end.
///
/// * forward: data to base, by Clenshaw-Curtis quadrature with `N + 1` nodes between 0 and `x`; inverse: a bracket that grows until it holds the root, then Newton's steps inside it.
///   Gradients are quadratures themselves: nothing is kept of the nodes.
/// * Domain and codomain: the real line. Slopes are between `m` = 1/1000 and `e^7`. The network's weights are held so that its features are wide beside the distance of the nodes: the
///   quadrature's relative error stays below 1e-6 with the 32 nodes of the default, 1e-9 with 48 and 1e-11 with 64. [`MonotonicNetwork::error`] measures it.
/// * Costs `M N` hyperbolic tangents an element, twice that for gradients, five times that for the inverse: the dearest of the scalar maps; a program runs it.
///
/// # Parameters
/// `params: [n, (3 M + 2) d]`: for each element `b`, `c`, and of each unit `v` (held to `8 / M`, at most 2), the place `p` from a start side by side, and the logarithm of
/// `B / (5 s)` (held to `ln 2`). All zero is the identity.
///
/// # Reference
/// Wehenkel, Louppe. *Unconstrained Monotonic Neural Networks*. NeurIPS 2019, eqs. 2-5, arXiv:1908.05164; there the conditioner gives a network with weights of its own some inputs,
/// here it gives one of a single layer all of its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonotonicNetwork {
    /// Number of units `M`, 1 to 64.
    pub units: usize,
    /// Number of intervals `N` of the quadrature, even, 8 to 256.
    pub nodes: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
}

impl Default for MonotonicNetwork {
    fn default() -> Self {
        Self { units: 16, nodes: 32, bound: 5.0 }
    }
}

impl MonotonicNetwork {
    /// Most units.
    pub const UNITS_MAX: usize = 64;
    /// Most nodes.
    pub const NODES_MAX: usize = 256;

    fn kernel(&self) -> kernels::MonotonicNetwork {
        let Self { units, nodes, bound } = *self;
        kernels::MonotonicNetwork { units, nodes, bound, min_slope: MIN_SLOPE }
    }

    /// How far, at most, the quadrature is from one with twice as many nodes, at points `x: [n]` with parameters `[n, 3 M + 2]`: an estimate of its error.
    ///
    /// # Panics
    /// If the slices do not fit each other, or the settings are out of range.
    pub fn error(&self, x: &[f64], params: &[f64]) -> f64 {
        self.kernel().error(x, params)
    }
}

impl Cases for MonotonicNetwork {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { units: 4, nodes: 64, bound: 3.0 }]
    }
}

impl DescribeMap for MonotonicNetwork {
    fn validate(&self) -> Result<()> {
        expect_within("monotonic network", "units", self.units, 1..=Self::UNITS_MAX)?;
        expect_within("monotonic network", "nodes", self.nodes, 8..=Self::NODES_MAX)?;
        if !self.nodes.is_multiple_of(2) {
            let text = format!("monotonic network: nodes must be even, found {}", self.nodes);
            return Err(Error::config(text));
        }
        expect_bound("monotonic network", self.bound)
    }

    fn params_per_dim(&self) -> usize {
        self.units.saturating_mul(3).saturating_add(2)
    }

    fn build(&self, _init: &mut Init) -> Box<dyn Monotone> {
        Box::new(Fused { kernel: Arc::new(self.kernel()), log_slope_max: -MIN_SLOPE.ln() })
    }

    fn bound(&self) -> f64 {
        self.bound
    }

    fn bends_far_out(&self) -> bool {
        true
    }
}
