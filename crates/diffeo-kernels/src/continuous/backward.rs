//! The gradient of a solution, by the steps that were taken.

use super::lanes::combine;
use super::tableau::Tableau;
use super::{Field, FieldGradients, FieldWork, Solver, Tile};
use crate::dual::{DualSums, DualWeights, add};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

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
        weights: DualWeights<'_, T>,
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
        let mut sums = DualSums::new(&self.network);
        let mut by_stages = Aligned::zeros(stages * size);
        let mut by_addend = Aligned::zeros(self.network.first() * TILE_ROWS);
        let (mut by_v, mut by_divergence) = (Aligned::zeros(size), [T::ZERO; TILE_ROWS]);
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
                by_field(tableau, s, (h, to.x, &by_stages), &mut by_v);
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
                let slot = self.slot(tile, s);
                add(work.network.addend_gradient(&self.network, slot), &mut by_addend);
            }
            for by_stage in by_stages.chunks_exact(size) {
                add(by_stage, to.x);
            }
            let slots = [self.slot(tile, 0).directions, stages];
            self.network.add_products(weights, slots, &mut work.network, to.weights);
        }
        self.network.add_sums(&sums, to.weights);
        let (from, to) = ((tile.context, &mut by_addend), (to.context, to.weights));
        self.network.context_backward(weights, from, to, &mut work.network);
    }
}

/// The gradient by the field of stage `s`, given those by the result of the step and by the places of the later stages: from the result, and through each of these.
fn by_field<T: Real>(
    tableau: &Tableau,
    s: usize,
    (h, by_result, by_stages): (&[T; TILE_ROWS], &[T], &[T]),
    by_v: &mut Aligned<T>,
) {
    let size = by_result.len();
    by_v.fill(T::ZERO);
    let later = (s + 1..tableau.result.len()).map(|later| (tableau.stages[later][s], later));
    let later = later.map(|(factor, later)| (factor, &by_stages[later * size..][..size]));
    for (factor, given) in std::iter::once((tableau.result[s], by_result)).chain(later) {
        if factor != 0.0 {
            let before = by_v.clone();
            combine(&before, h, &[factor], given, by_v);
        }
    }
}
