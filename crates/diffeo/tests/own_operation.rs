//! A layer of a program's own brings an operation with a gradient of its own: an inverse found by Newton's method, differentiated
//! implicitly.

mod support;

use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo::laws::{Case, hold};
use diffeo::ops::{Argument, CustomOp, Real, custom, sum_rows};
use diffeo::transforms::{Describe, Own, OwnLayer, Registry};
use diffeo::{Given, Init, Mapped, Parameter, Place, Result, Transform, Visitor};
use serde::{Deserialize, Serialize};
use support::{host, tensor};

/// `z = x + a asinh x` in every column, `a > 0` its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LogTailSpec {}

impl OwnLayer for LogTailSpec {
    const NAME: &'static str = "log_tail";
}

impl Describe for LogTailSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place) -> Option<u64> {
        Some(at.dims as u64)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(LogTail(Parameter::new(init.full([1, at.dims], 0.0)))))
    }
}

#[derive(Clone, Debug)]
struct LogTail(Parameter);

impl LogTail {
    /// `a = e^(3 tanh(raw / 3))`.
    fn weight(&self) -> Tensor<2> {
        ((self.0.value.clone() / 3.0).tanh() * 3.0).exp()
    }

    /// `sum ln(1 + a / sqrt(1 + x^2))` and `asinh x`, of which it is made: `1 / sqrt(1 + x^2) = 1 / cosh(asinh x)`.
    fn log_det(&self, x: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
        let u = x.asinh();
        let small = u.clone().abs().neg().exp();
        let slope = small.clone() * 2.0 / (small.powi_scalar(2) + 1.0);
        (sum_rows((self.weight() * slope).log1p()), u)
    }
}

impl Transform for LogTail {
    fn dims(&self) -> usize {
        self.0.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let (log_det, u) = self.log_det(x.clone());
        Ok(Mapped { value: x + self.weight() * u, log_det })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let x = custom(Arc::new(Undo), vec![z, self.weight()]);
        Ok(Mapped { log_det: self.log_det(x.clone()).0.neg(), value: x })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("log_tail", &mut self.0);
    }
}

/// The `x` with `z = x + a asinh x`, of `z [rows, d]` and `a [1, d]`.
#[derive(Debug)]
struct Undo;

/// `dz/dx`.
fn slope(x: f64, a: f64) -> f64 {
    1.0 + a / 1f64.hypot(x)
}

impl CustomOp for Undo {
    fn shape(&self, inputs: &[[usize; 2]]) -> [usize; 2] {
        inputs[0]
    }

    fn forward<T: Real>(&self, inputs: &[Argument<'_, T>], out: &mut [T]) {
        let a = inputs[1].values;
        for (i, (x, z)) in out.iter_mut().zip(inputs[0].values).enumerate() {
            let (z, a) = (z.to_f64(), a[i % a.len()].to_f64());
            // Away from zero the map is concave, so the steps from zero never pass the root.
            let step = |x: f64, _| x - (x + a * x.asinh() - z) / slope(x, a);
            *x = T::from_f64((0..50).fold(0.0, step));
        }
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Argument<'_, T>],
        output: &[T],
        grad: &[T],
        to: &mut [Option<&mut [T]>],
    ) {
        let a = inputs[1].values;
        for (i, (x, grad)) in output.iter().zip(grad).enumerate() {
            let column = i % a.len();
            let x = x.to_f64();
            let by_z = grad.to_f64() / slope(x, a[column].to_f64());
            if let Some(z) = &mut to[0] {
                z[i] = T::from_f64(by_z);
            }
            if let Some(a) = &mut to[1] {
                a[column] += T::from_f64(-by_z * x.asinh());
            }
        }
    }

    fn composed(&self, inputs: Vec<Tensor<2>>) -> Tensor<2> {
        let (z, a) = (&inputs[0], &inputs[1]);
        let step = |x: Tensor<2>, a: Tensor<2>, z: Tensor<2>| {
            let slope = a.clone().detach() / (x.clone().powi_scalar(2) + 1.0).sqrt() + 1.0;
            x.clone() - (x.clone() + a * x.asinh() - z) / slope
        };
        let still = |x, _| step(x, a.clone().detach(), z.clone().detach());
        step((0..50).fold(z.zeros_like().detach(), still), a.clone(), z.clone())
    }
}

#[test]
fn an_operation_with_its_own_gradient_serves_a_layer_that_keeps_the_laws() {
    let layer = Own::new(LogTailSpec {}).unwrap();
    hold(&Case::of_layer(layer, 3, 0).with(Registry::new().with::<LogTailSpec>()));
}

#[test]
fn on_other_devices_the_tensors_of_the_operation_give_the_same() {
    let values = vec![-4.0, 0.0, 0.3, 50.0];
    let inputs = || vec![tensor(values.clone(), [2, 2]), tensor(vec![0.5, 2.0], [1, 2])];
    let (fused, composed) = (host(custom(Arc::new(Undo), inputs())), host(Undo.composed(inputs())));
    for (a, b) in fused.iter().zip(&composed) {
        assert!((a - b).abs() < 1e-12, "{fused:?} {composed:?}");
    }
}
