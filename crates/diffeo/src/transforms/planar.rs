//! A bend across a hyperplane.

use burn::tensor::Tensor;
use diffeo_kernels::SLOPE_SHIFT;
use diffeo_kernels::ops::{softplus, sum_rows};
use serde::{Deserialize, Serialize};

use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::host::linalg::product;
use crate::monotone::{Scalarwise, root};
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Given, Mapped, Transform};

/// A [`Planar`] layer, described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanarSpec {}

impl Describe for PlanarSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place) -> Option<u64> {
        Some(2 * at.dims as u64 + at.context as u64 + 1)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Planar::new(at, init)))
    }
}

impl Cases for PlanarSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self {}]
    }
}

/// `z = x + u tanh(w . x + v . c + b)`, a density compressed or stretched along `u` about a hyperplane, which a context `c` shifts.
///
/// * forward: one product with a vector each way; inverse: `a = w . x` is the root of `a + (w . u) tanh(a + v . c + b) = w . z`, which is a scalar monotone
///   equation, so every point has its density and its sample.
/// * Log-determinant: `ln(1 + (w . u) (1 - tanh^2))`. Of `u` the part along `w` is such that `w . u = m(w . u_raw)` with
///   `m(s) = -1 + e + (1 - e) softplus(s + ln(e - 1))`, `e` = 1/1000: never below -0.999, whatever the weights are (Rezende, Mohamed, appendix A.1).
///
/// Starts as the identity. Runs on tensors; `O(d)` a row.
///
/// Reference: Rezende, Mohamed. *Variational Inference with Normalizing Flows*. ICML 2015, eq. 10-12, arXiv:1505.05770.
#[derive(Clone, Debug)]
pub struct Planar {
    /// `u` and `w`, `[1, d]`; `b`, `[1, 1]`; `v`, `[c, 1]`.
    direction: Parameter,
    normal: Parameter,
    shift: Parameter,
    context: Option<Parameter>,
}

/// `e`.
const MARGIN: f64 = 1e-3;

/// `m(s)`: above `-1 + e`, and 0 at 0.
pub(super) fn held_above(s: Tensor<2>) -> Tensor<2> {
    softplus(s.add_scalar(SLOPE_SHIFT)).mul_scalar(1.0 - MARGIN).add_scalar(MARGIN - 1.0)
}

/// `a + p tanh(a + b)` of `a` with parameters `[b, p]`, `p > -1`.
pub(super) fn bend(a: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
    let [n, d] = a.dims();
    let params: Tensor<3> = params.reshape([n, d, 2]);
    let part = |i: usize| params.clone().narrow(2, i, 1).reshape([n, d]);
    let (shift, size) = (part(0), part(1));
    let (value, slope) = tanh(a.clone() + shift);
    Ok(Scalarwise {
        value: a + size.clone() * value,
        log_slope: (size * slope).add_scalar(1.0).log(),
    })
}

/// `tanh` and its derivative.
pub(super) fn tanh(a: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let value = a.tanh();
    let slope = value.clone().square().neg().add_scalar(1.0);
    (value, slope)
}

impl Planar {
    /// The identity, with a hyperplane in a random direction.
    pub fn new(at: Place, init: &mut Init) -> Self {
        let normal = init.uniform([1, at.dims], (3.0 / at.dims as f64).sqrt());
        let context = (at.context > 0).then(|| Parameter::new(init.full([at.context, 1], 0.0)));
        Self {
            direction: Parameter::new(init.full([1, at.dims], 0.0)),
            normal: Parameter::new(normal),
            shift: Parameter::new(init.full([1, 1], 0.0)),
            context,
        }
    }

    /// `u`, `[1, d]`, and `w . u`, `[1, 1]`.
    fn direction(&self) -> [Tensor<2>; 2] {
        let (raw, normal) = (self.direction.value.clone(), self.normal.value.clone());
        let along = (raw.clone() * normal.clone()).sum_dim(1);
        let size = held_above(along.clone());
        let square = normal.clone().square().sum_dim(1).add_scalar(f64::from(f32::MIN_POSITIVE));
        [raw + normal * ((size.clone() - along) / square), size]
    }

    /// `v . c + b`, `[n, 1]`.
    fn shift(&self, rows: usize, given: &Given<'_>) -> Tensor<2> {
        let shift = self.shift.value.clone().expand([rows, 1]);
        match (&self.context, given.context) {
            (Some(weight), Some(context)) => shift + product(context.clone(), weight.value.clone()),
            _ => shift,
        }
    }
}

impl Transform for Planar {
    fn dims(&self) -> usize {
        self.normal.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let [direction, size] = self.direction();
        let along = product(x.clone(), self.normal.value.clone().transpose());
        let (value, slope) = tanh(along + self.shift(x.dims()[0], given));
        let log_det = sum_rows((slope * size).add_scalar(1.0).log());
        Ok(Mapped { value: x + value * direction, log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let n = z.dims()[0];
        let [direction, size] = self.direction();
        let along = product(z.clone(), self.normal.value.clone().transpose());
        let shift = self.shift(n, given);
        let params = Tensor::cat(vec![shift.clone(), size.expand([n, 1])], 1);
        let found = root::inverse(&bend, along, params)?;
        let value = (found.value + shift).tanh();
        Ok(Mapped { value: z - value * direction, log_det: sum_rows(found.log_slope) })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("direction", &mut self.direction);
        visitor("normal", &mut self.normal);
        visitor("shift", &mut self.shift);
        if let Some(context) = &mut self.context {
            visitor("context", context);
        }
    }
}
