//! Passes of a network with derivatives, and their backward pass.

use super::lanes::{add, add_sums, add_timed_sums, bend, bend_back, steepen, write_addend};
use super::{Dual, DualSums, DualWeights, DualWork, Slot};
use crate::tiles::TILE_ROWS;
use crate::{Activation, Aligned, Real, Staircase, TiledLinear};

/// A product without bias and activation.
fn product<'a, T>(staircase: &'a Staircase, packed: &'a [T], zeros: &'a [T]) -> TiledLinear<'a, T> {
    let activation = Activation::None;
    let bias = &zeros[..staircase.outputs()];
    TiledLinear { packed, bias, staircase, activation, input: activation }
}

impl Dual {
    /// Makes all arrays large enough for so many slots of so many directions, and finds what the context, `[c, TILE_ROWS]`, adds.
    ///
    /// # Panics
    /// If the context has another width.
    pub fn prepare<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        context: &[T],
        [directions, slots]: [usize; 2],
        work: &mut DualWork<T>,
    ) {
        let last = Slot { directions, number: slots - 1 };
        let widths = std::iter::once(self.inputs()).chain(self.layers.iter().map(|l| l.outputs()));
        work.nodes.resize_with(self.layers.len() + 1, Aligned::default);
        work.grads.resize_with(self.layers.len() + 1, Aligned::default);
        work.bends.resize_with(self.layers.len() + 1, Aligned::default);
        let mut widest = 0;
        for (i, width) in widths.enumerate() {
            widest = widest.max(width);
            work.nodes[i].sized(last.nodes(width).end);
            work.grads[i].sized(last.nodes(width).end);
            work.bends[i].sized(last.bends(width).end);
        }
        work.spare.sized(widest * TILE_ROWS);
        work.zeros.sized(widest).fill(T::ZERO);
        assert_eq!(context.len(), self.context() * TILE_ROWS, "a context of another width");
        if let Some(staircase) = &self.context {
            let addend = work.from_context.sized(staircase.outputs() * TILE_ROWS);
            let packed = &weights.packed[self.layers.len()];
            product(staircase, packed, &work.zeros).forward(context, None, addend);
        }
    }

    /// The values of all layers, and the slopes of their units, at the time of each row.
    pub fn values<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        t: Option<&[T; TILE_ROWS]>,
        slot: Slot,
        work: &mut DualWork<T>,
    ) {
        for (i, (layer, place)) in self.layers.iter().zip(&self.places).enumerate() {
            let [inputs, outputs] = [layer.inputs(), layer.outputs()].map(|w| w * TILE_ROWS);
            let (below, above) = work.nodes.split_at_mut(i + 1);
            let from = &below[i][slot.nodes(layer.inputs()).start..][..inputs];
            let to = &mut above[0][slot.nodes(layer.outputs()).start..][..outputs];
            let context = (i == 0 && self.context.is_some()).then(|| &work.from_context[..outputs]);
            let addend = match (&place.rate, t) {
                (Some(rate), Some(t)) => {
                    let addend = &mut work.spare[..outputs];
                    write_addend(&weights.flat[rate.clone()], t, context, addend);
                    Some(&*addend)
                }
                _ => context,
            };
            product(layer, &weights.packed[i], &weights.flat[place.bias.clone()])
                .forward(from, addend, to);
            if i + 1 < self.layers.len() {
                bend(self.activation, to, &mut work.bends[i + 1][slot.bends(layer.outputs())]);
            }
        }
    }

    /// The derivatives of all layers along the directions that the input holds, where [`Self::values`] was last.
    pub fn tangents<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        slot: Slot,
        work: &mut DualWork<T>,
    ) {
        for (i, layer) in self.layers.iter().enumerate() {
            let [inputs, outputs] = [layer.inputs(), layer.outputs()].map(|w| w * TILE_ROWS);
            let (below, above) = work.nodes.split_at_mut(i + 1);
            let from = &below[i][slot.nodes(layer.inputs())][inputs..];
            let to = &mut above[0][slot.nodes(layer.outputs())][outputs..];
            product(layer, &weights.packed[i], &work.zeros).forward(from, None, to);
            if i + 1 < self.layers.len() {
                let start = slot.bends(layer.outputs()).start;
                steepen(&work.bends[i + 1][start..][..outputs], to);
            }
        }
    }

    /// The backward pass of [`Self::values`] and [`Self::tangents`] but for the products of the weights, given the gradient by the output: leaves that by the input's values and those by
    /// the pre-activations. The directions are constants.
    pub fn backward<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        t: Option<&[T; TILE_ROWS]>,
        slot: Slot,
        (work, sums): (&mut DualWork<T>, &mut DualSums),
    ) {
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let [inputs, outputs] = [layer.inputs(), layer.outputs()].map(|w| w * TILE_ROWS);
            let (below, above) = work.grads.split_at_mut(i + 1);
            let grad = &above[0][slot.nodes(layer.outputs())];
            let [bias, rate] = &mut sums.layers[i];
            add_sums(&grad[..outputs], bias);
            if let Some(t) = t {
                add_timed_sums(&grad[..outputs], t, rate);
            }
            let to = &mut below[i][slot.nodes(layer.inputs())];
            let nodes = &work.nodes[i][slot.nodes(layer.inputs())];
            let product = product(layer, &weights.packed[i], &work.zeros);
            if i == 0 {
                product.backward_of_input(&nodes[..inputs], &grad[..outputs], &mut to[..inputs]);
            } else {
                product.backward_of_input(nodes, grad, to);
                let bends = &work.bends[i][slot.bends(layer.inputs())];
                bend_back(bends, &nodes[inputs..], to, &mut work.spare[..inputs]);
            }
        }
    }

    /// Adds the gradients by the matrices, of the first slots whose nodes and gradients are kept, to those by the flat weights.
    pub fn add_products<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        [directions, slots]: [usize; 2],
        work: &mut DualWork<T>,
        gradient: &mut [T],
    ) {
        let last = Slot { directions, number: slots - 1 };
        for (i, (layer, place)) in self.layers.iter().zip(&self.places).enumerate() {
            let (inputs, outputs) =
                (last.nodes(layer.inputs()).end, last.nodes(layer.outputs()).end);
            let (x, output) = (&work.nodes[i][..inputs], &work.nodes[i + 1][..outputs]);
            let grad = &mut work.grads[i + 1][..outputs];
            let len = place.weight.len();
            let (by_weight, by_bias) = work.weight.sized(len + layer.outputs()).split_at_mut(len);
            let to = (&mut *by_weight, by_bias);
            product(layer, &weights.packed[i], &work.zeros).backward_of_weights(
                x,
                output,
                grad,
                to,
                &mut work.linear,
            );
            add(by_weight, &mut gradient[place.weight.clone()]);
        }
    }

    /// Adds the gradients by biases and rates to those by the flat weights.
    pub fn add_sums<T: Real>(&self, sums: &DualSums, gradient: &mut [T]) {
        for (places, [by_bias, by_rate]) in self.places.iter().zip(&sums.layers) {
            let rate = places.rate.as_ref().map(|rate| (rate, by_rate));
            for (place, sums) in std::iter::once((&places.bias, by_bias)).chain(rate) {
                let to = gradient[place.clone()].iter_mut();
                to.zip(sums).for_each(|(to, sum)| *to += T::from_f64(*sum));
            }
        }
    }

    /// Adds the gradient of a tile by the context's matrix to those by the flat weights, and writes that by the context, `[c, TILE_ROWS]`, given that by what it added.
    pub fn context_backward<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        (context, by_addend): (&[T], &mut Aligned<T>),
        (by_context, gradient): (&mut [T], &mut [T]),
        work: &mut DualWork<T>,
    ) {
        let Some(staircase) = &self.context else { return };
        let (_, place) = self.places();
        let layer = product(staircase, &weights.packed[self.layers.len()], &work.zeros);
        let (by_weight, by_bias) =
            work.weight.sized(place.len() + staircase.outputs()).split_at_mut(place.len());
        let output = by_addend.clone();
        let to = (&mut *by_weight, by_bias);
        layer.backward_of_weights(context, &output, by_addend, to, &mut work.linear);
        add(by_weight, &mut gradient[place]);
        layer.backward_of_input(context, by_addend, by_context);
    }
}
