//! Increasing scalar maps whose parameters come from outside: from a conditioner, or from the layer itself.
//!
//! A new one is a file like these, a line in [`MonotoneSpec`] and, if it is to be fast, a kernel.

mod affine;
mod bernstein;
mod fused;
mod logistic_mixture;
mod monotonic_network;
mod polynomial_spline;
mod rational_quadratic;
pub(crate) mod root;
mod sum_of_squares;
mod translated;

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo_kernels::ops::AnyMap;
use dyn_clone::DynClone;

use crate::catalog::catalog;
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor};

catalog! {
    /// Every scalar map that a file can name, described.
    pub enum MonotoneSpec: DescribeMap {
        affine::Affine(Affine),
        rational_quadratic::RationalQuadratic(RationalQuadratic),
        polynomial_spline::PolynomialSpline(PolynomialSpline),
        monotonic_network::MonotonicNetwork(MonotonicNetwork),
        logistic_mixture::LogisticMixture(LogisticMixture),
        bernstein::Bernstein(Bernstein),
        sum_of_squares::SumOfSquares(SumOfSquares),
        translated::Translated(Translated),
    }
}

/// Smallest slope of a map that could be flat (Durkan et al. *Neural Spline Flows*, appendix B).
const MIN_SLOPE: f64 = 1e-3;
/// Largest half-width of an interval.
const BOUND_MAX: f64 = 1e6;

/// Refuses a number that is out of range.
fn expect_within(
    of: &str,
    what: &str,
    found: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<()> {
    if range.contains(&found) {
        return Ok(());
    }
    let (low, high) = (range.start(), range.end());
    Err(Error::config(format!("{of}: {what} must be in {low}..={high}, found {found}")))
}

/// Refuses an interval that is none.
fn expect_bound(of: &str, bound: f64) -> Result<()> {
    if bound > 0.0 && bound <= BOUND_MAX {
        return Ok(());
    }
    Err(Error::config(format!("{of}: bound must be in (0, {BOUND_MAX:e}], found {bound}")))
}

/// A scalar map as plain data.
pub trait DescribeMap: Debug + Send + Sync {
    /// Checks the ranges of the map's settings.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with the range that was expected.
    fn validate(&self) -> Result<()>;

    /// Parameters that an element needs from outside.
    fn params_per_dim(&self) -> usize;

    /// Number of weights of the map's own; `None` if it overflows.
    fn count(&self) -> Option<u64> {
        Some(0)
    }

    /// The map, with initial weights if it has any: all columns share them, what is a column's own comes from the conditioner.
    fn build(&self, init: &mut Init) -> Box<dyn Monotone>;

    /// Where the map ends: beyond, it is linear.
    fn bound(&self) -> f64 {
        f64::INFINITY
    }

    /// Whether parameters of zero make the identity, to rounding; else they make something near it.
    fn starts_as_identity(&self) -> bool {
        true
    }

    /// Whether the slope far out is bent by the parameters of every piece of the map: then it may differ from column to column by many powers of ten.
    fn bends_far_out(&self) -> bool {
        false
    }
}

/// A strictly increasing map of the real line, applied to every element with parameters of its own. Built with whatever columns there are:
/// weights that the map has itself are shared by all.
pub trait Monotone: DynClone + Debug + Send + Sync {
    /// Parameters an element needs, `k`.
    fn params_per_dim(&self) -> usize;

    /// Data to base. `x: [n, d]`, `params: [n, d k]`, the `k` parameters of an element next to each other.
    ///
    /// # Errors
    /// When an iterative map does not converge.
    fn forward(&self, x: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise>;

    /// Base to data; shapes as for [`Monotone::forward`].
    ///
    /// If a map has no formula for it, the root of `forward(x) = z` is bracketed and refined, all elements at a time, and gradients are those of the implicit
    /// function.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotConverged`] with the residual, when an iteration does not converge.
    fn inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        root::inverse(&|x, params| self.forward(x, params), z, params)
    }

    /// Shows every trainable parameter of the map's own.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let _ = visitor;
    }

    /// The fused kernel of the map; `None` if it is made of tensor operations.
    #[doc(hidden)]
    fn kernel(&self) -> Option<&Arc<dyn AnyMap>> {
        None
    }

    /// The size of a log-slope beyond which the map cannot go, or hardly.
    fn log_slope_max(&self) -> f64 {
        f64::INFINITY
    }
}

dyn_clone::clone_trait_object!(Monotone);

/// The result of a scalar map. Per element, so that it cannot be mistaken for a log-determinant.
#[derive(Clone, Debug)]
pub struct Scalarwise {
    /// Mapped elements, `[n, d]`.
    pub value: Tensor<2>,
    /// `ln` of the slope of the map just applied, `[n, d]`.
    pub log_slope: Tensor<2>,
}
