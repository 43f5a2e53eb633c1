//! A network that reads in sequence, level by level for tensors that no gradient is wanted of.

use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use super::continuous::{rows_of, tile_of};
use super::flex::{Scalar, elements, extents, tensor};
use super::made::primitive;
use super::tiled_network::packed;
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Buffered, NetworkWeights, RowTile, SequenceNetwork, tile_count};

/// What a network remembers of a tile.
fn forgotten<N: SequenceNetwork, T: Scalar>(network: &N) -> Vec<Aligned<T>> {
    network.memory().into_iter().map(Aligned::zeros).collect()
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
        let weights = NetworkWeights { flat: &ready.flat, packed: &ready.packed };
        for (i, tile) in self.tiles.iter_mut().enumerate() {
            if let Some((solved, columns)) = &before {
                let width = columns.len();
                let values = tile_of(elements::<T>(solved), (width, 0..width), i, true);
                tile.x[columns.start * TILE_ROWS..columns.end * TILE_ROWS].copy_from_slice(&values);
            }
            let rows = RowTile { x: &tile.x, context: &tile.context };
            let memory = &mut tile.memory;
            network.read(weights, rows, level..level + 1, memory, &mut self.work, &mut params);
            rows_of(&params, &mut out, (outputs, 0), i);
        }
        self.level += 1;
        Some(Tensor::from_primitive::<Flex>(tensor(out, [n, outputs])))
    }
}
