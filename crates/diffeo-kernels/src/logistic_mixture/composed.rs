//! The map written with tensor primitives.

use burn::tensor::{Tensor, TensorData};

use super::{LOG_SCALE_MAX, LOGIT_MAX, LogisticMixture};
use crate::ops::{AnyMap, bounded, log_sum_exp, softplus};

impl AnyMap for LogisticMixture {
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
        let [n, d] = x.dims();
        let (count, linear) = (self.components, self.linear());
        let places: Vec<f64> = (0..count).map(|k| self.place(k)).collect();
        let places = TensorData::new(places, [1, 1, count]);
        let places = Tensor::<3>::from_data(places, (&x.device(), x.dtype()));
        let params: Tensor<3> = params.reshape([n, d, 3 * count * self.depth + 2]);
        let part = |first: usize, width: usize| params.clone().narrow(2, first, width);
        let (mut y, mut log_slope) = (x.clone(), x.zeros_like());
        for i in 0..self.depth {
            let first = 3 * count * i;
            let logits = bounded(part(first, count), LOGIT_MAX);
            let weights = logits.clone() - log_sum_exp(logits);
            let shifts = part(first + count, count) + places.clone();
            let log_scales =
                bounded(part(first + 2 * count, count), LOG_SCALE_MAX).add_scalar(self.log_scale());
            let u = (y.clone().reshape([n, d, 1]) - shifts) * log_scales.clone().neg().exp();
            let (below, above) = (softplus(u.clone().neg()).neg(), softplus(u).neg());
            let ln_below = log_sum_exp(weights.clone() + below.clone());
            let ln_above = log_sum_exp(weights.clone() + above.clone());
            let density = log_sum_exp(weights + below + above - log_scales);
            let slope = (density - ln_below.clone() - ln_above.clone()).exp().reshape([n, d]);
            log_slope = log_slope + slope.mul_scalar(1.0 - linear).add_scalar(linear).log();
            let odds = (ln_below - ln_above).reshape([n, d]);
            y = y.mul_scalar(linear) + odds.mul_scalar(1.0 - linear);
        }
        let shift = part(3 * count * self.depth, 1).reshape([n, d]);
        let scale = bounded(part(3 * count * self.depth + 1, 1), LOG_SCALE_MAX).reshape([n, d]);
        [y * scale.clone().exp() + shift, log_slope + scale]
    }
}
