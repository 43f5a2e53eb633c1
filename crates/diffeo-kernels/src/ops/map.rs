//! The scalar maps as operations: value and log-slope in one pass, stacked as `[2, n, d]`.

use std::any::Any;
use std::sync::Arc;

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::Direction;
use super::extension::DenseOp;
use super::flex::{Scalar, elements, extents, tensor};
use crate::{ArgumentGradients, MapGradients, MapKernel, Real};

/// A scalar map for tensors of both element types and on every device.
pub trait AnyMap: MapKernel<f32> + MapKernel<f64> {
    /// The map written with tensor primitives: value and log-slope, both `[n, d]`, of `x: [n, d]` with parameters `[n, d k]`.
    /// For devices without kernels, and what the kernels are tested against.
    fn composed(&self, x: Tensor<2>, params: Tensor<2>) -> [Tensor<2>; 2];

    /// Its inverse likewise; `None` if there is no formula.
    fn composed_inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Option<[Tensor<2>; 2]> {
        let _ = (z, params);
        None
    }
}

impl dyn AnyMap {
    /// The map as a kernel of one element type.
    pub fn kernel<T: Real>(self: &Arc<Self>) -> Arc<dyn MapKernel<T>> {
        let single: Arc<dyn MapKernel<f32>> = Arc::clone(self) as _;
        let double: Arc<dyn MapKernel<f64>> = Arc::clone(self) as _;
        let both: [&dyn Any; 2] = [&single, &double];
        match both.into_iter().find_map(|kernel| kernel.downcast_ref::<Arc<dyn MapKernel<T>>>()) {
            Some(kernel) => Arc::clone(kernel),
            None => unreachable!("a real number is f32 or f64"),
        }
    }
}

/// Inputs: the argument `[n, d]` and the parameters `[n, d k]`.
#[derive(Debug)]
pub(super) struct MapOp {
    pub(super) map: Arc<dyn AnyMap>,
    pub(super) direction: Direction,
}

impl DenseOp for MapOp {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let [n, d] = extents(&inputs[0]);
        let mut out = vec![T::ZERO; 2 * n * d];
        let (value, log_slope) = out.split_at_mut(n * d);
        let (x, params) = (elements::<T>(&inputs[0]), elements::<T>(&inputs[1]));
        let map = self.map.kernel::<T>();
        match self.direction {
            Direction::Forward => map.forward(x, params, value, log_slope),
            Direction::Inverse => map.inverse(x, params, value, log_slope),
        }
        tensor(out, [2, n, d])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        output: &FlexTensor,
        grad: &FlexTensor,
        _needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (input, params) = (&inputs[0], &inputs[1]);
        let [n, d] = extents(input);
        let mut grad_input = vec![T::ZERO; n * d];
        let mut grad_params = vec![T::ZERO; params.layout().num_elements()];
        let (value, log_slope) = elements::<T>(grad).split_at(n * d);
        let from = MapGradients { value, log_slope };
        let to = ArgumentGradients { input: &mut grad_input, params: &mut grad_params };
        // Both directions are differentiated at the data side: an inverse's output.
        let x = match self.direction {
            Direction::Forward => elements::<T>(input),
            Direction::Inverse => &elements::<T>(output)[..n * d],
        };
        let (map, p) = (self.map.kernel::<T>(), elements::<T>(params));
        match self.direction {
            Direction::Forward => map.forward_backward(x, p, from, to),
            Direction::Inverse => map.inverse_backward(x, p, from, to),
        }
        vec![Some(tensor(grad_input, [n, d])), Some(tensor(grad_params, extents(params)))]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::super::scalar_map;
    use super::*;
    use crate::{
        Affine, Bernstein, LogisticMixture, MonotonicNetwork, PolynomialSpline, RationalQuadratic,
        SumOfSquares,
    };

    const SHAPE: [usize; 2] = [40, 3];

    fn wave(shape: [usize; 2], speed: f64, size: f64) -> Tensor<2> {
        let at = |i: usize| (i as f64 * speed + 1.0).sin() * size;
        let data = TensorData::new((0..shape[0] * shape[1]).map(at).collect(), shape);
        Tensor::from_data(data, (&Device::default(), DType::F64)).autodiff().require_grad()
    }

    fn host(tensor: Tensor<2>) -> Vec<f64> {
        tensor.into_data().try_to_vec().expect("elements are f64")
    }

    fn close(found: Tensor<2>, expected: Tensor<2>, limit: f64) {
        for (found, expected) in host(found).into_iter().zip(host(expected)) {
            let error = (found - expected).abs() / (1.0 + expected.abs());
            assert!(error < limit, "{found} {expected}");
        }
    }

    #[test]
    fn kernels_equal_the_map_of_tensor_primitives() {
        let spline = |degree, bins| PolynomialSpline {
            degree,
            bins,
            bound: 3.0,
            min_size: 1e-3,
            min_slope: 1e-3,
        };
        let maps: [Arc<dyn AnyMap>; 16] = [
            Arc::new(Affine { log_scale_max: 7.0 }),
            Arc::new(RationalQuadratic::new(2, 3.0)),
            Arc::new(RationalQuadratic::new(6, 3.0)),
            Arc::new(LogisticMixture { components: 1, depth: 1 }),
            Arc::new(LogisticMixture { components: 5, depth: 3 }),
            Arc::new(Bernstein { degree: 2, bound: 3.0, min_slope: 1e-3 }),
            Arc::new(Bernstein { degree: 7, bound: 2.5, min_slope: 1e-3 }),
            Arc::new(SumOfSquares { polynomials: 3, degree: 4, bound: 3.0, min_slope: 1e-3 }),
            Arc::new(MonotonicNetwork { units: 1, nodes: 64, bound: 3.0, min_slope: 1e-3 }),
            Arc::new(MonotonicNetwork { units: 5, nodes: 80, bound: 2.0, min_slope: 1e-3 }),
            Arc::new(spline(1, 2)),
            Arc::new(spline(1, 7)),
            Arc::new(spline(2, 2)),
            Arc::new(spline(2, 7)),
            Arc::new(spline(3, 2)),
            Arc::new(spline(3, 7)),
        ];
        for (map, direction) in
            maps.iter().flat_map(|map| [Direction::Forward, Direction::Inverse].map(|d| (map, d)))
        {
            let params = [SHAPE[0], SHAPE[1] * map.params_per_dim()];
            let (x, params) = (wave(SHAPE, 1.7, 3.5), wave(params, 2.3, 2.0));
            let composed = match direction {
                Direction::Forward => Some(map.composed(x.clone(), params.clone())),
                Direction::Inverse => map.composed_inverse(x.clone(), params.clone()),
            };
            let Some(composed) = composed else { continue };
            let kernel = scalar_map(map, direction, x.clone(), params.clone());
            let both = [kernel.expect("the CPU has kernels"), composed];
            let [kernel, composed] = both.each_ref().map(|[value, log_slope]| {
                let weight = wave(SHAPE, 0.9, 1.0).detach();
                (value.clone() * weight.clone() - log_slope.clone() * weight).sum().backward()
            });
            // The engine's gradient of a division by a number rounds that to f32.
            for input in [&x, &params] {
                let [found, expected] = [&kernel, &composed].map(|g| input.grad(g));
                close(found.expect("a gradient"), expected.expect("a gradient"), 1e-7);
            }
            let [kernel, composed] = both.map(|both| both.map(Tensor::inner));
            for (found, expected) in kernel.into_iter().zip(composed) {
                close(found, expected, 1e-12);
            }
        }
    }
}
