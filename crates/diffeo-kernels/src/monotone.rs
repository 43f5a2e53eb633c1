//! What the scalar maps have in common: the contract of a map, shapes, and where gradients come from and go.

pub(crate) mod columns;
pub(crate) mod curve;
mod rows;
pub(crate) mod slope;

pub use curve::roots;
use std::fmt::Debug;

use crate::TILE_ROWS;

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

/// A strictly increasing map of the real line, applied to every element with parameters of its own.
pub trait ScalarMap: Debug + Send + Sync {
    /// Parameters that an element needs, `k`.
    fn params_per_dim(&self) -> usize;
}

/// A [`ScalarMap`] on slices. `input`, `value` and `log_slope` are `[n, d]`, `params` is `[n, d, params_per_dim]`.
///
/// An element's result has the same bits wherever it stands, on any instruction set, and from each method that computes it.
///
/// # Panics
/// All methods do if a slice has the wrong length, or the map's settings are impossible.
pub trait MapKernel<T>: ScalarMap {
    /// `x -> (z, ln dz/dx)`.
    fn forward(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]);

    /// [`Self::forward`] of one tile of rows: `x`, `value` and `log_slope` are `[d, TILE_ROWS]`, `params` is
    /// `[d, params_per_dim, TILE_ROWS]`, so that row `r` of a column is at `r` in its [`TILE_ROWS`] numbers.
    fn forward_tile(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]);

    /// `z -> (x, ln dx/dz)`.
    fn inverse(&self, z: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]);

    /// Backward pass of [`Self::forward`] at input `x`.
    fn forward_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    );

    /// [`Self::forward_backward`] of one tile of rows, shaped as for [`Self::forward_tile`], gradients alike.
    fn forward_backward_tile(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    );

    /// Backward pass of [`Self::inverse`], given its output `x`.
    fn inverse_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    );

    /// [`Self::inverse`] for a caller that comes back for one column of a few rows after another.
    fn inverter(&self) -> Box<dyn ColumnInverter<T> + '_>;
}

/// A map's inverse with its constants and working memory at hand.
pub trait ColumnInverter<T> {
    /// `z -> (x, ln dx/dz)` of one column: `z`, `value` and `log_slope` hold the same number of rows side by side, parameter `p`
    /// of row `r` is at `params[p * stride + r]`. The number of rows and `stride` are multiples of [`TILE_ROWS`].
    ///
    /// Called between the columns of a network: the loop over the rows must be compiled for the instruction set in here.
    fn invert(
        &mut self,
        z: &[T],
        params: &[T],
        stride: usize,
        value: &mut [T],
        log_slope: &mut [T],
    );
}

#[cfg(test)]
mod tests;
