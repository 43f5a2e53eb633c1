//! The identity plus a contraction without tensors.

use std::fmt;
use std::ops::Range;

use diffeo_kernels::{
    Aligned, Dual, DualSums, DualWeights, DualWork, Real, Slot, TILE_ROWS, invert_lanes,
    log_det_lanes,
};

use super::jacobian::{add_identity, directions, with_identity, write_units};
use super::plain::{PARTS, Raw, Scaled, dual, unscale};
use super::roulette::{Probes, Walk};
use super::{Residual, ResidualSpec};
use crate::error::Result;
use crate::host::draws::Draws;
use crate::step::{Arena, Kept, Pass, Scratch, Step, Weights};

/// `z = x + g(x, c)`.
pub(super) struct ResidualStep {
    network: Dual,
    spec: ResidualSpec,
    ranges: Raw<Range<usize>>,
    draws: Box<dyn Fn(Draws) -> Draws + Send + Sync>,
}

impl fmt::Debug for ResidualStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResidualStep").field("network", &self.network).finish_non_exhaustive()
    }
}

/// Tiles, their directions included, whose products for the gradient by the weights are taken together: few enough for the nodes to stay in the second cache.
const TILES_AT_ONCE: usize = 8;

impl ResidualStep {
    pub(super) fn new(layer: &Residual, weights: &Weights<'_>) -> Option<Self> {
        let part = |i: usize| {
            let part = weights.part(&format!("layers.{i}"));
            Some([part.range("weight")?, part.range("bias")?])
        };
        let layers = (0..=layer.spec.hidden.len()).map(part).collect::<Option<_>>()?;
        let context = weights.part("context").range("weight");
        let ranges = Raw { layers, context, log_beta: weights.range("log_beta") };
        let (network, spec) = (dual(&layer.spec, layer.at), layer.spec.clone());
        Some(Self { network, spec, ranges, draws: Box::new(weights.draws()) })
    }

    /// The weights that [`Step::load`] took up.
    fn loaded<'a, T: Real>(&self, arrays: &'a Arena<T>) -> DualWeights<'a, T> {
        let (_, context) = self.network.places();
        DualWeights { flat: &arrays.array(0)[..context.end], packed: arrays.after(PARTS) }
    }

    fn context<'a, T>(&self, pass: &Pass<'a, T>, tile: usize) -> &'a [T] {
        let size = self.network.context() * TILE_ROWS;
        &pass.context[tile * size..][..size]
    }

    /// The random numbers that the log-determinant is estimated by; `None` where it is exact.
    fn estimate<T>(&self, pass: &Pass<'_, T>) -> Option<Draws> {
        let draws = pass.draws.filter(|_| self.network.inputs() > self.spec.exact_dims)?;
        Some((self.draws)(draws))
    }

    /// The log-determinants of a tile whose values are there.
    fn exact<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        slot: Slot,
        work: &mut DualWork<T>,
        matrices: &mut [f64],
    ) -> [f64; TILE_ROWS] {
        let mut log_det = [0.0; TILE_ROWS];
        with_identity(&self.network, weights, slot, work, matrices);
        log_det_lanes(matrices, self.network.inputs(), &mut log_det);
        log_det
    }

    /// Estimates of the same, and on the tape `v` and `w` of each row, `[2, d, TILE_ROWS]`, see [`super::roulette::Series`].
    fn estimated<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        (draws, tile): (Draws, usize),
        work: &mut DualWork<T>,
        tape: &mut [T],
    ) -> [f64; TILE_ROWS] {
        let (d, slot) = (self.network.inputs(), Slot { directions: 1, number: 0 });
        let size = d * TILE_ROWS;
        let rows = (0..TILE_ROWS).map(|lane| Probes::of_row(&draws, tile * TILE_ROWS + lane, d));
        let (signs, mut walks): (Vec<_>, Vec<_>) = rows
            .map(|(signs, chance)| {
                let walk = Walk::new(&signs, chance, &self.spec);
                (signs, walk)
            })
            .unzip();
        let (to_signs, to_directions) = tape.split_at_mut(size);
        let write = |to: &mut [T], lane: usize, values: &[f64]| {
            let to = to.iter_mut().skip(lane).step_by(TILE_ROWS);
            to.zip(values).for_each(|(to, v)| *to = T::from_f64(*v));
        };
        signs.iter().enumerate().for_each(|(lane, signs)| write(to_signs, lane, signs));
        work.input(&self.network, slot)[size..].copy_from_slice(to_signs);
        let mut going = [true; TILE_ROWS];
        while going.contains(&true) {
            self.network.tangents(weights, slot, work);
            let (moved, power) = work.output_and_directions(&self.network, slot);
            for lane in (0..TILE_ROWS).filter(|lane| going[*lane]).collect::<Vec<_>>() {
                let u: Vec<f64> =
                    moved.iter().skip(lane).step_by(TILE_ROWS).map(|v| v.to_f64()).collect();
                going[lane] = walks[lane].take(&u, &signs[lane], &self.spec);
            }
            power.copy_from_slice(moved);
        }
        for (lane, walk) in walks.iter().enumerate() {
            write(to_directions, lane, &walk.direction);
        }
        std::array::from_fn(|lane| walks[lane].log_det)
    }
}

impl<T: Real> Step<T> for ResidualStep {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let raw = self.ranges.map(|range| &weights[range.clone()]);
        let scaled = Scaled::new(&raw, &self.network, &self.spec);
        let scaled = scaled.expect("the processor does not fail");
        let (parts, packed) = loaded.arrays::<PARTS>(self.network.packed());
        for (part, values) in parts.iter_mut().zip(scaled.parts()) {
            part.sized(values.len()).copy_from_slice(values);
        }
        self.network.pack(&scaled.flat, packed);
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        kept: Kept<'_, T>,
    ) -> Result<()> {
        let (d, weights) = (self.network.inputs(), self.loaded(kept.loaded));
        let (size, estimate) = (d * TILE_ROWS, self.estimate(pass));
        let directions = if estimate.is_some() { 1 } else { directions(d) };
        let slot = Slot { directions, number: 0 };
        let ([tape], _) = kept.tape.arrays(0);
        let of_tile = if estimate.is_some() { 2 * size } else { 0 };
        let tape = tape.sized(pass.tiles * of_tile);
        let mut matrices = vec![0.0; if estimate.is_some() { 0 } else { d * size }];
        let mut work = DualWork::default();
        let rows = x.chunks_exact(size).zip(z.chunks_exact_mut(size));
        let rows = rows.zip(log_det.as_chunks_mut::<TILE_ROWS>().0);
        for (tile, ((x, z), log_det)) in rows.enumerate() {
            self.network.prepare(weights, self.context(pass, tile), [directions, 1], &mut work);
            work.input(&self.network, slot)[..size].copy_from_slice(x);
            self.network.values(weights, None, slot, &mut work);
            let g = &work.output(&self.network, slot)[..size];
            z.iter_mut().zip(x).zip(g).for_each(|((z, x), g)| *z = *x + *g);
            let found = match estimate {
                None => self.exact(weights, slot, &mut work, &mut matrices),
                Some(draws) => {
                    let tape = &mut tape[tile * of_tile..][..of_tile];
                    self.estimated(weights, (draws, tile), &mut work, tape)
                }
            };
            log_det.iter_mut().zip(found).for_each(|(log_det, found)| *log_det += found);
        }
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        _wanted: bool,
        (kept, scratch): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let (d, weights) = (self.network.inputs(), self.loaded(kept.loaded));
        let (size, estimate) = (d * TILE_ROWS, self.estimate(pass));
        let directions = if estimate.is_some() { 1 } else { d };
        let tape = estimate.map(|_| kept.tape.array(0));
        let (_, context) = self.network.places();
        let Scratch { arena, context: by_context, .. } = scratch;
        let ([by_weights], _) = arena.arrays(0);
        let by_weights = by_weights.sized(context.end);
        by_weights.fill(T::ZERO);
        let slots = (TILES_AT_ONCE / (1 + directions)).clamp(1, pass.tiles);
        let mut back = Back {
            step: self,
            weights,
            slots: [directions, slots],
            work: DualWork::default(),
            sums: DualSums::new(&self.network),
            matrices: vec![0.0; d * size],
        };
        for first in (0..pass.tiles).step_by(slots) {
            let count = slots.min(pass.tiles - first);
            for number in 0..count {
                let tile = first + number;
                let tape = tape.map(|tape| &tape[2 * tile * size..][..2 * size]);
                let rows = (&x[tile * size..][..size], &mut grad[tile * size..][..size]);
                let by_log_det = &pass.log_det_gradient[tile * TILE_ROWS..][..TILE_ROWS];
                let context = self.context(pass, tile);
                let by = back.tile(number, context, rows, (by_log_det, tape), by_weights);
                by_context.add(tile * context.len(), &by);
            }
            let Back { work, .. } = &mut back;
            self.network.add_products(weights, [directions, count], work, by_weights);
        }
        self.network.add_sums(&back.sums, by_weights);
        let raw = self.ranges.map(|range| &pass.weights[range.clone()]);
        let parts = std::array::from_fn(|i| &kept.loaded.array(i)[..]);
        let network = (&self.network, self.spec.norm);
        unscale(network, (&raw, parts), by_weights, &self.ranges, gradient);
    }
}

/// A backward pass on its way.
struct Back<'a, T> {
    step: &'a ResidualStep,
    weights: DualWeights<'a, T>,
    /// Directions and slots.
    slots: [usize; 2],
    work: DualWork<T>,
    sums: DualSums,
    matrices: Vec<f64>,
}

impl<T: Real> Back<'_, T> {
    /// A tile, but for the gradient by the matrices; its nodes are left in a slot. Returns the gradient by the context.
    fn tile(
        &mut self,
        number: usize,
        context: &[T],
        (x, grad): (&[T], &mut [T]),
        (by_log_det, tape): (&[T], Option<&[T]>),
        by_weights: &mut [T],
    ) -> Vec<T> {
        let (network, weights) = (&self.step.network, self.weights);
        let (d, size, work) = (network.inputs(), x.len(), &mut self.work);
        let slot = Slot { directions: self.slots[0], number };
        network.prepare(weights, context, self.slots, work);
        let (values, along) = work.input(network, slot).split_at_mut(size);
        values.copy_from_slice(x);
        match tape {
            None => write_units(along, d, 0),
            Some(tape) => along.copy_from_slice(&tape[size..]),
        }
        network.values(weights, None, slot, work);
        network.tangents(weights, slot, work);
        let (nodes, by_nodes) = work.output_and_gradient(network, slot);
        let (by_values, by_tangents) = by_nodes.split_at_mut(size);
        by_values.copy_from_slice(grad);
        match tape {
            None => {
                add_identity(&nodes[size..], d, 0, &mut self.matrices);
                invert_lanes(&mut self.matrices, d, &mut [0.0; TILE_ROWS]);
                by_jacobian(&self.matrices, d, by_log_det, by_tangents);
            }
            Some(tape) => {
                let lanes = by_tangents.chunks_exact_mut(TILE_ROWS);
                for (to, signs) in lanes.zip(tape[..size].chunks_exact(TILE_ROWS)) {
                    (0..TILE_ROWS).for_each(|lane| to[lane] = signs[lane] * by_log_det[lane]);
                }
            }
        }
        network.backward(weights, None, slot, (&mut *work, &mut self.sums));
        let [_, by_x] = work.input_and_gradient(network, slot);
        grad.iter_mut().zip(by_x).for_each(|(grad, by)| *grad += *by);
        let mut by_context = vec![T::ZERO; context.len()];
        if !context.is_empty() {
            let mut by_addend = Aligned::zeros(network.first() * TILE_ROWS);
            by_addend.copy_from_slice(work.addend_gradient(network, slot));
            let to = (&mut by_context[..], by_weights);
            network.context_backward(weights, (context, &mut by_addend), to, work);
        }
        by_context
    }
}

/// The gradient by `J`, which is the transposed inverse of `I + J` times that by the log-determinant.
fn by_jacobian<T: Real>(inverses: &[f64], d: usize, by_log_det: &[T], to: &mut [T]) {
    for (i, to) in to.chunks_exact_mut(d * TILE_ROWS).enumerate() {
        for (j, to) in to.chunks_exact_mut(TILE_ROWS).enumerate() {
            let inverse = &inverses[(j * d + i) * TILE_ROWS..][..TILE_ROWS];
            for lane in 0..TILE_ROWS {
                to[lane] = T::from_f64(inverse[lane]) * by_log_det[lane];
            }
        }
    }
}
