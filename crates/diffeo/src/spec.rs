//! The description of a flow as plain data: read, checked, then built.

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::bases::BaseSpec;
use crate::embedding::EmbeddingSpec;
use crate::error::{Error, ErrorKind, Result};
use crate::marks::MarksSpec;
use crate::place::Place;
use crate::transforms::{ChainSpec, LayerSpec, count_all};

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

    /// The largest number.
    pub(crate) fn largest(self) -> f64 {
        match self {
            Self::F32 => f64::from(f32::MAX),
            Self::F64 => f64::MAX,
        }
    }

    /// The distance from `value` to the next number away from zero: what lies closer is the same to the model.
    pub(crate) fn spacing(self, value: f64) -> f64 {
        match self {
            Self::F32 => {
                let value = (value as f32).abs();
                f64::from(value.next_up()) - f64::from(value)
            }
            Self::F64 => value.abs().next_up() - value.abs(),
        }
    }

    /// The largest error of a sound model that maps a row to the base and back, in units where a column has spread one.
    ///
    /// In `f64` a map rounds at 1e-16 of its range and a stack of splines of slope 1e-3 to 1e3 stretches that to about 1e-10; a
    /// wrong inverse is off by a spread. In `f32` rounding is 6e-8. One part in a hundred of a spread is more than a well-conditioned model
    /// loses and less than 10,000 samples can show; a model beyond it is numerically not invertible there (Behrmann et al. AISTATS 2021,
    /// arXiv:2006.09347).
    pub(crate) fn round_trip_limit(self) -> f64 {
        match self {
            Self::F32 => 1e-2,
            Self::F64 => 1e-6,
        }
    }
}

/// A flow: a chain of transforms, data end first, and a base distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSpec {
    /// Width of the data: marks, which come first, and numbers.
    pub dims: usize,
    /// Width of the context; 0 for an unconditional density.
    #[serde(default)]
    pub context_dims: usize,
    /// Precision of the weights.
    #[serde(default)]
    pub precision: Precision,
    /// What the transforms see of the context, if it is not the context itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingSpec>,
    /// The marks of a row and their density; the transforms are about its numbers, given the marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<MarksSpec>,
    /// The transforms, data end first.
    pub transforms: Vec<LayerSpec>,
    /// The base distribution.
    pub base: BaseSpec,
}

impl FlowSpec {
    /// These transforms, the data end first, onto a standard normal; in single precision, without context.
    pub fn new(dims: usize, transforms: Vec<LayerSpec>) -> Self {
        Self {
            dims,
            context_dims: 0,
            embedding: None,
            precision: Precision::default(),
            marks: None,
            transforms,
            base: BaseSpec::default(),
        }
    }

    /// The same flow in this precision.
    #[must_use]
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same flow given a context of so many numbers.
    #[must_use]
    pub fn given(self, context_dims: usize) -> Self {
        Self { context_dims, ..self }
    }

    /// The same flow whose transforms see this of the context; for a context of that width.
    #[must_use]
    pub fn through(self, embedding: Option<EmbeddingSpec>) -> Self {
        Self { embedding, ..self }
    }

    /// The same flow onto this base.
    #[must_use]
    pub fn onto(self, base: impl Into<BaseSpec>) -> Self {
        Self { base: base.into(), ..self }
    }

    /// The same flow of the numbers of rows with these marks before them, given which they are mapped.
    #[must_use]
    pub fn with_marks(self, marks: MarksSpec) -> Self {
        Self { dims: self.dims + marks.marks.len(), marks: Some(marks), ..self }
    }

    /// Numbers in a row: all but its marks.
    pub fn numbers(&self) -> usize {
        self.dims.saturating_sub(self.marks.as_ref().map_or(0, |marks| marks.marks.len()))
    }

    /// Most dimensions of data or context.
    pub const DIMS_MAX: usize = 100_000;
    /// Most parameters a model may have: 2^31, 8 GiB in single precision.
    pub const PARAMETERS_MAX: u64 = 1 << 31;
    /// Most transforms in a chain.
    pub const TRANSFORMS_MAX: usize = ChainSpec::LENGTH_MAX;

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
        if let Some(marks) = &self.marks {
            marks.validate()?;
            let count = marks.marks.len();
            if count > self.dims || (count == self.dims && !self.transforms.is_empty()) {
                return Err(Error::config(format!(
                    "a flow of {} numbers with {count} marks among them leaves nothing for {} transforms to map",
                    self.dims,
                    self.transforms.len()
                )));
            }
        }
        if let Some(embedding) = &self.embedding {
            embedding.validate(self.context_dims)?;
        }
        self.transforms.iter().try_for_each(|layer| layer.validate(self.place()))?;
        self.base.validate()?;
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
        let base = self.base.count(self.numbers() as u64);
        let chain = count_all(&self.transforms, self.place());
        let marks = self.marks.as_ref().map_or(Some(0), |marks| marks.count(self.context_dims));
        let embedding =
            self.embedding.as_ref().map_or(Some(0), |part| part.count(self.context_dims));
        let mut parts = [base, chain, marks, embedding].into_iter();
        parts.try_fold(0u64, |sum, part| sum.checked_add(part?)).ok_or_else(|| {
            Error::new(
                ErrorKind::Limit,
                "the number of parameters overflows; use fewer or narrower layers",
            )
        })
    }

    /// Multiplications that a row takes, about: at least one for each trainable number.
    pub(crate) fn work(&self) -> u64 {
        let place = self.place();
        let layers = self.transforms.iter().map(|layer| layer.work(place).unwrap_or(u64::MAX));
        let layers = layers.fold(0, u64::saturating_add);
        let embedding = self.embedding.as_ref().map(|part| part.work(self.context_dims));
        let embedding = embedding.map_or(0, |work| work.unwrap_or(u64::MAX));
        layers.saturating_add(embedding).max(self.parameter_count().unwrap_or(u64::MAX))
    }

    /// How many numbers the transforms see of the context.
    pub(crate) fn context_seen(&self) -> usize {
        let context = self.context_dims;
        self.embedding.as_ref().map_or(context, |embedding| embedding.seen(context))
    }

    /// Where the layers stand: they map the numbers, given the context, or its embedding, and the shares of the marks.
    pub(crate) fn place(&self) -> Place {
        let shares = self.marks.as_ref().map_or(0, MarksSpec::width);
        Place::new(self.numbers(), self.context_seen() + shares)
    }
}
