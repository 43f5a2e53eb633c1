//! Coupling: half of the columns give the parameters of a scalar map of the other half.

use burn::tensor::{Int, Tensor};
use diffeo_kernels::ops::sum_rows;

use super::permutation::{indices, inverse_order};
use crate::conditioner::{Conditioner, CouplingNetwork};
use crate::error::{Error, Result};
use crate::monotone::{Monotone, MonotoneSpec};
use crate::nn::{Network, NetworkSpec};
use crate::parameter::{Init, Visitor, visit_part};
use crate::transform::{Mapped, Transform};

/// `z_a = x_a`, `z_b = g(x_b; theta(x_a, c))`: both directions cost one pass of the network.
///
/// * forward: `g` on the transformed columns; inverse: `g^-1` with the same parameters.
///
/// Reference: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, eqs. 4-8, arXiv:1605.08803.
#[derive(Clone, Debug)]
pub struct Coupling {
    monotone: MonotoneSpec,
    network: CouplingNetwork,
    kept: Tensor<1, Int>,
    moved: Tensor<1, Int>,
    /// Puts `[kept, moved]` back into column order.
    restore: Tensor<1, Int>,
}

impl Coupling {
    /// `kept[i]` says whether column `i` stays as it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] unless at least one column is kept and one is not.
    pub fn new(
        monotone: MonotoneSpec,
        network: &NetworkSpec,
        kept: &[bool],
        context_dims: usize,
        init: &mut Init,
    ) -> Result<Self> {
        let (still, moved): (Vec<usize>, Vec<usize>) = (0..kept.len()).partition(|&i| kept[i]);
        if still.is_empty() || moved.is_empty() {
            return Err(Error::config(format!(
                "coupling: at least one column must be kept and one transformed, found {} kept of {}; \
                 use an autoregressive or element-wise transform for a single column",
                still.len(),
                kept.len()
            )));
        }
        let outputs = moved.len() * monotone.params_per_dim();
        let network = CouplingNetwork::new(network, still.len(), context_dims, outputs, init);
        let restore = inverse_order(&[still.clone(), moved.clone()].concat())?;
        let of = |columns: &[usize]| indices(columns, &init.device);
        let (kept, moved, restore) = (of(&still), of(&moved), of(&restore));
        Ok(Self { monotone, network, kept, moved, restore })
    }

    /// The network that makes the parameters.
    pub(crate) fn network(&self) -> &Network {
        self.network.network()
    }

    /// The log-slope of every element that is moved, and the size that it cannot exceed.
    pub(crate) fn log_slopes(
        &self,
        x: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<(Tensor<2>, f64)> {
        let params = self.network.parameters(x.clone().select(1, self.kept.clone()), context);
        let moved = x.select(1, self.moved.clone());
        Ok((self.monotone.forward(moved, params)?.log_slope, self.monotone.log_slope_max()))
    }

    fn apply(&self, x: Tensor<2>, context: Option<&Tensor<2>>, to_data: bool) -> Result<Mapped> {
        let kept = x.clone().select(1, self.kept.clone());
        let moved = x.select(1, self.moved.clone());
        let params = self.network.parameters(kept.clone(), context);
        let mapped = if to_data {
            self.monotone.inverse(moved, params)?
        } else {
            self.monotone.forward(moved, params)?
        };
        let value = Tensor::cat(vec![kept, mapped.value], 1).select(1, self.restore.clone());
        Ok(Mapped { value, log_det: sum_rows(mapped.log_slope) })
    }
}

impl Transform for Coupling {
    fn dims(&self) -> usize {
        self.restore.dims()[0]
    }

    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        self.apply(x, context, false)
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        self.apply(z, context, true)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("network", visitor, |v| self.network.visit(v));
    }
}
