//! What layers share that multiply by a matrix of their weights.

use std::sync::OnceLock;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::host::linalg::{SquareMatrix, product};
use crate::parameter::Parameter;
use crate::transform::Mapped;

/// A matrix `W` and `ln |det W|`, `[1]`.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) value: Tensor<2>,
    pub(super) log_det: Tensor<1>,
}

/// Finds `x` with `x W = y`, and keeps the inverse of `W` as long as the weights stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Solver {
    /// `W` and its inverse, made when first needed.
    made: OnceLock<[Matrix; 2]>,
}

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
        let tracked = parameters.iter().any(|p| p.value.is_tracked());
        let [matrix, inverse] = match self.made.get() {
            Some(made) if !tracked => made.clone(),
            _ => {
                let made = inverted(matrix())?;
                if tracked { made } else { self.made.get_or_init(|| made).clone() }
            }
        };
        let log_det = inverse.log_det.expand([y.dims()[0]]);
        let first = product(y.clone().detach(), inverse.value.clone());
        // One step of refinement: it removes the rounding of the inverse and carries the exact gradient
        // to y (inverse) and to the matrix (-x dW inverse), so nothing has to be differentiated twice.
        let value = first.clone() + product(y - product(first, matrix.value), inverse.value);
        Ok(Mapped { value, log_det })
    }

    /// Says that the weights may change.
    pub(super) fn forget(&mut self) {
        self.made = OnceLock::new();
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
