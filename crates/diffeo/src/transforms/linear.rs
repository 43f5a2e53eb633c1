//! What layers share that multiply by a matrix of their weights.

use std::sync::OnceLock;

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;

use crate::error::Result;
use crate::host::linalg::{SquareMatrix, product};
use crate::parameter::{Init, Parameter};
use crate::transform::{Mapped, Scales};

/// A matrix `W` and `ln |det W|`, `[1]`.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) value: Tensor<2>,
    pub(super) log_det: Tensor<1>,
}

/// The logarithms `s = S tanh(raw / S)` of a diagonal, so that no weights make a matrix singular.
#[derive(Clone, Debug)]
pub(super) struct LogDiagonal(pub(super) Parameter);

impl LogDiagonal {
    /// `S`.
    pub(super) const MAX: f64 = 7.0;

    /// A diagonal of ones.
    pub(super) fn new(dims: usize, init: &Init) -> Self {
        Self(Parameter::new(init.full([1, dims], 0.0)))
    }

    /// `s`, `[1, d]`.
    pub(super) fn value(&self) -> Tensor<2> {
        self.0.bounded(Self::MAX)
    }

    /// `diag(e^s)`, with the sum of `s`.
    pub(super) fn matrix(&self) -> Matrix {
        let s = self.value();
        let eye = Tensor::<2>::eye(s.dims()[1], &s.device()).cast(s.dtype());
        Matrix { value: eye * s.clone().exp(), log_det: sum_rows(s) }
    }

    /// The log-scales of a map at the rows `x`, which are `s` in each of them.
    pub(super) fn scales(&self, x: &Tensor<2>) -> Vec<Scales> {
        vec![Scales { log_scales: self.value().expand(x.dims()), bound: Self::MAX }]
    }
}

/// What is computed from the weights, kept as long as they stay.
#[derive(Clone, Debug)]
pub(super) struct Prepared<T>(OnceLock<T>);

impl<T> Default for Prepared<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T: Clone> Prepared<T> {
    /// What `make` makes of the parameters; made anew where a gradient is wanted.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn get(
        &self,
        parameters: &[&Parameter],
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let tracked = parameters.iter().any(|p| p.value.is_tracked());
        match self.0.get() {
            Some(made) if !tracked => Ok(made.clone()),
            _ if tracked => make(),
            _ => {
                let made = make()?;
                Ok(self.0.get_or_init(|| made).clone())
            }
        }
    }

    /// Says that the weights may change.
    pub(super) fn forget(&mut self) {
        self.0 = OnceLock::new();
    }
}

/// Finds `x` with `x W = y`, and keeps `W` and its inverse as long as the weights stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Solver(Prepared<[Matrix; 2]>);

impl Solver {
    /// `y W^-1` for the matrix that `matrix` makes of the parameters.
    ///
    /// # Errors
    /// If the matrix is singular.
    pub(super) fn solve(
        &self,
        y: Tensor<2>,
        parameters: &[&Parameter],
        matrix: impl FnOnce() -> Matrix,
    ) -> Result<Mapped> {
        let [matrix, inverse] = self.0.get(parameters, || inverted(matrix()))?;
        let log_det = inverse.log_det.expand([y.dims()[0]]);
        let first = product(y.clone().detach(), inverse.value.clone());
        // One step of refinement: it removes the rounding of the inverse and carries the exact gradient
        // to y (inverse) and to the matrix (-x dW inverse), so nothing has to be differentiated twice.
        let value = first.clone() + product(y - product(first, matrix.value), inverse.value);
        Ok(Mapped { value, log_det })
    }

    /// Says that the weights may change.
    pub(super) fn forget(&mut self) {
        self.0.forget();
    }
}

/// A matrix and its inverse, which carries no gradient but that of its log-determinant.
fn inverted(matrix: Matrix) -> Result<[Matrix; 2]> {
    let (device, dtype) = (matrix.value.device(), matrix.value.dtype());
    let inverse = SquareMatrix::from_tensor(matrix.value.clone().detach())?.inverse()?;
    let value = inverse.to_tensor(&device, dtype).detach();
    let inverse = Matrix { value, log_det: matrix.log_det.clone().neg() };
    Ok([matrix, inverse])
}
