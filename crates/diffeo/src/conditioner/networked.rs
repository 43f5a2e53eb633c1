//! A conditioner that is a network, and says which columns it reads.

use burn::tensor::Tensor;

use super::{Conditioner, Structure};
use crate::error::Result;
use crate::network::Network;
use crate::parameter::{Visitor, visit_part};
use crate::transform::Given;

/// A network from the columns that it reads, and the context, to the parameters of those that are mapped.
#[derive(Clone, Debug)]
pub struct Networked {
    /// What it reads and maps.
    pub(super) structure: Structure,
    /// Masked as the structure wants it.
    pub(super) network: Network,
}

impl Conditioner for Networked {
    fn structure(&self) -> &Structure {
        &self.structure
    }

    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.network.forward(x, given.context))
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.network)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("network", visitor, |v| self.network.visit(v));
    }
}
