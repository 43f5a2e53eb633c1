//! Row-major arguments: brought into tile layout, and the results back.

use super::columns::{ColumnKernel, Params};
use super::{ArgumentGradients, MapGradients};
use crate::{Real, TILE_ROWS};

/// Elements that are transposed together; their parameters stay in the caches.
const CHUNK: usize = 4 * TILE_ROWS;

/// Rows that are transposed side by side, for larger stores.
const GROUP: usize = 4;

/// `[n, width]` to `[n / TILE_ROWS, width, TILE_ROWS]`. What lies beyond the last row stays as it was.
fn to_columns<T: Copy>(rows: &[T], width: usize, columns: &mut [T]) {
    let blocks = rows.chunks(width * TILE_ROWS);
    for (rows, columns) in blocks.zip(columns.chunks_exact_mut(width * TILE_ROWS)) {
        let (columns, _) = columns.as_chunks_mut::<TILE_ROWS>();
        let groups = rows.chunks_exact(GROUP * width);
        let rest = groups.remainder().chunks_exact(width);
        let done = rows.len() / width / GROUP * GROUP;
        for (group, rows) in groups.enumerate() {
            let (a, rows) = rows.split_at(width);
            let (b, rows) = rows.split_at(width);
            let (c, d) = rows.split_at(width);
            let rows = a.iter().zip(b).zip(c.iter().zip(d));
            for (column, ((&a, &b), (&c, &d))) in columns.iter_mut().zip(rows) {
                column.as_chunks_mut().0[group] = [a, b, c, d];
            }
        }
        for (l, row) in rest.enumerate() {
            columns.iter_mut().zip(row).for_each(|(column, &p)| column[done + l] = p);
        }
    }
}

/// The way back.
fn to_rows<T: Copy>(columns: &[T], width: usize, rows: &mut [T]) {
    let blocks = rows.chunks_mut(width * TILE_ROWS);
    for (rows, columns) in blocks.zip(columns.chunks_exact(width * TILE_ROWS)) {
        for (l, row) in rows.chunks_exact_mut(width).enumerate() {
            for (p, column) in row.iter_mut().zip(columns.chunks_exact(TILE_ROWS)) {
                *p = column[l];
            }
        }
    }
}

/// The map or its inverse of `[n]` elements with parameters `[n, width]`.
pub(super) fn map<T: Real>(
    (kernel, width): (&mut impl ColumnKernel<T>, usize),
    input: &[T],
    params: &[T],
    value: &mut [T],
    log_slope: &mut [T],
    inverse: bool,
) {
    let mut columns = vec![T::ZERO; width * CHUNK.min(input.len().next_multiple_of(TILE_ROWS))];
    let [mut padded, mut values, mut log_slopes] = [[T::ZERO; CHUNK]; 3];
    let out = value.chunks_mut(CHUNK).zip(log_slope.chunks_mut(CHUNK));
    let at = input.chunks(CHUNK).zip(params.chunks(width * CHUNK));
    for ((input, params), (value, log_slope)) in at.zip(out) {
        let (n, all) = (input.len(), input.len().next_multiple_of(TILE_ROWS));
        padded[..n].copy_from_slice(input);
        to_columns(params, width, &mut columns);
        let params = Params::of_tile(&columns, width);
        let to = (&mut values[..all], &mut log_slopes[..all]);
        kernel.map(&padded[..all], params, to.0, to.1, inverse);
        value.copy_from_slice(&values[..n]);
        log_slope.copy_from_slice(&log_slopes[..n]);
    }
}

/// Backward pass of the map or its inverse, at the forward map's input.
pub(super) fn backward<T: Real>(
    (kernel, width): (&mut impl ColumnKernel<T>, usize),
    x: &[T],
    params: &[T],
    from: MapGradients<'_, T>,
    to: ArgumentGradients<'_, T>,
    inverse: bool,
) {
    let mut columns = vec![T::ZERO; width * CHUNK.min(x.len().next_multiple_of(TILE_ROWS))];
    let mut to_columns_of_params = columns.clone();
    let [mut padded, mut gv, mut gl, mut to_padded] = [[T::ZERO; CHUNK]; 4];
    let from = from.value.chunks(CHUNK).zip(from.log_slope.chunks(CHUNK));
    let out = to.input.chunks_mut(CHUNK).zip(to.params.chunks_mut(width * CHUNK));
    let at = x.chunks(CHUNK).zip(params.chunks(width * CHUNK));
    for (((x, params), from), (to_input, to_params)) in at.zip(from).zip(out) {
        let (n, all) = (x.len(), x.len().next_multiple_of(TILE_ROWS));
        padded[..n].copy_from_slice(x);
        gv[..n].copy_from_slice(from.0);
        gl[..n].copy_from_slice(from.1);
        to_columns(params, width, &mut columns);
        let from = MapGradients { value: &gv[..all], log_slope: &gl[..all] };
        let to =
            ArgumentGradients { input: &mut to_padded[..all], params: &mut to_columns_of_params };
        let params = Params::of_tile(&columns, width);
        kernel.backward(&padded[..all], params, from, to, inverse);
        to_input.copy_from_slice(&to_padded[..n]);
        to_rows(&to_columns_of_params, width, to_params);
    }
}
