//! A bijection as the solution of a differential equation.

mod solution;
mod step;

use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use diffeo_kernels::ops::{Course, Direction, Divergence, continuous, sum_rows};
use diffeo_kernels::{Field, Penalty, Smooth, Solver};
use serde::{Deserialize, Serialize};

use super::{Describe, Place, no_log_det};
use crate::catalog::Cases;
use crate::error::{Error, ErrorKind, Result};
use crate::host::draws::Draws;
use crate::host::random::uniform;
use crate::network::NetworkSpec;
use crate::parameter::{Init, Parameter, Visitor, visit_part};
use crate::step::{Steps, Weights};
use crate::transform::{Given, Mapped, Transform};

/// A [`Continuous`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContinuousSpec {
    /// Widths of the hidden layers of the field's network.
    pub hidden: Vec<usize>,
    /// The non-linearity of the field's network.
    #[serde(default)]
    pub activation: FieldActivation,
    /// How the equation is solved.
    #[serde(default)]
    pub solver: SolverSpec,
    /// Up to so many columns the divergence is exact in training, too; for more it is estimated along one random direction.
    #[serde(default = "ContinuousSpec::exact_columns")]
    pub exact_columns: usize,
    /// What training by likelihood pays for ways that are not straight and even.
    #[serde(default, skip_serializing_if = "PenaltySpec::is_none")]
    pub penalty: PenaltySpec,
}

/// What is added to the loss in training: `kinetic` times the integral of `|v|^2` along the solution, and `jacobian` times that of the squared Frobenius norm of the field's Jacobian, exact or estimated
/// as the divergence is. Straight ways take fewer steps.
///
/// Reference: Finlay, Jacobsen, Nurbekyan, Oberman. *How to train your neural ODE: the world of Jacobian and kinetic regularization*. ICML 2020, arXiv:2002.02798.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PenaltySpec {
    /// Of the kinetic energy.
    pub kinetic: f64,
    /// Of the squared Jacobian.
    pub jacobian: f64,
}

impl PenaltySpec {
    /// The largest coefficient.
    pub const MAX: f64 = 1e3;

    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn validate(&self) -> Result<()> {
        let is_good = |c: &f64| (0.0..=Self::MAX).contains(c);
        match [self.kinetic, self.jacobian].into_iter().find(|c| !is_good(c)) {
            None => Ok(()),
            Some(found) => Err(Error::config(format!(
                "continuous: coefficients of the penalty must be in 0..={}, found {found}",
                Self::MAX
            ))),
        }
    }

    /// What counts in training, where an estimate is enough.
    fn in_training(self, is_estimate: bool) -> Penalty {
        match is_estimate {
            true => Penalty { kinetic: self.kinetic, jacobian: self.jacobian },
            false => Penalty::default(),
        }
    }
}

/// The non-linearity of a field's network: a smooth one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldActivation {
    /// `tanh x`.
    #[default]
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
}

/// How an equation is solved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolverSpec {
    /// So many steps of the classical Runge-Kutta method of order 4.
    Fixed(usize),
    /// Steps of the size that keeps the estimated error within a tolerance.
    Adaptive(ToleranceSpec),
}

/// The errors that are allowed in a step: relative to each coordinate and to the log-determinant, and as much beside that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToleranceSpec {
    /// In training.
    pub training: f64,
    /// Else; `None` for what the precision of the weights can hold, 1e-6 or 1e-13.
    pub exact: Option<f64>,
    /// Most steps of a row.
    pub steps_max: usize,
}

impl Default for ToleranceSpec {
    fn default() -> Self {
        Self { training: 1e-5, exact: None, steps_max: 50_000 }
    }
}

impl Default for SolverSpec {
    fn default() -> Self {
        Self::Adaptive(ToleranceSpec::default())
    }
}

impl SolverSpec {
    /// Most steps of a row.
    pub const STEPS_MAX: usize = 1_000_000;

    fn validate(&self) -> Result<()> {
        let (steps, most) = match self {
            Self::Fixed(steps) => (*steps, Self::STEPS_MAX),
            Self::Adaptive(ToleranceSpec { training, exact, steps_max }) => {
                let in_range = |tolerance: &f64| (1e-14..=0.1).contains(tolerance);
                let all = std::iter::once(training).chain(exact);
                if let Some(tolerance) = all.into_iter().find(|tolerance| !in_range(tolerance)) {
                    return Err(Error::config(format!(
                        "continuous: tolerances must be in 1e-14..=0.1, found {tolerance}"
                    )));
                }
                (*steps_max, Self::STEPS_MAX)
            }
        };
        match (1..=most).contains(&steps) {
            true => Ok(()),
            false => Err(Error::config(format!(
                "continuous: the number of steps must be in 1..={most}, found {steps}"
            ))),
        }
    }

    /// The solver in a precision; `is_estimate` where an estimate is enough, in training.
    fn solver(&self, is_estimate: bool, is_double: bool) -> Solver {
        match *self {
            Self::Fixed(steps) => Solver::Fixed(steps),
            Self::Adaptive(ToleranceSpec { training, exact, steps_max }) => {
                let finest = if is_double { 1e-13 } else { 1e-6 };
                let tolerance = if is_estimate { training } else { exact.unwrap_or(finest) };
                Solver::Adaptive { relative: tolerance, absolute: tolerance, steps_max }
            }
        }
    }
}

impl ContinuousSpec {
    /// The usual field and solver with hidden layers of these widths.
    pub fn new(hidden: Vec<usize>) -> Self {
        let (activation, solver) = (FieldActivation::default(), SolverSpec::default());
        let (exact_columns, penalty) = (Self::exact_columns(), PenaltySpec::default());
        Self { hidden, activation, solver, exact_columns, penalty }
    }

    fn exact_columns() -> usize {
        16
    }

    fn network(&self) -> NetworkSpec {
        NetworkSpec { hidden: self.hidden.clone(), residual: false, activation: Default::default() }
    }
}

impl Describe for ContinuousSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        self.network().validate()?;
        self.penalty.validate()?;
        self.solver.validate()
    }

    fn count(&self, at: Place) -> Option<u64> {
        let d = at.dims as u64;
        let rates = self.hidden.iter().try_fold(d, |sum, width| sum.checked_add(*width as u64))?;
        self.network().count(d, at.context as u64, d)?.checked_add(rates)
    }

    fn work(&self, at: Place) -> Option<u64> {
        self.count(at)?.checked_mul(EVALUATIONS)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        Ok(Box::new(Continuous::new(at, self, init)))
    }
}

impl Cases for ContinuousSpec {
    fn cases(at: Place) -> Vec<Self> {
        let of = |hidden, activation| Self { activation, ..Self::new(hidden) };
        match at.context {
            0 => vec![of(vec![8], FieldActivation::Tanh), of(vec![8], FieldActivation::Softplus)],
            _ => vec![of(vec![6, 5], FieldActivation::Tanh)],
        }
    }
}

/// `dx/dt = v(t, x, c)`, from `t = 0`, data, to `t = 1`, base; `log|det|` is the integral of the divergence of `v`.
///
/// * forward and inverse: the same equation, solved one way or the other, each row with time and steps of its own: some 6 evaluations of the field and its divergence a step, some 10 steps in
///   training. `v = L tanh(o / L)` with `L = 10`, where `o` is a network in whose layers `t w` is added, and in the first the context's part: no weights can move a row
///   further than `L`.
/// * A sample whose density is not asked for takes no divergence; one whose density is takes the equation twice, back for the row and forward for its divergence.
/// * The divergence costs a pass of the network for each column; with more columns than the `exact_columns` of [`ContinuousSpec`] it is `e . J e` in training, with one vector
///   of random signs `e` for a row (Hutchinson), and exact in scoring.
/// * The gradient is that of the steps that were taken, and as costly as some three times the way there.
/// * With a [`PenaltySpec`], the log-determinant that training sees is less by the penalty's integral; scoring and sampling know nothing of it.
/// * A field that is too steep for its tolerance is an error ([`crate::ErrorKind::NotConverged`]).
///
/// Starts as the identity. Runs on the CPU.
///
/// Reference: Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud. *FFJORD*. ICLR 2019, arXiv:1810.01367; Chen, Rubanova, Bettencourt, Duvenaud. *Neural
/// ordinary differential equations*. NeurIPS 2018, theorem 1, arXiv:1806.07366.
#[derive(Clone, Debug)]
pub struct Continuous {
    /// Weight, bias and rate of each layer.
    layers: Vec<[Parameter; 3]>,
    /// `[c, hidden]`.
    context: Option<Parameter>,
    field: Arc<Field>,
    solver: SolverSpec,
    exact_columns: usize,
    penalty: PenaltySpec,
}

/// How often the field is evaluated for a row that is scored or drawn, at least.
const EVALUATIONS: u64 = 50;

/// The names of a layer's parameters.
const NAMES: [&str; 3] = ["weight", "bias", "rate"];

impl Continuous {
    /// Bound of the speed of each coordinate.
    pub const SPEED_MAX: f64 = 10.0;

    /// The identity.
    pub fn new(at: Place, spec: &ContinuousSpec, init: &mut Init) -> Self {
        let widths = [&[at.dims], &spec.hidden[..], &[at.dims]].concat();
        let last = spec.hidden.len();
        let matrix = |init: &mut Init, [rows, columns]: [usize; 2], is_zero: bool| {
            let bound = 1.0 / (rows.max(1) as f64).sqrt();
            let value = match is_zero {
                true => init.full([rows, columns], 0.0),
                false => init.uniform([rows, columns], bound),
            };
            Parameter { value, mask: None, decay: true }
        };
        let mut layers = Vec::with_capacity(widths.len());
        for (i, width) in widths.windows(2).enumerate() {
            let weight = matrix(init, [width[0], width[1]], i == last);
            let [bias, rate] = [(); 2].map(|()| match i == last {
                true => Parameter::new(init.full([1, width[1]], 0.0)),
                false => Parameter::new(init.uniform([1, width[1]], 1.0)),
            });
            layers.push([weight, bias, rate]);
        }
        let context = (at.context > 0).then(|| matrix(init, [at.context, spec.hidden[0]], false));
        let activation = match spec.activation {
            FieldActivation::Tanh => Smooth::Tanh,
            FieldActivation::Softplus => Smooth::Softplus,
        };
        let place = [at.dims, at.context];
        let field = Arc::new(Field::new(place, &spec.hidden, activation, Self::SPEED_MAX));
        let ContinuousSpec { solver, exact_columns, penalty, .. } = *spec;
        Self { layers, context, field, solver, exact_columns, penalty }
    }

    /// All weights in the order of the field.
    fn flat(&self) -> Tensor<2> {
        let all = self.layers.as_flattened().iter().chain(&self.context);
        Tensor::cat(all.map(|p| p.value.clone().reshape([1, -1])).collect(), 1)
    }

    /// The directions of a training step, or all.
    fn divergence(&self, n: usize, given: &Given<'_>) -> Divergence {
        let d = self.field.dims();
        match given.draws.filter(|_| d > self.exact_columns) {
            None => Divergence::Exact,
            Some(draws) => {
                let probes = (0..n).flat_map(|row| signs(&draws, row, d));
                Divergence::Along(Arc::new(probes.collect()))
            }
        }
    }

    fn map(
        &self,
        (direction, divergence): (Direction, Divergence),
        x: Tensor<2>,
        given: &Given<'_>,
    ) -> Result<Mapped> {
        if x.dims()[0] == 0 {
            return Ok(Mapped { log_det: no_log_det(&x), value: x });
        }
        let is_double = x.dtype() == DType::F64;
        let solver = self.solver.solver(given.draws.is_some(), is_double);
        let solver = match divergence {
            Divergence::None => alone(solver, is_double),
            _ => solver,
        };
        let penalty = self.penalty.in_training(given.draws.is_some());
        let field = Arc::clone(&self.field);
        let course = Course { field, direction, solver, divergence, penalty };
        let context = given.context.filter(|_| self.context.is_some());
        match continuous(&course, &x, &self.flat(), context) {
            Some(Ok([value, log_det])) => Ok(Mapped { value, log_det: sum_rows(log_det) }),
            Some(Err(stalled)) => Err(not_solved(&stalled)),
            None => Err(Error::new(
                ErrorKind::Device,
                "a continuous layer runs on the CPU only; choose another model for this device",
            )),
        }
    }
}

/// The solver of rows alone: no divergence, which is steeper than they are, keeps their steps short, so their tolerance has to, as far as the precision goes.
fn alone(solver: Solver, is_double: bool) -> Solver {
    const SHARE: f64 = 0.1;
    let epsilon = if is_double { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let finer = |tolerance: f64| tolerance.min((SHARE * tolerance).max(4.0 * epsilon));
    match solver {
        Solver::Adaptive { relative, absolute, steps_max } => {
            let [relative, absolute] = [relative, absolute].map(finer);
            Solver::Adaptive { relative, absolute, steps_max }
        }
        fixed @ Solver::Fixed(_) => fixed,
    }
}

/// The random direction of a row.
fn signs(draws: &Draws, row: usize, d: usize) -> impl Iterator<Item = f64> + use<> {
    let mut rng = draws.rng(row);
    (0..d).map(move |_| if uniform(&mut rng) < 0.5 { -1.0 } else { 1.0 })
}

fn not_solved(stalled: &diffeo_kernels::Stalled) -> Error {
    Error::new(ErrorKind::NotConverged, format!("continuous: {stalled}"))
}

impl Transform for Continuous {
    fn dims(&self) -> usize {
        self.field.dims()
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let divergence = self.divergence(x.dims()[0], given);
        self.map((Direction::Forward, divergence), x, given)
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        if given.draws.is_some() {
            let divergence = self.divergence(z.dims()[0], given);
            return self.map((Direction::Inverse, divergence), z, given);
        }
        // The rows first, which are then the same whether their densities are asked for or not.
        let value = self.inverse_value(z, given)?;
        let log_det = self.forward(value.clone(), given)?.log_det.neg();
        Ok(Mapped { value, log_det })
    }

    fn inverse_value(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        Ok(self.map((Direction::Inverse, Divergence::None), z, given)?.value)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            visit_part(&format!("layer.{i}"), visitor, |visitor| {
                NAMES.iter().zip(layer).for_each(|(name, parameter)| visitor(name, parameter));
            });
        }
        if let Some(context) = &mut self.context {
            visitor("context", context);
        }
    }

    fn evaluations(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<f64> {
        self.count_evaluations(x, given)
    }

    fn path(&self, x: &Tensor<2>, given: &Given<'_>, stops: usize) -> Result<Vec<Tensor<2>>> {
        self.places(x, given, stops)
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        Some(vec![Box::new(step::ContinuousStep::new(self, weights)?)])
    }
}

#[cfg(test)]
mod tests;
