//! The integral of a sum of squared polynomials.

use std::sync::Arc;

use diffeo_kernels as kernels;
use serde::{Deserialize, Serialize};

use super::fused::Fused;
use super::{DescribeMap, MIN_SLOPE, Monotone, expect_bound, expect_within};
use crate::error::Result;
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// `z = b + integral_0^x (m + sum_k p_k(u / B)^2) du` on `[-B, B]` with `K` polynomials of degree `r` and `m` = 1/1000. Beyond, the tangent at the end.
///
/// * forward: data to base; the integral is exact, by Gauss-Legendre quadrature with `r + 1` nodes; inverse: a bracket that grows until it holds the root, then
///   Newton's steps inside it.
/// * Domain and codomain: the real line. Slope at least `m`; coefficients within 30 of where they start.
/// * Costs `K (r + 1)` hyperbolic tangents and `K (r + 1) (r + 2)` products an element, five times that for the inverse; a program runs it.
///
/// # Parameters
/// `params: [n, (K (r + 1) + 1) d]`: for each element `b`, then the coefficients of each polynomial, ascending. All zero is near the identity.
///
/// # Reference
/// Jaini, Selby, Yu. *Sum-of-Squares Polynomial Flow*. ICML 2019, eq. 8, arXiv:1905.02325 (interval and least slope are ours).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumOfSquares {
    /// Number of polynomials `K`, 1 to 16.
    pub polynomials: usize,
    /// Their degree `r`, 1 to 16.
    pub degree: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
}

impl Default for SumOfSquares {
    fn default() -> Self {
        Self { polynomials: 3, degree: 4, bound: 5.0 }
    }
}

impl SumOfSquares {
    /// Most polynomials.
    pub const POLYNOMIALS_MAX: usize = 16;
    /// Highest degree.
    pub const DEGREE_MAX: usize = 16;
}

impl Cases for SumOfSquares {
    fn cases(_at: Place) -> Vec<Self> {
        vec![
            Self { polynomials: 2, degree: 3, bound: 3.0 },
            Self { polynomials: 1, degree: 1, bound: 2.0 },
        ]
    }
}

impl DescribeMap for SumOfSquares {
    fn validate(&self) -> Result<()> {
        let of = "sum of squares";
        expect_within(of, "polynomials", self.polynomials, 1..=Self::POLYNOMIALS_MAX)?;
        expect_within(of, "degree", self.degree, 1..=Self::DEGREE_MAX)?;
        expect_bound(of, self.bound)
    }

    fn params_per_dim(&self) -> usize {
        self.degree.saturating_add(1).saturating_mul(self.polynomials).saturating_add(1)
    }

    fn build(&self, _init: &mut Init) -> Box<dyn Monotone> {
        let kernel = kernels::SumOfSquares {
            polynomials: self.polynomials,
            degree: self.degree,
            bound: self.bound,
            min_slope: MIN_SLOPE,
        };
        Box::new(Fused { kernel: Arc::new(kernel), log_slope_max: -MIN_SLOPE.ln() })
    }

    fn bound(&self) -> f64 {
        self.bound
    }

    fn starts_as_identity(&self) -> bool {
        false
    }

    fn bends_far_out(&self) -> bool {
        true
    }
}
