//! Activations whose slope is never above one, with that slope.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::transforms::planar::tanh;

/// The non-linearity of a network that must contract: its slope lies in `[-1, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContractiveActivation {
    /// `a sigmoid(b a) / 1.1` with a trained `b = e^(7 tanh(raw / 7))` for each layer (Chen et al. 2019, section 3.3): smooth, and its slope, at most 0.9999, is
    /// largest where it bends.
    #[default]
    LipSwish,
    /// `a` if positive, else `e^a - 1`. Its slope has a kink at 0, and so has the density.
    Elu,
    /// `tanh a`: smooth; its slope is one at 0 alone.
    Tanh,
}

/// Beyond, a sigmoid is 0 or 1 in every precision.
const REACH: f64 = 1e4;
/// Just above the largest slope of `a sigmoid(a)`, which is 1.0998 whatever the scale of `a`.
const SWISH_SLOPE: f64 = 1.1;

impl ContractiveActivation {
    /// Bound of the logarithm of LipSwish's `b`.
    pub const LOG_BETA_MAX: f64 = 7.0;

    /// Value and slope. `beta` is LipSwish's `b`, `[1, 1]`; the others have none.
    pub(super) fn with_slope(self, a: Tensor<2>, beta: Option<&Tensor<2>>) -> [Tensor<2>; 2] {
        match self {
            Self::LipSwish => {
                let t = match beta {
                    Some(beta) => a.clone() * beta.clone(),
                    None => a.clone(),
                };
                let half = t.clamp(-REACH, REACH).mul_scalar(0.5);
                let share = half.clone().tanh().add_scalar(1.0).mul_scalar(0.5);
                let rest = share.clone().neg().add_scalar(1.0);
                let bent = (half.mul_scalar(2.0) * rest).add_scalar(1.0);
                let slope = (share.clone() * bent).mul_scalar(1.0 / SWISH_SLOPE);
                [(a * share).mul_scalar(1.0 / SWISH_SLOPE), slope]
            }
            Self::Elu => {
                let above = a.clone().greater_elem(0.0);
                let slope = a.clone().mask_fill(above.clone(), 0.0).exp();
                [slope.clone().sub_scalar(1.0).mask_where(above, a), slope]
            }
            Self::Tanh => {
                let (value, slope) = tanh(a);
                [value, slope]
            }
        }
    }
}
