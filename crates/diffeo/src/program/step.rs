//! What a step of a program is, and the buffers that steps share.
//!
//! All matrices are tiled, `[tiles, width, TILE_ROWS]`; rows that fill up the last tile are copies and have no weight in any gradient.

use std::fmt::Debug;

use diffeo_kernels::{Aligned, LinearScratch, TILE_ROWS};

/// What all steps of a run have in common.
#[derive(Debug)]
pub(super) struct Pass<'a, T> {
    pub(super) tiles: usize,
    /// All weights of the flow.
    pub(super) weights: &'a [T],
    /// `[tiles, context width, TILE_ROWS]`; empty without context.
    pub(super) context: &'a [T],
    /// Gradient of the loss by each row's log-determinant, `[tiles, TILE_ROWS]`; empty when there is no backward pass.
    pub(super) log_det_gradient: &'a [T],
}

/// A bijection of rows with its backward pass.
pub(super) trait Step<T>: Send + Sync + Debug {
    /// Computes what depends on the weights alone.
    fn load(&mut self, weights: &[T]) {
        let _ = weights;
    }

    /// Maps `x` to `z`, adds to the log-determinants, and leaves on the tape what [`Step::backward`] needs.
    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        tape: &mut Tape<T>,
    );

    /// Turns the gradient by `z` into that by `x`, in place (if it is wanted), and writes the gradient of the step's weights.
    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        wanted: bool,
        buffers: (&mut Tape<T>, &mut Scratch<T>),
        gradient: &mut [T],
    );
}

/// What a forward pass of one step leaves for its backward pass.
#[derive(Debug, Default)]
pub(super) struct Tape<T> {
    /// Columns that the conditioner sees.
    pub(super) seen: Aligned<T>,
    /// Columns that are mapped.
    pub(super) moved: Aligned<T>,
    /// Their images.
    pub(super) images: Aligned<T>,
    pub(super) log_slope: Aligned<T>,
    pub(super) params: Aligned<T>,
    /// The context's contribution to the first layer.
    pub(super) addend: Aligned<T>,
    /// Results of the network's nodes but the last.
    pub(super) nodes: Vec<Aligned<T>>,
}

/// What a backward pass needs while it runs.
#[derive(Debug, Default)]
pub(super) struct Scratch<T> {
    pub(super) moved: Aligned<T>,
    pub(super) log_slope: Aligned<T>,
    pub(super) to_moved: Aligned<T>,
    pub(super) to_seen: Aligned<T>,
    pub(super) params: Aligned<T>,
    /// Gradients of the network's nodes but the last, and which of them hold something.
    pub(super) nodes: Vec<Aligned<T>>,
    pub(super) written: Vec<bool>,
    pub(super) more: Aligned<T>,
    /// Of the layers' backward passes.
    pub(super) linear: LinearScratch<T>,
}

/// Copies columns: column `i` of `to` is column `columns[i]` of `from`, which has `width` of them.
pub(super) fn gather<T: Copy>(from: &[T], width: usize, columns: &[usize], to: &mut [T]) {
    let tiles = from.chunks_exact((width * TILE_ROWS).max(1));
    for (from, to) in tiles.zip(to.chunks_exact_mut((columns.len() * TILE_ROWS).max(1))) {
        for (to, &column) in to.chunks_exact_mut(TILE_ROWS).zip(columns) {
            to.copy_from_slice(&from[column * TILE_ROWS..][..TILE_ROWS]);
        }
    }
}

/// Puts columns back: column `columns[i]` of `to`, which has `width` of them, becomes column `i` of `from`.
pub(super) fn scatter<T: Copy>(from: &[T], columns: &[usize], to: &mut [T], width: usize) {
    let tiles = from.chunks_exact((columns.len() * TILE_ROWS).max(1));
    for (from, to) in tiles.zip(to.chunks_exact_mut((width * TILE_ROWS).max(1))) {
        for (from, &column) in from.chunks_exact(TILE_ROWS).zip(columns) {
            to[column * TILE_ROWS..][..TILE_ROWS].copy_from_slice(from);
        }
    }
}
