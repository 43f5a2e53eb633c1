//! A product of reflections: any rotation, with exact volume.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Describe, Place, no_log_det};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::host::linalg::product;
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Given, Mapped, Transform};

/// A [`Householder`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HouseholderSpec {
    /// How many reflections, at most one for each column: so many make every orthogonal matrix.
    pub reflections: usize,
}

impl Describe for HouseholderSpec {
    fn validate(&self, at: Place) -> Result<()> {
        match (1..=at.dims).contains(&self.reflections) {
            true => Ok(()),
            false => Err(Error::config(format!(
                "reflections must be in 1..={}, the number of columns, found {}",
                at.dims, self.reflections
            ))),
        }
    }

    fn count(&self, at: Place) -> Option<u64> {
        (self.reflections as u64).checked_mul(at.dims as u64)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Householder::new(at.dims, self.reflections, init)))
    }
}

impl Cases for HouseholderSpec {
    fn cases(at: Place) -> Vec<Self> {
        match at.context {
            0 => [1, at.dims.div_ceil(2), at.dims].map(|reflections| Self { reflections }).into(),
            _ => vec![],
        }
    }
}

/// `z = x H_1 H_2 ... H_k` with `H = I - 2 v v^T / (v^T v)`: orthogonal, so the log-determinant is zero.
///
/// * forward: one product with the matrix, made by `k` products of rank one; inverse: one product with its transpose.
/// * Finite for every `v`: only its direction counts, and a zero vector reflects nothing.
///
/// Starts as the identity if `k` is even: neighbours start as the same reflection in a random direction, and undo each other. If
/// `k` is odd, one is left.
///
/// Reference: Tomczak, Welling. *Improving Variational Auto-Encoders using Householder Flow*. 2016, equations 11 and 12,
/// arXiv:1611.09630.
#[derive(Clone, Debug)]
pub struct Householder {
    /// `v`, a row each: `[k, d]`.
    vectors: Parameter,
}

impl Householder {
    /// `reflections` of `dims` columns.
    pub fn new(dims: usize, reflections: usize, init: &mut Init) -> Self {
        let pairs = reflections.div_ceil(2);
        let twice = init.uniform([pairs, dims], 1.0).repeat_dim(1, 2).reshape([2 * pairs, dims]);
        Self { vectors: Parameter::new(twice.narrow(0, 0, reflections)) }
    }

    /// `H_1 H_2 ... H_k`, `[d, d]`.
    pub(super) fn matrix(&self) -> Tensor<2> {
        let [k, d] = self.vectors.value.dims();
        let vectors = self.vectors.value.clone();
        // The length of a vector has no influence: its largest element is made one, so that no square overflows or vanishes.
        let largest = vectors.clone().detach().abs().max_dim(1);
        let vectors = vectors / largest.clone().mask_fill(largest.equal_elem(0.0), 1.0);
        let square = vectors.clone().square().sum_dim(1).clamp_min(0.5);
        let eye = Tensor::<2>::eye(d, &square.device()).cast(square.dtype());
        (0..k).fold(eye, |matrix, i| {
            let v = vectors.clone().narrow(0, i, 1);
            let share = v.clone().mul_scalar(2.0) / square.clone().narrow(0, i, 1);
            matrix.clone() - product(product(matrix, v.transpose()), share)
        })
    }
}

impl Transform for Householder {
    fn dims(&self) -> usize {
        self.vectors.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&x), value: product(x, self.matrix()) })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&z), value: product(z, self.matrix().transpose()) })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("vectors", &mut self.vectors);
    }
}
