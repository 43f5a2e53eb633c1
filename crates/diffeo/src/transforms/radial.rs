//! A swelling or shrinking about a point.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;
use serde::{Deserialize, Serialize};

use super::planar::held_above;
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::host::linalg::product;
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Given, Mapped, Transform};

/// A [`Radial`] layer, described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadialSpec {}

impl Describe for RadialSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place) -> Option<u64> {
        let d = at.dims as u64;
        d.checked_mul(at.context as u64)?.checked_add(d + 2)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Radial::new(at, init)))
    }
}

impl Cases for RadialSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self {}]
    }
}

/// `z = x + b (x - x0) / (1 + r / a)` with `r = |x - x0|` and `b > -1`; the centre is `x0 = m + c V`, which a context `c` moves.
///
/// * forward: `O(d)` a row; inverse: `r` is the positive root of `r^2 + (a + a b - q) r - a q` with `q = |z - x0|`, in the form that does not cancel.
/// * Log-determinant: `(d - 1) ln(1 + b h) + ln(1 + b h^2)` with `h = 1 / (1 + r / a)`.
/// * `a = e^(7 tanh(raw / 7))`; `b` is never below -0.999, as in [`super::Planar`], whatever the weights are.
///
/// Starts as the identity. Runs on tensors.
///
/// Reference: Rezende, Mohamed. *Variational Inference with Normalizing Flows*. ICML 2015, eq. 14, arXiv:1505.05770 (`b` is over `a` there).
#[derive(Clone, Debug)]
pub struct Radial {
    /// `m`, `[1, d]`; `V`, `[c, d]`; raw `a` and `b`, `[1, 1]`.
    centre: Parameter,
    context: Option<Parameter>,
    log_reach: Parameter,
    size: Parameter,
}

impl Radial {
    /// Bound of the logarithm of `a`.
    pub const LOG_REACH_MAX: f64 = 7.0;

    /// The identity, about a random point.
    pub fn new(at: Place, init: &mut Init) -> Self {
        let centre = Parameter::new(init.uniform([1, at.dims], 1.0));
        let zeros = |shape| Parameter::new(init.full(shape, 0.0));
        let context = (at.context > 0).then(|| zeros([at.context, at.dims]));
        Self { centre, context, log_reach: zeros([1, 1]), size: zeros([1, 1]) }
    }

    /// `a` and `b`, `[1, 1]`.
    fn shape(&self) -> [Tensor<2>; 2] {
        let reach = self.log_reach.bounded(Self::LOG_REACH_MAX).exp();
        [reach, held_above(self.size.value.clone())]
    }

    /// The rows seen from the centre, and their distance from it, `[n, 1]`.
    fn centred(&self, x: Tensor<2>, given: &Given<'_>) -> [Tensor<2>; 2] {
        let centred = x - self.centre.value.clone();
        let centred = match (&self.context, given.context) {
            (Some(weight), Some(context)) => {
                centred - product(context.clone(), weight.value.clone())
            }
            _ => centred,
        };
        // Relative to the largest, so that no square overflows; the centre itself has no direction.
        let largest = centred.clone().detach().abs().max_dim(1);
        let largest = largest.clone().mask_fill(largest.equal_elem(0.0), 1.0);
        let square = (centred.clone() / largest.clone()).square().sum_dim(1);
        let length = square.clamp_min(f64::from(f32::MIN_POSITIVE)).sqrt() * largest;
        [centred, length]
    }

    /// `1 + b h` and the log-determinant, at distance `r`.
    fn stretch(&self, r: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let [reach, size] = self.shape();
        let share = (r / reach).add_scalar(1.0).recip();
        let around = (share.clone() * size.clone()).add_scalar(1.0);
        let outward = (share.square() * size).add_scalar(1.0).log();
        let others = self.dims() as f64 - 1.0;
        let log_det = sum_rows(around.clone().log().mul_scalar(others) + outward);
        (around, log_det)
    }
}

impl Transform for Radial {
    fn dims(&self) -> usize {
        self.centre.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let [centred, r] = self.centred(x.clone(), given);
        let (around, log_det) = self.stretch(r);
        Ok(Mapped { value: x + centred * around.sub_scalar(1.0), log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let [centred, q] = self.centred(z.clone(), given);
        let [reach, size] = self.shape();
        // In units of the larger of reach and distance.
        let unit = q.clone().detach().max_pair(reach.clone().detach().expand(q.dims()));
        let (q, reach) = (q / unit.clone(), reach / unit.clone());
        let linear = q.clone() - reach.clone() * size.add_scalar(1.0);
        let product = (reach * q).mul_scalar(4.0);
        let root = (linear.clone().square() + product.clone()).sqrt();
        let positive = (root.clone() + linear.clone()).mul_scalar(0.5);
        let below = linear.clone().lower_elem(0.0);
        let safe = linear.clone().mask_fill(below.clone().bool_not(), -1.0);
        let negative = product.mul_scalar(0.5) / (root - safe);
        let r = positive.mask_where(below, negative) * unit;
        let (around, log_det) = self.stretch(r);
        let share = around.clone().sub_scalar(1.0) / around;
        Ok(Mapped { value: z - centred * share, log_det: log_det.neg() })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("centre", &mut self.centre);
        if let Some(context) = &mut self.context {
            visitor("context", context);
        }
        visitor("log_reach", &mut self.log_reach);
        visitor("size", &mut self.size);
    }
}
