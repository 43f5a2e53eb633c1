//! The loops over the rows of a tile that stand between the products of a network over waveforms.

use super::SAMPLE_MAX;
use crate::dispatch::dispatched;
use crate::tiles::TILE_ROWS;

/// How much steeper what is read of quiet samples is.
pub(super) const STEEP: f64 = 256.0;

dispatched! {
    /// What each sample is read as: itself, and `asinh(k x) / asinh(k)`, side by side.
    pub(super) fn read_samples<T: Real>(x: &[T], out: &mut [T]) {
        let (most, steep) = (T::from_f64(SAMPLE_MAX), T::from_f64(STEEP));
        let unit = T::from_f64(1.0 / STEEP.asinh());
        let samples = x.as_chunks::<TILE_ROWS>().0.iter();
        for (x, out) in samples.zip(out.chunks_exact_mut(2 * TILE_ROWS)) {
            let (own, quiet) = out.split_at_mut(TILE_ROWS);
            for lane in 0..TILE_ROWS {
                let x = x[lane].held(-most, most);
                let a = x.abs() * steep;
                let size = (a + a.fma(a, T::ONE).sqrt()).ln() * unit;
                own[lane] = x;
                quiet[lane] = if x < T::ZERO { -size } else { size };
            }
        }
    }
}

dispatched! {
    /// The gradient by samples from that by what they are read as.
    pub(super) fn read_samples_back<T: Real>(x: &[T], grad: &[T], to: &mut [T]) {
        let (most, steep) = (T::from_f64(SAMPLE_MAX), T::from_f64(STEEP));
        let unit = T::from_f64(STEEP / STEEP.asinh());
        let samples = x.as_chunks::<TILE_ROWS>().0.iter().zip(to.as_chunks_mut::<TILE_ROWS>().0);
        for ((x, to), grad) in samples.zip(grad.chunks_exact(2 * TILE_ROWS)) {
            let (own, quiet) = grad.split_at(TILE_ROWS);
            for lane in 0..TILE_ROWS {
                let held = x[lane].held(-most, most);
                let a = held * steep;
                let slope = unit / a.fma(a, T::ONE).sqrt();
                let grad = quiet[lane].fma(slope, own[lane]);
                to[lane] = if x[lane].abs() > most { T::ZERO } else { grad };
            }
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
