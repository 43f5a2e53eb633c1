//! The one backend extension through which all fused operations pass.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use super::flex::{Scalar, dense};

/// An operation with a hand-written backward pass, over CPU tensors.
pub trait FusedOp: Send + Sync + Debug {
    /// The output of the operation.
    fn forward(&self, inputs: &[FlexTensor]) -> FlexTensor;

    /// Gradients of the inputs from that of the output; `needed[i]` says whether input `i` wants one.
    fn backward(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>>;
}

/// A [`FusedOp`] that is written once for both element types.
///
/// `T` is the type of the first input. All tensors are dense; output and gradient may have another type.
pub(super) trait DenseOp: Send + Sync + Debug {
    /// See [`FusedOp::forward`].
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor;

    /// See [`FusedOp::backward`].
    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: &FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>>;
}

impl<Op: DenseOp> FusedOp for Op {
    fn forward(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let inputs: Vec<FlexTensor> = inputs.iter().map(dense).collect();
        match inputs[0].dtype() {
            DType::F64 => self.run::<f64>(&inputs),
            _ => self.run::<f32>(&inputs),
        }
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: FlexTensor,
        needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let inputs: Vec<FlexTensor> = inputs.iter().map(dense).collect();
        let (output, grad) = (dense(output), dense(&grad));
        match inputs[0].dtype() {
            DType::F64 => self.run_backward::<f64>(&inputs, &output, &grad, needed),
            _ => self.run_backward::<f32>(&inputs, &output, &grad, needed),
        }
    }
}

/// Carries a [`FusedOp`] to the backend that holds its inputs.
#[backend_extension(Flex, Autodiff)]
pub trait FlowOps: Backend {
    /// Applies an operation of one tensor.
    fn fused1(a: FloatTensor<Self>, op: Arc<dyn FusedOp>) -> FloatTensor<Self>;

    /// Applies an operation of two tensors.
    fn fused2(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;

    /// Applies an operation of three tensors.
    fn fused3(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;

    /// Applies an operation of four tensors.
    fn fused4(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;
}

type Flexible = FloatTensor<Flex>;

impl FlowOps for Flex {
    fn fused1(a: Flexible, op: Arc<dyn FusedOp>) -> Flexible {
        op.forward(&[a])
    }

    fn fused2(a: Flexible, b: Flexible, op: Arc<dyn FusedOp>) -> Flexible {
        op.forward(&[a, b])
    }

    fn fused3(a: Flexible, b: Flexible, c: Flexible, op: Arc<dyn FusedOp>) -> Flexible {
        op.forward(&[a, b, c])
    }

    fn fused4(
        a: Flexible,
        b: Flexible,
        c: Flexible,
        d: Flexible,
        op: Arc<dyn FusedOp>,
    ) -> Flexible {
        op.forward(&[a, b, c, d])
    }
}

/// What the backward pass keeps: the operation, its inputs and its output.
#[derive(Clone, Debug)]
struct Kept {
    op: Arc<dyn FusedOp>,
    inputs: Vec<FlexTensor>,
    output: FlexTensor,
}

#[derive(Debug)]
struct FusedBackward;

impl<const N: usize> Backward<Flex, N> for FusedBackward {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let needed = ops.parents.each_ref().map(Option::is_some);
        let Kept { op, inputs, output } = ops.state;
        let found = op.backward(&inputs, &output, grad, &needed);
        for (parent, grad) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}

type Tracked<C> = FloatTensor<Autodiff<Flex, C>>;

/// Runs the operation and, if an input is tracked, notes down its backward pass.
fn record<C: CheckpointStrategy, const N: usize>(
    inputs: [Tracked<C>; N],
    op: Arc<dyn FusedOp>,
) -> Tracked<C> {
    let guards = inputs.each_ref().map(|input| input.node());
    let inputs: Vec<FlexTensor> = inputs.into_iter().map(|input| input.into_primitive()).collect();
    let output = op.forward(&inputs);
    match Backward::<Flex, N>::prepare::<C>(FusedBackward, guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let kept = Kept { op, inputs, output: output.clone() };
            prep.finish(kept, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

impl<C: CheckpointStrategy> FlowOps for Autodiff<Flex, C> {
    fn fused1(a: Tracked<C>, op: Arc<dyn FusedOp>) -> Tracked<C> {
        record::<C, 1>([a], op)
    }

    fn fused2(a: Tracked<C>, b: Tracked<C>, op: Arc<dyn FusedOp>) -> Tracked<C> {
        record::<C, 2>([a, b], op)
    }

    fn fused3(a: Tracked<C>, b: Tracked<C>, c: Tracked<C>, op: Arc<dyn FusedOp>) -> Tracked<C> {
        record::<C, 3>([a, b, c], op)
    }

    fn fused4(
        a: Tracked<C>,
        b: Tracked<C>,
        c: Tracked<C>,
        d: Tracked<C>,
        op: Arc<dyn FusedOp>,
    ) -> Tracked<C> {
        record::<C, 4>([a, b, c, d], op)
    }
}

/// Applies an operation of one tensor that lives on the CPU device.
pub(super) fn apply1<const D: usize>(a: Tensor<2>, op: Arc<dyn FusedOp>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as FlowOps>::fused1(a.into_dispatch(), op))
}

/// Applies an operation of two tensors that live on the CPU device.
pub(super) fn apply2<const D: usize>([a, b]: [Tensor<2>; 2], op: Arc<dyn FusedOp>) -> Tensor<D> {
    let [a, b] = [a.into_dispatch(), b.into_dispatch()];
    Tensor::from_dispatch(<Dispatch as FlowOps>::fused2(a, b, op))
}

/// Applies an operation of three tensors that live on the CPU device.
pub(super) fn apply3<const D: usize>(inputs: [Tensor<2>; 3], op: Arc<dyn FusedOp>) -> Tensor<D> {
    let [a, b, c] = inputs.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as FlowOps>::fused3(a, b, c, op))
}

/// Applies an operation of four tensors that live on the CPU device.
pub(super) fn apply4<const D: usize>(inputs: [Tensor<2>; 4], op: Arc<dyn FusedOp>) -> Tensor<D> {
    let [a, b, c, d] = inputs.map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as FlowOps>::fused4(a, b, c, d, op))
}

/// Applies an operation of one to four tensors that live on the CPU device.
///
/// # Panics
/// If there are none, or more.
pub(super) fn apply<const D: usize>(inputs: &[Tensor<2>], op: Arc<dyn FusedOp>) -> Tensor<D> {
    match inputs {
        [a] => apply1(a.clone(), op),
        [a, b] => apply2([a, b].map(Tensor::clone), op),
        [a, b, c] => apply3([a, b, c].map(Tensor::clone), op),
        [a, b, c, d] => apply4([a, b, c, d].map(Tensor::clone), op),
        _ => panic!("an operation has 1 to 4 inputs, not {}", inputs.len()),
    }
}
