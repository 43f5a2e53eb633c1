//! The distribution function of a mixture of logistics: the scalar map of Flow++ and of neural autoregressive flows.

use std::sync::Arc;

use diffeo_kernels as kernels;
use serde::{Deserialize, Serialize};

use super::fused::Fused;
use super::{DescribeMap, Monotone, expect_within};
use crate::error::Result;
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// `z = e^a y_D + b`, where `y_0 = x` and layer `i` takes the log-odds of a mixture of `K` logistic distribution functions,
/// `y_{i+1} = e y_i + (1 - e) (ln F_i(y_i) - ln(1 - F_i(y_i)))`, `F_i(y) = sum_k w_k sigmoid((y - m_k) / s_k)`. The share `e` of the identity, `e^D` = 1/1000,
/// is ours: between components that lie far apart the map would be flat, and not invertible in floating point.
///
/// * forward: data to base, exact in both tails, which are linear; inverse: a bracket that grows until it holds the root, then Newton's steps inside it.
/// * Domain and codomain: the real line. Log-scales `ln s_k` and `a` within `(-5, 5)`, logits of `w` within `(-30, 30)`.
/// * Costs some seven exponentials a component and element, five times that for the inverse; a program runs it.
///
/// # Parameters
/// `params: [n, (3 K D + 2) d]`: for each element, layer after layer, `K` logits, `K` places and `K` log-scales, then `b` and `a`. All zero is near the identity.
///
/// # Reference
/// With one layer Ho, Chen, Srinivas, Duan, Abbeel. *Flow++*. ICML 2019, eq. 15-17, arXiv:1902.00275. With several the deep sigmoidal flow of Huang,
/// Krueger, Lacoste, Courville. *Neural Autoregressive Flows*. ICML 2018, eq. 8, arXiv:1804.00779.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticMixture {
    /// Number of components `K` of a layer, 1 to 64.
    pub components: usize,
    /// Number of layers `D`, 1 to 8.
    pub depth: usize,
}

impl Default for LogisticMixture {
    fn default() -> Self {
        Self { components: 8, depth: 1 }
    }
}

impl LogisticMixture {
    /// Most components.
    pub const COMPONENTS_MAX: usize = 64;
    /// Most layers.
    pub const DEPTH_MAX: usize = 8;
}

impl Cases for LogisticMixture {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { components: 4, depth: 1 }, Self { components: 1, depth: 1 }]
    }
}

impl DescribeMap for LogisticMixture {
    fn validate(&self) -> Result<()> {
        let of = "logistic mixture";
        expect_within(of, "components", self.components, 1..=Self::COMPONENTS_MAX)?;
        expect_within(of, "depth", self.depth, 1..=Self::DEPTH_MAX)
    }

    fn params_per_dim(&self) -> usize {
        self.components.saturating_mul(self.depth).saturating_mul(3).saturating_add(2)
    }

    fn build(&self, _init: &mut Init) -> Box<dyn Monotone> {
        let kernel = kernels::LogisticMixture { components: self.components, depth: self.depth };
        Box::new(Fused { kernel: Arc::new(kernel), log_slope_max: f64::INFINITY })
    }

    fn starts_as_identity(&self) -> bool {
        false
    }

    fn bends_far_out(&self) -> bool {
        true
    }
}
