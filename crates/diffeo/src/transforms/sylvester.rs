//! Bends across several hyperplanes at once.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_rows;
use serde::{Deserialize, Serialize};

use super::householder::Householder;
use super::planar::{bend, held_above, tanh};
use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::host::linalg::product;
use crate::monotone::root;
use crate::parameter::{Init, Parameter, Visitor, visit_part};
use crate::transform::{Given, Mapped, Transform};

/// A [`Sylvester`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SylvesterSpec {
    /// Number of directions `m`, at most one for each column.
    pub directions: usize,
}

impl Describe for SylvesterSpec {
    fn validate(&self, at: Place) -> Result<()> {
        match (1..=at.dims).contains(&self.directions) {
            true => Ok(()),
            false => Err(Error::config(format!(
                "sylvester: directions must be in 1..={}, the number of columns, found {}",
                at.dims, self.directions
            ))),
        }
    }

    fn count(&self, at: Place) -> Option<u64> {
        let (m, d, c) = (self.directions as u64, at.dims as u64, at.context as u64);
        let above = if m > 1 { m.checked_mul(m)?.checked_mul(2)? } else { 0 };
        let wide = m.checked_mul(d)?.checked_add(m.checked_mul(c)?)?;
        wide.checked_add(above)?.checked_add(m.checked_mul(3)?)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(Sylvester::new(at, self.directions, init)))
    }
}

impl Cases for SylvesterSpec {
    fn cases(at: Place) -> Vec<Self> {
        let mut counts = vec![1, at.dims];
        counts.dedup();
        counts.into_iter().map(|directions| Self { directions }).collect()
    }
}

/// `z = x + tanh(x Q T^T + c V + b) R^T Q^T`: the columns of `Q`, `[d, m]`, are orthonormal, `R` and `T` upper triangular; a context `c` shifts the hyperplanes.
///
/// * forward: products of `d m` and `m^2`; inverse: `y = x Q` from the last direction to the first, each the root of a scalar monotone equation, so every point has its
///   density and its sample. Both are tensor operations, the inverse some fifty passes for each direction.
/// * Log-determinant: `sum_i ln(1 + r_ii t_ii (1 - tanh^2))`. `t_ii = e^(7 tanh(raw / 7))`, and `r_ii t_ii` is never below -0.999, as in [`super::Planar`].
/// * `Q` has the first columns of a product of `m` reflections, as [`super::Householder`].
///
/// Starts as the identity. Runs on tensors.
///
/// Reference: van den Berg, Hasenclever, Tomczak, Welling. *Sylvester Normalizing Flows for Variational Inference*. UAI 2018, theorem 1 and section 4.2,
/// arXiv:1803.05649.
#[derive(Clone, Debug)]
pub struct Sylvester {
    frame: Householder,
    /// `R` and `T` above the diagonal, `[m, m]`; none where that is nothing.
    above: Option<[Parameter; 2]>,
    /// Raw `r_ii t_ii` and `t_ii`, and `b`, `[1, m]`; `V`, `[c, m]`.
    size: Parameter,
    log_slope: Parameter,
    shift: Parameter,
    context: Option<Parameter>,
}

/// The matrices of the formula.
struct Parts {
    /// `Q`, `[d, m]`.
    frame: Tensor<2>,
    outer: Tensor<2>,
    inner: Tensor<2>,
    /// `r_ii t_ii` and `t_ii`, `[1, m]`.
    size: Tensor<2>,
    slope: Tensor<2>,
}

impl Sylvester {
    /// Bound of the logarithms of `t_ii`.
    pub const LOG_SLOPE_MAX: f64 = 7.0;

    /// The identity.
    pub fn new(at: Place, directions: usize, init: &mut Init) -> Self {
        let frame = Householder::new(at.dims, directions, init);
        let above = |row, column| row < column;
        let matrix = |init: &Init| Parameter::masked_zeros(init, [directions; 2], above);
        let zeros = |rows: usize| Parameter::new(init.full([rows, directions], 0.0));
        Self {
            frame,
            above: (directions > 1).then(|| [matrix(init), matrix(init)]),
            size: zeros(1),
            log_slope: zeros(1),
            shift: zeros(1),
            context: (at.context > 0).then(|| zeros(at.context)),
        }
    }

    fn parts(&self) -> Parts {
        let m = self.shift.value.dims()[1];
        let size = held_above(self.size.value.clone());
        let slope = self.log_slope.bounded(Self::LOG_SLOPE_MAX).exp();
        let eye = Tensor::<2>::eye(m, &size.device()).cast(size.dtype());
        let mut outer = eye.clone() * (size.clone() / slope.clone());
        let mut inner = eye * slope.clone();
        if let Some([above_outer, above_inner]) = &self.above {
            outer = outer + above_outer.masked();
            inner = inner + above_inner.masked();
        }
        Parts { frame: self.frame.matrix().narrow(1, 0, m), outer, inner, size, slope }
    }

    /// `c V + b`, `[n, m]`.
    fn shift(&self, rows: usize, given: &Given<'_>) -> Tensor<2> {
        let shift = self.shift.value.clone();
        match (&self.context, given.context) {
            (Some(weight), Some(context)) => product(context.clone(), weight.value.clone()) + shift,
            _ => shift.clone().expand([rows, shift.dims()[1]]),
        }
    }

    /// `tanh(y T^T + c V + b)` from `y + tanh(y T^T + c V + b) R^T`, and the log-slopes of the inverse.
    fn solve(&self, parts: &Parts, along: Tensor<2>, shift: Tensor<2>) -> Result<[Tensor<2>; 2]> {
        let [n, m] = along.dims();
        let column = |t: &Tensor<2>, i: usize| t.clone().narrow(1, i, 1);
        // Known so far, from direction i + 1 on.
        let (mut y, mut h, mut log_slopes) = (Vec::new(), Vec::new(), Vec::new());
        for i in (0..m).rev() {
            let (mut target, mut offset) = (column(&along, i), column(&shift, i));
            if i + 1 < m {
                let rest = |t: &Tensor<2>| t.clone().narrow(0, i, 1).narrow(1, i + 1, m - i - 1);
                let known = |t: &[Tensor<2>]| Tensor::cat(t.iter().rev().cloned().collect(), 1);
                target = target - product(known(&h), rest(&parts.outer).transpose());
                offset = offset + product(known(&y), rest(&parts.inner).transpose());
            }
            let slope = column(&parts.slope, i);
            let size = column(&parts.size, i).expand([n, 1]);
            let params = Tensor::cat(vec![offset.clone(), size], 1);
            let found = root::inverse(&bend, target * slope.clone(), params)?;
            h.push((found.value.clone() + offset).tanh());
            y.push(found.value / slope);
            log_slopes.push(found.log_slope);
        }
        h.reverse();
        Ok([Tensor::cat(h, 1), Tensor::cat(log_slopes, 1)])
    }
}

impl Transform for Sylvester {
    fn dims(&self) -> usize {
        self.frame.dims()
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let parts = self.parts();
        let along = product(x.clone(), parts.frame.clone());
        let before = product(along, parts.inner.transpose()) + self.shift(x.dims()[0], given);
        let (value, slope) = tanh(before);
        let log_det = sum_rows((slope * parts.size).add_scalar(1.0).log());
        let moved = product(value, parts.outer.transpose());
        Ok(Mapped { value: x + product(moved, parts.frame.transpose()), log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let parts = self.parts();
        let along = product(z.clone(), parts.frame.clone());
        let shift = self.shift(z.dims()[0], given);
        let [value, log_slopes] = self.solve(&parts, along, shift)?;
        let moved = product(value, parts.outer.transpose());
        let value = z - product(moved, parts.frame.transpose());
        Ok(Mapped { value, log_det: sum_rows(log_slopes) })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("frame", visitor, |v| self.frame.visit(v));
        if let Some([outer, inner]) = &mut self.above {
            visitor("outer", outer);
            visitor("inner", inner);
        }
        visitor("size", &mut self.size);
        visitor("log_slope", &mut self.log_slope);
        visitor("shift", &mut self.shift);
        if let Some(context) = &mut self.context {
            visitor("context", context);
        }
    }
}
