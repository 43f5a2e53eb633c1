//! Increasing scalar maps whose parameters come from outside: from a conditioner, or from the layer itself.
//!
//! A new one is a file like these, a line in [`MonotoneSpec`] and, if it is to be fast, a kernel.

mod affine;
mod fused;
mod rational_quadratic;
mod root;

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo_kernels::ops::AnyMap;

use crate::catalog::catalog;
use crate::error::Result;
use crate::parameter::{Init, Visitor};

catalog! {
    /// Every scalar map that a file can name, described.
    pub enum MonotoneSpec: DescribeMap {
        affine::Affine(Affine),
        rational_quadratic::RationalQuadratic(RationalQuadratic),
    }
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

    /// Number of weights of the map's own, for `dims` columns; `None` if it overflows.
    fn count(&self, dims: u64) -> Option<u64> {
        let _ = dims;
        Some(0)
    }

    /// The map for `dims` columns, with initial weights if it has any.
    fn build(&self, dims: usize, init: &mut Init) -> Box<dyn Monotone>;

    /// Where the map ends: beyond, it is linear.
    fn bound(&self) -> f64 {
        f64::INFINITY
    }
}

/// A strictly increasing map of the real line, applied to every element with parameters of its own.
pub trait Monotone: DuplicateMap + Debug + Send + Sync {
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

/// A copy behind a box; every `Clone` map has it.
pub trait DuplicateMap {
    /// The same map again.
    fn duplicate(&self) -> Box<dyn Monotone>;
}

impl<T: Monotone + Clone + 'static> DuplicateMap for T {
    fn duplicate(&self) -> Box<dyn Monotone> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Monotone> {
    fn clone(&self) -> Self {
        (**self).duplicate()
    }
}

/// The result of a scalar map. Per element, so that it cannot be mistaken for a log-determinant.
#[derive(Clone, Debug)]
pub struct Scalarwise {
    /// Mapped elements, `[n, d]`.
    pub value: Tensor<2>,
    /// `ln` of the slope of the map just applied, `[n, d]`.
    pub log_slope: Tensor<2>,
}
