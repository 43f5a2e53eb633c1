//! A conditioner that goes further where the context leads.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    Conditioner, ConditionerSpec, DescribeConditioner, HalfSpec, MaskedSpec, Sequential, Structure,
};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor};
use crate::place::Place;
use crate::transform::Given;

/// Parameters `theta(x, c) + w (theta(x, c) - theta(x, 0))` for those of another conditioner, where a context of zeros is none: by `w > 0` the map goes beyond what the context asks for, by `w = 0` it is the one of the context, by
/// `w = -1` the one without.
///
/// Parameters of a scalar map may be any numbers, so that this is a bijection, with its density, for any `w`. The weights are those of the other conditioner, which must have learned what rows are like without
/// a context ([`crate::train::FitOptions::context_dropout`]).
///
/// * forward and inverse: those of the other conditioner twice; without the kernels that join a network and its map.
///
/// Reference: Ho, Salimans. *Classifier-free diffusion guidance*. 2022, arXiv:2207.12598, eq. 6 (there of scores); of the shifts and scales of a flow, Zhai et al. *Normalizing flows are capable
/// generative models*. ICML 2025, section 3.4, arXiv:2412.06329.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidedSpec {
    /// The other conditioner.
    pub of: Box<ConditionerSpec>,
    /// How much further, `w`.
    pub weight: f64,
}

impl GuidedSpec {
    /// The most that a map goes further.
    pub const WEIGHT_MAX: f64 = 100.0;

    /// # Errors
    /// [`crate::ErrorKind::Config`] if the weight is out of range.
    pub(crate) fn expect_weight(weight: f64) -> Result<()> {
        if (-1.0..=Self::WEIGHT_MAX).contains(&weight) {
            return Ok(());
        }
        Err(Error::config(format!(
            "guidance: expected a number from -1 to {}, found {weight}",
            Self::WEIGHT_MAX
        )))
    }
}

impl DescribeConditioner for GuidedSpec {
    fn validate(&self, at: Place) -> Result<()> {
        Self::expect_weight(self.weight)?;
        if at.context == 0 {
            return Err(Error::config("guidance: there is no context that could lead anywhere"));
        }
        if matches!(*self.of, ConditionerSpec::Guided(_)) {
            return Err(Error::config("guidance: it is guided already; give one weight"));
        }
        self.of.validate(at)
    }

    fn count(&self, at: Place, per_dim: u64) -> Option<u64> {
        self.of.count(at, per_dim)
    }

    fn work(&self, at: Place, per_dim: u64) -> Option<u64> {
        self.of.work(at, per_dim)?.checked_mul(2)
    }

    fn build(&self, at: Place, per_dim: usize, init: &mut Init) -> Result<Box<dyn Conditioner>> {
        self.validate(at)?;
        Ok(Box::new(Guided { of: self.of.build(at, per_dim, init)?, weight: self.weight }))
    }
}

impl Cases for GuidedSpec {
    /// Of an autoregressive network, and of one of a coupling.
    fn cases(at: Place) -> Vec<Self> {
        if at.context == 0 {
            return vec![];
        }
        let masked = MaskedSpec::cases(at).into_iter().take(1).map(ConditionerSpec::from);
        let half = HalfSpec::cases(at).into_iter().take(1).map(ConditionerSpec::from);
        masked.chain(half).map(|of| Self { of: Box::new(of), weight: 0.5 }).collect()
    }
}

/// The conditioner of a [`GuidedSpec`].
#[derive(Clone, Debug)]
struct Guided {
    of: Box<dyn Conditioner>,
    weight: f64,
}

/// What is told with the context, and what without.
fn further(told: Tensor<2>, untold: Tensor<2>, weight: f64) -> Tensor<2> {
    told.clone() + (told - untold).mul_scalar(weight)
}

impl Conditioner for Guided {
    fn structure(&self) -> &Structure {
        self.of.structure()
    }

    fn parameters(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let hidden = given.context.map(Tensor::zeros_like);
        let without = Given { context: hidden.as_ref(), draws: given.draws };
        let told = self.of.parameters(x.clone(), given)?;
        Ok(further(told, self.of.parameters(x, &without)?, self.weight))
    }

    fn sequence(&self, rows: &Tensor<2>, given: &Given<'_>) -> Option<Box<dyn Sequential>> {
        let hidden = given.context.map(Tensor::zeros_like);
        let without = Given { context: hidden.as_ref(), draws: given.draws };
        let (told, untold) = (self.of.sequence(rows, given)?, self.of.sequence(rows, &without)?);
        Some(Box::new(Readers { told, untold, weight: self.weight }))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.of.visit(visitor);
    }
}

/// Two that read the same columns, with the context and without.
struct Readers {
    told: Box<dyn Sequential>,
    untold: Box<dyn Sequential>,
    weight: f64,
}

impl Sequential for Readers {
    fn next(&mut self, solved: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        Some(further(self.told.next(solved)?, self.untold.next(solved)?, self.weight))
    }
}
