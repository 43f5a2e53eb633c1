//! The two precisions that weights can have, as one bound for the training loop.

use diffeo_kernels::Real;

use crate::error::Result;
use crate::file::container::NamedTensor;
use crate::step::{AnyStep, Step};
use crate::train::Ranks;

/// `f32` or `f64`.
pub(crate) trait Element: burn::tensor::Element + Real {
    /// A step in this precision.
    fn step(step: Box<dyn AnyStep>) -> Box<dyn Step<Self>>;
    /// Exact.
    fn wide(self) -> f64;
    /// As a tensor of a checkpoint.
    fn to_named(name: &str, values: &[Self]) -> NamedTensor;
    /// Back from a tensor of a checkpoint.
    fn from_named(tensor: &NamedTensor) -> Result<Vec<Self>>;
    /// Replaces numbers by their sum over all processes of a training.
    fn sum_over(ranks: &mut dyn Ranks, values: &mut [Self]) -> Result<()>;
}

impl Element for f32 {
    fn step(step: Box<dyn AnyStep>) -> Box<dyn Step<Self>> {
        step
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn to_named(name: &str, values: &[Self]) -> NamedTensor {
        NamedTensor::from_f32(name, [values.len()], values)
    }
    fn from_named(tensor: &NamedTensor) -> Result<Vec<Self>> {
        tensor.to_f32()
    }
    fn sum_over(ranks: &mut dyn Ranks, values: &mut [Self]) -> Result<()> {
        ranks.sum_f32(values)
    }
}

impl Element for f64 {
    fn step(step: Box<dyn AnyStep>) -> Box<dyn Step<Self>> {
        step
    }
    fn wide(self) -> f64 {
        self
    }
    fn to_named(name: &str, values: &[Self]) -> NamedTensor {
        NamedTensor::from_f64(name, [values.len()], values)
    }
    fn from_named(tensor: &NamedTensor) -> Result<Vec<Self>> {
        tensor.to_f64()
    }
    fn sum_over(ranks: &mut dyn Ranks, values: &mut [Self]) -> Result<()> {
        ranks.sum_f64(values)
    }
}
