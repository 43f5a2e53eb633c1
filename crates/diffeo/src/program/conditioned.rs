//! Autoregressive and coupling steps: a network that sees some columns gives the parameters of a scalar map of some columns.

use diffeo_kernels::{ArgumentGradients, MapGradients, MonotoneMap, Real, add_rows};

use super::network::NetworkProgram;
use super::step::{Pass, Scratch, Step, Tape, gather, scatter, sized};

/// `z_moved = g(x_moved; theta(x_seen, c))`, the other columns as they are.
///
/// A masked network sees all columns that it maps, in the order of the model; the network of a coupling sees the others.
#[derive(Debug)]
pub(super) struct Conditioned {
    network: NetworkProgram,
    map: MonotoneMap,
    /// Columns that the network sees; `None` is all, in their order.
    seen: Option<Vec<usize>>,
    /// Columns that are mapped; `None` is all, in their order.
    moved: Option<Vec<usize>>,
}

impl Conditioned {
    pub(super) fn new(
        network: NetworkProgram,
        map: MonotoneMap,
        seen: Option<Vec<usize>>,
        moved: Option<Vec<usize>>,
    ) -> Self {
        Self { network, map, seen, moved }
    }
}

/// The columns of `x` that are meant, copied into `buffer` unless they are all.
fn columns_of<'a, T: Real>(
    columns: Option<&[usize]>,
    x: &'a [T],
    rows: usize,
    buffer: &'a mut Vec<T>,
) -> &'a [T] {
    let Some(columns) = columns else { return x };
    let to = sized(buffer, rows * columns.len());
    gather(x, x.len() / rows.max(1), columns, to);
    to
}

impl<T: Real> Step<T> for Conditioned {
    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        tape: &mut Tape<T>,
    ) {
        let Tape { seen, moved, images, log_slope, params, addend, nodes } = tape;
        let seen = columns_of(self.seen.as_deref(), x, pass.rows, seen);
        let moved = columns_of(self.moved.as_deref(), x, pass.rows, moved);
        let params = sized(params, moved.len() * self.map.params_per_dim());
        self.network.forward(pass, seen, params, nodes, addend);
        let log_slope = sized(log_slope, moved.len());
        match &self.moved {
            None => self.map.forward(moved, params, z, log_slope),
            Some(columns) => {
                let images = sized(images, moved.len());
                self.map.forward(moved, params, images, log_slope);
                let width = x.len() / pass.rows.max(1);
                z.copy_from_slice(x);
                scatter(images, columns, z, width);
            }
        }
        add_rows(log_slope, log_det);
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
        let width = x.len() / pass.rows.max(1);
        let moved_width = self.moved.as_ref().map_or(width, Vec::len);
        let seen_width = self.seen.as_ref().map_or(width, Vec::len);
        let len = pass.rows * moved_width;
        let x_seen = if self.seen.is_some() { &tape.seen[..pass.rows * seen_width] } else { x };
        let x_moved = if self.moved.is_some() { &tape.moved[..len] } else { x };

        let log_slope = sized(&mut scratch.log_slope, len);
        let rows = log_slope.chunks_exact_mut(moved_width.max(1));
        rows.zip(pass.log_det_gradient).for_each(|(row, g)| row.fill(*g));
        let value = columns_of(self.moved.as_deref(), grad, pass.rows, &mut scratch.moved);
        let params = &tape.params[..len * self.map.params_per_dim()];
        // Taken out while the network uses the rest of the scratch.
        let mut params_buffer = std::mem::take(&mut scratch.params);
        let mut seen_buffer = std::mem::take(&mut scratch.to_seen);
        let by_params = sized(&mut params_buffer, params.len());
        let from = MapGradients { value, log_slope };
        let to = ArgumentGradients { input: sized(&mut scratch.to_moved, len), params: by_params };
        self.map.forward_backward(x_moved, params, from, to);
        let by_seen = wanted.then(|| sized(&mut seen_buffer, pass.rows * seen_width));
        let kept = (x_seen, params, tape.nodes.as_slice());
        self.network.backward(pass, kept, by_params, by_seen, scratch, gradient);
        if wanted {
            match &self.moved {
                None => grad.copy_from_slice(&scratch.to_moved[..len]),
                Some(columns) => scatter(&scratch.to_moved[..len], columns, grad, width),
            }
            add_columns(&seen_buffer[..pass.rows * seen_width], self.seen.as_deref(), grad, width);
        }
        (scratch.params, scratch.to_seen) = (params_buffer, seen_buffer);
    }
}

/// `to[r, columns[i]] += from[r, i]`.
fn add_columns<T: Real>(from: &[T], columns: Option<&[usize]>, to: &mut [T], width: usize) {
    let Some(columns) = columns else {
        return to.iter_mut().zip(from).for_each(|(to, &v)| *to += v);
    };
    for (from, to) in from.chunks_exact(columns.len()).zip(to.chunks_exact_mut(width)) {
        from.iter().zip(columns).for_each(|(&v, &column)| to[column] += v);
    }
}
