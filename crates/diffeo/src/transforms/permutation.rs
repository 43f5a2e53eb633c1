//! Reordering of the columns.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::no_log_det;
use crate::error::{Error, Result};
use crate::transform::{Mapped, Transform};

/// Column `i` of `z` is column `order[i]` of `x`; volumes do not change.
///
/// * forward: `z_i = x_{order[i]}`; inverse: `x_{order[i]} = z_i`.
#[derive(Clone, Debug)]
pub struct Permutation {
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
        Ok(Self { order: indices(order, device), inverse: indices(&inverse, device) })
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
        self.order.dims()[0]
    }

    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&x), value: x.select(1, self.order.clone()) })
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Result<Mapped> {
        Ok(Mapped { log_det: no_log_det(&z), value: z.select(1, self.inverse.clone()) })
    }
}
