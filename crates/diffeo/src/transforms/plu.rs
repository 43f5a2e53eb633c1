//! A trainable invertible matrix as a product of a permutation and two triangular matrices.

mod step;

use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::linear::{LogDiagonal, Matrix, Solver};
use super::permutation::{indices, inverse_order};
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::host::linalg::product;
use crate::parameter::{Init, Parameter, Visitor};
use crate::step::{Steps, Weights};
use crate::transform::{Given, Mapped, Scales, Transform};

/// A [`Plu`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluSpec {
    /// The permutation it starts from.
    pub order: Vec<usize>,
}

impl Describe for PluSpec {
    fn validate(&self, at: Place) -> Result<()> {
        at.expect_width("order", self.order.len())
    }

    fn count(&self, at: Place) -> Option<u64> {
        let d = at.dims as u64;
        d.checked_mul(d)?.checked_mul(2)?.checked_add(2 * d)
    }

    fn build(&self, _at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Plu::new(&self.order, init)?))
    }
}

impl Cases for PluSpec {
    fn cases(at: Place) -> Vec<Self> {
        match at.context {
            0 => vec![Self { order: (1..at.dims).chain([0]).collect() }],
            _ => vec![],
        }
    }
}

/// `z = x P (I + N) (D + M) + b`: `N` strictly lower, `M` strictly upper triangular, `D = diag(e^s)`.
///
/// * forward: one product; inverse: a product with the kept inverse and one step of refinement. Log-determinant: the sum of `s`, the same for every row.
/// * `s = S tanh(raw / S)` with `S = 7`, so the matrix cannot become singular.
///
/// Starts as the permutation `P`.
///
/// Reference: Kingma, Dhariwal. *Glow*. NeurIPS 2018, section 3.2, arXiv:1807.03039; Oliva et al. *Transformation Autoregressive
/// Networks*. ICML 2018, arXiv:1801.09819.
#[derive(Clone, Debug)]
pub struct Plu {
    columns: Vec<usize>,
    order: Tensor<1, Int>,
    back: Tensor<1, Int>,
    lower: Parameter,
    upper: Parameter,
    log_scale: LogDiagonal,
    shift: Parameter,
    solver: Solver,
}

impl Plu {
    /// Bound of the log-scales.
    pub const LOG_SCALE_MAX: f64 = LogDiagonal::MAX;

    /// Starts as the permutation `order`: column `i` of `z` is column `order[i]` of `x`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if `order` is not a permutation.
    pub fn new(order: &[usize], init: &Init) -> Result<Self> {
        let d = order.len();
        let back = inverse_order(order)?;
        let triangle = |keep| Parameter::masked_zeros(init, [d, d], keep);
        Ok(Self {
            columns: order.to_vec(),
            order: indices(order, &init.device),
            back: indices(&back, &init.device),
            lower: triangle(|row, column| row > column),
            upper: triangle(|row, column| row < column),
            log_scale: LogDiagonal::new(d, init),
            shift: Parameter::new(init.full([1, d], 0.0)),
            solver: Solver::default(),
        })
    }

    /// `(I + N) (D + M)`, `[d, d]`.
    fn matrix(&self) -> Matrix {
        let Matrix { value: diagonal, log_det } = self.log_scale.matrix();
        let eye = Tensor::<2>::eye(self.dims(), &diagonal.device()).cast(diagonal.dtype());
        let value = (eye + self.lower.masked()).matmul(diagonal + self.upper.masked());
        Matrix { value, log_det }
    }
}

impl Transform for Plu {
    fn dims(&self) -> usize {
        self.shift.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let Matrix { value, log_det } = self.matrix();
        let log_det = log_det.expand([x.dims()[0]]);
        let value = product(x.select(1, self.order.clone()), value) + self.shift.value.clone();
        Ok(Mapped { value, log_det })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let parameters = [&self.lower, &self.upper, &self.log_scale.0];
        let z = z - self.shift.value.clone();
        let Mapped { value, log_det } = self.solver.solve(z, &parameters, || self.matrix())?;
        Ok(Mapped { value: value.select(1, self.back.clone()), log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.solver.forget();
        visitor("lower", &mut self.lower);
        visitor("upper", &mut self.upper);
        visitor("log_scale", &mut self.log_scale.0);
        visitor("shift", &mut self.shift);
    }

    fn scales(&self, x: &Tensor<2>, _given: &Given<'_>) -> Result<Vec<Scales>> {
        Ok(self.log_scale.scales(x))
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        Some(vec![Box::new(step::PluStep::new(&self.columns, weights)?)])
    }
}
