//! A field held to velocities at places and times, without a solution.

use super::lanes::miss;
use super::{Field, FieldWork, Penalty, Tile};
use crate::dual::{DualSums, DualWeights};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

/// Where, when and at what velocity rows should move.
#[derive(Clone, Copy, Debug)]
pub struct Regression<'a, T> {
    /// Places, `[tiles, d, TILE_ROWS]`.
    pub x: &'a [T],
    /// Times, `[tiles, TILE_ROWS]`.
    pub times: &'a [T],
    /// Velocities, `[tiles, d, TILE_ROWS]`.
    pub targets: &'a [T],
    /// The context, `[tiles, c, TILE_ROWS]`; empty without.
    pub context: &'a [T],
    /// How much each row counts, `[tiles, TILE_ROWS]`; rows that only fill up a tile must not.
    pub row_weights: &'a [T],
}

/// Tiles whose products for the gradient by the weights are taken together: few enough for the nodes to stay in the second cache.
const TILES_AT_ONCE: usize = 8;

impl Field {
    /// Adds `|v(t, x, c) - u|^2` of each row to `losses`, `[tiles, TILE_ROWS]`, and the gradient of their weighted sum by the flat weights to `gradient`; writes that by the
    /// context, `[tiles, c, TILE_ROWS]`.
    ///
    /// One pass of the network and its backward pass.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn regress<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        at: Regression<'_, T>,
        losses: &mut [f64],
        (by_context, gradient): (&mut [T], &mut [T]),
        work: &mut FieldWork<T>,
    ) {
        let [size, of_context] =
            [self.dims(), self.network.context()].map(|width| width * TILE_ROWS);
        let tiles = at.x.len() / size;
        let lens = [at.targets.len(), at.x.len(), at.context.len(), by_context.len()];
        let expected = [size, size, of_context, of_context].map(|width| width * tiles);
        assert_eq!(lens, expected, "rows of another width");
        let lens = [at.times.len(), at.row_weights.len(), losses.len()];
        assert_eq!(lens, [tiles * TILE_ROWS; 3], "other rows");
        for first in (0..tiles).step_by(TILES_AT_ONCE) {
            let count = TILES_AT_ONCE.min(tiles - first);
            for slot in 0..count {
                let tile = first + slot;
                let lanes = tile * TILE_ROWS..(tile + 1) * TILE_ROWS;
                let of_tile = Regression {
                    x: &at.x[tile * size..][..size],
                    times: &at.times[lanes.clone()],
                    targets: &at.targets[tile * size..][..size],
                    context: &at.context[tile * of_context..][..of_context],
                    row_weights: &at.row_weights[lanes.clone()],
                };
                let by_context = &mut by_context[tile * of_context..][..of_context];
                let to = (&mut losses[lanes], by_context, &mut *gradient);
                self.regress_tile(weights, of_tile, [slot, count], to, work);
            }
            self.network.add_products(weights, [0, count], &mut work.network, gradient);
        }
    }

    /// One tile, but for the gradient by the matrices; its nodes are left as the one of a slot of so many.
    fn regress_tile<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        at: Regression<'_, T>,
        [slot, slots]: [usize; 2],
        (losses, by_context, gradient): (&mut [f64], &mut [T], &mut [T]),
        work: &mut FieldWork<T>,
    ) {
        let tile = Tile { context: at.context, probes: &[], penalty: Penalty::default() };
        let arrays =
            (at.times.as_chunks().0, at.row_weights.as_chunks().0, losses.as_chunks_mut().0);
        let ([times], [row_weights], [losses]) = arrays else {
            unreachable!("a tile has as many rows as a tile")
        };
        self.prepare(weights, tile, slots, work);
        work.fields.sized(at.x.len());
        work.divergences.sized(TILE_ROWS);
        self.evaluate(weights, tile, (at.x, times), [0, slot], work);
        let (mut by_v, mut by_x) = (Aligned::zeros(at.x.len()), Aligned::zeros(at.x.len()));
        miss(&work.fields[..at.x.len()], at.targets, row_weights, losses, &mut by_v);
        let mut sums = DualSums::new(&self.network);
        let none = [T::ZERO; TILE_ROWS];
        let by_field = (&by_v[..], &none[..]);
        self.evaluate_back(weights, tile, by_field, (times, slot), (work, &mut sums), &mut by_x);
        let mut by_addend = Aligned::zeros(self.network.first() * TILE_ROWS);
        let slot = self.slot(tile, slot);
        by_addend.copy_from_slice(work.network.addend_gradient(&self.network, slot));
        self.network.add_sums(&sums, gradient);
        let (from, to) = ((at.context, &mut by_addend), (by_context, gradient));
        self.network.context_backward(weights, from, to, &mut work.network);
    }
}
