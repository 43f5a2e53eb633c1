//! A bijection used the other way round.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Describe, LayerSpec, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::parameter::{Init, Visitor};
use crate::transform::{Given, Mapped, Scales, Transform};

/// An [`Inverted`] transform, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvertedSpec {
    /// The transform to use the other way round.
    pub transform: Box<LayerSpec>,
}

impl InvertedSpec {
    /// A layer, to be used the other way round.
    pub fn of(layer: impl Into<LayerSpec>) -> Self {
        Self { transform: Box::new(layer.into()) }
    }
}

impl Describe for InvertedSpec {
    fn validate(&self, at: Place) -> Result<()> {
        self.transform.validate(at.inside()?)
    }

    fn count(&self, at: Place) -> Option<u64> {
        self.transform.count(at)
    }

    fn work(&self, at: Place) -> Option<u64> {
        self.transform.work(at)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(Inverted(self.transform.build(at, init)?)))
    }

    fn gates_after(&self, gates: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
        self.transform.gates_after(gates).filter(|after| after == gates)
    }

    fn inner(&self) -> &[LayerSpec] {
        std::slice::from_ref(&self.transform)
    }

    fn inner_mut(&mut self) -> &mut [LayerSpec] {
        std::slice::from_mut(&mut self.transform)
    }
}

impl Cases for InvertedSpec {
    fn cases(at: Place) -> Vec<Self> {
        // The first two of each other layer.
        let mut inner: Vec<LayerSpec> = Vec::new();
        let others = if at.depth == 0 { at.inside().map(LayerSpec::cases) } else { Ok(vec![]) };
        for layer in others.unwrap_or_default() {
            if inner.iter().filter(|other| other.name() == layer.name()).count() < 2 {
                inner.push(layer);
            }
        }
        inner.into_iter().map(Self::of).collect()
    }
}

/// Swaps the directions of a transform: an inverted MAF layer is an IAF layer, fast to sample and slow to score.
///
/// * forward: `z = t.inverse(x)`; inverse: `x = t.forward(z)`.
///
/// Reference: Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling. *Inverse Autoregressive Flow*. NeurIPS 2016, arXiv:1606.04934.
#[derive(Clone, Debug)]
pub struct Inverted(
    /// The transform whose directions are swapped.
    pub Box<dyn Transform>,
);

impl Transform for Inverted {
    fn dims(&self) -> usize {
        self.0.dims()
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        self.0.inverse(x, given)
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        self.0.forward(z, given)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.0.visit(visitor);
    }

    fn start(&mut self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        self.0.start_inverse(x, given)
    }

    fn start_inverse(&mut self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        self.0.start(z, given)
    }

    fn scales(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<Vec<Scales>> {
        let x = self.0.inverse(x.clone(), given)?.value;
        self.0.scales(&x, given)
    }

    fn evaluations(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<f64> {
        let x = self.0.inverse(x.clone(), given)?.value;
        self.0.evaluations(&x, given)
    }

    /// The way of the layer itself, walked back.
    fn path(&self, x: &Tensor<2>, given: &Given<'_>, stops: usize) -> Result<Vec<Tensor<2>>> {
        let end = self.0.inverse_value(x.clone(), given)?;
        let mut places = self.0.path(&end, given, stops)?;
        // Its end is where this one starts.
        places.pop();
        places.reverse();
        places.push(end);
        Ok(places)
    }
}
