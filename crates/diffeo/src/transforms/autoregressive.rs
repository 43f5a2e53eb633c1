//! Autoregressive transform: every column is mapped with parameters that depend on the columns before it.

use std::sync::{Arc, OnceLock};

use burn::tensor::{Int, Tensor};
use diffeo_kernels::ops::{MadeSampler, made_inverse, sum_rows};

use super::permutation::{indices, inverse_order};
use crate::conditioner::{Conditioner, Masked};
use crate::error::{Error, Result};
use crate::monotone::{Monotone, MonotoneSpec, Scalarwise};
use crate::nn::{Network, NetworkSpec};
use crate::parameter::{Init, Visitor, visit_part};
use crate::transform::{Mapped, Transform};

/// `z_i = g(x_i; theta_i(x_before_i, c))`: a triangular Jacobian in the given order.
///
/// * forward: one pass of a masked network; inverse: column after column, each weight used once, so at the price of one pass too.
///   Its gradient goes through the columns backwards in the same way: four passes in all where a training step takes three.
///   This is so on the CPU; on other devices the inverse takes a pass a column.
///
/// Reference: Papamakarios, Pavlakou, Murray. *Masked Autoregressive Flow*. NeurIPS 2017, arXiv:1705.07057.
#[derive(Clone, Debug)]
pub struct Autoregressive {
    monotone: MonotoneSpec,
    network: Masked,
    dims: usize,
    /// Column numbers in the order of the model and back; absent when the order is that of the columns.
    order: Option<[Tensor<1, Int>; 2]>,
    /// The weights prepared for the fast inverse, made when first needed.
    sampler: OnceLock<Option<Arc<MadeSampler>>>,
}

impl Autoregressive {
    /// `order[i]` is the column that comes `i`-th; `None` is the order of the columns.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if `order` is not a permutation of `0..dims`.
    pub fn new(
        monotone: MonotoneSpec,
        network: &NetworkSpec,
        [dims, context_dims]: [usize; 2],
        order: Option<&[usize]>,
        init: &mut Init,
    ) -> Result<Self> {
        let order = match order {
            Some(order) if order.len() != dims => {
                return Err(Error::config(format!(
                    "autoregressive order: expected {dims} columns, found {}",
                    order.len()
                )));
            }
            Some(order) => {
                let back = inverse_order(order)?;
                Some([indices(order, &init.device), indices(&back, &init.device)])
            }
            None => None,
        };
        let per_dim = monotone.params_per_dim();
        let network = Masked::new(network, dims, context_dims, per_dim, init);
        Ok(Self { monotone, network, dims, order, sampler: OnceLock::new() })
    }

    /// The network that makes the parameters.
    pub(crate) fn network(&self) -> &Network {
        self.network.network()
    }

    /// The log-slope of every element, and the size that it cannot exceed.
    pub(crate) fn log_slopes(
        &self,
        x: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<(Tensor<2>, f64)> {
        let x = self.sorted(x);
        let params = self.network.parameters(x.clone(), context);
        Ok((self.monotone.forward(x, params)?.log_slope, self.monotone.log_slope_max()))
    }

    fn sorted(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.order {
            Some([order, _]) => x.select(1, order.clone()),
            None => x,
        }
    }

    fn restored(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.order {
            Some([_, back]) => x.select(1, back.clone()),
            None => x,
        }
    }

    /// The inverse at the price of one pass of the network; `None` where there is no kernel for it.
    fn solve_fast(&self, z: &Tensor<2>, context: Option<&Tensor<2>>) -> Option<Scalarwise> {
        let map = self.monotone.kernel();
        let prepare = || MadeSampler::new(&self.network().steps(), map, self.dims).map(Arc::new);
        let sampler = self.sampler.get_or_init(prepare).as_ref();
        let addend = self.network().context_addend(context);
        // The sampler has its weights at hand and refuses where a gradient is wanted.
        let [value, log_slope] = sampler
            .and_then(|sampler| sampler.run(z, addend.as_ref()))
            .or_else(|| made_inverse(&self.network().steps(), map, z, addend.as_ref()))?;
        Some(Scalarwise { value, log_slope })
    }

    /// The inverse in `dims` passes of the network: pass `i` fixes column `i`.
    fn solve(&self, z: &Tensor<2>, context: Option<&Tensor<2>>) -> Result<Scalarwise> {
        let [n, d] = z.dims();
        let mut done: Vec<Tensor<2>> = Vec::with_capacity(d);
        let unknown = z.zeros_like();
        for i in 0..d {
            let mut columns = done.clone();
            columns.push(unknown.clone().narrow(1, i, d - i));
            let params = self.network.parameters(Tensor::cat(columns, 1), context);
            let mapped = self.monotone.inverse(z.clone(), params)?;
            if i + 1 == d {
                return Ok(mapped);
            }
            done.push(mapped.value.narrow(1, i, 1));
        }
        let empty = Tensor::zeros([n, 0], (&z.device(), z.dtype()));
        Ok(Scalarwise { value: empty.clone(), log_slope: empty })
    }
}

impl Transform for Autoregressive {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        let x = self.sorted(x);
        let params = self.network.parameters(x.clone(), context);
        let mapped = self.monotone.forward(x, params)?;
        let log_det = sum_rows(mapped.log_slope);
        Ok(Mapped { value: self.restored(mapped.value), log_det })
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        let z = self.sorted(z);
        let mapped = match self.solve_fast(&z, context) {
            Some(mapped) => mapped,
            None => self.solve(&z, context)?,
        };
        let log_det = sum_rows(mapped.log_slope);
        Ok(Mapped { value: self.restored(mapped.value), log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        // The visitor may change the weights that were prepared.
        self.sampler = OnceLock::new();
        visit_part("network", visitor, |v| self.network.visit(v));
    }
}

#[cfg(test)]
mod tests;
