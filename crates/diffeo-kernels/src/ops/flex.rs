//! Reading and making the CPU backend's tensors as slices.

use burn::tensor::{Bytes, DType, Element, Shape};
use burn_flex::{FlexTensor, Layout};

use crate::Real;

/// A number that kernels compute with and tensors hold.
pub(super) trait Scalar: Real + Element + bytemuck::Pod {}
impl Scalar for f32 {}
impl Scalar for f64 {}

/// Whether kernels exist for a type.
pub(super) fn is_supported(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

/// Brings a view into dense row-major order, without a copy if it is dense already.
pub(super) fn dense(tensor: &FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor.clone() } else { tensor.to_contiguous() }
}

/// The elements of a dense tensor.
pub(super) fn elements<T: Scalar>(tensor: &FlexTensor) -> &[T] {
    let start = tensor.layout().start_offset();
    &tensor.storage::<T>()[start..start + tensor.layout().num_elements()]
}

/// A dense tensor of the given elements.
pub(super) fn tensor<T: Scalar>(values: Vec<T>, shape: impl Into<Shape>) -> FlexTensor {
    let shape = shape.into();
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), T::dtype())
}

/// Extents of a matrix.
pub(super) fn extents(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}
