//! What is kept of the rows that are worked on together.

use crate::{Aligned, Real, TILE_ROWS};

/// Rows that are worked on together: few enough for what belongs to them to stay in the first caches.
pub(super) const BLOCK: usize = 2 * TILE_ROWS;

/// What a sweep keeps of a block of rows. Kept from sweep to sweep: for few rows, fresh memory takes as long as the arithmetic.
#[derive(Debug)]
pub(super) struct Buffers<T> {
    /// The nodes but the last, `[tiles, width, TILE_ROWS]`.
    pub(super) nodes: Vec<Aligned<T>>,
    /// Units of the last node that a dimension needs, `[units, BLOCK]`.
    pub(super) made: Aligned<T>,
    /// Units of the first node that it brings, alike.
    pub(super) arrived: Aligned<T>,
}

impl<T: Real> Buffers<T> {
    /// For nodes of these widths, the last not among them, and so many units that a dimension brings and needs.
    pub(super) fn new(widths: &[usize], [first, last]: [usize; 2]) -> Self {
        Self {
            nodes: widths.iter().map(|width| Aligned::zeros(width * BLOCK)).collect(),
            made: Aligned::zeros(last * BLOCK),
            arrived: Aligned::zeros(first * BLOCK),
        }
    }
}
