//! A flow as a list of kernel calls over flat weights: how the CPU trains and scores.
//!
//! The tensor engine allocates every intermediate result and gathers gradients in a graph, which costs as much as the products
//! themselves. A [`Program`] reads weights where the optimiser keeps them, writes gradients where it looks for them, and keeps its
//! large buffers from call to call. A flow with a part that has no [`Step`] (an inverted layer, another base than the normal, a transform
//! of a program's own) has no program and runs on the tensor engine; tests hold the two equal.

use std::ops::Range;

use diffeo_kernels::{
    Aligned, Idle, Regression, TILE_ROWS, add_tiled_normal, tile_count, tiled_normal_backward,
    to_tiles,
};
use rayon::prelude::*;

use super::element::Element;
use super::flat::layout_of;
use super::{Input, Ways, no_velocity};
use crate::embedding::{EmbeddingProgram, EmbeddingTape};
use crate::error::Result;
use crate::flow::Flow;
use crate::host::rows::Rows;
use crate::marks::{MarksProgram, MarksTape, SplitRows};
use crate::step::{Arena, Kept, Pass, Scratch, Step, Weights};
use crate::transform::Transform;

/// Rows that are scored together: few enough for the results of a layer to stay in the second cache, enough for its weights to be read
/// seldom.
const ROWS_AT_ONCE: usize = 4 * TILE_ROWS;

/// A flow whose weights lie in one slice, in the order in which the flow shows them.
#[derive(Debug)]
pub(super) struct Program<T> {
    /// What the steps see of the context, if it is not the context itself, and what it made of the weights.
    embedding: Option<(EmbeddingProgram, Arena<T>)>,
    /// The density of the marks of a row, and what it made of the weights.
    marks: Option<(MarksProgram, Arena<T>)>,
    steps: Vec<Loaded<T>>,
    /// Numbers of a row that the steps map: all but its marks.
    dims: usize,
    weights: usize,
    /// Buffers that no call is using.
    idle: Idle<Workspace<T>>,
}

/// A step and what it made of the weights.
#[derive(Debug)]
struct Loaded<T> {
    step: Box<dyn Step<T>>,
    arrays: Arena<T>,
}

/// Buffers of one call.
#[derive(Debug, Default)]
struct Workspace<T> {
    tapes: Vec<Arena<T>>,
    /// The value before each step, and after the last.
    values: Vec<Aligned<T>>,
    scratch: Scratch<T>,
    entered: Entered<T>,
    marks: MarksTape<T>,
    embedding: EmbeddingTape<T>,
    grad: Aligned<T>,
    log_det_gradient: Vec<T>,
}

/// What beside its numbers a row comes with.
#[derive(Debug, Default)]
struct Entered<T> {
    /// The context.
    context: Aligned<T>,
    /// What the steps see of it; empty if that is the context itself.
    embedded: Aligned<T>,
    /// The shares of the marks.
    shares: Aligned<T>,
    /// What the steps see of the context, and the shares; empty if there are no marks.
    extended: Aligned<T>,
}

impl<T: Element> Entered<T> {
    /// What the numbers are given.
    fn of_numbers(&self) -> &[T] {
        match (&self.extended[..], &self.embedded[..]) {
            ([], []) => &self.context,
            ([], embedded) => embedded,
            (extended, _) => extended,
        }
    }

    /// Puts what the steps see of the context before the shares of so many tiles.
    fn extend(&mut self, tiles: usize) {
        let seen = if self.embedded.is_empty() { &self.context } else { &self.embedded };
        self.extended.resize(seen.len() + self.shares.len());
        let widths = [seen, &self.shares].map(|part| part.len() / tiles.max(1));
        let size = (widths[0] + widths[1]).max(1);
        for (tile, to) in self.extended.chunks_exact_mut(size).enumerate() {
            let (to_seen, to_shares) = to.split_at_mut(widths[0]);
            to_seen.copy_from_slice(&seen[tile * widths[0]..][..widths[0]]);
            to_shares.copy_from_slice(&self.shares[tile * widths[1]..][..widths[1]]);
        }
    }
}

impl<T: Element> Program<T> {
    /// The program of a flow; `None` if a part of the flow has no step.
    pub(super) fn new(flow: &Flow) -> Option<Self> {
        if !flow.base().is_standard_normal() || !diffeo_kernels::ops::is_cpu(flow.device()) {
            return None;
        }
        let layout = layout_of(flow);
        let ranges = layout.ranges();
        let steps = flow.chain().steps(&Weights::new(&ranges).part("transform"))?;
        let embedding = match flow.embedding() {
            None => None,
            Some(embedding) => {
                let weights = Weights::new(&ranges).part("embedding");
                Some((EmbeddingProgram::new(embedding, &weights)?, Arena::default()))
            }
        };
        let marks = match flow.marks() {
            None => None,
            Some(marks) => Some((
                MarksProgram::new(marks, &Weights::new(&ranges).part("marks"))?,
                Arena::default(),
            )),
        };
        let loaded = |step| Loaded { step: T::step(step), arrays: Arena::default() };
        Some(Self {
            embedding,
            marks,
            steps: steps.into_iter().map(loaded).collect(),
            dims: flow.numbers(),
            weights: layout.len(),
            idle: Idle::default(),
        })
    }

    /// Takes up weights: what depends on them alone is computed here, once; on the threads of the pool that this runs in, if any.
    pub(super) fn load(&mut self, weights: &[T]) {
        assert_eq!(weights.len(), self.weights);
        let load = |loaded: &mut Loaded<T>| loaded.step.load(weights, &mut loaded.arrays);
        match rayon::current_thread_index() {
            Some(_) => self.steps.par_iter_mut().with_max_len(1).for_each(load),
            None => self.steps.iter_mut().for_each(load),
        }
        if let Some((marks, arrays)) = &mut self.marks {
            marks.load(weights, arrays);
        }
        if let Some((embedding, arrays)) = &mut self.embedding {
            embedding.load(weights, arrays);
        }
    }

    /// Log-density of every row; all must be finite.
    ///
    /// # Errors
    /// As the steps.
    pub(super) fn log_prob(&self, weights: &[T], input: Input<'_>) -> Result<Vec<f64>> {
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
        self.reserve(&mut work.tapes, 1, &mut work.values, 2);
        let mut log_prob = self.enter(weights, input, rows, work);
        let Workspace { tapes, values, entered, marks: tape, .. } = work;
        if let Some((marks, arrays)) = &self.marks {
            let context = &entered.context;
            let pass = Pass { tiles, weights, context, log_det_gradient: &[], draws: None };
            marks.forward(&pass, &entered.shares, &mut log_prob, (arrays, tape));
        }
        let context = entered.of_numbers();
        let pass = Pass { tiles, weights, context, log_det_gradient: &[], draws: None };
        let [from, to, ..] = &mut values[..] else { unreachable!("two values were reserved") };
        for Loaded { step, arrays } in &self.steps {
            let kept = Kept { loaded: arrays, tape: &mut tapes[0] };
            step.forward(&pass, &from[..len], to.sized(len), &mut log_prob, kept)?;
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
    /// As the steps.
    pub(super) fn gradient(
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
        self.reserve(&mut work.tapes, self.steps.len(), &mut work.values, self.steps.len() + 1);
        let mut log_prob = self.enter(weights, input, 0..n, work);
        self.mark(weights, row_weights, &mut log_prob, work, gradient);
        let Workspace {
            tapes, values, scratch, entered, grad, log_det_gradient, embedding, ..
        } = work;
        let (context, draws) = (entered.of_numbers(), input.draws);
        scratch.context.start(self.embedding.is_some().then_some(context.len()));
        let pass = Pass { tiles, weights, context, log_det_gradient, draws };
        for (i, (Loaded { step, arrays }, tape)) in self.steps.iter().zip(&mut *tapes).enumerate() {
            let (before, after) = values.split_at_mut(i + 1);
            let (to, kept) = (after[0].sized(len), Kept { loaded: arrays, tape });
            step.forward(&pass, &before[i][..len], to, &mut log_prob, kept)?;
        }
        let last = &values[self.steps.len()][..len];
        add_tiled_normal(last, &mut log_prob);
        log_prob.truncate(n);
        let grad = grad.sized(len);
        tiled_normal_backward(last, pass.log_det_gradient, grad);
        for (i, (Loaded { step, arrays }, tape)) in self.steps.iter().zip(tapes).enumerate().rev() {
            let (x, kept) = (&values[i][..len], Kept { loaded: arrays, tape });
            step.backward(&pass, x, grad, i > 0, (kept, scratch), gradient);
        }
        self.embed_back(weights, entered, embedding, scratch, gradient);
        Ok(log_prob)
    }

    /// Writes the gradient by the weights of the embedding, given those by what the steps saw of the context.
    fn embed_back(
        &self,
        weights: &[T],
        entered: &Entered<T>,
        tape: &mut EmbeddingTape<T>,
        scratch: &mut Scratch<T>,
        gradient: &mut [T],
    ) {
        let Some((program, arrays)) = &self.embedding else { return };
        let tiles = entered.embedded.len() / (program.width() * TILE_ROWS);
        let by_seen = seen_of(scratch.context.sum(), tiles, program.width());
        program.backward(weights, (&entered.context, &by_seen), (arrays, tape), scratch, gradient);
    }

    /// What each row's marks and its way cost, and the gradient of their weighted sum over `gradient`; see [`super::Engine::regress`].
    ///
    /// # Errors
    /// As [`super::Engine::regress`].
    pub(super) fn regress(
        &self,
        weights: &[T],
        given: (Input<'_>, &Ways),
        row_weights: &[f64],
        gradient: &mut [T],
    ) -> Result<Vec<f64>> {
        let [Loaded { step, arrays }] = &self.steps[..] else { return Err(no_velocity()) };
        let velocity = step.velocity().ok_or_else(no_velocity)?;
        self.with_workspace(|work| {
            let mut losses = self.enter_way(weights, given, row_weights, gradient, work);
            let Workspace { values, scratch, entered, log_det_gradient, embedding, .. } = work;
            log_det_gradient.iter_mut().for_each(|weight| *weight = -*weight);
            let [x, targets, times, ..] = &values[..] else { unreachable!("three were reserved") };
            let (context, row_weights) = (entered.of_numbers(), &log_det_gradient[..]);
            let at = Regression { x, times, targets, context, row_weights };
            scratch.context.start(self.embedding.is_some().then_some(context.len()));
            velocity.regress(at, &mut losses, (arrays, scratch), gradient);
            self.embed_back(weights, entered, embedding, scratch, gradient);
            losses.truncate(given.0.x.len());
            Ok(losses)
        })
    }

    /// Adds the log-densities of the marks that were entered, and their gradient; leaves what each row counts where all that follows takes it from.
    fn mark(
        &self,
        weights: &[T],
        row_weights: &[f64],
        log_prob: &mut [f64],
        work: &mut Workspace<T>,
        gradient: &mut [T],
    ) {
        let tiles = log_prob.len() / TILE_ROWS;
        let Workspace { scratch, entered, marks: tape, log_det_gradient, .. } = work;
        log_det_gradient.clear();
        log_det_gradient.extend(row_weights.iter().map(|w| T::from_f64(-w)));
        log_det_gradient.resize(tiles * TILE_ROWS, T::ZERO);
        if let Some((marks, arrays)) = &self.marks {
            let (context, draws) = (&entered.context, None);
            let pass = Pass { tiles, weights, context, log_det_gradient, draws };
            marks.forward(&pass, &entered.shares, log_prob, (arrays, tape));
            marks.backward(&pass, &entered.shares, (arrays, tape), scratch, gradient);
        }
    }

    /// Brings ways into tiles, the first three values, and takes the loss and the gradient of the marks.
    fn enter_way(
        &self,
        weights: &[T],
        (input, ways): (Input<'_>, &Ways),
        row_weights: &[f64],
        gradient: &mut [T],
        work: &mut Workspace<T>,
    ) -> Vec<f64> {
        let n = input.x.len();
        let tiles = tile_count(n);
        work.values.resize_with(work.values.len().max(3), Aligned::default);
        self.enter(weights, input, 0..n, work);
        let mut log_prob = vec![0.0; tiles * TILE_ROWS];
        self.mark(weights, row_weights, &mut log_prob, work, gradient);
        let parts = [&ways.places, &ways.velocities, &ways.times];
        for (rows, value) in parts.into_iter().zip(&mut work.values) {
            tile_rows(rows.values(), n, value);
        }
        log_prob.iter_mut().for_each(|loss| *loss = -*loss);
        log_prob
    }

    /// Runs something with buffers that were used before, if there are any.
    fn with_workspace<R>(&self, work: impl FnOnce(&mut Workspace<T>) -> R) -> R {
        let mut workspace = self.idle.take().unwrap_or_default();
        let result = work(&mut workspace);
        self.idle.give_back(workspace);
        result
    }

    fn reserve(&self, tapes: &mut Vec<Arena<T>>, n: usize, values: &mut Vec<Aligned<T>>, m: usize) {
        tapes.resize_with(n.max(tapes.len()), Arena::default);
        values.resize_with(m.max(values.len()), Aligned::default);
    }

    /// Brings rows and what they are given into tiles, the first value; returns the log-determinants so far, for whole tiles.
    fn enter(
        &self,
        weights: &[T],
        Input { x, log_det, context, .. }: Input<'_>,
        rows: Range<usize>,
        work: &mut Workspace<T>,
    ) -> Vec<f64> {
        let n = rows.len();
        let Workspace { values, entered, embedding: tape, .. } = work;
        let Entered { context: given, embedded, extended, .. } = entered;
        for part in [&mut *given, embedded, extended] {
            part.resize(0);
        }
        let context = context.map_or(&[][..], |context| part_of(context, &rows));
        if !context.is_empty() {
            tile_rows(context, n, given);
        }
        if let Some((program, arrays)) = &self.embedding {
            embedded.resize(tile_count(n) * program.width() * TILE_ROWS);
            program.forward(weights, given, embedded, (arrays, tape));
        }
        match &self.marks {
            None => tile_rows(part_of(x, &rows), n, &mut values[0]),
            Some((marks, _)) => {
                let split = SplitRows::new(marks.layout(), part_of(x, &rows), &[], x.width());
                tile_rows(&split.numbers, n, &mut values[0]);
                tile_rows(&split.shares, n, &mut entered.shares);
                entered.extend(tile_count(n));
            }
        }
        let mut sums = log_det[rows].to_vec();
        sums.resize(tile_count(n) * TILE_ROWS, 0.0);
        sums
    }
}

/// Some rows of a matrix.
fn part_of<'a>(matrix: &'a Rows, rows: &Range<usize>) -> &'a [f64] {
    &matrix.values()[rows.start * matrix.width()..rows.end * matrix.width()]
}

/// The first `width` columns of each tile: a gradient by what the steps see of the context, without that by the shares behind it.
fn seen_of<T: Element>(by_context: &[T], tiles: usize, width: usize) -> Vec<T> {
    let of_tile = by_context.len() / tiles.max(1);
    let tiles = by_context.chunks_exact(of_tile.max(1));
    tiles.flat_map(|tile| &tile[..width * TILE_ROWS]).copied().collect()
}

/// Brings `n` rows into tiles, in the precision of the weights.
fn tile_rows<T: Element>(values: &[f64], n: usize, tiles: &mut Aligned<T>) {
    let values: Vec<T> = values.iter().map(|&v| T::from_f64(v)).collect();
    let width = values.len() / n.max(1);
    tiles.resize(tile_count(n) * width * TILE_ROWS);
    to_tiles(&values, width, tiles);
}
