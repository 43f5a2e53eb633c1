//! A trainable shift and scale per column, set from the first data seen.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Describe, Place};
#[cfg(feature = "laws")]
use crate::catalog::Cases;
use crate::error::Result;
use crate::parameter::{Init, Parameter, Visitor};
use crate::transform::{Given, Mapped, Scales, Transform};

/// An [`ActNorm`] layer, described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActNormSpec {}

impl Describe for ActNormSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        Ok(())
    }

    fn count(&self, at: Place) -> Option<u64> {
        Some(2 * at.dims as u64)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        Ok(Box::new(ActNorm::new(at.dims, init)))
    }
}

#[cfg(feature = "laws")]
impl Cases for ActNormSpec {
    fn cases(at: Place) -> Vec<Self> {
        if at.context == 0 { vec![Self {}] } else { vec![] }
    }
}

/// `z = x e^s + t` with one `s` and one `t` per column, so that a first batch comes out with mean 0 and deviation 1.
///
/// * forward: `z = x e^s + t`; inverse: `x = (z - t) e^-s`. Log-determinant: the sum of `s`.
/// * `s = S tanh(raw / S)` with `S = 40`, so no weight makes a scale vanish or overflow, also in single precision.
///
/// Reference: Kingma, Dhariwal. *Glow*. NeurIPS 2018, section 3.1, arXiv:1807.03039.
#[derive(Clone, Debug)]
pub struct ActNorm {
    log_scale: Parameter,
    shift: Parameter,
}

impl ActNorm {
    /// The smallest deviation that is scaled up to one: a constant column must not give an infinite scale.
    pub const DEVIATION_MIN: f64 = 1e-6;

    /// Bound of the log-scales: wide enough for the deviations of raw columns, from 1e-17 to 1e17.
    pub const LOG_SCALE_MAX: f64 = 40.0;

    /// The identity on `dims` columns.
    pub fn new(dims: usize, init: &Init) -> Self {
        let zero = || Parameter::new(init.full([1, dims], 0.0));
        Self { log_scale: zero(), shift: zero() }
    }

    /// Sets the log-scales, as near as their bound allows.
    fn set_log_scale(&mut self, log_scale: Tensor<2>) {
        // S artanh(s / S), held so far inside that the logarithm is finite.
        let share = log_scale.div_scalar(Self::LOG_SCALE_MAX).clamp(-0.999, 0.999);
        let ratio = share.clone().add_scalar(1.0) / share.neg().add_scalar(1.0);
        self.log_scale.value = ratio.log().mul_scalar(0.5 * Self::LOG_SCALE_MAX);
    }

    /// Mean and logarithm of the deviation of each column, `[1, d]`.
    fn moments(x: &Tensor<2>) -> [Tensor<2>; 2] {
        let mean = x.clone().mean_dim(0);
        let variance = (x.clone() - mean.clone()).square().mean_dim(0);
        [mean, variance.sqrt().clamp_min(Self::DEVIATION_MIN).log()]
    }

    /// The log-scales, `[1, d]`.
    fn log_scale(&self) -> Tensor<2> {
        self.log_scale.bounded(Self::LOG_SCALE_MAX)
    }

    fn log_det(&self, x: &Tensor<2>) -> Tensor<1> {
        diffeo_kernels::ops::sum_rows(self.log_scale()).expand([x.dims()[0]])
    }
}

impl Transform for ActNorm {
    fn dims(&self) -> usize {
        self.shift.value.dims()[1]
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let log_det = self.log_det(&x);
        let value = x * self.log_scale().exp() + self.shift.value.clone();
        Ok(Mapped { value, log_det })
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        let log_det = self.log_det(&z).neg();
        let value = (z - self.shift.value.clone()) * self.log_scale().neg().exp();
        Ok(Mapped { value, log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("log_scale", &mut self.log_scale);
        visitor("shift", &mut self.shift);
    }

    fn start(&mut self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let [mean, log_deviation] = Self::moments(&x);
        self.set_log_scale(log_deviation.neg());
        self.shift.value = mean.neg() * self.log_scale().exp();
        Ok(self.forward(x, given)?.value)
    }

    fn start_inverse(&mut self, z: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let [mean, log_deviation] = Self::moments(&z);
        self.set_log_scale(log_deviation);
        self.shift.value = mean;
        Ok(self.inverse(z, given)?.value)
    }

    fn scales(&self, x: &Tensor<2>, _given: &Given<'_>) -> Result<Vec<Scales>> {
        let log_scales = self.log_scale().expand(x.dims());
        Ok(vec![Scales { log_scales, bound: Self::LOG_SCALE_MAX }])
    }
}
