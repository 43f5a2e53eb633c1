//! Inverse of a masked autoregressive transform at the price of one network evaluation.

mod accumulate;
mod plan;
mod tile;

use crate::affine::inverse_element;
use crate::dispatch::{Level, dispatched, level};
use crate::rational_quadratic::Inverter;
use crate::{Activation, MaskedLinear, MonotoneMap, Real, TILE_ROWS};
use plan::{Plan, Task};

/// Rows that are worked on together: few enough for what belongs to them to stay in the first caches.
const BLOCK: usize = 2 * TILE_ROWS;

/// One step of a masked network. Step `i` computes node `i + 1`; node 0 is the network's input `x`.
#[derive(Clone, Copy, Debug)]
pub enum MadeStep<'a, T> {
    /// `activation(input W + bias + addend + skip)`. The addend is given at run time.
    Linear {
        /// Weights, bias, mask and activation.
        layer: MaskedLinear<'a, T>,
        /// Node that is multiplied.
        input: usize,
        /// Node that is added, of the same width as the layer's output (a residual connection).
        skip: Option<usize>,
    },
    /// `activation(input)`.
    Activate {
        /// What is applied.
        activation: Activation,
        /// Node it is applied to.
        input: usize,
    },
}

/// `x` from `z`, where `z_i = map(x_i; params_i)` and a masked network with sorted degrees makes `params_i` from
/// `x_0 .. x_{i-1}`.
///
/// Going through the dimensions, only those units of each layer are evaluated whose inputs have just become
/// known; each weight is used once for a row, so the whole inverse costs one pass of the network and not one
/// pass a dimension. The last step must give `dims * params_per_dim` outputs, sorted by dimension; dimensions
/// are in the order of the degrees (a flow permutes around this).
///
/// Rows are worked on in blocks, each row by itself: its bits do not depend on the others. They differ by
/// rounding from those of separate forward passes, whose products add in another order.
///
/// # Reference
/// Masks: Germain, Gregor, Murray, Larochelle. *MADE*. ICML 2015. arXiv:1502.03509.
#[derive(Debug)]
pub struct MadeInverse<T> {
    plan: Plan<T>,
    map: MonotoneMap,
}

impl<T: Real> MadeInverse<T> {
    /// Copies the weights into the order in which they will be read.
    ///
    /// # Panics
    /// If the steps do not form a network from `dims` inputs to `dims * params_per_dim` outputs, or an output
    /// sees an input that it must not.
    pub fn new(steps: &[MadeStep<'_, T>], map: MonotoneMap, dims: usize) -> Self {
        Self { plan: Plan::new(steps, dims, map.params_per_dim()), map }
    }

    /// Computes `x` and the map's log-slopes `log dx/dz`, all `[n, dims]`. `addends[i]`, where there is one, is
    /// added in step `i`, which must be linear: `[n, outputs of the step]`.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn run(&self, z: &[T], addends: &[Option<&[T]>], x: &mut [T], log_slope: &mut [T]) {
        let dims = self.plan.dims;
        let rows = z.len().checked_div(dims).unwrap_or(0);
        assert_eq!(z.len(), rows * dims, "z is not a whole number of rows");
        assert_eq!(
            [x.len(), log_slope.len()],
            [z.len(); 2],
            "x or log-slope differs from z in length"
        );
        assert_eq!(addends.len(), self.plan.widths.len() - 1, "one addend, or none, for each step");
        for (addend, width) in addends.iter().zip(&self.plan.widths[1..]) {
            assert!(addend.is_none_or(|a| a.len() == rows * width), "addend has the wrong length");
        }
        run(self, z, addends, x, log_slope);
    }
}

/// What a block of rows needs while it runs.
struct Work<T> {
    /// A buffer for each node but the last, `[tiles, width, tile::lanes]`.
    nodes: Vec<Vec<T>>,
    /// Parameters of the current dimension, `[params_per_dim, BLOCK]`.
    params: Vec<T>,
    z: [T; BLOCK],
    x: [T; BLOCK],
    log_slope: [T; BLOCK],
    spline: Option<Inverter<T>>,
}

dispatched! {
    fn run<T: Real>(
        made: &MadeInverse<T>,
        z: &[T],
        addends: &[Option<&[T]>],
        x: &mut [T],
        log_slope: &mut [T],
    ) {
        // Rows side by side: two vectors, so that the sums of four units keep both multipliers busy. `match` because an array length
        // cannot depend on T.
        match (level(), size_of::<T>()) {
            (Level::Avx512, 4) => run_blocks::<T, 32>(made, z, addends, x, log_slope),
            (Level::Avx512, _) | (_, 4) => run_blocks::<T, 16>(made, z, addends, x, log_slope),
            _ => run_blocks::<T, 8>(made, z, addends, x, log_slope),
        }
    }
}

#[inline(always)]
fn run_blocks<T: Real, const R: usize>(
    made: &MadeInverse<T>,
    z: &[T],
    addends: &[Option<&[T]>],
    x: &mut [T],
    log_slope: &mut [T],
) {
    let plan = &made.plan;
    let dims = plan.dims;
    let hidden = &plan.widths[..plan.widths.len() - 1];
    let zero = [T::ZERO; BLOCK];
    let mut work = Work {
        nodes: hidden.iter().map(|width| vec![T::ZERO; width * BLOCK]).collect(),
        params: vec![T::ZERO; plan.params_per_dim * BLOCK],
        z: zero,
        x: zero,
        log_slope: zero,
        spline: match &made.map {
            MonotoneMap::RationalQuadratic(spline) => Some(Inverter::new(spline)),
            MonotoneMap::Affine(_) => None,
        },
    };
    let rows = z.len().checked_div(dims).unwrap_or(0);
    for start in (0..rows).step_by(BLOCK) {
        let count = BLOCK.min(rows - start);
        for dim in 0..dims {
            for task in &plan.tasks[plan.task_ends[dim]..plan.task_ends[dim + 1]] {
                run_task::<T, R>(plan, &mut work, task, addends, start..start + count);
            }
            for l in 0..count {
                work.z[l] = z[(start + l) * dims + dim];
            }
            invert(&made.map, &mut work, count);
            for l in 0..count {
                let at = (start + l) * dims + dim;
                x[at] = work.x[l];
                log_slope[at] = work.log_slope[l];
                work.nodes[0][(l / R * dims + dim) * R + l % R] = work.x[l];
            }
        }
    }
}

/// Inverts the map of one dimension for a block of rows.
#[inline(always)]
fn invert<T: Real>(map: &MonotoneMap, work: &mut Work<T>, count: usize) {
    if let Some(spline) = &mut work.spline {
        let count = count.next_multiple_of(TILE_ROWS);
        let out = (&mut work.x[..count], &mut work.log_slope[..count]);
        spline.run(&work.z[..count], &work.params, BLOCK, out.0, out.1);
    } else if let MonotoneMap::Affine(affine) = map {
        let limit = T::from_f64(affine.log_scale_max);
        let inverse = T::from_f64(affine.log_scale_max.recip());
        let (shift, raw) = work.params.split_at(BLOCK);
        for l in 0..BLOCK {
            let (x, log_slope) = inverse_element(work.z[l], shift[l], raw[l], limit, inverse);
            work.x[l] = x;
            work.log_slope[l] = log_slope;
        }
    }
}

/// Evaluates the units of one step that have just become computable.
#[inline(always)]
fn run_task<T: Real, const R: usize>(
    plan: &Plan<T>,
    work: &mut Work<T>,
    task: &Task,
    addends: &[Option<&[T]>],
    rows: std::ops::Range<usize>,
) {
    let node = task.step + 1;
    let width = plan.widths[node];
    let is_last = node + 1 == plan.widths.len();
    let tiles = rows.len().div_ceil(R);
    let (before, after) = work.nodes.split_at_mut(node.min(plan.widths.len() - 1));
    for tile in 0..tiles {
        let rows = rows.start + tile * R..rows.end.min(rows.start + (tile + 1) * R);
        // The last step's outputs are the parameters of one dimension, laid out as the map reads them.
        let (out, stride) = match after.first_mut() {
            Some(out) if !is_last => (&mut out[(tile * width + task.units.start) * R..], R),
            _ => (&mut work.params[tile * R..], BLOCK),
        };
        let input = tile::Node { data: &before[task.input], width: plan.widths[task.input], tile };
        let skip = task.skip.map(|skip| tile::Node {
            data: &before[skip],
            width: plan.widths[skip],
            tile,
        });
        if task.packs.is_empty() {
            tile::activate::<T, R>(task, input, out);
            continue;
        }
        let addend =
            addends[task.step].map(|data| tile::Addend { data, width, rows: rows.clone() });
        for pack in &plan.packs[task.packs.clone()] {
            let from = (pack.first - task.units.start) * stride;
            let weights = &plan.weights[pack.at..][..pack.depth * pack.units];
            let source = tile::Source {
                weights,
                bias: &plan.biases[task.step],
                input,
                skip,
                addend: addend.clone(),
            };
            let to = tile::Target { data: &mut out[from..], stride, activation: task.activation };
            match pack.units {
                1 => tile::linear::<T, 1, R>(pack.first, &source, to),
                2 => tile::linear::<T, 2, R>(pack.first, &source, to),
                3 => tile::linear::<T, 3, R>(pack.first, &source, to),
                _ => tile::linear::<T, 4, R>(pack.first, &source, to),
            }
        }
    }
}

#[cfg(test)]
mod tests;
