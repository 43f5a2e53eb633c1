//! A network that runs on tiles as one operation.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::continuous::{rows_of, tile_of};
use super::extension::{DenseOp, apply2, apply3};
use super::flex::{Scalar, elements, extents, tensor};
use super::is_fused;
use crate::tiles::TILE_ROWS;
use crate::{
    Aligned, Buffered, Buffers, NetworkGradients, NetworkWeights, NetworkWidths, RowTile,
    TiledNetwork, tile_count,
};

/// Inputs: `x: [n, d]`, all weights as `[1, total]`, and optionally the context `[n, c]`. The result is `[n, outputs]`.
#[derive(Debug)]
struct NetworkOp<N>(Arc<Buffered<N>>);

/// The outputs of a network, `[n, outputs]`, given rows `[n, inputs]`, flat weights `[1, total]` as [`TiledNetwork::parts`] says, and the context `[n, c]`.
///
/// # Panics
/// If the inputs do not fit the network.
pub fn tiled_network<N: TiledNetwork>(
    network: &Arc<Buffered<N>>,
    x: Tensor<2>,
    weights: Tensor<2>,
    context: Option<&Tensor<2>>,
) -> Tensor<2> {
    let widths = network.widths();
    let n = x.dims()[0];
    assert_eq!(x.dims()[1], widths.inputs, "rows of another width");
    assert_eq!(context.map_or(0, |c| c.dims()[1]), widths.context, "a context of another width");
    if n == 0 {
        return Tensor::zeros([0, widths.outputs], (&x.device(), x.dtype()));
    }
    let fits = |t: &Tensor<2>| is_fused(t) && t.dtype() == x.dtype();
    if !fits(&x) || !fits(&weights) || !context.is_none_or(fits) {
        return network.composed(x, &weights, context);
    }
    let op = Arc::new(NetworkOp(Arc::clone(network)));
    match context {
        Some(context) => apply3([x, weights, context.clone()], op),
        None => apply2([x, weights], op),
    }
}

/// Flat weights in the order in which products read them.
pub(super) fn packed<N: TiledNetwork, T: Scalar>(network: &N, flat: &[T]) -> Vec<Aligned<T>> {
    let mut packed = vec![Aligned::default(); network.packed()];
    network.pack(flat, &mut packed);
    packed
}

impl<N: TiledNetwork> NetworkOp<N> {
    /// The numbers and the context of a tile.
    fn tile<T: Scalar>(&self, inputs: &[FlexTensor], tile: usize) -> [Vec<T>; 2] {
        let NetworkWidths { inputs: d, context: c, .. } = self.0.widths();
        let of =
            |t: &FlexTensor, width: usize| tile_of(elements::<T>(t), (width, 0..width), tile, true);
        [of(&inputs[0], d), inputs.get(2).map_or_else(Vec::new, |context| of(context, c))]
    }
}

impl<N: TiledNetwork> NetworkOp<N> {
    /// The gradients of some tiles.
    fn gradients<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        weights: NetworkWeights<'_, T>,
        (grad, is_frozen): (&[T], bool),
        tiles: Range<usize>,
    ) -> Gradients<T> {
        let NetworkWidths { inputs: d, context: c, outputs: width } = self.0.widths();
        let n = extents(&inputs[0])[0].min(tiles.end * TILE_ROWS) - tiles.start * TILE_ROWS;
        let mut by_weights = vec![T::ZERO; if is_frozen { 0 } else { weights.flat.len() }];
        let (mut by_x, mut by_context) = (vec![T::ZERO; n * d], vec![T::ZERO; n * c]);
        let mut to_x = Aligned::zeros(d * TILE_ROWS);
        let mut to_context = Aligned::zeros(c * TILE_ROWS);
        self.0.with(|Buffers { work, memory, out: made }| {
            for tile in tiles.clone() {
                let [x, context] = self.tile::<T>(inputs, tile);
                let rows = RowTile { x: &x, context: &context };
                if N::REMEMBERS {
                    self.0.forward(weights, rows, memory, work, made);
                }
                self.0.repeat(weights, rows, memory, work, made);
                let mut by_out = tile_of(grad, (width, 0..width), tile, false);
                let to = NetworkGradients {
                    x: &mut to_x,
                    context: &mut to_context,
                    weights: &mut by_weights,
                };
                self.0.backward(weights, rows, memory, work, &mut by_out, to);
                rows_of(&to_x, &mut by_x, (d, 0), tile - tiles.start);
                if c > 0 {
                    rows_of(&to_context, &mut by_context, (c, 0), tile - tiles.start);
                }
            }
        });
        Gradients { x: by_x, weights: by_weights, context: by_context }
    }
}

/// The gradients of a stretch of rows.
struct Gradients<T> {
    x: Vec<T>,
    weights: Vec<T>,
    context: Vec<T>,
}

/// Most parts that tiles are cut into, each run by one thread: a function of the rows alone, so that the sum has the same bits on any number of threads.
const PARTS_MAX: usize = 16;

impl<N: TiledNetwork> DenseOp for NetworkOp<N> {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let (n, width) = (extents(&inputs[0])[0], self.0.widths().outputs);
        let flat = elements::<T>(&inputs[1]);
        let packed = packed(&**self.0, flat);
        let weights = NetworkWeights { flat, packed: &packed };
        let mut out = vec![T::ZERO; n * width];
        let run = |(tile, out): (usize, &mut [T])| {
            self.0.with(|Buffers { work, memory, out: made }| {
                let [x, context] = self.tile::<T>(inputs, tile);
                let rows = RowTile { x: &x, context: &context };
                let memory = if N::REMEMBERS { &mut [][..] } else { &mut **memory };
                self.0.forward(weights, rows, memory, work, made);
                rows_of(made, out, (width, 0), 0);
            });
        };
        match tile_count(n) {
            // No other thread is woken for what one does alone.
            0 | 1 => run((0, &mut out)),
            _ => out.par_chunks_mut(TILE_ROWS * width).enumerate().for_each(run),
        }
        tensor(out, [n, width])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        _output: &FlexTensor,
        grad: &FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let n = extents(&inputs[0])[0];
        let NetworkWidths { inputs: d, context: c, .. } = self.0.widths();
        let (flat, grad) = (elements::<T>(&inputs[1]), elements::<T>(grad));
        let packed = packed(&**self.0, flat);
        let weights = NetworkWeights { flat, packed: &packed };
        let (tiles, is_frozen) = (tile_count(n), N::FREEZES && !needed[1]);
        let of_part = tiles.div_ceil(PARTS_MAX);
        let count = tiles.div_ceil(of_part);
        let part = |part: usize| {
            let tiles = part * of_part..tiles.min((part + 1) * of_part);
            self.gradients(inputs, weights, (grad, is_frozen), tiles)
        };
        let parts: Vec<Gradients<T>> = match count {
            1 => vec![part(0)],
            _ => (0..count).into_par_iter().map(part).collect(),
        };
        let mut parts = parts.into_iter();
        let mut all = parts.next().expect("there are rows");
        for part in parts {
            all.x.extend(part.x);
            all.context.extend(part.context);
            all.weights.iter_mut().zip(part.weights).for_each(|(to, v)| *to += v);
        }
        let mut gradients = vec![Some(tensor(all.x, [n, d]))];
        gradients.push((!is_frozen).then(|| tensor(all.weights, extents(&inputs[1]))));
        if inputs.len() > 2 {
            gradients.push(Some(tensor(all.context, [n, c])));
        }
        gradients
    }
}
