//! A few units for a few rows: the innermost loops.

use std::ops::Range;

use super::plan::{Link, Pack, Plan};
use crate::accumulate::{Ends, Run, Runs, Terms, UNITS_MAX, accumulate};
use crate::activation::Activation;
use crate::{Aligned, Real, TILE_ROWS};

/// What is done to the sums of a stage.
#[derive(Debug)]
pub(super) enum Ending<'a, T> {
    /// `activation(sum + bias + addend)`.
    Activated { activation: Activation, bias: &'a [T], addend: Option<&'a [T]> },
    /// `sum * slope`, where `values: [n, width]` are the outputs of the activation, whose units are counted from the
    /// last to the first.
    Steepened { activation: Activation, values: &'a [T] },
}

/// What a few units are computed from: the nodes before, each `[tiles, width, TILE_ROWS]`, and one tile of rows of these.
pub(super) struct Source<'a, T> {
    pub(super) plan: &'a Plan<T>,
    pub(super) link: &'a Link,
    pub(super) nodes: &'a [Aligned<T>],
    pub(super) tile: usize,
    /// Which of all rows these are.
    pub(super) rows: Range<usize>,
}

impl<T> Source<'_, T> {
    /// A node's units from `unit` on.
    #[inline(always)]
    fn node(&self, node: usize, unit: usize) -> &[T] {
        let width = self.plan.widths[node];
        &self.nodes[node][(self.tile * width + unit) * TILE_ROWS..][..(width - unit) * TILE_ROWS]
    }
}

/// Where they go: unit `u` at `data[u * stride..][..TILE_ROWS]`.
pub(super) struct Target<'a, T> {
    pub(super) data: &'a mut [T],
    pub(super) stride: usize,
    /// Width of the node.
    pub(super) width: usize,
}

/// The units of a pack for a tile of rows. Each row's sum runs over the inputs in order.
#[inline(always)]
pub(super) fn units<T: Real>(
    pack: &Pack,
    from: &Source<'_, T>,
    ending: &Ending<'_, T>,
    to: Target<'_, T>,
) {
    let Pack { first, units, depth, at } = *pack;
    let scalars = &from.plan.weights[at..][..depth * units];
    let runs = [Run { terms: depth, ..Run::default() }];
    let vectors = from.node(from.link.input, 0);
    let terms = Terms { runs: Runs::new(&runs[..], units), scalars, unit: 1, vectors };
    let mut ends = Ends::default();
    if let Ending::Activated { activation, bias, addend } = ending {
        ends.bias = Some(&bias[first..][..units]);
        ends.rectified =
            *activation == Activation::Relu && addend.is_none() && from.link.adds.is_empty();
    }
    accumulate(units, terms, ends, (&mut *to.data, to.stride));
    if ends.rectified {
        return;
    }
    let values = match ending {
        Ending::Steepened { activation, values } if *activation != Activation::None => {
            mirrored(values, to.width, first..first + units, from.rows.clone())
        }
        _ => [[T::ZERO; TILE_ROWS]; UNITS_MAX],
    };
    for u in 0..units {
        let lanes = &mut to.data[u * to.stride..][..TILE_ROWS];
        if let Ending::Activated { addend: Some(addend), .. } = ending {
            for (r, row) in from.rows.clone().enumerate() {
                lanes[r] += addend[row * to.width + first + u];
            }
        }
        for &node in &from.link.adds {
            let added = &from.node(node, first + u)[..TILE_ROWS];
            for r in 0..TILE_ROWS {
                lanes[r] += added[r];
            }
        }
        match ending {
            Ending::Activated { activation, .. } => activated(*activation, lanes),
            Ending::Steepened { activation, .. } => steepened(*activation, lanes, &values[u]),
        }
    }
}

/// Neighbouring units of rows whose units are counted from the last to the first.
#[inline(always)]
fn mirrored<T: Real>(
    values: &[T],
    width: usize,
    units: Range<usize>,
    rows: Range<usize>,
) -> [[T; TILE_ROWS]; UNITS_MAX] {
    let mut found = [[T::ZERO; TILE_ROWS]; UNITS_MAX];
    for (r, row) in rows.enumerate() {
        let line = &values[(row + 1) * width - units.end..][..units.len()];
        for u in 0..units.len() {
            found[u][r] = line[units.len() - 1 - u];
        }
    }
    found
}

/// One loop an activation: a choice inside the loop would keep it from being vectorised.
#[inline(always)]
fn activated<T: Real>(activation: Activation, lanes: &mut [T]) {
    match activation {
        Activation::None => {}
        Activation::Relu => apply(Activation::Relu, lanes),
        Activation::Tanh => apply(Activation::Tanh, lanes),
        Activation::Elu => apply(Activation::Elu, lanes),
    }
}

#[inline(always)]
fn apply<T: Real>(activation: Activation, lanes: &mut [T]) {
    for lane in lanes {
        *lane = activation.apply(*lane);
    }
}

#[inline(always)]
fn steepened<T: Real>(activation: Activation, lanes: &mut [T], values: &[T; TILE_ROWS]) {
    match activation {
        Activation::None => {}
        Activation::Relu => scale(Activation::Relu, lanes, values),
        Activation::Tanh => scale(Activation::Tanh, lanes, values),
        Activation::Elu => scale(Activation::Elu, lanes, values),
    }
}

#[inline(always)]
fn scale<T: Real>(activation: Activation, lanes: &mut [T], values: &[T; TILE_ROWS]) {
    for (lane, value) in lanes.iter_mut().zip(values) {
        *lane = *lane * activation.slope(*value);
    }
}
