//! A rotation, by the Cayley transform of a skew-symmetric matrix.

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::linear::Prepared;
use super::{Describe, Place, no_log_det};
use crate::catalog::Cases;
use crate::error::Result;
use crate::host::linalg::{SquareMatrix, product};
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Given, Mapped, Transform};

/// An [`Orthogonal`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrthogonalSpec {}

impl Describe for OrthogonalSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place) -> Option<u64> {
        (at.dims as u64).checked_mul(at.dims as u64)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Orthogonal::new(at.dims, init)))
    }
}

impl Cases for OrthogonalSpec {
    fn cases(at: Place) -> Vec<Self> {
        if at.context == 0 { vec![Self {}] } else { vec![] }
    }
}

/// `z = x Q` with `Q = (I - A) (I + A)^-1` and `A = N - N^T`, `N` strictly upper triangular: a rotation, so the log-determinant is zero.
///
/// * forward: one product; inverse: one product with the transpose. Both after `4 d^3` multiply-adds for the matrix, which is kept as long as the weights stay; in
///   training about `10 d^3` with the gradient, once for each shard of a batch.
/// * Orthogonal to rounding for all weights: `I + A` has no singular value below one. It is inverted in double precision on the host, and one step of Newton
///   and Schulz, `Q (3 I - Q^T Q) / 2`, squares what rounding has left.
/// * The gradient is that of the formula, `dQ = -2 (I + A)^-1 dA (I + A)^-1`, never larger than twice that of `A`.
/// * `N = L tanh(raw / L)` with `L = 1000`: an angle `a` of a plane has `N = tan(a / 2)`, so turns go up to 0.002 short of half a turn. A reflection is none of these; see
///   [`super::Householder`].
///
/// Starts as the identity.
///
/// Reference: Cayley. *Sur quelques propriétés des déterminants gauches*. Crelle 32, 1846; Helfrich, Willmott, Ye. *Orthogonal Recurrent Neural Networks with
/// Scaled Cayley Transform*. ICML 2018, section 3 and theorem 3.2 (the gradient), arXiv:1707.09520.
#[derive(Clone, Debug)]
pub struct Orthogonal {
    /// Raw `N`, `[d, d]`.
    upper: Parameter,
    made: Prepared<Rotation>,
}

/// `Q` and `(I + A)^-1`, without gradients.
#[derive(Clone, Debug)]
struct Rotation {
    value: Tensor<2>,
    inverse: Tensor<2>,
}

impl Orthogonal {
    /// Bound of the elements of `N`.
    pub const TANGENT_MAX: f64 = 1000.0;

    /// Starts as the identity of `dims` columns.
    pub fn new(dims: usize, init: &Init) -> Self {
        let above = |row, column| row < column;
        let upper = Parameter::masked_zeros(init, [dims, dims], above);
        Self { upper, made: Prepared::default() }
    }

    /// `A`, `[d, d]`.
    fn skew(&self) -> Tensor<2> {
        // The mask comes last: it closes the gradient where there is no weight.
        let bounded = self.upper.bounded(Self::TANGENT_MAX);
        let upper = self.upper.mask.iter().fold(bounded, |value, mask| value * mask.clone());
        upper.clone() - upper.transpose()
    }

    /// `Q`, `[d, d]`.
    fn matrix(&self) -> Result<Tensor<2>> {
        let skew = self.skew();
        let made = self.made.get(&[&self.upper], || rotation(&skew))?;
        if !skew.is_tracked() {
            return Ok(made.value);
        }
        // Zero, with the gradient of the formula.
        let change = skew.clone() - skew.detach();
        let change = product(product(made.inverse.clone(), change), made.inverse);
        Ok(made.value - change.mul_scalar(2.0))
    }
}

/// The Cayley transform of a skew-symmetric matrix.
fn rotation(skew: &Tensor<2>) -> Result<Rotation> {
    let (device, dtype, d) = (skew.device(), skew.dtype(), skew.dims()[0]);
    let on_host = (&Device::flex(), DType::F64);
    let skew = SquareMatrix::from_tensor(skew.clone().detach())?.to_tensor(on_host.0, on_host.1);
    let eye = Tensor::<2>::eye(d, on_host.0).cast(on_host.1);
    let inverse = SquareMatrix::from_tensor(skew + eye.clone())?.inverse()?;
    let first = inverse.to_tensor(on_host.0, on_host.1).mul_scalar(2.0) - eye.clone();
    let square = product(first.clone().transpose(), first.clone());
    let value = product(first, eye.mul_scalar(1.5) - square.mul_scalar(0.5));
    Ok(Rotation {
        value: SquareMatrix::from_tensor(value)?.to_tensor(&device, dtype),
        inverse: inverse.to_tensor(&device, dtype),
    })
}

impl Transform for Orthogonal {
    fn dims(&self) -> usize {
        self.upper.value.dims()[0]
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&x), value: product(x, self.matrix()?) })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&z), value: product(z, self.matrix()?.transpose()) })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.made.forget();
        visitor("upper", &mut self.upper);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::linalg::host_values;

    /// The layer of `d` columns with raw weights above the diagonal, row after row.
    fn layer(d: usize, dtype: DType, weight: impl Fn(usize) -> f64) -> Orthogonal {
        let init = Init::new(0, dtype, Device::flex());
        let mut layer = Orthogonal::new(d, &init);
        let all = init.values([d, d], (0..d * d).map(weight).collect());
        layer.visit(&mut |_, p| p.value = p.mask.iter().fold(all.clone(), |v, m| v * m.clone()));
        layer
    }

    fn matrix(layer: &Orthogonal) -> Vec<f64> {
        host_values(layer.matrix().unwrap()).unwrap()
    }

    #[test]
    fn it_is_orthogonal_to_rounding_for_weights_of_any_size() {
        for (dtype, unit) in [(DType::F64, f64::EPSILON), (DType::F32, f64::from(f32::EPSILON))] {
            for d in [1, 2, 7, 40] {
                for size in [1e-3, 1.0, 30.0, 1e4, 1e30] {
                    let weights: [fn(usize) -> f64; 3] =
                        [|_| 1.0, |_| -1.0, |i| (1.7 * i as f64 + 0.3).sin()];
                    for weight in weights {
                        let q = matrix(&layer(d, dtype, |i| size * weight(i)));
                        for (i, j) in (0..d).flat_map(|i| (0..d).map(move |j| (i, j))) {
                            let dot: f64 = (0..d).map(|k| q[k * d + i] * q[k * d + j]).sum();
                            let error = (dot - f64::from(u8::from(i == j))).abs();
                            assert!(error < 8.0 * unit, "{dtype:?} {d} {size}: {error:e}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn in_the_plane_a_weight_is_the_tangent_of_half_the_angle() {
        for angle in [-3.0f64, -1.0, 0.0, 1e-9, 0.5, 2.0, 3.1] {
            let raw =
                Orthogonal::TANGENT_MAX * ((angle / 2.0).tan() / Orthogonal::TANGENT_MAX).atanh();
            let found = matrix(&layer(2, DType::F64, |_| raw));
            let (sin, cos) = angle.sin_cos();
            for (a, b) in found.iter().zip([cos, -sin, sin, cos]) {
                assert!((a - b).abs() < 1e-14, "{angle}: {found:?}");
            }
        }
    }

    #[test]
    fn gradients_are_bounded_for_weights_of_any_size() {
        for size in [1e-3, 1.0, 1e4, 1e30] {
            let mut layer = layer(6, DType::F32, |i| size * (1.7 * i as f64 + 0.3).sin());
            layer.visit(&mut |_, p| p.value = p.value.clone().autodiff().require_grad());
            let init = Init::new(0, DType::F32, Device::flex().autodiff());
            let by = init.values([6, 6], (0..36).map(|i| f64::from(i % 7) / 6.0).collect());
            let grads = (layer.matrix().unwrap() * by).sum().backward();
            let found = host_values(layer.upper.value.grad(&grads).unwrap()).unwrap();
            // The norm of (I + A)^-1 is one at most, that of `by` six; each weight counts twice, and so does each product.
            assert!(found.iter().all(|g| g.abs() <= 4.0 * 6.0), "{size}: {found:?}");
            assert!(size > 1.0 || found.iter().any(|g| g.abs() > 0.1), "{size}: {found:?}");
        }
    }
}
