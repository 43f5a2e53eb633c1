//! What the steps of a fit go down.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bases::BaseSpec;
use crate::error::{Error, Result, quoted};
use crate::presets::Preset;
use crate::spec::FlowSpec;
use crate::transforms::LayerSpec;

/// What the steps of a fit go down. Validation, and with it early stopping, is by the exact likelihood in any case.
///
/// Flow matching trains the field of a continuous layer ([`crate::transforms::ContinuousSpec`]) without solving its equation: for a row `x` with context `c`, a draw `z` of the
/// base and a time `t` uniform in `[0, 1)`, `|v(t, (1 - t) x + t z, c) - (z - x)|^2`. The field at the minimum is the mean velocity of all straight ways through a place, and takes
/// the data to the base. A step is one pass of the network and back, where the likelihood takes a solution. Outcomes (marks) are trained by their likelihood beside it.
///
/// References: Lipman, Chen, Ben-Hamu, Nickel, Le. *Flow matching for generative modeling*. ICLR 2023, arXiv:2210.02747; Liu, Gong, Liu. *Flow straight and fast*. ICLR 2023,
/// arXiv:2209.03003; Tong et al. *Improving and generalizing flow-based generative models with minibatch optimal transport*. TMLR 2024, arXiv:2302.00482.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// `-log p(x | c)`.
    #[default]
    Likelihood,
    /// Flow matching; each row has a draw of its own.
    FlowMatching,
    /// Flow matching; draws are dealt to the rows of a shard, at most 256 at once, so that the sum of `|z - x|^2` is least: straighter ways and less noise.
    ///
    /// Only rows of equal context, marks and weight trade draws, so that given any context the draws are still those of the base: with a context of real numbers, or weights that
    /// all differ, this is [`Loss::FlowMatching`].
    OtFlowMatching,
}

impl Loss {
    /// All losses by name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("likelihood", Self::Likelihood),
        ("flow-matching", Self::FlowMatching),
        ("ot-flow-matching", Self::OtFlowMatching),
    ];

    /// What a preset is trained by.
    pub fn of(preset: Preset) -> Self {
        match preset {
            Preset::OtFlowMatching => Self::OtFlowMatching,
            _ => Self::Likelihood,
        }
    }

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, loss)| *loss == self).map_or("", |(name, _)| name)
    }

    /// Refuses a flow that this loss cannot train.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] saying what the flow should be and is not.
    pub(super) fn expect(self, spec: &FlowSpec) -> Result<()> {
        if self == Self::Likelihood {
            return Ok(());
        }
        let found = match spec.transforms.as_slice() {
            [LayerSpec::Continuous(_)] if spec.base == BaseSpec::default() => return Ok(()),
            [LayerSpec::Continuous(_)] => "another base".to_owned(),
            [_] => "a layer of another type".to_owned(),
            [] => "no layer, as no column is a number".to_owned(),
            layers => format!("{} layers", layers.len()),
        };
        Err(Error::config(format!(
            "loss {self}: expected one continuous layer onto the normal base, found {found}; take the preset ot-flow-matching, or the loss likelihood"
        )))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|(name, _)| *name == text);
        named.map(|(_, loss)| loss).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            Error::config(format!("expected one of {names}, found {}", quoted(text)))
        })
    }
}
