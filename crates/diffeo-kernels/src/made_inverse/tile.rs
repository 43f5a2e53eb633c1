//! A few units for a few rows: the innermost loops.

use std::ops::Range;

use super::accumulate::accumulate;
use super::plan::{Link, Pack, Plan};
use crate::Real;
use crate::activation::Activation;

/// What is done to the sums of a stage.
#[derive(Debug)]
pub(super) enum Ending<'a, T> {
    /// `activation(sum + bias + addend)`.
    Activated { activation: Activation, bias: &'a [T], addend: Option<&'a [T]> },
    /// `sum * slope`, where `values: [n, width]` are the outputs of the activation, whose units are counted from the
    /// last to the first.
    Steepened { activation: Activation, values: &'a [T] },
}

/// What a few units are computed from: the nodes before, each `[tiles, width, R]`, and one tile of rows of these.
pub(super) struct Source<'a, T> {
    pub(super) plan: &'a Plan<T>,
    pub(super) link: &'a Link,
    pub(super) nodes: &'a [Vec<T>],
    pub(super) tile: usize,
    /// Which of all rows these are.
    pub(super) rows: Range<usize>,
}

impl<T> Source<'_, T> {
    /// A node's units from `unit` on.
    #[inline(always)]
    fn node<const R: usize>(&self, node: usize, unit: usize) -> &[T] {
        let width = self.plan.widths[node];
        &self.nodes[node][(self.tile * width + unit) * R..(self.tile + 1) * width * R]
    }
}

/// Where they go: unit `u` at `data[u * stride..][..R]`.
pub(super) struct Target<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) stride: usize,
    /// Width of the node.
    pub(super) width: usize,
}

/// The units of a pack, of which there are `U`, for `R` rows. Each row's sum runs over the inputs in order.
#[inline(always)]
pub(super) fn units<T: Real, const U: usize, const R: usize>(
    pack: &Pack,
    from: &Source<'_, T>,
    ending: &Ending<'_, T>,
    to: Target<'_, T>,
) {
    let weights = &from.plan.weights[pack.at..][..pack.depth * U];
    let mut sums = accumulate::<T, U, R>(weights, from.node::<R>(from.link.input, 0));
    let slopes_at = match ending {
        Ending::Steepened { activation, values } if *activation != Activation::None => {
            mirrored::<T, U, R>(values, to.width, pack.first, from.rows.clone())
        }
        _ => [[T::ZERO; R]; U],
    };
    for u in 0..U {
        let unit = pack.first + u;
        // Plain index loops: the closures of iterators are not always inlined into code for another instruction set.
        let lanes = &mut sums[u];
        if let Ending::Activated { bias, addend, .. } = ending {
            let bias = bias[unit];
            for r in 0..R {
                lanes[r] += bias;
            }
            if let Some(addend) = addend {
                for (r, row) in from.rows.clone().enumerate() {
                    lanes[r] += addend[row * to.width + unit];
                }
            }
        }
        for &node in &from.link.adds {
            let added = &from.node::<R>(node, unit)[..R];
            for r in 0..R {
                lanes[r] += added[r];
            }
        }
        let out = &mut to.data[u * to.stride..][..R];
        match ending {
            Ending::Activated { activation, .. } => activated(*activation, lanes, out),
            Ending::Steepened { activation, .. } => {
                steepened(*activation, lanes, &slopes_at[u], out);
            }
        }
    }
}

/// `U` neighbouring units of rows whose units are counted from the last to the first.
#[inline(always)]
fn mirrored<T: Real, const U: usize, const R: usize>(
    values: &[T],
    width: usize,
    first: usize,
    rows: Range<usize>,
) -> [[T; R]; U] {
    let mut units = [[T::ZERO; R]; U];
    for (r, row) in rows.enumerate() {
        let line = &values[(row + 1) * width - first - U..][..U];
        for u in 0..U {
            units[u][r] = line[U - 1 - u];
        }
    }
    units
}

/// One loop an activation: a choice inside the loop would keep it from being vectorised.
#[inline(always)]
fn activated<T: Real, const R: usize>(activation: Activation, lanes: &[T; R], out: &mut [T]) {
    match activation {
        Activation::None => out.copy_from_slice(lanes),
        Activation::Relu => apply(Activation::Relu, lanes, out),
        Activation::Tanh => apply(Activation::Tanh, lanes, out),
        Activation::Elu => apply(Activation::Elu, lanes, out),
    }
}

#[inline(always)]
fn apply<T: Real, const R: usize>(activation: Activation, lanes: &[T; R], out: &mut [T]) {
    for r in 0..R {
        out[r] = activation.apply(lanes[r]);
    }
}

#[inline(always)]
fn steepened<T: Real, const R: usize>(
    activation: Activation,
    lanes: &[T; R],
    values: &[T; R],
    out: &mut [T],
) {
    match activation {
        Activation::None => out.copy_from_slice(lanes),
        Activation::Relu => scale(Activation::Relu, lanes, values, out),
        Activation::Tanh => scale(Activation::Tanh, lanes, values, out),
        Activation::Elu => scale(Activation::Elu, lanes, values, out),
    }
}

#[inline(always)]
fn scale<T: Real, const R: usize>(
    activation: Activation,
    lanes: &[T; R],
    values: &[T; R],
    out: &mut [T],
) {
    for r in 0..R {
        out[r] = lanes[r] * activation.slope(values[r]);
    }
}
