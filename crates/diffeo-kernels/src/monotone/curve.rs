//! Maps that have a formula for one direction only: the other is the root of an equation, and its gradient that of the implicit function.

use super::columns::{BlockParams, ColumnKernel, Params, each, lanes, lanes_mut, with_lanes};
use super::{ArgumentGradients, MapGradients};
use crate::Real;
use crate::dispatch::dispatched;
use std::hint::select_unpredictable as pick;

/// A strictly increasing function onto the real line, on blocks of `L` elements, with its constants in one type.
///
/// The elements of a block are finite numbers; what is not has been dealt with. Must be `#[inline(always)]`, so that it is compiled for the
/// instruction set of the caller.
pub(crate) trait Curve<T: Real>: Send + Sync {
    /// Parameters that an element needs.
    fn params(&self) -> usize;

    /// Rows of `L` numbers of working memory.
    fn room(&self) -> usize;

    /// Computes what follows from the parameters alone, once for all that is asked of a block: the other methods find it in the room, and must leave it there.
    fn load<const L: usize>(&self, room: &mut [[T; L]], params: BlockParams<'_, T>) {
        let _ = (room, params);
    }

    /// `x -> (z, ln dz/dx)`.
    fn forward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        params: BlockParams<'_, T>,
    ) -> ([T; L], [T; L]);

    /// Gradients by `x`, which are returned, and by the parameters, which are written where [`BlockParams`] would read them, given those by value
    /// and log-slope.
    fn backward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        params: BlockParams<'_, T>,
        from: [&[T; L]; 2],
        to_params: &mut [T],
    ) -> [T; L];
}

/// A curve and its working memory.
pub(crate) struct CurveKernel<T, C> {
    curve: C,
    room: Vec<T>,
}

/// Most lanes of a block.
const LANES_MAX: usize = 32;

impl<T: Real, C: Curve<T>> CurveKernel<T, C> {
    pub(crate) fn new(curve: C) -> Self {
        Self { room: vec![T::ZERO; curve.room() * LANES_MAX], curve }
    }

    #[inline(always)]
    fn parts<const L: usize>(&mut self) -> (&C, &mut [[T; L]]) {
        let rows = self.room.as_chunks_mut::<L>().0;
        let count = self.curve.room();
        (&self.curve, &mut rows[..count])
    }
}

impl<T: Real, C: Curve<T>> ColumnKernel<T> for CurveKernel<T, C> {
    fn map(
        &mut self,
        input: &[T],
        params: Params<'_, T>,
        value: &mut [T],
        log_slope: &mut [T],
        inverse: bool,
    ) {
        map(self, input, params, value, log_slope, inverse);
    }

    fn backward(
        &mut self,
        x: &[T],
        params: Params<'_, T>,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
        inverse: bool,
    ) {
        backward(self, x, params, from, to, inverse);
    }
}

dispatched! {
    fn map<T: Real, C: Curve<T>>(
        kernel: &mut CurveKernel<T, C>,
        input: &[T],
        params: Params<'_, T>,
        value: &mut [T],
        log_slope: &mut [T],
        inverse: bool,
    ) {
        with_lanes!(T, L => map_lanes::<T, C, L>(kernel, input, params, value, log_slope, inverse))
    }
}

#[inline(always)]
fn map_lanes<T: Real, C: Curve<T>, const L: usize>(
    kernel: &mut CurveKernel<T, C>,
    input: &[T],
    params: Params<'_, T>,
    value: &mut [T],
    log_slope: &mut [T],
    inverse: bool,
) {
    let (curve, room) = kernel.parts::<L>();
    for at in (0..input.len()).step_by(L) {
        let input = lanes::<T, L>(&input[at..]);
        let params = params.from(params.start(at));
        let safe = finite_or_zero(input);
        curve.load(room, params);
        let (v, s) = match inverse {
            true => root(curve, room, &safe, params),
            false => curve.forward(room, &safe, params),
        };
        let value = lanes_mut::<T, L>(&mut value[at..]);
        let log_slope = lanes_mut::<T, L>(&mut log_slope[at..]);
        for l in 0..L {
            // What is infinite stays as it is, with log-slope 0; NaN stays NaN.
            let bad = if input[l].is_nan() { input[l] } else { T::ZERO };
            value[l] = if input[l].is_finite() { v[l] } else { input[l] };
            log_slope[l] = if input[l].is_finite() { s[l] } else { bad };
        }
    }
}

dispatched! {
    fn backward<T: Real, C: Curve<T>>(
        kernel: &mut CurveKernel<T, C>,
        x: &[T],
        params: Params<'_, T>,
        from: MapGradients<'_, T>,
        to: ArgumentGradients<'_, T>,
        inverse: bool,
    ) {
        with_lanes!(T, L => backward_lanes::<T, C, L>(kernel, x, params, from, to, inverse))
    }
}

#[inline(always)]
fn backward_lanes<T: Real, C: Curve<T>, const L: usize>(
    kernel: &mut CurveKernel<T, C>,
    x: &[T],
    params: Params<'_, T>,
    from: MapGradients<'_, T>,
    to: ArgumentGradients<'_, T>,
    inverse: bool,
) {
    let (curve, room) = kernel.parts::<L>();
    let stride = params.stride;
    for at in (0..x.len()).step_by(L) {
        let x = lanes::<T, L>(&x[at..]);
        let start = params.start(at);
        let (params, to_params) = (params.from(start), &mut to.params[start..]);
        let safe = finite_or_zero(x);
        curve.load(room, params);
        let (gv, gl) = (lanes(&from.value[at..]), lanes(&from.log_slope[at..]));
        let to_x = match inverse {
            true => implicit(curve, room, &safe, params, [gv, gl], to_params),
            false => curve.backward(room, &safe, params, [gv, gl], to_params),
        };
        let to_input = lanes_mut::<T, L>(&mut to.input[at..]);
        for l in 0..L {
            to_input[l] = if x[l].is_finite() { to_x[l] } else { gv[l] };
        }
        if x.iter().all(|x| x.is_finite()) {
            continue;
        }
        for p in 0..curve.params() {
            let to_params = lanes_mut::<T, L>(&mut to_params[p * stride..]);
            for l in 0..L {
                to_params[l] = if x[l].is_finite() { to_params[l] } else { T::ZERO };
            }
        }
    }
}

#[inline(always)]
fn finite_or_zero<T: Real, const L: usize>(x: &[T; L]) -> [T; L] {
    let mut safe = *x;
    for x in &mut safe {
        *x = if x.is_finite() { *x } else { T::ZERO };
    }
    safe
}

/// Steps of the search: far more than it takes to reach any number of the type and then to halve down to its last digit.
const STEPS: usize = 2500;

/// Rounding errors that a curve's values may have when its sums have canceled.
const NOISE: f64 = 16.0;

/// Where the search for the roots of a block stands.
struct Search<T, const L: usize> {
    x: [T; L],
    /// The bracket; infinite on a side that has not been seen yet.
    low: [T; L],
    high: [T; L],
    /// How far a step may go as long as a side is open.
    reach: [T; L],
    /// Size of the last residual.
    last: [T; L],
    /// 1 for a lane that has arrived: it rests while others go on, so that its bits do not depend on them.
    arrived: [T; L],
}

impl<T: Real, const L: usize> Search<T, L> {
    #[inline(always)]
    fn new(z: &[T; L]) -> Self {
        Self {
            x: *z,
            low: [-T::INFINITY; L],
            high: [T::INFINITY; L],
            // Far more than the distance of neighbouring numbers.
            reach: each(z, |z| T::ONE + z.abs()),
            last: [T::INFINITY; L],
            arrived: [T::ZERO; L],
        }
    }

    /// Goes one step: Newton's where it stays inside the bracket and the residual at least halves; else to the middle of the bracket or, while
    /// it is open, twice as far as before. Where a residual no longer halves and is of the size of rounding errors, it is one: the search has arrived. Returns whether all have.
    #[inline(always)]
    fn step(&mut self, z: &[T; L], (value, log_slope): ([T; L], [T; L])) -> bool {
        let (half, two) = (T::from_f64(0.5), T::from_f64(2.0));
        let mut open = T::ZERO;
        for l in 0..L {
            let (x, residual) = (self.x[l], value[l] - z[l]);
            let (low, high) = (
                pick(residual < T::ZERO, x, self.low[l]),
                pick(residual > T::ZERO, x, self.high[l]),
            );
            let newton = -residual * (-log_slope[l]).exp();
            let slow = residual.abs() > half * self.last[l];
            let is_open = !(low.is_finite() & high.is_finite());
            let sign = pick(residual > T::ZERO, -T::ONE, T::ONE);
            let far = sign * self.reach[l];
            let limited = pick(newton.abs() < self.reach[l], newton, far);
            let outward = x + pick(slow, far, limited);
            let inside = (x + newton > low) & (x + newton < high) & !slow;
            let inward = pick(inside, x + newton, half * low + half * high);
            let (rounding, noise) = (T::EPSILON * (T::ONE + z[l].abs()), T::from_f64(NOISE));
            let is_noise = (residual.abs() <= noise * rounding)
                | (newton.abs() <= noise * T::EPSILON * x.abs());
            let near = (residual.abs() <= rounding) | (slow & is_noise);
            let next = pick(near, x + newton, pick(is_open, outward, inward));
            let unit = T::from_f64(2.0) * T::EPSILON * (T::ONE + next.abs());
            let moved = (next - x).abs();
            let still = (moved <= unit) | near | moved.is_nan();
            let next = pick(residual == T::ZERO, x, next);
            let rests = self.arrived[l] > T::ZERO;
            self.x[l] = pick(rests, x, next);
            (self.low[l], self.high[l]) = (low, high);
            self.reach[l] = pick(is_open, two * self.reach[l], self.reach[l]);
            self.last[l] = residual.abs();
            self.arrived[l] = pick(rests | still, T::ONE, T::ZERO);
            open += T::ONE - self.arrived[l];
        }
        open == T::ZERO
    }
}

/// `x` with `f(x) = z`, of `L` elements side by side; `forward` has values of an increasing function onto the real line and the logarithms of its slopes.
///
/// The bracket grows from `x = z` until it holds the root; then Newton's method goes on inside it, with halves where it would leave it or is slow (after
/// Press et al. *Numerical Recipes*, 3rd edition, section 9.4). An element that has arrived rests, so its bits do not depend on the others; where a value is NaN the search of its element ends.
#[inline(always)]
pub fn roots<T: Real, const L: usize>(
    z: &[T; L],
    mut forward: impl FnMut(&[T; L]) -> ([T; L], [T; L]),
) -> [T; L] {
    let mut search = Search::new(z);
    for _ in 0..STEPS {
        let mapped = forward(&search.x);
        if search.step(z, mapped) {
            break;
        }
    }
    search.x
}

/// `x` with `curve(x) = z`, and `ln dx/dz` there.
#[inline(always)]
fn root<T: Real, C: Curve<T>, const L: usize>(
    curve: &C,
    room: &mut [[T; L]],
    z: &[T; L],
    params: BlockParams<'_, T>,
) -> ([T; L], [T; L]) {
    // Not by `roots`: its closure would be left a call, which is compiled for the baseline.
    let mut search = Search::new(z);
    for _ in 0..STEPS {
        let mapped = curve.forward(room, &search.x, params);
        if search.step(z, mapped) {
            break;
        }
    }
    let x = search.x;
    let (_, mut log_slope) = curve.forward(room, &x, params);
    log_slope.iter_mut().for_each(|s| *s = -*s);
    (x, log_slope)
}

/// Backward pass of [`root`], given its result `x`: `dx/dz = 1 / f'(x)`, `dx/dp = -f_p / f'(x)`, and the log-slope is `-ln f'(x)`.
#[inline(always)]
fn implicit<T: Real, C: Curve<T>, const L: usize>(
    curve: &C,
    room: &mut [[T; L]],
    x: &[T; L],
    params: BlockParams<'_, T>,
    [gv, gl]: [&[T; L]; 2],
    to_params: &mut [T],
) -> [T; L] {
    let (_, log_slope) = curve.forward(room, x, params);
    let (zero, one) = ([T::ZERO; L], [T::ONE; L]);
    let bend = curve.backward(room, x, params, [&zero, &one], to_params);
    let mut by_z = zero;
    let (mut by_value, mut by_log_slope) = (zero, zero);
    for l in 0..L {
        by_z[l] = (gv[l] - gl[l] * bend[l]) * (-log_slope[l]).exp();
        (by_value[l], by_log_slope[l]) = (-by_z[l], -gl[l]);
    }
    curve.backward(room, x, params, [&by_value, &by_log_slope], to_params);
    by_z
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monotone::columns::ByColumns;
    use crate::{Bernstein, LogisticMixture, MonotonicNetwork, PolynomialSpline, SumOfSquares};

    const LANES: usize = 32;

    /// Evaluations that the roots of a block take, on average and at most; images of points in the middle and far out.
    fn evaluations<T: Real, C: Curve<T>>(mut kernel: CurveKernel<T, C>) -> [f64; 2] {
        let (curve, room) = kernel.parts::<LANES>();
        let (mut sum, mut most, blocks) = (0, 0, 50);
        for block in 0..blocks {
            let number = |i: usize| ((block * 7919 + i) as f64 * 2.399_963 + 1.0).sin();
            let raw: Vec<T> = (0..curve.params() * LANES).map(|i| T::from_f64(number(i))).collect();
            let params = BlockParams { data: &raw, stride: LANES };
            let x: [T; LANES] = std::array::from_fn(|i| T::from_f64(4.0 * number(i + 5000)));
            curve.load(room, params);
            let (z, _) = curve.forward(room, &x, params);
            let mut count = 0;
            let found = roots(&z, |x| {
                count += 1;
                curve.forward(room, x, params)
            });
            let (again, _) = curve.forward(room, &found, params);
            for l in 0..LANES {
                let off = (again[l] - z[l]).abs();
                let allowed = T::from_f64(64.0) * T::EPSILON * (T::ONE + z[l].abs());
                assert!(off <= allowed, "{off} is left at {}", found[l]);
            }
            (sum, most) = (sum + count, most.max(count));
        }
        [f64::from(sum) / blocks as f64, f64::from(most)]
    }

    fn check<
        M: ByColumns<Kernel<f32> = CurveKernel<f32, A>, Kernel<f64> = CurveKernel<f64, B>>,
        A: Curve<f32>,
        B: Curve<f64>,
    >(
        map: &M,
    ) {
        let counts = [evaluations(map.kernel::<f32>()), evaluations(map.kernel::<f64>())];
        println!("{map:?}: {counts:?}");
        assert!(counts.iter().all(|[mean, most]| *mean < 12.0 && *most < 16.0), "{counts:?}");
    }

    #[test]
    fn roots_take_few_evaluations_also_where_rounding_hides_the_last_digits() {
        check(&MonotonicNetwork { units: 16, nodes: 32, bound: 5.0, min_slope: 1e-3 });
        check(&LogisticMixture { components: 16, depth: 1 });
        check(&LogisticMixture { components: 8, depth: 2 });
        check(&Bernstein { degree: 8, bound: 5.0, min_slope: 1e-3 });
        check(&SumOfSquares { polynomials: 3, degree: 4, bound: 5.0, min_slope: 1e-3 });
        check(&PolynomialSpline {
            degree: 2,
            bins: 8,
            bound: 5.0,
            min_size: 1e-3,
            min_slope: 1e-3,
        });
    }
}
