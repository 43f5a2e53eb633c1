//! What units of a tile attend to: the loops over its rows.

use std::ops::Range;

use crate::dispatch::dispatched;
use crate::tiles::{TILE_ROWS, unit_by_unit};
use crate::{Aligned, Real};

/// The rows of one column.
type Lanes<T> = [T; TILE_ROWS];

/// Which tokens attend to which, and how they are laid out: `[tokens, 3, heads, size, TILE_ROWS]`, queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Units of a head.
    pub(crate) size: usize,
    /// The first token that attends, and the one behind the last.
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// Whether they attend to those up to themselves, or to all up to the last.
    pub(crate) causal: bool,
}

impl Attention {
    /// Numbers that say how much each token attends to each.
    pub(crate) fn shares(&self) -> usize {
        (self.before(self.end) - self.before(self.first)) * self.heads * TILE_ROWS
    }

    /// How many pairs there are of tokens before this one and what they attend to.
    #[inline(always)]
    fn before(&self, token: usize) -> usize {
        if self.causal { token * (token + 1) / 2 } else { token * self.end }
    }

    /// How many tokens this one attends to: the first so many.
    #[inline(always)]
    fn seen(&self, token: usize) -> usize {
        if self.causal { token + 1 } else { self.end }
    }

    /// The first of those that attend to this token.
    #[inline(always)]
    fn seeing(&self, token: usize) -> usize {
        if self.causal { token } else { self.first }
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
        let start = self.heads * self.before(token) + head * self.seen(token);
        start..start + self.seen(token)
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

/// Units of one head of all tokens, copied to lie side by side: where tokens lie a multiple of 4096 bytes apart, as they do among those of all heads, the first cache holds but a few of them.
#[inline(always)]
fn gather<T: Real>(
    at: Attention,
    from: impl Fn(usize) -> usize,
    all: &[T],
    by_unit: bool,
    to: &mut [T],
) {
    let (all, to) = (all.as_chunks::<TILE_ROWS>().0, to.as_chunks_mut::<TILE_ROWS>().0);
    for token in 0..at.end {
        let from = &all[from(token) / TILE_ROWS..][..at.size];
        for (i, lanes) in from.iter().enumerate() {
            to[if by_unit { i * at.end + token } else { token * at.size + i }] = *lanes;
        }
    }
}

/// Work space of [`attend`] and of [`attend_back`].
#[derive(Debug, Default)]
pub(crate) struct Gathered<T>([Aligned<T>; 4]);

/// Fewest tokens that attend together for the others to be gathered for them.
const GATHERED_MIN: usize = 4;

dispatched! {
    /// What each token takes from the values of those that it attends to, `[tokens, heads, size, TILE_ROWS]`, and in which shares.
    pub(crate) fn attend<T: Real>(at: Attention, all: &[T], shares: &mut [T], out: &mut [T], space: &mut Gathered<T>) {
        let unit = T::from_f64(1.0 / (at.size as f64).sqrt());
        let shares = shares.as_chunks_mut::<TILE_ROWS>().0;
        let is_gathered = at.end - at.first >= GATHERED_MIN;
        let first = at.heads * at.before(at.first);
        for head in 0..at.heads {
            let [keys, values, ..] = &mut space.0;
            let len = at.end * at.size * TILE_ROWS;
            let (keys, values) = (keys.sized(len), values.sized(len));
            if is_gathered {
                gather(at, |token| at.start(token, 1, head), all, false, keys);
                gather(at, |token| at.start(token, 2, head), all, true, values);
            }
            let (keys, values) = if is_gathered { (&*keys, &*values) } else { (&all[at.start(0, 1, head)..], &all[at.start(0, 2, head)..]) };
            let (keys, values) = (keys.as_chunks::<TILE_ROWS>().0, values.as_chunks::<TILE_ROWS>().0);
            let [of_key, of_unit, of_value] = if is_gathered { [at.size, at.end, 1] } else { [at.stride(), 1, at.stride()] };
            for token in at.first..at.end {
                let row = at.row(token, head);
                let shares = &mut shares[row.start - first..row.end - first];
                let query = at.part(all, token, 0, head);
                for (earlier, share) in shares.iter_mut().enumerate() {
                    *share = sum_of(query.iter().zip(&keys[earlier * of_key..][..at.size]));
                }
                soften(unit, shares);
                let out = out[at.head(token, head)].as_chunks_mut::<TILE_ROWS>().0;
                // Sums stay in registers unit by unit; added up token by token, they would be scattered.
                for (i, out) in out.iter_mut().enumerate() {
                    *out = sum_of(shares.iter().zip(values[i * of_unit..].iter().step_by(of_value)));
                }
            }
        }
    }
}

dispatched! {
    /// The backward pass of [`attend`] over all tokens: writes the gradient by queries, keys and values; `slopes` is work space as long as the shares.
    pub(crate) fn attend_back<T: Real>(at: Attention, all: &[T], made: (&[T], &mut [T]), grad: &[T], to: &mut [T], space: &mut Gathered<T>) {
        let unit = T::from_f64(1.0 / (at.size as f64).sqrt());
        let (all_shares, all_slopes) = (made.0.as_chunks::<TILE_ROWS>().0, made.1.as_chunks_mut::<TILE_ROWS>().0);
        for head in 0..at.heads {
            let parts = space.0.each_mut().map(|part| part.sized(at.end * at.size * TILE_ROWS));
            let [queries, keys, values, grads] = parts;
            gather(at, |token| at.start(token, 0, head), all, true, queries);
            gather(at, |token| at.start(token, 1, head), all, true, keys);
            gather(at, |token| at.start(token, 2, head), all, false, values);
            gather(at, |token| at.head(token, head).start, grad, true, grads);
            let [queries, keys, values, grads] = [&*queries, &*keys, &*values, &*grads].map(|part| part.as_chunks::<TILE_ROWS>().0);
            for token in 0..at.end {
                let here = at.row(token, head);
                let (shares, slopes) = (&all_shares[here.clone()], &mut all_slopes[here]);
                let grad = grad[at.head(token, head)].as_chunks::<TILE_ROWS>().0;
                for (earlier, slope) in slopes.iter_mut().enumerate() {
                    *slope = sum_of(grad.iter().zip(&values[earlier * at.size..][..at.size]));
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
                for (i, to) in at.part_mut(to, token, 0, head).iter_mut().enumerate() {
                    *to = sum_of(slopes.iter().zip(&keys[i * at.end..]));
                }
            }
            for token in 0..at.end {
                let seeing = at.seeing(token);
                for (i, to) in at.part_mut(to, token, 1, head).iter_mut().enumerate() {
                    let later = (seeing..at.end).map(|later| &all_slopes[at.row(later, head).start + token]);
                    *to = sum_of(later.zip(&queries[i * at.end + seeing..]));
                }
                for (i, to) in at.part_mut(to, token, 2, head).iter_mut().enumerate() {
                    let later = (seeing..at.end).map(|later| &all_shares[at.row(later, head).start + token]);
                    *to = sum_of(later.zip(&grads[i * at.end + seeing..]));
                }
            }
        }
    }
}
