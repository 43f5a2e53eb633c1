//! The solution of any number of rows through one tile: a row that has arrived makes room for the next.

use super::solve::{Way, is_good};
use super::{Field, FieldWork, Penalty, Solver, Stalled, Tile};
use crate::Real;
use crate::dual::DualWeights;
use crate::ops::Direction;
use crate::tiles::TILE_ROWS;

/// What rows that are solved are given.
#[derive(Clone, Copy, Debug)]
pub struct RowsGiven<'a, T> {
    /// The context of each, `[n, c]`; empty without.
    pub context: &'a [T],
    /// The directions that their divergence is found by.
    pub directions: Directions<'a, T>,
    /// What is taken off the divergence.
    pub penalty: Penalty,
}

/// The directions that divergences are found by.
#[derive(Clone, Copy, Debug)]
pub enum Directions<'a, T> {
    /// Those of all rows, `[p, d, TILE_ROWS]`; empty where only the rows are asked for.
    Same(&'a [T]),
    /// One for each row, `[n, d]`.
    Own(&'a [T]),
}

/// A tile whose lanes rows take in turn.
struct Seats<T> {
    /// Which row is in each lane.
    row: [Option<usize>; TILE_ROWS],
    x: Vec<T>,
    context: Vec<T>,
    directions: Vec<T>,
}

impl<T: Real> Seats<T> {
    fn new(dims: usize, contexts: usize, directions: Directions<'_, T>) -> Self {
        let directions = match directions {
            Directions::Same(directions) => directions.to_vec(),
            Directions::Own(_) => vec![T::ZERO; dims * TILE_ROWS],
        };
        Self {
            row: [None; TILE_ROWS],
            x: vec![T::ZERO; dims * TILE_ROWS],
            context: vec![T::ZERO; contexts * TILE_ROWS],
            directions,
        }
    }

    fn tile(&self, penalty: Penalty) -> Tile<'_, T> {
        Tile { context: &self.context, probes: &self.directions, penalty }
    }

    /// Puts a row into a lane, and says whether all its numbers are some.
    fn take(&mut self, lane: usize, row: usize, x: &[T], given: &RowsGiven<'_, T>) -> bool {
        self.row[lane] = Some(row);
        put(of_row(x, row, self.x.len()), &mut self.x, lane);
        put(of_row(given.context, row, self.context.len()), &mut self.context, lane);
        if let Directions::Own(directions) = given.directions {
            put(of_row(directions, row, self.directions.len()), &mut self.directions, lane);
        }
        is_good(&self.x, lane)
    }

    /// Takes the row out of a lane and puts it where it was: as it came to be, or as NaN.
    fn leave(&mut self, lane: usize, is_good: bool, x: &mut [T]) -> Option<usize> {
        let row = self.row[lane].take()?;
        let width = self.x.len() / TILE_ROWS;
        let there = self.x.iter().skip(lane).step_by(TILE_ROWS);
        for (to, v) in x[row * width..][..width].iter_mut().zip(there) {
            *to = if is_good { *v } else { T::from_f64(f64::NAN) };
        }
        Some(row)
    }
}

/// A row of a matrix that fills tiles of this size.
fn of_row<T>(rows: &[T], row: usize, size: usize) -> &[T] {
    let width = size / TILE_ROWS;
    &rows[row * width..][..width]
}

fn put<T: Real>(row: &[T], tile: &mut [T], lane: usize) {
    tile.iter_mut().skip(lane).step_by(TILE_ROWS).zip(row).for_each(|(to, v)| *to = *v);
}

impl Field {
    /// Brings rows, `x: [n, d]`, to the other side, in place, and writes the log-determinant of that map, `[n]`. Returns how often the field was evaluated for a tile.
    ///
    /// Each has the bits that [`Field::solve`] gives it. A row with NaN becomes NaN, and no other does.
    ///
    /// # Errors
    /// [`Stalled`] for a row whose steps become too small or too many.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn solve_rows<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        given: RowsGiven<'_, T>,
        how: (Direction, &Solver),
        (x, log_det): (&mut [T], &mut [f64]),
        work: &mut FieldWork<T>,
    ) -> Result<u64, Stalled> {
        let (n, d) = (log_det.len(), self.dims());
        assert_eq!(x.len(), n * d, "rows of another width");
        let mut seats = Seats::new(d, self.network().context(), given.directions);
        let mut way = Way::new(self, weights, how);
        let (mut rows, mut good) = (0..n, [false; TILE_ROWS]);
        loop {
            let free = way.lanes.step.map(|step| step == 0.0);
            let is_empty = free == [true; TILE_ROWS];
            if is_empty || (free.contains(&true) && !rows.is_empty()) {
                let mut newcomers = [false; TILE_ROWS];
                for lane in (0..TILE_ROWS).filter(|lane| free[*lane]) {
                    if let Some(row) = seats.leave(lane, good[lane], x) {
                        log_det[row] = if good[lane] { way.log_det[lane] } else { f64::NAN };
                    }
                    if let Some(row) = rows.next() {
                        good[lane] = seats.take(lane, row, x, &given);
                        newcomers[lane] = good[lane];
                    }
                }
                if seats.row.iter().all(Option::is_none) {
                    return Ok(way.evaluations);
                }
                way.prepare(seats.tile(given.penalty), work);
                way.let_in(newcomers, work);
                if is_empty {
                    way.set_out(seats.tile(given.penalty), &seats.x, newcomers, work);
                }
            }
            let Seats { context, directions, x, .. } = &mut seats;
            let tile = Tile { context, probes: directions, penalty: given.penalty };
            way.step(tile, x, None, work).map_err(|stalled| {
                let row = seats.row[stalled.row].expect("a row on its way has a seat");
                Stalled { row, ..stalled }
            })?;
        }
    }
}
