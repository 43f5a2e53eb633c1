//! Small dense matrices on the host, in `f64`: what closed-form fits and inverses of linear layers need.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo_kernels::{Activation, Staircase, ops};

use crate::error::{Error, ErrorKind, Result};
use crate::host::rows::Rows;

/// `x W` for `x: [n, inputs]`, with row `i` of the result the same bits whatever the other rows are and however many.
pub(crate) fn product(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let [inputs, outputs] = weight.dims();
    let zero = Tensor::zeros([1, outputs], (&x.device(), x.dtype()));
    let every = Arc::new(Staircase::dense(inputs, outputs));
    ops::linear(x, weight, zero, None, &every, Activation::None)
}

/// A square matrix, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SquareMatrix {
    values: Vec<f64>,
    size: usize,
}

impl SquareMatrix {
    pub(crate) fn new(values: Vec<f64>, size: usize) -> Self {
        assert_eq!(values.len(), size * size);
        Self { values, size }
    }

    pub(crate) fn from_tensor(tensor: Tensor<2>) -> Result<Self> {
        let size = tensor.dims()[0];
        Ok(Self::new(host_values(tensor)?, size))
    }

    pub(crate) fn to_tensor(&self, device: &Device, dtype: DType) -> Tensor<2> {
        let data = TensorData::new(self.values.clone(), [self.size, self.size]);
        Tensor::from_data(data, (device, dtype))
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    /// Gauss-Jordan elimination with row pivoting.
    pub(crate) fn inverse(&self) -> Result<Self> {
        let d = self.size;
        let mut a = self.values.clone();
        let mut b = vec![0.0; d * d];
        (0..d).for_each(|i| b[i * d + i] = 1.0);
        for k in 0..d {
            let pivot = (k..d)
                .max_by(|&i, &j| a[i * d + k].abs().total_cmp(&a[j * d + k].abs()))
                .unwrap_or(k);
            let size = a[pivot * d + k].abs();
            if !(size > 0.0 && size.is_finite()) {
                return Err(Error::new(
                    ErrorKind::Domain,
                    format!(
                        "expected an invertible matrix, found a zero or non-finite pivot in column {k}"
                    ),
                ));
            }
            if pivot != k {
                for j in 0..d {
                    a.swap(k * d + j, pivot * d + j);
                    b.swap(k * d + j, pivot * d + j);
                }
            }
            let scale = 1.0 / a[k * d + k];
            for j in 0..d {
                a[k * d + j] *= scale;
                b[k * d + j] *= scale;
            }
            for i in (0..d).filter(|&i| i != k) {
                let factor = a[i * d + k];
                if factor != 0.0 {
                    for j in 0..d {
                        a[i * d + j] -= factor * a[k * d + j];
                        b[i * d + j] -= factor * b[k * d + j];
                    }
                }
            }
        }
        Ok(Self::new(b, d))
    }

    /// The lower triangular `L` with `L L^T = self`.
    ///
    /// # Errors
    /// [`ErrorKind::Domain`] with the first column that depends on those before it.
    pub(crate) fn cholesky(&self) -> Result<Self> {
        let d = self.size;
        let mut l = vec![0.0; d * d];
        for i in 0..d {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| l[i * d + k] * l[j * d + k]).sum();
                let rest = self.at(i, j) - dot;
                if i != j {
                    l[i * d + j] = rest / l[j * d + j];
                } else if rest > 0.0 && rest.is_finite() {
                    l[i * d + i] = rest.sqrt();
                } else {
                    return Err(Error::new(
                        ErrorKind::Domain,
                        format!(
                            "expected a positive definite covariance, but column {i} is a linear function of the columns before it"
                        ),
                    ));
                }
            }
        }
        Ok(Self::new(l, d))
    }
}

/// `ln |det a|` by elimination with row pivoting; `-inf` for a singular matrix.
pub(crate) fn log_abs_det(mut a: Vec<f64>, d: usize) -> f64 {
    let mut sum = 0.0;
    for k in 0..d {
        let size = |i: &usize| a[i * d + k].abs();
        let pivot = (k..d).max_by(|i, j| size(i).total_cmp(&size(j))).unwrap_or(k);
        if pivot != k {
            (0..d).for_each(|j| a.swap(k * d + j, pivot * d + j));
        }
        let (above, below) = a.split_at_mut((k + 1) * d);
        let row = &above[k * d..];
        sum += row[k].abs().ln();
        if row[k] == 0.0 {
            return f64::NEG_INFINITY;
        }
        for other in below.chunks_exact_mut(d) {
            let factor = other[k] / row[k];
            other[k..].iter_mut().zip(&row[k..]).for_each(|(v, r)| *v -= factor * r);
        }
    }
    sum
}

/// Rows as a tensor on the CPU, in `f64`; a flow casts it to the precision of its weights.
pub(crate) fn tensor_of(rows: &Rows) -> Tensor<2> {
    padded_tensor_of(rows, rows.len())
}

/// As [`tensor_of`], filled up with zeros to so many rows.
pub(crate) fn padded_tensor_of(rows: &Rows, padded: usize) -> Tensor<2> {
    let mut values = rows.values().to_vec();
    values.resize(padded * rows.width(), 0.0);
    let data = TensorData::new(values, [padded, rows.width()]);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

/// A tensor as numbers on the host.
///
/// # Errors
/// [`ErrorKind::Device`] if the tensor cannot be read.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>> {
    let data = tensor.into_data().convert::<f64>();
    data.try_into_vec::<f64>()
        .map_err(|e| Error::new(ErrorKind::Device, format!("cannot read a tensor back: {e:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_and_cholesky_of_a_known_matrix() {
        let a = SquareMatrix::new(vec![4.0, 2.0, 2.0, 3.0], 2);
        let i = a.inverse().unwrap();
        for (x, y) in i.values().iter().zip([0.375, -0.25, -0.25, 0.5]) {
            assert!((x - y).abs() < 1e-15);
        }
        let l = a.cholesky().unwrap();
        assert_eq!(l.values(), [2.0, 0.0, 1.0, 2f64.sqrt()]);
        let singular = SquareMatrix::new(vec![1.0, 1.0, 1.0, 1.0], 2);
        assert!(singular.inverse().is_err() && singular.cholesky().is_err());
    }

    #[test]
    fn determinants_of_known_matrices() {
        assert_eq!(log_abs_det(vec![0.0, 2.0, -3.0, 5.0], 2), 6f64.ln());
        assert_eq!(log_abs_det(vec![1.0, 2.0, 2.0, 4.0], 2), f64::NEG_INFINITY);
        let found = log_abs_det(vec![2.0, 1.0, 0.0, 1.0, 3.0, 1.0, 0.0, 1.0, 4.0], 3);
        assert!((found - 18f64.ln()).abs() < 1e-14);
    }
}
