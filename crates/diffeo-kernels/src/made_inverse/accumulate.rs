//! The sums `weights^T input` of a few units for a few rows, held in registers.
//!
//! Written with intrinsics: compilers keep the two-dimensional array of sums of the plain loop in memory, which
//! is ten times as slow. Each sum runs over the inputs in order, fused, so the bits are those of the plain loop.

use crate::Real;
use crate::dispatch::{Level, level};

/// `sums[u][r] = sum over k of weights[k, u] input[k, r]`; `R` is two vectors of the machine, or anything.
#[inline(always)]
pub(super) fn accumulate<T: Real, const U: usize, const R: usize>(
    weights: &[T],
    input: &[T],
) -> [[T; R]; U] {
    let depth = weights.len() / U;
    assert!(depth * R <= input.len(), "a unit sees more inputs than there are");
    let mut sums = [[T::ZERO; R]; U];
    #[cfg(target_arch = "x86_64")]
    {
        let (w, x, s) = (weights.as_ptr(), input.as_ptr(), sums.as_mut_ptr());
        // SAFETY: `Real` is `f32` or `f64` and nothing else, so the size tells which, and the casts change no
        // type. `w` is valid for `depth * U` reads, `x` for `depth * R` (asserted), `s` for `U * R` writes, `R`
        // being what the functions expect. `level` reports only what the machine has.
        unsafe {
            match (level(), size_of::<T>(), R) {
                (Level::Avx2, 4, 16) => x86::avx2_f32::<U>(depth, w.cast(), x.cast(), s.cast()),
                (Level::Avx2, 8, 8) => x86::avx2_f64::<U>(depth, w.cast(), x.cast(), s.cast()),
                (Level::Avx512, 4, 32) => x86::avx512_f32::<U>(depth, w.cast(), x.cast(), s.cast()),
                (Level::Avx512, 8, 16) => x86::avx512_f64::<U>(depth, w.cast(), x.cast(), s.cast()),
                _ => plain(weights, input, &mut sums),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    plain(weights, input, &mut sums);
    sums
}

#[inline(always)]
fn plain<T: Real, const U: usize, const R: usize>(
    weights: &[T],
    input: &[T],
    sums: &mut [[T; R]; U],
) {
    for (weights, lanes) in weights.chunks_exact(U).zip(input.chunks_exact(R)) {
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            sums.iter_mut().zip(lanes).for_each(|(sum, &v)| *sum = v.fma(weight, *sum));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// A kernel over `$registers` registers of `$lanes` rows each.
    macro_rules! kernel {
        ($name:ident, $features:literal, $t:ty, $lanes:literal, $registers:literal,
         $zero:ident, $load:ident, $splat:ident, $fma:ident, $store:ident) => {
            /// # Safety
            /// The machine has the features; `weights` is valid for `depth * U` reads, `input` for
            /// `depth * lanes * registers`, `sums` for `U * lanes * registers` writes.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name<const U: usize>(
                depth: usize,
                weights: *const $t,
                input: *const $t,
                sums: *mut $t,
            ) {
                let mut held = [[$zero(); $registers]; U];
                for k in 0..depth {
                    let mut rows = [$zero(); $registers];
                    for (i, row) in rows.iter_mut().enumerate() {
                        // SAFETY: `k < depth` and `i < registers`, within `input`.
                        *row = unsafe { $load(input.add((k * $registers + i) * $lanes)) };
                    }
                    for (u, held) in held.iter_mut().enumerate() {
                        // SAFETY: `k < depth` and `u < U`, within `weights`.
                        let weight = $splat(unsafe { *weights.add(k * U + u) });
                        for (sum, &row) in held.iter_mut().zip(&rows) {
                            *sum = $fma(row, weight, *sum);
                        }
                    }
                }
                for (u, held) in held.iter().enumerate() {
                    for (i, &sum) in held.iter().enumerate() {
                        // SAFETY: `u < U` and `i < registers`, within `sums`.
                        unsafe { $store(sums.add((u * $registers + i) * $lanes), sum) };
                    }
                }
            }
        };
    }

    kernel!(
        avx2_f32,
        "avx2,fma",
        f32,
        8,
        2,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_set1_ps,
        _mm256_fmadd_ps,
        _mm256_storeu_ps
    );
    kernel!(
        avx2_f64,
        "avx2,fma",
        f64,
        4,
        2,
        _mm256_setzero_pd,
        _mm256_loadu_pd,
        _mm256_set1_pd,
        _mm256_fmadd_pd,
        _mm256_storeu_pd
    );
    kernel!(
        avx512_f32,
        "avx512f",
        f32,
        16,
        2,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_storeu_ps
    );
    kernel!(
        avx512_f64,
        "avx512f",
        f64,
        8,
        2,
        _mm512_setzero_pd,
        _mm512_loadu_pd,
        _mm512_set1_pd,
        _mm512_fmadd_pd,
        _mm512_storeu_pd
    );
}
