//! What layers share that multiply by a matrix of their weights.

use std::sync::OnceLock;

use burn::tensor::Tensor;

use crate::error::Result;
use crate::host::linalg::{SquareMatrix, product};
use crate::parameter::Parameter;

/// Finds `x` with `x W = y`, and keeps the inverse of `W` as long as the weights stay.
#[derive(Clone, Debug, Default)]
pub(super) struct Solver {
    /// `W` and its inverse, made when first needed.
    made: OnceLock<[Tensor<2>; 2]>,
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
        matrix: impl FnOnce() -> Tensor<2>,
    ) -> Result<Tensor<2>> {
        let tracked = parameters.iter().any(|p| p.value.is_tracked());
        let [matrix, inverse] = match self.made.get() {
            Some(made) if !tracked => made.clone(),
            _ => {
                let matrix = matrix();
                let inverse = SquareMatrix::from_tensor(matrix.clone().detach())?.inverse()?;
                let inverse = inverse.to_tensor(&matrix.device(), matrix.dtype()).detach();
                let made = [matrix, inverse];
                if tracked { made } else { self.made.get_or_init(|| made).clone() }
            }
        };
        let first = product(y.clone().detach(), inverse.clone());
        // One step of refinement: it removes the rounding of the inverse and carries the exact gradient
        // to y (inverse) and to the matrix (-x dW inverse), so nothing has to be differentiated twice.
        Ok(first.clone() + product(y - product(first, matrix), inverse))
    }

    /// Says that the weights may change.
    pub(super) fn forget(&mut self) {
        self.made = OnceLock::new();
    }
}
