//! The way through the dimensions, which the inverse and its backward pass share.

use std::ops::Range;

use super::buffers::{BLOCK, Buffers};
use super::plan::{Plan, Task};
use super::tile::{self, Ending, Source, Target};
use crate::{Aligned, Real, TILE_ROWS};

/// What a sweep does between the units of one dimension and those of the next.
pub(super) trait Turn<T: Real> {
    /// Makes the units `arrived` of the first node, `[units, BLOCK]`, from the units `made` of the last, for the
    /// dimension that comes `dim`-th.
    fn settle(&mut self, dim: usize, rows: Range<usize>, made: &[T], arrived: &mut [T]);

    /// Takes what it wants of a block that is done. Nodes are `[tiles, width, TILE_ROWS]`, the last is not among them.
    fn finish(&mut self, _rows: Range<usize>, _nodes: &[Aligned<T>]) {}
}

/// Goes through all dimensions for blocks of rows. Each row is worked on by itself.
///
/// To be called from a function compiled for the machine's instruction set.
#[inline(always)]
pub(super) fn sweep<T: Real>(
    plan: &Plan<T>,
    endings: &[Ending<'_, T>],
    rows: usize,
    turn: &mut impl Turn<T>,
) {
    let (width, first) = (plan.widths[0], plan.per_dim[0]);
    let but_last = &plan.widths[..plan.links.len()];
    let buffers = plan.idle.take().unwrap_or_else(|| Buffers::new(but_last, plan.per_dim));
    let Buffers { mut nodes, mut made, mut arrived } = buffers;
    for start in (0..rows).step_by(BLOCK) {
        let rows = start..rows.min(start + BLOCK);
        for dim in 0..=plan.dims {
            for task in plan.tasks_before(dim) {
                let ending = &endings[task.stage];
                run_task(plan, ending, task, rows.clone(), &mut nodes, &mut made);
            }
            if dim == plan.dims {
                break;
            }
            turn.settle(dim, rows.clone(), &made, &mut arrived);
            for (u, lanes) in arrived.chunks_exact(BLOCK).enumerate() {
                for (tile, lanes) in lanes.chunks_exact(TILE_ROWS).enumerate() {
                    let at = (tile * width + dim * first + u) * TILE_ROWS;
                    nodes[0][at..at + TILE_ROWS].copy_from_slice(lanes);
                }
            }
        }
        turn.finish(rows, &nodes);
    }
    plan.idle.give_back(Buffers { nodes, made, arrived });
}

/// Evaluates the units of one stage that have just become computable.
#[inline(always)]
fn run_task<T: Real>(
    plan: &Plan<T>,
    ending: &Ending<'_, T>,
    task: &Task,
    rows: Range<usize>,
    nodes: &mut [Aligned<T>],
    made: &mut [T],
) {
    let node = task.stage + 1;
    let width = plan.widths[node];
    let (before, after) = nodes.split_at_mut(node);
    for tile in 0..rows.len().div_ceil(TILE_ROWS) {
        // The last node's units are those of one dimension, all rows of a unit together.
        let (out, stride) = match after.first_mut() {
            Some(out) => (&mut out[(tile * width + task.units.start) * TILE_ROWS..], TILE_ROWS),
            None => (&mut made[tile * TILE_ROWS..], BLOCK),
        };
        let source = Source {
            plan,
            link: &plan.links[task.stage],
            nodes: before,
            tile,
            rows: rows.start + tile * TILE_ROWS..rows.end.min(rows.start + (tile + 1) * TILE_ROWS),
        };
        for pack in &plan.packs[task.packs.clone()] {
            let data = &mut out[(pack.first - task.units.start) * stride..];
            let to = Target { data, stride, width };
            tile::units(pack, &source, ending, to);
        }
    }
}
