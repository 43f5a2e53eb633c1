//! Filters over the places of an image, or of a sequence, which is an image of one line.

use std::ops::Range;

use crate::accumulate::{Ends, Run, Runs, Terms, UNITS_MAX, accumulate};
use crate::staircase::OutputGroup;
use crate::tiled_network::NetworkWeights;
use crate::tiled_network::lanes::{add, add_sums};
use crate::tiles::TILE_ROWS;
use crate::transpose::transpose;
use crate::{Aligned, Real, Staircase, pack_weight};

/// A tile of rows of a strip of outputs.
const SQUARE: usize = TILE_ROWS * TILE_ROWS;
/// Pixels whose gradients are turned into rows together: they lie in the second cache then.
const BLOCK: usize = 64;

/// Lines of an image, and pixels of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// Where a filter looks: so many lines down and pixels to the right of the pixel that it is for.
pub(crate) type Tap = [isize; 2];

/// The window of three by three pixels around a pixel, line by line.
pub(crate) fn window() -> Vec<Tap> {
    (-1..=1).flat_map(|line| (-1..=1).map(move |pixel| [line, pixel])).collect()
}

impl Grid {
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The pixel that a tap of another one looks at, if there is one.
    fn seen(&self, pixel: usize, [down, right]: Tap) -> Option<usize> {
        let line = (pixel / self.width).checked_add_signed(down).filter(|&v| v < self.height)?;
        let at = (pixel % self.width).checked_add_signed(right).filter(|&v| v < self.width)?;
        Some(line * self.width + at)
    }

    /// The terms of a pixel: taps that follow each other and look at pixels that do are one run.
    fn runs(&self, taps: &[Tap], pixel: usize, inputs: usize, to: &mut Vec<Run>) {
        to.clear();
        let mut last = None;
        for (place, tap) in taps.iter().enumerate() {
            let Some(other) = self.seen(pixel, *tap) else { continue };
            match to.last_mut() {
                Some(run) if last == Some((place, other)) => run.terms += inputs,
                _ => to.push(Run {
                    scalars: place * inputs * UNITS_MAX,
                    vectors: other * inputs * TILE_ROWS,
                    terms: inputs,
                }),
            }
            last = Some((place + 1, other + 1));
        }
    }
}

/// `out[p] = b + sum over the taps k that look at a pixel q of the image: x[q] W_k`.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    grid: Grid,
    taps: Vec<Tap>,
    /// From where gradients come: the other way, in reverse order.
    back_taps: Vec<Tap>,
    /// Of the matrices of all taps one below the other, `[taps inputs, outputs]`, as they lie among the flat weights.
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
pub(crate) struct FilterScratch<T> {
    /// The gradient by a strip of outputs, row-major, pixel after pixel of a block.
    columns: Aligned<T>,
    runs: Vec<Run>,
}

impl Filter {
    /// A filter from so many numbers of a pixel to so many; `layers` counts the packed arrays of the network.
    pub(crate) fn new(
        (grid, taps): (Grid, Vec<Tap>),
        [inputs, outputs]: [usize; 2],
        weight: Range<usize>,
        bias: Option<Range<usize>>,
        layers: &mut usize,
    ) -> Self {
        *layers += 2;
        let there = Staircase::dense(taps.len() * inputs, outputs);
        let back = Staircase::dense(taps.len() * outputs, inputs);
        let back_taps = taps.iter().rev().map(|tap| tap.map(|by| -by)).collect();
        Self { grid, taps, back_taps, there, back, weight, bias, packed: *layers - 2 }
    }

    fn shape(&self) -> [usize; 2] {
        [self.back.outputs(), self.there.outputs()]
    }

    /// Writes the matrices in the orders in which products read them.
    pub(crate) fn pack<T: Real>(&self, flat: &[T], packed: &mut [Aligned<T>]) {
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
    pub(crate) fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        addend: Option<&[T]>,
        out: &mut [T],
    ) {
        let (bias, packed) = self.of(weights);
        let all = 0..self.grid.pixels();
        convolve(self.there(), (packed, x), (bias, addend), all, (out, |_, _: &mut [T]| {}));
    }

    /// Some pixels one after another in the same place, `[outputs, TILE_ROWS]`, each to be used before the next.
    pub(crate) fn each<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        x: &[T],
        (pixels, pixel): (Range<usize>, &mut [T]),
        and_then: impl FnMut(usize, &mut [T]),
    ) {
        let (bias, packed) = self.of(weights);
        convolve(self.there(), (packed, x), (bias, None), pixels, (pixel, and_then));
    }

    /// One pixel, of what its taps look at one after another, `[taps, inputs, TILE_ROWS]`.
    pub(crate) fn one<T: Real>(&self, weights: NetworkWeights<'_, T>, seen: &[T], out: &mut [T]) {
        let (bias, packed) = self.of(weights);
        let run = Run { scalars: 0, vectors: 0, terms: self.there.inputs() };
        product(&self.there, packed, (seen, &[run]), (bias, None), out);
    }

    /// The same filter over images of another size.
    pub(crate) fn over(&self, grid: Grid) -> Self {
        Self { grid, ..self.clone() }
    }

    fn there(&self) -> (Grid, &[Tap], &Staircase) {
        (self.grid, &self.taps, &self.there)
    }

    /// The bias and the packed matrices.
    fn of<'a, T: Real>(&self, weights: NetworkWeights<'a, T>) -> (Option<&'a [T]>, &'a [T]) {
        let bias = self.bias.as_ref().map(|bias| &weights.flat[bias.clone()]);
        (bias, &weights.packed[self.packed])
    }

    /// Writes the gradient by the input; what is added to it may be given.
    pub(crate) fn backward_of_input<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        grad: &[T],
        addend: Option<&[T]>,
        by_x: &mut [T],
    ) {
        let packed = &weights.packed[self.packed + 1];
        let (back, all) = ((self.grid, &*self.back_taps, &self.back), 0..self.grid.pixels());
        let to = (by_x, |_, _: &mut [T]| {});
        convolve(back, (packed, grad), (None, addend), all, to);
    }

    /// Adds the gradient by matrices and bias to that by the flat weights, if that is wanted.
    pub(crate) fn backward_of_weights<T: Real>(
        &self,
        x: &[T],
        grad: &[T],
        FilterScratch { columns, runs }: &mut FilterScratch<T>,
        to: &mut [T],
    ) {
        if to.is_empty() {
            return;
        }
        let [inputs, outputs] = self.shape();
        let of_pixel = outputs * TILE_ROWS;
        if let Some(bias) = &self.bias {
            grad.chunks_exact(of_pixel).for_each(|grad| add_sums(grad, &mut to[bias.clone()]));
        }
        let columns = columns.sized(BLOCK * SQUARE);
        let weight = &mut to[self.weight.clone()];
        for (block, grad) in grad.chunks(BLOCK * of_pixel).enumerate() {
            let pixels = block * BLOCK..block * BLOCK + grad.len() / of_pixel;
            for first in (0..outputs).step_by(TILE_ROWS) {
                let strip = first..outputs.min(first + TILE_ROWS);
                let grads = grad.chunks_exact(of_pixel).zip(columns.chunks_exact_mut(SQUARE));
                for (grad, columns) in grads {
                    transpose(&grad[strip.start * TILE_ROWS..strip.end * TILE_ROWS], columns);
                }
                for (place, &tap) in self.taps.iter().enumerate() {
                    runs.clear();
                    runs.extend(pixels.clone().filter_map(|pixel| {
                        let other = self.grid.seen(pixel, tap)?;
                        Some(Run {
                            scalars: other * inputs * TILE_ROWS,
                            vectors: (pixel - pixels.start) * SQUARE,
                            terms: TILE_ROWS,
                        })
                    }));
                    let weight = &mut weight[place * inputs * outputs..][..inputs * outputs];
                    strip_of_place((x, columns, runs), [inputs, outputs], strip.clone(), weight);
                }
            }
        }
    }
}

/// `out = bias + addend + sum over the taps of x W` of some pixels, one after another; all in the same place if there is room for one.
fn convolve<T: Real>(
    (grid, taps, staircase): (Grid, &[Tap], &Staircase),
    (packed, x): (&[T], &[T]),
    (bias, addend): (Option<&[T]>, Option<&[T]>),
    range: Range<usize>,
    (out, mut and_then): (&mut [T], impl FnMut(usize, &mut [T])),
) {
    let (inputs, outputs) = (staircase.inputs() / taps.len(), staircase.outputs());
    let size = outputs * TILE_ROWS;
    assert_eq!(x.len(), grid.pixels() * inputs * TILE_ROWS, "an image of another size");
    let is_one = out.len() == size;
    assert!(is_one || out.len() == range.len() * size, "a result of another size");
    let mut runs = Vec::with_capacity(taps.len());
    for (i, pixel) in range.enumerate() {
        let out = &mut out[if is_one { 0 } else { i * size }..][..size];
        let addend = addend.map(|addend| &addend[i * size..][..size]);
        grid.runs(taps, pixel, inputs, &mut runs);
        product(staircase, packed, (x, &runs), (bias, addend), out);
        and_then(pixel, out);
    }
}

/// The outputs of one pixel, given the terms that its taps find.
fn product<T: Real>(
    staircase: &Staircase,
    packed: &[T],
    (x, runs): (&[T], &[Run]),
    (bias, addend): (Option<&[T]>, Option<&[T]>),
    out: &mut [T],
) {
    let runs = Runs::new(runs, UNITS_MAX);
    for OutputGroup { units, rows, .. } in staircase.output_groups() {
        let scalars = &packed[rows.start * UNITS_MAX..rows.end * UNITS_MAX];
        let terms = Terms { runs, scalars, unit: 1, vectors: x };
        let place = units.start * TILE_ROWS..units.end * TILE_ROWS;
        let bias = bias.map(|bias| &bias[units.clone()]);
        let addend = addend.map(|addend| &addend[place.clone()]);
        let ends = Ends { bias, addend, ..Ends::default() };
        accumulate(units.len(), terms, ends, (&mut out[place], TILE_ROWS));
    }
}

/// Adds the gradient by the matrix of a tap, of a strip of outputs.
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
