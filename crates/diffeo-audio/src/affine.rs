//! A scale and a shift of each sample, by the two numbers that a network gives of it.

use diffeo::burn::tensor::Tensor;
use diffeo_kernels::ops::bounded;

/// Most that one flow stretches or shrinks a sample, as a logarithm.
const LOG_SCALE_MAX: f64 = 4.0;

/// Numbers that a network gives of a sample.
pub(crate) const NUMBERS: usize = 2;

/// Shifts and log-scales, `[n, length]`, by what a network gives, `[n length, 2]`.
pub(crate) fn shift_and_log_scale(params: Tensor<2>, dims: [usize; 2]) -> [Tensor<2>; 2] {
    let column = |i: usize| params.clone().narrow(1, i, 1).reshape(dims);
    [column(0), bounded(column(1), LOG_SCALE_MAX)]
}

/// The same of one sample.
pub(crate) fn of_sample(&[shift, raw]: &[f32; NUMBERS]) -> [f32; 2] {
    let limit = LOG_SCALE_MAX as f32;
    [shift, limit * (raw / limit).tanh()]
}
