//! Backward pass of the inverse, at the price of one backward pass of the network.

use std::ops::Range;
use std::sync::Arc;

use super::buffers::BLOCK;
use super::network::{Network, check_rows};
use super::plan::{Plan, Stage};
use super::sweep::{Turn, sweep};
use super::tile::Ending;
use crate::dispatch::dispatched;
use crate::{
    Activation, Aligned, ArgumentGradients, Graph, LinearGradients, MapGradients, MapKernel,
    MaskedLinear, Real, TILE_ROWS, activate, activate_backward,
};

/// Backward pass of [`super::MadeInverse`].
///
/// With `x_i = g(z_i; theta_i(x_before_i))`, the gradient by `x_i` is the one that comes from outside and the one that comes
/// through the parameters of later dimensions. So, from the last dimension to the first, the gradient by `x_i` is complete
/// once those by all later parameters are known; the map's own backward pass then gives those by `z_i` and `theta_i`. A unit
/// of the network is reached by gradients of later dimensions only, and each weight is used once: the inverse's sweep over
/// the network seen from its other end. The network's values are computed anew from `x`, in one pass.
///
/// The gradients by `z` and the addends in a row have bits that do not depend on the other rows.
#[derive(Debug)]
pub struct MadeInverseBackward<'a, T> {
    network: Network<'a, T>,
    map: Arc<dyn MapKernel<T>>,
    plan: Plan<T>,
}

/// Gradients of a loss by what the inverse was computed from.
#[derive(Clone, Debug)]
pub struct MadeGradients<T> {
    /// By `z`, `[n, dims]`.
    pub z: Vec<T>,
    /// By what is added in each node but the input, `[n, width of the node]`.
    pub addends: Vec<Vec<T>>,
}

impl<'a, T: Real> MadeInverseBackward<'a, T> {
    /// Copies the weights into the order in which they will be read.
    ///
    /// # Panics
    /// If [`super::MadeInverse::new`] does, or two layers multiply the same node.
    pub fn new(
        graph: &'a Graph,
        weights: &[[&'a [T]; 2]],
        map: Arc<dyn MapKernel<T>>,
        dims: usize,
    ) -> Self {
        let network = Network::new(graph, weights, dims, dims * map.params_per_dim());
        let mirrored = graph.widths().iter().rev().copied().collect();
        let plan = Plan::new(&Stage::mirrored(&network), mirrored, dims, true);
        Self { network, map, plan }
    }

    /// Gradients by `z` and the addends, given the gradients by the inverse's results `x` and log-slopes. Those by
    /// weights and biases are written to `weights`, if wanted: one linear node after another, weights before bias.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn run(
        &self,
        x: &[T],
        addends: &[Option<&[T]>],
        from: MapGradients<'_, T>,
        weights: Option<&mut [T]>,
    ) -> MadeGradients<T> {
        let widths = self.network.graph.widths();
        let rows = check_rows(widths, x, addends);
        assert_eq!(
            [from.value.len(), from.log_slope.len()],
            [x.len(); 2],
            "a gradient differs from x in length"
        );
        let values = self.values(x, addends, rows);
        let sizes = widths[1..].iter().map(|width| vec![T::ZERO; rows * width]);
        let mut gradients = MadeGradients { z: vec![T::ZERO; x.len()], addends: sizes.collect() };
        run(self, &values, x, from, &mut gradients);
        if let Some(weights) = weights {
            self.weight_gradients(x, &values, &mut gradients.addends, weights);
        }
        gradients
    }

    /// The values of all nodes after the input at `x`.
    fn values(&self, x: &[T], addends: &[Option<&[T]>], rows: usize) -> Vec<Vec<T>> {
        let mut values: Vec<Vec<T>> = Vec::with_capacity(addends.len());
        for ((reader, layer), addend) in self.network.nodes().zip(addends) {
            let node = |node: usize| if node == 0 { x } else { &values[node - 1][..] };
            let input = node(reader.input());
            let next = match layer {
                Some(layer) => {
                    let mut out = vec![T::ZERO; rows * layer.staircase.outputs()];
                    let both: Vec<T>;
                    let addend = match (*addend, reader.added().map(node)) {
                        (Some(addend), Some(skip)) => {
                            both = addend.iter().zip(skip).map(|(&a, &b)| a + b).collect();
                            Some(&both[..])
                        }
                        (addend, skip) => addend.or(skip),
                    };
                    layer.forward(input, addend, &mut out);
                    out
                }
                None => {
                    let mut out = input.to_vec();
                    activate(reader.activation(), &mut out);
                    out
                }
            };
            values.push(next);
        }
        values
    }

    /// Products of each layer's input with the gradient by what it was added to.
    fn weight_gradients(
        &self,
        x: &[T],
        values: &[Vec<T>],
        by_sum: &mut [Vec<T>],
        mut to: &mut [T],
    ) {
        for (((node, layer), grad), output) in self.network.nodes().zip(by_sum).zip(values) {
            let Some(layer) = layer else { continue };
            let (weight, rest) = to.split_at_mut(layer.weight.len());
            let (bias, rest) = rest.split_at_mut(layer.bias.len());
            to = rest;
            weight.fill(T::ZERO);
            let input = if node.input() == 0 { x } else { &values[node.input() - 1] };
            // The gradient is that before the activation already.
            let layer = MaskedLinear { activation: Activation::None, ..layer };
            layer.backward(input, output, grad, LinearGradients { x: None, weight, bias });
        }
        assert!(to.is_empty(), "weight gradients have the wrong length");
    }
}

dispatched! {
    fn run<T: Real>(
        made: &MadeInverseBackward<'_, T>,
        values: &[Vec<T>],
        x: &[T],
        from: MapGradients<'_, T>,
        gradients: &mut MadeGradients<T>,
    ) {
        let nodes = made.network.graph.nodes();
        let last = nodes.len() - 1;
        // Stages go from the last node but one to the first, and then to `x`.
        let mut endings = Vec::with_capacity(nodes.len());
        for (node, values) in nodes.iter().zip(values).take(last).rev() {
            endings.push(Ending::Steepened { activation: node.activation(), values });
        }
        endings.push(Ending::Steepened { activation: Activation::None, values: &[] });
        let (dims, per_dim) = (made.plan.dims, made.map.params_per_dim());
        let mut turn = Reversal {
            map: &*made.map,
            activation: nodes[last].activation(),
            dims,
            x,
            params: &values[last],
            from,
            to: gradients,
            block: Block::new(per_dim),
        };
        sweep(&made.plan, &endings, x.len().checked_div(dims).unwrap_or(0), &mut turn);
    }
}

/// Takes the gradient by one dimension of `x` to those by `z` and the parameters, for a block of rows.
struct Reversal<'a, T> {
    map: &'a dyn MapKernel<T>,
    /// Of the last node.
    activation: Activation,
    dims: usize,
    x: &'a [T],
    params: &'a [T],
    from: MapGradients<'a, T>,
    to: &'a mut MadeGradients<T>,
    block: Block<T>,
}

/// One dimension of a block of rows.
struct Block<T> {
    x: [T; BLOCK],
    value: [T; BLOCK],
    log_slope: [T; BLOCK],
    z: [T; BLOCK],
    /// `[BLOCK, params_per_dim]`, and the gradients.
    params: Vec<T>,
    by_params: Vec<T>,
}

impl<T: Real> Block<T> {
    fn new(per_dim: usize) -> Self {
        let zero = [T::ZERO; BLOCK];
        let params = vec![T::ZERO; per_dim * BLOCK];
        Self { x: zero, value: zero, log_slope: zero, z: zero, by_params: params.clone(), params }
    }
}

impl<T: Real> Turn<T> for Reversal<'_, T> {
    #[inline(always)]
    fn settle(&mut self, dim: usize, rows: Range<usize>, made: &[T], arrived: &mut [T]) {
        let (count, width) = (rows.len(), self.map.params_per_dim());
        let dim = self.dims - 1 - dim;
        let at = |l: usize| (rows.start + l) * self.dims + dim;
        let block = &mut self.block;
        for l in 0..count {
            block.x[l] = self.x[at(l)];
            block.value[l] = self.from.value[at(l)] + made[l];
            block.log_slope[l] = self.from.log_slope[at(l)];
            block.params[l * width..][..width]
                .copy_from_slice(&self.params[at(l) * width..][..width]);
        }
        let from =
            MapGradients { value: &block.value[..count], log_slope: &block.log_slope[..count] };
        let params = &block.params[..count * width];
        let by_params = &mut block.by_params[..count * width];
        let to = ArgumentGradients { input: &mut block.z[..count], params: by_params };
        self.map.inverse_backward(&block.x[..count], params, from, to);
        activate_backward(self.activation, &block.params, &mut block.by_params);
        for l in 0..count {
            self.to.z[at(l)] = block.z[l];
            for p in 0..width {
                arrived[(width - 1 - p) * BLOCK + l] = block.by_params[l * width + p];
            }
        }
    }

    #[inline(always)]
    fn finish(&mut self, rows: Range<usize>, nodes: &[Aligned<T>]) {
        /// Units whose place in a row is one line of the cache or two.
        const UNITS: usize = 16;
        for (node, to) in nodes.iter().zip(self.to.addends.iter_mut().rev()) {
            let width = node.len() / BLOCK;
            for (tile, node) in node.chunks_exact(width * TILE_ROWS).enumerate() {
                let first = rows.start + tile * TILE_ROWS;
                for unit in (0..width).step_by(UNITS) {
                    let count = UNITS.min(width - unit);
                    let node = &node[unit * TILE_ROWS..(unit + count) * TILE_ROWS];
                    for (lane, row) in (first..rows.end.min(first + TILE_ROWS)).enumerate() {
                        let to = &mut to[(row + 1) * width - unit - count..][..count];
                        for (to, lanes) in to.iter_mut().rev().zip(node.chunks_exact(TILE_ROWS)) {
                            *to = lanes[lane];
                        }
                    }
                }
            }
        }
    }
}
