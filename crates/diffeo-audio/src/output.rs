//! The density of one sample by the parameters that a network gives.

use diffeo::burn::tensor::Tensor;
use diffeo::burn::tensor::activation::log_softmax;
use diffeo::ops::softplus;
use diffeo::{ChaCha8Rng, Error, Result, normal, uniform_open};
use serde::{Deserialize, Serialize};

/// Least log-scale, in units of the sound's root mean square (Ping, Peng, Chen 2019 have -9).
pub(crate) const LOG_SCALE_MIN: f64 = -9.0;
/// `-ln` of a standard normal density at zero.
pub(crate) const LN_2PI_HALF: f64 = 0.918_938_533_204_672_8;
const COMPONENTS_MAX: usize = 1 << 10;

/// A family of densities on the line.
///
/// A parameter `p` stands for the log-scale `softplus(p - m) + m`, `m = -9`: about `p` itself, and never less than `m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// A normal density by `p, q, r`: its log-scale `l` by `q`, its mean `p + e^l r`, so that a prediction can be corrected as finely as it is certain.
    Gaussian {},
    /// `sum over k of w_k s((x - m_k) / e^l_k) / e^l_k`, `s(u) = 1 / (4 cosh^2(u / 2))`: log-weights, means, log-scales.
    Logistics {
        /// How many there are.
        components: usize,
    },
}

impl Output {
    /// Numbers that it takes.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Gaussian {} => 3,
            Self::Logistics { components } => 3 * components,
        }
    }

    /// Which of them are means.
    pub(crate) fn means(&self) -> std::ops::Range<usize> {
        match *self {
            Self::Gaussian {} => 0..1,
            Self::Logistics { components } => components..2 * components,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            Self::Logistics { components } if !(1..=COMPONENTS_MAX).contains(components) => {
                Err(Error::config(format!(
                    "expected 1 to {COMPONENTS_MAX} logistic components, found {components}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Log-density of numbers, `[n, 1]`, each by its parameters, `[n, k]`.
    pub fn log_prob(&self, params: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Gaussian {} => {
                let [mean, log_scale] = gaussian(params);
                let away = (x - mean) * log_scale.clone().neg().exp();
                (away.square().mul_scalar(0.5) + log_scale).add_scalar(LN_2PI_HALF).neg()
            }
            Self::Logistics { components } => {
                let part = |i: usize| params.clone().narrow(1, i * components, *components);
                let log_scale = log_scale(part(2));
                let away = (x - part(1)) * log_scale.clone().neg().exp();
                // ln s(u) = -|u| - 2 softplus(-|u|).
                let size = away.clone().mask_where(away.clone().lower_elem(0.0), away.neg());
                let log_prob =
                    size.clone().neg() - softplus(size.neg()).mul_scalar(2.0) - log_scale;
                let all = log_prob + log_softmax(part(0), 1);
                let top = all.clone().detach().max_dim(1);
                (all - top.clone()).exp().sum_dim(1).log() + top
            }
        }
    }

    /// A draw; of a temperature other than 1, with its scale times that.
    pub fn draw(&self, params: &[f32], temperature: f64, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Gaussian {} => {
                let [mean, raw, correction] = [params[0], params[1], params[2]].map(f64::from);
                mean + host_log_scale(raw).exp() * (correction + temperature * normal(rng))
            }
            Self::Logistics { components } => {
                let top = params[..*components].iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weight = |i: usize| f64::from(params[i] - top).exp();
                let mut left = uniform_open(rng) * (0..*components).map(weight).sum::<f64>();
                let chosen = (0..*components).position(|i| {
                    left -= weight(i);
                    left < 0.0
                });
                let i = chosen.unwrap_or(components - 1);
                let [mean, raw] =
                    [params[components + i], params[2 * components + i]].map(f64::from);
                let u = uniform_open(rng);
                mean + temperature * host_log_scale(raw).exp() * (u / (1.0 - u)).ln()
            }
        }
    }
}

/// Log-scales that parameters stand for.
pub(crate) fn log_scale(raw: Tensor<2>) -> Tensor<2> {
    softplus(raw.sub_scalar(LOG_SCALE_MIN)).add_scalar(LOG_SCALE_MIN)
}

fn host_log_scale(raw: f64) -> f64 {
    let up = raw - LOG_SCALE_MIN;
    up.max(0.0) + (-up.abs()).exp().ln_1p() + LOG_SCALE_MIN
}

/// Mean and log-scale of normal densities.
pub(crate) fn gaussian(params: Tensor<2>) -> [Tensor<2>; 2] {
    let log_scale = log_scale(params.clone().narrow(1, 1, 1));
    let correction = params.clone().narrow(1, 2, 1) * log_scale.clone().exp();
    [params.narrow(1, 0, 1) + correction, log_scale]
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffeo::burn::tensor::{DType, Device, TensorData};
    use diffeo::{Purpose, Streams, host_values};

    fn tensor(values: Vec<f64>, width: usize) -> Tensor<2> {
        let shape = [values.len() / width, width];
        Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
    }

    const FAMILIES: [(Output, &[f64]); 2] = [
        (Output::Gaussian {}, &[0.3, -0.7, 0.4]),
        (Output::Logistics { components: 2 }, &[0.5, -0.2, -1.0, 1.5, -1.2, -0.4]),
    ];

    #[test]
    fn densities_integrate_to_one_and_draws_follow_them() {
        for (family, params) in FAMILIES {
            let x: Vec<f64> = (0..4000).map(|i| -20.0 + 0.01 * f64::from(i)).collect();
            let rows = tensor(params.repeat(x.len()), params.len());
            let found = host_values(family.log_prob(rows, tensor(x.clone(), 1))).unwrap();
            let mass: f64 = found.iter().map(|v| 0.01 * v.exp()).sum();
            let mean: f64 = found.iter().zip(&x).map(|(v, x)| 0.01 * x * v.exp()).sum();
            let square: f64 = found.iter().zip(&x).map(|(v, x)| 0.01 * x * x * v.exp()).sum();
            assert!((mass - 1.0).abs() < 1e-6, "{family:?}: {mass}");
            let narrow: Vec<f32> = params.iter().map(|v| *v as f32).collect();
            let mut rng = Streams::new(1).rng(Purpose::Sample, 0, 0);
            let draws: Vec<f64> =
                (0..40_000).map(|_| family.draw(&narrow, 1.0, &mut rng)).collect();
            let n = draws.len() as f64;
            let sd = (square - mean * mean).sqrt();
            let drawn = draws.iter().sum::<f64>() / n;
            assert!((drawn - mean).abs() < 4.0 * sd / n.sqrt(), "{family:?}: {drawn} {mean}");
            let drawn = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            assert!((drawn / (sd * sd) - 1.0).abs() < 0.05, "{family:?}: {drawn} {sd}");
        }
    }

    #[test]
    fn a_scale_has_a_floor_and_far_numbers_have_a_density() {
        for (family, params) in FAMILIES {
            let sharp: Vec<f64> = params.iter().map(|_| -1e3).collect();
            let x = tensor(vec![0.0, 50.0], 1);
            let found = family.log_prob(tensor(sharp.repeat(2), params.len()), x);
            let found = host_values(found).unwrap();
            assert!(found.iter().all(|v| v.is_finite()), "{family:?}: {found:?}");
        }
    }
}
