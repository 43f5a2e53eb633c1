//! Between the numbers of an environment and those of a flow.

use diffeo::burn::tensor::{Tensor, TensorData};
use diffeo::ops::{softplus, sum_rows};
use diffeo::{ColumnKind, Flow, Model, Result, Schema, Unit, Units};

use crate::environment::Environment;
use crate::space::Space;

/// How an observation becomes a context of order one, and the numbers of a flow an action: `a = middle + scale tanh u`, which no `u` takes out of its bounds.
///
/// Everything that is learned from is kept as `u`, never as `a`: the way back, `atanh`, has no digits near the bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    observation: Space,
    action: Space,
}

impl Interface {
    /// That of an environment.
    pub fn of(environment: &dyn Environment) -> Self {
        let observation = environment.observation_space().clone();
        Self { observation, action: environment.action_space().clone() }
    }

    /// Numbers of an observation.
    pub fn observed(&self) -> usize {
        self.observation.width()
    }

    /// Numbers of an action.
    pub fn acted(&self) -> usize {
        self.action.width()
    }

    /// An observation as the context of a flow.
    pub fn context(&self, observation: &[f64]) -> Vec<f32> {
        let axes = self.observation.axes().iter().zip(observation);
        axes.map(|(axis, x)| ((x - axis.middle()) / axis.scale) as f32).collect()
    }

    /// The action of a row of a flow.
    pub fn action(&self, u: &[f32]) -> Vec<f64> {
        let axes = self.action.axes().iter().zip(u);
        axes.map(|(axis, u)| {
            (axis.middle() + axis.scale * f64::from(*u).tanh()).clamp(axis.low, axis.high)
        })
        .collect()
    }

    /// The logarithm of the volume of the actions, in nats: the entropy of the uniform policy, above which none comes.
    pub fn log_volume(&self) -> f64 {
        self.action.axes().iter().map(|axis| (axis.high - axis.low).ln()).sum()
    }

    /// The sum of the logarithms of the scales: what a log-density in the units of actions lacks against one of `tanh u`.
    pub fn log_scale(&self) -> f64 {
        self.action.axes().iter().map(|axis| axis.scale.ln()).sum()
    }

    /// A policy as a model of the columns of an action given those of an observation, whose densities are in the units of actions.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Shape`] for a flow of other widths; [`diffeo::ErrorKind::Config`] if action and observation share a name.
    pub fn model(&self, flow: Flow) -> Result<Model> {
        let columns = self.action.columns(true);
        // `logit((a - low) / (high - low)) = 2 u`.
        let unit = |column: &diffeo::Column| Unit {
            support: match column.kind {
                ColumnKind::Interval { low, high } => diffeo::Support::Logit { low, high },
                _ => diffeo::Support::Identity,
            },
            center: 0.0,
            scale: 2.0,
        };
        let units = Units {
            columns: columns.iter().map(unit).collect(),
            context: self.observation.units(),
        };
        Model::with_units(flow, self.schema(), units)
    }

    /// The columns of a policy: those of an action, given those of an observation.
    pub fn schema(&self) -> Schema {
        Schema::new(self.action.columns(true), self.observation.columns(false))
    }
}

/// `tanh u` of each number, and `ln |d tanh u / d u|` of each row: `2 (ln 2 - u - softplus(-2 u))`, which has its digits at any `u`.
pub fn squash(u: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let slope = u.clone().neg() - softplus(u.clone().mul_scalar(-2.0));
    let log_slope = sum_rows(slope.add_scalar(std::f64::consts::LN_2).mul_scalar(2.0));
    (u.tanh(), log_slope)
}

/// Rows of so many numbers as a tensor of the policy's.
pub(crate) fn rows(values: Vec<f32>, width: usize, flow: &Flow) -> Tensor<2> {
    let n = values.len() / width;
    let dtype = flow.spec().precision.dtype();
    Tensor::from_data(TensorData::new(values, [n, width]), (flow.device(), dtype))
}
