//! The distribution function of a mixture of logistics, on the scale of log-odds.

mod composed;

use crate::Real;
use crate::affine::bounded;
use crate::monotone::ScalarMap;
use crate::monotone::columns::{BlockParams, ByColumns, lanes_mut};
use crate::monotone::curve::{Curve, CurveKernel};
use std::hint::select_unpredictable as pick;

/// `z = e^a y_D + b` with `y_0 = x` and `y_{i+1} = e y_i + (1 - e) (ln F_i(y_i) - ln(1 - F_i(y_i)))`, where `F_i(y) = sum_k w_k sigmoid((y - m_k) / s_k)`
/// and `e^D` = 1/1000, which is the least slope of all layers together.
///
/// * forward: data to base, `x -> z`; inverse: the root, bracketed and then Newton's.
/// * Both logarithms are sums of exponentials relative to the largest, so tails are linear, `z ~ x / s`, and exact.
/// * `params: [n, d, 3 K D + 2]`, unconstrained: for each of the `D` layers `K` logits (held to 30 by `tanh`), `K` places and `K` log-scales (held to 5
///   likewise), then `b` and the log-scale `a` (held to 5). At zero the components lie side by side and the map is near the identity.
///
/// # Reference
/// Ho, Chen, Srinivas, Duan, Abbeel. *Flow++*. ICML 2019, eq. 15-17, arXiv:1902.00275, is `D = 1`; Huang, Krueger, Lacoste, Courville. *Neural
/// Autoregressive Flows*. ICML 2018, eq. 8, arXiv:1804.00779, any `D`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticMixture {
    /// Number of components `K` of a layer, at least 1.
    pub components: usize,
    /// Number of layers `D`, at least 1.
    pub depth: usize,
}

/// Bound of a log-scale.
pub(crate) const LOG_SCALE_MAX: f64 = 5.0;
/// Bound of a logit.
pub(crate) const LOGIT_MAX: f64 = crate::mixture::LOGIT_MAX;
/// Least slope of all layers together: between components that lie far apart a mixture may have none.
const MIN_SLOPE: f64 = 1e-3;
/// Bound of a place on the scale of its component, where single precision still has room.
const PLACE_MAX: f64 = 1e37;

impl LogisticMixture {
    /// The share `e` of the identity in a layer.
    pub(crate) fn linear(&self) -> f64 {
        MIN_SLOPE.powf(1.0 / self.depth as f64)
    }

    /// Where component `k` starts: side by side, or all would learn the same.
    pub(crate) fn place(&self, k: usize) -> f64 {
        1.5 * ((2 * k + 1) as f64 / self.components as f64 - 1.0)
    }

    /// The log-scale that all components start from: with the places, the mixture has the deviation of one logistic.
    pub(crate) fn log_scale(&self) -> f64 {
        let places = (0..self.components).map(|k| self.place(k).powi(2));
        let spread = places.sum::<f64>() / self.components as f64;
        0.5 * (-3.0 * spread / std::f64::consts::PI.powi(2)).ln_1p()
    }
}

impl ScalarMap for LogisticMixture {
    /// `3 K D + 2`.
    fn params_per_dim(&self) -> usize {
        3 * self.components * self.depth + 2
    }
}

impl ByColumns for LogisticMixture {
    type Kernel<T: Real> = CurveKernel<T, Mixture<T>>;

    fn kernel<T: Real>(&self) -> CurveKernel<T, Mixture<T>> {
        assert!(self.components > 0 && self.depth > 0, "impossible mixture: {self:?}");
        let places = (0..self.components).map(|k| T::from_f64(self.place(k))).collect();
        let log_scale = T::from_f64(self.log_scale());
        let linear = [self.linear(), 1.0 - self.linear()].map(T::from_f64);
        CurveKernel::new(Mixture { places, log_scale, linear, depth: self.depth })
    }
}

/// The map's constants.
pub(crate) struct Mixture<T> {
    places: Vec<T>,
    log_scale: T,
    /// Shares of the identity and of the mixture in a layer.
    linear: [T; 2],
    depth: usize,
}

/// Rows for each component of a layer that follow from its parameters.
const LOADED: usize = 3;
/// Rows of working memory for each component.
const WORKING: usize = 4;

/// What follows from a layer's parameters, for each component of each lane.
struct Loaded<'a, T, const L: usize> {
    /// Logit relative to the largest, `e` to that, and `1 / s`.
    logit: &'a [[T; L]],
    weight: &'a [[T; L]],
    scale: &'a [[T; L]],
    /// The sum of the weights.
    total: &'a [T; L],
}

/// What a layer computes of each component of each lane.
struct Parts<'a, T, const L: usize> {
    /// `u = (y - m) / s`.
    place: &'a mut [[T; L]],
    /// `sigmoid(u)`.
    below: &'a mut [[T; L]],
    /// `w sigmoid(u) / F` and `w sigmoid(-u) / (1 - F)` over their sums.
    left: &'a mut [[T; L]],
    right: &'a mut [[T; L]],
}

/// What a layer computes of each lane.
struct Sums<T, const L: usize> {
    left: [T; L],
    right: [T; L],
    /// `ln F` and `ln (1 - F)`.
    ln_below: [T; L],
    ln_above: [T; L],
    /// Slope of `ln F - ln (1 - F)`.
    slope: [T; L],
}

impl<T: Real, const L: usize> Sums<T, L> {
    /// The layer's value and slope.
    #[inline(always)]
    fn layer(&self, l: usize, y: T, [linear, rest]: [T; 2]) -> (T, T) {
        let odds = self.ln_below[l] - self.ln_above[l];
        (linear.fma(y, rest * odds), self.slope[l].fma(rest, linear))
    }
}

#[inline(always)]
fn parts<T, const L: usize>(room: &mut [[T; L]], count: usize) -> Parts<'_, T, L> {
    let (place, room) = room.split_at_mut(count);
    let (below, room) = room.split_at_mut(count);
    let (left, room) = room.split_at_mut(count);
    Parts { place, below, left, right: &mut room[..count] }
}

/// The rows of a layer, of a mixture of `count` components.
#[inline(always)]
fn loaded<T, const L: usize>(room: &[[T; L]], count: usize, layer: usize) -> Loaded<'_, T, L> {
    let room = &room[layer * rows_of_layer(count)..][..rows_of_layer(count)];
    let (logit, room) = room.split_at(count);
    let (weight, room) = room.split_at(count);
    let (scale, room) = room.split_at(count);
    Loaded { logit, weight, scale, total: &room[0] }
}

fn rows_of_layer(count: usize) -> usize {
    LOADED * count + 1
}

#[inline(always)]
fn log_scale<T: Real>(raw: T) -> (T, T) {
    bounded(raw, T::from_f64(LOG_SCALE_MAX), T::from_f64(LOG_SCALE_MAX.recip()))
}

#[inline(always)]
fn logit<T: Real>(raw: T) -> (T, T) {
    bounded(raw, T::from_f64(LOGIT_MAX), T::from_f64(LOGIT_MAX.recip()))
}

impl<T: Real> Mixture<T> {
    /// Computes the rows of the layer whose parameters start at `first`.
    #[inline(always)]
    fn load_layer<const L: usize>(
        &self,
        room: &mut [[T; L]],
        params: BlockParams<'_, T>,
        first: usize,
    ) {
        let count = self.places.len();
        let mut top = [-T::INFINITY; L];
        for k in 0..count {
            let raw = *params.row::<L>(first + k);
            let raw_scale = *params.row::<L>(first + 2 * count + k);
            for l in 0..L {
                let logit = logit(raw[l]).0;
                room[k][l] = logit;
                top[l] = pick(logit > top[l], logit, top[l]);
                room[2 * count + k][l] = (-(log_scale(raw_scale[l]).0 + self.log_scale)).exp();
            }
        }
        let mut total = [T::ZERO; L];
        for k in 0..count {
            for l in 0..L {
                let logit = room[k][l] - top[l];
                let e = logit.exp_nonpositive();
                (room[k][l], room[count + k][l]) = (logit, e);
                total[l] += e;
            }
        }
        room[LOADED * count] = total;
    }

    /// A layer, whose parameters start at `first`, at `y`.
    #[inline(always)]
    fn layer<const L: usize>(
        &self,
        loaded: &Loaded<'_, T, L>,
        parts: &mut Parts<'_, T, L>,
        y: &[T; L],
        (params, first): (BlockParams<'_, T>, usize),
    ) -> Sums<T, L> {
        let count = self.places.len();
        let (mut top_left, mut top_right) = ([-T::INFINITY; L], [-T::INFINITY; L]);
        for k in 0..count {
            let shift = *params.row::<L>(first + count + k);
            for l in 0..L {
                let scale = loaded.scale[k][l];
                let max = T::from_f64(PLACE_MAX);
                let u = ((y[l] - (self.places[k] + shift[l])) * scale).held(-max, max);
                let e = (-u.abs()).exp_nonpositive();
                let small = T::ONE / (T::ONE + e);
                let tail = e.ln_1p_unit();
                let logit = loaded.logit[k][l];
                let (up, down) = (u.upper(T::ZERO), u.lower(T::ZERO));
                // A sum, so that NaN goes through.
                let taint = u * T::ZERO;
                parts.place[k][l] = u;
                parts.below[k][l] = small * pick(u < T::ZERO, e, T::ONE);
                let (left, right) = (logit + (down - tail) + taint, logit - (up + tail) + taint);
                (parts.left[k][l], parts.right[k][l]) = (left, right);
                top_left[l] = pick(left > top_left[l], left, top_left[l]);
                top_right[l] = pick(right > top_right[l], right, top_right[l]);
            }
        }
        let zero = [T::ZERO; L];
        let (mut left, mut right, mut slope) = (zero, zero, zero);
        for k in 0..count {
            for l in 0..L {
                let e = (parts.left[k][l] - top_left[l]).exp_nonpositive();
                let f = (parts.right[k][l] - top_right[l]).exp_nonpositive();
                (parts.left[k][l], parts.right[k][l]) = (e, f);
                left[l] += e;
                right[l] += f;
                slope[l] += e * (f * (loaded.scale[k][l] / loaded.weight[k][l]));
            }
        }
        let (mut ln_below, mut ln_above) = (zero, zero);
        for l in 0..L {
            let total = loaded.total[l].ln_normal();
            ln_below[l] = top_left[l] + (left[l].ln_normal() - total);
            ln_above[l] = top_right[l] + (right[l].ln_normal() - total);
            slope[l] = slope[l] * loaded.total[l] / (left[l] * right[l]);
        }
        Sums { left, right, ln_below, ln_above, slope }
    }

    /// Backward pass of a layer: the gradient by `y`, and those by its parameters.
    #[inline(always)]
    fn layer_backward<const L: usize>(
        &self,
        loaded: &Loaded<'_, T, L>,
        parts: &Parts<'_, T, L>,
        sums: &Sums<T, L>,
        [gv, gl]: [&[T; L]; 2],
        (params, first): (BlockParams<'_, T>, usize),
        to_params: &mut [T],
    ) -> [T; L] {
        let count = self.places.len();
        let stride = params.stride;
        let mut to_y = [T::ZERO; L];
        let (mut below, mut above, mut by_value, mut by_slope) = (to_y, to_y, to_y, to_y);
        let [linear, rest] = self.linear;
        for l in 0..L {
            (below[l], above[l]) = (sums.ln_below[l].exp(), sums.ln_above[l].exp());
            to_y[l] = linear * gv[l];
            by_slope[l] = gl[l] * rest / sums.slope[l].fma(rest, linear);
            // The slope holds 1 / (F (1 - F)).
            by_value[l] = rest * gv[l] - by_slope[l] * sums.slope[l] * (above[l] - below[l]);
        }
        for k in 0..count {
            let raw_logit = *params.row::<L>(first + k);
            let raw_scale = *params.row::<L>(first + 2 * count + k);
            let (mut to_logit, mut to_shift, mut to_scale) =
                ([T::ZERO; L], [T::ZERO; L], [T::ZERO; L]);
            for l in 0..L {
                let (left, right) =
                    (parts.left[k][l] / sums.left[l], parts.right[k][l] / sums.right[l]);
                let (weight, scale) = (loaded.weight[k][l] / loaded.total[l], loaded.scale[k][l]);
                let both = left * right / weight;
                let share = by_slope[l] * both * scale;
                let bend = T::ONE - (parts.below[k][l] + parts.below[k][l]);
                let by_place = by_value[l].fma(both, share * bend);
                to_shift[l] = -(by_place * scale);
                to_y[l] += by_place * scale;
                let by_scale = -by_place.fma(parts.place[k][l], share);
                to_scale[l] = by_scale * log_scale(raw_scale[l]).1;
                // Either is the same; this one does not cancel in the tail.
                let by_weight = match below[l] > above[l] {
                    true => (weight - right) / below[l],
                    false => (left - weight) / above[l],
                };
                let all = by_slope[l] * sums.slope[l];
                to_logit[l] =
                    by_value[l].fma(by_weight, share - weight * all) * logit(raw_logit[l]).1;
            }
            *lanes_mut(&mut to_params[(first + k) * stride..]) = to_logit;
            *lanes_mut(&mut to_params[(first + count + k) * stride..]) = to_shift;
            *lanes_mut(&mut to_params[(first + 2 * count + k) * stride..]) = to_scale;
        }
        to_y
    }
}

impl<T: Real> Curve<T> for Mixture<T> {
    fn params(&self) -> usize {
        3 * self.places.len() * self.depth + 2
    }

    /// What is loaded, layer after layer, then the inputs of the layers, then working memory.
    fn room(&self) -> usize {
        let count = self.places.len();
        (rows_of_layer(count) + 1) * self.depth + WORKING * count
    }

    #[inline(always)]
    fn load<const L: usize>(&self, room: &mut [[T; L]], params: BlockParams<'_, T>) {
        let count = self.places.len();
        let layers = room.chunks_exact_mut(rows_of_layer(count)).take(self.depth);
        for (i, rows) in layers.enumerate() {
            self.load_layer(rows, params, 3 * count * i);
        }
    }

    #[inline(always)]
    fn forward<const L: usize>(
        &self,
        room: &mut [[T; L]],
        x: &[T; L],
        params: BlockParams<'_, T>,
    ) -> ([T; L], [T; L]) {
        let count = self.places.len();
        let (rows, room) = room.split_at_mut(rows_of_layer(count) * self.depth);
        let (inputs, room) = room.split_at_mut(self.depth);
        let mut parts = parts(room, count);
        let (mut y, mut log_slope) = (*x, [T::ZERO; L]);
        for (i, input) in inputs.iter_mut().enumerate() {
            *input = y;
            let loaded = loaded(rows, count, i);
            let sums = self.layer(&loaded, &mut parts, &y, (params, 3 * count * i));
            for l in 0..L {
                let (value, slope) = sums.layer(l, y[l], self.linear);
                y[l] = value;
                log_slope[l] += slope.ln();
            }
        }
        let shift = params.row::<L>(3 * count * self.depth);
        let raw = params.row::<L>(3 * count * self.depth + 1);
        for l in 0..L {
            let scale = log_scale(raw[l]).0;
            y[l] = y[l].fma(scale.exp(), shift[l]);
            log_slope[l] += scale;
        }
        (y, log_slope)
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
        let (count, stride) = (self.places.len(), params.stride);
        let (rows, room) = room.split_at_mut(rows_of_layer(count) * self.depth);
        let (inputs, room) = room.split_at_mut(self.depth);
        let mut parts = parts(room, count);
        inputs[0] = *x;
        for i in 1..self.depth {
            let loaded = loaded(rows, count, i - 1);
            let before = inputs[i - 1];
            let sums = self.layer(&loaded, &mut parts, &before, (params, 3 * count * (i - 1)));
            for l in 0..L {
                inputs[i][l] = sums.layer(l, before[l], self.linear).0;
            }
        }
        let last = 3 * count * self.depth;
        let raw = params.row::<L>(last + 1);
        let mut grad = *gv;
        for i in (0..self.depth).rev() {
            let (loaded, params) = (loaded(rows, count, i), (params, 3 * count * i));
            let sums = self.layer(&loaded, &mut parts, &inputs[i], params);
            if i + 1 == self.depth {
                let mut to_raw = [T::ZERO; L];
                for l in 0..L {
                    let (scale, slope) = log_scale(raw[l]);
                    grad[l] = gv[l] * scale.exp();
                    let (y, _) = sums.layer(l, inputs[i][l], self.linear);
                    to_raw[l] = grad[l].fma(y, gl[l]) * slope;
                }
                *lanes_mut(&mut to_params[last * stride..]) = *gv;
                *lanes_mut(&mut to_params[(last + 1) * stride..]) = to_raw;
            }
            let from = [&grad, gl];
            grad = self.layer_backward(&loaded, &parts, &sums, from, params, to_params);
        }
        grad
    }
}
