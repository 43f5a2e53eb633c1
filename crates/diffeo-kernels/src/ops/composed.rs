//! The same operations written with tensor primitives: they run on every device, and the fused kernels are tested against them.
//! A scalar map brings its own.

use burn::tensor::{Tensor, TensorData, activation};

use crate::{Activation, Staircase};

/// `ln(1 + e^p)`: exact in both tails and differentiable at zero.
pub(super) fn softplus<const D: usize>(p: Tensor<D>) -> Tensor<D> {
    // Above 40 the function equals p to the last bit of f64, and e^40 is finite in f32.
    const LINEAR: f64 = 40.0;
    let excess = p.clone().sub_scalar(LINEAR).clamp_min(0.0);
    p.clamp_max(LINEAR).exp().log1p() + excess
}

/// See [`super::bounded`].
pub(super) fn bounded<const D: usize>(raw: Tensor<D>, limit: f64) -> Tensor<D> {
    // Not `div_scalar`: its gradient takes the scalar's reciprocal in single precision.
    let limits = raw.full_like(limit);
    (raw / limits).tanh().mul_scalar(limit)
}

/// See [`super::log_sum_exp`].
pub(super) fn log_sum_exp(t: Tensor<3>) -> Tensor<3> {
    let top = t.clone().detach().max_dim(2);
    (t - top.clone()).exp().sum_dim(2).log() + top
}

/// `-(d ln 2 pi + |z|^2) / 2` per row.
pub(super) fn standard_normal_log_prob(z: Tensor<2>) -> Tensor<1> {
    let d = z.dims()[1];
    let square = sum_rows(z.square());
    square.add_scalar(d as f64 * (2.0 * std::f64::consts::PI).ln()).mul_scalar(-0.5)
}

/// Sums each row, in `f64` where the device has it.
pub(super) fn sum_rows(t: Tensor<2>) -> Tensor<1> {
    let n = t.dims()[0];
    let dtype = super::sum_dtype(&t.device());
    t.cast(dtype).sum_dim(1).reshape([n])
}

/// See [`super::linear`].
pub(super) fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<2>,
    addend: Option<Tensor<2>>,
    staircase: &Staircase,
    activation: Activation,
) -> Tensor<2> {
    let mask = mask(staircase, &weight);
    let product = x.matmul(weight * mask) + bias;
    activate(addend.into_iter().fold(product, |sum, a| sum + a), activation)
}

/// See [`super::activate`].
pub(super) fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::None => x,
        Activation::Relu => activation::relu(x),
        Activation::Tanh => x.tanh(),
        // Clamped before the exponential: where it overflowed, the side not chosen would turn the gradient into NaN.
        Activation::Elu => activation::relu(x.clone()) + x.clamp_max(0.0).exp().sub_scalar(1.0),
    }
}

/// The 0/1 matrix of a staircase, `[inputs, outputs]`.
fn mask(staircase: &Staircase, like: &Tensor<2>) -> Tensor<2> {
    let (inputs, prefix) = (staircase.inputs(), staircase.prefix());
    let at = |i: usize| f64::from(u8::from(i / prefix.len() < prefix[i % prefix.len()]));
    let values: Vec<f64> = (0..inputs * prefix.len()).map(at).collect();
    let data = TensorData::new(values, [inputs, prefix.len()]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}
