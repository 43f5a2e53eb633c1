//! Columns of a tile one after another, in pieces that suit the instruction set.

use super::RationalQuadratic;
use super::block::{self, Shape};
use crate::dispatch::dispatched;
use crate::monotone::columns::{ColumnKernel, Params, lanes, lanes_mut, with_lanes};
use crate::monotone::{ArgumentGradients, MapGradients};
use crate::{Real, TILE_ROWS};

/// A spline's constants in the kernel's type, and working memory.
#[derive(Debug)]
pub(crate) struct Kernel<T> {
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

dispatched! {
    /// The map or its inverse over columns.
    fn map<T: Real>(
        kernel: &mut Kernel<T>,
        input: &[T],
        params: Params<'_, T>,
        value: &mut [T],
        log_slope: &mut [T],
        inverse: bool,
    ) {
        if inverse {
            with_lanes!(T, L => map_lanes::<T, L, true>(kernel, input, params, value, log_slope))
        } else {
            with_lanes!(T, L => map_lanes::<T, L, false>(kernel, input, params, value, log_slope))
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
        let params = params.from(params.start(at));
        let to = (lanes_mut(&mut value[at..]), lanes_mut(&mut log_slope[at..]));
        let input = lanes(&input[at..]);
        block::map::<T, L, INVERSE>(&kernel.shape, exps, input, params, to.0, to.1);
    }
}

dispatched! {
    /// Backward pass of the map or its inverse over columns, always at the forward map's input. Gradients of
    /// the parameters lie as these do.
    fn backward<T: Real>(
        kernel: &mut Kernel<T>,
        x: &[T],
        params: Params<'_, T>,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
        inverse: bool,
    ) {
        if inverse {
            with_lanes!(T, L => backward_lanes::<T, L, true>(kernel, x, params, from, to))
        } else {
            with_lanes!(T, L => backward_lanes::<T, L, false>(kernel, x, params, from, to))
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
        let start = params.start(at);
        let from = MapGradients { value: &from.value[at..], log_slope: &from.log_slope[at..] };
        let to = (lanes_mut(&mut to.input[at..]), &mut to.params[start..]);
        let (x, params) = (lanes(&x[at..]), params.from(start));
        block::backward::<T, L, INVERSE>(&kernel.shape, exps, x, params, from, to.0, to.1);
    }
}

impl<T: Real> ColumnKernel<T> for Kernel<T> {
    fn map(
        &mut self,
        input: &[T],
        params: Params<'_, T>,
        value: &mut [T],
        log_slope: &mut [T],
        inverse: bool,
    ) {
        map(self, input, params, value, log_slope, inverse);
    }

    fn backward(
        &mut self,
        x: &[T],
        params: Params<'_, T>,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
        inverse: bool,
    ) {
        backward(self, x, params, from, to, inverse);
    }
}
