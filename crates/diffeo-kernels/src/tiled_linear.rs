//! Masked linear layer on tiles: product, bias, addend and activation in one pass, and its backward pass.

use crate::accumulate::{Ends, Extent, Scalars, UNITS_MAX, Vectors, accumulate};
use crate::activation::{Activation, activate, activate_backward};
use crate::dispatch::dispatched;
use crate::tile_rows::TILE_ROWS;
use crate::{LinearGradients, Real, Staircase};

/// `out = activation(x W + bias + addend)` as [`crate::MaskedLinear`], with all rows in tiles: `[tiles, width, TILE_ROWS]`.
///
/// * Masked entries of `weight` must be exactly zero; products skip nearly all of them.
/// * Row `i` of `out` is the same bits whatever the other rows are and however many, at every instruction set: each element is one
///   chain of fused multiply-adds over the inputs.
/// * Nothing is packed or transposed but, in the backward pass, the gradient by the output.
#[derive(Clone, Copy, Debug)]
pub struct TiledLinear<'a, T> {
    /// `[inputs, outputs]`, row-major.
    pub weight: &'a [T],
    /// `[outputs]`.
    pub bias: &'a [T],
    /// Which inputs each output sees.
    pub staircase: &'a Staircase,
    /// Applied last.
    pub activation: Activation,
}

/// Writes a weight matrix in the order in which [`TiledLinear::forward`] reads it: unit group by unit group, `[depth, units]` each.
///
/// # Panics
/// If the matrix does not fit its staircase.
pub fn pack_weight<T: Real>(weight: &[T], staircase: &Staircase, packed: &mut Vec<T>) {
    let outputs = staircase.outputs();
    assert_eq!(weight.len(), staircase.inputs() * outputs, "weight has the wrong length");
    let len = staircase.output_groups().map(|(units, depth)| units.len() * depth).sum();
    packed.resize(len, T::ZERO);
    let mut rest = packed.as_mut_slice();
    for (units, depth) in staircase.output_groups() {
        let (own, after) = rest.split_at_mut(units.len() * depth);
        rest = after;
        let from = &weight[units.start..];
        match units.len() {
            12 => pack_group::<T, 12>(from, outputs, own),
            11 => pack_group::<T, 11>(from, outputs, own),
            10 => pack_group::<T, 10>(from, outputs, own),
            count => pack_any(from, outputs, own, count),
        }
    }
}

/// Copies `U` neighbouring columns, a whole row at a time: a call to copy a dozen numbers takes longer than copying them.
fn pack_group<T: Real, const U: usize>(weight: &[T], width: usize, packed: &mut [T]) {
    for (k, to) in packed.as_chunks_mut::<U>().0.iter_mut().enumerate() {
        let from: &[T; U] =
            weight[k * width..].first_chunk().expect("the matrix has these columns");
        *to = *from;
    }
}

fn pack_any<T: Real>(weight: &[T], width: usize, packed: &mut [T], count: usize) {
    for (k, to) in packed.chunks_exact_mut(count).enumerate() {
        to.copy_from_slice(&weight[k * width..][..count]);
    }
}

impl<T: Real> TiledLinear<'_, T> {
    /// Number of tiles; panics unless all lengths fit.
    fn tiles(&self, x: &[T], out: usize) -> usize {
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert_eq!(self.weight.len(), inputs * outputs, "weight has the wrong length");
        assert_eq!(self.bias.len(), outputs, "bias has the wrong length");
        let tiles = out.checked_div(outputs * TILE_ROWS).unwrap_or(0);
        assert_eq!(out, tiles * outputs * TILE_ROWS, "out is not a whole number of tiles");
        assert!(outputs == 0 || x.len() == tiles * inputs * TILE_ROWS, "x and out differ in rows");
        tiles
    }

    /// Computes `out`; `packed` is the weight as [`pack_weight`] writes it.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn forward(&self, packed: &[T], x: &[T], addend: Option<&[T]>, out: &mut [T]) {
        let tiles = self.tiles(x, out.len());
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert!(addend.is_none_or(|a| a.len() == out.len()), "addend has the wrong length");
        for tile in 0..tiles {
            let x = &x[tile * inputs * TILE_ROWS..][..inputs * TILE_ROWS];
            let start = tile * outputs * TILE_ROWS;
            let out = &mut out[start..][..outputs * TILE_ROWS];
            let addend = addend.map(|addend| &addend[start..][..outputs * TILE_ROWS]);
            let mut rest = packed;
            for (units, depth) in self.staircase.output_groups() {
                let (own, after) = rest.split_at(units.len() * depth);
                rest = after;
                let place = units.start * TILE_ROWS..units.end * TILE_ROWS;
                let extent = Extent { units: units.len(), blocks: 1, steps: depth };
                let scalars = Scalars { data: own, unit: 1, step: units.len(), block: 0 };
                let vectors = Vectors { data: x, step: TILE_ROWS, block: 0 };
                let out = &mut out[place.clone()];
                let ends = Ends {
                    bias: Some(&self.bias[units]),
                    addend: addend.map(|a| &a[place]),
                    rectified: self.activation == Activation::Relu,
                };
                accumulate(extent, scalars, vectors, ends, (&mut *out, TILE_ROWS));
                if matches!(self.activation, Activation::Tanh | Activation::Elu) {
                    activate(self.activation, out);
                }
            }
        }
    }

    /// Computes the gradients of a loss, given `x`, the `output` of [`Self::forward`] and in `grad` the loss's gradient by that
    /// output. On return `grad` holds the gradient by the pre-activation, which is also that by the addend.
    ///
    /// Sums over rows run in the order of the rows, the bias's in `f64`. Rows that only fill up the last tile must have zero gradient.
    /// `columns` is working memory.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn backward(
        &self,
        x: &[T],
        output: &[T],
        grad: &mut [T],
        to: LinearGradients<'_, T>,
        columns: &mut Vec<T>,
    ) {
        let tiles = self.tiles(x, grad.len());
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert_eq!(output.len(), grad.len(), "output and its gradient differ in length");
        assert_eq!(to.weight.len(), inputs * outputs, "weight gradient has the wrong length");
        assert_eq!(to.bias.len(), outputs, "bias gradient has the wrong length");
        columns.resize(columns.len().max(tiles * TILE_ROWS * TILE_ROWS), T::ZERO);
        let columns = &mut columns[..tiles * TILE_ROWS * TILE_ROWS];
        activate_backward(self.activation, output, grad);
        for first in (0..outputs).step_by(TILE_ROWS) {
            let units = first..outputs.min(first + TILE_ROWS);
            transpose_columns(grad, outputs, units.start, columns);
            sum_rows(columns, &mut to.bias[units.clone()]);
            let depth = self.staircase.prefix()[units.end - 1];
            weight_columns(x, columns, [inputs, outputs], (units, depth), to.weight);
        }
        self.staircase.clear_overhang_of_strips(to.weight, TILE_ROWS);
        let Some(grad_x) = to.x else { return };
        assert_eq!(grad_x.len(), tiles * inputs * TILE_ROWS, "x gradient has the wrong length");
        let sizes = (inputs * TILE_ROWS, outputs * TILE_ROWS);
        for tile in 0..tiles {
            let grad = &grad[tile * sizes.1..][..sizes.1];
            let grad_x = &mut grad_x[tile * sizes.0..][..sizes.0];
            for (group, first) in self.staircase.input_groups() {
                let (units, steps) = (group.len(), outputs - first);
                let weight = self.weight.get(group.start * outputs + first..).unwrap_or(&[]);
                let scalars = Scalars { data: weight, unit: outputs, step: 1, block: 0 };
                let vectors =
                    Vectors { data: &grad[first * TILE_ROWS..], step: TILE_ROWS, block: 0 };
                let to = &mut grad_x[group.start * TILE_ROWS..group.end * TILE_ROWS];
                let extent = Extent { units, blocks: 1, steps };
                accumulate(extent, scalars, vectors, Ends::default(), (to, TILE_ROWS));
            }
        }
    }
}

/// The gradient of the weights of a strip of outputs, `units`, which see the first `depth` inputs.
fn weight_columns<T: Real>(
    x: &[T],
    columns: &[T],
    [inputs, outputs]: [usize; 2],
    (units, depth): (std::ops::Range<usize>, usize),
    weight: &mut [T],
) {
    let blocks = columns.len() / (TILE_ROWS * TILE_ROWS);
    let vectors = Vectors { data: columns, step: TILE_ROWS, block: TILE_ROWS * TILE_ROWS };
    let mut narrow = [T::ZERO; UNITS_MAX * TILE_ROWS];
    let pieces = depth.div_ceil(UNITS_MAX);
    for piece in 0..pieces {
        let (start, end) = (piece * depth / pieces, (piece + 1) * depth / pieces);
        let extent = Extent { units: end - start, blocks, steps: TILE_ROWS };
        let data = &x[start * TILE_ROWS..];
        let scalars = Scalars { data, unit: TILE_ROWS, step: 1, block: inputs * TILE_ROWS };
        let to = &mut weight[start * outputs + units.start..];
        if units.len() == TILE_ROWS {
            accumulate(extent, scalars, vectors, Ends::default(), (to, outputs));
            continue;
        }
        accumulate(extent, scalars, vectors, Ends::default(), (&mut narrow, TILE_ROWS));
        for (row, from) in narrow.chunks_exact(TILE_ROWS).take(end - start).enumerate() {
            to[row * outputs..][..units.len()].copy_from_slice(&from[..units.len()]);
        }
    }
}

dispatched! {
    /// Columns `first..first + TILE_ROWS` of a tiled matrix `[tiles, width, TILE_ROWS]` as rows: `[tiles * TILE_ROWS, TILE_ROWS]`. Beyond the
    /// matrix the columns are zero.
    fn transpose_columns<T: Real>(tiles: &[T], width: usize, first: usize, rows: &mut [T]) {
        let count = TILE_ROWS.min(width - first);
        let tiles = tiles.chunks_exact(width * TILE_ROWS);
        for (tile, rows) in tiles.zip(rows.chunks_exact_mut(TILE_ROWS * TILE_ROWS)) {
            let tile = &tile[first * TILE_ROWS..][..count * TILE_ROWS];
            if count < TILE_ROWS {
                rows.fill(T::ZERO);
            }
            for (column, lanes) in tile.chunks_exact(TILE_ROWS).enumerate() {
                for lane in 0..TILE_ROWS {
                    rows[lane * TILE_ROWS + column] = lanes[lane];
                }
            }
        }
    }
}

dispatched! {
    /// `sums[j]` becomes the sum of column `j` of `rows: [n, TILE_ROWS]`, added row by row in `f64`.
    fn sum_rows<T: Real>(rows: &[T], sums: &mut [T]) {
        let mut totals = [0.0f64; TILE_ROWS];
        for row in rows.chunks_exact(TILE_ROWS) {
            for j in 0..TILE_ROWS {
                totals[j] += row[j].to_f64();
            }
        }
        sums.iter_mut().zip(totals).for_each(|(sum, total)| *sum = T::from_f64(total));
    }
}

#[cfg(test)]
mod tests;
