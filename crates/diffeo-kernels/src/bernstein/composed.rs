//! The map written with tensor primitives.

use burn::tensor::Tensor;

use super::Bernstein;
use crate::monotone::slope::SLOPE_SHIFT;
use crate::ops::{AnyMap, softplus};

impl AnyMap for Bernstein {
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
        let [n, d] = x.dims();
        let degree = self.degree;
        let params: Tensor<3> = params.reshape([n, d, degree + 1]);
        let shift = params.clone().narrow(2, 0, 1).reshape([n, d]);
        let slopes = softplus(params.narrow(2, 1, degree).add_scalar(SLOPE_SHIFT))
            .mul_scalar(1.0 - self.min_slope)
            .add_scalar(self.min_slope);
        let held = x.clone().clamp(-self.bound, self.bound);
        let t = held.clone().add_scalar(self.bound).div_scalar(2.0 * self.bound);
        let t = t.reshape([n, d, 1]);
        let basis = self.basis(t.clone(), degree - 1);
        // The chance of more than j in n draws is the sum of the polynomials of degree n after j.
        let full = self.basis(t, degree);
        let from_the_end = |t: Tensor<3>| t.flip([2]).cumsum(2).flip([2]);
        let above = from_the_end(full.narrow(2, 1, degree));
        let steep = (slopes.clone() * basis).sum_dim(2).reshape([n, d]);
        let rise = (slopes * above).sum_dim(2).reshape([n, d]);
        let inside = rise.mul_scalar(2.0 * self.bound / degree as f64).sub_scalar(self.bound);
        [inside + shift + steep.clone() * (x - held), steep.log()]
    }
}

impl Bernstein {
    /// All polynomials of a degree at `t: [n, d, 1]`, `[n, d, degree + 1]`.
    fn basis(&self, t: Tensor<3>, degree: usize) -> Tensor<3> {
        let mut basis = t.ones_like();
        let left = t.clone().neg().add_scalar(1.0);
        for _ in 0..degree {
            let zero = t.zeros_like();
            let own = Tensor::cat(vec![basis.clone(), zero.clone()], 2) * left.clone();
            basis = own + Tensor::cat(vec![zero, basis], 2) * t.clone();
        }
        basis
    }
}
