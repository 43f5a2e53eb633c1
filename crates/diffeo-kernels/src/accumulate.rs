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

/// The factors of the terms, in the order of their runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a, T> {
    pub(crate) runs: Runs<&'a [Run]>,
    /// Of unit `u` and term `k` of a run at `run.scalars + u * unit + k * runs.step`.
    pub(crate) scalars: &'a [T],
    /// Either 1, or [`UNITS_MAX`] or [`TILE_ROWS`] with a step of 1.
    pub(crate) unit: usize,
    /// Of term `k` of a run [`TILE_ROWS`] numbers from `run.vectors + k * TILE_ROWS` on.
    pub(crate) vectors: &'a [T],
}

/// Terms whose factors follow each other in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where its scalars start.
    pub(crate) scalars: usize,
    /// Where its vectors start.
    pub(crate) vectors: usize,
    /// How many there are.
    pub(crate) terms: usize,
}

/// Runs that were measured, once for all products with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runs<L> {
    list: L,
    /// From term to term.
    step: usize,
    /// How many scalars there must be for one unit.
    scalars: usize,
    /// How many numbers in vectors.
    vectors: usize,
}

impl<L: AsRef<[Run]>> Runs<L> {
    #[inline(always)]
    pub(crate) fn new(list: L, step: usize) -> Self {
        let (mut scalars, mut vectors) = (0, 0);
        for run in list.as_ref().iter().filter(|run| run.terms > 0) {
            // Saturating: a number that does not exist is never inside a slice.
            let last = (run.terms - 1).saturating_mul(step).saturating_add(run.scalars);
            scalars = scalars.max(last.saturating_add(1));
            let length = run.terms.saturating_mul(TILE_ROWS);
            vectors = vectors.max(run.vectors.saturating_add(length));
        }
        Self { list, step, scalars, vectors }
    }

    #[cfg(test)]
    pub(crate) fn list(&self) -> &[Run] {
        self.list.as_ref()
    }

    #[inline(always)]
    pub(crate) fn view(&self) -> Runs<&[Run]> {
        let Self { ref list, step, scalars, vectors } = *self;
        Runs { list: list.as_ref(), step, scalars, vectors }
    }
}

/// What each sum starts from, and how it ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends<'a, T> {
    /// A number for each unit; zero without.
    pub(crate) bias: Option<&'a [T]>,
    /// Added to the bias: [`TILE_ROWS`] numbers for each unit, side by side.
    pub(crate) addend: Option<&'a [T]>,
    /// Whether the result is `max(0, sum)`; NaN stays NaN.
    pub(crate) rectified: bool,
    /// Results of a ReLU, [`TILE_ROWS`] numbers for each unit: sums are multiplied by its slope there.
    pub(crate) rectifier: Option<&'a [T]>,
}

/// `out[u * stride + r] = bias[u] + addend[u][r] + sum over all terms of scalar[u] vector[r]`, for `u` in `0..units` and `r` in
/// `0..TILE_ROWS`, rectified or multiplied by slopes if asked for.
///
/// # Panics
/// If there are more than [`UNITS_MAX`] units, the distances between scalars are none of those that [`Terms`] names, the stride is
/// shorter than a tile, or any of the operands, the ends and the target reaches outside its slice.
// Inlined, so that the views stay in registers: read back as vectors from the stack, they would wait for all stores of the call before.
#[inline(always)]
pub(crate) fn accumulate<T: Real>(
    units: usize,
    terms: Terms<'_, T>,
    ends: Ends<'_, T>,
    (out, stride): (&mut [T], usize),
) {
    if units == 0 {
        return;
    }
    assert!(units <= UNITS_MAX && stride >= TILE_ROWS, "impossible block of {units} sums");
    assert!((units - 1) * stride + TILE_ROWS <= out.len(), "the target of a product is too small");
    assert!(ends.bias.is_none_or(|b| b.len() >= units), "fewer biases than units");
    assert!(ends.addend.is_none_or(|a| a.len() >= units * TILE_ROWS), "fewer addends than units");
    assert!(
        ends.rectifier.is_none_or(|r| r.len() >= units * TILE_ROWS),
        "a rectifier is too short"
    );
    let Terms { runs, scalars, unit, vectors } = terms;
    let Runs { list: runs, step, scalars: to_scalars, vectors: to_vectors } = runs;
    let adjoining = step == 1 && (unit == UNITS_MAX || unit == TILE_ROWS);
    assert!(unit == 1 || adjoining, "no kernel for scalars {unit} and {step} apart");
    if to_vectors > 0 {
        let end = to_scalars.saturating_add((units - 1) * unit);
        assert!(end <= scalars.len(), "a scalar operand reaches outside its slice");
        assert!(to_vectors <= vectors.len(), "a vector operand reaches outside its slice");
    }
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let (scalar_strides, rectified) = ([unit, step], ends.rectified);
        let work = registers::Work { units, runs, scalar_strides, stride, rectified };
        let starts = [ends.bias, ends.addend, ends.rectifier];
        let starts = starts.map(|s| s.map_or(std::ptr::null(), <[T]>::as_ptr));
        let (a, b, c) = (scalars.as_ptr(), vectors.as_ptr(), out.as_mut_ptr());
        // Calls the kernel of a level and a type.
        macro_rules! run {
            ($kernel:ident) => {
                registers::$kernel(&work, a.cast(), b.cast(), starts.map(|p| p.cast()), c.cast())
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
                (Level::Baseline, _) => plain(units, terms, ends, (out, stride)),
            }
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    plain(units, terms, ends, (out, stride));
}

/// The same for any machine.
#[cfg(not(target_arch = "aarch64"))]
fn plain<T: Real>(
    units: usize,
    terms: Terms<'_, T>,
    ends: Ends<'_, T>,
    (out, stride): (&mut [T], usize),
) {
    for u in 0..units {
        let mut sums = [ends.bias.map_or(T::ZERO, |bias| bias[u]); TILE_ROWS];
        if let Some(addend) = ends.addend {
            let addend = &addend[u * TILE_ROWS..][..TILE_ROWS];
            sums.iter_mut().zip(addend).for_each(|(sum, &v)| *sum += v);
        }
        for run in terms.runs.list {
            for k in 0..run.terms {
                let scalar = terms.scalars[run.scalars + u * terms.unit + k * terms.runs.step];
                let rows = &terms.vectors[run.vectors + k * TILE_ROWS..];
                for (sum, &v) in sums.iter_mut().zip(&rows[..TILE_ROWS]) {
                    *sum = v.fma(scalar, *sum);
                }
            }
        }
        if ends.rectified {
            sums.iter_mut().for_each(|sum| *sum = crate::Activation::Relu.apply(*sum));
        }
        if let Some(outputs) = ends.rectifier {
            let outputs = &outputs[u * TILE_ROWS..][..TILE_ROWS];
            let slopes = outputs.iter().map(|&output| crate::Activation::Relu.slope(output));
            sums.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum = *sum * slope);
        }
        out[u * stride..][..TILE_ROWS].copy_from_slice(&sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::at_each_level;

    fn numbers<T: Real>(n: usize, phase: f64) -> Vec<T> {
        (0..n).map(|i| T::from_f64((i as f64 * 1.3 + phase).sin())).collect()
    }

    /// Runs of several lengths, none of them where the one before ends.
    fn runs(lengths: &[usize], between: usize) -> Vec<Run> {
        let mut next = Run::default();
        let run = |&terms: &usize| {
            let run = Run { terms, ..next };
            next.scalars += terms * between + 5;
            next.vectors += (terms + 1) * TILE_ROWS;
            run
        };
        lengths.iter().map(run).collect()
    }

    /// Sums of every shape equal those of `f64`, in all layouts that products use.
    fn sums_equal<T: Real>(limit: f64) {
        let layouts = [(1, UNITS_MAX), (1, 17), (UNITS_MAX, 1), (TILE_ROWS, 1)];
        let lengths: [&[usize]; 4] = [&[0], &[1], &[37], &[TILE_ROWS, 3, 0, 11]];
        let shapes = (1..=UNITS_MAX).flat_map(|u| layouts.map(|layout| (u, layout)));
        for ((units, (unit, step)), lengths) in
            shapes.flat_map(|shape| lengths.map(|lengths| (shape, lengths)))
        {
            let runs = runs(lengths, step);
            let (scalars, vectors) = (numbers::<T>(2000, 0.1), numbers::<T>(2000, 0.7));
            let measured = Runs::new(&runs[..], step);
            let terms = Terms { runs: measured, scalars: &scalars, unit, vectors: &vectors };
            let stride = TILE_ROWS + 3;
            let (bias, addend) = (numbers::<T>(units, 3.0), numbers(units * TILE_ROWS, 4.0));
            let rectified = units % 2 == 0;
            let outputs = numbers::<T>(units * TILE_ROWS, 5.0);
            let gated = units % 3 == 0;
            let ends = Ends {
                bias: Some(&bias),
                addend: Some(&addend),
                rectified,
                rectifier: gated.then_some(&outputs),
            };
            let found = at_each_level(|| {
                let mut out = vec![T::ONE; units * stride];
                accumulate(units, terms, ends, (&mut out, stride));
                out
            });
            for (u, row) in (0..units).flat_map(|u| (0..stride).map(move |row| (u, row))) {
                let mut expected = 1.0;
                if row < TILE_ROWS {
                    let all = runs.iter().flat_map(|run| (0..run.terms).map(move |k| (run, k)));
                    let term = |(run, k): (&Run, usize)| {
                        let scalar = scalars[run.scalars + u * unit + k * step].to_f64();
                        scalar * vectors[run.vectors + k * TILE_ROWS + row].to_f64()
                    };
                    let first = bias[u].to_f64() + addend[u * TILE_ROWS + row].to_f64();
                    let sum = first + all.map(term).sum::<f64>();
                    expected = if rectified { sum.max(0.0) } else { sum };
                    let closed = gated && outputs[u * TILE_ROWS + row].to_f64() <= 0.0;
                    expected *= if closed { 0.0 } else { 1.0 };
                }
                let value = found[0][u * stride + row].to_f64();
                assert!((value - expected).abs() <= limit, "{units} {runs:?}: {value} {expected}");
            }
            let bits = |v: &[T]| format!("{v:?}");
            assert!(found.iter().all(|v| bits(v) == bits(&found[0])), "{units} {runs:?}");
        }
    }

    #[test]
    fn sums_equal_the_plain_ones_and_have_the_same_bits_at_every_level() {
        sums_equal::<f64>(1e-13);
        sums_equal::<f32>(2e-5);
    }

    #[test]
    fn nan_is_not_rectified_away() {
        for value in [f32::NAN, -1.0, 2.0, -0.0] {
            let ends = Ends { bias: Some(&[value]), rectified: true, ..Ends::default() };
            let found = at_each_level(|| {
                let mut out = [9.0f32; TILE_ROWS];
                let none =
                    Terms { runs: Runs::new(&[][..], 1), scalars: &[], unit: 1, vectors: &[] };
                accumulate(1, none, ends, (&mut out, TILE_ROWS));
                out
            });
            let same =
                |v: &f32| v.is_nan() == value.is_nan() && (*v == value.max(0.0) || v.is_nan());
            assert!(found.iter().flatten().all(same), "{value}");
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(found.iter().all(|v| bits(v) == bits(&found[0])), "{value}");
        }
    }

    #[test]
    #[should_panic(expected = "reaches outside")]
    fn an_operand_that_is_too_short_is_refused() {
        let runs = [Run { scalars: 0, vectors: 0, terms: 6 }];
        let (scalars, vectors) = (&[1.0f32; 11], &[1.0f32; 6 * TILE_ROWS]);
        let terms = Terms { runs: Runs::new(&runs[..], 2), scalars, unit: 1, vectors };
        let mut out = [0.0; 2 * TILE_ROWS];
        accumulate(2, terms, Ends::default(), (&mut out, TILE_ROWS));
    }
}
