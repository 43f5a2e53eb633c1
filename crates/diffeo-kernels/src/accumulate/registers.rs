//! The sums in registers, for each instruction set.

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::{Run, TILE_ROWS, UNITS_MAX};

/// The arguments of [`super::accumulate`] but for the slices of numbers.
pub(super) struct Work<'a> {
    pub(super) units: usize,
    pub(super) runs: &'a [Run],
    /// From unit to unit and from term to term.
    pub(super) scalar_strides: [usize; 2],
    pub(super) stride: usize,
    pub(super) rectified: bool,
}

/// `row * factor + sum`: the two families of processors name the operands in another order.
macro_rules! fused {
    (sum_last $fma:ident, $row:expr, $factor:expr, $sum:expr) => {
        $fma($row, $factor, $sum)
    };
    (sum_first $fma:ident, $row:expr, $factor:expr, $sum:expr) => {
        $fma($sum, $row, $factor)
    };
}

/// Defines `$name`, which cuts a block of sums into pieces of at most `$most` units and `$registers` registers of `$lanes` rows, and
/// `$piece`, which computes such a piece.
macro_rules! kernel {
    (
        $name:ident, $piece:ident, $features:literal, $t:ty,
        lanes: $lanes:literal, registers: $registers:literal,
        most: $most:literal, units: [$($units:literal)*],
        $splat:ident, $load:ident, $store:ident, $add:ident, $multiply:ident, $max:ident, $slope:ident,
        $order:ident $fma:ident
    ) => {
        /// # Safety
        /// The machine has the features, all units and rows that `work` names lie inside `out`, and all terms, if there are any, inside
        /// `scalars` and `vectors`; `ends` are biases, addends and results of a ReLU for all units, or null; the
        /// distance of the scalars of neighbouring units is 1, or it is `UNITS_MAX` or `TILE_ROWS` and that of neighbouring terms is 1.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(
            work: &Work<'_>,
            scalars: *const $t,
            vectors: *const $t,
            ends: [*const $t; 3],
            out: *mut $t,
        ) {
            const WIDTH: usize = $lanes * $registers;
            let units = work.units;
            let pieces = units.div_ceil($most);
            for row in (0..TILE_ROWS).step_by(WIDTH) {
                for piece in 0..pieces {
                    let (start, end) = (piece * units / pieces, (piece + 1) * units / pieces);
                    // Wrapping, because without terms there may be nothing that they could point to.
                    let scalars = scalars.wrapping_add(start * work.scalar_strides[0]);
                    let vectors = vectors.wrapping_add(row);
                    // SAFETY: the piece lies inside the target, and inside the operands as far as it has terms.
                    unsafe {
                        let out = out.add(start * work.stride + row);
                        let place = start * TILE_ROWS + row;
                        let mut ends = ends;
                        for (pointer, place) in ends.iter_mut().zip([start, place, place]) {
                            if !pointer.is_null() {
                                *pointer = pointer.wrapping_add(place);
                            }
                        }
                        match end - start {
                            $($units => match work.scalar_strides[0] {
                                1 => $piece::<$units, 1>(work, scalars, vectors, ends, out),
                                UNITS_MAX => {
                                    $piece::<$units, UNITS_MAX>(work, scalars, vectors, ends, out)
                                }
                                TILE_ROWS => {
                                    $piece::<$units, TILE_ROWS>(work, scalars, vectors, ends, out)
                                }
                                unit => unreachable!("no kernel for units {unit} apart"),
                            },)*
                            _ => unreachable!("a piece has at most {} units", $most),
                        }
                    }
                }
            }
        }

        /// `UNIT` is the distance between the scalars of neighbouring units; unless it is 1, terms are side by side.
        ///
        /// # Safety
        /// As the caller.
        #[target_feature(enable = $features)]
        unsafe fn $piece<const U: usize, const UNIT: usize>(
            work: &Work<'_>,
            scalars: *const $t,
            vectors: *const $t,
            ends: [*const $t; 3],
            out: *mut $t,
        ) {
            let step = if UNIT == 1 { work.scalar_strides[1] } else { 1 };
            let [biases, addends, outputs] = ends;
            let mut sums = [[$splat(0.0); $registers]; U];
            if !biases.is_null() {
                // SAFETY: there is a bias for each unit, by the contract of the function.
                sums = std::array::from_fn(|u| [$splat(unsafe { *biases.add(u) }); $registers]);
            }
            if !addends.is_null() {
                for u in 0..U {
                    for i in 0..$registers {
                        // SAFETY: there is an addend for each unit and row, by the contract of the function.
                        let addend = unsafe { $load(addends.add(u * TILE_ROWS + i * $lanes)) };
                        sums[u][i] = $add(sums[u][i], addend);
                    }
                }
            }
            for run in work.runs {
                // Wrapping, because after the last term they may point past the end without being read.
                let mut scalar = scalars.wrapping_add(run.scalars);
                let mut vector = vectors.wrapping_add(run.vectors);
                for _ in 0..run.terms {
                    let mut rows = [$splat(0.0); $registers];
                    for i in 0..$registers {
                        // SAFETY: inside the vectors, by the contract of the function.
                        rows[i] = unsafe { $load(vector.add(i * $lanes)) };
                    }
                    for u in 0..U {
                        // SAFETY: inside the scalars, by the contract of the function.
                        let factor = $splat(unsafe { *scalar.add(u * UNIT) });
                        for i in 0..$registers {
                            sums[u][i] = fused!($order $fma, rows[i], factor, sums[u][i]);
                        }
                    }
                    scalar = scalar.wrapping_add(step);
                    vector = vector.wrapping_add(TILE_ROWS);
                }
            }
            if work.rectified {
                for u in 0..U {
                    for i in 0..$registers {
                        // In this order the maximum of NaN and zero is NaN.
                        sums[u][i] = $max($splat(0.0), sums[u][i]);
                    }
                }
            }
            if !outputs.is_null() {
                for u in 0..U {
                    for i in 0..$registers {
                        // SAFETY: there is an output for each unit and row, by the contract of the function.
                        let output = unsafe { $load(outputs.add(u * TILE_ROWS + i * $lanes)) };
                        sums[u][i] = $multiply(sums[u][i], $slope(output));
                    }
                }
            }
            for u in 0..U {
                for i in 0..$registers {
                    // SAFETY: inside the target, by the contract of the function.
                    unsafe { $store(out.add(u * work.stride + i * $lanes), sums[u][i]) };
                }
            }
        }
    };
}

/// The slope of a ReLU at its results: zero where they are not above zero, else, and where they are NaN, one.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn slope_avx512_f32(output: __m512) -> __m512 {
    let open = _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(output, _mm512_setzero_ps());
    _mm512_maskz_mov_ps(open, _mm512_set1_ps(1.0))
}

/// As [`slope_avx512_f32`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn slope_avx512_f64(output: __m512d) -> __m512d {
    let open = _mm512_cmp_pd_mask::<_CMP_NLE_UQ>(output, _mm512_setzero_pd());
    _mm512_maskz_mov_pd(open, _mm512_set1_pd(1.0))
}

/// As [`slope_avx512_f32`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn slope_avx2_f32(output: __m256) -> __m256 {
    let open = _mm256_cmp_ps::<_CMP_NLE_UQ>(output, _mm256_setzero_ps());
    _mm256_and_ps(open, _mm256_set1_ps(1.0))
}

/// As [`slope_avx512_f32`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn slope_avx2_f64(output: __m256d) -> __m256d {
    let open = _mm256_cmp_pd::<_CMP_NLE_UQ>(output, _mm256_setzero_pd());
    _mm256_and_pd(open, _mm256_set1_pd(1.0))
}

#[cfg(target_arch = "x86_64")]
kernel!(
    avx512_f32, avx512_f32_piece, "avx512f", f32,
    lanes: 16, registers: 2, most: 12, units: [1 2 3 4 5 6 7 8 9 10 11 12],
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_mul_ps,
    _mm512_max_ps, slope_avx512_f32,
    sum_last _mm512_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
kernel!(
    avx512_f64, avx512_f64_piece, "avx512f", f64,
    lanes: 8, registers: 2, most: 12, units: [1 2 3 4 5 6 7 8 9 10 11 12],
    _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_add_pd, _mm512_mul_pd,
    _mm512_max_pd, slope_avx512_f64,
    sum_last _mm512_fmadd_pd
);
#[cfg(target_arch = "x86_64")]
kernel!(
    avx2_f32, avx2_f32_piece, "avx2,fma", f32,
    lanes: 8, registers: 2, most: 6, units: [1 2 3 4 5 6],
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_mul_ps,
    _mm256_max_ps, slope_avx2_f32,
    sum_last _mm256_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
kernel!(
    avx2_f64, avx2_f64_piece, "avx2,fma", f64,
    lanes: 4, registers: 2, most: 6, units: [1 2 3 4 5 6],
    _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_add_pd, _mm256_mul_pd,
    _mm256_max_pd, slope_avx2_f64,
    sum_last _mm256_fmadd_pd
);

/// The maximum as on the other machines: of zeros of both signs the second, and NaN if the second is NaN.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn floor_f32(floor: float32x4_t, value: float32x4_t) -> float32x4_t {
    vbslq_f32(vcltq_f32(value, floor), floor, value)
}

/// As [`floor_f32`].
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn floor_f64(floor: float64x2_t, value: float64x2_t) -> float64x2_t {
    vbslq_f64(vcltq_f64(value, floor), floor, value)
}

/// The slope of a ReLU at its results: zero where they are not above zero, else, and where they are NaN, one.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn slope_f32(output: float32x4_t) -> float32x4_t {
    vbslq_f32(vcleq_f32(output, vdupq_n_f32(0.0)), vdupq_n_f32(0.0), vdupq_n_f32(1.0))
}

/// As [`slope_f32`].
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn slope_f64(output: float64x2_t) -> float64x2_t {
    vbslq_f64(vcleq_f64(output, vdupq_n_f64(0.0)), vdupq_n_f64(0.0), vdupq_n_f64(1.0))
}

#[cfg(target_arch = "aarch64")]
kernel!(
    neon_f32, neon_f32_piece, "neon", f32,
    lanes: 4, registers: 4, most: 6, units: [1 2 3 4 5 6],
    vdupq_n_f32, vld1q_f32, vst1q_f32, vaddq_f32, vmulq_f32, floor_f32, slope_f32,
    sum_first vfmaq_f32
);
#[cfg(target_arch = "aarch64")]
kernel!(
    neon_f64, neon_f64_piece, "neon", f64,
    lanes: 2, registers: 4, most: 6, units: [1 2 3 4 5 6],
    vdupq_n_f64, vld1q_f64, vst1q_f64, vaddq_f64, vmulq_f64, floor_f64, slope_f64,
    sum_first vfmaq_f64
);
