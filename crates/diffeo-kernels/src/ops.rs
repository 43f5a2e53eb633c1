//! The operations of a flow as tensor functions: fused kernels on the CPU device, composed of tensor primitives elsewhere.
//!
//! A fused operation is a [`FusedOp`]: a forward pass and a hand-written backward pass, which call kernels over plain slices. One backend extension,
//! [`FlowOps`], carries all of them through the tensor engine and its autodiff, so adding an operation adds no glue: within this crate
//! by a [`FusedOp`], from outside by a [`CustomOp`], which knows nothing of the engine's own tensors.
//! Each has a twin, in `composed` or with a map's kernels, which runs on every device; tests hold the two equal. Only the solution of an equation
//! ([`continuous()`]) has none and runs on the CPU alone.

mod composed;
mod continuous;
mod custom;
mod extension;
mod flex;
mod linear;
mod made;
mod made_inverse;
mod map;
mod rows;
mod sequence;
mod tiled_network;

use std::sync::Arc;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

pub use continuous::{Course, Divergence, continuous};
pub use custom::{Argument, CustomOp, custom};
pub use extension::{FlowOps, FusedOp};
pub use made::MadeSampler;
pub use made_inverse::made_inverse;
pub use map::AnyMap;
pub use sequence::{SequenceReader, SequenceSampler};
pub use tiled_network::tiled_network;

use crate::{Activation, Staircase};

/// Which way a map is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Data to base.
    Forward,
    /// Base to data.
    Inverse,
}

/// Type in which rows are summed on a device: `f64` on the CPU, the device's own type elsewhere.
pub fn sum_dtype(device: &Device) -> DType {
    if is_cpu(device) { DType::F64 } else { DType::F32 }
}

/// Whether a device is the built-in CPU device, whose tensors the fused kernels read.
pub fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the fused kernels can take a tensor.
fn is_fused(tensor: &Tensor<2>) -> bool {
    flex::is_supported(tensor.dtype()) && is_cpu(&tensor.device())
}

/// `activation(x W + bias + addend)` with `W` zero outside a staircase.
///
/// `x: [n, inputs]`, `weight: [inputs, outputs]`, `bias: [1, outputs]`, `addend: [n, outputs]`. Masked entries of `weight` must be
/// zero; their gradient is.
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<2>,
    addend: Option<Tensor<2>>,
    staircase: &Arc<Staircase>,
    activation: Activation,
) -> Tensor<2> {
    if !is_fused(&x) {
        return composed::linear(x, weight, bias, addend, staircase, activation);
    }
    let op = linear::LinearOp { staircase: Arc::clone(staircase), activation };
    match addend {
        Some(addend) => extension::apply4([x, weight, bias, addend], Arc::new(op)),
        None => extension::apply3([x, weight, bias], Arc::new(op)),
    }
}

/// `activation(x)`, element by element.
pub fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    composed::activate(x, activation)
}

/// Applies a scalar map to `[n, d]` with parameters `[n, d k]`: value and log-slope, both `[n, d]`. `None` for an inverse that has neither a kernel on the device
/// nor a formula.
pub fn scalar_map(
    map: &Arc<dyn AnyMap>,
    direction: Direction,
    x: Tensor<2>,
    params: Tensor<2>,
) -> Option<[Tensor<2>; 2]> {
    let [n, d] = x.dims();
    if is_fused(&x) && n * d > 0 {
        let op = map::MapOp { map: Arc::clone(map), direction };
        return Some(halves(extension::apply2([x, params], Arc::new(op))));
    }
    match direction {
        // Nothing is the same in both directions.
        Direction::Inverse if n * d > 0 => map.composed_inverse(x, params),
        _ => Some(map.composed(x, params)),
    }
}

/// The two matrices of `[2, n, d]`.
fn halves(both: Tensor<3>) -> [Tensor<2>; 2] {
    let [_, n, d] = both.dims();
    [both.clone().narrow(0, 0, 1).reshape([n, d]), both.narrow(0, 1, 1).reshape([n, d])]
}

/// Log-density of the standard normal per row, `-(d ln 2 pi + |z|^2) / 2`, in [`sum_dtype`].
pub fn standard_normal_log_prob(z: Tensor<2>) -> Tensor<1> {
    if !is_fused(&z) {
        return composed::standard_normal_log_prob(z);
    }
    extension::apply1(z, Arc::new(rows::RowsOp::NormalLogProb))
}

/// Sum of each row, in [`sum_dtype`].
pub fn sum_rows(t: Tensor<2>) -> Tensor<1> {
    if !is_fused(&t) {
        return composed::sum_rows(t);
    }
    extension::apply1(t, Arc::new(rows::RowsOp::Sum))
}

/// `limit tanh(raw / limit)`: about the value itself when small, never beyond the limit.
pub fn bounded<const D: usize>(raw: Tensor<D>, limit: f64) -> Tensor<D> {
    composed::bounded(raw, limit)
}

/// `ln sum e^t` over the last axis, `[n, d, 1]`.
pub(crate) fn log_sum_exp(t: Tensor<3>) -> Tensor<3> {
    composed::log_sum_exp(t)
}

/// `ln(1 + e^p)` without overflow, with the right slope at zero.
pub fn softplus<const D: usize>(p: Tensor<D>) -> Tensor<D> {
    composed::softplus(p)
}
