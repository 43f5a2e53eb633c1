//! The loops over the rows of a tile that stand between the products of a network.

use std::ops::Range;

use super::{READ_REACH, READ_SCALE};
use crate::Real;
use crate::dispatch::dispatched;
use crate::tiles::{TILE_ROWS, unit_by_unit};

/// What is added to a variance before its root is taken.
pub(super) const VARIANCE_MIN: f64 = 1e-5;
/// `sqrt(8 / pi)` and the cubic term of the Gaussian error linear unit.
pub(super) const GELU: [f64; 2] = [1.595_769_121_605_731, 0.044_715];
/// Where the unit is the identity or zero to the last bit that matters.
const GELU_END: f64 = 10.0;

/// The rows of one column.
type Lanes<T> = [T; TILE_ROWS];

dispatched! {
    /// What columns are read as.
    pub(super) fn read<T: Real>(x: &[T], out: &mut [T]) {
        let (unit, reach) = (T::from_f64(READ_SCALE), T::from_f64(READ_REACH));
        for (out, &x) in out.iter_mut().zip(x) {
            let a = (x / unit).abs().held(T::ZERO, reach);
            let size = unit * (a + a.fma(a, T::ONE).sqrt()).ln();
            *out = if x < T::ZERO { -size } else { size };
        }
    }
}

dispatched! {
    /// Turns the gradient by what columns are read as into that by the columns.
    pub(super) fn read_back<T: Real>(x: &[T], grad: &mut [T]) {
        let (unit, reach) = (T::from_f64(READ_SCALE), T::from_f64(READ_REACH));
        for (grad, &x) in grad.iter_mut().zip(x) {
            let a = (x / unit).abs();
            let held = a.held(T::ZERO, reach);
            let slope = T::ONE / held.fma(held, T::ONE).sqrt();
            *grad = if a > reach { T::ZERO } else { *grad * slope };
        }
    }
}

dispatched! {
    /// Each unit's number in all rows.
    pub(super) fn spread<T: Real>(values: &[T], out: &mut [T]) {
        for (out, &value) in out.chunks_exact_mut(TILE_ROWS).zip(values) {
            out.fill(value);
        }
    }
}

dispatched! {
    /// Adds to each unit's number the sum over the rows.
    pub(super) fn add_sums<T: Real>(grad: &[T], to: &mut [T]) {
        for (grad, to) in grad.chunks_exact(TILE_ROWS).zip(to) {
            let mut sum = 0.0;
            for lane in 0..TILE_ROWS {
                sum += grad[lane].to_f64();
            }
            *to += T::from_f64(sum);
        }
    }
}

dispatched! {
    /// `to += values`.
    pub(super) fn add<T: Real>(values: &[T], to: &mut [T]) {
        for (to, &v) in to.iter_mut().zip(values) {
            *to += v;
        }
    }
}

dispatched! {
    /// `to *= values`.
    pub(super) fn scale_by<T: Real>(values: &[T], to: &mut [T]) {
        for (to, &v) in to.iter_mut().zip(values) {
            *to = *to * v;
        }
    }
}

dispatched! {
    /// Each token of so many units less its mean, over its deviation; `scales` are one over the latter.
    pub(super) fn normalise<T: Real>(width: usize, x: &[T], out: &mut [T], scales: &mut [T]) {
        let share = T::from_f64(1.0 / width as f64);
        let tokens = x.chunks_exact(width * TILE_ROWS).zip(out.chunks_exact_mut(width * TILE_ROWS));
        for ((x, out), scales) in tokens.zip(scales.as_chunks_mut::<TILE_ROWS>().0) {
            let (x, out) = (x.as_chunks::<TILE_ROWS>().0, out.as_chunks_mut::<TILE_ROWS>().0);
            let (mut mean, mut squares) = ([T::ZERO; TILE_ROWS], [T::ZERO; TILE_ROWS]);
            for x in x {
                for lane in 0..TILE_ROWS {
                    mean[lane] += x[lane];
                }
            }
            for lane in 0..TILE_ROWS {
                mean[lane] = mean[lane] * share;
            }
            for (x, out) in x.iter().zip(out.iter_mut()) {
                for lane in 0..TILE_ROWS {
                    let away = x[lane] - mean[lane];
                    out[lane] = away;
                    squares[lane] = away.fma(away, squares[lane]);
                }
            }
            for lane in 0..TILE_ROWS {
                let variance = squares[lane].fma(share, T::from_f64(VARIANCE_MIN));
                scales[lane] = T::ONE / variance.sqrt();
            }
            for out in out {
                unit_by_unit();
                for lane in 0..TILE_ROWS {
                    out[lane] = out[lane] * scales[lane];
                }
            }
        }
    }
}

dispatched! {
    /// The backward pass of [`normalise`], given what it made; added to the gradient by what it was applied to.
    pub(super) fn normalise_back<T: Real>(width: usize, made: (&[T], &[T]), grad: &[T], to: &mut [T]) {
        let share = T::from_f64(1.0 / width as f64);
        let size = width * TILE_ROWS;
        let tokens = made.0.chunks_exact(size).zip(made.1.as_chunks::<TILE_ROWS>().0);
        let tokens = tokens.zip(grad.chunks_exact(size).zip(to.chunks_exact_mut(size)));
        for ((out, scales), (grad, to)) in tokens {
            let (out, grad) = (out.as_chunks::<TILE_ROWS>().0, grad.as_chunks::<TILE_ROWS>().0);
            let (mut mean, mut along) = ([T::ZERO; TILE_ROWS], [T::ZERO; TILE_ROWS]);
            for (out, grad) in out.iter().zip(grad) {
                for lane in 0..TILE_ROWS {
                    mean[lane] += grad[lane];
                    along[lane] = out[lane].fma(grad[lane], along[lane]);
                }
            }
            for lane in 0..TILE_ROWS {
                mean[lane] = mean[lane] * share;
                along[lane] = along[lane] * share;
            }
            let to = to.as_chunks_mut::<TILE_ROWS>().0;
            for (to, (out, grad)) in to.iter_mut().zip(out.iter().zip(grad)) {
                for lane in 0..TILE_ROWS {
                    let rest = out[lane].fma(-along[lane], grad[lane] - mean[lane]);
                    to[lane] = rest.fma(scales[lane], to[lane]);
                }
            }
        }
    }
}

/// `1 / (1 + e^-2u)` with `2 u = c (x + k x^3)`, and the slope of `2 u`.
#[inline(always)]
fn gelu_gate<T: Real>(x: T) -> [T; 2] {
    let end = T::from_f64(GELU_END);
    let (c, k) = (T::from_f64(GELU[0]), T::from_f64(GELU[0] * GELU[1]));
    let held = x.held(-end, end);
    let square = held * held;
    let argument = held * square.fma(k, c);
    let e = (-argument.abs()).exp_nonpositive();
    let top = if argument < T::ZERO { e } else { T::ONE };
    [top / (T::ONE + e), square.fma(k + k + k, c)]
}

dispatched! {
    /// `x / (1 + e^-2u)`, `2 u = sqrt(8 / pi) (x + 0.044715 x^3)`, in place.
    pub(super) fn gelu<T: Real>(values: &mut [T]) {
        for value in values.iter_mut() {
            *value = *value * gelu_gate(*value)[0];
        }
    }
}

dispatched! {
    /// The same, and its slopes.
    pub(super) fn gelu_with_slopes<T: Real>(values: &mut [T], slopes: &mut [T]) {
        for (value, slope) in values.iter_mut().zip(slopes) {
            let [gate, steep] = gelu_gate(*value);
            let end = T::from_f64(GELU_END);
            let held = value.held(-end, end);
            *slope = (held * gate * (T::ONE - gate)).fma(steep, gate);
            *value = *value * gate;
        }
    }
}

/// Which tokens attend, and how they are laid out: `[tokens, 3, heads, size, TILE_ROWS]`, queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attention {
    pub(super) heads: usize,
    /// Units of a head.
    pub(super) size: usize,
    /// The first token that attends, and the one behind the last.
    pub(super) first: usize,
    pub(super) end: usize,
}

impl Attention {
    /// Numbers that say how much each token attends to each up to itself.
    pub(super) fn shares(&self) -> usize {
        let triangle = |tokens: usize| tokens * (tokens + 1) / 2;
        (triangle(self.end) - triangle(self.first)) * self.heads * TILE_ROWS
    }

    /// Where queries (0), keys (1) or values (2) of a head of a token start.
    #[inline(always)]
    fn start(&self, token: usize, which: usize, head: usize) -> usize {
        ((token * 3 + which) * self.heads + head) * self.size * TILE_ROWS
    }

    /// Units from a token to the next.
    #[inline(always)]
    fn stride(&self) -> usize {
        3 * self.heads * self.size
    }

    #[inline(always)]
    fn part<'a, T>(&self, all: &'a [T], token: usize, which: usize, head: usize) -> &'a [Lanes<T>] {
        let start = self.start(token, which, head);
        all[start..start + self.size * TILE_ROWS].as_chunks::<TILE_ROWS>().0
    }

    #[inline(always)]
    fn part_mut<'a, T>(
        &self,
        all: &'a mut [T],
        token: usize,
        which: usize,
        head: usize,
    ) -> &'a mut [Lanes<T>] {
        let start = self.start(token, which, head);
        all[start..start + self.size * TILE_ROWS].as_chunks_mut::<TILE_ROWS>().0
    }

    /// The shares of a head of a token, if all tokens attend.
    #[inline(always)]
    fn row(&self, token: usize, head: usize) -> Range<usize> {
        let start = self.heads * (token * (token + 1) / 2) + head * (token + 1);
        start..start + token + 1
    }

    /// The units of a head among those of all tokens that attend.
    #[inline(always)]
    fn head(&self, token: usize, head: usize) -> Range<usize> {
        let start = ((token - self.first) * self.heads + head) * self.size * TILE_ROWS;
        start..start + self.size * TILE_ROWS
    }
}

/// `sum_k a_k b_k`, in registers.
#[inline(always)]
fn sum_of<'a, T: Real>(pairs: impl Iterator<Item = (&'a Lanes<T>, &'a Lanes<T>)>) -> Lanes<T> {
    let mut sums = [T::ZERO; TILE_ROWS];
    for (a, b) in pairs {
        for lane in 0..TILE_ROWS {
            sums[lane] = a[lane].fma(b[lane], sums[lane]);
        }
    }
    sums
}

/// Scores, times a unit, to shares: `e^(s_j - max) / sum`.
#[inline(always)]
fn soften<T: Real>(unit: T, scores: &mut [Lanes<T>]) {
    let mut highest = scores[0];
    for score in scores.iter() {
        for lane in 0..TILE_ROWS {
            highest[lane] = highest[lane].upper(score[lane]);
        }
    }
    let mut sums = [T::ZERO; TILE_ROWS];
    for score in scores.iter_mut() {
        let mut e = *score;
        for lane in 0..TILE_ROWS {
            e[lane] = ((e[lane] - highest[lane]) * unit).exp_nonpositive();
        }
        for lane in 0..TILE_ROWS {
            sums[lane] += e[lane];
        }
        *score = e;
    }
    for lane in 0..TILE_ROWS {
        sums[lane] = T::ONE / sums[lane];
    }
    for score in scores.iter_mut() {
        unit_by_unit();
        for lane in 0..TILE_ROWS {
            score[lane] = score[lane] * sums[lane];
        }
    }
}

dispatched! {
    /// What each token takes from the values of those up to itself, `[tokens, heads, size, TILE_ROWS]`, and in which shares.
    pub(super) fn attend<T: Real>(at: Attention, all: &[T], shares: &mut [T], out: &mut [T]) {
        let unit = T::from_f64(1.0 / (at.size as f64).sqrt());
        let mut rest = shares.as_chunks_mut::<TILE_ROWS>().0;
        for token in at.first..at.end {
            for head in 0..at.heads {
                let (shares, after) = rest.split_at_mut(token + 1);
                rest = after;
                let query = at.part(all, token, 0, head);
                for (earlier, share) in shares.iter_mut().enumerate() {
                    *share = sum_of(query.iter().zip(at.part(all, earlier, 1, head)));
                }
                soften(unit, shares);
                let out = out[at.head(token, head)].as_chunks_mut::<TILE_ROWS>().0;
                // Sums stay in registers unit by unit; added up token by token, they would be scattered.
                let values = all[at.start(0, 2, head)..].as_chunks::<TILE_ROWS>().0;
                for (i, out) in out.iter_mut().enumerate() {
                    *out = sum_of(shares.iter().zip(values[i..].iter().step_by(at.stride())));
                }
            }
        }
    }
}

dispatched! {
    /// The backward pass of [`attend`] over all tokens: writes the gradient by queries, keys and values; `slopes` is work space as long as the shares.
    pub(super) fn attend_back<T: Real>(at: Attention, all: &[T], made: (&[T], &mut [T]), grad: &[T], to: &mut [T]) {
        let unit = T::from_f64(1.0 / (at.size as f64).sqrt());
        let (shares, slopes) = (made.0.as_chunks::<TILE_ROWS>().0, made.1.as_chunks_mut::<TILE_ROWS>().0);
        for token in at.first..at.end {
            for head in 0..at.heads {
                let here = at.row(token, head);
                let (shares, slopes) = (&shares[here.clone()], &mut slopes[here]);
                let grad = grad[at.head(token, head)].as_chunks::<TILE_ROWS>().0;
                for (earlier, slope) in slopes.iter_mut().enumerate() {
                    *slope = sum_of(grad.iter().zip(at.part(all, earlier, 2, head)));
                }
                // What the shares' gradients have in common, which a softmax does not see.
                let common = sum_of(shares.iter().zip(slopes.iter()));
                for (share, slope) in shares.iter().zip(slopes.iter_mut()) {
                    let mut by_score = *slope;
                    unit_by_unit();
                    for lane in 0..TILE_ROWS {
                        by_score[lane] = share[lane] * (by_score[lane] - common[lane]) * unit;
                    }
                    *slope = by_score;
                }
                let keys = all[at.start(0, 1, head)..].as_chunks::<TILE_ROWS>().0;
                for (i, to) in at.part_mut(to, token, 0, head).iter_mut().enumerate() {
                    *to = sum_of(slopes.iter().zip(keys[i..].iter().step_by(at.stride())));
                }
            }
        }
        let grad = grad.as_chunks::<TILE_ROWS>().0;
        for token in at.first..at.end {
            for head in 0..at.heads {
                let queries = all[at.start(token, 0, head)..].as_chunks::<TILE_ROWS>().0;
                for (i, to) in at.part_mut(to, token, 1, head).iter_mut().enumerate() {
                    let later = (token..at.end).map(|later| &slopes[at.row(later, head).start + token]);
                    *to = sum_of(later.zip(queries[i..].iter().step_by(at.stride())));
                }
                let first = at.head(token, head).start / TILE_ROWS;
                for (i, to) in at.part_mut(to, token, 2, head).iter_mut().enumerate() {
                    let later = (token..at.end).map(|later| &shares[at.row(later, head).start + token]);
                    *to = sum_of(later.zip(grad[first + i..].iter().step_by(at.heads * at.size)));
                }
            }
        }
    }
}

dispatched! {
    /// A step of a gated recurrent unit: of what comes from the input and from the state, `[3, units, TILE_ROWS]` each, the gates and the candidate, and the new state.
    pub(super) fn gate<T: Real>(input: &[T], product: &[T], before: &[T], gates: &mut [T], state: &mut [T]) {
        let len = state.len();
        let (update, rest) = gates.split_at_mut(len);
        let (reset, candidate) = rest.split_at_mut(len);
        for i in 0..len {
            update[i] = (input[i] + product[i]).sigmoid();
        }
        for i in 0..len {
            reset[i] = (input[len + i] + product[len + i]).sigmoid();
        }
        for i in 0..len {
            candidate[i] = reset[i].fma(product[2 * len + i], input[2 * len + i]).tanh();
        }
        for i in 0..len {
            state[i] = update[i].fma(before[i] - candidate[i], candidate[i]);
        }
    }
}

dispatched! {
    /// The backward pass of [`gate`], given the gradient by the new state: writes those by what comes from the input and from the state, and turns `grad` into what goes to the
    /// state before directly.
    pub(super) fn gate_back<T: Real>(
        made: (&[T], &[T]),
        before: &[T],
        grad: &mut [T],
        by_input: &mut [T],
        by_product: &mut [T],
    ) {
        let (gates, product) = made;
        let len = before.len();
        for i in 0..len {
            let (update, reset, candidate) = (gates[i], gates[len + i], gates[2 * len + i]);
            let by_update = grad[i] * (before[i] - candidate) * update * (T::ONE - update);
            let by_candidate = grad[i] * (T::ONE - update) * candidate.fma(-candidate, T::ONE);
            let by_reset = by_candidate * product[2 * len + i] * reset * (T::ONE - reset);
            (by_input[i], by_product[i]) = (by_update, by_update);
            (by_input[len + i], by_product[len + i]) = (by_reset, by_reset);
            (by_input[2 * len + i], by_product[2 * len + i]) = (by_candidate, by_candidate * reset);
            grad[i] = grad[i] * update;
        }
    }
}

dispatched! {
    /// `tanh`, in place.
    pub(super) fn bend<T: Real>(values: &mut [T]) {
        for value in values.iter_mut() {
            *value = value.tanh();
        }
    }
}

dispatched! {
    /// Turns the gradient by [`bend`]'s result into that by its argument.
    pub(super) fn bend_back<T: Real>(values: &[T], grad: &mut [T]) {
        for (grad, &value) in grad.iter_mut().zip(values) {
            *grad = *grad * value.fma(-value, T::ONE);
        }
    }
}
