//! Maximum-entropy control by one flow.

use diffeo::burn::tensor::Tensor;
use diffeo::train::{Learner, Snapshot};
use diffeo::{Error, Flow, Result, Streams, Trainable, Visitor, visit_part};

use crate::agent::{Agent, AgentOptions, Temperature, Updated};
use crate::policy::log_prob;
use crate::replay::{Batch, column};
use crate::sac::first;
use crate::value_networks::Twins;

/// A flow that is policy and critic at once, trained by the soft Bellman error alone: no loss of an actor, no draws for the value of a state.
///
/// With a value `V(s)` of its own, `Q(s, a) = V(s) + T ln pi(a | s)` has `V = T ln integral exp(Q / T)` and the policy `exp((Q - V) / T)` for any flow and any numbers: what
/// actor-critics spend an optimiser on holds from the start. `Q` goes towards `reward + discount V'(s')`; of two values the lesser is believed, in slow copies.
///
/// Reference: Chao et al. *Maximum Entropy Reinforcement Learning via Energy-Based Normalizing Flow*. NeurIPS 2024, arXiv:2405.13629. There `V` is a reward shift and minus the
/// parts of the log-determinant that do not depend on the action; any function of the state can be both, so here one network is, and the flow may be of any kind.
pub struct EnergyFlow {
    learner: Learner<Energy>,
    temperature: f64,
    discount: f64,
    rate: f64,
}

/// The flow and the values.
#[derive(Clone, Debug)]
struct Energy {
    flow: Flow,
    values: Twins,
}

impl Trainable for Energy {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("flow", visitor, |v| self.flow.visit(v));
        visit_part("values", visitor, |v| self.values.visit(v));
    }
}

impl EnergyFlow {
    /// With a policy over actions of the flow's width, given states of its context's.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for options out of range, or a temperature that is to be tuned: the value of everything would change with it.
    pub fn new(policy: Flow, options: &AgentOptions) -> Result<Self> {
        options.validate()?;
        let Temperature::Fixed(temperature) = options.temperature else {
            return Err(Error::config(
                "one flow for policy and values needs a fixed temperature: give one",
            ));
        };
        let values = Twins::new(options, policy.context_dims(), &policy)?;
        let energy = Energy { flow: policy, values };
        let learner = Learner::new(energy, options.followed(options.policy_rate))?;
        let (discount, rate) = (options.discount, options.policy_rate);
        Ok(Self { learner, temperature, discount, rate })
    }

    /// `V(s)` of both networks for states `[n, s]`, `[n, 1]` each.
    pub fn state_values(&self, states: Tensor<2>) -> [Tensor<2>; 2] {
        self.learner.module().values.values(states)
    }

    /// `Q(s, a)` by both networks, for actions that are kept before `tanh`.
    ///
    /// # Errors
    /// As [`Flow::log_prob`].
    pub fn action_values(&self, states: Tensor<2>, u: Tensor<2>) -> Result<[Tensor<2>; 2]> {
        let log_prob = log_prob(&self.learner.module().flow, &states, u)?;
        let advantage = column(log_prob).mul_scalar(self.temperature);
        Ok(self.state_values(states).map(|value| value + advantage.clone()))
    }
}

impl Agent for EnergyFlow {
    fn policy(&self) -> &Flow {
        &self.learner.module().flow
    }

    fn averaged(&self) -> Result<Flow> {
        Ok(self.learner.averaged()?.flow)
    }

    fn slow_to(&mut self, share: f64) -> Result<()> {
        self.learner.set_learning_rate(share * self.rate)
    }

    fn update(&mut self, batch: &Batch, _streams: Streams, _update: u64) -> Result<Updated> {
        let mut updated = Updated { temperature: self.temperature, ..Updated::default() };
        let after = self.learner.averaged()?.values.least(batch.next.clone());
        let targets = batch.rewards.clone() + batch.going.clone() * after.mul_scalar(self.discount);
        let mut seen = Tensor::zeros([1], &batch.states.device());
        let temperature = self.temperature;
        let event = self.learner.step(|energy| {
            let log_prob = log_prob(&energy.flow, &batch.states, batch.u.clone())?;
            seen = log_prob.clone().detach().mean();
            let advantage = column(log_prob).mul_scalar(temperature);
            let values = energy.values.values(batch.states.clone());
            Ok(energy.values.loss(values, &(targets - advantage)))
        })?;
        updated.value_loss = updated.note(&event);
        updated.log_prob = first(seen)?;
        Ok(updated)
    }

    fn write_into(&self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.set_learner("energy", &self.learner)
    }

    fn read_from(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.restore_learner("energy", &mut self.learner)
    }
}
