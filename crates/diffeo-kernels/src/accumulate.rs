//! The innermost loop of all products over tiles: sums of rows weighted by scalars, held in registers.
//!
//! Written with intrinsics: compilers keep the two-dimensional array of sums of the plain loop in memory, which is ten times as
//! slow. Each sum is one chain of fused multiply-adds in the order of its terms, so the bits are the same at every
//! instruction set, for any number of units and whatever is beside them.

use crate::Real;
use crate::dispatch::{Level, level};
use crate::tiles::TILE_ROWS;

/// Most units that one call takes: with two vectors of rows each, their sums fill the registers of AVX-512.
pub(crate) const UNITS_MAX: usize = 12;

/// The scalar factors: of unit `u` and term `k` of block `o` at `u * unit + k * step + o * block`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalars<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) unit: usize,
    pub(crate) step: usize,
    pub(crate) block: usize,
}

/// The vector factors, [`TILE_ROWS`] numbers side by side: of term `k` of block `o` from `k * step + o * block` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vectors<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) step: usize,
    pub(crate) block: usize,
}

/// What each sum starts from, and whether it ends at zero at least.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends<'a, T> {
    /// A number for each unit; zero without.
    pub(crate) bias: Option<&'a [T]>,
    /// Added to the bias: [`TILE_ROWS`] numbers for each unit, side by side.
    pub(crate) addend: Option<&'a [T]>,
    /// Whether the result is `max(0, sum)`; NaN stays NaN.
    pub(crate) rectified: bool,
}

/// How many units are computed, each a sum over `blocks * steps` terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) units: usize,
    pub(crate) blocks: usize,
    pub(crate) steps: usize,
}

/// `out[u * stride + r] = bias[u] + addend[u][r] + sum over o and k of scalars[u, k, o] vectors[k, o][r]`, for `r` in `0..TILE_ROWS`, rectified
/// if asked for.
///
/// # Panics
/// If there are more than [`UNITS_MAX`] units, or an operand or the target reaches outside its slice.
// Inlined, so that the views stay in registers: read back as vectors from the stack, they would wait for all stores of the call before.
#[inline(always)]
pub(crate) fn accumulate<T: Real>(
    extent: Extent,
    scalars: Scalars<'_, T>,
    vectors: Vectors<'_, T>,
    ends: Ends<'_, T>,
    (out, stride): (&mut [T], usize),
) {
    let Extent { units, blocks, steps } = extent;
    if units == 0 {
        return;
    }
    assert!(units <= UNITS_MAX && stride >= TILE_ROWS, "impossible block of sums: {extent:?}");
    assert!((units - 1) * stride + TILE_ROWS <= out.len(), "the target of a product is too small");
    assert!(ends.bias.is_none_or(|b| b.len() >= units), "fewer biases than units");
    assert!(ends.addend.is_none_or(|a| a.len() >= units * TILE_ROWS), "fewer addends than units");
    if blocks > 0 && steps > 0 {
        let last =
            (units - 1) * scalars.unit + (steps - 1) * scalars.step + (blocks - 1) * scalars.block;
        assert!(last < scalars.data.len(), "a scalar operand reaches outside its slice");
        let last = (steps - 1) * vectors.step + (blocks - 1) * vectors.block + TILE_ROWS;
        assert!(last <= vectors.data.len(), "a vector operand reaches outside its slice");
    }
    #[cfg(target_arch = "x86_64")]
    {
        let work = x86::Work {
            extent: [units, blocks, steps],
            scalar_strides: [scalars.unit, scalars.step, scalars.block],
            vector_strides: [vectors.step, vectors.block],
            stride,
            rectified: ends.rectified,
        };
        let first = [ends.bias, ends.addend].map(|s| s.map_or(std::ptr::null(), <[T]>::as_ptr));
        let (a, b, c) = (scalars.data.as_ptr(), vectors.data.as_ptr(), out.as_mut_ptr());
        // SAFETY: `Real` is `f32` or `f64` and nothing else, so the size tells which, and the casts change no type. All reads and
        // writes lie inside the slices (asserted above). `level` reports only what the machine has.
        unsafe {
            match (level(), size_of::<T>()) {
                (Level::Avx512, 4) => {
                    x86::avx512_f32(&work, a.cast(), b.cast(), first.map(|p| p.cast()), c.cast())
                }
                (Level::Avx512, 8) => {
                    x86::avx512_f64(&work, a.cast(), b.cast(), first.map(|p| p.cast()), c.cast())
                }
                (Level::Avx2, 4) => {
                    x86::avx2_f32(&work, a.cast(), b.cast(), first.map(|p| p.cast()), c.cast())
                }
                (Level::Avx2, 8) => {
                    x86::avx2_f64(&work, a.cast(), b.cast(), first.map(|p| p.cast()), c.cast())
                }
                _ => plain(extent, scalars, vectors, ends, (out, stride)),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    plain(extent, scalars, vectors, ends, (out, stride));
}

/// The same for any machine.
fn plain<T: Real>(
    Extent { units, blocks, steps }: Extent,
    scalars: Scalars<'_, T>,
    vectors: Vectors<'_, T>,
    ends: Ends<'_, T>,
    (out, stride): (&mut [T], usize),
) {
    for unit in 0..units {
        let mut sums = [ends.bias.map_or(T::ZERO, |bias| bias[unit]); TILE_ROWS];
        if let Some(addend) = ends.addend {
            let addend = &addend[unit * TILE_ROWS..][..TILE_ROWS];
            sums.iter_mut().zip(addend).for_each(|(sum, &v)| *sum += v);
        }
        for block in 0..blocks {
            for step in 0..steps {
                let at = unit * scalars.unit + step * scalars.step + block * scalars.block;
                let scalar = scalars.data[at];
                let rows = &vectors.data[step * vectors.step + block * vectors.block..];
                for (sum, &v) in sums.iter_mut().zip(&rows[..TILE_ROWS]) {
                    *sum = v.fma(scalar, *sum);
                }
            }
        }
        if ends.rectified {
            sums.iter_mut().for_each(|sum| *sum = crate::Activation::Relu.apply(*sum));
        }
        out[unit * stride..][..TILE_ROWS].copy_from_slice(&sums);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::TILE_ROWS;

    /// The arguments of [`super::accumulate`] but for the slices.
    pub(super) struct Work {
        pub(super) extent: [usize; 3],
        pub(super) scalar_strides: [usize; 3],
        pub(super) vector_strides: [usize; 2],
        pub(super) stride: usize,
        pub(super) rectified: bool,
    }

    /// Defines `$name`, which cuts a block of sums into pieces of at most `$most` units and `$registers` registers of `$lanes`
    /// rows, and `$piece`, which computes such a piece.
    macro_rules! kernel {
        (
            $name:ident, $piece:ident, $features:literal, $t:ty,
            lanes: $lanes:literal, registers: $registers:literal, most: $most:literal, units: [$($units:literal)*],
            $zero:ident, $load:ident, $splat:ident, $fma:ident, $store:ident, $add:ident, $max:ident
        ) => {
            /// # Safety
            /// The machine has the features, and all that `work` names lies inside `scalars`, `vectors` and `out`; `first` are biases and
            /// addends for all units, or null.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(
                work: &Work,
                scalars: *const $t,
                vectors: *const $t,
                first: [*const $t; 2],
                out: *mut $t,
            ) {
                const WIDTH: usize = $lanes * $registers;
                let units = work.extent[0];
                let pieces = units.div_ceil($most);
                for row in (0..TILE_ROWS).step_by(WIDTH) {
                    for piece in 0..pieces {
                        let (start, end) = (piece * units / pieces, (piece + 1) * units / pieces);
                        // SAFETY: the piece lies inside the block of sums.
                        unsafe {
                            let scalars = scalars.add(start * work.scalar_strides[0]);
                            let vectors = vectors.add(row);
                            let first = [
                                first[0].wrapping_add(if first[0].is_null() { 0 } else { start }),
                                first[1].wrapping_add(if first[1].is_null() { 0 } else { start * TILE_ROWS + row }),
                            ];
                            let out = out.add(start * work.stride + row);
                            match end - start {
                                $($units => match work.scalar_strides[0] {
                                    1 => $piece::<$units, 1>(work, scalars, vectors, first, out),
                                    TILE_ROWS => {
                                        $piece::<$units, TILE_ROWS>(work, scalars, vectors, first, out)
                                    }
                                    _ => $piece::<$units, 0>(work, scalars, vectors, first, out),
                                },)*
                                _ => unreachable!("a piece has at most {} units", $most),
                            }
                        }
                    }
                }
            }

            /// `STRIDE` is the distance between the scalars of neighbouring units where it is known to the compiler, else 0.
            ///
            /// # Safety
            /// As the caller.
            #[target_feature(enable = $features)]
            unsafe fn $piece<const U: usize, const STRIDE: usize>(
                work: &Work,
                scalars: *const $t,
                vectors: *const $t,
                first: [*const $t; 2],
                out: *mut $t,
            ) {
                let [_, blocks, steps] = work.extent;
                let [unit, step, block] = work.scalar_strides;
                let unit = if STRIDE == 0 { unit } else { STRIDE };
                let mut sums = [[$zero(); $registers]; U];
                if !first[0].is_null() {
                    for u in 0..U {
                        // SAFETY: there is a bias for each unit, by the contract of the function.
                        sums[u] = [$splat(unsafe { *first[0].add(u) }); $registers];
                    }
                }
                if !first[1].is_null() {
                    for u in 0..U {
                        for i in 0..$registers {
                            // SAFETY: there is an addend for each unit and row, by the contract of the function.
                            let addend = unsafe { $load(first[1].add(u * TILE_ROWS + i * $lanes)) };
                            sums[u][i] = $add(sums[u][i], addend);
                        }
                    }
                }
                for o in 0..blocks {
                    // Wrapping, because after the last term they may point past the end without being read.
                    // A pointer for every third unit: with one for all, the next address waits for the one before it.
                    let mut scalar = [scalars.wrapping_add(o * block); 4];
                    for (i, scalar) in scalar.iter_mut().enumerate() {
                        *scalar = scalar.wrapping_add(3 * i * unit);
                    }
                    let mut vector = vectors.wrapping_add(o * work.vector_strides[1]);
                    for _ in 0..steps {
                        let mut rows = [$zero(); $registers];
                        for i in 0..$registers {
                            // SAFETY: inside the vectors, by the contract of the function.
                            rows[i] = unsafe { $load(vector.add(i * $lanes)) };
                        }
                        for u in 0..U {
                            // SAFETY: inside the scalars, by the contract of the function.
                            let factor = $splat(unsafe { *scalar[u / 3].add(u % 3 * unit) });
                            for i in 0..$registers {
                                sums[u][i] = $fma(rows[i], factor, sums[u][i]);
                            }
                        }
                        scalar = scalar.map(|scalar| scalar.wrapping_add(step));
                        vector = vector.wrapping_add(work.vector_strides[0]);
                    }
                }
                if work.rectified {
                    for u in 0..U {
                        for i in 0..$registers {
                            // In this order the maximum of NaN and zero is NaN.
                            sums[u][i] = $max($zero(), sums[u][i]);
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

    kernel!(
        avx512_f32, avx512_f32_piece, "avx512f", f32,
        lanes: 16, registers: 2, most: 12, units: [1 2 3 4 5 6 7 8 9 10 11 12],
        _mm512_setzero_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps,
        _mm512_add_ps, _mm512_max_ps
    );
    kernel!(
        avx512_f64, avx512_f64_piece, "avx512f", f64,
        lanes: 8, registers: 2, most: 12, units: [1 2 3 4 5 6 7 8 9 10 11 12],
        _mm512_setzero_pd, _mm512_loadu_pd, _mm512_set1_pd, _mm512_fmadd_pd, _mm512_storeu_pd,
        _mm512_add_pd, _mm512_max_pd
    );
    kernel!(
        avx2_f32, avx2_f32_piece, "avx2,fma", f32,
        lanes: 8, registers: 2, most: 6, units: [1 2 3 4 5 6],
        _mm256_setzero_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps,
        _mm256_add_ps, _mm256_max_ps
    );
    kernel!(
        avx2_f64, avx2_f64_piece, "avx2,fma", f64,
        lanes: 4, registers: 2, most: 6, units: [1 2 3 4 5 6],
        _mm256_setzero_pd, _mm256_loadu_pd, _mm256_set1_pd, _mm256_fmadd_pd, _mm256_storeu_pd,
        _mm256_add_pd, _mm256_max_pd
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::at_each_level;

    fn numbers<T: Real>(n: usize, phase: f64) -> Vec<T> {
        (0..n).map(|i| T::from_f64((i as f64 * 1.3 + phase).sin())).collect()
    }

    /// Sums of every shape equal those of `f64`, in all layouts that products use.
    fn sums_equal<T: Real>(limit: f64) {
        for units in 1..=UNITS_MAX {
            for (blocks, steps) in [(1, 0), (1, 1), (1, 37), (3, TILE_ROWS)] {
                let extent = Extent { units, blocks, steps };
                let scalars = numbers::<T>(units * 200 + 300, 0.1);
                let vectors = numbers::<T>(blocks * steps.max(1) * TILE_ROWS + 9, 0.7);
                let scalars = Scalars { data: &scalars, unit: 100, step: 1, block: 40 };
                let vectors = Vectors { data: &vectors, step: TILE_ROWS, block: steps * TILE_ROWS };
                let stride = TILE_ROWS + 3;
                let (bias, addend) = (numbers::<T>(units, 3.0), numbers(units * TILE_ROWS, 4.0));
                let rectified = units % 2 == 0;
                let ends = Ends { bias: Some(&bias), addend: Some(&addend), rectified };
                let found = at_each_level(|| {
                    let mut out = vec![T::ONE; units * stride];
                    accumulate(extent, scalars, vectors, ends, (&mut out, stride));
                    out
                });
                for unit in 0..units {
                    for row in 0..stride {
                        let terms = (0..blocks).flat_map(|o| (0..steps).map(move |k| (o, k)));
                        let expected: f64 = terms
                            .map(|(o, k)| {
                                let scalar = scalars.data[unit * 100 + k + o * 40].to_f64();
                                let at = (o * steps + k) * TILE_ROWS + row.min(TILE_ROWS - 1);
                                scalar * vectors.data[at].to_f64()
                            })
                            .sum();
                        let at = (unit * TILE_ROWS + row).min(addend.len() - 1);
                        let sum = expected + bias[unit].to_f64() + addend[at].to_f64();
                        let sum = if rectified { sum.max(0.0) } else { sum };
                        let expected = if row < TILE_ROWS { sum } else { 1.0 };
                        let value = found[0][unit * stride + row].to_f64();
                        assert!(
                            (value - expected).abs() <= limit,
                            "{extent:?}: {value} {expected}"
                        );
                    }
                }
                assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{extent:?}");
            }
        }
    }

    #[test]
    fn sums_equal_the_plain_ones_and_have_the_same_bits_at_every_level() {
        sums_equal::<f64>(1e-13);
        sums_equal::<f32>(2e-5);
    }

    #[test]
    fn nan_is_not_rectified_away() {
        for value in [f32::NAN, -1.0, 2.0] {
            let ends = Ends { bias: Some(&[value]), addend: None, rectified: true };
            let found = at_each_level(|| {
                let mut out = [9.0f32; TILE_ROWS];
                let extent = Extent { units: 1, blocks: 0, steps: 0 };
                let scalars = Scalars { data: &[], unit: 0, step: 0, block: 0 };
                let vectors = Vectors { data: &[], step: 0, block: 0 };
                accumulate(extent, scalars, vectors, ends, (&mut out, TILE_ROWS));
                out
            });
            let same =
                |v: &f32| v.is_nan() == value.is_nan() && (*v == value.max(0.0) || v.is_nan());
            assert!(found.iter().flatten().all(same), "{value}");
        }
    }

    #[test]
    #[should_panic(expected = "reaches outside")]
    fn an_operand_that_is_too_short_is_refused() {
        let scalars = Scalars { data: &[1.0f32; 11], unit: 1, step: 2, block: 0 };
        let vectors = Vectors { data: &[1.0f32; 6 * TILE_ROWS], step: TILE_ROWS, block: 0 };
        let extent = Extent { units: 2, blocks: 1, steps: 6 };
        let mut out = [0.0; 2 * TILE_ROWS];
        accumulate(extent, scalars, vectors, Ends::default(), (&mut out, TILE_ROWS));
    }
}
