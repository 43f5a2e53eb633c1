//! The weights of a network on tiles, as parameters.

use burn::tensor::Tensor;
use diffeo_kernels::Part;

use crate::parameter::{Init, Parameter, Visitor};

/// A parameter for each matrix of a [`diffeo_kernels::TiledNetwork`], in its order.
#[derive(Clone, Debug)]
pub struct TiledWeights(Vec<(String, Parameter)>);

impl TiledWeights {
    /// Weights of a network as it starts.
    pub fn new(parts: &[Part], init: &mut Init) -> Self {
        let parameter = |part: &Part| {
            let value = match part.bound {
                0.0 => init.full(part.shape, 0.0),
                bound => init.uniform(part.shape, bound),
            };
            let decay = part.name.ends_with("weight") || part.name == "context";
            (part.name.clone(), Parameter { value, mask: None, decay })
        };
        Self(parts.iter().map(parameter).collect())
    }

    /// All of them as one row, which is what the network takes.
    pub fn flat(&self) -> Tensor<2> {
        let row = |(_, p): &(String, Parameter)| p.value.clone().reshape([1, -1]);
        Tensor::cat(self.0.iter().map(row).collect(), 1)
    }

    /// Shows each with its name.
    pub fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.0.iter_mut().for_each(|(name, parameter)| visitor(name, parameter));
    }
}
