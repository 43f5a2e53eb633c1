//! Where rows were on their way, by the steps that were taken.

use super::lanes::combine;
use super::{Field, FieldWork, Solver, Taken, Tile};
use crate::Real;
use crate::dual::DualWeights;
use crate::tiles::TILE_ROWS;

impl Field {
    /// Where the rows of a solution were at time `t`, `[d, TILE_ROWS]`, written to `x`: each at the end of a shorter step from where its last one before `t` started, so the error is
    /// of the size of those of the steps.
    ///
    /// A row that took no step, being lost, is NaN.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn place<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        tile: Tile<'_, T>,
        (taken, solver): (Taken<'_, T>, &Solver),
        t: f64,
        x: &mut [T],
        work: &mut FieldWork<T>,
    ) {
        let tableau = solver.tableau();
        let (stages, size) = (tableau.result.len(), self.dims() * TILE_ROWS);
        assert_eq!(x.len(), size, "rows of another width");
        let tile = Tile { probes: &[], ..tile };
        self.prepare(weights, tile, 1, work);
        work.fields.sized(stages * size);
        work.divergences.sized(stages * TILE_ROWS);
        work.stage.sized(size);
        let mut start = vec![T::from_f64(f64::NAN); size];
        let (mut times, mut h) = ([T::ZERO; TILE_ROWS], [T::ZERO; TILE_ROWS]);
        for lane in 0..TILE_ROWS {
            if let Some((step, part)) = step_at(taken, lane, t) {
                let from = &taken.starts[step * size..][..size];
                (lane..size).step_by(TILE_ROWS).for_each(|i| start[i] = from[i]);
                times[lane] = taken.times[step * TILE_ROWS + lane];
                h[lane] = part;
            }
        }
        for s in 0..stages {
            let node = T::from_f64(tableau.nodes[s]);
            let t = std::array::from_fn(|lane| node.fma(h[lane], times[lane]));
            let mut stage = std::mem::take(&mut work.stage);
            combine(&start, &h, tableau.stages[s], &work.fields[..s * size], &mut stage[..size]);
            self.evaluate(weights, tile, (&stage[..size], &t), [s, 0], work);
            work.stage = stage;
        }
        combine(&start, &h, tableau.result, &work.fields[..stages * size], x);
    }
}

/// The step of a row that was under way at time `t`, and how far it had gone.
fn step_at<T: Real>(taken: Taken<'_, T>, lane: usize, t: f64) -> Option<(usize, T)> {
    let at = |values: &[T], step: usize| values[step * TILE_ROWS + lane].to_f64();
    let steps = 0..taken.sizes.len() / TILE_ROWS;
    let mut taken_steps = steps.filter(|step| at(taken.sizes, *step) != 0.0);
    let first = taken_steps.next()?;
    let gone = |step: usize| (t - at(taken.times, step)) * at(taken.sizes, step).signum();
    let step = taken_steps.take_while(|step| gone(*step) >= 0.0).last().unwrap_or(first);
    let (size, part) = (at(taken.sizes, step), gone(step).clamp(0.0, at(taken.sizes, step).abs()));
    Some((step, T::from_f64(part * size.signum())))
}
