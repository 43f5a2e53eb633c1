//! A trainable invertible matrix by its singular values.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;
use serde::{Deserialize, Serialize};

use super::householder::{Householder, HouseholderSpec};
use super::linear::LogDiagonal;
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::host::linalg::product;
use crate::parameter::{Init, Parameter, Visitor, visit_part};
use crate::transform::{Given, Mapped, Scales, Transform};

/// An [`Svd`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SvdSpec {
    /// How many reflections make each of `U` and `V`, at most one for each column: so many make every invertible matrix.
    pub reflections: usize,
}

impl SvdSpec {
    fn frame(&self) -> HouseholderSpec {
        HouseholderSpec { reflections: self.reflections }
    }
}

impl Describe for SvdSpec {
    fn validate(&self, at: Place) -> Result<()> {
        self.frame().validate(at)
    }

    fn count(&self, at: Place) -> Option<u64> {
        self.frame().count(at)?.checked_add(at.dims as u64)?.checked_mul(2)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(Svd::new(at.dims, self.reflections, init)))
    }
}

impl Cases for SvdSpec {
    fn cases(at: Place) -> Vec<Self> {
        let frames = HouseholderSpec::cases(at).into_iter();
        frames.map(|HouseholderSpec { reflections }| Self { reflections }).collect()
    }
}

/// `z = x U diag(e^s) V^T + b`: `U` and `V` products of reflections as in [`Householder`], `e^s` the singular values.
///
/// * forward: two products, after `2 k d^2` for the matrices; inverse: the same with `V diag(e^-s) U^T`, in closed form. Log-determinant: the sum of `s`, the same for
///   every row.
/// * `s = S tanh(raw / S)` with `S = 7`: no direction is stretched or squeezed by more than `e^7`, whatever the weights.
///
/// Starts as the identity: `U` and `V` start as the same matrix.
///
/// Reference: Zhang, Lei, Dhillon. *Stabilizing Gradients for Deep Neural Networks via Efficient SVD Parameterization*. ICML 2018, section 3,
/// arXiv:1803.09327.
#[derive(Clone, Debug)]
pub struct Svd {
    left: Householder,
    right: Householder,
    log_scale: LogDiagonal,
    shift: Parameter,
}

impl Svd {
    /// Bound of the logarithms of the singular values.
    pub const LOG_SCALE_MAX: f64 = LogDiagonal::MAX;

    /// The identity of `dims` columns, with twice so many reflections.
    pub fn new(dims: usize, reflections: usize, init: &mut Init) -> Self {
        let left = Householder::new(dims, reflections, init);
        Self {
            right: left.clone(),
            left,
            log_scale: LogDiagonal::new(dims, init),
            shift: Parameter::new(init.full([1, dims], 0.0)),
        }
    }
}

impl Transform for Svd {
    fn dims(&self) -> usize {
        self.left.dims()
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let s = self.log_scale.value();
        let log_det = sum_rows(s.clone()).expand([x.dims()[0]]);
        let scaled = product(x, self.left.matrix()) * s.exp();
        let value = product(scaled, self.right.matrix().transpose());
        Ok(Mapped { value: value + self.shift.value.clone(), log_det })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let s = self.log_scale.value().neg();
        let log_det = sum_rows(s.clone()).expand([z.dims()[0]]);
        let scaled = product(z - self.shift.value.clone(), self.right.matrix()) * s.exp();
        Ok(Mapped { value: product(scaled, self.left.matrix().transpose()), log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("left", visitor, |v| self.left.visit(v));
        visit_part("right", visitor, |v| self.right.visit(v));
        visitor("log_scale", &mut self.log_scale.0);
        visitor("shift", &mut self.shift);
    }

    fn scales(&self, x: &Tensor<2>, _given: &Given<'_>) -> Result<Vec<Scales>> {
        Ok(self.log_scale.scales(x))
    }
}
