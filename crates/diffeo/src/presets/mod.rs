//! Named models: each is a few lines that name transforms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bases::{BaseSpec, GaussianSpec};
use crate::error::{Error, Result, quoted};
use crate::monotone::{Affine, MonotoneSpec, RationalQuadratic};
use crate::network::{Activation, NetworkSpec};
use crate::parameter::Init;
use crate::spec::{FlowSpec, Precision};
use crate::transforms::{
    AutoregressiveSpec, CouplingSpec, InvertedSpec, LayerSpec, PermutationSpec, PluSpec,
};

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
        if let (Some(_), Self::RealNvp | Self::Gaussian) = (options.order, self) {
            return Err(Error::config(format!(
                "{self}: has no order of columns to choose; leave it out, or use maf, iaf, nsf or nsf-coupling"
            )));
        }
        let mut spec = FlowSpec {
            dims,
            context_dims,
            precision: options.precision,
            transforms: self.transforms(dims, options),
            base: options.base.clone(),
        };
        if self == Self::Gaussian {
            spec.base = GaussianSpec {}.into();
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
        let autoregressive = |monotone: &MonotoneSpec| -> LayerSpec {
            let (monotone, network) = (monotone.clone(), network.clone());
            AutoregressiveSpec { monotone, network, order: None }.into()
        };
        let mut orders =
            Init::new(options.seed, burn::tensor::DType::F32, burn::tensor::Device::flex());
        let order = options.order.unwrap_or(match self {
            Self::Maf | Self::Iaf => ColumnOrder::Reverse,
            _ => ColumnOrder::Random,
        });
        // How layer `i` finds the columns that the one before has left; `None` if as they are.
        let mut turn = |i: usize| match order {
            ColumnOrder::Random => Some(orders.permutation(dims)),
            ColumnOrder::Reverse if i > 0 => Some((0..dims).rev().collect()),
            ColumnOrder::Reverse | ColumnOrder::Given => None,
        };
        let plu = |order: Option<Vec<usize>>| -> LayerSpec {
            PluSpec { order: order.unwrap_or_else(|| (0..dims).collect()) }.into()
        };
        let coupling = |i: usize, monotone: &MonotoneSpec| -> LayerSpec {
            let (monotone, network) = (monotone.clone(), network.clone());
            CouplingSpec { monotone, network, kept: (0..dims).map(|j| j % 2 == i % 2).collect() }
                .into()
        };
        let mut layers: Vec<LayerSpec> = Vec::new();
        for i in 0..options.transforms {
            match self {
                Self::Gaussian => {}
                Self::RealNvp => layers.push(coupling(i, &affine)),
                Self::Maf | Self::Iaf => {
                    let order = turn(i);
                    layers.extend(order.map(|order| PermutationSpec { order }.into()));
                    let layer = autoregressive(&affine);
                    layers.push(match self {
                        Self::Iaf => InvertedSpec::of(layer).into(),
                        _ => layer,
                    });
                }
                Self::Nsf => layers.extend([plu(turn(i)), autoregressive(&spline)]),
                Self::NsfCoupling => layers.extend([plu(turn(i)), coupling(i, &spline)]),
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

impl FromStr for ColumnOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "given" => Ok(Self::Given),
            "reverse" => Ok(Self::Reverse),
            "random" => Ok(Self::Random),
            _ => Err(Error::config(format!(
                "an order is given, reverse or random, not {}",
                quoted(text)
            ))),
        }
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
    /// The order in which the layers take the columns; `None` for what is usual for the preset.
    pub order: Option<ColumnOrder>,
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
            seed: 0,
        }
    }
}

impl PresetOptions {
    /// Most layers: each may have another one before it.
    pub const TRANSFORMS_MAX: usize = FlowSpec::TRANSFORMS_MAX / 2;

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
        if !(1..=Self::TRANSFORMS_MAX).contains(&self.transforms) {
            return Err(Error::config(format!(
                "transforms must be in 1..={}, found {}",
                Self::TRANSFORMS_MAX,
                self.transforms
            )));
        }
        self.network().validate()?;
        MonotoneSpec::RationalQuadratic(RationalQuadratic { bins: self.bins, bound: self.bound })
            .validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of each permutation or PLU layer.
    fn orders(preset: Preset, order: Option<ColumnOrder>) -> Vec<Vec<usize>> {
        let options = PresetOptions { transforms: 3, order, ..PresetOptions::default() };
        let spec = preset.spec(4, 0, &options).unwrap();
        spec.build(0).unwrap();
        let order = |layer: LayerSpec| match layer {
            LayerSpec::Permutation(PermutationSpec { order })
            | LayerSpec::Plu(PluSpec { order }) => Some(order),
            _ => None,
        };
        spec.transforms.into_iter().filter_map(order).collect()
    }

    #[test]
    fn columns_are_taken_in_the_order_asked_for() {
        use ColumnOrder::{Given, Random, Reverse};
        let (same, back) = (vec![0, 1, 2, 3], vec![3, 2, 1, 0]);
        for preset in [Preset::Maf, Preset::Iaf] {
            assert_eq!(orders(preset, Some(Given)), Vec::<Vec<usize>>::new());
            assert_eq!(orders(preset, Some(Reverse)), [back.clone(), back.clone()]);
            assert_eq!(orders(preset, None), orders(preset, Some(Reverse)));
            let random = orders(preset, Some(Random));
            assert!(random.len() == 3 && random[0] != random[1], "{random:?}");
        }
        for preset in [Preset::Nsf, Preset::NsfCoupling] {
            assert_eq!(orders(preset, Some(Given)), [same.clone(), same.clone(), same.clone()]);
            assert_eq!(orders(preset, Some(Reverse)), [same.clone(), back.clone(), back.clone()]);
            assert_eq!(orders(preset, None), orders(preset, Some(Random)));
        }
        for preset in [Preset::RealNvp, Preset::Gaussian] {
            let options = PresetOptions { order: Some(Given), ..PresetOptions::default() };
            assert!(preset.spec(4, 0, &options).unwrap_err().message().contains("order"));
        }
        assert_eq!("reverse".parse::<ColumnOrder>().unwrap(), Reverse);
        assert!("sorted".parse::<ColumnOrder>().unwrap_err().message().contains("sorted"));
    }
}
