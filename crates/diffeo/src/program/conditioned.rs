//! Autoregressive and coupling steps: a network that sees some columns gives the parameters of a scalar map of some columns.

use diffeo_kernels::{
    Aligned, ArgumentGradients, MapGradients, MonotoneMap, Real, TILE_ROWS, add_tiled_columns,
};

use super::network::{Kept, NetworkProgram, Packed};
use super::step::{Pass, Scratch, Step, Tape, gather, scatter};

/// `z_moved = g(x_moved; theta(x_seen, c))`, the other columns as they are.
///
/// A masked network sees all columns that it maps, in the order of the model; the network of a coupling sees the others.
#[derive(Debug)]
pub(super) struct Conditioned<T> {
    network: NetworkProgram,
    packed: Packed<T>,
    map: MonotoneMap,
    /// Columns that the network sees; `None` is all, in their order.
    seen: Option<Vec<usize>>,
    /// Columns that are mapped; `None` is all, in their order.
    moved: Option<Vec<usize>>,
}

impl<T: Real> Conditioned<T> {
    pub(super) fn new(
        network: NetworkProgram,
        map: MonotoneMap,
        seen: Option<Vec<usize>>,
        moved: Option<Vec<usize>>,
    ) -> Self {
        Self { network, packed: Packed::default(), map, seen, moved }
    }

    /// The scalar map of every tile.
    fn map_tiles(&self, x: &[T], params: &[T], z: &mut [T], log_slope: &mut [T], tiles: usize) {
        let size = (x.len() / tiles.max(1)).max(1);
        let out = z.chunks_exact_mut(size).zip(log_slope.chunks_exact_mut(size));
        let params = params.chunks_exact(size * self.map.params_per_dim());
        for ((x, params), (z, log_slope)) in x.chunks_exact(size).zip(params).zip(out) {
            self.map.forward_tile(x, params, z, log_slope);
        }
    }

    /// The backward pass of [`Self::map_tiles`], given the gradient by `z` and that by each row's log-determinant.
    fn map_tiles_back(
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
        for (((x, params), (value, by_row)), (input, to_params)) in at.zip(from).zip(to) {
            log_slope.chunks_exact_mut(TILE_ROWS).for_each(|to| to.copy_from_slice(by_row));
            let from = MapGradients { value, log_slope };
            let to = ArgumentGradients { input, params: to_params };
            self.map.forward_backward_tile(x, params, from, to);
        }
    }
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

impl<T: Real> Step<T> for Conditioned<T> {
    fn load(&mut self, weights: &[T]) {
        self.network.pack(weights, &mut self.packed);
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        tape: &mut Tape<T>,
    ) {
        let Tape { seen, moved, images, log_slope, params, addend, nodes } = tape;
        let seen = columns_of(self.seen.as_deref(), x, pass.tiles, seen);
        let moved = columns_of(self.moved.as_deref(), x, pass.tiles, moved);
        let params = params.sized(moved.len() * self.map.params_per_dim());
        self.network.forward(pass, &self.packed, seen, params, (nodes, addend));
        let log_slope = log_slope.sized(moved.len());
        match &self.moved {
            None => self.map_tiles(moved, params, z, log_slope, pass.tiles),
            Some(columns) => {
                let images = images.sized(moved.len());
                self.map_tiles(moved, params, images, log_slope, pass.tiles);
                let width = x.len() / (pass.tiles * TILE_ROWS).max(1);
                z.copy_from_slice(x);
                scatter(images, columns, z, width);
            }
        }
        add_tiled_columns(log_slope, log_det);
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        (tape, scratch): (&mut Tape<T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let rows = pass.tiles * TILE_ROWS;
        let width = x.len() / rows.max(1);
        let seen_len = rows * self.seen.as_ref().map_or(width, Vec::len);
        let len = rows * self.moved.as_ref().map_or(width, Vec::len);
        let x_seen = if self.seen.is_some() { &tape.seen[..seen_len] } else { x };
        let x_moved = if self.moved.is_some() { &tape.moved[..len] } else { x };

        let value = columns_of(self.moved.as_deref(), grad, pass.tiles, &mut scratch.moved);
        let params = &tape.params[..len * self.map.params_per_dim()];
        // Taken out while the network uses the rest of the scratch.
        let mut params_buffer = std::mem::take(&mut scratch.params);
        let mut seen_buffer = std::mem::take(&mut scratch.to_seen);
        let by_params = params_buffer.sized(params.len());
        let input = scratch.to_moved.sized(len);
        let to = ArgumentGradients { input, params: &mut *by_params };
        self.map_tiles_back(pass, (x_moved, params), value, &mut scratch.log_slope, to);
        let by_seen = wanted.then(|| seen_buffer.sized(seen_len));
        let kept =
            Kept { packed: &self.packed, x: x_seen, out: params, nodes: tape.nodes.as_slice() };
        self.network.backward(pass, kept, by_params, by_seen, scratch, gradient);
        if wanted {
            match &self.moved {
                None => grad.copy_from_slice(&scratch.to_moved[..len]),
                Some(columns) => scatter(&scratch.to_moved[..len], columns, grad, width),
            }
            add_columns(&seen_buffer[..seen_len], self.seen.as_deref(), grad, width);
        }
        (scratch.params, scratch.to_seen) = (params_buffer, seen_buffer);
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
