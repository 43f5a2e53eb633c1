//! `ln det(I + J)` from the whole Jacobian.

use burn::tensor::{Tensor, TensorData};
use diffeo_kernels::ops::{sum_dtype, sum_rows};

use super::network::{Held, Slopes};
use crate::error::Result;
use crate::host::linalg::{SquareMatrix, host_values, log_abs_det};

/// Most tangents that are held at a time where no gradient is wanted.
const TANGENTS_MAX: usize = 1 << 14;

/// `ln det(I + J)` of each row, `[n]`, by elimination on the host in `f64`.
///
/// Its gradient is `tr((I + J)^-1 dJ)`, with the inverse as a constant: nothing has to be differentiated through an elimination.
pub(super) fn log_det(held: &Held, slopes: &Slopes) -> Result<Tensor<1>> {
    if !(held.is_tracked() || slopes.is_tracked()) {
        return Ok(of_numbers(by_parts(held, slopes)?, slopes));
    }
    let jacobian = held.jacobian(slopes);
    let [n, d, _] = jacobian.dims();
    let to = (&jacobian.device(), jacobian.dtype());
    let matrices = with_identity(jacobian.clone().detach())?;
    let value = of_numbers(matrices.iter().map(|m| log_abs_det(m.clone(), d)).collect(), slopes);
    let inverses = matrices.into_iter().flat_map(|m| inverse(m, d)).collect();
    let inverses: Tensor<3> = Tensor::from_data(TensorData::new(inverses, [n, d, d]), to);
    let weighted = (inverses.swap_dims(1, 2) * jacobian).reshape([n, d * d]);
    let moved = sum_rows(weighted);
    Ok(value + (moved.clone() - moved.detach()))
}

/// The same as numbers, a part of the rows after the other.
fn by_parts(held: &Held, slopes: &Slopes) -> Result<Vec<f64>> {
    let (n, mut values) = (slopes.rows(), Vec::new());
    let mut start = 0;
    while start < n {
        let d = held.dims();
        let len = (TANGENTS_MAX / d).clamp(1, n - start);
        let matrices = with_identity(held.jacobian(&slopes.narrow(start, len)))?;
        values.extend(matrices.into_iter().map(|m| log_abs_det(m, d)));
        start += len;
    }
    Ok(values)
}

/// A number for each row, in the precision of sums.
pub(super) fn of_numbers(values: Vec<f64>, slopes: &Slopes) -> Tensor<1> {
    let device = slopes.device();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), (&device, sum_dtype(&device)))
}

/// `(I + J)^-1` of each row, row after row.
pub(super) fn inverses(jacobian: Tensor<3>) -> Result<Vec<Vec<f64>>> {
    let d = jacobian.dims()[1];
    Ok(with_identity(jacobian)?.into_iter().map(|m| inverse(m, d)).collect())
}

/// `I + J` of each row.
fn with_identity(jacobian: Tensor<3>) -> Result<Vec<Vec<f64>>> {
    let d = jacobian.dims()[1];
    let values = host_values(jacobian)?;
    let mut matrices: Vec<_> = values.chunks_exact(d * d).map(<[f64]>::to_vec).collect();
    for matrix in &mut matrices {
        matrix.iter_mut().step_by(d + 1).for_each(|v| *v += 1.0);
    }
    Ok(matrices)
}

/// Only a row that is no number has a matrix without inverse.
fn inverse(matrix: Vec<f64>, d: usize) -> Vec<f64> {
    match SquareMatrix::new(matrix, d).inverse() {
        Ok(inverse) => inverse.values().to_vec(),
        Err(_) => vec![f64::NAN; d * d],
    }
}
