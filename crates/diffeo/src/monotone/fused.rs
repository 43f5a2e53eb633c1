//! Maps that are kernels.

use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo_kernels as kernels;
use diffeo_kernels::ops::{AnyMap, Direction, scalar_map};

use super::{Monotone, Scalarwise, root};
use crate::error::Result;

/// A map that a kernel computes, both ways and backwards.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    pub(super) kernel: Arc<dyn AnyMap>,
    pub(super) log_slope_max: f64,
}

impl Fused {
    /// A rational-quadratic spline with these least sizes, as shares of the box, and slopes.
    pub(super) fn spline(bins: usize, bound: f64, min_size: f64, min_slope: f64) -> Self {
        let kernel = kernels::RationalQuadratic { bins, bound, min_size, min_slope };
        // The slope of the steepest chord: the lowest bin is as narrow as the highest one is high.
        Self { kernel: Arc::new(kernel), log_slope_max: -min_size.ln() }
    }
}

impl Monotone for Fused {
    fn params_per_dim(&self) -> usize {
        self.kernel.params_per_dim()
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        match scalar_map(&self.kernel, Direction::Forward, x, params) {
            Some([value, log_slope]) => Ok(Scalarwise { value, log_slope }),
            None => unreachable!("every map has a formula in one direction"),
        }
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        match scalar_map(&self.kernel, Direction::Inverse, z.clone(), params.clone()) {
            Some([value, log_slope]) => Ok(Scalarwise { value, log_slope }),
            None => root::inverse(&|x, params| self.forward(x, params), z, params),
        }
    }

    fn kernel(&self) -> Option<&Arc<dyn AnyMap>> {
        Some(&self.kernel)
    }

    fn log_slope_max(&self) -> f64 {
        self.log_slope_max
    }
}
