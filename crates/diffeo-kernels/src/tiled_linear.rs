//! Masked linear layer on tiles: product, bias, addend and activation in one pass, and its backward pass.

use crate::accumulate::{Ends, Run, Runs, Terms, UNITS_MAX, accumulate};
use crate::activation::{Activation, activate, activate_backward};
use crate::dispatch::dispatched;
use crate::staircase::{InputGroup, OutputGroup};
use crate::tiles::TILE_ROWS;
use crate::transpose::transpose;
use crate::{Aligned, LinearGradients, Real, Staircase};

/// `out = activation(x W + bias + addend)` as [`crate::MaskedLinear`], with all rows in tiles: `[tiles, width, TILE_ROWS]`.
///
/// * Weights are packed once, for all rows and both passes; products skip nearly all masked ones.
/// * Row `i` of `out` is the same bits whatever the other rows are and however many, at every instruction set: each element is one
///   chain of fused multiply-adds over the inputs.
/// * Of what belongs to rows only the gradient by the output is transposed, in the backward pass.
#[derive(Clone, Copy, Debug)]
pub struct TiledLinear<'a, T> {
    /// The matrix as [`pack_weight`] writes it.
    pub packed: &'a [T],
    /// `[outputs]`.
    pub bias: &'a [T],
    /// Which inputs each output sees.
    pub staircase: &'a Staircase,
    /// Applied last.
    pub activation: Activation,
    /// The activation that made the input: [`Self::backward`] then gives the gradient by its argument.
    pub input: Activation,
}

/// What [`TiledLinear::backward`] needs while it runs.
#[derive(Debug, Default)]
pub struct LinearScratch<T> {
    /// The gradient by a strip of outputs, row-major.
    columns: Aligned<T>,
    /// The rows of all tiles.
    runs: Vec<Run>,
}

/// Writes a weight matrix `[inputs, outputs]`, row-major, in the order in which [`TiledLinear`] reads it: for each group of outputs
/// that are computed together a row for each input that they need.
///
/// Masked entries must be exactly zero.
///
/// # Panics
/// If the matrix does not fit its staircase.
pub fn pack_weight<T: Real>(weight: &[T], staircase: &Staircase, packed: &mut Aligned<T>) {
    let outputs = staircase.outputs();
    assert_eq!(weight.len(), staircase.inputs() * outputs, "weight has the wrong length");
    packed.resize(packed_len(staircase));
    // A few rows of the matrix at a time: by groups alone, every row would be read a dozen numbers at a time, again and again.
    for first in (0..staircase.inputs()).step_by(PACK_ROWS) {
        for OutputGroup { units, rows, .. } in staircase.output_groups() {
            let depth = rows.len();
            let part = rows.start + first.min(depth)..rows.start + depth.min(first + PACK_ROWS);
            let from = &weight[first * outputs + units.start..];
            let to = &mut packed[part.start * UNITS_MAX..part.end * UNITS_MAX];
            pack_group(from, outputs, units.len(), to);
        }
    }
}

/// Length of a packed matrix.
fn packed_len(staircase: &Staircase) -> usize {
    staircase.output_groups().last().map_or(0, |group| group.rows.end * UNITS_MAX)
}

/// Rows of a weight matrix that are packed together.
const PACK_ROWS: usize = 16;

/// Copies neighbouring columns, a whole row at a time, all of them known to the compiler: a call to copy a dozen numbers takes longer
/// than copying them.
fn pack_group<T: Real>(weight: &[T], width: usize, units: usize, packed: &mut [T]) {
    fn fixed<T: Real, const U: usize>(weight: &[T], width: usize, packed: &mut [T]) {
        for (k, to) in packed.as_chunks_mut::<UNITS_MAX>().0.iter_mut().enumerate() {
            to[..U].copy_from_slice(&weight[k * width..][..U]);
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
        assert_eq!(self.packed.len(), packed_len(self.staircase), "packed has the wrong length");
        assert_eq!(self.bias.len(), outputs, "bias has the wrong length");
        let tiles = out.checked_div(outputs * TILE_ROWS).unwrap_or(0);
        assert_eq!(out, tiles * outputs * TILE_ROWS, "out is not a whole number of tiles");
        assert!(outputs == 0 || x.len() == tiles * inputs * TILE_ROWS, "x and out differ in rows");
        tiles
    }

    /// Computes `out`.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn forward(&self, x: &[T], addend: Option<&[T]>, out: &mut [T]) {
        let tiles = self.tiles(x, out.len());
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert!(addend.is_none_or(|a| a.len() == out.len()), "addend has the wrong length");
        for tile in 0..tiles {
            let x = &x[tile * inputs * TILE_ROWS..][..inputs * TILE_ROWS];
            let start = tile * outputs * TILE_ROWS;
            let out = &mut out[start..][..outputs * TILE_ROWS];
            let addend = addend.map(|addend| &addend[start..][..outputs * TILE_ROWS]);
            for OutputGroup { units, depth, rows } in self.staircase.output_groups() {
                let place = units.start * TILE_ROWS..units.end * TILE_ROWS;
                let scalars = &self.packed[rows.start * UNITS_MAX..rows.end * UNITS_MAX];
                let runs = [Run { terms: *depth, ..Run::default() }];
                let runs = Runs::new(&runs[..], UNITS_MAX);
                let terms = Terms { runs, scalars, unit: 1, vectors: x };
                let out = &mut out[place.clone()];
                let ends = Ends {
                    bias: Some(&self.bias[units.clone()]),
                    addend: addend.map(|a| &a[place]),
                    rectified: self.activation == Activation::Relu,
                    rectifier: None,
                };
                accumulate(units.len(), terms, ends, (&mut *out, TILE_ROWS));
                if matches!(self.activation, Activation::Tanh | Activation::Elu) {
                    activate(self.activation, out);
                }
            }
        }
    }

    /// Computes the gradients of a loss, given `x`, the `output` of [`Self::forward`] and in `grad` the loss's gradient by that
    /// output. On return `grad` holds the gradient by the pre-activation, which is also that by the addend. The gradient by `x` is that by
    /// what [`Self::input`] was applied to.
    ///
    /// Sums over rows run in the order of the rows, the bias's in `f64`. Rows that only fill up the last tile must have zero gradient.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn backward(
        &self,
        x: &[T],
        output: &[T],
        grad: &mut [T],
        to: LinearGradients<'_, T>,
        scratch: &mut LinearScratch<T>,
    ) {
        self.backward_of_weights(x, output, grad, (to.weight, to.bias), scratch);
        if let Some(grad_x) = to.x {
            self.backward_of_input(x, grad, grad_x);
        }
    }

    /// The part of [`Self::backward`] that concerns weight and bias.
    pub(crate) fn backward_of_weights(
        &self,
        x: &[T],
        output: &[T],
        grad: &mut [T],
        (weight, bias): (&mut [T], &mut [T]),
        LinearScratch { columns, runs }: &mut LinearScratch<T>,
    ) {
        let tiles = self.tiles(x, grad.len());
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert_eq!(output.len(), grad.len(), "output and its gradient differ in length");
        assert_eq!(weight.len(), inputs * outputs, "weight gradient has the wrong length");
        assert_eq!(bias.len(), outputs, "bias gradient has the wrong length");
        let columns = columns.sized(tiles * TILE_ROWS * TILE_ROWS);
        runs.clear();
        runs.extend((0..tiles).map(|tile| Run {
            scalars: tile * inputs * TILE_ROWS,
            vectors: tile * TILE_ROWS * TILE_ROWS,
            terms: TILE_ROWS,
        }));
        let runs = Runs::new(&runs[..], 1);
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
            let bias = &mut bias[units.clone()];
            bias.iter_mut().zip(sums).for_each(|(bias, sum)| *bias = T::from_f64(sum));
            let depth = self.staircase.prefix()[units.end - 1];
            weight_columns((x, columns, runs), outputs, (units, depth), weight);
        }
        self.staircase.clear_overhang_of_strips(weight, TILE_ROWS);
    }

    /// The part of [`Self::backward`] that concerns the input, given the gradient by the pre-activation.
    pub(crate) fn backward_of_input(&self, x: &[T], grad: &[T], grad_x: &mut [T]) {
        let tiles = self.tiles(x, grad.len());
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        assert_eq!(grad_x.len(), tiles * inputs * TILE_ROWS, "x gradient has the wrong length");
        let sizes = (inputs * TILE_ROWS, outputs * TILE_ROWS);
        for tile in 0..tiles {
            let vectors = &grad[tile * sizes.1..][..sizes.1];
            let grad_x = &mut grad_x[tile * sizes.0..][..sizes.0];
            let x = &x[tile * sizes.0..][..sizes.0];
            for InputGroup { units, runs } in self.staircase.input_groups() {
                let (runs, scalars, unit) = (runs.view(), self.packed, UNITS_MAX);
                let terms = Terms { runs, scalars, unit, vectors };
                let place = units.start * TILE_ROWS..units.end * TILE_ROWS;
                let rectifier = (self.input == Activation::Relu).then_some(&x[place.clone()]);
                let ends = Ends { rectifier, ..Ends::default() };
                accumulate(units.len(), terms, ends, (&mut grad_x[place], TILE_ROWS));
            }
            if matches!(self.input, Activation::Tanh | Activation::Elu) {
                activate_backward(self.input, x, grad_x);
            }
        }
    }
}

/// The gradient of the weights of a strip of outputs, `units`, which see the first `depth` inputs.
fn weight_columns<T: Real>(
    (x, columns, runs): (&[T], &[T], Runs<&[Run]>),
    outputs: usize,
    (units, depth): (std::ops::Range<usize>, usize),
    weight: &mut [T],
) {
    let mut narrow = [T::ZERO; UNITS_MAX * TILE_ROWS];
    // Without rows there are no inputs that could be cut into pieces.
    let pieces = if columns.is_empty() { 0 } else { depth.div_ceil(UNITS_MAX) };
    if columns.is_empty() {
        weight.chunks_mut(outputs).take(depth).for_each(|row| row[units.clone()].fill(T::ZERO));
    }
    for piece in 0..pieces {
        let (start, end) = (piece * depth / pieces, (piece + 1) * depth / pieces);
        let scalars = &x[start * TILE_ROWS..];
        let terms = Terms { runs, scalars, unit: TILE_ROWS, vectors: columns };
        let to = &mut weight[start * outputs + units.start..];
        if units.len() == TILE_ROWS {
            accumulate(end - start, terms, Ends::default(), (to, outputs));
            continue;
        }
        accumulate(end - start, terms, Ends::default(), (&mut narrow, TILE_ROWS));
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
