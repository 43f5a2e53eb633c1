//! The integral of a positive network.

mod composed;

use crate::Real;
use crate::affine::bounded;
use crate::monotone::ScalarMap;
use crate::monotone::columns::{BlockParams, ByColumns, each, lanes_mut};
use crate::monotone::curve::{Curve, CurveKernel};
use crate::quadrature::clenshaw_curtis;

/// `z = b + integral_0^x g(t) dt` with `g(t) = m + (1 - m) e^(7 tanh(s(t) / 7))` and `s(t) = c + sum_j v_j tanh((t - p_j) / s_j)`, a network of `M` units, on
/// `[-B, B]`; beyond, the tangent at the end.
///
/// * forward: data to base, `x -> z`, by Clenshaw-Curtis quadrature with `N + 1` nodes between 0 and `x`, whose weights are positive; the slope is `g(x)`.
///   Inverse: the root, bracketed and then Newton's. Backward: the same quadrature of the gradient of `g`; nothing is kept of the nodes.
/// * The slope is at least `m = min_slope` and at most `e^7`. `v_j` is held to `8 / M`, at most 2, and `1 / s_j` to within a factor of 2 of `5 / B`, both by `tanh`, so no feature of `g` is so narrow that the
///   nodes miss it: the relative error stays below 1e-6 with `N = 32`, 1e-9 with 48, 1e-11 with 64, whatever the parameters ([`MonotonicNetwork::error`]).
/// * `params: [n, d, 3 M + 2]`, unconstrained: `b`, `c`, `M` raw `v`, `M` places as deviations from a start side by side on half of the interval, `M` logarithms of `B / (5 s)`.
///   All zero is the identity, to rounding.
///
/// # Reference
/// Wehenkel, Louppe. *Unconstrained Monotonic Neural Networks*. NeurIPS 2019, eqs. 2-5, arXiv:1908.05164. There the network's weights are shared and a
/// conditioner gives it inputs; here it has one layer and the conditioner gives all of its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MonotonicNetwork {
    /// Number of units `M`, at least 1.
    pub units: usize,
    /// Number of intervals `N` of the quadrature, even, at least 2.
    pub nodes: usize,
    /// Half-width `B` of the interval.
    pub bound: f64,
    /// Smallest slope, in `(0, 1)`.
    pub min_slope: f64,
}

/// Bound of the logarithm of `g`, but for `m`.
pub(crate) const LOG_SLOPE_MAX: f64 = 7.0;
/// Bound of the logarithm of `B / (5 s)`.
pub(crate) const LOG_STEEPNESS_MAX: f64 = std::f64::consts::LN_2;

impl MonotonicNetwork {
    /// Bound of a weight `v`: all together bend the slope by a factor of `e^8` at most.
    pub(crate) fn weight_max(&self) -> f64 {
        (8.0 / self.units as f64).min(2.0)
    }

    /// What `1 / s` starts from.
    pub(crate) fn steepness(&self) -> f64 {
        5.0 / self.bound
    }

    /// Where unit `j` starts: side by side, or all would learn the same.
    pub(crate) fn place(&self, j: usize) -> f64 {
        0.5 * self.bound * ((2 * j + 1) as f64 / self.units as f64 - 1.0)
    }

    /// How far, at most, the quadrature with `nodes` is from one with twice as many, at points `x: [n]` with parameters `[n, params_per_dim]`.
    ///
    /// # Panics
    /// If the slices do not fit each other.
    pub fn error(&self, x: &[f64], params: &[f64]) -> f64 {
        let finer = Self { nodes: 2 * self.nodes, ..*self };
        let values = |map: &dyn crate::MapKernel<f64>| {
            let (mut value, mut log_slope) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            map.forward(x, params, &mut value, &mut log_slope);
            value
        };
        let pairs = values(self).into_iter().zip(values(&finer));
        pairs.fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
    }
}

impl ScalarMap for MonotonicNetwork {
    /// `3 M + 2`.
    fn params_per_dim(&self) -> usize {
        3 * self.units + 2
    }
}

impl ByColumns for MonotonicNetwork {
    type Kernel<T: Real> = CurveKernel<T, Integral<T>>;

    fn kernel<T: Real>(&self) -> CurveKernel<T, Integral<T>> {
        let is_sound = self.units > 0
            && self.nodes >= 2
            && self.nodes.is_multiple_of(2)
            && self.bound > 0.0
            && self.min_slope > 0.0
            && self.min_slope < 1.0;
        assert!(is_sound, "impossible network: {self:?}");
        let nodes = clenshaw_curtis(self.nodes);
        CurveKernel::new(Integral {
            places: (0..self.units).map(|j| T::from_f64(self.place(j))).collect(),
            nodes: nodes.into_iter().map(|node| node.map(T::from_f64)).collect(),
            weight_max: self.weight_max(),
            steepness: T::from_f64(self.steepness()),
            bound: T::from_f64(self.bound),
            slopes: [self.min_slope, 1.0 - self.min_slope].map(T::from_f64),
        })
    }
}

/// The map's constants.
pub(crate) struct Integral<T> {
    places: Vec<T>,
    weight_max: f64,
    steepness: T,
    nodes: Vec<[T; 2]>,
    bound: T,
    /// `m` and `1 - m`.
    slopes: [T; 2],
}

#[inline(always)]
fn held<T: Real>(raw: T, limit: f64) -> (T, T) {
    bounded(raw, T::from_f64(limit), T::from_f64(limit.recip()))
}

/// What the parameters make of the network, a row for each unit: `v`, `p` and `1 / s`, and `c`.
struct Network<'a, T, const L: usize> {
    weight: &'a [[T; L]],
    place: &'a [[T; L]],
    steepness: &'a [[T; L]],
    bias: &'a [T; L],
}

impl<T: Real, const L: usize> Network<'_, T, L> {
    /// `s` at `t`.
    #[inline(always)]
    fn log_slope(&self, t: &[T; L]) -> [T; L] {
        let mut sum = *self.bias;
        for j in 0..self.weight.len() {
            for l in 0..L {
                let h = ((t[l] - self.place[j][l]) * self.steepness[j][l]).tanh_near();
                sum[l] = self.weight[j][l].fma(h, sum[l]);
            }
        }
        sum
    }

    /// The same; keeps what the units are.
    #[inline(always)]
    fn log_slope_keeping(&self, t: &[T; L], kept: &mut [[T; L]]) -> [T; L] {
        let mut sum = *self.bias;
        for j in 0..self.weight.len() {
            for l in 0..L {
                let h = ((t[l] - self.place[j][l]) * self.steepness[j][l]).tanh_near();
                kept[j][l] = h;
                sum[l] = self.weight[j][l].fma(h, sum[l]);
            }
        }
        sum
    }

    /// The slope of `s`, of the units.
    #[inline(always)]
    fn bend(&self, units: &[[T; L]]) -> [T; L] {
        let mut slope = [T::ZERO; L];
        for j in 0..self.weight.len() {
            for l in 0..L {
                let h = units[j][l];
                slope[l] = (self.weight[j][l] * self.steepness[j][l]).fma(T::ONE - h * h, slope[l]);
            }
        }
        slope
    }

    /// Adds `share` times the gradient of `s` at `t`, where the units are `kept`, by the rows of the network.
    #[inline(always)]
    fn gather(&self, t: &[T; L], share: &[T; L], kept: &[[T; L]], to: &mut [[T; L]]) {
        let units = self.weight.len();
        let (to_weight, to) = to.split_at_mut(units);
        let (to_place, to) = to.split_at_mut(units);
        let (to_steepness, to_bias) = to.split_at_mut(units);
        for l in 0..L {
            to_bias[0][l] += share[l];
        }
        for j in 0..units {
            for l in 0..L {
                let (away, steep, h) = (t[l] - self.place[j][l], self.steepness[j][l], kept[j][l]);
                let through = share[l] * self.weight[j][l] * (T::ONE - h * h);
                to_weight[j][l] = share[l].fma(h, to_weight[j][l]);
                to_place[j][l] -= through * steep;
                to_steepness[j][l] = through.fma(away, to_steepness[j][l]);
            }
        }
    }
}

/// Raw numbers of a row, held.
#[inline(always)]
fn held_row<T: Real, const L: usize>(raw: &[T; L], limit: f64) -> [T; L] {
    each(raw, |raw| held(raw, limit).0)
}

/// What gradients by held numbers are by the raw ones in a row.
#[inline(always)]
fn unheld<T: Real, const L: usize>(raw: &[T; L], limit: f64, by: &[T; L]) -> [T; L] {
    let mut to_raw = *raw;
    for l in 0..L {
        to_raw[l] = by[l] * held(raw[l], limit).1;
    }
    to_raw
}

impl<T: Real> Integral<T> {
    fn rows(&self) -> usize {
        3 * self.places.len() + 1
    }

    #[inline(always)]
    fn network<'a, const L: usize>(&self, rows: &'a [[T; L]]) -> Network<'a, T, L> {
        let units = self.places.len();
        let (weight, rows) = rows.split_at(units);
        let (place, rows) = rows.split_at(units);
        let (steepness, rows) = rows.split_at(units);
        Network { weight, place, steepness, bias: &rows[0] }
    }

    /// Where the integrals end.
    #[inline(always)]
    fn inside<const L: usize>(&self, x: &[T; L]) -> [T; L] {
        each(x, |x| x.held(-self.bound, self.bound))
    }

    /// `g`, and its derivative by `s`.
    #[inline(always)]
    fn steep(&self, s: T) -> [T; 2] {
        let (log_slope, slope) = held(s, LOG_SLOPE_MAX);
        let free = self.slopes[1] * log_slope.exp();
        [free + self.slopes[0], free * slope]
    }
}

impl<T: Real> Curve<T> for Integral<T> {
    fn params(&self) -> usize {
        3 * self.places.len() + 2
    }

    /// The network, its gradients, and its units.
    fn room(&self) -> usize {
        2 * self.rows() + self.places.len()
    }

    #[inline(always)]
    fn load<const L: usize>(&self, room: &mut [[T; L]], params: BlockParams<'_, T>) {
        let units = self.places.len();
        for (j, &start) in self.places.iter().enumerate() {
            room[j] = held_row(params.row(2 + j), self.weight_max);
            room[units + j] = each(params.row(2 + units + j), |place| start + place);
            let log_steepness = held_row(params.row(2 + 2 * units + j), LOG_STEEPNESS_MAX);
            room[2 * units + j] = each(&log_steepness, |s| self.steepness * s.exp());
        }
        room[3 * units] = *params.row::<L>(1);
    }

    #[inline(always)]
    fn forward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        params: BlockParams<'_, T>,
    ) -> ([T; L], [T; L]) {
        let network = self.network(room);
        let ends = self.inside(x);
        let zero = [T::ZERO; L];
        let (mut mean, mut steep) = (zero, zero);
        for &[node, weight] in &self.nodes {
            let t = each(&ends, |end| end * node);
            let s = network.log_slope(&t);
            for l in 0..L {
                steep[l] = self.steep(s[l])[0];
                mean[l] = weight.fma(steep[l], mean[l]);
            }
        }
        // The last node is the end itself.
        let shift = params.row::<L>(0);
        let (mut value, mut log_slope) = (zero, zero);
        for l in 0..L {
            let inside = ends[l].fma(mean[l], shift[l]);
            value[l] = steep[l].fma(x[l] - ends[l], inside);
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
        let units = self.places.len();
        let (rows, to) = room.split_at_mut(self.rows());
        let (to, kept) = to.split_at_mut(self.rows());
        to.fill([T::ZERO; L]);
        let network = self.network(rows);
        let ends = self.inside(x);
        let mut to_x = [T::ZERO; L];
        for (i, &[node, weight]) in self.nodes.iter().enumerate() {
            let t = each(&ends, |end| end * node);
            let s = network.log_slope_keeping(&t, kept);
            let is_last = i + 1 == self.nodes.len();
            let bend = if is_last { network.bend(kept) } else { [T::ZERO; L] };
            let mut share = [T::ZERO; L];
            for l in 0..L {
                let [steep, by_s] = self.steep(s[l]);
                let mut by_slope = gv[l] * ends[l] * weight;
                if is_last {
                    let beyond = x[l] - ends[l];
                    let at_end = gl[l] / steep;
                    let inside = if beyond == T::ZERO { at_end * by_s * bend[l] } else { T::ZERO };
                    to_x[l] = gv[l].fma(steep, inside);
                    by_slope += gv[l].fma(beyond, at_end);
                }
                share[l] = by_slope * by_s;
            }
            network.gather(&t, &share, kept, to);
        }
        let stride = params.stride;
        let mut write = |p: usize, row: &[T; L]| *lanes_mut(&mut to_params[p * stride..]) = *row;
        write(0, gv);
        write(1, &to[3 * units]);
        for j in 0..units {
            write(2 + j, &unheld(params.row(2 + j), self.weight_max, &to[j]));
            write(2 + units + j, &to[units + j]);
            let mut by_log = to[2 * units + j];
            for l in 0..L {
                by_log[l] = by_log[l] * rows[2 * units + j][l];
            }
            let at = 2 + 2 * units + j;
            write(at, &unheld(params.row(at), LOG_STEEPNESS_MAX, &by_log));
        }
        to_x
    }
}
