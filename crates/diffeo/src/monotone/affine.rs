//! Affine map: the scalar map of MADE, MAF, IAF and RealNVP.

use std::sync::Arc;

use diffeo_kernels as kernels;
use serde::{Deserialize, Serialize};

use super::fused::Fused;
use super::{DescribeMap, Monotone};
use crate::error::{Error, Result};
use crate::parameter::Init;
use crate::{catalog::Cases, place::Place};

/// `z = x e^s + t` with a log-scale `s = S tanh(raw / S)` that no parameter can make overflow.
///
/// * forward: data to base, `z = x e^s + t`; inverse: `x = (z - t) e^-s`.
/// * Domain and codomain: the real line. Log-slope `s`, within `(-S, S)`; the default `S = 7` spans scales from 1/1096 to 1096.
///
/// # Parameters
/// `params: [n, 2 d]`: for each element `t`, then `raw`. All zero is the identity.
///
/// # Reference
/// Papamakarios, Pavlakou, Murray. *Masked Autoregressive Flow for Density Estimation*. NeurIPS 2017, eq. 3-5, arXiv:1705.07057.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// `S`, the bound of the log-scale.
    pub log_scale_max: f64,
}

impl Default for Affine {
    fn default() -> Self {
        Self { log_scale_max: 7.0 }
    }
}

impl Cases for Affine {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self::default()]
    }
}

impl DescribeMap for Affine {
    fn validate(&self) -> Result<()> {
        // e^40 and e^-40 are still far from the ends of f32, also after a few layers.
        if self.log_scale_max > 0.0 && self.log_scale_max <= 40.0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "affine map: log_scale_max must be in (0, 40], found {}",
            self.log_scale_max
        )))
    }

    fn params_per_dim(&self) -> usize {
        2
    }

    fn build(&self, _init: &mut Init) -> Box<dyn Monotone> {
        let kernel = kernels::Affine { log_scale_max: self.log_scale_max };
        Box::new(Fused { kernel: Arc::new(kernel), log_slope_max: self.log_scale_max })
    }
}
