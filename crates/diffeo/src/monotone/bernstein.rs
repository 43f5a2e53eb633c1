//! Bernstein polynomial: a smooth map whose coefficients are points of its graph, nearly.

use std::sync::Arc;

use diffeo_kernels as kernels;
use serde::{Deserialize, Serialize};

use super::fused::Fused;
use super::{DescribeMap, MIN_SLOPE, Monotone, expect_bound, expect_within};
use crate::error::Result;
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// `z = b - B + (2 B / n) sum_j g_j S_j(t)` on `[-B, B]` with `t = (x + B) / (2 B)` and `S_j(t) = P(Binomial(n, t) > j)`: the Bernstein polynomial of degree `n`
/// whose coefficients ascend by `2 B g_j / n`. Beyond, the tangent at the end.
///
/// * forward: data to base, all terms positive; inverse: a bracket that grows until it holds the root, then Newton's steps inside it.
/// * Domain and codomain: the real line. The slope is a mean of the `g_j`, each at least 1/1000.
/// * Costs one softplus a degree and element, five times that for the inverse; a program runs it.
///
/// # Parameters
/// `params: [n, (n + 1) d]`: for each element `b`, then `n` slopes (softplus). All zero is the identity.
///
/// # Reference
/// Sick, Hothorn, Dürr. *Deep transformation models*. ICPR 2020, eq. 5, arXiv:2004.00464; Ramasinghe, Fernando, Khan, Barnes. *Robust normalizing flows
/// using Bernstein-type polynomials*. 2021, arXiv:2102.03509.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bernstein {
    /// Degree `n`, 2 to 64.
    pub degree: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
}

impl Default for Bernstein {
    fn default() -> Self {
        Self { degree: 16, bound: 5.0 }
    }
}

impl Bernstein {
    /// Highest degree.
    pub const DEGREE_MAX: usize = kernels::Bernstein::DEGREE_MAX;
}

impl Cases for Bernstein {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { degree: 7, bound: 3.0 }, Self { degree: 2, bound: 2.0 }]
    }
}

impl DescribeMap for Bernstein {
    fn validate(&self) -> Result<()> {
        expect_within("Bernstein polynomial", "degree", self.degree, 2..=Self::DEGREE_MAX)?;
        expect_bound("Bernstein polynomial", self.bound)
    }

    fn params_per_dim(&self) -> usize {
        self.degree.saturating_add(1)
    }

    fn build(&self, _init: &mut Init) -> Box<dyn Monotone> {
        let kernel =
            kernels::Bernstein { degree: self.degree, bound: self.bound, min_slope: MIN_SLOPE };
        Box::new(Fused { kernel: Arc::new(kernel), log_slope_max: -MIN_SLOPE.ln() })
    }

    fn bound(&self) -> f64 {
        self.bound
    }

    fn bends_far_out(&self) -> bool {
        true
    }
}
