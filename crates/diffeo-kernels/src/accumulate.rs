//! The innermost loop of all products over tiles: sums of rows weighted by scalars, held in registers.
//!
//! Written with intrinsics: compilers keep the two-dimensional array of sums of the plain loop in memory, which is ten times as
//! slow. Each sum is one chain of fused multiply-adds in the order of its terms, so the bits are the same at every
//! instruction set, for any number of units and whatever is beside them.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod registers;

use crate::Real;
#[cfg(target_arch = "x86_64")]
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
/// If there are more than [`UNITS_MAX`] units, the stride is shorter than a tile, or an operand, a bias, an addend or the target
/// reaches outside its slice.
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
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let work = registers::Work {
            extent: [units, blocks, steps],
            scalar_strides: [scalars.unit, scalars.step, scalars.block],
            vector_strides: [vectors.step, vectors.block],
            stride,
            rectified: ends.rectified,
        };
        let first = [ends.bias, ends.addend].map(|s| s.map_or(std::ptr::null(), <[T]>::as_ptr));
        let (a, b, c) = (scalars.data.as_ptr(), vectors.data.as_ptr(), out.as_mut_ptr());
        // Calls the kernel of a level and a type.
        macro_rules! run {
            ($kernel:ident) => {
                registers::$kernel(&work, a.cast(), b.cast(), first.map(|p| p.cast()), c.cast())
            };
        }
        // SAFETY: `Real` is `f32` or `f64` and nothing else, so the size tells which, and the casts change no type. All reads and
        // writes lie inside the slices (asserted above). `level` reports only what the machine has, and every AArch64 has NEON.
        unsafe {
            #[cfg(target_arch = "aarch64")]
            match size_of::<T>() {
                4 => run!(neon_f32),
                _ => run!(neon_f64),
            }
            #[cfg(target_arch = "x86_64")]
            match (level(), size_of::<T>()) {
                (Level::Avx512, 4) => run!(avx512_f32),
                (Level::Avx512, _) => run!(avx512_f64),
                (Level::Avx2, 4) => run!(avx2_f32),
                (Level::Avx2, _) => run!(avx2_f64),
                (Level::Baseline, _) => plain(extent, scalars, vectors, ends, (out, stride)),
            }
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    plain(extent, scalars, vectors, ends, (out, stride));
}

/// The same for any machine.
#[cfg(not(target_arch = "aarch64"))]
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
