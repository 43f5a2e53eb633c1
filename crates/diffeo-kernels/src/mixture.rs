//! The probability of a discrete outcome, and a density that is a mixture of fixed parts, from the same softmax.
//!
//! `log p = ln sum_k c_k w_k`, `w = softmax(l)`, `l = S tanh(raw / S)`. For an outcome `c` is 1 at its number and 0 elsewhere; for a place
//! between two knots it holds the two shares. A row whose `c` is all zero is not known: it counts nothing.

use crate::dispatch::dispatched;
use crate::{Real, TILE_ROWS};

/// `S`: no probability is below `e^-60` over the number of outcomes, and no logarithm overflows.
pub const LOGIT_MAX: f64 = 30.0;

/// One mark of a tile.
#[derive(Clone, Copy, Debug)]
pub struct MixtureTile<'a, T> {
    /// `raw: [n, TILE_ROWS]`.
    pub raw: &'a [T],
    /// `c: [n, TILE_ROWS]`, not negative.
    pub shares: &'a [T],
    /// Of a row where this is 1 only the first `open` outcomes are possible; empty if that is never so.
    pub closed: &'a [T],
    /// How many are possible there.
    pub open: usize,
}

/// What a mark adds up to, for each row.
#[derive(Clone, Copy)]
struct Sums<T> {
    /// `sum_k e^l_k`.
    total: [T; TILE_ROWS],
    /// `sum_k c_k e^l_k`.
    hit: [T; TILE_ROWS],
    /// `sum_k c_k`.
    known: [T; TILE_ROWS],
}

/// `e^l`, and the slope of `l`.
#[inline(always)]
fn weight<T: Real>(raw: T) -> (T, T) {
    let bound = T::from_f64(LOGIT_MAX);
    let unit = (raw * T::from_f64(1.0 / LOGIT_MAX)).tanh();
    ((bound * unit).exp(), T::ONE - unit * unit)
}

#[inline(always)]
fn sums<T: Real>(tile: MixtureTile<'_, T>) -> Sums<T> {
    let zero = [T::ZERO; TILE_ROWS];
    let mut sums = Sums { total: zero, hit: zero, known: zero };
    let rows = tile.raw.chunks_exact(TILE_ROWS).zip(tile.shares.chunks_exact(TILE_ROWS));
    for (k, (raw, share)) in rows.enumerate() {
        let may_be_closed = k >= tile.open && !tile.closed.is_empty();
        for lane in 0..TILE_ROWS {
            let (mut e, _) = weight(raw[lane]);
            if may_be_closed {
                e = e * (T::ONE - tile.closed[lane]);
            }
            sums.total[lane] += e;
            sums.hit[lane] = share[lane].fma(e, sums.hit[lane]);
            sums.known[lane] += share[lane];
        }
    }
    sums
}

dispatched! {
    /// Adds `log p` of each row of a tile to `log_prob: [TILE_ROWS]`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn mixture_tile<T: Real>(tile: MixtureTile<'_, T>, log_prob: &mut [f64]) {
        assert_eq!(tile.raw.len(), tile.shares.len(), "as many shares as outcomes");
        let sums = sums(tile);
        for lane in 0..TILE_ROWS {
            let p = sums.hit[lane].to_f64() / sums.total[lane].to_f64();
            log_prob[lane] += if sums.known[lane] == T::ZERO { 0.0 } else { p.ln() };
        }
    }
}

dispatched! {
    /// The gradient of `sum_row by_row log p` by `raw`, over `grad: [n, TILE_ROWS]`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn mixture_tile_backward<T: Real>(tile: MixtureTile<'_, T>, by_row: &[T], grad: &mut [T]) {
        assert_eq!(tile.raw.len(), tile.shares.len(), "as many shares as outcomes");
        assert_eq!(tile.raw.len(), grad.len(), "a gradient for each number");
        let sums = sums(tile);
        let (mut by_hit, mut by_total) = ([T::ZERO; TILE_ROWS], [T::ZERO; TILE_ROWS]);
        for lane in 0..TILE_ROWS {
            let counts = if sums.hit[lane] > T::ZERO { by_row[lane] } else { T::ZERO };
            // What cannot be hit has no gradient; the divisor is then of no consequence.
            by_hit[lane] = counts / (if sums.hit[lane] > T::ZERO { sums.hit[lane] } else { T::ONE });
            by_total[lane] = counts / sums.total[lane];
        }
        let rows = tile.raw.chunks_exact(TILE_ROWS).zip(tile.shares.chunks_exact(TILE_ROWS));
        for (k, ((raw, share), grad)) in rows.zip(grad.chunks_exact_mut(TILE_ROWS)).enumerate() {
            let may_be_closed = k >= tile.open && !tile.closed.is_empty();
            for lane in 0..TILE_ROWS {
                let (mut e, slope) = weight(raw[lane]);
                if may_be_closed {
                    e = e * (T::ONE - tile.closed[lane]);
                }
                grad[lane] = e * slope * (share[lane] * by_hit[lane] - by_total[lane]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 5;

    fn tile() -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let raw = (0..N * TILE_ROWS).map(|i| (i as f64 * 0.7).sin() * 4.0).collect();
        let mut shares = vec![0.0; N * TILE_ROWS];
        for lane in 0..TILE_ROWS {
            match lane % 4 {
                0 => {}
                1 => shares[(lane % 3) * TILE_ROWS + lane] = 1.0,
                _ => {
                    shares[lane] = 0.25;
                    shares[(1 + lane % 2) * TILE_ROWS + lane] = 0.75;
                }
            }
        }
        let closed = (0..TILE_ROWS).map(|lane| f64::from(u8::from(lane % 3 == 0))).collect();
        (raw, shares, closed)
    }

    /// The plain formula.
    fn log_prob(raw: &[f64], shares: &[f64], closed: bool, open: usize) -> f64 {
        let e: Vec<f64> = raw
            .iter()
            .enumerate()
            .map(|(k, raw)| match closed && k >= open {
                true => 0.0,
                false => (LOGIT_MAX * (raw / LOGIT_MAX).tanh()).exp(),
            })
            .collect();
        let hit: f64 = e.iter().zip(shares).map(|(e, c)| e * c).sum();
        if shares.iter().all(|c| *c == 0.0) { 0.0 } else { (hit / e.iter().sum::<f64>()).ln() }
    }

    fn lane_of(values: &[f64], lane: usize) -> Vec<f64> {
        (0..N).map(|k| values[k * TILE_ROWS + lane]).collect()
    }

    #[test]
    fn densities_and_gradients_are_those_of_the_formula() {
        let (raw, shares, closed) = tile();
        let open = 3;
        let tile = MixtureTile { raw: &raw, shares: &shares, closed: &closed, open };
        let by_row: Vec<f64> = (0..TILE_ROWS).map(|lane| 0.1 * lane as f64 - 1.0).collect();
        let (mut found, mut grad) = (vec![0.0; TILE_ROWS], vec![0.0; N * TILE_ROWS]);
        mixture_tile(tile, &mut found);
        mixture_tile_backward(tile, &by_row, &mut grad);
        for lane in 0..TILE_ROWS {
            let (at, c) = (lane_of(&raw, lane), lane_of(&shares, lane));
            let formula = |raw: &[f64]| log_prob(raw, &c, closed[lane] == 1.0, open);
            assert!((found[lane] - formula(&at)).abs() < 1e-13, "lane {lane}");
            for k in 0..N {
                let moved = |by: f64| {
                    let mut at = at.clone();
                    at[k] += by;
                    formula(&at)
                };
                let slope = by_row[lane] * (moved(1e-6) - moved(-1e-6)) / 2e-6;
                let found = grad[k * TILE_ROWS + lane];
                assert!((found - slope).abs() < 1e-8, "lane {lane}, outcome {k}: {found}, {slope}");
            }
        }
    }

    #[test]
    fn no_weight_makes_it_infinite() {
        let raw: Vec<f32> =
            (0..2 * TILE_ROWS).map(|i| if i < TILE_ROWS { 1e30 } else { -1e30 }).collect();
        let mut shares = vec![0.0f32; 2 * TILE_ROWS];
        shares[TILE_ROWS..].fill(1.0);
        let tile = MixtureTile { raw: &raw, shares: &shares, closed: &[], open: 0 };
        let (mut found, mut grad) = (vec![0.0; TILE_ROWS], vec![0.0f32; 2 * TILE_ROWS]);
        mixture_tile(tile, &mut found);
        mixture_tile_backward(tile, &[1.0; TILE_ROWS], &mut grad);
        assert!(found.iter().all(|p| (p + 60.0).abs() < 1e-3), "{found:?}");
        assert!(grad.iter().all(|g| g.is_finite()));
    }
}
