//! Pointwise nonlinearities whose slope can be read off their output.

use crate::Real;
use crate::dispatch::dispatched;

/// What a layer does to its pre-activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x` above zero, `e^x - 1` below.
    Elu,
}

impl Activation {
    /// `activation(value)`.
    #[inline(always)]
    pub fn apply<T: Real>(self, value: T) -> T {
        match self {
            Self::None => value,
            Self::Relu => relu(value),
            Self::Tanh => value.tanh(),
            Self::Elu => elu(value),
        }
    }

    /// Slope where the activation's output is `output`.
    #[inline(always)]
    pub fn slope<T: Real>(self, output: T) -> T {
        match self {
            Self::None => T::ONE,
            Self::Relu => relu_slope(output),
            Self::Tanh => tanh_slope(output),
            Self::Elu => elu_slope(output),
        }
    }
}

#[inline(always)]
fn relu<T: Real>(value: T) -> T {
    // Not `value > 0`: that would turn NaN into 0.
    if value < T::ZERO { T::ZERO } else { value }
}
#[inline(always)]
fn relu_slope<T: Real>(output: T) -> T {
    if output <= T::ZERO { T::ZERO } else { T::ONE }
}
#[inline(always)]
fn tanh_slope<T: Real>(output: T) -> T {
    output.fma(-output, T::ONE)
}
#[inline(always)]
fn elu<T: Real>(value: T) -> T {
    let below = value.exp_m1();
    if value < T::ZERO { below } else { value }
}
#[inline(always)]
fn elu_slope<T: Real>(output: T) -> T {
    if output < T::ZERO { output + T::ONE } else { T::ONE }
}

dispatched! {
    /// Applies an activation in place.
    pub fn activate<T: Real>(activation: Activation, values: &mut [T]) {
        // One loop an activation: a choice inside the loop would keep it from being vectorised.
        match activation {
            Activation::None => {}
            Activation::Relu => values.iter_mut().for_each(|v| *v = relu(*v)),
            Activation::Tanh => values.iter_mut().for_each(|v| *v = v.tanh()),
            Activation::Elu => values.iter_mut().for_each(|v| *v = elu(*v)),
        }
    }
}

dispatched! {
    /// Turns the gradient of an activation's output into that of its input, in place.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn activate_backward<T: Real>(activation: Activation, output: &[T], grad: &mut [T]) {
        assert_eq!(output.len(), grad.len(), "activation and gradient differ in length");
        let pairs = grad.iter_mut().zip(output);
        match activation {
            Activation::None => {}
            Activation::Relu => pairs.for_each(|(g, &y)| *g = *g * relu_slope(y)),
            Activation::Tanh => pairs.for_each(|(g, &y)| *g = *g * tanh_slope(y)),
            Activation::Elu => pairs.for_each(|(g, &y)| *g = *g * elu_slope(y)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_equal_central_differences() {
        for activation in [Activation::None, Activation::Relu, Activation::Tanh, Activation::Elu] {
            for x in [-3.0, -0.7, -1e-3, 1e-3, 0.4, 2.5] {
                let h = 1e-6;
                let numeric = (activation.apply(x + h) - activation.apply(x - h)) / (2.0 * h);
                let slope: f64 = activation.slope(activation.apply(x));
                assert!((slope - numeric).abs() < 1e-8, "{activation:?} at {x}: {slope} {numeric}");
            }
        }
    }

    #[test]
    fn nan_is_never_hidden() {
        for activation in [Activation::None, Activation::Relu, Activation::Tanh, Activation::Elu] {
            let mut x = [1.0f32, f32::NAN, -1.0];
            activate(activation, &mut x);
            assert!(x[1].is_nan() && x[0].is_finite() && x[2].is_finite(), "{activation:?}");
        }
    }
}
