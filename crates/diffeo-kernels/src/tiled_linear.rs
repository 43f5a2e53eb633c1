//! Masked linear layer on tiles: product, bias, addend and activation in one pass, and its backward pass.

use crate::accumulate::{Ends, Extent, Scalars, UNITS_MAX, Vectors, accumulate};
use crate::activation::{Activation, activate, activate_backward};
use crate::dispatch::dispatched;
use crate::tiles::TILE_ROWS;
use crate::transpose::transpose;
use crate::{LinearGradients, Real, Staircase};

/// `out = activation(x W + bias + addend)` as [`crate::MaskedLinear`], with all rows in tiles: `[tiles, width, TILE_ROWS]`.
///
/// * Masked entries of `weight` must be exactly zero; products skip nearly all of them.
/// * Row `i` of `out` is the same bits whatever the other rows are and however many, at every instruction set: each element is one
///   chain of fused multiply-adds over the inputs.
/// * Weights are packed once, for all rows; of what belongs to rows only the gradient by the output is transposed, in the backward pass.
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
    // A few rows of the matrix at a time: by groups alone, every row would be read a dozen numbers at a time, again and again.
    for first in (0..staircase.inputs()).step_by(PACK_ROWS) {
        let mut rest = packed.as_mut_slice();
        for (units, depth) in staircase.output_groups() {
            let (own, after) = rest.split_at_mut(units.len() * depth);
            rest = after;
            let rows = first.min(depth)..depth.min(first + PACK_ROWS);
            let own = &mut own[rows.start * units.len()..rows.end * units.len()];
            let from = weight.get(first * outputs + units.start..).unwrap_or(&[]);
            pack_group(from, outputs, units.len(), own);
        }
    }
}

/// Rows of a weight matrix that are packed together.
const PACK_ROWS: usize = 16;

/// Copies neighbouring columns, a whole row at a time, all of them known to the compiler: a call to copy a dozen numbers takes longer
/// than copying them.
fn pack_group<T: Real>(weight: &[T], width: usize, units: usize, packed: &mut [T]) {
    fn fixed<T: Real, const U: usize>(weight: &[T], width: usize, packed: &mut [T]) {
        for (k, to) in packed.as_chunks_mut::<U>().0.iter_mut().enumerate() {
            to.copy_from_slice(&weight[k * width..][..U]);
        }
    }
    const { assert!(UNITS_MAX == 12) };
    match units {
        1 => fixed::<T, 1>(weight, width, packed),
        2 => fixed::<T, 2>(weight, width, packed),
        3 => fixed::<T, 3>(weight, width, packed),
        4 => fixed::<T, 4>(weight, width, packed),
        5 => fixed::<T, 5>(weight, width, packed),
        6 => fixed::<T, 6>(weight, width, packed),
        7 => fixed::<T, 7>(weight, width, packed),
        8 => fixed::<T, 8>(weight, width, packed),
        9 => fixed::<T, 9>(weight, width, packed),
        10 => fixed::<T, 10>(weight, width, packed),
        11 => fixed::<T, 11>(weight, width, packed),
        _ => fixed::<T, 12>(weight, width, packed),
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
        for first in (0..outputs).step_by(TILE_ROWS) {
            let units = first..outputs.min(first + TILE_ROWS);
            let mut sums = [0.0; TILE_ROWS];
            for (tile, columns) in columns.chunks_exact_mut(TILE_ROWS * TILE_ROWS).enumerate() {
                let place = (tile * outputs + units.start) * TILE_ROWS
                    ..(tile * outputs + units.end) * TILE_ROWS;
                let grad = &mut grad[place.clone()];
                activate_backward(self.activation, &output[place], grad);
                transpose(grad, columns);
                add_columns(columns, &mut sums);
            }
            let bias = &mut to.bias[units.clone()];
            bias.iter_mut().zip(sums).for_each(|(bias, sum)| *bias = T::from_f64(sum));
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
    // Without rows there are no inputs that could be cut into pieces.
    let pieces = if blocks == 0 { 0 } else { depth.div_ceil(UNITS_MAX) };
    if blocks == 0 {
        weight.chunks_mut(outputs).take(depth).for_each(|row| row[units.clone()].fill(T::ZERO));
    }
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
    /// Adds to `sums[j]` column `j` of a square of rows, row by row in `f64`.
    fn add_columns<T: Real>(rows: &[T], sums: &mut [f64; TILE_ROWS]) {
        let mut totals = *sums;
        for row in rows.chunks_exact(TILE_ROWS) {
            for j in 0..TILE_ROWS {
                totals[j] += row[j].to_f64();
            }
        }
        *sums = totals;
    }
}

#[cfg(test)]
mod tests;
