//! A few units for a few rows: the innermost loops.

use std::ops::Range;

use super::accumulate::accumulate;
use super::plan::Task;
use crate::activation::Activation;
use crate::{Real, activate as activate_slice};

/// A node's buffer `[tiles, width, R]`, at one tile of rows.
#[derive(Clone, Copy)]
pub(super) struct Node<'a, T> {
    pub(super) data: &'a [T],
    pub(super) width: usize,
    pub(super) tile: usize,
}

impl<T> Node<'_, T> {
    #[inline(always)]
    fn at_unit<const R: usize>(&self, unit: usize) -> &[T] {
        &self.data[(self.tile * self.width + unit) * R..(self.tile + 1) * self.width * R]
    }
}

/// An addend `[n, width]`, at the rows of one tile.
#[derive(Clone)]
pub(super) struct Addend<'a, T> {
    pub(super) data: &'a [T],
    pub(super) width: usize,
    pub(super) rows: Range<usize>,
}

/// What a few units are computed from.
pub(super) struct Source<'a, T> {
    /// `[depth, U]`.
    pub(super) weights: &'a [T],
    pub(super) bias: &'a [T],
    pub(super) input: Node<'a, T>,
    pub(super) skip: Option<Node<'a, T>>,
    pub(super) addend: Option<Addend<'a, T>>,
}

/// Where they go: unit `u` at `data[u * stride..][..R]`.
pub(super) struct Target<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) stride: usize,
    pub(super) activation: Activation,
}

/// Units `first..first + U` for `R` rows. Each row's sum runs over the inputs in order.
#[inline(always)]
pub(super) fn linear<T: Real, const U: usize, const R: usize>(
    first: usize,
    from: &Source<'_, T>,
    to: Target<'_, T>,
) {
    let mut sums = accumulate::<T, U, R>(from.weights, from.input.at_unit::<R>(0));
    for u in 0..U {
        // Plain index loops: the closures of iterators are not always inlined into code for another instruction set.
        let lanes = &mut sums[u];
        let bias = from.bias[first + u];
        for r in 0..R {
            lanes[r] += bias;
        }
        if let Some(addend) = &from.addend {
            for (r, row) in addend.rows.clone().enumerate() {
                lanes[r] += addend.data[row * addend.width + first + u];
            }
        }
        if let Some(skip) = &from.skip {
            let skip = &skip.at_unit::<R>(first + u)[..R];
            for r in 0..R {
                lanes[r] += skip[r];
            }
        }
        let out = &mut to.data[u * to.stride..][..R];
        match to.activation {
            Activation::None => out.copy_from_slice(lanes),
            Activation::Relu => apply(Activation::Relu, lanes, out),
            Activation::Tanh => apply(Activation::Tanh, lanes, out),
            Activation::Elu => apply(Activation::Elu, lanes, out),
        }
    }
}

#[inline(always)]
fn apply<T: Real, const R: usize>(activation: Activation, lanes: &[T; R], out: &mut [T]) {
    for r in 0..R {
        out[r] = activation.apply(lanes[r]);
    }
}

/// A step without weights: the activation of units that lie together.
#[inline(always)]
pub(super) fn activate<T: Real, const R: usize>(task: &Task, input: Node<'_, T>, out: &mut [T]) {
    let length = task.units.len() * R;
    let out = &mut out[..length];
    out.copy_from_slice(&input.at_unit::<R>(task.units.start)[..length]);
    activate_slice(task.activation, out);
}
