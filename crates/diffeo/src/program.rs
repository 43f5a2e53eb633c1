//! A flow as a list of kernel calls over flat weights: how the CPU trains and scores.
//!
//! The tensor engine allocates every intermediate result and gathers gradients in a graph, which costs as much as the products
//! themselves. A [`Program`] reads weights where the optimiser keeps them, writes gradients where it looks for them, and keeps its
//! large buffers from call to call. A flow with a part that no [`Step`] knows (an inverted layer, another base than the normal, a transform
//! of a program's own) has no program and runs on the tensor engine; tests hold the two equal.

mod conditioned;
mod network;
mod permutation;
mod plu;
mod step;
#[cfg(test)]
mod tests;

use std::ops::Range;

use diffeo_kernels::{
    Aligned, Idle, Real, TILE_ROWS, add_tiled_normal, tile_count, tiled_normal_backward, to_tiles,
};
use rayon::prelude::*;

use crate::distributions::Base;
use crate::error::Result;
use crate::flow::Flow;
use crate::linalg::{host_values, tensor_of};
use crate::rows::Rows;
use crate::spec::LayerSpec;
use crate::transform::Transform;
use crate::transforms::{Chain, Layer};

use conditioned::Conditioned;
use permutation::Permute;
use plu::PluStep;
use step::{Pass, Scratch, Step, Tape};

pub(crate) use network::{ContextLayer, NetworkNode, NetworkProgram};

/// Rows that are scored together: few enough for the results of a layer to stay in the second cache, enough for its weights to be read
/// seldom.
const ROWS_AT_ONCE: usize = 4 * TILE_ROWS;

/// A flow whose weights lie in one slice, in the order in which the flow shows them.
#[derive(Debug)]
pub(crate) struct Program<T> {
    /// Maps of the data's units, without weights.
    units: Vec<Layer>,
    steps: Vec<Box<dyn Step<T>>>,
    dims: usize,
    context: Option<Chain>,
    weights: usize,
    /// Buffers that no call is using.
    idle: Idle<Workspace<T>>,
}

/// Buffers of one call.
#[derive(Debug, Default)]
struct Workspace<T> {
    tapes: Vec<Tape<T>>,
    /// The value before each step, and after the last.
    values: Vec<Aligned<T>>,
    scratch: Scratch<T>,
    context: Aligned<T>,
    grad: Aligned<T>,
    log_det_gradient: Vec<T>,
}

/// Rows in the units of the data, all finite, with the context of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) x: &'a Rows,
    pub(crate) context: Option<&'a Rows>,
}

/// Hands out consecutive ranges of the flat weights.
#[derive(Debug, Default)]
pub(crate) struct Cursor(usize);

impl Cursor {
    /// The next `len` weights.
    pub(crate) fn take(&mut self, len: usize) -> Range<usize> {
        let start = self.0;
        self.0 += len;
        start..self.0
    }
}

impl<T: Real> Program<T> {
    /// The program of a flow; `None` if a part of the flow has no step.
    pub(crate) fn new(flow: &Flow) -> Option<Self> {
        if !matches!(flow.base(), Base::Normal(_)) || !diffeo_kernels::ops::is_cpu(flow.device()) {
            return None;
        }
        let layers = flow.transform().layers();
        let split = layers.iter().take_while(|layer| layer.maps_units()).count();
        let (units, layers) = layers.split_at(split);
        let mut cursor = Cursor::default();
        let specs = flow.spec().transforms.get(split..)?;
        let steps: Option<Vec<Box<dyn Step<T>>>> = layers
            .iter()
            .zip(specs)
            .map(|(layer, spec)| step_of(layer, spec, &mut cursor))
            .collect();
        Some(Self {
            units: units.to_vec(),
            steps: steps?,
            dims: flow.dims(),
            context: flow.context_chain().cloned(),
            weights: cursor.0,
            idle: Idle::default(),
        })
    }

    /// Takes up weights: what depends on them alone is computed here, once.
    pub(crate) fn load(&mut self, weights: &[T]) {
        debug_assert_eq!(weights.len(), self.weights);
        self.steps.iter_mut().for_each(|step| step.load(weights));
    }

    /// [`Program::load`] on the threads of the pool that this runs in.
    pub(crate) fn load_in_parallel(&mut self, weights: &[T]) {
        debug_assert_eq!(weights.len(), self.weights);
        self.steps.par_iter_mut().with_max_len(1).for_each(|step| step.load(weights));
    }

    /// Log-density of every row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the tensor engine, which maps units and context, fails.
    pub(crate) fn log_prob(&self, weights: &[T], input: Input<'_>) -> Result<Vec<f64>> {
        self.with_workspace(|work| {
            let mut log_prob = Vec::with_capacity(input.x.len());
            for start in (0..input.x.len()).step_by(ROWS_AT_ONCE) {
                let rows = start..input.x.len().min(start + ROWS_AT_ONCE);
                let part = self.run(weights, input, rows.clone(), work)?;
                log_prob.extend_from_slice(&part[..rows.len()]);
            }
            Ok(log_prob)
        })
    }

    fn run(
        &self,
        weights: &[T],
        input: Input<'_>,
        rows: Range<usize>,
        work: &mut Workspace<T>,
    ) -> Result<Vec<f64>> {
        let tiles = tile_count(rows.len());
        let len = tiles * TILE_ROWS * self.dims;
        let Workspace { tapes, values, context: mapped, .. } = work;
        self.reserve(tapes, 1, values, 2);
        let mut log_prob = self.enter(input, rows, &mut values[0], mapped)?;
        let pass = Pass { tiles, weights, context: mapped, log_det_gradient: &[] };
        let [from, to, ..] = &mut values[..] else { unreachable!("two values were reserved") };
        for step in &self.steps {
            step.forward(&pass, &from[..len], to.sized(len), &mut log_prob, &mut tapes[0]);
            std::mem::swap(from, to);
        }
        add_tiled_normal(&from[..len], &mut log_prob);
        Ok(log_prob)
    }

    /// Log-density of every row, and the gradient of `-sum_i row_weights_i log_prob_i` over `gradient`.
    ///
    /// Masked elements of `gradient` must be zero before, and are after.
    ///
    /// # Errors
    /// As [`Program::log_prob`].
    pub(crate) fn gradient(
        &self,
        weights: &[T],
        input: Input<'_>,
        row_weights: &[f64],
        gradient: &mut [T],
    ) -> Result<Vec<f64>> {
        self.with_workspace(|work| self.run_back(weights, input, row_weights, gradient, work))
    }

    fn run_back(
        &self,
        weights: &[T],
        input: Input<'_>,
        row_weights: &[f64],
        gradient: &mut [T],
        work: &mut Workspace<T>,
    ) -> Result<Vec<f64>> {
        let n = input.x.len();
        let tiles = tile_count(n);
        let len = tiles * TILE_ROWS * self.dims;
        let Workspace { tapes, values, scratch, context: mapped, grad, log_det_gradient } = work;
        self.reserve(tapes, self.steps.len(), values, self.steps.len() + 1);
        let mut log_prob = self.enter(input, 0..n, &mut values[0], mapped)?;
        log_det_gradient.clear();
        log_det_gradient.extend(row_weights.iter().map(|w| T::from_f64(-w)));
        log_det_gradient.resize(tiles * TILE_ROWS, T::ZERO);
        let pass = Pass { tiles, weights, context: mapped, log_det_gradient };
        for (i, step) in self.steps.iter().enumerate() {
            let (before, after) = values.split_at_mut(i + 1);
            let to = after[0].sized(len);
            step.forward(&pass, &before[i][..len], to, &mut log_prob, &mut tapes[i]);
        }
        let last = &values[self.steps.len()][..len];
        add_tiled_normal(last, &mut log_prob);
        log_prob.truncate(n);
        let grad = grad.sized(len);
        tiled_normal_backward(last, pass.log_det_gradient, grad);
        for (i, step) in self.steps.iter().enumerate().rev() {
            let x = &values[i][..len];
            step.backward(&pass, x, grad, i > 0, (&mut tapes[i], scratch), gradient);
        }
        Ok(log_prob)
    }

    /// Runs something with buffers that were used before, if there are any.
    fn with_workspace<R>(&self, work: impl FnOnce(&mut Workspace<T>) -> R) -> R {
        let mut workspace = self.idle.take().unwrap_or_default();
        let result = work(&mut workspace);
        self.idle.give_back(workspace);
        result
    }

    fn reserve(&self, tapes: &mut Vec<Tape<T>>, n: usize, values: &mut Vec<Aligned<T>>, m: usize) {
        tapes.resize_with(n.max(tapes.len()), Tape::default);
        values.resize_with(m.max(values.len()), Aligned::default);
    }

    /// Maps rows from their units to the first step, and the context; returns the log-determinants so far, for whole tiles.
    fn enter(
        &self,
        Input { x, context }: Input<'_>,
        rows: Range<usize>,
        value: &mut Aligned<T>,
        mapped: &mut Aligned<T>,
    ) -> Result<Vec<f64>> {
        mapped.resize(0);
        if let Some(context) = context {
            match &self.context {
                Some(chain) => {
                    let part = tensor_of(&context.slice(rows.clone()));
                    tile_rows(&host_values(chain.forward(part, None)?.value)?, rows.len(), mapped);
                }
                None => tile_rows(part_of(context, &rows), rows.len(), mapped),
            }
        }
        let mut log_det = vec![0.0; tile_count(rows.len()) * TILE_ROWS];
        let is_plain = self.units.iter().all(|u| matches!(u, Layer::Standardize(_)));
        if is_plain {
            let mut done = part_of(x, &rows).to_vec();
            for unit in &self.units {
                if let Layer::Standardize(unit) = unit {
                    let constant = unit.forward_rows(&mut done);
                    log_det.iter_mut().for_each(|sum| *sum += constant);
                }
            }
            tile_rows(&done, rows.len(), value);
            return Ok(log_det);
        }
        let mut x = tensor_of(&x.slice(rows.clone()));
        for unit in &self.units {
            let done = unit.forward(x, None)?;
            x = done.value;
            log_det.iter_mut().zip(host_values(done.log_det)?).for_each(|(sum, v)| *sum += v);
        }
        tile_rows(&host_values(x)?, rows.len(), value);
        Ok(log_det)
    }
}

/// Some rows of a matrix.
fn part_of<'a>(matrix: &'a Rows, rows: &Range<usize>) -> &'a [f64] {
    &matrix.values()[rows.start * matrix.width()..rows.end * matrix.width()]
}

/// Brings `n` rows into tiles, in the precision of the weights.
fn tile_rows<T: Real>(values: &[f64], n: usize, tiles: &mut Aligned<T>) {
    let values: Vec<T> = values.iter().map(|&v| T::from_f64(v)).collect();
    let width = values.len() / n.max(1);
    tiles.resize(tile_count(n) * width * TILE_ROWS);
    to_tiles(&values, width, tiles);
}

/// The step of a layer whose weights come next.
fn step_of<T: Real>(
    layer: &Layer,
    spec: &LayerSpec,
    cursor: &mut Cursor,
) -> Option<Box<dyn Step<T>>> {
    Some(match (layer, spec) {
        (Layer::Permutation(_), LayerSpec::Permutation { order }) => {
            Box::new(Permute { order: order.clone() })
        }
        (Layer::Plu(_), LayerSpec::Plu { order }) => Box::new(PluStep::new(order, cursor)),
        (Layer::Autoregressive(layer), LayerSpec::Autoregressive { monotone, order, .. }) => {
            let network = layer.network().program(cursor);
            Box::new(Conditioned::new(network, monotone.kernel(), order.clone(), order.clone()))
        }
        (Layer::Coupling(layer), LayerSpec::Coupling { monotone, kept, .. }) => {
            let network = layer.network().program(cursor);
            let (seen, moved) = (0..kept.len()).partition(|&i| kept[i]);
            Box::new(Conditioned::new(network, monotone.kernel(), Some(seen), Some(moved)))
        }
        _ => return None,
    })
}
