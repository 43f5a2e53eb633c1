//! Learned dequantisation without tensors.

use std::sync::Arc;

use diffeo_kernels::{Real, TILE_ROWS};

use super::super::cells::Cells;
use crate::error::Result;
use crate::step::{Arena, InnerStep, Kept, Pass, Scratch, Step};

/// Steps on the middles of cells and the offsets in them.
#[derive(Debug)]
pub(super) struct WithinCells {
    pub(super) steps: Vec<InnerStep>,
    pub(super) cells: Arc<Cells>,
    pub(super) channels: usize,
    pub(super) dims: usize,
}

impl WithinCells {
    /// For each number of all tiles where it lies in rows, and its offset in rows of places; the middle of its cell is `channels` before that.
    fn numbers(&self, tiles: usize) -> impl Iterator<Item = [usize; 2]> + use<> {
        let Self { channels, dims, .. } = *self;
        (0..tiles * dims).flat_map(move |column| {
            // Tiles of rows and of places are pixels one after another, too.
            let (pixel, channel) = (column / channels, column % channels);
            let offset = (pixel * 2 * channels + channels + channel) * TILE_ROWS;
            (0..TILE_ROWS).map(move |row| [column * TILE_ROWS + row, offset + row])
        })
    }

    fn places<T: Real>(&self, x: &[T], tiles: usize, places: &mut [T], slopes: &mut [T]) {
        let to_middle = self.channels * TILE_ROWS;
        for [at, offset] in self.numbers(tiles) {
            let place = self.cells.locate(x[at].to_f64());
            places[offset] = T::from_f64(place.offset);
            places[offset - to_middle] = T::from_f64(self.cells.middle(place.cell));
            slopes[at] = T::from_f64(place.slope);
        }
    }
}

impl<T: Real> Step<T> for WithinCells {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let ([], _, loaded) = loaded.with_inner(0, self.steps.len());
        let each = self.steps.iter().zip(loaded);
        each.for_each(|(step, loaded)| step.of::<T>().load(weights, loaded));
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        Kept { loaded, tape }: Kept<'_, T>,
    ) -> Result<()> {
        let (count, len) = (self.steps.len(), x.len());
        let ([into, out, to, _], values, tapes) = tape.with_inner(count + 1, count);
        let (into, out, to) = (into.sized(len), out.sized(len), to.sized(len));
        self.places(x, pass.tiles, values[0].sized(2 * len), into);
        for (i, (step, tape)) in self.steps.iter().zip(tapes).enumerate() {
            let (before, after) = values.split_at_mut(i + 1);
            let kept = Kept { loaded: loaded.inner(i), tape };
            let after = after[0].sized(2 * len);
            step.of::<T>().forward(pass, &before[i][..2 * len], after, log_det, kept)?;
        }
        let places = &values[count][..2 * len];
        let tile = self.dims * TILE_ROWS;
        for [at, offset] in self.numbers(pass.tiles) {
            let old = x[at].to_f64();
            (to[at], out[at]) = (x[at], T::ZERO);
            if into[at] > T::ZERO {
                let cell = self.cells.locate(old).cell;
                let (new, slope) = self.cells.number(cell, places[offset].to_f64());
                (to[at], out[at]) = (T::from_f64(new), T::from_f64(slope));
                let new = to[at].to_f64();
                let row = at / tile * TILE_ROWS + at % TILE_ROWS;
                log_det[row] += 0.5 * (new * new - old * old);
            }
        }
        z.copy_from_slice(to);
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        (Kept { loaded, tape }, scratch): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let (count, len) = (self.steps.len(), x.len());
        let ([into, out, to, by], values, tapes) = tape.with_inner(count + 1, count);
        let (by, tile) = (by.sized(2 * len), self.dims * TILE_ROWS);
        let row = |at: usize| at / tile * TILE_ROWS + at % TILE_ROWS;
        by.fill(T::ZERO);
        for [at, offset] in self.numbers(pass.tiles) {
            by[offset] = (grad[at] + pass.log_det_gradient[row(at)] * to[at]) * out[at];
        }
        for (i, (step, tape)) in self.steps.iter().zip(tapes).enumerate().rev() {
            let (kept, before) = (Kept { loaded: loaded.inner(i), tape }, &values[i][..2 * len]);
            let given = (kept, &mut *scratch);
            step.of::<T>().backward(pass, before, by, wanted || i > 0, given, gradient);
        }
        if !wanted {
            return;
        }
        for [at, offset] in self.numbers(pass.tiles) {
            if into[at] > T::ZERO {
                grad[at] = by[offset] * into[at] - pass.log_det_gradient[row(at)] * x[at];
            }
        }
    }
}
