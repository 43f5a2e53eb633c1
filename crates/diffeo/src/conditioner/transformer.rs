//! A causal transformer: all conditionals of an autoregressive model in one pass, by attention to the columns before.

use diffeo_kernels::{SequenceShape, Transformer};
use serde::{Deserialize, Serialize};

use super::sequenced::{expect_size, shape};
use super::{Conditioner, DescribeConditioner, Sequenced};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::Init;
use crate::place::Place;

/// A causal transformer over the columns: the parameters of a column follow from the context and the tokens before its own.
///
/// * A token is `group` columns that follow each other; those of one token are independent given the tokens before it. What is read at level `t` is token `t - 1`, at level 0 the context:
///   for each column a learned vector times `3 asinh(x / 3)`, and a learned vector of the level. So far points are told apart by their logarithm and nothing overflows.
/// * `blocks` blocks of attention in `heads` heads and a network of `inner` hidden units (GELU), each after a normalisation, then for each column a linear map to its parameters, zero at the start. The
///   formula is that of [`Transformer`].
/// * forward: one pass, `t^2 w + t (4 w^2 + 2 w i)` products a block for `t` tokens, `w` units and `i` inner ones; weights do not grow with the columns, but for some `w (k + 2)` a column.
/// * inverse: token by token with the keys and values of those before, one pass in all, on the CPU and where no gradient goes through it; else a pass for each token.
///
/// Reference: Patacchiola, Shysheya, Hofmann, Turner. *Transformer neural autoregressive flows*. ICML 2024 workshop on structured probabilistic inference, arXiv:2401.01855 (a token for each column); Zhai et al. *Normalizing flows are capable
/// generative models*. ICML 2025, arXiv:2412.06329 (tokens of many columns; shifted by one).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerSpec {
    /// Units of a token.
    pub width: usize,
    /// Heads of each attention; the width is a multiple of them.
    pub heads: usize,
    /// Hidden units of each block's network.
    pub inner: usize,
    /// Blocks.
    pub blocks: usize,
    /// Columns of a token.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub group: usize,
    /// Whether all tokens share the vectors of their columns and the maps to their parameters: for tokens that are of a kind, such as patches of an image. The columns are then a
    /// multiple of a token's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alike: bool,
}

pub(super) fn one() -> usize {
    1
}

pub(super) fn is_one(number: &usize) -> bool {
    *number == 1
}

impl Default for TransformerSpec {
    fn default() -> Self {
        Self { width: 64, heads: 4, inner: 128, blocks: 2, group: 1, alike: false }
    }
}

impl TransformerSpec {
    /// Most units.
    pub const WIDTH_MAX: usize = 1 << 14;
    /// Most blocks.
    pub const BLOCKS_MAX: usize = 64;
}

impl DescribeConditioner for TransformerSpec {
    fn validate(&self, at: Place) -> Result<()> {
        expect_size("transformer", "width", self.width, Self::WIDTH_MAX)?;
        expect_size("transformer", "inner", self.inner, Self::WIDTH_MAX)?;
        expect_size("transformer", "blocks", self.blocks, Self::BLOCKS_MAX)?;
        expect_size("transformer", "heads", self.heads, self.width)?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::config(format!(
                "transformer: expected a width that is a multiple of the heads, found {} and {}",
                self.width, self.heads
            )));
        }
        expect_size("transformer", "group", self.group, at.dims)?;
        if self.alike && !at.dims.is_multiple_of(self.group) {
            return Err(Error::config(format!(
                "transformer: tokens that are alike are equally wide, but {} columns are no multiple of {}",
                at.dims, self.group
            )));
        }
        Ok(())
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        let [w, i, b] = [self.width, self.inner, self.blocks].map(|v| v as u64);
        let (d, group) = (at.dims as u64, self.group.max(1) as u64);
        let levels = d.div_ceil(group);
        let read = levels.saturating_sub(1).checked_mul(group)?;
        let (embedded, headed) = if self.alike { (read.min(group), group) } else { (read, d) };
        let ends =
            (at.context as u64).checked_add(embedded)?.checked_add(levels)?.checked_mul(w)?;
        let products = (4 * w).checked_mul(w)?.checked_add((2 * w).checked_mul(i)?)?;
        let block = products.checked_add(5 * w + i)?;
        let heads = headed.checked_mul(per_dim)?.checked_mul(w + 1)?;
        ends.checked_add(block.checked_mul(b)?)?.checked_add(heads)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        self.validate(at)?;
        let sizes = [self.width, self.heads, self.inner, self.blocks];
        let shape = SequenceShape { alike: self.alike, ..shape(at, self.group, per_dim) };
        let network = Transformer::new(shape, sizes);
        Ok(Box::new(Sequenced::new(network, init)?))
    }
}

impl Cases for TransformerSpec {
    /// Two blocks of a token for each column, alike or not, or one of two columns a token, of which the last may have one.
    fn cases(at: Place) -> Vec<Self> {
        let of = |blocks, group| {
            let alike = at.dims > 1 && at.dims.is_multiple_of(group);
            Self { width: 6, heads: 2, inner: 7, blocks, group, alike }
        };
        match (at.dims, at.context) {
            (1 | 2, 0) => vec![of(1, 1)],
            (1, _) => vec![of(1, 1)],
            (_, 0) => vec![of(2, 1), Self { alike: false, ..of(2, 1) }],
            (_, _) => vec![of(1, 2)],
        }
    }
}
