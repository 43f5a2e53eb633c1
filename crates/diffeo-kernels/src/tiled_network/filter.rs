//! Filters of three by three pixels.

use std::ops::Range;

use crate::accumulate::{Ends, Run, Runs, Terms, UNITS_MAX, accumulate};
use crate::staircase::OutputGroup;
use crate::tiled_network::NetworkWeights;
use crate::tiled_network::lanes::{add, add_sums};
use crate::tiles::TILE_ROWS;
use crate::transpose::transpose;
use crate::{Aligned, Real, Staircase, pack_weight};

/// Places of a window: a pixel and its neighbours, line by line.
pub(super) const PLACES: usize = 9;
/// A tile of rows of a strip of outputs.
const SQUARE: usize = TILE_ROWS * TILE_ROWS;

/// Lines of an image, and pixels of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Grid {
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The lines and the pixels of each that a window around a pixel holds.
    fn window(&self, pixel: usize) -> [Range<usize>; 2] {
        let around = |at: usize, end: usize| at.saturating_sub(1)..end.min(at + 2);
        [around(pixel / self.width, self.height), around(pixel % self.width, self.width)]
    }

    /// A run of terms for each line of the window around a pixel: neighbours in a line are neighbours in memory.
    fn runs(&self, pixel: usize, inputs: usize) -> ([Run; 3], usize) {
        let ([lines, across], mut runs) = (self.window(pixel), [Run::default(); 3]);
        let (line, at) = (pixel / self.width, pixel % self.width);
        for (run, other) in runs.iter_mut().zip(lines.clone()) {
            let place = (other + 1 - line) * 3 + across.start + 1 - at;
            *run = Run {
                scalars: place * inputs * UNITS_MAX,
                vectors: (other * self.width + across.start) * inputs * TILE_ROWS,
                terms: across.len() * inputs,
            };
        }
        (runs, lines.len())
    }

    /// Pixels that have a neighbour at a place of the window, with that neighbour.
    fn pairs(&self, place: usize) -> impl Iterator<Item = [usize; 2]> {
        let Self { height, width } = *self;
        let moved =
            |at: usize, by: usize, end: usize| (at + by).checked_sub(1).filter(|&v| v < end);
        (0..self.pixels()).filter_map(move |pixel| {
            let line = moved(pixel / width, place / 3, height)?;
            Some([pixel, line * width + moved(pixel % width, place % 3, width)?])
        })
    }
}

/// `out[p] = b + sum over the places q of the window around p that lie inside: x[q] W_q`.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    grid: Grid,
    /// Of the matrices of all places one below the other, `[9 inputs, outputs]`, as they lie among the flat weights.
    there: Staircase,
    /// Of the same matrices transposed and in reverse order, by which gradients go back: that of a filter is a filter.
    back: Staircase,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
    /// The first of its two packed arrays.
    packed: usize,
}

/// Arrays that the gradient by a filter needs.
#[derive(Debug, Default)]
pub(super) struct FilterScratch<T> {
    /// The gradient by a strip of outputs, row-major, pixel after pixel.
    columns: Aligned<T>,
    runs: Vec<Run>,
}

impl Filter {
    /// A filter from so many numbers of a pixel to so many; `layers` counts the packed arrays of the network.
    pub(super) fn new(
        grid: Grid,
        [inputs, outputs]: [usize; 2],
        weight: Range<usize>,
        bias: Option<Range<usize>>,
        layers: &mut usize,
    ) -> Self {
        *layers += 2;
        let there = Staircase::dense(PLACES * inputs, outputs);
        let back = Staircase::dense(PLACES * outputs, inputs);
        Self { grid, there, back, weight, bias, packed: *layers - 2 }
    }

    fn shape(&self) -> [usize; 2] {
        [self.back.outputs(), self.there.outputs()]
    }

    /// Writes the matrices in the orders in which products read them.
    pub(super) fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]) {
        let (weight, [inputs, outputs]) = (&flat[self.weight.clone()], self.shape());
        pack_weight(weight, &self.there, &mut packed[self.packed]);
        let mut turned = vec![T::ZERO; weight.len()];
        let places = weight.chunks_exact(inputs * outputs).rev();
        for (from, to) in places.zip(turned.chunks_exact_mut(inputs * outputs)) {
            for (i, row) in from.chunks_exact(outputs).enumerate() {
                row.iter().enumerate().for_each(|(o, &v)| to[o * inputs + i] = v);
            }
        }
        pack_weight(&turned, &self.back, &mut packed[self.packed + 1]);
    }

    /// All pixels, `[pixels, inputs, TILE_ROWS]` to `[pixels, outputs, TILE_ROWS]`; what is added to these may be given.
    pub(super) fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        addend: Option<&[T]>,
        out: &mut [T],
    ) {
        let (bias, packed) = self.of(weights);
        convolve((self.grid, &self.there), packed, x, (bias, addend), (out, |_, _: &mut [T]| {}));
    }

    /// The pixels one after another in the same place, `[outputs, TILE_ROWS]`, each to be used before the next.
    pub(super) fn each<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        pixel: &mut [T],
        and_then: impl FnMut(usize, &mut [T]),
    ) {
        let (bias, packed) = self.of(weights);
        convolve((self.grid, &self.there), packed, x, (bias, None), (pixel, and_then));
    }

    /// The bias and the packed matrices.
    fn of<'a, T: Real>(&self, weights: NetworkWeights<'a, T>) -> (Option<&'a [T]>, &'a [T]) {
        let bias = self.bias.as_ref().map(|bias| &weights.flat[bias.clone()]);
        (bias, &weights.packed[self.packed])
    }

    /// Writes the gradient by the input.
    pub(super) fn backward_of_input<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        grad: &[T],
        by_x: &mut [T],
    ) {
        let packed = &weights.packed[self.packed + 1];
        let to = (by_x, |_, _: &mut [T]| {});
        convolve((self.grid, &self.back), packed, grad, (None, None), to);
    }

    /// Adds the gradient by matrices and bias to that by the flat weights.
    pub(super) fn backward_of_weights<T: Real>(
        &self,
        x: &[T],
        grad: &[T],
        FilterScratch { columns, runs }: &mut FilterScratch<T>,
        to: &mut [T],
    ) {
        let [inputs, outputs] = self.shape();
        let of_pixel = outputs * TILE_ROWS;
        if let Some(bias) = &self.bias {
            grad.chunks_exact(of_pixel).for_each(|grad| add_sums(grad, &mut to[bias.clone()]));
        }
        let columns = columns.sized(self.grid.pixels() * SQUARE);
        let weight = &mut to[self.weight.clone()];
        for first in (0..outputs).step_by(TILE_ROWS) {
            let strip = first..outputs.min(first + TILE_ROWS);
            let pixels = grad.chunks_exact(of_pixel).zip(columns.chunks_exact_mut(SQUARE));
            for (grad, columns) in pixels {
                transpose(&grad[strip.start * TILE_ROWS..strip.end * TILE_ROWS], columns);
            }
            for place in 0..PLACES {
                runs.clear();
                runs.extend(self.grid.pairs(place).map(|[pixel, other]| Run {
                    scalars: other * inputs * TILE_ROWS,
                    vectors: pixel * SQUARE,
                    terms: TILE_ROWS,
                }));
                let weight = &mut weight[place * inputs * outputs..][..inputs * outputs];
                strip_of_place((x, columns, runs), [inputs, outputs], strip.clone(), weight);
            }
        }
    }
}

/// `out = bias + addend + sum over the window of x W`, for a staircase of a whole window, pixel after pixel; all in the same place if there is room for one.
fn convolve<T: Real>(
    (grid, staircase): (Grid, &Staircase),
    packed: &[T],
    x: &[T],
    (bias, addend): (Option<&[T]>, Option<&[T]>),
    (out, mut and_then): (&mut [T], impl FnMut(usize, &mut [T])),
) {
    let (inputs, outputs) = (staircase.inputs() / PLACES, staircase.outputs());
    let (pixels, size) = (grid.pixels(), outputs * TILE_ROWS);
    assert_eq!(x.len(), pixels * inputs * TILE_ROWS, "an image of another size");
    let is_one = out.len() == size;
    assert!(is_one || out.len() == pixels * size, "a result of another size");
    for pixel in 0..pixels {
        let out = &mut out[if is_one { 0 } else { pixel * size }..][..size];
        let addend = addend.map(|addend| &addend[pixel * size..][..size]);
        let (runs, lines) = grid.runs(pixel, inputs);
        let runs = Runs::new(&runs[..lines], UNITS_MAX);
        for OutputGroup { units, rows, .. } in staircase.output_groups() {
            let scalars = &packed[rows.start * UNITS_MAX..rows.end * UNITS_MAX];
            let terms = Terms { runs, scalars, unit: 1, vectors: x };
            let place = units.start * TILE_ROWS..units.end * TILE_ROWS;
            let bias = bias.map(|bias| &bias[units.clone()]);
            let addend = addend.map(|addend| &addend[place.clone()]);
            let ends = Ends { bias, addend, ..Ends::default() };
            accumulate(units.len(), terms, ends, (&mut out[place], TILE_ROWS));
        }
        and_then(pixel, out);
    }
}

/// Adds the gradient by the matrix of a place, of a strip of outputs.
fn strip_of_place<T: Real>(
    (x, columns, runs): (&[T], &[T], &[Run]),
    [inputs, outputs]: [usize; 2],
    strip: Range<usize>,
    weight: &mut [T],
) {
    let (runs, mut sums) = (Runs::new(runs, 1), [T::ZERO; UNITS_MAX * TILE_ROWS]);
    let pieces = inputs.div_ceil(UNITS_MAX);
    for piece in 0..pieces {
        let (start, end) = (piece * inputs / pieces, (piece + 1) * inputs / pieces);
        let scalars = &x[start * TILE_ROWS..];
        let terms = Terms { runs, scalars, unit: TILE_ROWS, vectors: columns };
        accumulate(end - start, terms, Ends::default(), (&mut sums, TILE_ROWS));
        let rows = weight[start * outputs..end * outputs].chunks_exact_mut(outputs);
        for (to, sums) in rows.zip(sums.chunks_exact(TILE_ROWS)) {
            add(&sums[..strip.len()], &mut to[strip.clone()]);
        }
    }
}
