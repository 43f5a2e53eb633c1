//! The loops over the rows of a tile that stand between the products of a convolutional network.

use crate::dispatch::dispatched;
use crate::tiles::TILE_ROWS;

dispatched! {
    /// `out = h + v sigmoid(s)`, with the `width` units `v` of a pixel and its as many `s` side by side.
    pub(super) fn add_gated<T: Real>(width: usize, both: &[T], h: &[T], out: &mut [T]) {
        let size = width * TILE_ROWS;
        let pixels = h.chunks_exact(size).zip(out.chunks_exact_mut(size));
        for (both, (h, out)) in both.chunks_exact(2 * size).zip(pixels) {
            let (v, s) = both.split_at(size);
            for i in 0..size {
                out[i] = v[i].fma(s[i].sigmoid(), h[i]);
            }
        }
    }
}

dispatched! {
    /// The gradient by `v` and `s` of [`add_gated`], given that by its result.
    pub(super) fn add_gated_back<T: Real>(width: usize, both: &[T], grad: &[T], to: &mut [T]) {
        let size = width * TILE_ROWS;
        let pixels = both.chunks_exact(2 * size).zip(to.chunks_exact_mut(2 * size));
        for ((both, to), grad) in pixels.zip(grad.chunks_exact(size)) {
            let ((v, s), (to_v, to_s)) = (both.split_at(size), to.split_at_mut(size));
            for i in 0..size {
                let gate = s[i].sigmoid();
                to_v[i] = grad[i] * gate;
                to_s[i] = to_v[i] * v[i] * (T::ONE - gate);
            }
        }
    }
}
