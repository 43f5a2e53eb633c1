//! One scalar map per column, with parameters of its own.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;

use crate::error::Result;
use crate::monotone::{Monotone, MonotoneSpec};
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Mapped, Transform};

/// `z_i = g(x_i; theta_i)`: every column through a scalar map whose parameters are trained directly.
///
/// * forward: `g`; inverse: `g^-1`. Starts as the identity.
#[derive(Clone, Debug)]
pub struct Elementwise {
    monotone: MonotoneSpec,
    params: Parameter,
    dims: usize,
}

impl Elementwise {
    /// The identity on `dims` columns.
    pub fn new(monotone: MonotoneSpec, dims: usize, init: &Init) -> Self {
        let params = init.full([1, dims * monotone.params_per_dim()], 0.0);
        Self { monotone, params: Parameter::new(params), dims }
    }

    /// The log-slope of every element, and the size that it cannot exceed.
    pub(crate) fn log_slopes(&self, x: Tensor<2>) -> Result<(Tensor<2>, f64)> {
        let params = self.params(&x);
        Ok((self.monotone.forward(x, params)?.log_slope, self.monotone.log_slope_max()))
    }

    fn params(&self, x: &Tensor<2>) -> Tensor<2> {
        let k = self.params.value.dims()[1];
        self.params.value.clone().expand([x.dims()[0], k])
    }
}

impl Transform for Elementwise {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        let params = self.params(&x);
        let mapped = self.monotone.forward(x, params)?;
        Ok(Mapped { value: mapped.value, log_det: sum_rows(mapped.log_slope) })
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        let params = self.params(&z);
        let mapped = self.monotone.inverse(z, params)?;
        Ok(Mapped { value: mapped.value, log_det: sum_rows(mapped.log_slope) })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("params", &mut self.params);
    }
}
