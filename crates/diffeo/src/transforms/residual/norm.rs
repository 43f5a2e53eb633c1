//! Norms of matrices, never taken to be less than they are.

use burn::tensor::Tensor;
use diffeo_kernels::ops::sum_dtype;
use serde::{Deserialize, Serialize};

/// In which norm a network contracts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LipschitzNorm {
    /// The Euclidean one: of a matrix, its largest singular value.
    #[default]
    Spectral,
    /// The largest element: of a matrix, the largest sum of the absolute weights of an output. Cheap, and exact; outputs are held each by themselves.
    Infinity,
}

/// A matrix that is held.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) held: Tensor<2>,
    /// The gradient of the norm by the matrix, as a constant.
    pub(super) steepest: Tensor<2>,
    /// What the norm of the matrix was, `[1, 1]`, or of each output, `[1, outputs]`.
    pub(super) norm: Tensor<2>,
}

/// Squarings of the Gram matrix: its power of 1025 tells a bound that is at most 0.3 % too large for 1000 equal singular values.
const SQUARINGS: i32 = 10;

impl LipschitzNorm {
    /// Widest layer whose spectral norm is affordable.
    pub const SPECTRAL_WIDTH_MAX: usize = 1024;

    /// `W`, `[inputs, outputs]`, if `x W` stretches nothing by more than `limit`; else scaled down to that.
    pub(super) fn held(self, weight: Tensor<2>, limit: f64) -> Tensor<2> {
        self.hold(weight, limit).held
    }

    /// The same with what it was found by.
    pub(super) fn hold(self, weight: Tensor<2>, limit: f64) -> Hold {
        // Weights of any size, without overflow: those above one are divided by the largest.
        let largest = whole(weight.clone().detach().abs().max().reshape([1, 1]).clamp_min(1.0));
        let unit = whole(weight.clone()) / largest.clone();
        // A norm is the product of its gradient and the matrix, so this has the right gradient, too.
        let steepest = match self {
            Self::Spectral => steepest(&unit),
            Self::Infinity => unit.clone().detach().sign(),
        };
        let norm = (steepest.clone() * unit.clone()).sum_dim(0);
        let norm = if self == Self::Spectral { norm.sum_dim(1) } else { norm };
        let limit = largest.full_like(limit);
        let allowed = (limit.clone() / largest.clone()).expand(norm.dims());
        let factor = limit.expand(norm.dims()) / norm.clone().max_pair(allowed);
        Hold { held: (unit * factor).cast(weight.dtype()), steepest, norm: norm * largest }
    }

    /// The length of a vector.
    pub(super) fn length(self, vector: &[f64]) -> f64 {
        let largest =
            vector.iter().fold(0.0, |top: f64, v| if v.is_nan() { *v } else { top.max(v.abs()) });
        let nan = vector.iter().any(|v| v.is_nan());
        match self {
            _ if nan => f64::NAN,
            Self::Spectral if largest > 0.0 && largest.is_finite() => {
                largest * vector.iter().map(|v| (v / largest).powi(2)).sum::<f64>().sqrt()
            }
            _ => largest,
        }
    }
}

/// In the precision of sums, where a norm is right to rounding.
fn whole(t: Tensor<2>) -> Tensor<2> {
    let dtype = sum_dtype(&t.device());
    t.cast(dtype)
}

/// The gradient of `B(W) = (tr G^q)^(1 / 2q)`, `G = W^T W`, without a gradient of its own. `B` is never below the largest singular value `s` of `W`, and never above
/// `r^(1 / 2q) s` for rank `r`; it is the Schatten norm of order `2 q`.
///
/// `dB / dW = W G^(q - 1) B^(1 - 2q)`. With `q = 2^k + 1` the power takes `k` squarings. `B` is homogeneous, so `<dB / dW, W> = B`.
fn steepest(weight: &Tensor<2>) -> Tensor<2> {
    let [inputs, outputs] = weight.dims();
    let weight = weight.clone().detach();
    // Only the direction of W counts: its largest element is made one.
    let weight = weight.clone() / or_one(weight.abs().max().reshape([1, 1]));
    let (across, down) = (weight.clone(), weight.clone().transpose());
    let gram = if inputs < outputs { across.matmul(down) } else { down.matmul(across) };
    // G^(2^k) is `power` times e^`log`.
    let (mut power, mut log) = (gram.clone(), gram.zeros_like().narrow(0, 0, 1).narrow(1, 0, 1));
    for _ in 0..SQUARINGS {
        power = power.clone().matmul(power);
        let size = or_one(power.clone().square().sum_dim(0).sum_dim(1).sqrt());
        power = power / size.clone();
        log = log.mul_scalar(2.0) + size.log();
    }
    let trace =
        (power.clone() * gram).sum_dim(0).sum_dim(1).clamp_min(f64::from(f32::MIN_POSITIVE));
    let order = 2f64.powi(SQUARINGS) + 1.0;
    let norm = (log + trace.clone().log()).mul_scalar(0.5 / order).exp();
    let turned = if inputs < outputs { power.matmul(weight) } else { weight.matmul(power) };
    turned * (norm / trace)
}

/// One instead of zero.
fn or_one(t: Tensor<2>) -> Tensor<2> {
    let zero = t.clone().equal_elem(0.0);
    t.mask_fill(zero, 1.0)
}
