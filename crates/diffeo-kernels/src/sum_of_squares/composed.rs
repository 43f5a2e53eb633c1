//! The map written with tensor primitives.

use burn::tensor::{Tensor, TensorData};

use super::{COEFFICIENT_MAX, SumOfSquares};
use crate::ops::{AnyMap, bounded};
use crate::quadrature::gauss_legendre;

impl AnyMap for SumOfSquares {
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
        let [n, d] = x.dims();
        let (count, width) = (self.polynomials, self.degree + 1);
        let params: Tensor<3> = params.reshape([n, d, count * width + 1]);
        let shift = params.clone().narrow(2, 0, 1).reshape([n, d]);
        let starts: Vec<f64> =
            (0..count * width).map(|i| self.start(i / width, i % width)).collect();
        let starts = TensorData::new(starts, [1, 1, count * width]);
        let starts = Tensor::<3>::from_data(starts, (&x.device(), x.dtype()));
        let coefficients = bounded(params.narrow(2, 1, count * width), COEFFICIENT_MAX) + starts;
        let steepness = |v: Tensor<3>| {
            let polynomial = |k: usize| {
                let row = |l: usize| coefficients.clone().narrow(2, k * width + l, 1);
                (0..width - 1).rev().fold(row(width - 1), |sum, l| sum * v.clone() + row(l))
            };
            let squares = (0..count).map(|k| polynomial(k).square());
            let sum = squares.fold(v.zeros_like(), |sum, square| sum + square);
            sum.add_scalar(self.min_slope).reshape([n, d])
        };
        let held = x.clone().clamp(-self.bound, self.bound);
        let v = held.clone().mul_scalar(self.bound.recip()).reshape([n, d, 1]);
        let nodes = gauss_legendre(width).into_iter();
        let mean =
            nodes.map(|[node, weight]| steepness(v.clone().mul_scalar(node)).mul_scalar(weight));
        let mean = mean.fold(x.zeros_like(), |sum, term| sum + term);
        let steep = steepness(v);
        [held.clone() * mean + shift + steep.clone() * (x - held), steep.log()]
    }
}
