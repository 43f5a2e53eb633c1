//! The map written with tensor primitives.

use burn::tensor::{Tensor, TensorData};

use super::{LOG_SLOPE_MAX, LOG_STEEPNESS_MAX, MonotonicNetwork};
use crate::ops::{AnyMap, bounded};
use crate::quadrature::clenshaw_curtis;

impl AnyMap for MonotonicNetwork {
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
        let ([n, d], units) = (x.dims(), self.units);
        let params: Tensor<3> = params.reshape([n, d, 3 * units + 2]);
        let part = |at: usize, width: usize| params.clone().narrow(2, at, width);
        let starts: Vec<f64> = (0..units).map(|j| self.place(j)).collect();
        let starts = TensorData::new(starts, [1, 1, units]);
        let starts = Tensor::<3>::from_data(starts, (&x.device(), x.dtype()));
        let bias = part(1, 1);
        let weights = bounded(part(2, units), self.weight_max());
        let places = part(2 + units, units) + starts;
        let steepness = bounded(part(2 + 2 * units, units), LOG_STEEPNESS_MAX).exp();
        let steepness = steepness.mul_scalar(self.steepness());
        let steep = |t: Tensor<2>| {
            let away = t.reshape([n, d, 1]) - places.clone();
            let units = weights.clone() * (away * steepness.clone()).tanh();
            let log_slope: Tensor<3> = units.sum_dim(2) + bias.clone();
            bounded(log_slope, LOG_SLOPE_MAX)
                .exp()
                .mul_scalar(1.0 - self.min_slope)
                .add_scalar(self.min_slope)
        };
        let ends = x.clone().clamp(-self.bound, self.bound);
        let mut mean = x.zeros_like();
        for [node, weight] in clenshaw_curtis(self.nodes) {
            let at: Tensor<2> = steep(ends.clone().mul_scalar(node)).reshape([n, d]);
            mean = mean + at.mul_scalar(weight);
        }
        let at_end: Tensor<2> = steep(ends.clone()).reshape([n, d]);
        let shift: Tensor<2> = part(0, 1).reshape([n, d]);
        let value = shift + ends.clone() * mean + at_end.clone() * (x - ends);
        [value, at_end.log()]
    }
}
