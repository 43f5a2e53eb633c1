//! The door for operations from outside, with gradients of their own.

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::extension::{DenseOp, apply};
use super::flex::{Scalar, elements, extents, tensor};
use super::is_fused;
use crate::Real;

/// A matrix that an operation reads.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a, T> {
    /// Rows and columns.
    pub shape: [usize; 2],
    /// The elements, row after row.
    pub values: &'a [T],
}

/// An operation that makes a matrix of one to four matrices, over plain slices and with a gradient of its own.
///
/// The gradient is taken as it is given. It may be that of the forward pass, found without the steps that led there (an implicit
/// function, a recursion), or another on purpose (a straight-through estimator).
pub trait CustomOp: Debug + Send + Sync + 'static {
    /// Shape of the result, given those of the inputs. Panics if they do not fit the operation.
    fn shape(&self, inputs: &[[usize; 2]]) -> [usize; 2];

    /// Writes the result to `out`, which has the [`Self::shape`] and holds zeros.
    fn forward<T: Real>(&self, inputs: &[Argument<'_, T>], out: &mut [T]);

    /// Writes the gradients of a loss by the inputs, given `grad`, that by the result, which was `output`. `to[i]` has the shape
    /// of input `i` and holds zeros; it is absent where no gradient is wanted.
    fn backward<T: Real>(
        &self,
        inputs: &[Argument<'_, T>],
        output: &[T],
        grad: &[T],
        to: &mut [Option<&mut [T]>],
    );

    /// The operation written with tensor primitives, for devices and element types without kernels. Its gradient is that of
    /// autodiff; where the operation's own differs, `detach` makes it so.
    fn composed(&self, inputs: Vec<Tensor<2>>) -> Tensor<2>;
}

/// Applies an operation from outside, with its own gradient: its passes over slices on the CPU device, in `f32` or `f64`, and
/// [`CustomOp::composed`] elsewhere.
///
/// # Panics
/// Unless there are one to four inputs of one element type, or if the operation does.
pub fn custom<Op: CustomOp>(op: Arc<Op>, inputs: Vec<Tensor<2>>) -> Tensor<2> {
    assert!(
        (1..=4).contains(&inputs.len()),
        "an operation has 1 to 4 inputs, not {}",
        inputs.len()
    );
    let dtype = inputs[0].dtype();
    assert!(inputs.iter().all(|input| input.dtype() == dtype), "inputs differ in element type");
    if inputs.iter().all(is_fused) {
        apply(&inputs, Arc::new(OverSlices(op)))
    } else {
        op.composed(inputs)
    }
}

/// Brings a [`CustomOp`] to the backend's tensors.
#[derive(Debug)]
struct OverSlices<Op>(Arc<Op>);

fn arguments<T: Scalar>(inputs: &[FlexTensor]) -> Vec<Argument<'_, T>> {
    inputs.iter().map(|t| Argument { shape: extents(t), values: elements(t) }).collect()
}

impl<Op: CustomOp> DenseOp for OverSlices<Op> {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let shapes: Vec<[usize; 2]> = inputs.iter().map(extents).collect();
        let shape = self.0.shape(&shapes);
        let mut out = vec![T::ZERO; shape[0] * shape[1]];
        self.0.forward(&arguments::<T>(inputs), &mut out);
        tensor(out, shape)
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: &FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let inputs = arguments::<T>(inputs);
        let zeros = |(input, &needed): (&Argument<'_, T>, &bool)| {
            needed.then(|| vec![T::ZERO; input.values.len()])
        };
        let mut found: Vec<Option<Vec<T>>> = inputs.iter().zip(needed).map(zeros).collect();
        let mut to: Vec<Option<&mut [T]>> = found.iter_mut().map(Option::as_deref_mut).collect();
        self.0.backward(&inputs, elements(output), elements(grad), &mut to);
        let gradients = found.into_iter().zip(&inputs);
        gradients.map(|(found, input)| found.map(|g| tensor(g, input.shape))).collect()
    }
}

#[cfg(test)]
mod tests;
