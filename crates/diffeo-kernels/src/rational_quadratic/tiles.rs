//! Columns of a tile one after another, in pieces that suit the instruction set.

use super::RationalQuadratic;
use super::block::{self, Shape, lanes, lanes_mut};
use crate::dispatch::{Level, dispatched, level};
use crate::monotone::{ArgumentGradients, ColumnInverter, MapGradients};
use crate::{Real, TILE_ROWS};

/// A spline's constants in the kernel's type, and working memory.
#[derive(Debug)]
pub(super) struct Kernel<T> {
    shape: Shape<T>,
    /// Room for the exponentials of one block, see [`block`].
    exps: Vec<T>,
}

impl<T: Real> Kernel<T> {
    pub(super) fn new(spline: &RationalQuadratic) -> Self {
        let exps = vec![T::ZERO; block::rows(spline.bins) * TILE_ROWS];
        Self { shape: Shape::new(spline), exps }
    }
}

/// Parameters of columns: parameter `p` of column `i` is the [`TILE_ROWS`] numbers at `i * step + p * stride`.
#[derive(Clone, Copy)]
pub(super) struct Params<'a, T> {
    pub(super) data: &'a [T],
    pub(super) step: usize,
    pub(super) stride: usize,
}

impl<'a, T> Params<'a, T> {
    /// `[d, width, TILE_ROWS]`.
    pub(super) fn of_tile(data: &'a [T], width: usize) -> Self {
        Self { data, step: width * TILE_ROWS, stride: TILE_ROWS }
    }

    #[inline(always)]
    fn from(self, start: usize) -> block::Params<'a, T> {
        block::Params { data: &self.data[start..], stride: self.stride }
    }
}

/// Calls a function with the number of lanes that suits the machine: as many as leave the search's state in
/// registers. `match` because an array length cannot depend on `T`.
macro_rules! with_lanes {
    ($function:ident::<$T:ident, _, $inverse:literal>($($arg:expr),*)) => {
        match (level(), size_of::<$T>()) {
            (Level::Avx512, 4) => $function::<$T, 32, $inverse>($($arg),*),
            (Level::Avx512, _) | (_, 4) => $function::<$T, 16, $inverse>($($arg),*),
            _ => $function::<$T, 8, $inverse>($($arg),*),
        }
    };
}

dispatched! {
    /// The map or its inverse over columns.
    pub(super) fn map<T: Real>(
        kernel: &mut Kernel<T>,
        input: &[T],
        params: Params<'_, T>,
        value: &mut [T],
        log_slope: &mut [T],
        inverse: bool,
    ) {
        if inverse {
            with_lanes!(map_lanes::<T, _, true>(kernel, input, params, value, log_slope))
        } else {
            with_lanes!(map_lanes::<T, _, false>(kernel, input, params, value, log_slope))
        }
    }
}

#[inline(always)]
fn map_lanes<T: Real, const L: usize, const INVERSE: bool>(
    kernel: &mut Kernel<T>,
    input: &[T],
    params: Params<'_, T>,
    value: &mut [T],
    log_slope: &mut [T],
) {
    let length = kernel.exps.len() / TILE_ROWS * L;
    let exps = &mut kernel.exps[..length];
    for at in (0..input.len()).step_by(L) {
        let params = params.from(at / TILE_ROWS * params.step + at % TILE_ROWS);
        let to = (lanes_mut(&mut value[at..]), lanes_mut(&mut log_slope[at..]));
        let input = lanes(&input[at..]);
        block::map::<T, L, INVERSE>(&kernel.shape, exps, input, params, to.0, to.1);
    }
}

dispatched! {
    /// Backward pass of the map or its inverse over columns, always at the forward map's input. Gradients of
    /// the parameters lie as these do.
    pub(super) fn backward<T: Real>(
        kernel: &mut Kernel<T>,
        x: &[T],
        params: Params<'_, T>,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
        inverse: bool,
    ) {
        if inverse {
            with_lanes!(backward_lanes::<T, _, true>(kernel, x, params, from, to))
        } else {
            with_lanes!(backward_lanes::<T, _, false>(kernel, x, params, from, to))
        }
    }
}

#[inline(always)]
fn backward_lanes<T: Real, const L: usize, const INVERSE: bool>(
    kernel: &mut Kernel<T>,
    x: &[T],
    params: Params<'_, T>,
    from: MapGradients<'_, T>,
    to: ArgumentGradients<'_, T>,
) {
    let length = kernel.exps.len() / TILE_ROWS * L;
    let exps = &mut kernel.exps[..length];
    for at in (0..x.len()).step_by(L) {
        let start = at / TILE_ROWS * params.step + at % TILE_ROWS;
        let from = MapGradients { value: &from.value[at..], log_slope: &from.log_slope[at..] };
        let to = (lanes_mut(&mut to.input[at..]), &mut to.params[start..]);
        let (x, params) = (lanes(&x[at..]), params.from(start));
        block::backward::<T, L, INVERSE>(&kernel.shape, exps, x, params, from, to.0, to.1);
    }
}

impl<T: Real> ColumnInverter<T> for Kernel<T> {
    fn invert(
        &mut self,
        z: &[T],
        params: &[T],
        stride: usize,
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        let params = Params { data: params, step: TILE_ROWS, stride };
        map(self, z, params, value, log_slope, true);
    }
}
