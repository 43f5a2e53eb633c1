//! What the scalar maps have in common: shapes, and where gradients come from and go.

use crate::{Affine, RationalQuadratic, Real, TILE_ROWS};

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

/// Panics unless the slices of a map in tile layout fit each other.
pub(crate) fn check_tile<T>(input: &[T], params: &[T], params_per_dim: usize, others: [usize; 2]) {
    assert_eq!(input.len() % TILE_ROWS, 0, "input is not a whole number of columns");
    check(input, params, params_per_dim, others);
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

    /// `x -> (z, ln dz/dx)`.
    ///
    /// # Panics
    /// If a slice has the wrong length; so do the other methods.
    pub fn forward<T: Real>(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        match self {
            Self::Affine(map) => map.forward(x, params, value, log_slope),
            Self::RationalQuadratic(map) => map.forward(x, params, value, log_slope),
        }
    }

    /// [`Self::forward`] of one tile of rows: `x`, `value` and `log_slope` are `[d, TILE_ROWS]`, `params` is
    /// `[d, params_per_dim, TILE_ROWS]`, so that row `r` of a column is at `r` in its [`TILE_ROWS`] numbers.
    /// Each element has the bits that the row-major method gives it.
    pub fn forward_tile<T: Real>(
        &self,
        x: &[T],
        params: &[T],
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        match self {
            Self::Affine(map) => map.forward_tile(x, params, value, log_slope),
            Self::RationalQuadratic(map) => map.forward_tile(x, params, value, log_slope),
        }
    }

    /// `z -> (x, ln dx/dz)`.
    pub fn inverse<T: Real>(&self, z: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        match self {
            Self::Affine(map) => map.inverse(z, params, value, log_slope),
            Self::RationalQuadratic(map) => map.inverse(z, params, value, log_slope),
        }
    }

    /// Backward pass of [`Self::forward`] at input `x`.
    pub fn forward_backward<T: Real>(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        match self {
            Self::Affine(map) => map.forward_backward(x, params, from, to),
            Self::RationalQuadratic(map) => map.forward_backward(x, params, from, to),
        }
    }

    /// [`Self::forward_backward`] of one tile of rows, shaped as for [`Self::forward_tile`], gradients alike.
    pub fn forward_backward_tile<T: Real>(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        match self {
            Self::Affine(map) => map.forward_backward_tile(x, params, from, to),
            Self::RationalQuadratic(map) => map.forward_backward_tile(x, params, from, to),
        }
    }

    /// Backward pass of [`Self::inverse`], given its output `x`.
    pub fn inverse_backward<T: Real>(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        match self {
            Self::Affine(map) => map.inverse_backward(x, params, from, to),
            Self::RationalQuadratic(map) => map.inverse_backward(x, params, from, to),
        }
    }
}

#[cfg(test)]
mod tests;
