//! Maps whose raw parameters are those of another library's networks, so that its weights can be used as they are.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::affine::Affine;
use super::fused::Fused;
use super::rational_quadratic::RationalQuadratic;
use super::{DescribeMap, Monotone, Scalarwise, expect_bound, expect_within};
use crate::error::{Error, Result};
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// [`Affine`] or [`RationalQuadratic`] by parameters that mean what they mean to another library.
///
/// Only how a network's output becomes a scale, a width or a slope differs between libraries. Here it is computed as theirs does it, and then the parameters of this
/// library's map are found that have the same effect: densities agree to rounding. The map is made of tensor operations around the kernel of the other one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translated {
    /// Whose parameters, and of what.
    pub parameters: Raw,
}

/// What raw parameters mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Raw {
    /// zuko's `MonotonicAffineTransform`: for each element `t`, `a`; `ln scale = a / (1 + |a / ln slope|)`.
    ZukoAffine {
        /// The least slope.
        slope: f64,
    },
    /// zuko's `MonotonicRQSTransform`: sizes are the softmax of `w / (1 + |2 w / ln slope|)`, inner slopes `exp(d / (1 + |d / ln slope|))`.
    ZukoSpline {
        /// Number of bins.
        bins: usize,
        /// Half-width of the box.
        bound: f64,
        /// The least slope.
        slope: f64,
    },
    /// nflows' `MaskedAffineAutoregressiveTransform`: for each element `t`, `a`; `scale = softplus(a) + 1e-3`.
    NflowsAffine {},
    /// nflows' `AffineCouplingTransform`: for each element `t`, `a`; `scale = sigmoid(a + 2) + 1e-3`.
    NflowsCoupling {},
    /// nflows' rational-quadratic transforms with linear tails: sizes as here, inner slopes `1e-3 + softplus(d)`.
    NflowsSpline {
        /// Number of bins.
        bins: usize,
        /// Half-width of the box, `tail_bound`.
        bound: f64,
    },
}

/// What nflows adds to scales.
const NFLOWS_MIN: f64 = 1e-3;
/// Bound of log-scales of a map that has none in its library.
const LOG_SCALE_MAX: f64 = 40.0;
/// Share of a bound that is reached at most, so that its inverse stays finite in single precision.
const NEARLY: f64 = 0.999;

impl Cases for Translated {
    fn cases(_at: Place) -> Vec<Self> {
        let all = [
            Raw::ZukoAffine { slope: 1e-3 },
            Raw::ZukoSpline { bins: 4, bound: 3.0, slope: 1e-3 },
            Raw::NflowsAffine {},
            Raw::NflowsCoupling {},
            Raw::NflowsSpline { bins: 4, bound: 3.0 },
        ];
        all.map(|parameters| Self { parameters }).to_vec()
    }
}

impl DescribeMap for Translated {
    fn validate(&self) -> Result<()> {
        let spline = |bins, bound| {
            expect_within("spline", "bins", bins, 2..=RationalQuadratic::BINS_MAX)?;
            expect_bound("spline", bound)
        };
        let least = |slope: f64| match slope {
            1e-12..=0.5 => Ok(()),
            _ => Err(Error::config(format!("slope must be in [1e-12, 0.5], found {slope}"))),
        };
        match self.parameters {
            Raw::ZukoAffine { slope } => least(slope),
            Raw::ZukoSpline { bins, bound, slope } => {
                spline(bins, bound).and_then(|()| least(slope))
            }
            Raw::NflowsSpline { bins, bound } => spline(bins, bound),
            Raw::NflowsAffine {} | Raw::NflowsCoupling {} => Ok(()),
        }
    }

    fn params_per_dim(&self) -> usize {
        match self.parameters {
            Raw::ZukoSpline { bins, .. } | Raw::NflowsSpline { bins, .. } => {
                (3 * bins).saturating_sub(1)
            }
            _ => 2,
        }
    }

    fn build(&self, init: &mut Init) -> Box<dyn Monotone> {
        let (parameters, map) = (self.parameters.clone(), self.map(init));
        Box::new(Translator { parameters, params_per_dim: self.params_per_dim(), map })
    }

    fn bound(&self) -> f64 {
        match self.parameters {
            Raw::ZukoSpline { bound, .. } | Raw::NflowsSpline { bound, .. } => bound,
            _ => f64::INFINITY,
        }
    }

    fn starts_as_identity(&self) -> bool {
        matches!(self.parameters, Raw::ZukoAffine { .. } | Raw::ZukoSpline { .. })
    }
}

impl Translated {
    /// The map of this library that has room for all that the other one's can be.
    fn map(&self, init: &mut Init) -> Box<dyn Monotone> {
        match self.parameters {
            Raw::ZukoAffine { slope } => Affine { log_scale_max: affine_bound(slope) }.build(init),
            Raw::NflowsAffine {} | Raw::NflowsCoupling {} => {
                Affine { log_scale_max: LOG_SCALE_MAX }.build(init)
            }
            Raw::ZukoSpline { bins, bound, slope } => {
                Box::new(Fused::spline(bins, bound, zuko_min_size(bins, slope), 0.5 * slope))
            }
            Raw::NflowsSpline { bins, bound } => {
                Box::new(Fused::spline(bins, bound, RationalQuadratic::MIN_SIZE, 0.5 * NFLOWS_MIN))
            }
        }
    }
}

/// Bound of the log-scales of an affine map that zuko keeps within the logarithm of a slope.
fn affine_bound(slope: f64) -> f64 {
    (1.25 * -slope.ln()).min(LOG_SCALE_MAX)
}

/// A size that is less than all that zuko's bins can have: the logits of sizes stay within half the logarithm of the slope.
fn zuko_min_size(bins: usize, slope: f64) -> f64 {
    0.5 * slope / (slope + (bins - 1) as f64)
}

/// A map between translated parameters.
#[derive(Clone, Debug)]
struct Translator {
    parameters: Raw,
    params_per_dim: usize,
    map: Box<dyn Monotone>,
}

impl Monotone for Translator {
    fn params_per_dim(&self) -> usize {
        self.params_per_dim
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        self.map.forward(x, self.translated(params))
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<2>) -> Result<Scalarwise> {
        self.map.inverse(z, self.translated(params))
    }

    fn log_slope_max(&self) -> f64 {
        self.map.log_slope_max()
    }
}

impl Translator {
    /// `params: [n, d k]` of the other library as those of this one.
    fn translated(&self, params: Tensor<2>) -> Tensor<2> {
        let [n, width] = params.dims();
        let k = self.params_per_dim;
        let each = params.reshape([n * (width / k), k]);
        let part = |from: usize, count: usize| each.clone().narrow(1, from, count);
        let translated = match self.parameters {
            Raw::ZukoAffine { slope } => {
                let log_scale = clipped(part(1, 1), -slope.ln());
                Tensor::cat(vec![part(0, 1), affine_raw(log_scale, affine_bound(slope))], 1)
            }
            Raw::NflowsAffine {} => {
                let log_scale = activation::softplus(part(1, 1), 1.0).add_scalar(NFLOWS_MIN).log();
                Tensor::cat(vec![part(0, 1), affine_raw(log_scale, LOG_SCALE_MAX)], 1)
            }
            Raw::NflowsCoupling {} => {
                let scale = activation::sigmoid(part(1, 1).add_scalar(2.0)).add_scalar(NFLOWS_MIN);
                Tensor::cat(vec![part(0, 1), affine_raw(scale.log(), LOG_SCALE_MAX)], 1)
            }
            Raw::ZukoSpline { bins, slope, .. } => {
                let limit = -slope.ln();
                let least = zuko_min_size(bins, slope);
                let sizes = |from| size_raw(clipped(part(from, bins), 0.5 * limit), least);
                let slopes = clipped(part(2 * bins, bins - 1), limit).exp();
                Tensor::cat(vec![sizes(0), sizes(bins), slope_raw(slopes, 0.5 * slope)], 1)
            }
            Raw::NflowsSpline { bins, .. } => {
                let slopes = activation::softplus(part(2 * bins, bins - 1), 1.0);
                let slopes = slope_raw(slopes.add_scalar(NFLOWS_MIN), 0.5 * NFLOWS_MIN);
                Tensor::cat(vec![part(0, 2 * bins), slopes], 1)
            }
        };
        translated.reshape([n, width])
    }
}

/// `a / (1 + |a| / limit)`.
fn clipped(a: Tensor<2>, limit: f64) -> Tensor<2> {
    let divisor = a.clone().abs().mul_scalar(1.0 / limit).add_scalar(1.0);
    a / divisor
}

/// The `raw` of `S tanh(raw / S) = s`.
fn affine_raw(log_scale: Tensor<2>, bound: f64) -> Tensor<2> {
    let u = log_scale.mul_scalar(1.0 / bound).clamp(-NEARLY, NEARLY);
    let ratio = u.clone().add_scalar(1.0) / u.neg().add_scalar(1.0);
    ratio.log().mul_scalar(0.5 * bound)
}

/// The `p` of `least + (1 - least K) softmax(p)` that are the softmax of these logits.
fn size_raw(logits: Tensor<2>, least: f64) -> Tensor<2> {
    // All sizes are twice the least one at least.
    let shares = activation::softmax(logits, 1);
    shares.sub_scalar(least).log()
}

/// The `p` of `least + (1 - least) softplus(p + ln(e - 1)) = slope`.
fn slope_raw(slopes: Tensor<2>, least: f64) -> Tensor<2> {
    const SMALL: f64 = 0.05;
    let q = slopes.sub_scalar(least).mul_scalar(1.0 / (1.0 - least));
    // ln(e^q - 1) is q + ln(1 - e^-q), and near 0 by its series, where that difference loses its digits.
    let is_small = q.clone().lower_elem(SMALL);
    let low = q.clone().clamp_max(SMALL);
    let near =
        low.clone().log() + low.clone().mul_scalar(0.5) + low.square().mul_scalar(1.0 / 24.0);
    let high = q.clamp_min(SMALL);
    let far = high.clone() + high.neg().exp().neg().add_scalar(1.0).log();
    far.mask_where(is_small, near).sub_scalar((std::f64::consts::E - 1.0).ln())
}
