//! A network that reads in sequence as one operation, and level by level for tensors that no gradient is wanted of.

use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use super::continuous::{rows_of, tile_of};
use super::extension::{DenseOp, apply2, apply3};
use super::flex::{Scalar, elements, extents, tensor};
use super::is_fused;
use super::made::primitive;
use crate::tiles::TILE_ROWS;
use crate::{
    Aligned, Buffered, Buffers, SequenceGradients, SequenceNetwork, SequenceTile, SequenceWeights,
    tile_count,
};

/// Inputs: `x: [n, d]`, all weights as `[1, total]`, and optionally the context `[n, c]`. The output is `[n, d k]`.
#[derive(Debug)]
struct SequenceOp<N>(Arc<Buffered<N>>);

/// The parameters of all levels, `[n, d k]`, given columns `[n, d]`, flat weights `[1, total]` as [`SequenceNetwork::parts`] says, and the context `[n, c]`.
///
/// # Panics
/// If the inputs do not fit the network.
pub fn sequence<N: SequenceNetwork>(
    network: &Arc<Buffered<N>>,
    x: Tensor<2>,
    weights: Tensor<2>,
    context: Option<&Tensor<2>>,
) -> Tensor<2> {
    let shape = network.shape();
    let n = x.dims()[0];
    assert_eq!(x.dims()[1], shape.dims, "rows of another width");
    assert_eq!(context.map_or(0, |c| c.dims()[1]), shape.context, "a context of another width");
    if n == 0 {
        return Tensor::zeros([0, shape.dims * shape.per_column], (&x.device(), x.dtype()));
    }
    let fits = |t: &Tensor<2>| is_fused(t) && t.dtype() == x.dtype();
    if !fits(&x) || !fits(&weights) || !context.is_none_or(fits) {
        return network.composed(x, &weights, context);
    }
    let op = Arc::new(SequenceOp(Arc::clone(network)));
    match context {
        Some(context) => apply3([x, weights, context.clone()], op),
        None => apply2([x, weights], op),
    }
}

/// Flat weights in the order in which products read them.
fn packed<N: SequenceNetwork, T: Scalar>(network: &N, flat: &[T]) -> Vec<Aligned<T>> {
    let mut packed = vec![Aligned::default(); network.packed()];
    network.pack(flat, &mut packed);
    packed
}

/// What a network remembers of a tile.
fn forgotten<N: SequenceNetwork, T: Scalar>(network: &N) -> Vec<Aligned<T>> {
    network.memory().into_iter().map(Aligned::zeros).collect()
}

impl<N: SequenceNetwork> SequenceOp<N> {
    /// The columns and the context of a tile.
    fn tile<T: Scalar>(&self, inputs: &[FlexTensor], tile: usize) -> [Vec<T>; 2] {
        let [d, c] = [self.0.shape().dims, self.0.shape().context];
        let of =
            |t: &FlexTensor, width: usize| tile_of(elements::<T>(t), (width, 0..width), tile, true);
        [of(&inputs[0], d), inputs.get(2).map_or_else(Vec::new, |context| of(context, c))]
    }
}

impl<N: SequenceNetwork> DenseOp for SequenceOp<N> {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let (n, shape) = (extents(&inputs[0])[0], self.0.shape());
        let (flat, width) = (elements::<T>(&inputs[1]), shape.dims * shape.per_column);
        let packed = packed(&**self.0, flat);
        let weights = SequenceWeights { flat, packed: &packed };
        let mut out = vec![T::ZERO; n * width];
        self.0.with(|Buffers { work, memory, params }| {
            for tile in 0..tile_count(n) {
                let [x, context] = self.tile::<T>(inputs, tile);
                let rows = SequenceTile { x: &x, context: &context };
                self.0.forward(weights, rows, 0..shape.levels(), memory, work, params);
                rows_of(params, &mut out, (width, 0), tile);
            }
        });
        tensor(out, [n, width])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        _output: &FlexTensor,
        grad: &FlexTensor,
        _needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (n, shape) = (extents(&inputs[0])[0], self.0.shape());
        let (d, c, width) = (shape.dims, shape.context, shape.dims * shape.per_column);
        let (flat, grad) = (elements::<T>(&inputs[1]), elements::<T>(grad));
        let packed = packed(&**self.0, flat);
        let weights = SequenceWeights { flat, packed: &packed };
        let mut by_weights = vec![T::ZERO; flat.len()];
        let (mut by_x, mut by_context) = (vec![T::ZERO; n * d], vec![T::ZERO; n * c]);
        let mut to_x = Aligned::zeros(d * TILE_ROWS);
        let mut to_context = Aligned::zeros(c * TILE_ROWS);
        self.0.with(|Buffers { work, memory, params }| {
            for tile in 0..tile_count(n) {
                let [x, context] = self.tile::<T>(inputs, tile);
                let rows = SequenceTile { x: &x, context: &context };
                self.0.forward(weights, rows, 0..shape.levels(), memory, work, params);
                let mut by_params = tile_of(grad, (width, 0..width), tile, false);
                let to = SequenceGradients {
                    x: &mut to_x,
                    context: &mut to_context,
                    weights: &mut by_weights,
                };
                self.0.backward(weights, rows, memory, work, &mut by_params, to);
                rows_of(&to_x, &mut by_x, (d, 0), tile);
                if c > 0 {
                    rows_of(&to_context, &mut by_context, (c, 0), tile);
                }
            }
        });
        let mut gradients = vec![Some(tensor(by_x, [n, d]))];
        gradients.push(Some(tensor(by_weights, extents(&inputs[1]))));
        if inputs.len() > 2 {
            gradients.push(Some(tensor(by_context, [n, c])));
        }
        gradients
    }
}

/// A network with weights that are ready to be read.
#[derive(Debug)]
pub struct SequenceSampler<N> {
    network: Arc<Buffered<N>>,
    prepared: Arc<Prepared>,
}

#[derive(Debug)]
enum Prepared {
    F32(Ready<f32>),
    F64(Ready<f64>),
}

#[derive(Debug)]
struct Ready<T> {
    flat: Vec<T>,
    packed: Vec<Aligned<T>>,
}

impl<N: SequenceNetwork> SequenceSampler<N> {
    /// Prepares flat weights `[1, total]`; `None` if they are tracked or live on another device.
    pub fn new(network: &Arc<Buffered<N>>, weights: &Tensor<2>) -> Option<Self> {
        let weights = primitive(weights)?;
        let prepared = match weights.dtype() {
            DType::F64 => Prepared::F64(ready(&***network, elements(&weights))),
            _ => Prepared::F32(ready(&***network, elements(&weights))),
        };
        Some(Self { network: Arc::clone(network), prepared: Arc::new(prepared) })
    }

    /// Begins to read rows with these contexts; `None` if a tensor is tracked, of another type than the weights or on another device, or there are no rows.
    pub fn read(&self, rows: &Tensor<2>, context: Option<&Tensor<2>>) -> Option<SequenceReader<N>> {
        let rows = primitive(rows)?;
        let context = match context {
            Some(context) => Some(primitive(context)?),
            None => None,
        };
        if extents(&rows)[0] == 0 {
            return None;
        }
        let state = match &*self.prepared {
            Prepared::F32(_) => State::F32(Reading::new(&**self.network, &rows, context.as_ref())?),
            Prepared::F64(_) => State::F64(Reading::new(&**self.network, &rows, context.as_ref())?),
        };
        let (network, prepared) = (Arc::clone(&self.network), Arc::clone(&self.prepared));
        Some(SequenceReader { network, prepared, state })
    }
}

fn ready<N: SequenceNetwork, T: Scalar>(network: &N, flat: &[T]) -> Ready<T> {
    Ready { flat: flat.to_vec(), packed: packed(network, flat) }
}

/// Rows that are being read.
#[derive(Debug)]
pub struct SequenceReader<N: SequenceNetwork> {
    network: Arc<Buffered<N>>,
    prepared: Arc<Prepared>,
    state: State<N>,
}

#[derive(Debug)]
enum State<N: SequenceNetwork> {
    F32(Reading<N, f32>),
    F64(Reading<N, f64>),
}

#[derive(Debug)]
struct Reading<N: SequenceNetwork, T: Scalar> {
    rows: usize,
    level: usize,
    tiles: Vec<TileState<T>>,
    work: N::Work<T>,
}

#[derive(Debug)]
struct TileState<T> {
    x: Vec<T>,
    context: Vec<T>,
    memory: Vec<Aligned<T>>,
}

impl<N: SequenceNetwork> SequenceReader<N> {
    /// The parameters of the next level, given the columns of the level before, `[n, columns]`; `None` if these are tracked or of another type.
    ///
    /// # Panics
    /// If there are other columns than the level before has, or no next level.
    pub fn next(&mut self, solved: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let solved = match solved {
            Some(solved) => Some(primitive(solved)?),
            None => None,
        };
        match (&*self.prepared, &mut self.state) {
            (Prepared::F32(ready), State::F32(reading)) => {
                reading.next(&**self.network, ready, solved.as_ref())
            }
            (Prepared::F64(ready), State::F64(reading)) => {
                reading.next(&**self.network, ready, solved.as_ref())
            }
            _ => None,
        }
    }
}

impl<N: SequenceNetwork, T: Scalar> Reading<N, T> {
    fn new(network: &N, rows: &FlexTensor, context: Option<&FlexTensor>) -> Option<Self> {
        let fits = |t: &FlexTensor| t.dtype() == T::dtype();
        if !fits(rows) || !context.is_none_or(fits) {
            return None;
        }
        let (shape, n) = (network.shape(), extents(rows)[0]);
        let (d, c) = (shape.dims, shape.context);
        let context = |tile: usize| match context {
            Some(context) => tile_of(elements::<T>(context), (c, 0..c), tile, true),
            None => Vec::new(),
        };
        let tile = |tile: usize| TileState {
            x: vec![T::ZERO; d * TILE_ROWS],
            context: context(tile),
            memory: forgotten(network),
        };
        let tiles = (0..tile_count(n)).map(tile).collect();
        Some(Self { rows: n, level: 0, tiles, work: N::Work::default() })
    }

    fn next(
        &mut self,
        network: &N,
        ready: &Ready<T>,
        solved: Option<&FlexTensor>,
    ) -> Option<Tensor<2>> {
        let (level, n, shape) = (self.level, self.rows, network.shape());
        assert!(level < shape.levels(), "all levels were read");
        assert_eq!(solved.is_some(), level > 0, "the columns of the level before are wanted");
        let before = solved.map(|solved| (solved, shape.columns(level - 1)));
        if let Some((solved, columns)) = &before {
            assert_eq!(
                extents(solved),
                [n, columns.len()],
                "other columns than the level before has"
            );
            if solved.dtype() != T::dtype() {
                return None;
            }
        }
        let outputs = shape.outputs(level).len();
        let mut out = vec![T::ZERO; n * outputs];
        let mut params = Aligned::zeros(outputs * TILE_ROWS);
        let weights = SequenceWeights { flat: &ready.flat, packed: &ready.packed };
        for (i, tile) in self.tiles.iter_mut().enumerate() {
            if let Some((solved, columns)) = &before {
                let width = columns.len();
                let values = tile_of(elements::<T>(solved), (width, 0..width), i, true);
                tile.x[columns.start * TILE_ROWS..columns.end * TILE_ROWS].copy_from_slice(&values);
            }
            let rows = SequenceTile { x: &tile.x, context: &tile.context };
            let memory = &mut tile.memory;
            network.forward(weights, rows, level..level + 1, memory, &mut self.work, &mut params);
            rows_of(&params, &mut out, (outputs, 0), i);
        }
        self.level += 1;
        Some(Tensor::from_primitive::<Flex>(tensor(out, [n, outputs])))
    }
}
