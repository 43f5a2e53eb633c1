//! The loops over the rows of a tile that stand between the products of a convolutional network.

use crate::dispatch::dispatched;
use crate::tiles::TILE_ROWS;

dispatched! {
    /// `out = h + v g`, `g = sigmoid(s)`, with the `width` units `v` of a pixel and its as many `s` side by side; `g` stands where `s` did.
    pub(super) fn add_gated<T: Real>(width: usize, both: &mut [T], h: &[T], out: &mut [T]) {
        let size = width * TILE_ROWS;
        let pixels = h.chunks_exact(size).zip(out.chunks_exact_mut(size));
        for (both, (h, out)) in both.chunks_exact_mut(2 * size).zip(pixels) {
            let (v, s) = both.split_at_mut(size);
            for i in 0..size {
                s[i] = s[i].sigmoid();
            }
            for i in 0..size {
                out[i] = v[i].fma(s[i], h[i]);
            }
        }
    }
}

dispatched! {
    /// The gradient by `v` and `s` of [`add_gated`], given `v` and `g` as it left them and the gradient by its result.
    pub(super) fn add_gated_back<T: Real>(width: usize, both: &[T], grad: &[T], to: &mut [T]) {
        let size = width * TILE_ROWS;
        let pixels = both.chunks_exact(2 * size).zip(to.chunks_exact_mut(2 * size));
        for ((both, to), grad) in pixels.zip(grad.chunks_exact(size)) {
            let ((v, g), (to_v, to_s)) = (both.split_at(size), to.split_at_mut(size));
            for i in 0..size {
                to_v[i] = grad[i] * g[i];
                to_s[i] = to_v[i] * v[i] * (T::ONE - g[i]);
            }
        }
    }
}
