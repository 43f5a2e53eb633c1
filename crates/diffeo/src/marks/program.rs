//! The density of marks over flat weights: on tiles of rows, with its backward pass.

use std::ops::Range;

use diffeo_kernels::{MixtureTile, Real, TILE_ROWS, mixture_tile, mixture_tile_backward};

use super::{MarkSpec, Marks, Shares};
use crate::network::{NetworkProgram, Seen, Work};
use crate::step::{Arena, Pass, Scratch, Weights};

/// The network of the marks, and where the shares of each mark lie.
#[derive(Debug)]
pub(crate) struct MarksProgram {
    network: NetworkProgram,
    parts: Vec<Part>,
    layout: Shares,
}

#[derive(Debug)]
struct Part {
    shares: Range<usize>,
    /// How many outcomes are possible after the last one of the mark before, if not all.
    open: Option<usize>,
}

/// What a forward pass leaves for its backward pass: the network's results, its nodes between, and the context's addend.
#[derive(Debug, Default)]
pub(crate) struct MarksTape<T>(Arena<T>);

/// Arrays of the tape beside the network's nodes.
const TAPE: usize = 2;

impl MarksProgram {
    /// The program of marks whose weights have these names; `None` if it has none.
    pub(crate) fn new(marks: &Marks, weights: &Weights<'_>) -> Option<Self> {
        let network = marks.network.program(&weights.part("network"))?;
        let part = |(spec, shares): (&MarkSpec, Range<usize>)| Part {
            shares,
            open: match spec {
                MarkSpec::Levels { last, .. } => *last,
                MarkSpec::Circle { .. } => None,
            },
        };
        let parts = marks.shares.parts().map(part).collect();
        Some(Self { network, parts, layout: marks.shares.clone() })
    }

    /// Where the shares of each mark lie.
    pub(crate) fn layout(&self) -> &Shares {
        &self.layout
    }

    pub(crate) fn load<T: Real>(&self, weights: &[T], loaded: &mut Arena<T>) {
        self.network.pack(weights, loaded);
    }

    /// Adds the log-density of each row's marks, given `shares: [tiles, width, TILE_ROWS]`, to `log_prob`.
    pub(crate) fn forward<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        shares: &[T],
        log_prob: &mut [f64],
        (loaded, tape): (&Arena<T>, &mut MarksTape<T>),
    ) {
        let ([raw, addend], nodes) = tape.0.arrays::<TAPE>(self.network.inner_nodes());
        let raw = raw.sized(shares.len());
        self.network.forward(pass, loaded, shares, raw, (nodes, addend));
        for (tile, log_prob) in log_prob.chunks_exact_mut(TILE_ROWS).enumerate().take(pass.tiles) {
            for part in &self.parts {
                mixture_tile(self.tile(part, tile, raw, shares), log_prob);
            }
        }
    }

    /// Writes the gradient of the network's weights.
    pub(crate) fn backward<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        shares: &[T],
        (loaded, tape): (&Arena<T>, &MarksTape<T>),
        scratch: &mut Scratch<T>,
        gradient: &mut [T],
    ) {
        let raw = &tape.0.array(0)[..shares.len()];
        let Scratch { arena, linear, .. } = scratch;
        let ([grad, more], nodes) = arena.arrays(self.network.inner_nodes());
        let grad = grad.sized(shares.len());
        for (tile, by_row) in pass.log_det_gradient.chunks_exact(TILE_ROWS).enumerate() {
            for part in &self.parts {
                let at = self.within(part, tile);
                mixture_tile_backward(self.tile(part, tile, raw, shares), by_row, &mut grad[at]);
            }
        }
        let seen = Seen { packed: loaded, x: shares, out: raw, nodes: tape.0.after(TAPE) };
        let work = Work { nodes, more, linear, context: None };
        self.network.backward(pass, seen, grad, None, work, gradient);
    }

    /// Where the shares of a part lie in those of all tiles.
    fn within(&self, part: &Part, tile: usize) -> Range<usize> {
        let start = (tile * self.layout.width() + part.shares.start) * TILE_ROWS;
        start..start + part.shares.len() * TILE_ROWS
    }

    fn tile<'a, T: Real>(
        &self,
        part: &Part,
        tile: usize,
        raw: &'a [T],
        shares: &'a [T],
    ) -> MixtureTile<'a, T> {
        let at = self.within(part, tile);
        let closed = match part.open {
            // The last share of the mark before.
            Some(_) => &shares[at.start - TILE_ROWS..at.start],
            None => &[],
        };
        let open = part.open.unwrap_or(part.shares.len());
        MixtureTile { raw: &raw[at.clone()], shares: &shares[at], closed, open }
    }
}
