//! One scalar map per column, with parameters of its own.

use serde::{Deserialize, Serialize};

use super::conditional::{ConditionalSpec, Short};
use crate::conditioner::ConstantSpec;
use crate::monotone::MonotoneSpec;
use crate::{catalog::Cases, place::Place};

/// `z_i = g(x_i; theta_i)`: a [`super::Conditional`] layer whose parameters are trained directly. Starts as the identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementwiseSpec {
    /// The scalar map.
    pub monotone: MonotoneSpec,
}

impl Cases for ElementwiseSpec {
    fn cases(at: Place) -> Vec<Self> {
        let maps = if at.context == 0 { MonotoneSpec::cases(at) } else { vec![] };
        maps.into_iter().map(|monotone| Self { monotone }).collect()
    }
}

impl Short for ElementwiseSpec {
    fn long(&self) -> ConditionalSpec {
        ConditionalSpec::new(ConstantSpec {}, &self.monotone)
    }
}
