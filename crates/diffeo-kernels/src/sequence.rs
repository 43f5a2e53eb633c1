//! Networks that read the columns of a row in sequence: what comes out for a column follows from the context and the columns before it.
//!
//! Columns are read in tokens of one or several neighbours. Level `t` is what the network has read before token `t`, and gives the parameters of its columns; level 0
//! has read the context alone. A network goes on from any level with what it remembers of the earlier ones, and each level has the same bits
//! whether it comes with others or alone: a row is solved level by level at the price of one pass.

mod composed;
mod ends;
mod lanes;
mod recurrent;
#[cfg(test)]
mod tests;
mod transformer;

use std::ops::Range;

use crate::tiled_network::{NetworkWeights, NetworkWidths, RowTile, TiledNetwork};
use crate::{Aligned, Real};
pub use recurrent::{Recurrent, RecurrentWork};
pub use transformer::{Transformer, TransformerWork};

/// What a network reads and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Columns.
    pub dims: usize,
    /// Columns of a token; the last one may have fewer.
    pub group: usize,
    /// Numbers of a context.
    pub context: usize,
    /// Parameters of a column.
    pub per_column: usize,
    /// Whether all tokens are read, and give parameters, by the same weights; they are then equally wide.
    pub alike: bool,
}

impl SequenceShape {
    /// Number of tokens, and of levels.
    pub fn levels(&self) -> usize {
        self.dims.div_ceil(self.group)
    }

    /// The columns whose parameters a level gives: those of its token.
    pub fn columns(&self, level: usize) -> Range<usize> {
        level * self.group..self.dims.min((level + 1) * self.group)
    }

    /// Columns, context and parameters.
    pub(crate) fn widths(&self) -> NetworkWidths {
        let outputs = self.dims * self.per_column;
        NetworkWidths { inputs: self.dims, context: self.context, outputs }
    }

    /// How many columns are read: all but those of the last token.
    pub fn read(&self) -> usize {
        (self.levels() - 1) * self.group
    }

    /// How many columns have a vector that they are read by.
    pub(crate) fn embedded(&self) -> usize {
        if self.alike { self.read().min(self.group) } else { self.read() }
    }

    /// How many columns have weights that their parameters follow by.
    pub(crate) fn headed(&self) -> usize {
        if self.alike { self.group } else { self.dims }
    }

    /// Where the parameters of a level stand among all.
    pub(crate) fn outputs(&self, level: usize) -> Range<usize> {
        let columns = self.columns(level);
        columns.start * self.per_column..columns.end * self.per_column
    }

    /// Where the weights of these stand among those of all heads.
    pub(crate) fn head(&self, level: usize) -> Range<usize> {
        self.outputs(if self.alike { 0 } else { level })
    }
}

/// A network that reads columns in sequence: its outputs are the parameters of all levels.
pub trait SequenceNetwork: TiledNetwork {
    /// What it reads and gives.
    fn shape(&self) -> &SequenceShape;

    /// The parameters of some levels, `[outputs, TILE_ROWS]`, given the memory of those before, which these are added to. The columns of a tile that no level which is asked for reads may hold
    /// anything.
    fn read<T: Real>(
        &self,
        weights: NetworkWeights<'_, T>,
        tile: RowTile<'_, T>,
        levels: Range<usize>,
        memory: &mut [Aligned<T>],
        work: &mut Self::Work<T>,
        params: &mut [T],
    );
}
