//! Soft actor-critic.

use diffeo::burn::tensor::Tensor;
use diffeo::train::{Learner, Snapshot};
use diffeo::{Flow, Parameter, Purpose, Result, Streams, Trainable, Visitor, host_values};

use crate::agent::{Agent, AgentOptions, Temperature, Updated};
use crate::policy::{base_draws, draw};
use crate::replay::{Batch, column, number};
use crate::value_networks::Twins;

/// Soft actor-critic: a policy that earns as much as it can while it stays as undecided as it can, `max E sum of discount^t (reward + T H(pi))` with the temperature `T`.
///
/// * Critics: `Q(s, a)` towards `reward + discount (min Q'(s', a') - T ln pi(a' | s'))` with a draw `a'` of the policy and slow copies `Q'`; nothing comes after a terminal state.
/// * Policy: down the gradient of `E[T ln pi(a | s) - min Q(s, a)]` through the draw `a`, which is reverse KL from `exp(Q / T)`.
/// * Temperature: fixed, or up the gradient of `ln T (E[-ln pi] - target)`, downwards.
///
/// All densities are those of the squashed action, exactly.
///
/// Reference: Haarnoja et al. *Soft Actor-Critic Algorithms and Applications*. arXiv:1812.05905, eqs. 5, 7, 18 (algorithm 1); with a flow as policy, Haarnoja et al. *Latent
/// Space Policies for Hierarchical Reinforcement Learning*. ICML 2018, arXiv:1804.02808.
pub struct SoftActorCritic {
    policy: Learner<Flow>,
    critics: Learner<Twins>,
    temperature: Heat,
    discount: f64,
    /// Learning rates of policy and critics.
    rates: [f64; 2],
}

/// The temperature: a number, or a parameter that is trained.
enum Heat {
    Fixed(f64),
    Tuned { log: Learner<Logarithm>, entropy: f64 },
}

/// The logarithm of the temperature.
#[derive(Clone, Debug)]
struct Logarithm(Parameter);

impl Trainable for Logarithm {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("log_temperature", &mut self.0);
    }
}

impl Heat {
    fn value(&self) -> Result<f64> {
        match self {
            Self::Fixed(value) => Ok(*value),
            Self::Tuned { log, .. } => Ok(first(log.module().0.value.clone().reshape([1]))?.exp()),
        }
    }

    /// Down the gradient of `-ln T (mean ln pi + entropy)`.
    fn update(&mut self, log_prob: f64) -> Result<()> {
        let Self::Tuned { log, entropy } = self else { return Ok(()) };
        let lacks = log_prob + *entropy;
        log.step(|log| Ok(log.0.value.clone().reshape([1]).mul_scalar(-lacks)))?;
        Ok(())
    }
}

impl SoftActorCritic {
    /// With a policy over actions of the flow's width, given states of its context's.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for options out of range.
    pub fn new(policy: Flow, options: &AgentOptions) -> Result<Self> {
        options.validate()?;
        let inputs = policy.context_dims() + policy.dims();
        let critics = Twins::new(options, inputs, &policy)?;
        let temperature = match options.temperature {
            Temperature::Fixed(value) => Heat::Fixed(value),
            Temperature::Tuned { initial, entropy } => {
                let log = Logarithm(Parameter::new(number(initial.ln(), &policy)));
                let log = Learner::new(log, options.learner(options.policy_rate))?;
                Heat::Tuned { log, entropy }
            }
        };
        Ok(Self {
            policy: Learner::new(policy, options.averaging(options.policy_rate))?,
            critics: Learner::new(critics, options.followed(options.value_rate))?,
            temperature,
            discount: options.discount,
            rates: [options.policy_rate, options.value_rate],
        })
    }

    /// What actions in states are worth, by the critics as they are: `[n, 1]` for states `[n, s]` and actions in (-1, 1), `[n, d]`.
    pub fn value(&self, states: Tensor<2>, actions: Tensor<2>) -> Tensor<2> {
        self.critics.module().least(Tensor::cat(vec![states, actions], 1))
    }

    /// What the critics are to say of a batch.
    fn targets(&self, batch: &Batch, z: Tensor<2>, temperature: f64) -> Result<Tensor<2>> {
        let drawn = draw(self.policy.module(), &batch.next, z)?;
        let rows = Tensor::cat(vec![batch.next.clone(), drawn.action], 1);
        let worth = self.critics.averaged()?.least(rows);
        let soft = worth - column(drawn.log_prob).mul_scalar(temperature);
        Ok(batch.rewards.clone() + batch.going.clone() * soft.mul_scalar(self.discount))
    }
}

impl Agent for SoftActorCritic {
    fn policy(&self) -> &Flow {
        self.policy.module()
    }

    fn averaged(&self) -> Result<Flow> {
        self.policy.averaged()
    }

    fn slow_to(&mut self, share: f64) -> Result<()> {
        let [policy, critics] = self.rates.map(|rate| share * rate);
        self.policy.set_learning_rate(policy)?;
        self.critics.set_learning_rate(critics)
    }

    fn update(&mut self, batch: &Batch, streams: Streams, update: u64) -> Result<Updated> {
        let n = batch.states.dims()[0];
        let temperature = self.temperature.value()?;
        let mut updated = Updated { temperature, ..Updated::default() };
        let draws = |purpose| base_draws(self.policy.module(), streams, (purpose, update), n);
        let (after, now) = (draws(Purpose::Estimate)?, draws(Purpose::Draws)?);
        let targets = self.targets(batch, after, temperature)?;
        let rows = Tensor::cat(vec![batch.states.clone(), batch.u.clone().tanh()], 1);
        let event =
            self.critics.step(|critics| Ok(critics.loss(critics.values(rows), &targets)))?;
        updated.value_loss = updated.note(&event);
        let critics = self.critics.module();
        let mut log_prob = Tensor::zeros([1], &batch.states.device());
        let event = self.policy.step(|policy| {
            let drawn = draw(policy, &batch.states, now)?;
            let rows = Tensor::cat(vec![batch.states.clone(), drawn.action], 1);
            log_prob = drawn.log_prob.clone().detach().mean();
            let cost = column(drawn.log_prob).mul_scalar(temperature);
            Ok((cost - critics.least(rows)).mean())
        })?;
        updated.note(&event);
        updated.log_prob = first(log_prob)?;
        if updated.log_prob.is_finite() {
            self.temperature.update(updated.log_prob)?;
        }
        Ok(updated)
    }

    fn write_into(&self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.set_learner("policy", &self.policy)?;
        snapshot.set_learner("critics", &self.critics)?;
        match &self.temperature {
            Heat::Fixed(_) => Ok(()),
            Heat::Tuned { log, .. } => snapshot.set_learner("temperature", log),
        }
    }

    fn read_from(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.restore_learner("policy", &mut self.policy)?;
        snapshot.restore_learner("critics", &mut self.critics)?;
        match &mut self.temperature {
            Heat::Fixed(_) => Ok(()),
            Heat::Tuned { log, .. } => snapshot.restore_learner("temperature", log),
        }
    }
}

/// The one number of a tensor.
pub(crate) fn first(number: Tensor<1>) -> Result<f64> {
    let values = host_values(number)?;
    Ok(values.first().copied().unwrap_or(f64::NAN))
}
