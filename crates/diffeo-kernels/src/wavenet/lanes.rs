//! The loops over the rows of a tile that stand between the products of a network over waveforms.

use super::SAMPLE_MAX;
use crate::dispatch::dispatched;
use crate::tiles::TILE_ROWS;

dispatched! {
    /// What samples are read as.
    pub(super) fn clamp<T: Real>(x: &[T], out: &mut [T]) {
        let most = T::from_f64(SAMPLE_MAX);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x.held(-most, most);
        }
    }
}

dispatched! {
    /// Turns the gradient by what samples are read as into that by the samples.
    pub(super) fn clamp_back<T: Real>(x: &[T], grad: &mut [T]) {
        let most = T::from_f64(SAMPLE_MAX);
        for (grad, &x) in grad.iter_mut().zip(x) {
            *grad = if x.abs() > most { T::ZERO } else { *grad };
        }
    }
}

dispatched! {
    /// `tanh(u) sigmoid(v)` of a pixel, with the `width` units `u` and its as many `v` side by side; both factors stand where `u` and `v` did.
    pub(super) fn gate<T: Real>(width: usize, both: &mut [T], out: &mut [T]) {
        let size = width * TILE_ROWS;
        let (u, v) = both.split_at_mut(size);
        for i in 0..size {
            u[i] = u[i].tanh_near();
        }
        for i in 0..size {
            v[i] = v[i].sigmoid();
        }
        for i in 0..size {
            out[i] = u[i] * v[i];
        }
    }
}

dispatched! {
    /// The products of the factors that [`gate`] left, of all pixels.
    pub(super) fn gated<T: Real>(width: usize, both: &[T], out: &mut [T]) {
        let size = width * TILE_ROWS;
        for (both, out) in both.chunks_exact(2 * size).zip(out.chunks_exact_mut(size)) {
            let (u, v) = both.split_at(size);
            for i in 0..size {
                out[i] = u[i] * v[i];
            }
        }
    }
}

dispatched! {
    /// The gradient by `u` and `v` of [`gate`], given its factors and the gradient by its result, of all pixels.
    pub(super) fn gate_back<T: Real>(width: usize, both: &[T], grad: &[T], to: &mut [T]) {
        let size = width * TILE_ROWS;
        let pixels = both.chunks_exact(2 * size).zip(to.chunks_exact_mut(2 * size));
        for ((both, to), grad) in pixels.zip(grad.chunks_exact(size)) {
            let ((u, v), (to_u, to_v)) = (both.split_at(size), to.split_at_mut(size));
            for i in 0..size {
                let by_u = grad[i] * v[i];
                to_u[i] = by_u * (T::ONE - u[i] * u[i]);
                to_v[i] = by_u * u[i] * (T::ONE - v[i]);
            }
        }
    }
}

dispatched! {
    /// `to = a + b`.
    pub(super) fn add_both<T: Real>(a: &[T], b: &[T], to: &mut [T]) {
        for (to, (&a, &b)) in to.iter_mut().zip(a.iter().zip(b)) {
            *to = a + b;
        }
    }
}

dispatched! {
    /// The `width` numbers of each pixel in `a` and, if there are any, those in `b` side by side.
    pub(super) fn join<T: Real>(width: usize, a: &[T], b: &[T], to: &mut [T]) {
        let size = width * TILE_ROWS;
        if b.is_empty() {
            return to.copy_from_slice(a);
        }
        let pixels = a.chunks_exact(size).zip(b.chunks_exact(size));
        for (to, (a, b)) in to.chunks_exact_mut(2 * size).zip(pixels) {
            to[..size].copy_from_slice(a);
            to[size..].copy_from_slice(b);
        }
    }
}

dispatched! {
    /// `max(0, x)` in place; NaN stays NaN.
    pub(super) fn rectify<T: Real>(values: &mut [T]) {
        for value in values.iter_mut() {
            *value = if *value < T::ZERO { T::ZERO } else { *value };
        }
    }
}

dispatched! {
    /// The gradient by what [`rectify`] was applied to, given what it made.
    pub(super) fn rectify_back<T: Real>(made: &[T], grad: &mut [T]) {
        for (grad, &made) in grad.iter_mut().zip(made) {
            *grad = if made > T::ZERO { *grad } else { T::ZERO };
        }
    }
}

dispatched! {
    /// `to += a share`.
    pub(super) fn add_share<T: Real>(a: &[T], share: T, to: &mut [T]) {
        for (to, &a) in to.iter_mut().zip(a) {
            *to = a.fma(share, *to);
        }
    }
}
