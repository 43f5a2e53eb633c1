//! A field at one time of each row, and the gradient of that.

use super::lanes::{charge, charge_back, enter, enter_back, leave, leave_back};
use super::{Field, FieldWork, Tile};
use crate::Real;
use crate::dual::{DualSums, DualWeights, Slot};
use crate::tiles::TILE_ROWS;

impl Field {
    /// Makes all arrays large enough for so many stages that are kept, and finds what the context adds.
    pub(super) fn prepare<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        tile: Tile<'_, T>,
        stages: usize,
        work: &mut FieldWork<T>,
    ) {
        let directions = self.slot(tile, 0).directions;
        self.network.prepare(weights, tile.context, [directions, stages], &mut work.network);
    }

    /// The nodes of a stage that is kept.
    pub(super) fn slot<T>(&self, tile: Tile<'_, T>, number: usize) -> Slot {
        let size = self.dims() * TILE_ROWS;
        assert_eq!(tile.probes.len() % size, 0, "directions of another width");
        Slot { directions: tile.probes.len() / size, number }
    }

    /// The field and its divergence at `x: [d, TILE_ROWS]` and `t`, which become those of stage `k`; the nodes are left at stage `kept`.
    pub(super) fn evaluate<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        tile: Tile<'_, T>,
        (x, t): (&[T], &[T; TILE_ROWS]),
        [k, kept]: [usize; 2],
        work: &mut FieldWork<T>,
    ) {
        let slot = self.slot(tile, kept);
        enter(x, tile.probes, work.network.input(&self.network, slot));
        self.network.values(weights, Some(t), slot, &mut work.network);
        self.network.tangents(weights, slot, &mut work.network);
        let size = self.dims() * TILE_ROWS;
        let v = &mut work.fields[k * size..][..size];
        let divergence = &mut work.divergences[k * TILE_ROWS..][..TILE_ROWS];
        let (speed, last) = (T::from_f64(self.speed), work.network.output(&self.network, slot));
        leave(speed, last, tile.probes, v, divergence);
        if !tile.penalty.is_none() {
            charge(speed, last, v, tile.penalty, divergence);
        }
    }

    /// The backward pass of [`Self::evaluate`] but for the products of the weights, given the gradients by field and divergence: writes the gradient by `x` and leaves
    /// those by the pre-activations at stage `kept`.
    pub(super) fn evaluate_back<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        tile: Tile<'_, T>,
        (by_v, by_divergence): (&[T], &[T]),
        (t, kept): (&[T; TILE_ROWS], usize),
        (work, sums): (&mut FieldWork<T>, &mut DualSums),
        by_x: &mut [T],
    ) {
        let (slot, speed) = (self.slot(tile, kept), T::from_f64(self.speed));
        let (nodes, grad) = work.network.output_and_gradient(&self.network, slot);
        leave_back(speed, nodes, tile.probes, (by_v, by_divergence), grad);
        if !tile.penalty.is_none() {
            charge_back(speed, (nodes, by_v.len()), tile.penalty, by_divergence, grad);
        }
        self.network.backward(weights, Some(t), slot, (&mut work.network, sums));
        let [held, grad] = work.network.input_and_gradient(&self.network, slot);
        enter_back(held, grad, by_x);
    }
}
