//! Composition of bijections.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Describe, LayerSpec, Place, no_log_det};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor, visit_part};
use crate::step::{Steps, Weights};
use crate::transform::{Given, Mapped, Scales, Transform};

/// A [`Chain`], described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSpec {
    /// The transforms, data end first.
    pub transforms: Vec<LayerSpec>,
}

impl ChainSpec {
    /// Most transforms in a chain.
    pub const LENGTH_MAX: usize = 1_000;
}

impl Describe for ChainSpec {
    fn validate(&self, at: Place) -> Result<()> {
        if self.transforms.len() > Self::LENGTH_MAX {
            return Err(Error::config(format!(
                "a chain holds at most {} transforms",
                Self::LENGTH_MAX
            )));
        }
        let inside = at.inside()?;
        self.transforms.iter().try_for_each(|layer| layer.validate(inside))
    }

    fn count(&self, at: Place) -> Option<u64> {
        count_all(&self.transforms, at)
    }

    fn work(&self, at: Place) -> Option<u64> {
        work_of_all(&self.transforms, at)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Chain::build(&self.transforms, at, init)?))
    }

    fn gates_after(&self, gates: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        gates_after(&self.transforms, gates)
    }

    fn inner(&self) -> &[LayerSpec] {
        &self.transforms
    }

    fn inner_mut(&mut self) -> &mut [LayerSpec] {
        &mut self.transforms
    }
}

impl Cases for ChainSpec {
    fn cases(at: Place) -> Vec<Self> {
        if at.depth > 0 {
            return vec![];
        }
        let order: Vec<usize> = (1..at.dims).chain([0]).collect();
        let mut transforms = vec![super::PluSpec { order: order.clone() }.into()];
        transforms.extend(super::AutoregressiveSpec::cases(at).pop().map(LayerSpec::from));
        transforms.push(super::PermutationSpec { order }.into());
        transforms.push(super::ActNormSpec {}.into());
        vec![Self { transforms }]
    }
}

/// [`Describe::gates_after`] of layers one after another.
pub(crate) fn gates_after(
    layers: &[LayerSpec],
    gates: &[Option<usize>],
) -> Option<Vec<Option<usize>>> {
    layers.iter().try_fold(gates.to_vec(), |gates, layer| layer.gates_after(&gates))
}

/// Number of trainable numbers of some layers.
pub(crate) fn count_all(layers: &[LayerSpec], at: Place) -> Option<u64> {
    layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.count(at)?))
}

/// Multiplications that a row takes in some layers.
pub(super) fn work_of_all(layers: &[LayerSpec], at: Place) -> Option<u64> {
    layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(layer.work(at)?))
}

/// Transforms one after another; the data end is listed first.
///
/// * forward: in list order; inverse: the list backwards. Log-determinants add up (Papamakarios et al. 2021, eq. 6, arXiv:1912.02762).
#[derive(Clone, Debug)]
pub struct Chain {
    layers: Vec<Box<dyn Transform>>,
    dims: usize,
}

impl Chain {
    /// Composes layers of equal width; an empty list is the identity on `dims` numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] naming the first layer of another width.
    pub fn new(dims: usize, layers: Vec<Box<dyn Transform>>) -> Result<Self> {
        for (i, layer) in layers.iter().enumerate() {
            if layer.dims() != dims {
                return Err(Error::shape(format!(
                    "transform {i} of the chain: expected width {dims}, found {}",
                    layer.dims()
                )));
            }
        }
        Ok(Self { layers, dims })
    }

    /// Builds the layers that are described.
    ///
    /// # Errors
    /// As [`Describe::validate`].
    pub fn build(layers: &[LayerSpec], at: Place, init: &mut Init) -> Result<Self> {
        let layers = layers.iter().map(|layer| layer.build(at, init)).collect::<Result<_>>()?;
        Self::new(at.dims, layers)
    }

    /// [`Transform::forward`] after a map whose log-determinants are given: they come first in the sum.
    pub(crate) fn forward_after(
        &self,
        log_det: Tensor<1>,
        x: Tensor<2>,
        given: &Given<'_>,
    ) -> Result<Mapped> {
        let mut result = Mapped { log_det, value: x };
        for (i, layer) in self.layers.iter().enumerate() {
            let step = layer.forward(result.value, &given.part(i))?;
            result = Mapped { value: step.value, log_det: result.log_det + step.log_det };
        }
        Ok(result)
    }

    /// The layers, data end first.
    pub fn layers(&self) -> &[Box<dyn Transform>] {
        &self.layers
    }
}

impl Transform for Chain {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        self.forward_after(no_log_det(&x), x, given)
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let mut result = Mapped { log_det: no_log_det(&z), value: z };
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let step = layer.inverse(result.value, &given.part(i))?;
            result = Mapped { value: step.value, log_det: result.log_det + step.log_det };
        }
        Ok(result)
    }

    fn inverse_value(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let mut layers = self.layers.iter().enumerate().rev();
        layers.try_fold(z, |value, (i, layer)| layer.inverse_value(value, &given.part(i)))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            visit_part(&i.to_string(), visitor, |v| layer.visit(v));
        }
    }

    fn start(&mut self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let mut layers = self.layers.iter_mut().enumerate();
        layers.try_fold(x, |value, (i, layer)| layer.start(value, &given.part(i)))
    }

    fn start_inverse(&mut self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let mut layers = self.layers.iter_mut().enumerate().rev();
        layers.try_fold(z, |value, (i, layer)| layer.start_inverse(value, &given.part(i)))
    }

    fn scales(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<Vec<Scales>> {
        let (mut value, mut scales) = (x.clone(), Vec::new());
        for (i, layer) in self.layers.iter().enumerate() {
            scales.extend(layer.scales(&value, &given.part(i))?);
            value = layer.forward(value, &given.part(i))?.value;
        }
        Ok(scales)
    }

    fn evaluations(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<f64> {
        let (mut value, mut sum) = (x.clone(), 0.0);
        for (i, layer) in self.layers.iter().enumerate() {
            sum += layer.evaluations(&value, &given.part(i))?;
            value = layer.forward(value, &given.part(i))?.value;
        }
        Ok(sum)
    }

    fn path(&self, x: &Tensor<2>, given: &Given<'_>, stops: usize) -> Result<Vec<Tensor<2>>> {
        let mut places: Vec<Tensor<2>> = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let from = places.last().unwrap_or(x).clone();
            places.extend(layer.path(&from, &given.part(i), stops)?);
        }
        Ok(places)
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let layers = self.layers.iter().enumerate();
        let steps = layers.map(|(i, layer)| layer.steps(&weights.layer(i)));
        Some(steps.collect::<Option<Vec<Steps>>>()?.into_iter().flatten().collect())
    }
}
