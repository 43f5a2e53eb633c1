//! Operations from outside against autodiff of their twins, and one whose gradient is not that of its values.

use burn::tensor::{DType, Device, TensorData};

use super::*;

/// The sign of an element; its gradient is passed on as if it were the element.
#[derive(Debug)]
struct StraightThrough;

impl CustomOp for StraightThrough {
    fn shape(&self, inputs: &[[usize; 2]]) -> [usize; 2] {
        inputs[0]
    }

    fn forward<T: Real>(&self, inputs: &[Argument<'_, T>], out: &mut [T]) {
        for (out, &x) in out.iter_mut().zip(inputs[0].values) {
            *out = if x < T::ZERO { -T::ONE } else { T::ONE };
        }
    }

    fn backward<T: Real>(
        &self,
        _inputs: &[Argument<'_, T>],
        _output: &[T],
        grad: &[T],
        to: &mut [Option<&mut [T]>],
    ) {
        if let Some(to) = &mut to[0] {
            to.copy_from_slice(grad);
        }
    }

    /// The sign with its true gradient, which is zero: so one can tell by the gradient which way an operation went.
    fn composed(&self, inputs: Vec<Tensor<2>>) -> Tensor<2> {
        inputs[0].clone().sign()
    }
}

/// `y_ij = x_ij s_i tanh(w_j) + c_i` for `x: [n, d]`, and as many of `s: [n, 1]`, `w: [1, d]`, `c: [n, 1]` as are given.
#[derive(Debug)]
struct Scaled;

/// `s_i`, `tanh(w_j)` and `c_i`.
fn terms<T: Real>(inputs: &[Argument<'_, T>], i: usize, j: usize) -> [T; 3] {
    let at = |k: usize, place: usize| inputs.get(k).map(|input| input.values[place]);
    let [s, w, c] = [at(1, i), at(2, j), at(3, i)];
    [s.unwrap_or(T::ONE), w.map_or(T::ONE, T::tanh), c.unwrap_or(T::ZERO)]
}

impl CustomOp for Scaled {
    fn shape(&self, inputs: &[[usize; 2]]) -> [usize; 2] {
        let [n, d] = inputs[0];
        assert!(inputs[1..].iter().zip([[n, 1], [1, d], [n, 1]]).all(|(a, b)| *a == b));
        [n, d]
    }

    fn forward<T: Real>(&self, inputs: &[Argument<'_, T>], out: &mut [T]) {
        let d = inputs[0].shape[1];
        for (at, (out, &x)) in out.iter_mut().zip(inputs[0].values).enumerate() {
            let [s, w, c] = terms(inputs, at / d, at % d);
            *out = x * s * w + c;
        }
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Argument<'_, T>],
        output: &[T],
        grad: &[T],
        to: &mut [Option<&mut [T]>],
    ) {
        assert_eq!(output.len(), grad.len());
        let d = inputs[0].shape[1];
        for (at, (&g, &x)) in grad.iter().zip(inputs[0].values).enumerate() {
            let (i, j) = (at / d, at % d);
            let [s, w, _] = terms(inputs, i, j);
            let by = [(at, s * w), (i, x * w), (j, x * s * (T::ONE - w * w)), (i, T::ONE)];
            for (to, (place, slope)) in to.iter_mut().zip(by) {
                if let Some(to) = to {
                    to[place] += g * slope;
                }
            }
        }
    }

    fn composed(&self, inputs: Vec<Tensor<2>>) -> Tensor<2> {
        let mut rest = inputs.into_iter();
        let x = rest.next().expect("an input");
        let x = rest.next().into_iter().fold(x, |x, s| x * s);
        let x = rest.next().into_iter().fold(x, |x, w| x * w.tanh());
        rest.next().into_iter().fold(x, |x, c| x + c)
    }
}

fn wave(shape: [usize; 2], speed: f64, dtype: DType) -> Tensor<2> {
    let at = |i: usize| (i as f64 * speed + 1.0).sin();
    let data = TensorData::new((0..shape[0] * shape[1]).map(at).collect(), shape);
    Tensor::from_data(data, (&Device::default(), dtype))
}

fn host(tensor: Tensor<2>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().expect("elements are f64")
}

fn inputs(count: usize, dtype: DType) -> Vec<Tensor<2>> {
    let shapes = [[5, 3], [5, 1], [1, 3], [5, 1]];
    let input = |(i, shape)| wave(shape, 1.3 + i as f64, dtype);
    shapes.into_iter().take(count).enumerate().map(input).collect()
}

fn near(found: Tensor<2>, expected: Tensor<2>, limit: f64) {
    assert_eq!(found.dims(), expected.dims());
    for (found, expected) in host(found).into_iter().zip(host(expected)) {
        assert!((found - expected).abs() < limit, "{found} {expected}");
    }
}

/// Values of the sign, and its gradient under given weights.
fn sign(dtype: DType) -> [Vec<f64>; 3] {
    let x = wave([7, 4], 1.7, dtype).autodiff().require_grad();
    let weight = wave([7, 4], 0.6, dtype);
    let y = custom(Arc::new(StraightThrough), vec![x.clone()]);
    let grads = (y.clone() * weight.clone().autodiff()).sum().backward();
    [y.inner(), x.grad(&grads).expect("a gradient"), weight].map(host)
}

#[test]
fn the_gradient_is_the_one_that_is_given() {
    for dtype in [DType::F32, DType::F64] {
        let [y, grad, weight] = sign(dtype);
        assert_eq!(y, host(wave([7, 4], 1.7, dtype).sign()));
        assert_eq!(grad, weight);
    }
}

#[test]
fn an_element_type_without_kernels_takes_the_twin() {
    let [y, grad, _] = sign(DType::F16);
    assert_eq!(y, host(wave([7, 4], 1.7, DType::F32).sign()));
    assert!(grad.iter().all(|g| *g == 0.0), "{grad:?}");
}

#[test]
fn values_and_gradients_equal_those_of_the_twin() {
    for (dtype, limit) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
        for count in 1..=4 {
            let leaf = |t: Tensor<2>| t.autodiff().require_grad();
            let inputs: Vec<Tensor<2>> = inputs(count, dtype).into_iter().map(leaf).collect();
            let weight = wave([5, 3], 0.6, dtype).autodiff();
            let both = [custom(Arc::new(Scaled), inputs.clone()), Scaled.composed(inputs.clone())];
            let grads = both.each_ref().map(|y| (y.clone() * weight.clone()).sum().backward());
            let [found, expected] = both.map(Tensor::inner);
            near(found, expected, limit);
            for input in &inputs {
                let [found, expected] = grads.each_ref().map(|grads| input.grad(grads));
                near(found.expect("a gradient"), expected.expect("a gradient"), limit);
            }
        }
    }
}

#[test]
fn views_are_read_in_order_and_gradients_are_made_for_those_who_want_them() {
    let view = wave([3, 5], 1.1, DType::F64).transpose().autodiff();
    let scale = wave([5, 1], 0.7, DType::F64).autodiff().require_grad();
    let inputs = vec![view.clone(), scale.clone()];
    let both = [custom(Arc::new(Scaled), inputs.clone()), Scaled.composed(inputs)];
    let grads = both.each_ref().map(|y| y.clone().sum().backward());
    let [found, expected] = grads.each_ref().map(|grads| scale.grad(grads).expect("a gradient"));
    near(found, expected, 1e-12);
    assert!(view.grad(&grads[0]).is_none());
    let [found, expected] = both.map(Tensor::inner);
    near(found, expected, 1e-12);
}

#[test]
fn without_gradients_and_without_rows() {
    let [plain, twin] =
        [custom(Arc::new(Scaled), inputs(4, DType::F64)), Scaled.composed(inputs(4, DType::F64))];
    near(plain, twin, 1e-12);
    let none = wave([0, 3], 1.0, DType::F32).autodiff().require_grad();
    let y = custom(Arc::new(StraightThrough), vec![none.clone()]);
    assert_eq!(y.dims(), [0, 3]);
    let grads = y.sum().backward();
    assert_eq!(none.grad(&grads).expect("a gradient").dims(), [0, 3]);
}

#[test]
#[should_panic(expected = "an operation has 1 to 4 inputs, not 0")]
fn no_input_is_refused() {
    custom(Arc::new(StraightThrough), Vec::new());
}

#[test]
#[should_panic(expected = "an operation has 1 to 4 inputs, not 5")]
fn five_inputs_are_refused() {
    custom(Arc::new(StraightThrough), vec![wave([1, 1], 1.0, DType::F32); 5]);
}

#[test]
#[should_panic(expected = "inputs differ in element type")]
fn inputs_of_two_types_are_refused() {
    let both = [DType::F32, DType::F64].map(|dtype| wave([2, 1], 1.0, dtype));
    custom(Arc::new(Scaled), both.to_vec());
}
