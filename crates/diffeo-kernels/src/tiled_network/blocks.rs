//! What networks on tiles are built of, each with what it leaves for its backward pass.

use super::NetworkWeights;
use super::attention::{Attention, Gathered, attend, attend_back};
use super::lanes::{normalise, normalise_back};
use super::products::{Layer, Scratch};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};

/// Tokens that were normalised, and one over what they were divided by.
#[derive(Debug, Default)]
pub(crate) struct Normed<T> {
    pub(crate) values: Aligned<T>,
    scales: Aligned<T>,
}

impl<T: Real> Normed<T> {
    /// Tokens of so many units, each less its mean and over its deviation.
    pub(crate) fn of(&mut self, width: usize, x: &[T]) -> &[T] {
        let values = self.values.sized(x.len());
        normalise(width, x, values, self.scales.sized(x.len() / width));
        values
    }

    /// Adds to the gradient by the tokens, given that by what they became.
    pub(crate) fn back(&self, width: usize, grad: &[T], to: &mut [T]) {
        let (values, scales) = (&self.values[..to.len()], &self.scales[..to.len() / width]);
        normalise_back(width, (values, scales), grad, to);
    }
}

/// `h + A(norm(h)) O + o`, heads of softmax-weighted values, `(q, k, v) = norm(h) W + b`.
#[derive(Clone, Debug)]
pub(crate) struct SelfAttention {
    /// To queries, keys and values.
    pub(crate) all: Layer,
    /// From what heads have mixed.
    pub(crate) out: Layer,
}

/// What [`SelfAttention`] leaves for its backward pass.
#[derive(Debug, Default)]
pub(crate) struct Attended<T> {
    normed: Normed<T>,
    shares: Aligned<T>,
    mixed: Aligned<T>,
    space: Gathered<T>,
}

impl SelfAttention {
    /// Writes to `next` what becomes of the tokens that attend, and their queries, keys and values behind those of earlier ones.
    pub(crate) fn forward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        (at, all): (Attention, &mut [T]),
        (h, next): (&[T], &mut [T]),
        left: &mut Attended<T>,
    ) {
        let width = at.heads * at.size;
        let new = 3 * at.first * width * TILE_ROWS..3 * at.end * width * TILE_ROWS;
        self.all.forward(weights, left.normed.of(width, h), None, &mut all[new]);
        let mixed = left.mixed.sized(h.len());
        attend(at, all, left.shares.sized(at.shares()), mixed, &mut left.space);
        self.out.forward(weights, mixed, Some(h), next);
    }

    /// The backward pass over all tokens: `by_stream` is the gradient by what they become, then that by what they were.
    pub(crate) fn backward<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        (at, all): (Attention, &[T]),
        by_stream: &mut [T],
        (left, [wide, narrow, slopes]): (&mut Attended<T>, &mut [Aligned<T>; 3]),
        (scratch, to): (&mut Scratch<T>, &mut [T]),
    ) {
        let (width, size) = (at.heads * at.size, by_stream.len());
        let (by_all, by_narrow) = (wide.sized(3 * size), narrow.sized(size));
        let mixed = &left.mixed[..size];
        self.out.backward(weights, mixed, (&mut *by_stream, &mut *by_narrow), scratch, to);
        let shares = (&left.shares[..at.shares()], slopes.sized(at.shares()));
        attend_back(at, all, shares, by_narrow, by_all, &mut left.space);
        let normed = &left.normed.values[..size];
        self.all.backward(weights, normed, (by_all, &mut *by_narrow), scratch, to);
        left.normed.back(width, by_narrow, by_stream);
    }
}
