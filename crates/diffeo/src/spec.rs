//! The description of a flow as plain data: read, checked, then built.

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::distributions::{Base, Gaussian, Mixture, Normal, StudentT, Uniform};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::monotone::MonotoneSpec;
use crate::nn::NetworkSpec;
use crate::parameter::Init;
use crate::transforms::{
    ActNorm, Autoregressive, Chain, Coupling, Elementwise, Inverted, Layer, Permutation, Plu,
    Standardize, Support, SupportMap,
};

/// Precision of weights and network arithmetic; densities are summed in `f64` either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision: the default.
    #[default]
    F32,
    /// Double precision.
    F64,
}

impl Precision {
    /// The tensor type.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }
}

/// A flow: a chain of transforms, data end first, and a base distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSpec {
    /// Width of the data.
    pub dims: usize,
    /// Width of the context; 0 for an unconditional density.
    #[serde(default)]
    pub context_dims: usize,
    /// Precision of the weights.
    #[serde(default)]
    pub precision: Precision,
    /// The transforms, data end first.
    pub transforms: Vec<LayerSpec>,
    /// Fixed maps of the context's columns, applied before any network sees them.
    #[serde(default)]
    pub context_transforms: Vec<LayerSpec>,
    /// The base distribution.
    pub base: BaseSpec,
}

/// A transform, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerSpec {
    /// [`Chain`].
    Chain {
        /// The transforms, data end first.
        transforms: Vec<LayerSpec>,
    },
    /// [`Inverted`].
    Inverted {
        /// The transform to use the other way round.
        transform: Box<LayerSpec>,
    },
    /// [`Permutation`].
    Permutation {
        /// Column `i` of the result is column `order[i]`.
        order: Vec<usize>,
    },
    /// [`Plu`].
    Plu {
        /// The permutation it starts from.
        order: Vec<usize>,
    },
    /// [`ActNorm`].
    ActNorm {},
    /// [`Elementwise`].
    Elementwise {
        /// The scalar map.
        monotone: MonotoneSpec,
    },
    /// [`Coupling`].
    Coupling {
        /// The scalar map.
        monotone: MonotoneSpec,
        /// The network.
        network: NetworkSpec,
        /// Which columns stay as they are.
        kept: Vec<bool>,
    },
    /// [`Autoregressive`].
    Autoregressive {
        /// The scalar map.
        monotone: MonotoneSpec,
        /// The network.
        network: NetworkSpec,
        /// The column that comes `i`-th; absent for the order of the columns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Vec<usize>>,
    },
    /// [`Support`].
    Support {
        /// One map per column.
        maps: Vec<SupportMap>,
    },
    /// [`Standardize`].
    Standardize {
        /// Subtracted.
        center: Vec<f64>,
        /// Divided by.
        scale: Vec<f64>,
    },
}

/// A base distribution, described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum BaseSpec {
    /// [`Normal`].
    #[default]
    Normal,
    /// [`Gaussian`].
    Gaussian,
    /// [`Uniform`].
    Uniform {
        /// Lower bound in every dimension.
        low: f64,
        /// Upper bound in every dimension.
        high: f64,
    },
    /// [`StudentT`].
    StudentT {
        /// Degrees of freedom to start from.
        dof: f64,
    },
    /// [`Mixture`].
    Mixture {
        /// Number of Gaussians.
        components: usize,
    },
}

/// Parses `normal`, `gaussian`, `student-t`, `uniform` or `mixture`, with usual settings.
impl std::str::FromStr for BaseSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "normal" => Self::Normal,
            "gaussian" => Self::Gaussian,
            "student-t" => Self::StudentT { dof: 10.0 },
            "uniform" => Self::Uniform { low: -5.0, high: 5.0 },
            "mixture" => Self::Mixture { components: 8 },
            _ => {
                return Err(Error::config(format!(
                    "a base is normal, gaussian, student-t, uniform or mixture, not {}",
                    crate::error::quoted(text)
                )));
            }
        })
    }
}

impl FlowSpec {
    /// Most dimensions of data or context.
    pub const DIMS_MAX: usize = 100_000;
    /// Most parameters a model may have: 2^31, 8 GiB in single precision.
    pub const PARAMETERS_MAX: u64 = 1 << 31;
    /// Most transforms in a chain.
    pub const TRANSFORMS_MAX: usize = 1_000;

    /// Checks every range before anything is allocated.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for the first fault, [`ErrorKind::Limit`] if the model would be too large.
    pub fn validate(&self) -> Result<()> {
        if self.dims == 0 || self.dims > Self::DIMS_MAX || self.context_dims > Self::DIMS_MAX {
            return Err(Error::config(format!(
                "a flow needs 1 to {max} dimensions and at most {max} context values, found {} and {}",
                self.dims,
                self.context_dims,
                max = Self::DIMS_MAX
            )));
        }
        for layer in &self.transforms {
            layer.validate(self.dims, 0)?;
        }
        for layer in &self.context_transforms {
            if !matches!(layer, LayerSpec::Support { .. } | LayerSpec::Standardize { .. }) {
                return Err(Error::config("context maps must be support or standardize"));
            }
            layer.validate(self.context_dims, 0)?;
        }
        let count = self.parameter_count()?;
        if count > Self::PARAMETERS_MAX {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "the model would have {count} parameters ({:.1} GB), at most {} are allowed; \
                     use fewer transforms or narrower networks",
                    count as f64 * 4e-9,
                    Self::PARAMETERS_MAX
                ),
            ));
        }
        Ok(())
    }

    /// Number of trainable numbers, masked ones included, without building anything.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the count overflows.
    pub fn parameter_count(&self) -> Result<u64> {
        let d = self.dims as u64;
        let base = match self.base {
            BaseSpec::Normal | BaseSpec::Uniform { .. } => Some(0),
            BaseSpec::Gaussian => d.checked_mul(d).map(|dd| dd + 2 * d),
            BaseSpec::StudentT { .. } => Some(d),
            BaseSpec::Mixture { components } => (components as u64)
                .checked_mul(2 * d)
                .and_then(|n| n.checked_add(components as u64)),
        };
        let chain = LayerSpec::count_all(&self.transforms, d, self.context_dims as u64);
        base.zip(chain).and_then(|(a, b)| a.checked_add(b)).ok_or_else(|| {
            Error::new(
                ErrorKind::Limit,
                "the number of parameters overflows; use fewer or narrower layers",
            )
        })
    }

    /// Builds the flow on the CPU with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// As [`FlowSpec::validate`].
    pub fn build(&self, seed: u64) -> Result<Flow> {
        self.build_on(seed, &Device::flex())
    }

    /// Builds the flow on a device.
    ///
    /// # Errors
    /// As [`FlowSpec::validate`].
    pub fn build_on(&self, seed: u64, device: &Device) -> Result<Flow> {
        self.validate()?;
        let mut init = Init::new(seed, self.precision.dtype(), device.clone());
        let shape = [self.dims, self.context_dims];
        let chain = chain_of(&self.transforms, shape, &mut init)?;
        let context = chain_of(&self.context_transforms, [self.context_dims, 0], &mut init)?;
        let base = match self.base {
            BaseSpec::Normal => Base::Normal(Normal::new(self.dims)),
            BaseSpec::Gaussian => Base::Gaussian(Gaussian::new(self.dims, &init)),
            BaseSpec::Uniform { low, high } => Base::Uniform(Uniform::new(self.dims, low, high)?),
            BaseSpec::StudentT { dof } => Base::StudentT(StudentT::new(self.dims, dof, &init)?),
            BaseSpec::Mixture { components } => {
                Base::Mixture(Mixture::new(self.dims, components, &mut init)?)
            }
        };
        Ok(Flow::from_parts(self.clone(), chain, context, base))
    }
}

fn chain_of(specs: &[LayerSpec], shape: [usize; 2], init: &mut Init) -> Result<Chain> {
    let layers = specs.iter().map(|spec| spec.build(shape, init)).collect::<Result<_>>()?;
    Chain::new(shape[0], init.dtype, layers)
}

impl LayerSpec {
    /// Deepest nesting of chains and inversions.
    pub const DEPTH_MAX: usize = 8;

    fn validate(&self, dims: usize, depth: usize) -> Result<()> {
        if depth > Self::DEPTH_MAX {
            return Err(Error::config(format!(
                "transforms may nest {} deep at most",
                Self::DEPTH_MAX
            )));
        }
        let width = |name: &str, found: usize| {
            if found == dims {
                return Ok(());
            }
            Err(Error::config(format!(
                "{name}: expected one entry for each of {dims} columns, found {found}"
            )))
        };
        match self {
            Self::Chain { transforms } if transforms.len() > FlowSpec::TRANSFORMS_MAX => {
                Err(Error::config(format!(
                    "a chain holds at most {} transforms",
                    FlowSpec::TRANSFORMS_MAX
                )))
            }
            Self::Chain { transforms } => {
                transforms.iter().try_for_each(|t| t.validate(dims, depth + 1))
            }
            Self::Inverted { transform } => transform.validate(dims, depth + 1),
            Self::Permutation { order } | Self::Plu { order } => width("order", order.len()),
            Self::ActNorm {} => Ok(()),
            Self::Elementwise { monotone } => monotone.validate(),
            Self::Coupling { monotone, network, kept } => {
                width("coupling", kept.len())?;
                monotone.validate()?;
                network.validate()
            }
            Self::Autoregressive { monotone, network, order } => {
                order.as_ref().map_or(Ok(()), |o| width("autoregressive order", o.len()))?;
                monotone.validate()?;
                network.validate()
            }
            Self::Support { maps } => width("support", maps.len()),
            Self::Standardize { center, scale } => {
                width("standardize", center.len())?;
                width("standardize", scale.len())
            }
        }
    }

    fn count_all(specs: &[Self], dims: u64, context: u64) -> Option<u64> {
        specs.iter().try_fold(0u64, |sum, s| sum.checked_add(s.count(dims, context)?))
    }

    fn count(&self, dims: u64, context: u64) -> Option<u64> {
        use crate::monotone::Monotone;
        match self {
            Self::Chain { transforms } => Self::count_all(transforms, dims, context),
            Self::Inverted { transform } => transform.count(dims, context),
            Self::Permutation { .. } | Self::Support { .. } | Self::Standardize { .. } => Some(0),
            Self::Plu { .. } => dims.checked_mul(dims)?.checked_mul(2)?.checked_add(2 * dims),
            Self::ActNorm {} => Some(2 * dims),
            Self::Elementwise { monotone } => dims.checked_mul(monotone.params_per_dim() as u64),
            Self::Coupling { monotone, network, kept } => {
                let still = kept.iter().filter(|k| **k).count() as u64;
                let moved = dims.checked_sub(still)?;
                network.count(still, context, moved.checked_mul(monotone.params_per_dim() as u64)?)
            }
            Self::Autoregressive { monotone, network, .. } => {
                network.count(dims, context, dims.checked_mul(monotone.params_per_dim() as u64)?)
            }
        }
    }

    fn build(&self, [dims, context]: [usize; 2], init: &mut Init) -> Result<Layer> {
        Ok(match self {
            Self::Chain { transforms } => {
                Layer::Chain(chain_of(transforms, [dims, context], init)?)
            }
            Self::Inverted { transform } => {
                Layer::Inverted(Inverted(Box::new(transform.build([dims, context], init)?)))
            }
            Self::Permutation { order } => {
                Layer::Permutation(Permutation::new(order, &init.device)?)
            }
            Self::Plu { order } => Layer::Plu(Plu::new(order, init)?),
            Self::ActNorm {} => Layer::ActNorm(ActNorm::new(dims, init)),
            Self::Elementwise { monotone } => {
                Layer::Elementwise(Elementwise::new(monotone.clone(), dims, init))
            }
            Self::Coupling { monotone, network, kept } => {
                let layer = Coupling::new(monotone.clone(), network, kept, context, init)?;
                Layer::Coupling(Box::new(layer))
            }
            Self::Autoregressive { monotone, network, order } => {
                let shape = [dims, context];
                let layer =
                    Autoregressive::new(monotone.clone(), network, shape, order.as_deref(), init)?;
                Layer::Autoregressive(Box::new(layer))
            }
            Self::Support { maps } => Layer::Support(Support::new(maps.clone())?),
            Self::Standardize { center, scale } => {
                Layer::Standardize(Standardize::new(center.clone(), scale.clone())?)
            }
        })
    }
}
