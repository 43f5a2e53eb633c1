//! Named models: each is a few lines that name transforms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};
use crate::monotone::{Affine, MonotoneSpec, RationalQuadratic};
use crate::nn::{Activation, NetworkSpec};
use crate::parameter::Init;
pub use crate::spec::BaseSpec as BaseChoice;
use crate::spec::{BaseSpec, FlowSpec, LayerSpec, Precision};

/// A named model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `N(mu, Sigma)` in closed form: the baseline that every flow must beat.
    Gaussian,
    /// Affine couplings with alternating halves (Dinh et al. 2017).
    #[serde(rename = "realnvp")]
    RealNvp,
    /// Affine autoregressive layers with reversed orders: fast density (Papamakarios et al. 2017).
    Maf,
    /// Inverted affine autoregressive layers: fast samples (Kingma et al. 2016).
    Iaf,
    /// Autoregressive spline layers with PLU layers between: the best density for most tables (Durkan et al. 2019).
    Nsf,
    /// Spline couplings with PLU layers between: fast in both directions (Durkan et al. 2019).
    NsfCoupling,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 6] =
        [Self::Gaussian, Self::RealNvp, Self::Maf, Self::Iaf, Self::Nsf, Self::NsfCoupling];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::RealNvp => "realnvp",
            Self::Maf => "maf",
            Self::Iaf => "iaf",
            Self::Nsf => "nsf",
            Self::NsfCoupling => "nsf-coupling",
        }
    }

    /// Describes the flow for `dims` columns and `context_dims` context values.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if an option is out of range, or a coupling is asked for a single column.
    pub fn spec(
        self,
        dims: usize,
        context_dims: usize,
        options: &PresetOptions,
    ) -> Result<FlowSpec> {
        options.validate()?;
        let coupling = matches!(self, Self::RealNvp | Self::NsfCoupling);
        if coupling && dims < 2 {
            return Err(Error::config(format!(
                "{self}: a coupling needs at least 2 columns, found {dims}; use nsf or maf"
            )));
        }
        if self == Self::Gaussian && context_dims > 0 {
            return Err(Error::config("gaussian: takes no context; use maf or nsf"));
        }
        let mut spec = FlowSpec {
            dims,
            context_dims,
            precision: options.precision,
            transforms: self.transforms(dims, options),
            context_transforms: Vec::new(),
            base: options.base.clone(),
        };
        if self == Self::Gaussian {
            spec.base = BaseSpec::Gaussian;
            spec.precision = Precision::F64;
        }
        spec.validate()?;
        Ok(spec)
    }

    fn transforms(self, dims: usize, options: &PresetOptions) -> Vec<LayerSpec> {
        let spline = MonotoneSpec::RationalQuadratic(RationalQuadratic {
            bins: options.bins,
            bound: options.bound,
        });
        let affine = MonotoneSpec::Affine(Affine::default());
        let network = options.network();
        let autoregressive = |monotone: &MonotoneSpec| LayerSpec::Autoregressive {
            monotone: monotone.clone(),
            network: network.clone(),
            order: None,
        };
        let reversed = || LayerSpec::Permutation { order: (0..dims).rev().collect() };
        let mut orders =
            Init::new(options.seed, burn::tensor::DType::F32, burn::tensor::Device::flex());
        let mut plu = || LayerSpec::Plu { order: orders.permutation(dims) };
        let coupling = |i: usize, monotone: &MonotoneSpec| LayerSpec::Coupling {
            monotone: monotone.clone(),
            network: network.clone(),
            kept: (0..dims).map(|j| j % 2 == i % 2).collect(),
        };
        let mut layers = Vec::new();
        for i in 0..options.transforms {
            match self {
                Self::Gaussian => {}
                Self::RealNvp => layers.push(coupling(i, &affine)),
                Self::Maf | Self::Iaf => {
                    if i > 0 {
                        layers.push(reversed());
                    }
                    let layer = autoregressive(&affine);
                    layers.push(match self {
                        Self::Iaf => LayerSpec::Inverted { transform: Box::new(layer) },
                        _ => layer,
                    });
                }
                Self::Nsf => layers.extend([plu(), autoregressive(&spline)]),
                Self::NsfCoupling => layers.extend([plu(), coupling(i, &spline)]),
            }
        }
        layers
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::config(format!("model {} is unknown; choose one of {names}", quoted(text)))
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
    /// Bins of each spline.
    pub bins: usize,
    /// Half-width of the splines' box, in standard deviations of the data.
    pub bound: f64,
    /// Residual networks instead of plain ones.
    pub residual: bool,
    /// The non-linearity of the networks.
    pub activation: Activation,
    /// The base distribution.
    pub base: BaseSpec,
    /// Precision of the weights.
    pub precision: Precision,
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
            base: BaseSpec::Normal,
            precision: Precision::F32,
            seed: 0,
        }
    }
}

impl PresetOptions {
    /// What suits a table of so many rows when nothing else is known.
    ///
    /// Residual networks from 10,000 rows up: they gained 0.04 to 0.5 nats on real tables of that size, and lost as much on one
    /// of 6,500 rows, which they learned by heart.
    pub fn for_rows(rows: usize) -> Self {
        const RESIDUAL_ROWS: usize = 10_000;
        Self { residual: rows >= RESIDUAL_ROWS, ..Self::default() }
    }

    fn network(&self) -> NetworkSpec {
        NetworkSpec {
            hidden: self.hidden.clone(),
            residual: self.residual,
            activation: self.activation,
        }
    }

    fn validate(&self) -> Result<()> {
        if !(1..=FlowSpec::TRANSFORMS_MAX / 2).contains(&self.transforms) {
            return Err(Error::config(format!(
                "transforms must be in 1..={}, found {}",
                FlowSpec::TRANSFORMS_MAX / 2,
                self.transforms
            )));
        }
        self.network().validate()?;
        MonotoneSpec::RationalQuadratic(RationalQuadratic { bins: self.bins, bound: self.bound })
            .validate()
    }
}
