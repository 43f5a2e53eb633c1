//! Networks that say what a state, or an action in it, is worth.

use diffeo::burn::tensor::Tensor;
use diffeo::network::{Activation, Degrees, Network, NetworkSpec};
use diffeo::{Flow, Init, Result, Trainable, Visitor, visit_part};

use crate::agent::AgentOptions;

/// Tells the seed of these weights from the policy's.
const VALUES: u64 = 0x5ac;

/// Two networks from the same numbers to a value each, of which the lesser is believed: one alone learns to overrate what it has not seen.
///
/// Reference: Fujimoto, van Hoof, Meger. *Addressing Function Approximation Error in Actor-Critic Methods*. ICML 2018, section 4.2, arXiv:1802.09477.
#[derive(Clone, Debug)]
pub struct Twins {
    networks: [Network; 2],
    scale: f64,
}

impl Twins {
    /// Both networks, from so many numbers, for a policy: their values start at 0.
    ///
    /// # Errors
    /// As [`NetworkSpec::validate`].
    pub fn new(options: &AgentOptions, inputs: usize, policy: &Flow) -> Result<Self> {
        let hidden = options.hidden.clone();
        let spec = NetworkSpec { hidden, residual: false, activation: Activation::default() };
        spec.validate()?;
        // Other streams than the policy's, which has the seed itself.
        let (seed, dtype) = (options.seed ^ VALUES, policy.spec().precision.dtype());
        let mut init = Init::new(seed, dtype, policy.device().clone());
        let mut network = || Network::new(&spec, Degrees::Dense, [inputs, 0, 1], &mut init);
        Ok(Self { networks: [network(), network()], scale: options.value_scale })
    }

    /// Both values of each row, `[n, 1]` each.
    pub fn values(&self, rows: Tensor<2>) -> [Tensor<2>; 2] {
        let [first, second] = &self.networks;
        let values = [first.forward(rows.clone(), None), second.forward(rows, None)];
        values.map(|value| value.mul_scalar(self.scale))
    }

    /// Half the mean square of what both values are off by, as a share of their scale: what is to be made small.
    pub fn loss(&self, values: [Tensor<2>; 2], targets: &Tensor<2>) -> Tensor<1> {
        let [first, second] = values.map(|value| (value - targets.clone()).square());
        (first + second).mean().mul_scalar(0.5 / (self.scale * self.scale))
    }

    /// The lesser value of each row, `[n, 1]`.
    pub fn least(&self, rows: Tensor<2>) -> Tensor<2> {
        let [first, second] = self.values(rows);
        first.min_pair(second)
    }
}

impl Trainable for Twins {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (i, network) in self.networks.iter_mut().enumerate() {
            visit_part(&i.to_string(), visitor, |v| network.visit(v));
        }
    }
}
