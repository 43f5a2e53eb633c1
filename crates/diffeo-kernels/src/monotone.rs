//! What the scalar maps have in common: shapes, and where gradients come from and go.

use crate::{Affine, RationalQuadratic};

/// Gradients of a loss by the two results of a scalar map, each `[n, d]`.
#[derive(Clone, Copy, Debug)]
pub struct MapGradients<'a, T> {
    /// By the value.
    pub value: &'a [T],
    /// By the log-slope.
    pub log_slope: &'a [T],
}

/// Where a backward pass writes the gradients by the map's arguments; each is overwritten.
#[derive(Debug)]
pub struct ArgumentGradients<'a, T> {
    /// By the input, `[n, d]`.
    pub input: &'a mut [T],
    /// By the parameters, `[n, d, params_per_dim]`.
    pub params: &'a mut [T],
}

/// Panics unless a map's slices fit each other.
pub(crate) fn check<T>(input: &[T], params: &[T], params_per_dim: usize, others: [usize; 2]) {
    let n = input.len();
    assert_eq!(params.len(), n * params_per_dim, "parameters do not fit the input");
    assert_eq!(others, [n, n], "value or log-slope does not fit the input");
}

/// A scalar map that a masked network may hold, for the operations that run network and map together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MonotoneMap {
    /// Two parameters an element.
    Affine(Affine),
    /// `3K - 1` parameters an element.
    RationalQuadratic(RationalQuadratic),
}

impl MonotoneMap {
    /// Parameters that an element needs.
    pub fn params_per_dim(&self) -> usize {
        match self {
            Self::Affine(_) => Affine::PARAMS_PER_DIM,
            Self::RationalQuadratic(spline) => spline.params_per_dim(),
        }
    }
}
