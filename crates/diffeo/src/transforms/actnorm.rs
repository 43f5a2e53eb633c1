//! A trainable shift and scale per column, set from the first data seen.

use std::ops::Range;

use burn::tensor::Tensor;
use diffeo_kernels::{Real, TILE_ROWS};
use serde::{Deserialize, Serialize};

use super::{Describe, Place};
use crate::catalog::Cases;
use crate::error::Result;
use crate::parameter::{Init, Parameter, Visitor};
use crate::step::{Arena, Kept, Pass, Scratch, Step, Steps, Weights};
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

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let (log_scale, shift) = (weights.range("log_scale")?, weights.range("shift")?);
        Some(vec![Box::new(ActNormStep { log_scale, shift })])
    }

    fn scales(&self, x: &Tensor<2>, _given: &Given<'_>) -> Result<Vec<Scales>> {
        let log_scales = self.log_scale().expand(x.dims());
        Ok(vec![Scales { log_scales, bound: Self::LOG_SCALE_MAX }])
    }
}

/// The same without tensors.
#[derive(Debug)]
struct ActNormStep {
    log_scale: Range<usize>,
    shift: Range<usize>,
}

impl<T: Real> Step<T> for ActNormStep {
    fn load(&self, weights: &[T], loaded: &mut Arena<T>) {
        let ([scales, slopes, sum], _) = loaded.arrays(0);
        let raw = &weights[self.log_scale.clone()];
        let limit = T::from_f64(ActNorm::LOG_SCALE_MAX);
        let (scales, slopes) = (scales.sized(raw.len()), slopes.sized(raw.len()));
        let mut log_det = 0.0;
        for ((raw, scale), slope) in raw.iter().zip(scales).zip(slopes) {
            let t = (*raw / limit).tanh();
            (*scale, *slope) = ((limit * t).exp(), T::ONE - t * t);
            log_det += (limit * t).to_f64();
        }
        sum.sized(1)[0] = T::from_f64(log_det);
    }

    fn forward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        log_det: &mut [f64],
        kept: Kept<'_, T>,
    ) -> Result<()> {
        let shift = &pass.weights[self.shift.clone()];
        let columns = x.chunks_exact(TILE_ROWS).zip(z.chunks_exact_mut(TILE_ROWS));
        let weights = kept.loaded.array(0).iter().zip(shift).cycle();
        for ((x, z), (scale, shift)) in columns.zip(weights) {
            x.iter().zip(z).for_each(|(x, z)| *z = x.fma(*scale, *shift));
        }
        let sum = kept.loaded.array(2)[0].to_f64();
        log_det.iter_mut().for_each(|log_det| *log_det += sum);
        Ok(())
    }

    fn backward(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        grad: &mut [T],
        _wanted: bool,
        (kept, _): (Kept<'_, T>, &mut Scratch<T>),
        gradient: &mut [T],
    ) {
        let (scales, slopes) = (kept.loaded.array(0), kept.loaded.array(1));
        let d = self.shift.len();
        let by_log_det: f64 = pass.log_det_gradient.iter().map(|g| g.to_f64()).sum();
        let mut sums = vec![[0.0, by_log_det]; d];
        let columns = x.chunks_exact(TILE_ROWS).zip(grad.chunks_exact_mut(TILE_ROWS));
        for (i, (x, grad)) in columns.enumerate() {
            let (scale, [by_shift, by_scale]) = (scales[i % d], &mut sums[i % d]);
            for (x, grad) in x.iter().zip(grad) {
                *by_shift += grad.to_f64();
                *grad = *grad * scale;
                *by_scale += grad.to_f64() * x.to_f64();
            }
        }
        for (i, [by_shift, by_scale]) in sums.into_iter().enumerate() {
            gradient[self.shift.start + i] = T::from_f64(by_shift);
            gradient[self.log_scale.start + i] = T::from_f64(by_scale) * slopes[i];
        }
    }
}
