//! A flow: what a transform and a base distribution are together.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::distribution::Distribution;
use crate::distributions::Base;
use crate::error::{Error, Result};
use crate::linalg::{host_values, tensor_of};
use crate::parameter::{Visitor, visit_part};
use crate::random::{Purpose, Streams};
use crate::rows::Rows;
use crate::scorer::Scorer;
use crate::spec::FlowSpec;
use crate::transform::{Mapped, Transform};
use crate::transforms::{Chain, Layer};

/// A density: `log p(x | c) = log p_base(z) + log|det dz/dx|` with `z = f(x | c)`.
///
/// `T` is the transform: a [`Chain`] of layers that files can name, or any [`Transform`] of your own.
/// Cloning is cheap (weights are shared until one copy changes), and a flow may be used from several threads at once.
#[derive(Clone, Debug)]
pub struct Flow<T = Chain> {
    transform: T,
    base: Base,
    context: Option<Chain>,
    context_dims: usize,
    dtype: DType,
    device: Device,
    spec: Option<FlowSpec>,
    /// What scores rows without tensors, made when first needed; it holds the weights of that time.
    scorer: OnceLock<Option<Arc<Scorer>>>,
}

impl Flow<Chain> {
    pub(crate) fn from_parts(spec: FlowSpec, chain: Chain, context: Chain, base: Base) -> Self {
        let (context_dims, dtype) = (spec.context_dims, spec.precision.dtype());
        let context = (context_dims > 0).then_some(context);
        let device = Device::flex();
        Self {
            transform: chain,
            base,
            context,
            context_dims,
            dtype,
            device,
            spec: Some(spec),
            scorer: OnceLock::new(),
        }
    }

    /// The description that this flow was built from.
    ///
    /// # Panics
    /// Never: a flow of layers always has one.
    pub fn spec(&self) -> &FlowSpec {
        self.spec.as_ref().expect("a flow of named layers is only made from a specification")
    }

    /// Log-density of each row, as [`Flow::log_prob`], without tensors where the flow has a program.
    ///
    /// # Errors
    /// As [`Flow::log_prob`].
    pub(crate) fn score(&self, x: &Rows, context: Option<&Rows>) -> Result<Vec<f64>> {
        let scorer = match self.scorer.get() {
            Some(scorer) => scorer,
            None => {
                let made = Scorer::new(self)?.map(Arc::new);
                self.scorer.get_or_init(|| made)
            }
        };
        match scorer {
            Some(scorer) => scorer.log_prob(x, context),
            None => host_values(self.log_prob(tensor_of(x), context.map(tensor_of))?),
        }
    }

    /// Sets the layers that start from data ([`crate::transforms::ActNorm`]) so that a first batch comes out standardised.
    ///
    /// # Errors
    /// As [`Flow::log_prob`].
    pub fn initialize(&mut self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<()> {
        self.scorer = OnceLock::new();
        let context = self.map_context(x.dims()[0], context)?;
        let mut value = x;
        for i in 0..self.transform.layers().len() {
            value = self.transform.prepare(&self.transform.layers()[i], value, false);
            if let Layer::ActNorm(layer) = &mut self.transform.layers_mut()[i] {
                layer.initialize(&value);
            }
            value = self.transform.layers()[i].forward(value, context.as_ref())?.value;
        }
        Ok(())
    }
}

impl<T: Transform> Flow<T> {
    /// A flow of your own transform on the CPU, in single precision, without context.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if transform and base differ in width.
    pub fn new(transform: T, base: Base) -> Result<Self> {
        if transform.dims() != base.dims() {
            return Err(Error::shape(format!(
                "transform and base must be equally wide, found {} and {}",
                transform.dims(),
                base.dims()
            )));
        }
        let (dtype, device) = (DType::F32, Device::flex());
        Ok(Self {
            transform,
            base,
            context: None,
            context_dims: 0,
            dtype,
            device,
            spec: None,
            scorer: OnceLock::new(),
        })
    }

    /// Width of the data.
    pub fn dims(&self) -> usize {
        self.transform.dims()
    }

    /// Width of the context; 0 for an unconditional density.
    pub fn context_dims(&self) -> usize {
        self.context_dims
    }

    /// The transform.
    pub fn transform(&self) -> &T {
        &self.transform
    }

    /// The base distribution.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Where the weights are.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The map of the context, if there is a context.
    pub(crate) fn context_chain(&self) -> Option<&Chain> {
        self.context.as_ref()
    }

    /// The base distribution, to be changed in place.
    pub fn base_mut(&mut self) -> &mut Base {
        self.scorer = OnceLock::new();
        &mut self.base
    }

    /// Log-density in nats of each row of `x: [n, d]`, given `context: [n, c]` if the flow has one.
    ///
    /// A row with an infinity has log-density `-inf`, a row with NaN has NaN, and neither changes another row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn log_prob(&self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<Tensor<1>> {
        let n = x.dims()[0];
        if n == 0 {
            self.check_width("data", x.dims()[1])?;
            return Ok(Tensor::zeros(
                [0],
                (&x.device(), diffeo_kernels::ops::sum_dtype(&x.device())),
            ));
        }
        // Infinities would become NaN in a matrix product (0 * inf), so these rows are scored apart.
        let size = x.clone().detach().abs().max_dim(1);
        let nan = x.clone().detach().is_nan().int().sum_dim(1).greater_elem(0);
        let infinite = size.greater_elem(f64::MAX).bool_and(nan.clone().bool_not());
        let bad = nan.clone().bool_or(infinite.clone()).expand(x.dims());
        let safe = x.mask_fill(bad, 0.5);
        let log_prob = self.log_prob_of_finite(safe, context)?;
        Ok(log_prob
            .mask_fill(infinite.reshape([n]), f64::NEG_INFINITY)
            .mask_fill(nan.reshape([n]), f64::NAN))
    }

    /// [`Flow::log_prob`] for rows that are known to be finite: what training calls.
    pub(crate) fn log_prob_of_finite(
        &self,
        x: Tensor<2>,
        context: Option<Tensor<2>>,
    ) -> Result<Tensor<1>> {
        let mapped = self.to_base(x, context)?;
        let sum = mapped.log_det.dtype();
        Ok(self.base.log_prob(mapped.value).cast(sum) + mapped.log_det)
    }

    /// Data to base: `z` and `log|det dz/dx|`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn to_base(&self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<Mapped> {
        self.check_width("data", x.dims()[1])?;
        let context = self.map_context(x.dims()[0], context)?;
        let mapped = self.transform.forward(x, context.as_ref())?;
        Ok(Mapped { value: mapped.value.cast(self.dtype), ..mapped })
    }

    /// Base to data: `x` and `log|det dx/dz|`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn to_data(&self, z: Tensor<2>, context: Option<Tensor<2>>) -> Result<Mapped> {
        self.check_width("base", z.dims()[1])?;
        let context = self.map_context(z.dims()[0], context)?;
        self.transform.inverse(z.cast(self.dtype), context.as_ref())
    }

    /// `n` draws, `[n, d]`. Row `i` is the same for every `n` above `i`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the context does not have `n` rows.
    pub fn sample(&self, n: usize, context: Option<Tensor<2>>, seed: u64) -> Result<Tensor<2>> {
        let z = self.draw(n, seed, 0, 1.0)?;
        Ok(self.to_data(z, context)?.value)
    }

    /// `n` draws and their log-density, without a second pass through the flow.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the context does not have `n` rows.
    pub fn sample_with_log_prob(
        &self,
        n: usize,
        context: Option<Tensor<2>>,
        seed: u64,
    ) -> Result<(Tensor<2>, Tensor<1>)> {
        let z = self.draw(n, seed, 0, 1.0)?;
        let log_base = self.base.log_prob(z.clone());
        let mapped = self.to_data(z, context)?;
        let sum = mapped.log_det.dtype();
        Ok((mapped.value, log_base.cast(sum) - mapped.log_det))
    }

    /// Draws rows `first .. first + n` of the base from the streams of a seed.
    pub(crate) fn draw(
        &self,
        n: usize,
        seed: u64,
        first: u64,
        temperature: f64,
    ) -> Result<Tensor<2>> {
        let d = self.dims();
        let sampler = self.base.sampler()?;
        let streams = Streams::new(seed);
        let mut values = vec![0.0; n * d];
        for (i, row) in values.chunks_mut(d).enumerate() {
            sampler(&mut streams.rng(Purpose::Sample, 0, first + i as u64), temperature, row);
        }
        Ok(Tensor::from_data(TensorData::new(values, [n, d]), (&self.device, self.dtype)))
    }

    fn check_width(&self, side: &str, found: usize) -> Result<()> {
        if found == self.dims() {
            return Ok(());
        }
        Err(Error::shape(format!(
            "{side}: expected rows of {} numbers, found {found}",
            self.dims()
        )))
    }

    /// The context as the layers see it, checked.
    pub(crate) fn map_context(
        &self,
        rows: usize,
        context: Option<Tensor<2>>,
    ) -> Result<Option<Tensor<2>>> {
        match (self.context_dims, context) {
            (0, None) => Ok(None),
            (0, Some(_)) => Err(Error::shape("this flow is not conditional: give no context")),
            (width, None) => Err(Error::shape(format!(
                "this flow needs a context of {width} numbers for every row"
            ))),
            (width, Some(context)) => {
                if context.dims() != [rows, width] {
                    return Err(Error::shape(format!(
                        "context: expected shape [{rows}, {width}], found {:?}",
                        context.dims()
                    )));
                }
                let mapped = match &self.context {
                    Some(chain) => chain.forward(context, None)?.value,
                    None => context,
                };
                Ok(Some(mapped.cast(self.dtype)))
            }
        }
    }

    /// Shows every trainable parameter: those of the transform, then those of the base.
    pub fn visit(&mut self, visitor: &mut Visitor<'_>) {
        // The visitor may change weights.
        self.scorer = OnceLock::new();
        visit_part("transform", visitor, |v| self.transform.visit(v));
        visit_part("base", visitor, |v| self.base.visit(v));
    }
}

impl<T: Transform + Clone> Flow<T> {
    /// Every trainable parameter by name, in a fixed order; all have rank two.
    pub fn parameters(&self) -> Vec<(String, Tensor<2>)> {
        let mut found = Vec::new();
        self.clone().visit(&mut |name, p| found.push((name.to_owned(), p.value.clone())));
        found
    }

    /// Replaces parameters by name; masked elements stay zero, others keep the values given.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] listing parameters that are missing, unknown, of another shape, or not finite; nothing is
    /// changed then.
    pub fn set_parameters(&mut self, values: &BTreeMap<String, Tensor<2>>) -> Result<()> {
        let mut faults = Vec::new();
        let mut left: Vec<&String> = values.keys().collect();
        for (name, old) in self.parameters() {
            left.retain(|n| **n != name);
            match values.get(&name) {
                None => faults.push(format!("{name} is missing")),
                Some(new) if new.dims() != old.dims() => faults.push(format!(
                    "{name} has shape {:?}, expected {:?}",
                    new.dims(),
                    old.dims()
                )),
                Some(new) => {
                    if host_values(new.clone())?.iter().any(|v| !v.is_finite()) {
                        faults.push(format!("{name} holds a number that is not finite"));
                    }
                }
            }
        }
        faults.extend(left.iter().map(|name| format!("{name} is unknown")));
        if !faults.is_empty() {
            return Err(Error::model_file(format!(
                "weights do not fit the model: {}",
                faults.join("; ")
            )));
        }
        let dtype = self.dtype;
        self.visit(&mut |name, p| {
            if let Some(new) = values.get(name) {
                let new = new.clone().cast(dtype);
                p.value = p.mask.iter().fold(new, |v, m| v * m.clone());
            }
        });
        Ok(())
    }
}
