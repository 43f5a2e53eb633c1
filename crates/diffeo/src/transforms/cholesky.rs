//! A triangular matrix with a positive diagonal: the factor of a covariance.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::linear::{LogDiagonal, Matrix, Solver};
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::host::linalg::product;
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Given, Mapped, Scales, Transform};

/// A [`Cholesky`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CholeskySpec {}

impl Describe for CholeskySpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place) -> Option<u64> {
        let d = at.dims as u64;
        d.checked_mul(d)?.checked_add(2 * d)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Cholesky::new(at.dims, init)))
    }
}

impl Cases for CholeskySpec {
    fn cases(at: Place) -> Vec<Self> {
        if at.context == 0 { vec![Self {}] } else { vec![] }
    }
}

/// `x = z L^T + mu` with `L` lower triangular and a positive diagonal `e^s`: what is normal with covariance `I` gets `L L^T`.
///
/// * forward: a product with the kept inverse and one step of refinement; inverse: one product. Log-determinant: minus the sum of `s`, the same for every row.
/// * `s = S tanh(raw / S)` with `S = 7`, so the matrix cannot become singular.
///
/// Starts as the identity.
///
/// Reference: Papamakarios et al. *Normalizing Flows for Probabilistic Modeling and Inference*. JMLR 22, 2021, section 3.1.3,
/// arXiv:1912.02762.
#[derive(Clone, Debug)]
pub struct Cholesky {
    lower: Parameter,
    log_diagonal: LogDiagonal,
    mean: Parameter,
    solver: Solver,
}

impl Cholesky {
    /// Bound of the logarithms of the diagonal.
    pub const LOG_SCALE_MAX: f64 = LogDiagonal::MAX;

    /// Starts as the identity of `dims` columns.
    pub fn new(dims: usize, init: &Init) -> Self {
        let below = |row, column| row > column;
        Self {
            lower: Parameter::masked_zeros(init, [dims, dims], below),
            log_diagonal: LogDiagonal::new(dims, init),
            mean: Parameter::new(init.full([1, dims], 0.0)),
            solver: Solver::default(),
        }
    }

    /// `L^T`, `[d, d]`.
    fn matrix(&self) -> Matrix {
        let Matrix { value, log_det } = self.log_diagonal.matrix();
        Matrix { value: self.lower.masked().transpose() + value, log_det }
    }
}

impl Transform for Cholesky {
    fn dims(&self) -> usize {
        self.mean.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let centred = x - self.mean.value.clone();
        self.solver.solve(centred, &[&self.lower, &self.log_diagonal.0], || self.matrix())
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let Matrix { value, log_det } = self.matrix();
        let log_det = log_det.expand([z.dims()[0]]);
        Ok(Mapped { value: product(z, value) + self.mean.value.clone(), log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.solver.forget();
        visitor("lower", &mut self.lower);
        visitor("log_diagonal", &mut self.log_diagonal.0);
        visitor("mean", &mut self.mean);
    }

    fn scales(&self, x: &Tensor<2>, _given: &Given<'_>) -> Result<Vec<Scales>> {
        let mut scales = self.log_diagonal.scales(x);
        scales.iter_mut().for_each(|scales| scales.log_scales = scales.log_scales.clone().neg());
        Ok(scales)
    }
}
