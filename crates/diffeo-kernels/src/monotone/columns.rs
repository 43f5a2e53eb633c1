//! What a map is that works on columns of a tile, a few neighbouring elements at a time; all of [`MapKernel`] follows from that.

use super::{
    ArgumentGradients, ColumnInverter, MapGradients, MapKernel, ScalarMap, check, check_tile, rows,
};
use crate::{Real, TILE_ROWS};

/// Parameters of columns: parameter `p` of column `i` is the [`TILE_ROWS`] numbers at `i * step + p * stride`.
#[derive(Clone, Copy)]
pub(crate) struct Params<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) step: usize,
    pub(crate) stride: usize,
}

impl<'a, T> Params<'a, T> {
    /// `[d, width, TILE_ROWS]`.
    pub(crate) fn of_tile(data: &'a [T], width: usize) -> Self {
        Self { data, step: width * TILE_ROWS, stride: TILE_ROWS }
    }

    /// Where the parameters of the element at `at` begin, which is the first of its block.
    #[inline(always)]
    pub(crate) fn start(&self, at: usize) -> usize {
        at / TILE_ROWS * self.step + at % TILE_ROWS
    }

    #[inline(always)]
    pub(crate) fn from(self, start: usize) -> BlockParams<'a, T> {
        BlockParams { data: &self.data[start..], stride: self.stride }
    }
}

/// Parameters of a block: parameter `p` of lane `l` is at `p * stride + l`.
#[derive(Clone, Copy)]
pub(crate) struct BlockParams<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) stride: usize,
}

impl<T> BlockParams<'_, T> {
    #[inline(always)]
    pub(crate) fn row<const L: usize>(&self, p: usize) -> &[T; L] {
        lanes(&self.data[p * self.stride..])
    }
}

/// The first `L` numbers of a slice.
#[inline(always)]
pub(crate) fn lanes<T, const L: usize>(slice: &[T]) -> &[T; L] {
    slice.first_chunk().expect("a slice is shorter than a block")
}

/// The first `L` numbers of a slice, to write.
#[inline(always)]
pub(crate) fn lanes_mut<T, const L: usize>(slice: &mut [T]) -> &mut [T; L] {
    slice.first_chunk_mut().expect("a slice is shorter than a block")
}

/// `f` of each lane. (`map` of an array leaves a long closure a call, which is compiled for the baseline.)
#[inline(always)]
pub(crate) fn each<T: Real, const L: usize>(row: &[T; L], f: impl Fn(T) -> T) -> [T; L] {
    let mut row = *row;
    for value in &mut row {
        *value = f(*value);
    }
    row
}

/// An expression with the number of lanes that suits the machine and the type. `match` because an array length cannot depend on `T`.
macro_rules! with_lanes {
    ($T:ident, $L:ident => $work:expr) => {
        match ($crate::dispatch::level(), size_of::<$T>()) {
            ($crate::dispatch::Level::Avx512, 4) => {
                const $L: usize = 32;
                $work
            }
            ($crate::dispatch::Level::Avx512, _) | (_, 4) => {
                const $L: usize = 16;
                $work
            }
            _ => {
                const $L: usize = 8;
                $work
            }
        }
    };
}
pub(crate) use with_lanes;

/// A map with its constants in one type, and working memory.
pub(crate) trait ColumnKernel<T: Real> {
    /// The map, or its inverse, over columns.
    fn map(
        &mut self,
        input: &[T],
        params: Params<'_, T>,
        value: &mut [T],
        log_slope: &mut [T],
        inverse: bool,
    );

    /// Backward pass of the map or its inverse over columns, always at the forward map's input. Gradients of the parameters lie as these do.
    fn backward(
        &mut self,
        x: &[T],
        params: Params<'_, T>,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
        inverse: bool,
    );
}

/// A map that has a [`ColumnKernel`].
pub(crate) trait ByColumns: ScalarMap {
    type Kernel<T: Real>: ColumnKernel<T>;

    /// Panics if the map's settings are impossible.
    fn kernel<T: Real>(&self) -> Self::Kernel<T>;
}

impl<T: Real, M: ByColumns> MapKernel<T> for M {
    fn forward(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        let width = self.params_per_dim();
        check(x, params, width, [value.len(), log_slope.len()]);
        rows::map((&mut self.kernel::<T>(), width), x, params, value, log_slope, false);
    }

    fn forward_tile(&self, x: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        let width = self.params_per_dim();
        check_tile(x, params, width, [value.len(), log_slope.len()]);
        self.kernel::<T>().map(x, Params::of_tile(params, width), value, log_slope, false);
    }

    fn inverse(&self, z: &[T], params: &[T], value: &mut [T], log_slope: &mut [T]) {
        let width = self.params_per_dim();
        check(z, params, width, [value.len(), log_slope.len()]);
        rows::map((&mut self.kernel::<T>(), width), z, params, value, log_slope, true);
    }

    fn forward_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        let width = self.params_per_dim();
        check(x, params, width, [from.value.len(), from.log_slope.len()]);
        check(to.input, to.params, width, [x.len(), x.len()]);
        rows::backward((&mut self.kernel::<T>(), width), x, params, from, to, false);
    }

    fn forward_backward_tile(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        let width = self.params_per_dim();
        check_tile(x, params, width, [from.value.len(), from.log_slope.len()]);
        check_tile(to.input, to.params, width, [x.len(), x.len()]);
        self.kernel::<T>().backward(x, Params::of_tile(params, width), from, to, false);
    }

    fn inverse_backward(
        &self,
        x: &[T],
        params: &[T],
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
    ) {
        let width = self.params_per_dim();
        check(x, params, width, [from.value.len(), from.log_slope.len()]);
        check(to.input, to.params, width, [x.len(), x.len()]);
        rows::backward((&mut self.kernel::<T>(), width), x, params, from, to, true);
    }

    fn inverter(&self) -> Box<dyn ColumnInverter<T> + '_> {
        Box::new(Inverter(self.kernel::<T>()))
    }
}

/// The inverse of a map that has a [`ColumnKernel`].
struct Inverter<K>(K);

impl<T: Real, K: ColumnKernel<T>> ColumnInverter<T> for Inverter<K> {
    fn invert(
        &mut self,
        z: &[T],
        params: &[T],
        stride: usize,
        value: &mut [T],
        log_slope: &mut [T],
    ) {
        let params = Params { data: params, step: TILE_ROWS, stride };
        self.0.map(z, params, value, log_slope, true);
    }
}
