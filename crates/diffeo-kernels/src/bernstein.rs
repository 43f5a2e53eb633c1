//! Bernstein polynomial with increasing coefficients.

mod composed;

use crate::Real;
use crate::monotone::ScalarMap;
use crate::monotone::columns::{BlockParams, ByColumns, each, lanes_mut};
use crate::monotone::curve::{Curve, CurveKernel};
use crate::monotone::slope::{slope, slope_slope};

/// `z = b - B + (2 B / n) sum_j g_j S_j(t)` on `[-B, B]`, with `t = (x + B) / (2 B)`, `S_j(t) = P(Binomial(n, t) > j)` and slopes `g_j` of the `n`
/// coefficients' increments; beyond, the tangent at the end.
///
/// * forward: data to base, `x -> z`, `dz/dx = sum_j g_j b_j(t)`, `b_j` the Bernstein polynomials of degree `n - 1`: between the least
///   and the largest `g_j`; inverse: the root, bracketed and then Newton's.
/// * All terms are positive, so nothing cancels.
/// * `params: [n, d, n + 1]`, unconstrained: `b`, then the `n` slopes as `min_slope + (1 - min_slope) softplus(p + ln(e - 1))`. All zero is the identity,
///   to rounding.
///
/// # Reference
/// Sick, Hothorn, Dürr. *Deep transformation models: Tackling complex regression problems with neural network based transformation models*. ICPR 2020,
/// eq. 5, arXiv:2004.00464; Ramasinghe, Fernando, Khan, Barnes. *Robust normalizing flows using Bernstein-type polynomials*. 2021, arXiv:2102.03509.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bernstein {
    /// Degree `n`, 2 to [`Bernstein::DEGREE_MAX`].
    pub degree: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
    /// Smallest slope, in `(0, 1)`.
    pub min_slope: f64,
}

impl Bernstein {
    /// Highest degree: binomial coefficients times powers stay within single precision.
    pub const DEGREE_MAX: usize = 64;
}

impl ScalarMap for Bernstein {
    /// `n + 1`.
    fn params_per_dim(&self) -> usize {
        self.degree + 1
    }
}

impl ByColumns for Bernstein {
    type Kernel<T: Real> = CurveKernel<T, Polynomial<T>>;

    fn kernel<T: Real>(&self) -> CurveKernel<T, Polynomial<T>> {
        let is_sound = (2..=Self::DEGREE_MAX).contains(&self.degree)
            && self.bound > 0.0
            && self.min_slope > 0.0
            && self.min_slope < 1.0;
        assert!(is_sound, "impossible polynomial: {self:?}");
        let m = self.degree - 2;
        let mut binomial = 1.0;
        let mut binomials = Vec::with_capacity(m + 1);
        for j in 0..=m {
            binomials.push(T::from_f64(binomial));
            binomial *= (m - j) as f64 / (j + 1) as f64;
        }
        CurveKernel::new(Polynomial {
            binomials,
            bound: T::from_f64(self.bound),
            half: T::from_f64(0.5 / self.bound),
            step: T::from_f64(2.0 * self.bound / self.degree as f64),
            min_slope: T::from_f64(self.min_slope),
        })
    }
}

/// The map's constants.
pub(crate) struct Polynomial<T> {
    /// `C(n - 2, j)`.
    binomials: Vec<T>,
    bound: T,
    /// `1 / (2 B)`.
    half: T,
    /// `2 B / n`.
    step: T,
    min_slope: T,
}

/// Where a block's elements lie: inside as a share of the interval, and how far outside.
struct Place<T, const L: usize> {
    share: [T; L],
    beyond: [T; L],
}

impl<T: Real> Polynomial<T> {
    fn degree(&self) -> usize {
        self.binomials.len() + 1
    }

    #[inline(always)]
    fn place<const L: usize>(&self, x: &[T; L]) -> Place<T, L> {
        let (mut share, mut beyond) = ([T::ZERO; L], [T::ZERO; L]);
        for l in 0..L {
            let held = x[l].held(-self.bound, self.bound);
            share[l] = held.fma(self.half, T::from_f64(0.5)).held(T::ZERO, T::ONE);
            beyond[l] = x[l] - held;
        }
        Place { share, beyond }
    }

    /// The Bernstein polynomials of degree `n - 2` at `t`.
    #[inline(always)]
    fn basis<const L: usize>(&self, basis: &mut [[T; L]], t: &[T; L]) {
        let mut power = [T::ONE; L];
        for (row, &binomial) in basis.iter_mut().zip(&self.binomials) {
            for l in 0..L {
                row[l] = binomial * power[l];
                power[l] = power[l] * t[l];
            }
        }
        let mut power = [T::ONE; L];
        for row in basis[..self.binomials.len()].iter_mut().rev() {
            for l in 0..L {
                row[l] = row[l] * power[l];
                power[l] = power[l] * (T::ONE - t[l]);
            }
        }
    }
}

/// The polynomial `j` of one degree more: `b_j = (1 - t) c_j + t c_{j-1}`.
#[inline(always)]
fn raised<T: Real, const L: usize>(lower: &[[T; L]], j: usize, t: &[T; L]) -> [T; L] {
    let zero = [T::ZERO; L];
    let own = lower.get(j).unwrap_or(&zero);
    let before = if j > 0 { &lower[j - 1] } else { &zero };
    let mut row = zero;
    for l in 0..L {
        row[l] = t[l].fma(before[l], (T::ONE - t[l]) * own[l]);
    }
    row
}

impl<T: Real> Curve<T> for Polynomial<T> {
    fn params(&self) -> usize {
        self.degree() + 1
    }

    /// The slopes, then the polynomials of a lower degree.
    fn room(&self) -> usize {
        2 * self.degree() - 1
    }

    #[inline(always)]
    fn load<const L: usize>(&self, room: &mut [[T; L]], params: BlockParams<'_, T>) {
        for (j, row) in room[..self.degree()].iter_mut().enumerate() {
            *row = each(params.row(1 + j), |raw| slope(raw, self.min_slope));
        }
    }

    #[inline(always)]
    fn forward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        params: BlockParams<'_, T>,
    ) -> ([T; L], [T; L]) {
        let Place { share: t, beyond } = self.place(x);
        let n = self.degree();
        let (slopes, lower) = room.split_at_mut(n);
        self.basis(lower, &t);
        let zero = [T::ZERO; L];
        let (mut rise, mut steep, mut above, mut next) = (zero, zero, zero, zero);
        for j in (0..n).rev() {
            let own = raised(lower, j, &t);
            for l in 0..L {
                let g = slopes[j][l];
                above[l] += t[l].fma(own[l], (T::ONE - t[l]) * next[l]);
                rise[l] = g.fma(above[l], rise[l]);
                steep[l] = g.fma(own[l], steep[l]);
            }
            next = own;
        }
        let shift = params.row::<L>(0);
        let (mut value, mut log_slope) = (zero, zero);
        for l in 0..L {
            let inside = self.step.fma(rise[l], -self.bound);
            value[l] = shift[l] + steep[l].fma(beyond[l], inside);
            log_slope[l] = steep[l].ln();
        }
        (value, log_slope)
    }

    #[inline(always)]
    fn backward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        params: BlockParams<'_, T>,
        [gv, gl]: [&[T; L]; 2],
        to_params: &mut [T],
    ) -> [T; L] {
        let Place { share: t, beyond } = self.place(x);
        let (n, stride) = (self.degree(), params.stride);
        let (slopes, lower) = room.split_at_mut(n);
        self.basis(lower, &t);
        let zero = [T::ZERO; L];
        let (mut steep, mut bend) = (zero, zero);
        for j in 0..n {
            let own = raised(lower, j, &t);
            let after = lower.get(j).unwrap_or(&zero);
            let before = if j > 0 { &lower[j - 1] } else { &zero };
            for l in 0..L {
                let g = slopes[j][l];
                steep[l] = g.fma(own[l], steep[l]);
                bend[l] = g.fma(before[l] - after[l], bend[l]);
            }
        }
        let (mut to_x, mut by_steep) = (zero, zero);
        let rate = T::from_f64((n - 1) as f64) * self.half;
        for l in 0..L {
            let by_log = gl[l] / steep[l];
            let inside = if beyond[l] == T::ZERO { by_log * rate * bend[l] } else { T::ZERO };
            to_x[l] = gv[l].fma(steep[l], inside);
            by_steep[l] = gv[l].fma(beyond[l], by_log);
        }
        let (mut above, mut next) = (zero, zero);
        for j in (0..n).rev() {
            let raw = *params.row::<L>(1 + j);
            let own = raised(lower, j, &t);
            let mut to_raw = zero;
            for l in 0..L {
                above[l] += t[l].fma(own[l], (T::ONE - t[l]) * next[l]);
                let by_slope = (gv[l] * self.step).fma(above[l], by_steep[l] * own[l]);
                to_raw[l] = by_slope * slope_slope(raw[l], self.min_slope);
            }
            *lanes_mut(&mut to_params[(1 + j) * stride..]) = to_raw;
            next = own;
        }
        *lanes_mut(to_params) = *gv;
        to_x
    }
}
