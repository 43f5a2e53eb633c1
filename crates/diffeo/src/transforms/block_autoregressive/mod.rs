//! One network for all columns, increasing in each given those before it.

mod network;
mod search;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;
use serde::{Deserialize, Serialize};

use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Given, Mapped, Transform};
use network::Network;

/// A [`BlockAutoregressive`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockAutoregressiveSpec {
    /// Units that each column has in the hidden layers, first to last: a hidden layer is so many times as wide as there are columns.
    pub units: Vec<usize>,
}

impl BlockAutoregressiveSpec {
    /// Most hidden layers: slopes are then below `e^64`, far from the end of single precision.
    pub const DEPTH_MAX: usize = 8;
    /// Most units that a column has in a hidden layer.
    pub const UNITS_MAX: usize = 1 << 12;

    /// The widths of a column's blocks, from its input to its output.
    fn widths(&self) -> Vec<usize> {
        [&[1], self.units.as_slice(), &[1]].concat()
    }
}

impl Describe for BlockAutoregressiveSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        let (depth_max, units_max) = (Self::DEPTH_MAX, Self::UNITS_MAX);
        if self.units.is_empty() || self.units.len() > depth_max {
            return Err(Error::config(format!(
                "block autoregressive: expected units of 1 to {depth_max} hidden layers, found {}",
                self.units.len()
            )));
        }
        match self.units.iter().find(|units| !(1..=units_max).contains(*units)) {
            None => Ok(()),
            Some(found) => Err(Error::config(format!(
                "block autoregressive: units of a column must be in 1..={units_max}, found {found}"
            ))),
        }
    }

    fn count(&self, at: Place) -> Option<u64> {
        let (d, c) = (at.dims as u64, at.context as u64);
        let widths = self.widths();
        let first = widths[1] as u64;
        let mut count = d.checked_add(c.checked_mul(d)?.checked_mul(first)?)?;
        for pair in widths.windows(2) {
            let (outputs, own) = (d.checked_mul(pair[1] as u64)?, pair[0] as u64);
            let seen = if d > 1 { own.checked_mul(d.checked_add(1)?)? } else { own };
            count = count.checked_add(outputs.checked_mul(seen.checked_add(1)?)?)?;
        }
        Some(count)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(BlockAutoregressive::new(self, at, init)))
    }
}

impl Cases for BlockAutoregressiveSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self { units: vec![4] }, Self { units: vec![5, 3] }]
    }
}

/// `z = x e^s + g(x, c)`: in the network `g` each column has units of its own, which see those of the columns before it with free weights and their own column's with positive ones.
///
/// * Network: `g = h_L W_{L+1} + b_{L+1}`, `h_l = tanh(h_{l-1} W_l + b_l)`, `h_0 = x`, and `c V` is added in the first layer. `W_l` is made of blocks, one for each pair of columns: those on the
///   diagonal are `e^(7 tanh(raw / 7)) / a` of `a` units below, those of earlier columns free, the rest zero. So `g_i` depends on `x_1 ... x_i` and increases in `x_i`.
/// * A bijection of the real line in each column given those before it: `tanh` saturates, so `g` is bounded; `x e^s`, `|s| < 7`, is what reaches every number, and slopes are between
///   `e^-7` and `e^7 + e^(7 (L + 1))`. (As published, a gate keeps a share of `x`; without one the network reaches an interval only.)
/// * forward: one pass. Log-determinant: `sum_i ln(e^(s_i) + prod_l)`, the product of the diagonal blocks and of the slopes of the units between, which goes along with the pass. All its terms are
///   positive and none is above the bound; one that underflows is nothing beside `e^s`, so the sum has no logarithms in it.
/// * inverse: column after column in their order, each the root of a scalar increasing map, given what its units get from the columns before. The search takes the column's own blocks on the host, in
///   double precision, and never the whole network; gradients are those of the implicit function.
/// * Cost: each layer multiplies twice, for values and for slopes, by a matrix that is dense over the lower blocks, `(d b)^2 / 2` numbers between hidden layers of `b` units a column; an inverse `b^2` a column and
///   step of the search. Rows of weights are not normalised, as they are where published: own weights have a bound and are means in place of it, free ones need neither.
/// * `|x|` enters the network up to 1e18 and is held there, or sums of numbers near the largest would be no numbers.
///
/// Starts near the identity where data is: half of `x`, and units that bend side by side for the other half. Runs on tensors.
///
/// Reference: De Cao, Titov, Aziz. *Block Neural Autoregressive Flow*. UAI 2019, section 3, arXiv:1904.04676 (the line beside the network and the bounds are ours).
#[derive(Clone, Debug)]
pub struct BlockAutoregressive {
    network: Network,
    /// Raw `s`, `[1, d]`.
    log_slope: Parameter,
}

impl BlockAutoregressive {
    /// Bound of the logarithms of slopes and of own weights.
    pub const LOG_SLOPE_MAX: f64 = 7.0;

    /// Near the identity.
    pub fn new(spec: &BlockAutoregressiveSpec, at: Place, init: &mut Init) -> Self {
        let network = Network::new(&spec.widths(), at, init);
        // The more of x is left to the network, the sooner it learns.
        let log_slope = Parameter::new(init.full([1, at.dims], -std::f64::consts::LN_2));
        Self { network, log_slope }
    }

    /// `e^s`, `[1, d]`.
    fn slope(&self) -> Tensor<2> {
        self.log_slope.bounded(Self::LOG_SLOPE_MAX).exp()
    }
}

impl Transform for BlockAutoregressive {
    fn dims(&self) -> usize {
        self.log_slope.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let (held, slope) = (self.network.held(), self.slope());
        let trace = held.at(x.clone(), self.network.addend(given.context));
        let log_det = sum_rows((trace.slope + slope.clone()).log());
        Ok(Mapped { value: x * slope + trace.value, log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let addend = self.network.addend(given.context);
        let [value, log_slopes] = self.network.held().solve(z, &self.slope(), addend)?;
        Ok(Mapped { value, log_det: sum_rows(log_slopes) })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("log_slope", &mut self.log_slope);
        self.network.visit(visitor);
    }
}
