//! A field at one time of each row, and the gradient of that.

use super::lanes::{
    add, add_sums, bend, bend_back, charge, charge_back, enter, enter_back, leave, leave_back,
    write_addend,
};
use super::{Field, FieldWeights, FieldWork, Tile};
use crate::tiles::TILE_ROWS;
use crate::{Activation, Aligned, Real, TiledLinear};

/// Gradients by a field's weights that are no products.
#[derive(Debug)]
pub(super) struct Sums {
    /// By bias and rate of each layer.
    pub(super) layers: Vec<[Vec<f64>; 2]>,
}

impl Field {
    /// Makes all arrays large enough for so many stages that are kept, and writes what the context adds.
    pub(super) fn prepare<T: Real>(
        &self,
        weights: FieldWeights<'_, T>,
        tile: Tile<'_, T>,
        stages: usize,
        work: &mut FieldWork<T>,
    ) {
        let (d, tiles) = (self.dims(), self.tiles(tile));
        let widths = std::iter::once(d).chain(self.layers.iter().map(|l| l.outputs()));
        work.nodes.resize_with(self.layers.len() + 1, Aligned::default);
        work.grads.resize_with(self.layers.len() + 1, Aligned::default);
        let mut widest = 0;
        for (i, width) in widths.enumerate() {
            widest = widest.max(width);
            work.nodes[i].sized(stages * tiles * width * TILE_ROWS);
            work.grads[i].sized(stages * tiles * width * TILE_ROWS);
        }
        work.addend.sized(widest * TILE_ROWS);
        work.slopes.sized(2 * widest * TILE_ROWS);
        work.zeros.sized(widest).fill(T::ZERO);
        assert_eq!(tile.context.len(), self.context() * TILE_ROWS, "a context of another width");
        if let Some(staircase) = &self.context {
            let addend = work.from_context.sized(staircase.outputs() * TILE_ROWS);
            let layer = TiledLinear {
                packed: &weights.packed[self.layers.len()],
                bias: &work.zeros[..staircase.outputs()],
                staircase,
                activation: Activation::None,
                input: Activation::None,
            };
            layer.forward(tile.context, None, addend);
        }
    }

    /// Values, and derivatives along so many directions.
    pub(super) fn tiles<T>(&self, tile: Tile<'_, T>) -> usize {
        let size = self.dims() * TILE_ROWS;
        assert_eq!(tile.probes.len() % size, 0, "directions of another width");
        1 + tile.probes.len() / size
    }

    /// The product of a layer, with a bias or with zeros.
    pub(super) fn layer<'a, T: Real>(
        &'a self,
        i: usize,
        weights: FieldWeights<'a, T>,
        bias: &'a [T],
    ) -> TiledLinear<'a, T> {
        let (activation, staircase) = (Activation::None, &self.layers[i]);
        let bias = &bias[..staircase.outputs()];
        TiledLinear { packed: &weights.packed[i], bias, staircase, activation, input: activation }
    }

    /// The field and its divergence at `x: [d, TILE_ROWS]` and `t`, which become those of stage `k`; the nodes are left at stage `kept`.
    pub(super) fn evaluate<T: Real>(
        &self,
        weights: FieldWeights<'_, T>,
        tile: Tile<'_, T>,
        (x, t): (&[T], &[T; TILE_ROWS]),
        [k, kept]: [usize; 2],
        work: &mut FieldWork<T>,
    ) {
        let (d, tiles) = (self.dims(), self.tiles(tile));
        let slot =
            |width: usize| kept * tiles * width * TILE_ROWS..(kept + 1) * tiles * width * TILE_ROWS;
        enter(x, tile.probes, &mut work.nodes[0][slot(d)]);
        for (i, [_, bias, rate]) in self.places.iter().enumerate() {
            let (below, above) = work.nodes.split_at_mut(i + 1);
            let (inputs, outputs) = (self.layers[i].inputs(), self.layers[i].outputs());
            let from = &below[i][slot(inputs)];
            let to = &mut above[0][slot(outputs)];
            let addend = &mut work.addend[..outputs * TILE_ROWS];
            let context = (i == 0 && self.context.is_some())
                .then(|| &work.from_context[..outputs * TILE_ROWS]);
            write_addend(&weights.flat[rate.clone()], t, context, addend);
            let (values, tangents) = from.split_at(inputs * TILE_ROWS);
            let (to_values, to_tangents) = to.split_at_mut(outputs * TILE_ROWS);
            let layer = self.layer(i, weights, &weights.flat[bias.clone()]);
            layer.forward(values, Some(addend), to_values);
            self.layer(i, weights, &work.zeros).forward(tangents, None, to_tangents);
            if i + 1 < self.layers.len() {
                bend(self.activation, to, &mut work.slopes[..outputs * TILE_ROWS]);
            }
        }
        let size = d * TILE_ROWS;
        let v = &mut work.fields[k * size..][..size];
        let divergence = &mut work.divergences[k * TILE_ROWS..][..TILE_ROWS];
        let last = &work.nodes[self.layers.len()][slot(d)];
        leave(T::from_f64(self.speed), last, tile.probes, v, divergence);
        if !tile.penalty.is_none() {
            charge(T::from_f64(self.speed), last, v, tile.penalty, divergence);
        }
    }

    /// The backward pass of [`Self::evaluate`] but for the products of the weights, given the gradients by field and divergence: writes the gradient by `x` and leaves
    /// those by the pre-activations at stage `kept`.
    pub(super) fn evaluate_back<T: Real>(
        &self,
        weights: FieldWeights<'_, T>,
        tile: Tile<'_, T>,
        (by_v, by_divergence): (&[T], &[T]),
        (t, kept): (&[T; TILE_ROWS], usize),
        (work, sums): (&mut FieldWork<T>, &mut Sums),
        by_x: &mut [T],
    ) {
        let (d, tiles) = (self.dims(), self.tiles(tile));
        let slot =
            |width: usize| kept * tiles * width * TILE_ROWS..(kept + 1) * tiles * width * TILE_ROWS;
        let speed = T::from_f64(self.speed);
        let last = self.layers.len();
        let (nodes, grad) = (&work.nodes[last][slot(d)], &mut work.grads[last][slot(d)]);
        leave_back(speed, nodes, tile.probes, (by_v, by_divergence), grad);
        if !tile.penalty.is_none() {
            charge_back(speed, (nodes, d * TILE_ROWS), tile.penalty, by_divergence, grad);
        }
        for i in (0..last).rev() {
            let (inputs, outputs) = (self.layers[i].inputs(), self.layers[i].outputs());
            let (below, above) = work.grads.split_at_mut(i + 1);
            let grad = &above[0][slot(outputs)];
            let [bias, rate] = &mut sums.layers[i];
            add_sums(&grad[..outputs * TILE_ROWS], t, [bias, rate]);
            let (to, nodes) = (&mut below[i][slot(inputs)], &work.nodes[i][slot(inputs)]);
            let layer = self.layer(i, weights, &work.zeros);
            if i == 0 {
                // The directions are given, so only the values have a gradient.
                let (size, grad) = (inputs * TILE_ROWS, &grad[..outputs * TILE_ROWS]);
                layer.backward_of_input(&nodes[..size], grad, &mut to[..size]);
                enter_back(&nodes[..size], &to[..size], by_x);
            } else {
                layer.backward_of_input(nodes, grad, to);
                let half = work.slopes.len() / 2;
                let (slopes, curved) = work.slopes.split_at_mut(half);
                let len = inputs * TILE_ROWS;
                bend_back(self.activation, nodes, to, [&mut slopes[..len], &mut curved[..len]]);
            }
        }
    }

    /// Adds the gradients by the matrices, of so many stages whose nodes and gradients are kept, to those by the flat weights.
    pub(super) fn add_products<T: Real>(
        &self,
        weights: FieldWeights<'_, T>,
        tile: Tile<'_, T>,
        stages: usize,
        work: &mut FieldWork<T>,
        gradient: &mut [T],
    ) {
        let tiles = self.tiles(tile);
        for (i, [weight, ..]) in self.places.iter().enumerate() {
            let (inputs, outputs) = (self.layers[i].inputs(), self.layers[i].outputs());
            let all = stages * tiles * TILE_ROWS;
            let (x, output) = (&work.nodes[i][..all * inputs], &work.nodes[i + 1][..all * outputs]);
            let grad = &mut work.grads[i + 1][..all * outputs];
            let (product, bias) =
                work.weight.sized(weight.len() + outputs).split_at_mut(weight.len());
            let layer = self.layer(i, weights, &work.zeros);
            layer.backward_of_weights(x, output, grad, (product, bias), &mut work.linear);
            add(product, &mut gradient[weight.clone()]);
        }
    }
}
