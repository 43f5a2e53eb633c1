//! A recurrent network: a state that each column changes gives the parameters of the next.

use diffeo_kernels::Recurrent;
use serde::{Deserialize, Serialize};

use super::sequenced::{expect_size, shape};
use super::transformer::{is_one, one};
use super::{Conditioner, DescribeConditioner, Sequenced};
use crate::catalog::Cases;
use crate::error::Result;
use crate::parameter::Init;
use crate::place::Place;

/// A gated recurrent unit over the columns in their order: the parameters of a column follow from the state after the tokens before its own, which starts from the context.
///
/// * A token is `group` columns that follow each other; those of one token are independent given the tokens before it. For each column a learned vector times `3 asinh(x / 3)` goes into the
///   gates, and a learned vector of the level, so that the unit, which is the same for all columns, knows where it is. A linear map for each column, zero at the start, makes its
///   parameters of the state. The formula is that of [`Recurrent`].
/// * forward: one pass, `3 t w^2` products for `t` tokens and `w` units, one token after another.
/// * inverse: the same, with the state carried along, on the CPU and where no gradient goes through it; else a pass for each token.
///
/// Reference: Oliva et al. *Transformation autoregressive networks*. ICML 2018, arXiv:1801.09819 (its recurrent autoregressive model); Papamakarios et al. 2021, section 3.1,
/// arXiv:1912.02762.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecurrentSpec {
    /// Units of the state.
    pub width: usize,
    /// Columns of a token.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub group: usize,
}

impl Default for RecurrentSpec {
    fn default() -> Self {
        Self { width: 64, group: 1 }
    }
}

impl RecurrentSpec {
    /// Most units.
    pub const WIDTH_MAX: usize = 1 << 14;
}

impl DescribeConditioner for RecurrentSpec {
    fn validate(&self, at: Place) -> Result<()> {
        expect_size("recurrent", "width", self.width, Self::WIDTH_MAX)?;
        expect_size("recurrent", "group", self.group, at.dims)
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        let (w, d, group) = (self.width as u64, at.dims as u64, self.group.max(1) as u64);
        let later = d.div_ceil(group).saturating_sub(1);
        let start = (at.context as u64).checked_add(1)?.checked_mul(w)?;
        let tokens = later.checked_mul(group + 1)?.checked_mul(3)?.checked_mul(w)?;
        let step = if later > 0 { (3 * w).checked_mul(w + 1)? } else { 0 };
        let heads = d.checked_mul(per_dim)?.checked_mul(w + 1)?;
        start.checked_add(tokens)?.checked_add(step)?.checked_add(heads)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        self.validate(at)?;
        let network = Recurrent::new(shape(at, self.group, per_dim), self.width);
        Ok(Box::new(Sequenced::new(network, init)?))
    }
}

impl Cases for RecurrentSpec {
    /// A token for each column; with a context of two columns, of which the last may have one.
    fn cases(at: Place) -> Vec<Self> {
        let group = if at.context > 0 { at.dims.min(2) } else { 1 };
        vec![Self { width: 7, group }]
    }
}
