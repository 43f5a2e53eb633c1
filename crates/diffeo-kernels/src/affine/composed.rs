//! The map written with tensor primitives.

use burn::tensor::Tensor;

use super::Affine;
use crate::ops::{AnyMap, bounded};

impl AnyMap for Affine {
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
        forward(self, x, params)
    }

    fn composed_inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Option<[Tensor<2>; 2]> {
        Some(inverse(self, z, params))
    }
}

/// `z = x e^s + t` with `s = S tanh(raw / S)`; returns the value and the log-slope.
fn forward(map: &Affine, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
    let (shift, log_scale) = params_of(map, &x, params);
    [x * log_scale.clone().exp() + shift, log_scale]
}

/// `x = (z - t) e^-s`; returns the value and the log-slope `-s`.
fn inverse(map: &Affine, z: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2] {
    let (shift, log_scale) = params_of(map, &z, params);
    [(z - shift) * log_scale.clone().neg().exp(), log_scale.neg()]
}

fn params_of(map: &Affine, x: &Tensor<2>, params: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let [n, d] = x.dims();
    let params: Tensor<3> = params.reshape([n, d, 2]);
    let shift = params.clone().narrow(2, 0, 1).reshape([n, d]);
    let raw = params.narrow(2, 1, 1).reshape([n, d]);
    (shift, bounded(raw, map.log_scale_max))
}
