//! MADE: all conditionals of an autoregressive model in one pass of a masked network.

use burn::tensor::Tensor;

use super::Conditioner;
use crate::nn::{Degrees, Network, NetworkSpec};
use crate::parameter::{Init, Visitor};

/// Masked autoregressive network: the parameters of dimension `i` depend on inputs before `i` and on the context.
///
/// Reference: Germain, Gregor, Murray, Larochelle. *MADE: Masked Autoencoder for Distribution Estimation*. ICML 2015, arXiv:1502.03509.
#[derive(Clone, Debug)]
pub struct Masked {
    network: Network,
}

impl Masked {
    /// A network for `dims` inputs, `context_dims` context values and `per_dim` parameters a dimension.
    pub fn new(
        spec: &NetworkSpec,
        dims: usize,
        context_dims: usize,
        per_dim: usize,
        init: &mut Init,
    ) -> Self {
        let shape = [dims, context_dims, dims * per_dim];
        Self { network: Network::new(spec, Degrees::Sequential, shape, init) }
    }
}

impl Masked {
    /// The network, for inverses that go through it unit by unit.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }
}

impl Conditioner for Masked {
    fn parameters(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.network.forward(x, context)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}
