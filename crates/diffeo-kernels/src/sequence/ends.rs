//! How columns come into a network, and parameters out of it.

use std::ops::Range;

use super::SequenceShape;
use crate::tiled_network::lanes::{add_sums, read, read_back, spread};
use crate::tiled_network::products::{Layer, Scratch};
use crate::tiled_network::{NetworkGradients, NetworkWeights, Parts, RowTile};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

/// Level 0 starts from a vector of its own and the context's part; every other from a vector of its own and, for each column of the token before, a vector times what the
/// column is read as. Parameters are a linear map of what a level ends with, one for each.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    shape: SequenceShape,
    start: Range<usize>,
    context: Option<Layer>,
    /// Of the levels after the first.
    tokens: Vec<Layer>,
    heads: Vec<Layer>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Entered<T> {
    columns: Aligned<T>,
    context: Aligned<T>,
}

/// How wide a network is at its ends, and how large the vectors start that columns are multiplied by and those beside them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    /// What level 0 starts from.
    pub(super) start: usize,
    /// What other levels start from.
    pub(super) token: usize,
    /// Bound of the vectors of levels at the start.
    pub(super) bound: f64,
}

impl Ends {
    /// The way in; [`Self::add_heads`] makes the way out.
    pub(super) fn new(
        shape: SequenceShape,
        widths: Widths,
        parts: &mut Parts,
        layers: &mut usize,
    ) -> Self {
        assert!(shape.dims > 0 && shape.group > 0, "a sequence has a column, and so has a token");
        let is_even = shape.dims.is_multiple_of(shape.group);
        assert!(is_even || !shape.alike, "tokens that are alike are equally wide");
        let Widths { start: first, token, bound, .. } = widths;
        let start = parts.add("start", [1, first], bound);
        let context = (shape.context > 0).then(|| {
            let bound = 1.0 / (shape.context as f64).sqrt();
            let weight = parts.add("context", [shape.context, first], bound);
            Layer::new([shape.context, first], weight, start.clone(), layers)
        });
        let group = shape.group;
        let share = 1.0 / (group as f64).sqrt();
        let embedding = parts.add("embedding", [shape.embedded(), token], share);
        let position = parts.add("position", [shape.levels() - 1, token], bound);
        let mut tokens: Vec<Layer> = Vec::new();
        for i in 0..shape.levels() - 1 {
            let weight = embedding.start + i * group * token;
            let bias = position.start + i * token;
            let (weight, bias) = (weight..weight + group * token, bias..bias + token);
            tokens.push(match tokens.first() {
                Some(first) if shape.alike => first.with_bias(bias),
                _ => Layer::new([group, token], weight, bias, layers),
            });
        }
        Self { shape, start, context, tokens, heads: Vec::new() }
    }

    /// The way out, all zero.
    pub(super) fn add_heads(&mut self, width: usize, parts: &mut Parts, layers: &mut usize) {
        let all = self.shape.headed() * self.shape.per_column;
        let weight = parts.add("head.weight", [width, all], 0.0);
        let bias = parts.add("head.bias", [1, all], 0.0);
        let head = |level: usize| {
            let outputs = self.shape.outputs(level);
            let weight = weight.start + outputs.start..weight.end;
            let bias = bias.start + outputs.start..bias.start + outputs.end;
            Layer::among([width, outputs.len()], (weight, all), bias, layers)
        };
        let heads = if self.shape.alike { 1 } else { self.shape.levels() };
        self.heads = (0..heads).map(head).collect();
    }

    /// All layers of matrices of their own.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        let tokens = if self.shape.alike { 1 } else { self.tokens.len() };
        self.context.iter().chain(self.tokens.iter().take(tokens)).chain(&self.heads)
    }

    /// Makes room for what is read.
    pub(super) fn prepare<T: Real>(&self, entered: &mut Entered<T>) {
        entered.columns.sized(self.shape.read() * TILE_ROWS);
        entered.context.sized(self.shape.context * TILE_ROWS);
    }

    /// The columns that a level reads.
    fn seen(&self, level: usize) -> Range<usize> {
        let columns = self.shape.columns(level - 1);
        columns.start * TILE_ROWS..columns.end * TILE_ROWS
    }

    /// What a level starts from.
    pub(super) fn enter<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        level: usize,
        entered: &mut Entered<T>,
        out: &mut [T],
    ) {
        match (level, &self.context) {
            (0, None) => spread(&weights.flat[self.start.clone()], out),
            (0, Some(layer)) => {
                let context = &mut entered.context[..self.shape.context * TILE_ROWS];
                read(tile.context, context);
                layer.forward(weights, context, None, out);
            }
            _ => {
                let columns = &mut entered.columns[self.seen(level)];
                read(&tile.x[self.seen(level)], columns);
                self.tokens[level - 1].forward(weights, columns, None, out);
            }
        }
    }

    /// The backward pass of [`Self::enter`].
    pub(super) fn enter_back<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        (level, grad): (usize, &mut [T]),
        (entered, scratch): (&Entered<T>, &mut Scratch<T>),
        to: &mut NetworkGradients<'_, T>,
    ) {
        match (level, &self.context) {
            (0, None) => add_sums(grad, &mut to.weights[self.start.clone()]),
            (0, Some(layer)) => {
                let context = &entered.context[..self.shape.context * TILE_ROWS];
                layer.backward(weights, context, (grad, to.context), scratch, to.weights);
                read_back(tile.context, to.context);
            }
            _ => {
                let (columns, by) = (&entered.columns[self.seen(level)], self.seen(level));
                let (layer, by) = (&self.tokens[level - 1], &mut to.x[by]);
                layer.backward(weights, columns, (grad, &mut *by), scratch, to.weights);
                read_back(&tile.x[self.seen(level)], by);
            }
        }
    }

    /// The parameters of some levels, of what these end with.
    pub(super) fn leave<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        levels: Range<usize>,
        values: &[T],
        params: &mut [T],
    ) {
        if self.shape.alike {
            return self.heads[0].forward(weights, values, None, params);
        }
        let width = self.heads[0].staircase.inputs() * TILE_ROWS;
        let first = self.shape.outputs(levels.start).start;
        for (level, values) in levels.zip(values.chunks_exact(width)) {
            let outputs = self.shape.outputs(level);
            let place = (outputs.start - first) * TILE_ROWS..(outputs.end - first) * TILE_ROWS;
            self.heads[level].forward(weights, values, None, &mut params[place]);
        }
    }

    /// The backward pass of [`Self::leave`], of all levels.
    pub(super) fn leave_back<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        values: &[T],
        (by_params, by_values): (&mut [T], &mut [T]),
        scratch: &mut Scratch<T>,
        to: &mut [T],
    ) {
        if self.shape.alike {
            return self.heads[0].backward(weights, values, (by_params, by_values), scratch, to);
        }
        let width = self.heads[0].staircase.inputs() * TILE_ROWS;
        let pairs = values.chunks_exact(width).zip(by_values.chunks_exact_mut(width));
        for (level, (values, by_values)) in pairs.enumerate() {
            let outputs = self.shape.outputs(level);
            let grad = &mut by_params[outputs.start * TILE_ROWS..outputs.end * TILE_ROWS];
            self.heads[level].backward(weights, values, (grad, by_values), scratch, to);
        }
    }
}
