//! The network of a coupling: one half of the inputs gives the parameters of the other half.

use burn::tensor::Tensor;

use super::Conditioner;
use crate::nn::{Degrees, Network, NetworkSpec};
use crate::parameter::{Init, Visitor};

/// A dense network from the untouched half (and the context) to the parameters of the transformed half.
///
/// Reference: Dinh, Sohl-Dickstein, Bengio. *Density estimation using Real NVP*. ICLR 2017, eq. 4, arXiv:1605.08803.
#[derive(Clone, Debug)]
pub struct CouplingNetwork {
    network: Network,
}

impl CouplingNetwork {
    /// A network from `inputs` untouched values and `context_dims` context values to `outputs` parameters.
    pub fn new(
        spec: &NetworkSpec,
        inputs: usize,
        context_dims: usize,
        outputs: usize,
        init: &mut Init,
    ) -> Self {
        Self { network: Network::new(spec, Degrees::Dense, [inputs, context_dims, outputs], init) }
    }

    /// The network itself.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }
}

impl Conditioner for CouplingNetwork {
    fn parameters(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        self.network.forward(x, context)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}
