//! What learns a policy from transitions.

use diffeo::train::{Event, LearnerOptions, Snapshot};
use diffeo::{Error, Flow, Result, Streams};
use serde::{Deserialize, Serialize};

use crate::replay::Batch;

/// How the weight of entropy against reward is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Temperature {
    /// It is this.
    Fixed(f64),
    /// It follows from the entropy that the policy is to have, in nats of actions in (-1, 1).
    Tuned {
        /// Where it starts.
        initial: f64,
        /// The entropy aimed at; usual is minus the number of an action's numbers.
        entropy: f64,
    },
}

/// What every algorithm here needs to be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentOptions {
    /// Widths of the hidden layers of the networks that value.
    pub hidden: Vec<usize>,
    /// What values are about, in units of reward: networks give a multiple of it, so that theirs are of order one.
    pub value_scale: f64,
    /// What a reward is worth a step earlier.
    pub discount: f64,
    /// By how much the networks that set the targets follow those that are trained, at each update.
    pub smoothing: f64,
    /// The weight of entropy.
    pub temperature: Temperature,
    /// Decay of the running average of the policy's weights, which is what is kept of it; it acts, while it learns, as it is.
    pub policy_average: f64,
    /// Learning rate of the policy, or of all where one thing is trained.
    pub policy_rate: f64,
    /// Learning rate of the networks that value.
    pub value_rate: f64,
    /// Longest gradient that is used as it is.
    pub clip_norm: f64,
    /// Seed of weights and draws.
    pub seed: u64,
}

impl AgentOptions {
    /// What suits an action of so many numbers.
    pub fn new(acted: usize) -> Self {
        Self {
            hidden: vec![64, 64],
            value_scale: 1.0,
            discount: 0.99,
            smoothing: 0.005,
            temperature: Temperature::Tuned { initial: 1.0, entropy: -(acted as f64) },
            policy_average: 0.998,
            policy_rate: 1e-3,
            value_rate: 1e-3,
            clip_norm: 30.0,
            seed: 0,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for the first fault.
    pub fn validate(&self) -> Result<()> {
        let fault = |text: String| Err(Error::config(text));
        let (discount, smoothing) = (self.discount, self.smoothing);
        if !(0.0..1.0).contains(&discount) {
            return fault(format!(
                "expected a discount of at least 0 and below 1, found {discount}"
            ));
        }
        if !(smoothing > 0.0 && smoothing <= 1.0) {
            return fault(format!("expected a smoothing above 0 and at most 1, found {smoothing}"));
        }
        let average = self.policy_average;
        if !(average > 0.0 && average < 1.0) {
            return fault(format!("expected an average above 0 and below 1, found {average}"));
        }
        let scale = self.value_scale;
        if !(scale > 0.0 && scale.is_normal()) {
            return fault(format!("expected a positive scale of values, found {scale}"));
        }
        match self.temperature {
            Temperature::Fixed(t) | Temperature::Tuned { initial: t, .. }
                if !(t > 0.0 && t.is_finite()) =>
            {
                fault(format!("expected a positive temperature, found {t}"))
            }
            Temperature::Tuned { entropy, .. } if !entropy.is_finite() => {
                fault(format!("expected a finite target of the entropy, found {entropy}"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn learner(&self, rate: f64) -> LearnerOptions {
        LearnerOptions { learning_rate: rate, clip_norm: self.clip_norm, ..Default::default() }
    }

    /// A learner whose average is kept.
    pub(crate) fn averaging(&self, rate: f64) -> LearnerOptions {
        LearnerOptions { average: self.policy_average, ..self.learner(rate) }
    }

    /// A learner whose average is what sets targets.
    pub(crate) fn followed(&self, rate: f64) -> LearnerOptions {
        let average = 1.0 - self.smoothing;
        LearnerOptions { average, average_warmup: false, ..self.learner(rate) }
    }
}

/// What an update came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Updated {
    /// Mean square of what values were off by.
    pub value_loss: f64,
    /// Mean of `ln pi` of the policy's own actions, minus its entropy in nats; of those of the batch where none are drawn.
    pub log_prob: f64,
    /// The weight of entropy that was used.
    pub temperature: f64,
    /// Steps of an optimiser that were refused because a number was not finite.
    pub refused: u64,
}

impl Updated {
    /// The loss of a step, and whether it was taken.
    pub(crate) fn note(&mut self, event: &Event) -> f64 {
        match event {
            Event::Step { loss, .. } => *loss,
            _ => {
                self.refused += 1;
                f64::NAN
            }
        }
    }
}

/// An algorithm in the midst of its work.
pub trait Agent: Send {
    /// The policy as it is.
    fn policy(&self) -> &Flow;

    /// The policy with the running average of its weights, which changes less from update to update than what it follows.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Internal`] if it has other parameters than it had.
    fn averaged(&self) -> Result<Flow>;

    /// Learns with so large a share of its learning rates from now on.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for a share that is not positive.
    fn slow_to(&mut self, share: f64) -> Result<()>;

    /// Learns from a batch. Draws come from the streams and this number of the update alone.
    ///
    /// # Errors
    /// Those of the flow.
    fn update(&mut self, batch: &Batch, streams: Streams, update: u64) -> Result<Updated>;

    /// Adds all that it needs to go on.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Internal`] if it cannot be described.
    fn write_into(&self, snapshot: &mut Snapshot) -> Result<()>;

    /// Goes on from there, to the same bits. After an error it is good for nothing.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::ModelFile`] or [`diffeo::ErrorKind::Config`] if it is of something else.
    fn read_from(&mut self, snapshot: &Snapshot) -> Result<()>;
}
