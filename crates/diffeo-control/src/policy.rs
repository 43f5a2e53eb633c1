//! Policies: flows over actions, given what is observed.

use std::fmt;
use std::str::FromStr;

use diffeo::burn::tensor::Tensor;
use diffeo::conditioner::GraphSpec;
use diffeo::monotone::Affine;
use diffeo::network::NetworkSpec;
use diffeo::transforms::ConditionalSpec;
use diffeo::{Error, Flow, FlowSpec, Preset, PresetOptions, Purpose, Result, Streams, quoted};

use crate::interface::{Interface, squash};

/// Bound of the log-deviation of the Gaussian policy: deviations of `u` between 1/148 and 148.
const LOG_DEVIATION_MAX: f64 = 5.0;

/// The family of densities that a policy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// `tanh` of a normal number for each number of the action, whose mean and deviation follow from the state: the flow without transforms between.
    Gaussian,
    /// `tanh` of a flow.
    Flow(Preset),
}

impl PolicyKind {
    /// Describes the flow.
    ///
    /// # Errors
    /// As [`Preset::spec`].
    pub fn spec(self, interface: &Interface, options: &PresetOptions) -> Result<FlowSpec> {
        let (d, context) = (interface.acted(), interface.observed());
        let preset = match self {
            // A coupling of one number has none to keep: its parameters follow from the state alone, as those of an autoregressive layer of one do.
            Self::Flow(Preset::NsfCoupling) if d == 1 => Preset::Nsf,
            Self::Flow(Preset::RealNvp) if d == 1 => Preset::Maf,
            Self::Flow(preset) => preset,
            Self::Gaussian => {
                let network = NetworkSpec {
                    hidden: options.hidden.clone(),
                    residual: options.residual,
                    activation: options.activation,
                };
                let graph = GraphSpec { network, parents: vec![vec![]; d] };
                let layer = ConditionalSpec {
                    conditioner: graph.into(),
                    monotone: Affine { log_scale_max: LOG_DEVIATION_MAX }.into(),
                    gates: Default::default(),
                };
                let spec = FlowSpec::new(d, vec![layer.into()]).given(context);
                let spec = spec.through(options.embedding.clone()).in_precision(options.precision);
                spec.validate()?;
                return Ok(spec);
            }
        };
        preset.spec(d, context, options)
    }

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => Preset::Gaussian.name(),
            Self::Flow(preset) => preset.name(),
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PolicyKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse::<Preset>() {
            Ok(Preset::Gaussian) => Ok(Self::Gaussian),
            Ok(preset) if preset.is_of_tables() => Ok(Self::Flow(preset)),
            _ => {
                let names: Vec<&str> = Preset::of_tables().map(Preset::name).collect();
                let names = names.join(", ");
                Err(Error::config(format!(
                    "policy {} is unknown; choose one of {names}",
                    quoted(text)
                )))
            }
        }
    }
}

/// Actions that a policy has drawn.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// As the flow knows them, `[n, d]`.
    pub u: Tensor<2>,
    /// `tanh u`, `[n, d]`.
    pub action: Tensor<2>,
    /// `ln pi(tanh u | s)` in nats, `[n]`: of actions in (-1, 1), without the scale of the environment's.
    pub log_prob: Tensor<1>,
}

/// Draws an action for each state, through which gradients reach the policy.
///
/// # Errors
/// As [`Flow::to_data`].
pub fn draw(flow: &Flow, states: &Tensor<2>, z: Tensor<2>) -> Result<Drawn> {
    let log_base = flow.base().log_prob(z.clone());
    let mapped = flow.to_data(z, Some(states.clone()))?;
    let (action, log_slope) = squash(mapped.value.clone());
    let dtype = log_base.dtype();
    let log_prob = log_base - mapped.log_det.cast(dtype) - log_slope.cast(dtype);
    let log_prob = log_prob.cast(action.dtype());
    Ok(Drawn { u: mapped.value, action, log_prob })
}

/// `ln pi(tanh u | s)` in nats of actions in (-1, 1) that are kept as `u`.
///
/// # Errors
/// As [`Flow::log_prob`].
pub fn log_prob(flow: &Flow, states: &Tensor<2>, u: Tensor<2>) -> Result<Tensor<1>> {
    let log_u = flow.log_prob(u.clone(), Some(states.clone()))?;
    let (sum, own) = (log_u.dtype(), u.dtype());
    Ok((log_u - squash(u).1.cast(sum)).cast(own))
}

/// `n` draws of the policy's base, of a purpose and step.
///
/// # Errors
/// Those of the base.
pub(crate) fn base_draws(
    flow: &Flow,
    streams: Streams,
    (purpose, step): (Purpose, u64),
    n: usize,
) -> Result<Tensor<2>> {
    let d = flow.dims();
    let sampler = flow.base().sampler()?;
    let mut rng = streams.rng(purpose, step, 0);
    let mut values = vec![0.0; n * d];
    values.chunks_mut(d).for_each(|row| sampler(&mut rng, 1.0, row));
    let values = values.into_iter().map(|v| v as f32).collect();
    Ok(crate::interface::rows(values, d, flow))
}
