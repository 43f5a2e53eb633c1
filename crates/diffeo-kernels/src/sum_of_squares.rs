//! The integral of a sum of squared polynomials.

mod composed;

use crate::Real;
use crate::affine::bounded;
use crate::monotone::ScalarMap;
use crate::monotone::columns::{BlockParams, ByColumns, each, lanes_mut};
use crate::monotone::curve::{Curve, CurveKernel};
use crate::quadrature::gauss_legendre;

/// `z = b + integral_0^x (m + sum_k p_k(u / B)^2) du` on `[-B, B]` with `K` polynomials `p_k` of degree `r`; beyond, the tangent at the end.
///
/// * forward: data to base, `x -> z`; the integral is exact by Gauss-Legendre quadrature with `r + 1` nodes, whose terms are all positive;
///   inverse: the root, bracketed and then Newton's.
/// * The slope is at least `m = min_slope`; coefficients are held to 30 by `tanh`.
/// * `params: [n, d, K (r + 1) + 1]`, unconstrained: `b`, then the coefficients of each polynomial, ascending, as deviations from a start of which the squares
///   sum to about one, so that zero is near the identity.
///
/// # Reference
/// Jaini, Selby, Yu. *Sum-of-Squares Polynomial Flow*. ICML 2019, eq. 8, arXiv:1905.02325 (interval and least slope are ours).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SumOfSquares {
    /// Number of polynomials `K`, at least 1.
    pub polynomials: usize,
    /// Their degree `r`, at least 1.
    pub degree: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
    /// Smallest slope, in `(0, 1)`.
    pub min_slope: f64,
}

/// Bound of a coefficient.
pub(crate) const COEFFICIENT_MAX: f64 = 30.0;
/// How much the polynomials tilt at the start: alike, they would stay alike.
const TILT: f64 = 0.2;

impl SumOfSquares {
    /// Coefficient `l` of polynomial `k` at the start.
    pub(crate) fn start(&self, k: usize, l: usize) -> f64 {
        let size = ((1.0 - self.min_slope) / self.polynomials as f64).sqrt();
        match (l, self.polynomials) {
            (0, _) => size,
            (1, 2..) => size * TILT * (2.0 * k as f64 / (self.polynomials - 1) as f64 - 1.0),
            _ => 0.0,
        }
    }
}

impl ScalarMap for SumOfSquares {
    /// `K (r + 1) + 1`.
    fn params_per_dim(&self) -> usize {
        self.polynomials * (self.degree + 1) + 1
    }
}

impl ByColumns for SumOfSquares {
    type Kernel<T: Real> = CurveKernel<T, Squares<T>>;

    fn kernel<T: Real>(&self) -> CurveKernel<T, Squares<T>> {
        let is_sound = self.polynomials > 0
            && self.degree > 0
            && self.bound > 0.0
            && self.min_slope > 0.0
            && self.min_slope < 1.0;
        assert!(is_sound, "impossible polynomials: {self:?}");
        let nodes = gauss_legendre(self.degree + 1);
        let starts = (0..self.polynomials)
            .flat_map(|k| (0..=self.degree).map(move |l| T::from_f64(self.start(k, l))));
        CurveKernel::new(Squares {
            starts: starts.collect(),
            nodes: nodes.into_iter().map(|node| node.map(T::from_f64)).collect(),
            bound: T::from_f64(self.bound),
            scale: T::from_f64(self.bound.recip()),
            min_slope: T::from_f64(self.min_slope),
        })
    }
}

/// The map's constants.
pub(crate) struct Squares<T> {
    /// Coefficients at the start, polynomial after polynomial.
    starts: Vec<T>,
    nodes: Vec<[T; 2]>,
    bound: T,
    scale: T,
    min_slope: T,
}

#[inline(always)]
fn coefficient<T: Real>(raw: T) -> (T, T) {
    bounded(raw, T::from_f64(COEFFICIENT_MAX), T::from_f64(COEFFICIENT_MAX.recip()))
}

/// A polynomial and its derivative.
#[inline(always)]
fn horner<T: Real, const L: usize>(row: &[[T; L]], v: &[T; L]) -> ([T; L], [T; L]) {
    let (mut value, mut slope) = ([T::ZERO; L], [T::ZERO; L]);
    for coefficient in row.iter().rev() {
        for l in 0..L {
            slope[l] = slope[l].fma(v[l], value[l]);
            value[l] = value[l].fma(v[l], coefficient[l]);
        }
    }
    (value, slope)
}

impl<T: Real> Squares<T> {
    /// Coefficients of a polynomial.
    fn width(&self) -> usize {
        self.nodes.len()
    }

    /// The integrand at `v`, and half its derivative.
    #[inline(always)]
    fn steepness<const L: usize>(&self, rows: &[[T; L]], v: &[T; L]) -> ([T; L], [T; L]) {
        let (mut sum, mut bend) = ([self.min_slope; L], [T::ZERO; L]);
        for row in rows.chunks_exact(self.width()) {
            let (value, slope) = horner(row, v);
            for l in 0..L {
                sum[l] = value[l].fma(value[l], sum[l]);
                bend[l] = value[l].fma(slope[l], bend[l]);
            }
        }
        (sum, bend)
    }

    /// The elements held to the interval, on its scale, and how far they are beyond.
    #[inline(always)]
    fn place<const L: usize>(&self, x: &[T; L]) -> [[T; L]; 3] {
        let mut place = [[T::ZERO; L]; 3];
        for l in 0..L {
            let held = x[l].held(-self.bound, self.bound);
            (place[0][l], place[1][l], place[2][l]) = (held, held * self.scale, x[l] - held);
        }
        place
    }

    /// Adds `weight` times the gradient of the integrand at `v` by each coefficient.
    #[inline(always)]
    fn gather<const L: usize>(
        &self,
        rows: &[[T; L]],
        v: &[T; L],
        weight: &[T; L],
        to: &mut [[T; L]],
    ) {
        let width = self.width();
        for (row, to) in rows.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
            let (value, _) = horner(row, v);
            let mut term = *weight;
            for l in 0..L {
                term[l] = (term[l] + term[l]) * value[l];
            }
            for to in to {
                for l in 0..L {
                    to[l] += term[l];
                    term[l] = term[l] * v[l];
                }
            }
        }
    }
}

impl<T: Real> Curve<T> for Squares<T> {
    fn params(&self) -> usize {
        self.starts.len() + 1
    }

    /// The coefficients, then their gradients.
    fn room(&self) -> usize {
        2 * self.starts.len()
    }

    #[inline(always)]
    fn load<const L: usize>(&self, room: &mut [[T; L]], params: BlockParams<'_, T>) {
        for (i, (row, &start)) in room.iter_mut().zip(&self.starts).enumerate() {
            let raw = params.row::<L>(1 + i);
            for l in 0..L {
                row[l] = start + coefficient(raw[l]).0;
            }
        }
    }

    #[inline(always)]
    fn forward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        params: BlockParams<'_, T>,
    ) -> ([T; L], [T; L]) {
        let rows = &room[..self.starts.len()];
        let [held, v, beyond] = self.place(x);
        let mut mean = [T::ZERO; L];
        for &[node, weight] in &self.nodes {
            let (steep, _) = self.steepness(rows, &each(&v, |v| v * node));
            for l in 0..L {
                mean[l] = weight.fma(steep[l], mean[l]);
            }
        }
        let (steep, _) = self.steepness(rows, &v);
        let shift = params.row::<L>(0);
        let (mut value, mut log_slope) = (mean, mean);
        for l in 0..L {
            value[l] = shift[l] + steep[l].fma(beyond[l], held[l] * mean[l]);
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
        let (rows, to) = room.split_at_mut(self.starts.len());
        to.fill([T::ZERO; L]);
        let [held, v, beyond] = self.place(x);
        for &[node, weight] in &self.nodes {
            let mut share = [T::ZERO; L];
            for l in 0..L {
                share[l] = gv[l] * held[l] * weight;
            }
            self.gather(rows, &each(&v, |v| v * node), &share, to);
        }
        let (steep, bend) = self.steepness(rows, &v);
        let (mut to_x, mut at_end) = ([T::ZERO; L], [T::ZERO; L]);
        for l in 0..L {
            let by_log = gl[l] / steep[l];
            let twice = bend[l] + bend[l];
            let inside = if beyond[l] == T::ZERO { by_log * twice * self.scale } else { T::ZERO };
            to_x[l] = gv[l].fma(steep[l], inside);
            at_end[l] = gv[l].fma(beyond[l], by_log);
        }
        self.gather(rows, &v, &at_end, to);
        let stride = params.stride;
        for (i, to) in to.iter().enumerate() {
            let raw = *params.row::<L>(1 + i);
            let mut by_raw = *to;
            for l in 0..L {
                by_raw[l] = to[l] * coefficient(raw[l]).1;
            }
            *lanes_mut(&mut to_params[(1 + i) * stride..]) = by_raw;
        }
        *lanes_mut(to_params) = *gv;
        to_x
    }
}
