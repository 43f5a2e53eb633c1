//! The solution of an equation without tensors.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use diffeo_kernels::ops::Direction;
use diffeo_kernels::{
    Aligned, DualWeights, Field, FieldGradients, FieldWork, Real, Regression, Solver, Stalled,
    TILE_ROWS, Taken, Tape, Tile, unit_probes,
};

use super::{Continuous, NAMES, PenaltySpec, SolverSpec, not_solved, signs};
use crate::error::Result;
use crate::host::draws::Draws;
use crate::step::{Arena, Kept, Pass, Scratch, Step, Velocity, Weights};

/// Rows from `t = 0` to `t = 1`.
pub(super) struct ContinuousStep {
    field: Arc<Field>,
    solver: SolverSpec,
    exact_columns: usize,
    penalty: PenaltySpec,
    /// Where each part of the flat weights of the field lies among those of the flow.
    ranges: Vec<Range<usize>>,
    draws: Box<dyn Fn(Draws) -> Draws + Send + Sync>,
}

impl fmt::Debug for ContinuousStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContinuousStep").field("field", &self.field).finish_non_exhaustive()
    }
}

/// Arrays that the tape has for each tile: where steps started, when, and their sizes.
const EACH: usize = 3;

impl ContinuousStep {
    pub(super) fn new(layer: &Continuous, weights: &Weights<'_>) -> Option<Self> {
        let mut ranges = Vec::new();
        for i in 0..layer.layers.len() {
            let part = weights.part(&format!("layer.{i}"));
            for name in NAMES {
                ranges.push(part.range(name)?);
            }
        }
        if layer.context.is_some() {
            ranges.push(weights.range("context")?);
        }
        Some(Self {
            field: Arc::clone(&layer.field),
            solver: layer.solver,
            exact_columns: layer.exact_columns,
            penalty: layer.penalty,
            ranges,
            draws: Box::new(weights.draws()),
        })
    }

    /// How many weights the field has.
    fn len(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    /// Puts the gradient by the field's weights where the flow has them.
    fn spread<T: Real>(&self, by_weights: &[T], gradient: &mut [T]) {
        let mut rest = by_weights;
        for range in &self.ranges {
            let (from, more) = rest.split_at(range.len());
            gradient[range.clone()].copy_from_slice(from);
            rest = more;
        }
    }

    fn solver<T: Real>(&self, pass: &Pass<'_, T>) -> Solver {
        self.solver.solver(pass.draws.is_some(), size_of::<T>() == size_of::<f64>())
    }

    /// The directions of a tile.
    fn probes<T: Real>(&self, pass: &Pass<'_, T>, tile: usize) -> Vec<T> {
        let d = self.field.dims();
        let Some(draws) = pass.draws.filter(|_| d > self.exact_columns) else {
            return unit_probes(d);
        };
        let draws = (self.draws)(draws);
        let mut probes = vec![T::ZERO; d * TILE_ROWS];
        for lane in 0..TILE_ROWS {
            for (i, sign) in signs(&draws, tile * TILE_ROWS + lane, d).enumerate() {
                probes[i * TILE_ROWS + lane] = T::from_f64(sign);
            }
        }
        probes
    }

    /// What a tile is given beside its rows.
    fn given<'a, T: Real>(&self, pass: &Pass<'a, T>, tile: usize, probes: &'a [T]) -> Tile<'a, T> {
        let size = self.field.network().context() * TILE_ROWS;
        let context = &pass.context[tile * size..][..size];
        Tile { context, probes, penalty: self.penalty.in_training(pass.draws.is_some()) }
    }
}

/// The weights that [`Step::load`] took up.
fn loaded<T: Real>(arena: &Arena<T>, len: usize) -> DualWeights<'_, T> {
    DualWeights { flat: &arena.array(0)[..len], packed: arena.after(1) }
}

impl<T: Real> Step<T> for ContinuousStep {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let len = self.len();
        let ([flat], packed) = loaded.arrays(self.field.network().packed());
        let mut rest = flat.sized(len);
        for range in &self.ranges {
            let (to, more) = rest.split_at_mut(range.len());
            to.copy_from_slice(&weights[range.clone()]);
            rest = more;
        }
        self.field.network().pack(&flat[..len], packed);
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        kept: Kept<'_, T>,
    ) -> Result<()> {
        let size = self.field.dims() * TILE_ROWS;
        let weights = loaded(kept.loaded, self.len());
        let solver = self.solver(pass);
        let (_, tapes) = kept.tape.arrays::<0>(EACH * pass.tiles);
        let mut work = FieldWork::default();
        z.copy_from_slice(x);
        let tiles = z.chunks_exact_mut(size).zip(tapes.chunks_exact_mut(EACH));
        for (tile, ((z, arrays), log_det)) in
            tiles.zip(log_det.as_chunks_mut::<TILE_ROWS>().0).enumerate()
        {
            let probes = self.probes(pass, tile);
            let given = self.given(pass, tile, &probes);
            let [starts, times, sizes] = arrays else { unreachable!("so many were asked for") };
            let tape = Some(Tape { starts, times, sizes });
            let mut found = [0.0; TILE_ROWS];
            let (how, to) = ((Direction::Forward, &solver), (z, &mut found));
            let solved = self.field.solve(weights, given, how, to, tape, &mut work);
            solved.map_err(|stalled| {
                not_solved(&Stalled { row: tile * TILE_ROWS + stalled.row, ..stalled })
            })?;
            log_det.iter_mut().zip(found).for_each(|(log_det, found)| *log_det += found);
        }
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        _x: &[T],
        grad: &mut [T],
        _wanted: bool,
        (kept, scratch): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let size = self.field.dims() * TILE_ROWS;
        let len = self.len();
        let weights = loaded(kept.loaded, len);
        let solver = self.solver(pass);
        let Scratch { arena, context, .. } = scratch;
        let ([by_weights, by_context], _) = arena.arrays(0);
        let by_weights = by_weights.sized(len);
        by_weights.fill(T::ZERO);
        let by_context = by_context.sized(self.field.network().context() * TILE_ROWS);
        let mut work = FieldWork::default();
        let tapes: &[Aligned<T>] = &kept.tape.after(0)[..EACH * pass.tiles];
        let rows = grad.chunks_exact_mut(size).zip(pass.log_det_gradient.chunks_exact(TILE_ROWS));
        for (tile, ((grad, by_log_det), arrays)) in rows.zip(tapes.chunks_exact(EACH)).enumerate() {
            let probes = self.probes(pass, tile);
            let given = self.given(pass, tile, &probes);
            let [starts, times, sizes] = arrays else { unreachable!("so many were kept") };
            let taken = (Taken { starts, times, sizes }, &solver);
            let to = FieldGradients { x: grad, context: by_context, weights: by_weights };
            self.field.backward(weights, given, taken, by_log_det, to, &mut work);
            context.add(tile * by_context.len(), by_context);
        }
        self.spread(by_weights, gradient);
    }

    fn velocity(&self) -> Option<&dyn Velocity<T>> {
        Some(self)
    }
}

impl<T: Real> Velocity<T> for ContinuousStep {
    fn regress(
        &self,
        at: Regression<'_, T>,
        losses: &mut [f64],
        (arrays, scratch): (&Arena<T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let len = self.len();
        let Scratch { arena, context, .. } = scratch;
        let ([by_weights, by_context], _) = arena.arrays(0);
        let by_weights = by_weights.sized(len);
        by_weights.fill(T::ZERO);
        let by_context = by_context.sized(at.context.len());
        let (mut work, to) = (FieldWork::default(), (&mut *by_context, &mut *by_weights));
        self.field.regress(loaded(arrays, len), at, losses, to, &mut work);
        context.add(0, by_context);
        self.spread(by_weights, gradient);
    }
}
