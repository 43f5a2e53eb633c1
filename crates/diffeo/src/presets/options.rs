//! What can be chosen in a preset.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bases::BaseSpec;
use crate::embedding::EmbeddingSpec;
use crate::error::{Error, Result, quoted};
use crate::monotone::{DescribeMap, RationalQuadratic};
use crate::network::{Activation, NetworkSpec};
use crate::spec::{FlowSpec, Precision};

/// The order in which the layers of a preset take the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnOrder {
    /// Every layer in the order of the table.
    Given,
    /// Every second layer back to front: usual for `maf` and `iaf`.
    Reverse,
    /// Every layer in a random order of its own: usual for `nsf` and `nsf-coupling`.
    Random,
}

impl ColumnOrder {
    /// All orders by name.
    pub const ALL: [(&'static str, Self); 3] =
        [("given", Self::Given), ("reverse", Self::Reverse), ("random", Self::Random)];
}

impl FromStr for ColumnOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|(name, _)| *name == text);
        named.map(|(_, order)| order).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            Error::config(format!("expected one of {names}, found {}", quoted(text)))
        })
    }
}

/// What can be chosen in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresetOptions {
    /// Number of autoregressive or coupling layers.
    pub transforms: usize,
    /// Widths of the hidden layers of each network.
    pub hidden: Vec<usize>,
    /// Pieces of each scalar map: bins of a spline, components of a mixture, degree of a polynomial.
    pub bins: usize,
    /// Half-width of the interval outside of which splines and polynomials are linear, in standard deviations of the data.
    pub bound: f64,
    /// Residual networks instead of plain ones.
    pub residual: bool,
    /// The non-linearity of the networks.
    pub activation: Activation,
    /// The base distribution.
    pub base: BaseSpec,
    /// Precision of the weights.
    pub precision: Precision,
    /// The order in which the layers take the columns; `None` for what is usual for the preset.
    pub order: Option<ColumnOrder>,
    /// The parents of each number (columns without a density of their own are not counted), in a graph without cycles: each layer then maps a column given its parents, and
    /// none mixes or reorders columns, so the flow follows the paths of the graph. `None` for a model of any dependence.
    pub graph: Option<Vec<Vec<usize>>>,
    /// Of a model with a context, what its transforms see of that; `None` for the context itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingSpec>,
    /// Side of a patch, of a model that takes images in patches; `None` for the largest up to 4 that divides both sides of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Of a model of images at several scales, let the noise in the cells of levels be learned, too ([`crate::transforms::Dequantise`]).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dequantise: bool,
    /// Chooses the random permutations between layers.
    pub seed: u64,
}

impl Default for PresetOptions {
    fn default() -> Self {
        Self {
            transforms: 5,
            hidden: vec![128, 128],
            bins: 8,
            bound: 5.0,
            residual: false,
            activation: Activation::Relu,
            base: BaseSpec::default(),
            precision: Precision::F32,
            order: None,
            graph: None,
            embedding: None,
            patch: None,
            dequantise: false,
            seed: 0,
        }
    }
}

impl PresetOptions {
    /// Most layers: each may have another one before it.
    pub const TRANSFORMS_MAX: usize = FlowSpec::TRANSFORMS_MAX / 2;

    /// Most edges of a graph, each counted in every transform: a file says each of them.
    pub const EDGES_MAX: usize = 1 << 19;

    /// What suits a table of so many rows when nothing else is known.
    ///
    /// Residual networks from 10,000 rows up: they gained 0.04 to 0.5 nats on real tables of that size, and lost as much on one
    /// of 6,500 rows, which they learned by heart.
    pub fn for_rows(rows: usize) -> Self {
        const RESIDUAL_ROWS: usize = 10_000;
        Self { residual: rows >= RESIDUAL_ROWS, ..Self::default() }
    }

    /// What suits images when nothing else is known.
    pub fn for_images() -> Self {
        Self { transforms: 4, ..Self::default() }
    }

    /// The spline of each layer.
    pub(super) fn spline(&self) -> RationalQuadratic {
        RationalQuadratic { bins: self.bins, bound: self.bound }
    }

    /// The network of each layer.
    pub(super) fn network(&self) -> NetworkSpec {
        NetworkSpec {
            hidden: self.hidden.clone(),
            residual: self.residual,
            activation: self.activation,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for the first fault.
    pub(super) fn validate(&self) -> Result<()> {
        if !(1..=Self::TRANSFORMS_MAX).contains(&self.transforms) {
            return Err(Error::config(format!(
                "transforms must be in 1..={}, found {}",
                Self::TRANSFORMS_MAX,
                self.transforms
            )));
        }
        self.network().validate()?;
        self.spline().validate()
    }
}
