//! Splines whose slope is a polynomial between knots.

mod composed;

use crate::Real;
use crate::monotone::ScalarMap;
use crate::monotone::columns::{BlockParams, ByColumns, each, lanes_mut};
use crate::monotone::curve::{Curve, CurveKernel};
use crate::monotone::slope::{slope, slope_slope};
use crate::tiles::unit_by_unit;
use std::hint::select_unpredictable as pick;

/// Maps `[-B, B]` onto itself with slope `a (1 - t)^2 + 2 m t (1 - t) + b t^2` in a bin, `t = (x - x_k) / w_k`; beyond, the tangent at the end.
///
/// * `degree` 1: `a = m = b`, a slope for each bin (a histogram: the slope jumps at knots). 2: slopes `a`, `b` at the knots and `m` halfway between, so the
///   slope is continuous and linear in a bin. 3: any positive `a`, `m`, `b`, so the slope is continuous and quadratic in a bin. From degree 2 on the
///   slope is 1 at both ends, and the map the identity beyond.
/// * forward: data to base, `x -> z`: the sum of the bins before, and `w (a (t - t^2 + t^3 / 3) + m (t^2 - 2 t^3 / 3) + b t^3 / 3)`; inverse: the root, bracketed
///   and then Newton's. All terms are positive, so nothing cancels.
/// * `params: [n, d, ...]`, unconstrained: `K` widths as in [`crate::RationalQuadratic`], the `K - 1` slopes at inner knots (degree 2 and 3), the `K` slopes `m` (degree 1
///   and 3). Slopes are `c (min_slope + (1 - min_slope) softplus(p + ln(e - 1)))`, and `c` makes them reach `B`. All zero is the identity.
///
/// # Reference
/// Müller, McWilliams, Rousselle, Gross, Novák. *Neural Importance Sampling*. ACM Trans. Graph. 38, 2019, eqs. 11-15, arXiv:1808.03856 (degree 1 and 2);
/// Durkan, Bekasov, Murray, Papamakarios. *Cubic-Spline Flows*. 2019, arXiv:1906.02145 (degree 3, there with knots and Steffen's slopes for parameters).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolynomialSpline {
    /// 1, 2 or 3.
    pub degree: usize,
    /// Number of bins `K`, at least 2.
    pub bins: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
    /// Smallest width of a bin as a share of the interval; `bins * min_size < 1`.
    pub min_size: f64,
    /// Smallest slope before they are scaled, in `(0, 1)`.
    pub min_slope: f64,
}

impl PolynomialSpline {
    /// Inner slopes at knots.
    fn knots(&self) -> usize {
        if self.degree > 1 { self.bins - 1 } else { 0 }
    }

    /// Slopes within bins.
    fn middles(&self) -> usize {
        if self.degree == 2 { 0 } else { self.bins }
    }
}

impl ScalarMap for PolynomialSpline {
    /// `2 K`, `2 K - 1` and `3 K - 1` for degrees 1, 2 and 3.
    fn params_per_dim(&self) -> usize {
        self.bins + self.knots() + self.middles()
    }
}

impl ByColumns for PolynomialSpline {
    type Kernel<T: Real> = CurveKernel<T, Spline<T>>;

    fn kernel<T: Real>(&self) -> CurveKernel<T, Spline<T>> {
        let is_sound = (1..=3).contains(&self.degree)
            && self.bins > 1
            && self.bound > 0.0
            && self.min_size > 0.0
            && self.bins as f64 * self.min_size < 1.0
            && self.min_slope > 0.0
            && self.min_slope < 1.0;
        assert!(is_sound, "impossible spline: {self:?}");
        let length = 2.0 * self.bound;
        CurveKernel::new(Spline {
            bins: self.bins,
            knots: self.knots(),
            middles: self.middles(),
            bound: T::from_f64(self.bound),
            length: T::from_f64(length),
            least: T::from_f64(length * self.min_size),
            free: T::from_f64(length * (1.0 - self.bins as f64 * self.min_size)),
            min_slope: T::from_f64(self.min_slope),
        })
    }
}

/// The map's constants.
pub(crate) struct Spline<T> {
    bins: usize,
    knots: usize,
    middles: usize,
    bound: T,
    /// `2 B`.
    length: T,
    /// Least width, and what is left to be shared.
    least: T,
    free: T,
    min_slope: T,
}

/// What follows from the parameters, a row for each bin, knot or middle.
struct Loaded<'a, T, const L: usize> {
    widths: &'a [[T; L]],
    /// Slopes before they are scaled: of knots, then of middles.
    slopes: &'a [[T; L]],
    /// `c`, and the length that all slopes before scaling would reach.
    scale: &'a [T; L],
    reach: &'a [T; L],
}

/// The bin that each element lies in.
struct Bin<T, const L: usize> {
    /// Its left end in `x` and in `z`, and its width.
    x: [T; L],
    z: [T; L],
    width: [T; L],
    /// Slopes at its left end, within, and at its right end.
    slopes: [[T; L]; 3],
    /// Its number.
    index: [T; L],
}

/// Integrals from 0 to `t` of `(1 - t)^2`, `2 t (1 - t)` and `t^2`.
#[inline(always)]
fn integrals<T: Real>(t: T) -> [T; 3] {
    let third = T::from_f64(1.0 / 3.0);
    let (square, cube) = (t * t, t * t * t * third);
    [t - square + cube, square - (cube + cube), cube]
}

/// `(1 - t)^2`, `2 t (1 - t)` and `t^2`.
#[inline(always)]
fn shares<T: Real>(t: T) -> [T; 3] {
    let rest = T::ONE - t;
    [rest * rest, (t + t) * rest, t * t]
}

/// Three numbers of a lane.
#[inline(always)]
fn lane<T: Real, const L: usize>(rows: &[[T; L]; 3], l: usize) -> [T; 3] {
    [rows[0][l], rows[1][l], rows[2][l]]
}

#[inline(always)]
fn dot<T: Real>(a: [T; 3], b: [T; 3]) -> T {
    a[0].fma(b[0], a[1].fma(b[1], a[2] * b[2]))
}

impl<T: Real> Spline<T> {
    /// Rows that are loaded: logits turned into widths, slopes, `c`, and the reach.
    fn rows(&self) -> usize {
        self.bins + self.knots + self.middles + 2
    }

    #[inline(always)]
    fn loaded<'a, const L: usize>(&self, room: &'a [[T; L]]) -> Loaded<'a, T, L> {
        let (widths, room) = room.split_at(self.bins);
        let (slopes, room) = room.split_at(self.knots + self.middles);
        Loaded { widths, slopes, scale: &room[0], reach: &room[1] }
    }

    /// The slopes at the left end, within, and at the right end of a bin; `pinned` are those of the outermost knots.
    #[inline(always)]
    fn slopes<const L: usize>(&self, slopes: &[[T; L]], k: usize, pinned: &[T; L]) -> [[T; L]; 3] {
        let middle = |k: usize| slopes[self.knots + k];
        if self.knots == 0 {
            return [middle(k); 3];
        }
        let left = if k > 0 { slopes[k - 1] } else { *pinned };
        let right = if k + 1 < self.bins { slopes[k] } else { *pinned };
        if self.middles > 0 {
            return [left, middle(k), right];
        }
        let mut half = left;
        for l in 0..L {
            half[l] = T::from_f64(0.5) * (left[l] + right[l]);
        }
        [left, half, right]
    }

    /// The share of a bin's length that each pinned end reaches by itself.
    fn pinned(&self) -> T {
        T::from_f64(match (self.knots, self.middles) {
            (0, _) => 0.0,
            (_, 0) => 0.5,
            _ => 1.0 / 3.0,
        })
    }

    /// Adds the gradients by the slopes of a bin to those of the parameters they are.
    #[inline(always)]
    fn add<const L: usize>(
        &self,
        to: &mut [[T; L]],
        k: usize,
        [left, middle, right]: &[[T; L]; 3],
    ) {
        let half = T::from_f64(0.5);
        for l in 0..L {
            if self.knots == 0 {
                to[k][l] += left[l] + middle[l] + right[l];
                continue;
            }
            let (mut to_left, mut to_right) = (left[l], right[l]);
            if self.middles > 0 {
                to[self.knots + k][l] += middle[l];
            } else {
                to_left = middle[l].fma(half, to_left);
                to_right = middle[l].fma(half, to_right);
            }
            if k > 0 {
                to[k - 1][l] += to_left;
            }
            if k + 1 < self.bins {
                to[k][l] += to_right;
            }
        }
    }

    #[inline(always)]
    fn bin<const L: usize>(&self, loaded: &Loaded<'_, T, L>, held: &[T; L]) -> Bin<T, L> {
        let (zero, third) = ([T::ZERO; L], T::from_f64(1.0 / 3.0));
        let start = [-self.bound; L];
        let mut bin = Bin { x: start, z: start, width: zero, slopes: [zero; 3], index: zero };
        let (mut x, mut z) = (start, start);
        let pinned = each(loaded.scale, |scale| T::ONE / scale);
        for k in 0..self.bins {
            let width = &loaded.widths[k];
            let slopes = self.slopes(loaded.slopes, k, &pinned);
            for l in 0..L {
                let here = (held[l] >= x[l]) | (k == 0);
                bin.x[l] = pick(here, x[l], bin.x[l]);
                bin.z[l] = pick(here, z[l], bin.z[l]);
                bin.width[l] = pick(here, width[l], bin.width[l]);
                bin.index[l] = pick(here, T::from_f64(k as f64), bin.index[l]);
                let scale = loaded.scale[l];
                let scaled = [slopes[0][l] * scale, slopes[1][l] * scale, slopes[2][l] * scale];
                for i in 0..3 {
                    bin.slopes[i][l] = pick(here, scaled[i], bin.slopes[i][l]);
                }
                x[l] += width[l];
                z[l] = width[l].fma(third * (scaled[0] + scaled[1] + scaled[2]), z[l]);
            }
        }
        bin
    }

    /// Gradients by widths and slopes before scaling from those by the numbers of the bin, through all bins before it and `c`.
    #[inline(always)]
    fn spread<const L: usize>(
        &self,
        loaded: &Loaded<'_, T, L>,
        (bin, by): (&Bin<T, L>, &ByBin<T, L>),
        (to_widths, to_slopes): (&mut [[T; L]], &mut [[T; L]]),
    ) {
        let third = T::from_f64(1.0 / 3.0);
        let pinned = each(loaded.scale, |scale| T::ONE / scale);
        let zero = [T::ZERO; L];
        let mut to_scale = zero;
        for k in 0..self.bins {
            let slopes = self.slopes(loaded.slopes, k, &pinned);
            // Pinned ends do not follow `c`.
            let free = self.slopes(loaded.slopes, k, &zero);
            let number = T::from_f64(k as f64);
            let mut to = [zero; 3];
            for l in 0..L {
                let (here, before) = (bin.index[l] == number, number < bin.index[l]);
                let through = pick(before, by.z[l] * third, T::ZERO);
                let scale = loaded.scale[l];
                let mean = scale * (slopes[0][l] + slopes[1][l] + slopes[2][l]);
                let own = pick(here, by.width[l], pick(before, by.x[l], T::ZERO));
                to_widths[k][l] = through.fma(mean, own);
                for (i, to) in to.iter_mut().enumerate() {
                    let by_slope =
                        through.fma(loaded.widths[k][l], pick(here, by.slopes[i][l], T::ZERO));
                    to[l] = by_slope;
                    to_scale[l] = by_slope.fma(free[i][l], to_scale[l]);
                }
            }
            self.add(to_slopes, k, &to);
        }
        self.by_scale(loaded, &to_scale, (to_widths, to_slopes));
    }

    /// Turns gradients by scaled slopes into those before scaling, and adds what comes through `c = (2 B - p (w_1 + w_K)) / reach`.
    #[inline(always)]
    fn by_scale<const L: usize>(
        &self,
        loaded: &Loaded<'_, T, L>,
        to_scale: &[T; L],
        (to_widths, to_slopes): (&mut [[T; L]], &mut [[T; L]]),
    ) {
        let third = T::from_f64(1.0 / 3.0);
        let zero = [T::ZERO; L];
        let mut through = zero;
        for l in 0..L {
            through[l] = to_scale[l] / loaded.reach[l];
        }
        for row in to_slopes.iter_mut() {
            for l in 0..L {
                row[l] = row[l] * loaded.scale[l];
            }
        }
        for k in 0..self.bins {
            // Without the pinned ends.
            let slopes = self.slopes(loaded.slopes, k, &zero);
            let is_end = T::from_f64(f64::from(u8::from(k == 0) + u8::from(k + 1 == self.bins)));
            let mut by_slope = zero;
            for l in 0..L {
                let mean = third * (slopes[0][l] + slopes[1][l] + slopes[2][l]);
                let fall = is_end.fma(self.pinned(), loaded.scale[l] * mean);
                to_widths[k][l] -= through[l] * fall;
                by_slope[l] = -through[l] * loaded.scale[l] * loaded.widths[k][l] * third;
            }
            self.add(to_slopes, k, &[by_slope; 3]);
        }
    }
}

/// Gradients by the numbers of a [`Bin`].
struct ByBin<T, const L: usize> {
    x: [T; L],
    z: [T; L],
    width: [T; L],
    slopes: [[T; L]; 3],
}

impl<T: Real> Curve<T> for Spline<T> {
    fn params(&self) -> usize {
        self.bins + self.knots + self.middles
    }

    /// What is loaded, then gradients of widths and slopes.
    fn room(&self) -> usize {
        self.rows() + self.bins + self.knots + self.middles
    }

    #[inline(always)]
    fn load<const L: usize>(&self, room: &mut [[T; L]], params: BlockParams<'_, T>) {
        let mut top = [-T::INFINITY; L];
        for k in 0..self.bins {
            let raw = params.row::<L>(k);
            for l in 0..L {
                top[l] = pick(raw[l] > top[l], raw[l], top[l]);
            }
        }
        let (widths, room) = room.split_at_mut(self.bins);
        let mut total = [T::ZERO; L];
        for (k, row) in widths.iter_mut().enumerate() {
            let raw = params.row::<L>(k);
            for l in 0..L {
                row[l] = (raw[l] - top[l]).exp_nonpositive();
                total[l] += row[l];
            }
        }
        for row in widths.iter_mut() {
            unit_by_unit();
            for l in 0..L {
                row[l] = self.free.fma(row[l] / total[l], self.least);
            }
        }
        let (slopes, room) = room.split_at_mut(self.knots + self.middles);
        for (j, row) in slopes.iter_mut().enumerate() {
            *row = each(params.row(self.bins + j), |raw| slope(raw, self.min_slope));
        }
        let zero = [T::ZERO; L];
        let third = T::from_f64(1.0 / 3.0);
        let mut reach = zero;
        for k in 0..self.bins {
            let own = self.slopes(slopes, k, &zero);
            for l in 0..L {
                reach[l] = widths[k][l].fma(third * (own[0][l] + own[1][l] + own[2][l]), reach[l]);
            }
        }
        for l in 0..L {
            let ends = widths[0][l] + widths[self.bins - 1][l];
            room[0][l] = (self.length - self.pinned() * ends) / reach[l];
        }
        room[1] = reach;
    }

    #[inline(always)]
    fn forward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        _params: BlockParams<'_, T>,
    ) -> ([T; L], [T; L]) {
        let loaded = self.loaded(room);
        let held = each(x, |x| x.held(-self.bound, self.bound));
        let bin = self.bin(&loaded, &held);
        let (mut value, mut log_slope) = ([T::ZERO; L], [T::ZERO; L]);
        for l in 0..L {
            let t = ((held[l] - bin.x[l]) / bin.width[l]).held(T::ZERO, T::ONE);
            let slopes = lane(&bin.slopes, l);
            let steep = dot(slopes, shares(t));
            let inside = bin.width[l].fma(dot(slopes, integrals(t)), bin.z[l]);
            let beyond = x[l] - held[l];
            let is_inside = beyond == T::ZERO;
            let flat = (self.knots > 0) & !is_inside;
            value[l] = pick(is_inside, inside, steep.fma(beyond, held[l]));
            value[l] = pick(flat, x[l], value[l]);
            log_slope[l] = pick(flat, T::ZERO, steep.ln());
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
        let (rows, to) = room.split_at_mut(self.rows());
        let loaded = self.loaded(rows);
        let held = each(x, |x| x.held(-self.bound, self.bound));
        let bin = self.bin(&loaded, &held);
        let zero = [T::ZERO; L];
        let mut by = ByBin { x: zero, z: zero, width: zero, slopes: [zero; 3] };
        let mut to_x = zero;
        for l in 0..L {
            let t = ((held[l] - bin.x[l]) / bin.width[l]).held(T::ZERO, T::ONE);
            let slopes = lane(&bin.slopes, l);
            let (shares, integrals) = (shares(t), integrals(t));
            let steep = dot(slopes, shares);
            let beyond = x[l] - held[l];
            let is_inside = beyond == T::ZERO;
            let flat = (self.knots > 0) & !is_inside;
            let by_steep = pick(flat, T::ZERO, gl[l] / steep);
            let by_value = pick(is_inside, gv[l], T::ZERO);
            let turn = (slopes[1] - slopes[0]).fma(T::ONE - t, (slopes[2] - slopes[1]) * t);
            let by_place = pick(is_inside, by_steep * (turn + turn) / bin.width[l], T::ZERO);
            to_x[l] = pick(flat, gv[l], gv[l].fma(steep, by_place));
            by.x[l] = -by_value.fma(steep, by_place);
            by.z[l] = by_value;
            by.width[l] = by_value.fma(dot(slopes, integrals) - steep * t, -(by_place * t));
            let far = pick(flat, T::ZERO, gv[l] * beyond) + by_steep;
            for i in 0..3 {
                let rise = by_value * bin.width[l] * integrals[i];
                by.slopes[i][l] = far.fma(shares[i], rise);
            }
        }
        to.fill(zero);
        let (to_widths, to_slopes) = to.split_at_mut(self.bins);
        self.spread(&loaded, (&bin, &by), (to_widths, to_slopes));
        let stride = params.stride;
        let mut mean = zero;
        for k in 0..self.bins {
            for l in 0..L {
                let share = (loaded.widths[k][l] - self.least) / self.free;
                mean[l] = share.fma(to_widths[k][l], mean[l]);
            }
        }
        for k in 0..self.bins {
            let mut to_raw = zero;
            for l in 0..L {
                to_raw[l] = (loaded.widths[k][l] - self.least) * (to_widths[k][l] - mean[l]);
            }
            *lanes_mut(&mut to_params[k * stride..]) = to_raw;
        }
        for (j, to) in to_slopes.iter().enumerate() {
            let raw = *params.row::<L>(self.bins + j);
            let mut to_raw = *to;
            for l in 0..L {
                to_raw[l] = to[l] * slope_slope(raw[l], self.min_slope);
            }
            *lanes_mut(&mut to_params[(self.bins + j) * stride..]) = to_raw;
        }
        to_x
    }
}
