//! A trainable invertible matrix as a rotation and a triangular matrix.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::householder::{Householder, HouseholderSpec};
use super::linear::{LogDiagonal, Matrix, Solver};
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::host::linalg::product;
use crate::parameter::{Init, Parameter, Visitor, visit_part};
use crate::transform::{Given, Mapped, Scales, Transform};

/// A [`Qr`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QrSpec {
    /// How many reflections make `Q`, at most one for each column: so many make every invertible matrix, up to signs.
    pub reflections: usize,
}

impl QrSpec {
    fn frame(&self) -> HouseholderSpec {
        HouseholderSpec { reflections: self.reflections }
    }
}

impl Describe for QrSpec {
    fn validate(&self, at: Place) -> Result<()> {
        self.frame().validate(at)
    }

    fn count(&self, at: Place) -> Option<u64> {
        let d = at.dims as u64;
        self.frame().count(at)?.checked_add(d.checked_mul(d)?)?.checked_add(2 * d)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(Qr::new(at.dims, self.reflections, init)))
    }
}

impl Cases for QrSpec {
    fn cases(at: Place) -> Vec<Self> {
        let frames = HouseholderSpec::cases(at).into_iter();
        frames.map(|HouseholderSpec { reflections }| Self { reflections }).collect()
    }
}

/// `z = x Q R + b`: `Q` a product of reflections as in [`Householder`], `R = D + M` with `D = diag(e^s)` and `M` strictly upper triangular.
///
/// * forward: two products, after `k d^2` for `Q`; inverse: a product with the kept inverse of `R`, one step of refinement, and a product with `Q^T`. Log-determinant: the
///   sum of `s`, the same for every row.
/// * `s = S tanh(raw / S)` with `S = 7`, so the matrix cannot become singular.
///
/// Starts as the reflections do: as the identity if `k` is even.
///
/// Reference: Hoogeboom, van den Berg, Welling. *Emerging Convolutions for Generative Normalizing Flows*. ICML 2019, section 4.3,
/// arXiv:1901.11137.
#[derive(Clone, Debug)]
pub struct Qr {
    frame: Householder,
    upper: Parameter,
    log_diagonal: LogDiagonal,
    shift: Parameter,
    solver: Solver,
}

impl Qr {
    /// Bound of the logarithms of the diagonal of `R`.
    pub const LOG_SCALE_MAX: f64 = LogDiagonal::MAX;

    /// `reflections` of `dims` columns, then the identity.
    pub fn new(dims: usize, reflections: usize, init: &mut Init) -> Self {
        let above = |row, column| row < column;
        Self {
            frame: Householder::new(dims, reflections, init),
            upper: Parameter::masked_zeros(init, [dims, dims], above),
            log_diagonal: LogDiagonal::new(dims, init),
            shift: Parameter::new(init.full([1, dims], 0.0)),
            solver: Solver::default(),
        }
    }

    /// `R`, `[d, d]`.
    fn triangle(&self) -> Matrix {
        let Matrix { value, log_det } = self.log_diagonal.matrix();
        Matrix { value: value + self.upper.masked(), log_det }
    }
}

impl Transform for Qr {
    fn dims(&self) -> usize {
        self.frame.dims()
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let Matrix { value, log_det } = self.triangle();
        let log_det = log_det.expand([x.dims()[0]]);
        let turned = product(x, self.frame.matrix());
        Ok(Mapped { value: product(turned, value) + self.shift.value.clone(), log_det })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let z = z - self.shift.value.clone();
        let parameters = [&self.upper, &self.log_diagonal.0];
        let Mapped { value, log_det } = self.solver.solve(z, &parameters, || self.triangle())?;
        Ok(Mapped { value: product(value, self.frame.matrix().transpose()), log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.solver.forget();
        visit_part("frame", visitor, |v| self.frame.visit(v));
        visitor("upper", &mut self.upper);
        visitor("log_diagonal", &mut self.log_diagonal.0);
        visitor("shift", &mut self.shift);
    }

    fn scales(&self, x: &Tensor<2>, _given: &Given<'_>) -> Result<Vec<Scales>> {
        Ok(self.log_diagonal.scales(x))
    }
}
