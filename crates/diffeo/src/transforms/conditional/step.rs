//! The conditional layer without tensors: a network that sees some columns gives the parameters of a scalar map of some columns.

use std::sync::Arc;

use diffeo_kernels::ops::AnyMap;
use diffeo_kernels::{
    Aligned, ArgumentGradients, MapGradients, Real, TILE_ROWS, add_tiled_columns,
};

use crate::conditioner::{AnyTiledProgram, Structure};
use crate::error::Result;
use crate::network::{NetworkProgram, Seen, Work};
use crate::step::{Arena, Kept, Pass, Scratch, Step, gather, scatter};

/// A conditioner over flat weights.
#[derive(Debug)]
pub(super) enum Program {
    /// A network of sorted units, whose nodes are kept for the backward pass.
    Network(NetworkProgram),
    /// A network on tiles, which runs again for the backward pass.
    Tiled(Arc<dyn AnyTiledProgram>),
}

impl Program {
    /// Arrays that are kept for the backward pass of so many tiles.
    fn kept<T: Real>(&self, tiles: usize) -> usize {
        match self {
            Self::Network(network) => network.inner_nodes(),
            Self::Tiled(tiled) => tiled.of::<T>().nodes(tiles),
        }
    }

    /// Arrays that a backward pass needs.
    fn inner_nodes(&self) -> usize {
        match self {
            Self::Network(network) => network.inner_nodes(),
            Self::Tiled(_) => 0,
        }
    }
}

/// `z_moved = g(x_moved; theta(x_seen, c))`, the other columns as they are.
#[derive(Debug)]
pub(super) struct ConditionalStep {
    program: Program,
    map: Arc<dyn AnyMap>,
    structure: Structure,
    /// Which number of the context says of each column that is seen, and of each one that is mapped, whether it is there; empty if all are.
    seen_gates: Vec<Option<usize>>,
    moved_gates: Vec<Option<usize>>,
}

/// Arrays of the tape beside the network's nodes: the columns that are seen, those that are mapped, their images, log-slopes,
/// parameters, and the context's contribution to the first layer.
const TAPE: usize = 6;

impl ConditionalStep {
    pub(super) fn new(
        program: Program,
        map: Arc<dyn AnyMap>,
        structure: Structure,
        gates: &[Option<usize>],
    ) -> Self {
        let of = |columns: &Option<Vec<usize>>| match columns {
            _ if gates.is_empty() => Vec::new(),
            None => gates.to_vec(),
            Some(columns) => columns.iter().map(|&column| gates[column]).collect(),
        };
        let (seen_gates, moved_gates) = (of(&structure.seen), of(&structure.moved));
        Self { program, map, structure, seen_gates, moved_gates }
    }

    /// The columns that the network sees, zero where they are absent.
    fn seen<'a, T: Real>(
        &self,
        pass: &Pass<'_, T>,
        x: &'a [T],
        buffer: &'a mut Aligned<T>,
    ) -> &'a [T] {
        let columns = self.structure.seen.as_deref();
        if self.seen_gates.is_empty() {
            return columns_of(columns, x, pass.tiles, buffer);
        }
        if columns.is_none() {
            buffer.sized(x.len()).copy_from_slice(x);
        } else {
            columns_of(columns, x, pass.tiles, buffer);
        }
        let seen = buffer.sized(pass.tiles * TILE_ROWS * self.structure.seen());
        close(pass, &self.seen_gates, 1, seen);
        seen
    }

    /// The scalar map of every tile.
    fn map_tiles<T: Real>(
        &self,
        x: &[T],
        params: &[T],
        z: &mut [T],
        log_slope: &mut [T],
        tiles: usize,
    ) {
        let size = (x.len() / tiles.max(1)).max(1);
        let out = z.chunks_exact_mut(size).zip(log_slope.chunks_exact_mut(size));
        let params = params.chunks_exact(size * self.map.params_per_dim());
        let map = self.map.kernel::<T>();
        for ((x, params), (z, log_slope)) in x.chunks_exact(size).zip(params).zip(out) {
            map.forward_tile(x, params, z, log_slope);
        }
    }

    /// The backward pass of [`Self::map_tiles`], given the gradient by `z` and that by each row's log-determinant.
    fn map_tiles_back<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        (x, params): (&[T], &[T]),
        value: &[T],
        log_slope: &mut Aligned<T>,
        to: ArgumentGradients<'_, T>,
    ) {
        let size = (x.len() / pass.tiles.max(1)).max(1);
        let log_slope = log_slope.sized(size);
        let width = size * self.map.params_per_dim();
        let to = to.input.chunks_exact_mut(size).zip(to.params.chunks_exact_mut(width));
        let from = value.chunks_exact(size).zip(pass.log_det_gradient.chunks_exact(TILE_ROWS));
        let at = x.chunks_exact(size).zip(params.chunks_exact(width));
        let map = self.map.kernel::<T>();
        for (((x, params), (value, by_row)), (input, to_params)) in at.zip(from).zip(to) {
            log_slope.chunks_exact_mut(TILE_ROWS).for_each(|to| to.copy_from_slice(by_row));
            let from = MapGradients { value, log_slope };
            let to = ArgumentGradients { input, params: to_params };
            map.forward_backward_tile(x, params, from, to);
        }
    }
}

/// Makes zero what belongs to columns that are absent, of each of which `values` has `each` numbers.
fn close<T: Real>(pass: &Pass<'_, T>, gates: &[Option<usize>], each: usize, values: &mut [T]) {
    for (tile, column, there) in closing(pass, gates) {
        let at = (tile * gates.len() + column) * each * TILE_ROWS;
        for values in values[at..][..each * TILE_ROWS].chunks_exact_mut(TILE_ROWS) {
            for (value, there) in values.iter_mut().zip(there) {
                *value = if *there > T::from_f64(0.5) { *value } else { T::ZERO };
            }
        }
    }
}

/// Leaves columns that are absent as they were.
fn keep<T: Real>(pass: &Pass<'_, T>, gates: &[Option<usize>], from: &[T], to: &mut [T]) {
    for (tile, column, there) in closing(pass, gates) {
        let at = (tile * gates.len() + column) * TILE_ROWS;
        let both = to[at..][..TILE_ROWS].iter_mut().zip(&from[at..][..TILE_ROWS]);
        for ((to, from), there) in both.zip(there) {
            *to = if *there > T::from_f64(0.5) { *to } else { *from };
        }
    }
}

/// Tile and column of what may be absent, and whether it is there, above one half, for each row.
fn closing<'a, T>(
    pass: &Pass<'a, T>,
    gates: &'a [Option<usize>],
) -> impl Iterator<Item = (usize, usize, &'a [T])> {
    let (context, tiles) = (pass.context, pass.tiles);
    let width = context.len() / tiles.max(1);
    let columns = gates.iter().enumerate().filter_map(|(column, gate)| Some((column, (*gate)?)));
    columns.flat_map(move |(column, gate)| {
        (0..tiles).map(move |tile| {
            (tile, column, &context[tile * width + gate * TILE_ROWS..][..TILE_ROWS])
        })
    })
}

/// The columns of `x` that are meant, copied into `buffer` unless they are all.
fn columns_of<'a, T: Real>(
    columns: Option<&[usize]>,
    x: &'a [T],
    tiles: usize,
    buffer: &'a mut Aligned<T>,
) -> &'a [T] {
    let Some(columns) = columns else { return x };
    let to = buffer.sized(tiles * columns.len() * TILE_ROWS);
    gather(x, x.len() / (tiles * TILE_ROWS).max(1), columns, to);
    to
}

impl<T: Real> Step<T> for ConditionalStep {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        match &self.program {
            Program::Network(network) => network.pack(weights, loaded),
            Program::Tiled(tiled) => tiled.of::<T>().load(weights, loaded),
        }
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        kept: Kept<'_, T>,
    ) -> Result<()> {
        let ([seen, moved, images, log_slope, params, addend], nodes) =
            kept.tape.arrays::<TAPE>(self.program.kept::<T>(pass.tiles));
        let seen = self.seen(pass, x, seen);
        let moved = columns_of(self.structure.moved.as_deref(), x, pass.tiles, moved);
        let params = params.sized(moved.len() * self.map.params_per_dim());
        match &self.program {
            Program::Network(network) => {
                network.forward(pass, kept.loaded, seen, params, (nodes, addend));
            }
            Program::Tiled(tiled) => {
                let is_trained = !pass.log_det_gradient.is_empty();
                let nodes = if is_trained { nodes } else { &mut [][..] };
                tiled.of::<T>().forward(pass, kept.loaded, seen, params, nodes);
            }
        }
        let log_slope = log_slope.sized(moved.len());
        match &self.structure.moved {
            None => {
                self.map_tiles(moved, params, z, log_slope, pass.tiles);
                keep(pass, &self.moved_gates, moved, z);
            }
            Some(columns) => {
                let images = images.sized(moved.len());
                self.map_tiles(moved, params, images, log_slope, pass.tiles);
                keep(pass, &self.moved_gates, moved, images);
                let width = x.len() / (pass.tiles * TILE_ROWS).max(1);
                z.copy_from_slice(x);
                scatter(images, columns, z, width);
            }
        }
        close(pass, &self.moved_gates, 1, log_slope);
        add_tiled_columns(log_slope, log_det);
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        (kept, scratch): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let rows = pass.tiles * TILE_ROWS;
        let width = self.structure.dims();
        let (seen, moved) = (self.structure.seen.as_deref(), self.structure.moved.as_deref());
        let (seen_len, len) = (rows * self.structure.seen(), rows * self.structure.moved());
        let ([seen_left, moved_left, _, _, params, _], left) =
            kept.tape.arrays::<TAPE>(self.program.kept::<T>(pass.tiles));
        let is_copy = seen.is_some() || !self.seen_gates.is_empty();
        let x_seen = if is_copy { &seen_left[..seen_len] } else { x };
        let x_moved = if moved.is_some() { &moved_left[..len] } else { x };
        let params = &params[..len * self.map.params_per_dim()];

        let Scratch { arena, linear, context } = scratch;
        let ([value, log_slope, to_moved, to_seen, by_params, more], nodes) =
            arena.arrays(self.program.inner_nodes());
        let value = columns_of(moved, grad, pass.tiles, value);
        let (to_moved, by_params) = (to_moved.sized(len), by_params.sized(params.len()));
        let to = ArgumentGradients { input: &mut *to_moved, params: &mut *by_params };
        self.map_tiles_back(pass, (x_moved, params), value, log_slope, to);
        keep(pass, &self.moved_gates, value, to_moved);
        close(pass, &self.moved_gates, self.map.params_per_dim(), by_params);
        let mut by_seen = wanted.then(|| to_seen.sized(seen_len));
        match &self.program {
            Program::Network(network) => {
                let out = Seen { packed: kept.loaded, x: x_seen, out: params, nodes: left };
                let work = Work { nodes, more, linear, context: Some(context) };
                network.backward(pass, out, by_params, by_seen.as_deref_mut(), work, gradient);
            }
            Program::Tiled(tiled) => {
                let (given, by_x) = ((x_seen, by_params, left), by_seen.as_deref_mut());
                let to = (by_x, &mut *context);
                tiled.of::<T>().backward(pass, kept.loaded, given, to, gradient);
            }
        }
        let Some(by_seen) = by_seen else { return };
        close(pass, &self.seen_gates, 1, by_seen);
        match moved {
            None => grad.copy_from_slice(to_moved),
            Some(columns) => scatter(to_moved, columns, grad, width),
        }
        add_columns(by_seen, seen, grad, width);
    }
}

/// Adds column `i` of `from` to column `columns[i]` of `to`, which has `width` of them.
fn add_columns<T: Real>(from: &[T], columns: Option<&[usize]>, to: &mut [T], width: usize) {
    let Some(columns) = columns else {
        return to.iter_mut().zip(from).for_each(|(to, &v)| *to += v);
    };
    let tiles = from.chunks_exact(columns.len() * TILE_ROWS);
    for (from, to) in tiles.zip(to.chunks_exact_mut(width * TILE_ROWS)) {
        for (from, &column) in from.chunks_exact(TILE_ROWS).zip(columns) {
            let to = &mut to[column * TILE_ROWS..][..TILE_ROWS];
            to.iter_mut().zip(from).for_each(|(to, &v)| *to += v);
        }
    }
}
