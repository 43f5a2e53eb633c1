//! Inverse of a masked autoregressive transform at the price of one network evaluation.

mod backward;
mod buffers;
mod network;
mod plan;
mod sweep;
mod tile;

use std::ops::Range;
use std::sync::Arc;

use crate::dispatch::dispatched;
use crate::{Activation, ColumnInverter, Graph, MapKernel, Real, TILE_ROWS};
pub use backward::{MadeGradients, MadeInverseBackward};
use buffers::BLOCK;
use network::{Network, check_rows};
use plan::{Plan, Stage};
use sweep::{Turn, sweep};
use tile::Ending;

/// `x` from `z`, where `z_i = map(x_i; params_i)` and a masked network with sorted degrees makes `params_i` from
/// `x_0 .. x_{i-1}`.
///
/// Going through the dimensions, only those units of each layer are evaluated whose inputs have just become
/// known; each weight is used once for a row, so the whole inverse costs one pass of the network and not one
/// pass a dimension. The last node must have `dims * params_per_dim` outputs, sorted by dimension; dimensions
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
    map: Arc<dyn MapKernel<T>>,
    /// Activation and bias of each node; zeros where it has no bias.
    endings: Vec<(Activation, Vec<T>)>,
}

impl<T: Real> MadeInverse<T> {
    /// Copies the weights into the order in which they will be read. `weights` are `[inputs, outputs]` and the bias,
    /// of each linear node in their order.
    ///
    /// # Panics
    /// If the graph does not go from `dims` inputs to a linear node of `dims * params_per_dim` outputs, an output sees an
    /// input that it must not, or the weights do not fit the graph.
    pub fn new(
        graph: &Graph,
        weights: &[[&[T]; 2]],
        map: Arc<dyn MapKernel<T>>,
        dims: usize,
    ) -> Self {
        let network = Network::new(graph, weights, dims, dims * map.params_per_dim());
        let mut endings = Vec::with_capacity(graph.nodes().len());
        for ((node, layer), &width) in network.nodes().zip(&graph.widths()[1..]) {
            let bias = layer.map_or_else(|| vec![T::ZERO; width], |layer| layer.bias.to_vec());
            endings.push((node.activation(), bias));
        }
        let widths = graph.widths().to_vec();
        Self { plan: Plan::new(&Stage::forward(&network), widths, dims, false), map, endings }
    }

    /// Computes `x` and the map's log-slopes `log dx/dz`, all `[n, dims]`. `addends[i]`, where there is one, is
    /// added in node `i + 1`, which must be linear, before its activation: `[n, width of the node]`. Where `there`, `[n, dims]`, is given and
    /// not above one half, a dimension of a row is absent: it stays as it is, and the network sees a zero.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn run(
        &self,
        z: &[T],
        there: Option<&[T]>,
        addends: &[Option<&[T]>],
        x: &mut [T],
        log_slope: &mut [T],
    ) {
        check_rows(&self.plan.widths, z, addends);
        assert_eq!(
            [x.len(), log_slope.len(), there.map_or(z.len(), <[T]>::len)],
            [z.len(); 3],
            "x, log-slope or what is there differs from z in length"
        );
        run(self, z, there, addends, x, log_slope);
    }
}

dispatched! {
    fn run<T: Real>(
        made: &MadeInverse<T>,
        z: &[T],
        there: Option<&[T]>,
        addends: &[Option<&[T]>],
        x: &mut [T],
        log_slope: &mut [T],
    ) {
        let mut endings = Vec::with_capacity(addends.len());
        for ((activation, bias), addend) in made.endings.iter().zip(addends) {
            endings.push(Ending::Activated { activation: *activation, bias, addend: *addend });
        }
        let (inverter, dims) = (made.map.inverter(), made.plan.dims);
        let zero = [T::ZERO; BLOCK];
        let [given, log_slopes] = [zero; 2];
        let mut turn = Inversion { inverter, dims, z, there, x, log_slope, given, log_slopes };
        sweep(&made.plan, &endings, z.len().checked_div(dims).unwrap_or(0), &mut turn);
    }
}

/// Inverts the map of one dimension for a block of rows.
struct Inversion<'a, T> {
    inverter: Box<dyn ColumnInverter<T> + 'a>,
    dims: usize,
    z: &'a [T],
    there: Option<&'a [T]>,
    x: &'a mut [T],
    log_slope: &'a mut [T],
    /// Of the block.
    given: [T; BLOCK],
    log_slopes: [T; BLOCK],
}

impl<T: Real> Turn<T> for Inversion<'_, T> {
    #[inline(always)]
    fn settle(&mut self, dim: usize, rows: Range<usize>, made: &[T], arrived: &mut [T]) {
        let count = rows.len();
        let at = |l: usize| (rows.start + l) * self.dims + dim;
        for l in 0..count {
            self.given[l] = self.z[at(l)];
        }
        let whole = count.next_multiple_of(TILE_ROWS);
        let (value, log_slopes) = (&mut arrived[..whole], &mut self.log_slopes[..whole]);
        self.inverter.invert(&self.given[..whole], made, BLOCK, value, log_slopes);
        for l in 0..count {
            self.x[at(l)] = arrived[l];
            self.log_slope[at(l)] = self.log_slopes[l];
        }
        let Some(there) = self.there else { return };
        for l in (0..count).filter(|&l| there[at(l)] <= T::from_f64(0.5)) {
            self.x[at(l)] = self.given[l];
            self.log_slope[at(l)] = T::ZERO;
            arrived[l] = T::ZERO;
        }
    }
}

#[cfg(test)]
mod tests;
