//! What units of a tile attend to: the loops over its rows.

use std::ops::Range;

use crate::Real;
use crate::dispatch::dispatched;
use crate::tiles::{TILE_ROWS, unit_by_unit};

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

dispatched! {
    /// What each token takes from the values of those that it attends to, `[tokens, heads, size, TILE_ROWS]`, and in which shares.
    pub(crate) fn attend<T: Real>(at: Attention, all: &[T], shares: &mut [T], out: &mut [T]) {
        let unit = T::from_f64(1.0 / (at.size as f64).sqrt());
        let mut rest = shares.as_chunks_mut::<TILE_ROWS>().0;
        for token in at.first..at.end {
            for head in 0..at.heads {
                let (shares, after) = rest.split_at_mut(at.seen(token));
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
    pub(crate) fn attend_back<T: Real>(at: Attention, all: &[T], made: (&[T], &mut [T]), grad: &[T], to: &mut [T]) {
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
                let queries = all[at.start(at.seeing(token), 0, head)..].as_chunks::<TILE_ROWS>().0;
                for (i, to) in at.part_mut(to, token, 1, head).iter_mut().enumerate() {
                    let later = (at.seeing(token)..at.end).map(|later| &slopes[at.row(later, head).start + token]);
                    *to = sum_of(later.zip(queries[i..].iter().step_by(at.stride())));
                }
                let first = at.head(at.seeing(token), head).start / TILE_ROWS;
                for (i, to) in at.part_mut(to, token, 2, head).iter_mut().enumerate() {
                    let later = (at.seeing(token)..at.end).map(|later| &shares[at.row(later, head).start + token]);
                    *to = sum_of(later.zip(grad[first + i..].iter().step_by(at.heads * at.size)));
                }
            }
        }
    }
}
