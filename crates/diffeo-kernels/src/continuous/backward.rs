//! The gradient of a solution, by the steps that were taken.

use super::field::Sums;
use super::lanes::{add, combine};
use super::{Field, FieldGradients, FieldWeights, FieldWork, Solver, Tile};
use crate::tiles::TILE_ROWS;
use crate::{Activation, Aligned, Real, TiledLinear};

/// The tape of [`Field::solve`], to be read.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a, T> {
    /// See [`super::Tape`].
    pub starts: &'a [T],
    /// See [`super::Tape`].
    pub times: &'a [T],
    /// See [`super::Tape`].
    pub sizes: &'a [T],
}

impl Field {
    /// The gradient of a loss by start, context and weights, given those by the end (in `to.x`) and by the log-determinants, `[TILE_ROWS]`.
    ///
    /// Rows that only fill up the tile must have zero gradient.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn backward<T: Real>(
        &self,
        weights: FieldWeights<'_, T>,
        tile: Tile<'_, T>,
        (taken, solver): (Taken<'_, T>, &Solver),
        by_log_det: &[T],
        to: FieldGradients<'_, T>,
        work: &mut FieldWork<T>,
    ) {
        let tableau = solver.tableau();
        let (stages, size) = (tableau.result.len(), self.dims() * TILE_ROWS);
        assert_eq!((to.x.len(), by_log_det.len()), (size, TILE_ROWS), "gradients of other rows");
        self.prepare(weights, tile, stages, work);
        work.fields.sized(stages * size);
        work.divergences.sized(stages * TILE_ROWS);
        work.stage.sized(size);
        let mut sums = self.no_sums();
        let mut by_stages = Aligned::zeros(stages * size);
        let mut by_addend = Aligned::zeros(self.layers[0].outputs() * TILE_ROWS);
        let (mut by_v, mut by_divergence) = (Aligned::zeros(size), [T::ZERO; TILE_ROWS]);
        let none = Aligned::zeros(size);
        let steps = taken.starts.chunks_exact(size).zip(taken.times.as_chunks::<TILE_ROWS>().0);
        let steps = steps.zip(taken.sizes.as_chunks::<TILE_ROWS>().0);
        for ((x, t), h) in steps.rev() {
            let time = |s: usize| -> [T; TILE_ROWS] {
                let part = T::from_f64(tableau.nodes[s]);
                std::array::from_fn(|lane| part.fma(h[lane], t[lane]))
            };
            for s in 0..stages {
                let mut stage = std::mem::take(&mut work.stage);
                combine(x, h, tableau.stages[s], &work.fields[..s * size], &mut stage[..size]);
                self.evaluate(weights, tile, (&stage[..size], &time(s)), [s, s], work);
                work.stage = stage;
            }
            for s in (0..stages).rev() {
                // What reaches this stage's field: from the result, and from the stages after it.
                combine(&none, h, &[tableau.result[s]], to.x, &mut by_v);
                for later in s + 1..stages {
                    let factor = tableau.stages[later][s];
                    if factor != 0.0 {
                        let by_later = &by_stages[later * size..][..size];
                        let before = by_v.clone();
                        combine(&before, h, &[factor], by_later, &mut by_v);
                    }
                }
                for lane in 0..TILE_ROWS {
                    by_divergence[lane] =
                        T::from_f64(tableau.result[s]) * h[lane] * by_log_det[lane];
                }
                let by_stage = &mut by_stages[s * size..][..size];
                let given = (&by_v[..], &by_divergence[..]);
                self.evaluate_back(
                    weights,
                    tile,
                    given,
                    (&time(s), s),
                    (work, &mut sums),
                    by_stage,
                );
                let len = by_addend.len();
                let first = s * self.tiles(tile) * len;
                add(&work.grads[1][first..][..len], &mut by_addend);
            }
            for by_stage in by_stages.chunks_exact(size) {
                add(by_stage, to.x);
            }
            self.add_products(weights, tile, stages, work, to.weights);
        }
        self.finish(weights, tile, (&sums, &mut by_addend), (to.context, to.weights), work);
    }

    pub(super) fn no_sums(&self) -> Sums {
        let zeros = |width: usize| [vec![0.0; width], vec![0.0; width]];
        Sums { layers: self.layers.iter().map(|layer| zeros(layer.outputs())).collect() }
    }

    /// Biases, rates and what concerns the context, once for all steps.
    pub(super) fn finish<T: Real>(
        &self,
        weights: FieldWeights<'_, T>,
        tile: Tile<'_, T>,
        (sums, by_addend): (&Sums, &mut Aligned<T>),
        (by_context, gradient): (&mut [T], &mut [T]),
        work: &mut FieldWork<T>,
    ) {
        let (places, place) = self.places();
        for ([_, bias, rate], sums) in places.iter().zip(&sums.layers) {
            for (place, sums) in [bias, rate].into_iter().zip(sums) {
                gradient[place.clone()]
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(to, sum)| *to += T::from_f64(*sum));
            }
        }
        let Some(staircase) = &self.context else { return };
        let layer = TiledLinear {
            packed: &weights.packed[self.layers.len()],
            bias: &work.zeros[..staircase.outputs()],
            staircase,
            activation: Activation::None,
            input: Activation::None,
        };
        let products = work.weight.sized(place.len() + staircase.outputs());
        let (product, bias) = products.split_at_mut(place.len());
        let output = by_addend.clone();
        layer.backward_of_weights(
            tile.context,
            &output,
            by_addend,
            (product, bias),
            &mut work.linear,
        );
        add(product, &mut gradient[place]);
        layer.backward_of_input(tile.context, by_addend, by_context);
    }
}
