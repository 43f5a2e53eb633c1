//! Composition of bijections.

use burn::tensor::{DType, Tensor};

use super::{Layer, no_log_det};
use crate::error::{Error, Result};
use crate::parameter::{Visitor, visit_part};
use crate::transform::{Mapped, Transform};

/// Transforms one after another; the data end is listed first.
///
/// * forward: in list order; inverse: the list backwards. Log-determinants add up (Papamakarios et al. 2021, eq. 6, arXiv:1912.02762).
///
/// Layers that map the data's units ([`super::Support`], [`super::Standardize`]) run in the precision of the data, the others in that
/// of the weights; the chain converts between the two.
#[derive(Clone, Debug)]
pub struct Chain {
    layers: Vec<Layer>,
    dims: usize,
    weights: DType,
}

impl Chain {
    /// Composes layers of equal width; an empty list is the identity on `dims` numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] naming the first layer of another width.
    pub fn new(dims: usize, weights: DType, layers: Vec<Layer>) -> Result<Self> {
        for (i, layer) in layers.iter().enumerate() {
            if layer.dims() != dims {
                return Err(Error::shape(format!(
                    "transform {i} of the chain: expected width {dims}, found {}",
                    layer.dims()
                )));
            }
        }
        Ok(Self { layers, dims, weights })
    }

    /// The layers, data end first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers, to be changed in place.
    pub(crate) fn layers_mut(&mut self) -> &mut [Layer] {
        &mut self.layers
    }

    /// Brings the input of a layer into the precision that the layer runs in.
    pub(crate) fn prepare(&self, layer: &Layer, value: Tensor<2>, to_data: bool) -> Tensor<2> {
        match (layer.maps_units(), to_data) {
            (false, _) => value.cast(self.weights),
            (true, true) => {
                let wide = diffeo_kernels::ops::sum_dtype(&value.device());
                value.cast(wide)
            }
            (true, false) => value,
        }
    }
}

impl Transform for Chain {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        let mut result = Mapped { log_det: no_log_det(&x), value: x };
        for layer in &self.layers {
            let step = layer.forward(self.prepare(layer, result.value, false), context)?;
            result = Mapped { value: step.value, log_det: result.log_det + step.log_det };
        }
        Ok(result)
    }

    fn inverse(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Result<Mapped> {
        let mut result = Mapped { log_det: no_log_det(&z), value: z };
        for layer in self.layers.iter().rev() {
            let step = layer.inverse(self.prepare(layer, result.value, true), context)?;
            result = Mapped { value: step.value, log_det: result.log_det + step.log_det };
        }
        Ok(result)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            visit_part(&i.to_string(), visitor, |v| layer.visit(v));
        }
    }
}
