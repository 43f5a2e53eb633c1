//! Reordering of the columns.

use burn::tensor::{Device, Int, Tensor, TensorData};
use diffeo_kernels::Real;
use serde::{Deserialize, Serialize};

use super::{Describe, Place, no_log_det};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::Init;
use crate::step::{Kept, Pass, Scratch, Step, Steps, Weights, gather, scatter};
use crate::transform::{Given, Mapped, Transform};

/// A [`Permutation`], described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermutationSpec {
    /// Column `i` of the result is column `order[i]`.
    pub order: Vec<usize>,
}

impl Describe for PermutationSpec {
    fn validate(&self, at: Place) -> Result<()> {
        at.expect_width("order", self.order.len())
    }

    fn count(&self, _at: Place) -> Option<u64> {
        Some(0)
    }

    fn build(&self, _at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Permutation::new(&self.order, &init.device)?))
    }

    fn gates_after(&self, gates: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        self.order.iter().map(|&column| gates.get(column).copied()).collect()
    }
}

impl Cases for PermutationSpec {
    fn cases(at: Place) -> Vec<Self> {
        match at.context {
            0 => vec![Self { order: (1..at.dims).chain([0]).collect() }],
            _ => vec![],
        }
    }
}

/// Column `i` of `z` is column `order[i]` of `x`; volumes do not change.
///
/// * forward: `z_i = x_{order[i]}`; inverse: `x_{order[i]} = z_i`.
#[derive(Clone, Debug)]
pub struct Permutation {
    columns: Vec<usize>,
    order: Tensor<1, Int>,
    inverse: Tensor<1, Int>,
}

impl Permutation {
    /// Permutes by an order of `0..d`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if a number is missing or repeated.
    pub fn new(order: &[usize], device: &Device) -> Result<Self> {
        let inverse = inverse_order(order)?;
        let (columns, order) = (order.to_vec(), indices(order, device));
        Ok(Self { columns, order, inverse: indices(&inverse, device) })
    }
}

/// The order that undoes an order.
pub(crate) fn inverse_order(order: &[usize]) -> Result<Vec<usize>> {
    let mut inverse = vec![usize::MAX; order.len()];
    for (i, &from) in order.iter().enumerate() {
        match inverse.get_mut(from) {
            Some(slot) if *slot == usize::MAX => *slot = i,
            _ => {
                return Err(Error::config(format!(
                    "an order must hold each of 0..{} once, found {from} repeated or out of range",
                    order.len()
                )));
            }
        }
    }
    Ok(inverse)
}

/// Column numbers as a tensor.
pub(crate) fn indices(order: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = order.iter().map(|&i| i as i64).collect();
    Tensor::from_data(TensorData::new(values, [order.len()]), device)
}

impl Transform for Permutation {
    fn dims(&self) -> usize {
        self.columns.len()
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&x), value: x.select(1, self.order.clone()) })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&z), value: z.select(1, self.inverse.clone()) })
    }

    fn steps(&self, _weights: &Weights<'_>) -> Option<Steps> {
        Some(vec![Box::new(Permute { order: self.columns.clone() })])
    }
}

#[derive(Debug)]
struct Permute {
    order: Vec<usize>,
}

impl<T: Real> Step<T> for Permute {
    fn forward(
        &self,
        _pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        _log_det: &mut [f64],
        _kept: Kept<'_, T>,
    ) -> Result<()> {
        gather(x, self.order.len(), &self.order, z);
        Ok(())
    }

    fn backward(
        &self,
        _pass: &Pass<'_, T>,
        _x: &[T],
        grad: &mut [T],
        _wanted: bool,
        (_, scratch): (Kept<'_, T>, &mut Scratch<T>),
        _gradient: &mut [T],
    ) {
        let ([copy], _) = scratch.arena.arrays(0);
        let copy = copy.sized(grad.len());
        copy.copy_from_slice(grad);
        scatter(copy, &self.order, grad, self.order.len());
    }
}
