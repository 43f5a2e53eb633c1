//! Increasing scalar maps whose parameters come from outside: from a conditioner, or from the layer itself.

mod affine;
mod rational_quadratic;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use affine::Affine;
pub use rational_quadratic::RationalQuadratic;

use crate::error::Result;

/// A strictly increasing map of the real line, applied to every element with parameters of its own.
pub trait Monotone {
    /// Parameters an element needs, `k`.
    fn params_per_dim(&self) -> usize;

    /// Data to base. `x: [n, d]`, `params: [n, d k]`, the `k` parameters of an element next to each other.
    ///
    /// # Errors
    /// When an iterative map does not converge.
    fn forward(&self, x: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise>;

    /// Base to data; shapes as for [`Monotone::forward`].
    ///
    /// # Errors
    /// When an iterative map does not converge.
    fn inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise>;
}

/// The result of a scalar map. Per element, so that it cannot be mistaken for a log-determinant.
#[derive(Clone, Debug)]
pub struct Scalarwise {
    /// Mapped elements, `[n, d]`.
    pub value: Tensor<2>,
    /// `ln` of the slope of the map just applied, `[n, d]`.
    pub log_slope: Tensor<2>,
}

/// The scalar maps a model file can name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum MonotoneSpec {
    /// [`Affine`].
    Affine(Affine),
    /// [`RationalQuadratic`].
    RationalQuadratic(RationalQuadratic),
}

impl MonotoneSpec {
    /// Checks the ranges of the map's settings.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with the range that was expected.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Affine(map) => map.validate(),
            Self::RationalQuadratic(map) => map.validate(),
        }
    }

    /// The size of a log-slope beyond which the map cannot go, or hardly.
    pub(crate) fn log_slope_max(&self) -> f64 {
        match self {
            Self::Affine(map) => map.log_scale_max,
            // The slope of the steepest chord: the lowest bin is as narrow as the highest one is high.
            Self::RationalQuadratic(_) => -RationalQuadratic::MIN_SIZE.ln(),
        }
    }

    /// The fused kernel of the map.
    pub(crate) fn kernel(&self) -> diffeo_kernels::MonotoneMap {
        match self {
            Self::Affine(map) => map.kernel(),
            Self::RationalQuadratic(map) => map.kernel(),
        }
    }

    fn map(&self) -> &dyn Monotone {
        match self {
            Self::Affine(map) => map,
            Self::RationalQuadratic(map) => map,
        }
    }
}

impl Monotone for MonotoneSpec {
    fn params_per_dim(&self) -> usize {
        self.map().params_per_dim()
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        self.map().forward(x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        self.map().inverse(z, params)
    }
}
