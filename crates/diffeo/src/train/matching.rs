//! Flow matching: the field of a continuous layer held to the velocities of straight ways from rows to draws of the base.

use std::collections::BTreeMap;
use std::ops::Range;

use super::batches::{Batch, piece};
use super::objective::{FlatObjective, negated};
use crate::engine::{Element, Engine, Ways};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::host::assignment::assign;
use crate::host::draws::Draws;
use crate::host::random::{fill_normal, uniform};
use crate::host::rows::Rows;

/// Most rows that are assigned draws together: the work for each row grows with their number, and beyond this it is most of a step.
const ASSIGNED_TOGETHER: usize = 256;
/// Costs are held to this, far from where sums of them overflow.
const COST_MAX: f64 = 1e290;

/// The regression of a flow's field; see [`super::Loss`].
pub(super) struct Matching<T> {
    engine: Engine<T>,
    /// Tells which numbers of a row are marks.
    flow: Flow,
    is_transported: bool,
}

impl<T: Element> Matching<T> {
    pub(super) fn new(flow: &Flow, is_transported: bool) -> Self {
        Self { engine: Engine::new(flow), flow: flow.clone(), is_transported }
    }
}

impl<T: Element> FlatObjective<T> for Matching<T> {
    fn load(&mut self, weights: &[T]) -> Result<()> {
        self.engine.load(weights)
    }

    fn gradient(&self, weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>> {
        let Some(draws) = batch.draws else {
            let message = "flow matching needs random numbers; please report this";
            return Err(Error::new(ErrorKind::Internal, message));
        };
        let (numbers, given) = self.flow.cut(&batch.x, batch.context.as_ref())?;
        let [times, mut ends] = drawn(&numbers, &draws);
        if self.is_transported {
            transport(&numbers, given.as_ref(), &batch.weights, &mut ends);
        }
        let ways = ways(&numbers, times, &ends);
        self.engine.regress(weights, batch.input(), &ways, &batch.weights, gradient)
    }

    fn losses(&self, weights: &[T], batch: &Batch) -> Result<Vec<f64>> {
        Ok(negated(self.engine.log_prob(weights, batch.input())?))
    }
}

/// A time and a draw of the base for each row.
fn drawn(numbers: &Rows, draws: &Draws) -> [Rows; 2] {
    let (mut times, mut ends) = (Rows::zeros(numbers.len(), 1), numbers.clone());
    for row in 0..numbers.len() {
        let mut rng = draws.rng(row);
        times.row_mut(row)[0] = uniform(&mut rng);
        fill_normal(&mut rng, ends.row_mut(row));
    }
    [times, ends]
}

/// Where each row is at its time on the straight way to its draw, and how fast.
fn ways(numbers: &Rows, times: Rows, ends: &Rows) -> Ways {
    let (mut places, mut velocities) = (numbers.clone(), ends.clone());
    for row in 0..numbers.len() {
        let t = times.row(row)[0];
        for (place, z) in places.row_mut(row).iter_mut().zip(ends.row(row)) {
            *place = (1.0 - t) * *place + t * z;
        }
        for (velocity, x) in velocities.row_mut(row).iter_mut().zip(numbers.row(row)) {
            *velocity -= x;
        }
    }
    Ways { times, places, velocities }
}

/// Deals the draws anew among rows of equal context and weight, so that the sum of squared distances is least.
fn transport(numbers: &Rows, given: Option<&Rows>, weights: &[f64], ends: &mut Rows) {
    let groups = numbers.len().div_ceil(ASSIGNED_TOGETHER);
    for group in 0..groups {
        for rows in alike(given, weights, piece(numbers.len(), groups, group)) {
            let draws: Vec<Vec<f64>> = rows.iter().map(|row| ends.row(*row).to_vec()).collect();
            let cost = rows.iter().flat_map(|row| {
                let x = numbers.row(*row);
                // Of `|z - x|^2` what depends on the pair.
                let cost = move |z: &Vec<f64>| -x.iter().zip(z).map(|(x, z)| x * z).sum::<f64>();
                draws.iter().map(move |z| held(cost(z)))
            });
            let cost: Vec<f64> = cost.collect();
            for (row, draw) in rows.iter().zip(assign(&cost, rows.len())) {
                ends.row_mut(*row).copy_from_slice(&draws[draw]);
            }
        }
    }
}

fn held(cost: f64) -> f64 {
    if cost.is_nan() { COST_MAX } else { cost.clamp(-COST_MAX, COST_MAX) }
}

/// The rows of a range in classes of the same context and weight, bit for bit; classes of one row are left out.
fn alike(given: Option<&Rows>, weights: &[f64], rows: Range<usize>) -> Vec<Vec<usize>> {
    let mut classes: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
    for row in rows {
        let context = given.map_or(&[][..], |given| given.row(row));
        let key = context.iter().chain([&weights[row]]).map(|v| v.to_bits()).collect();
        classes.entry(key).or_default().push(row);
    }
    classes.into_values().filter(|rows| rows.len() > 1).collect()
}

#[cfg(test)]
mod tests;
