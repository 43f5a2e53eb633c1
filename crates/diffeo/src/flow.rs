//! A flow: what a chain of transforms and a base distribution are together.

mod weights;

use std::sync::Arc;

use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use diffeo_kernels::ops::standard_normal_log_prob;

use crate::bases::Distribution;
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::host::draws::Draws;
use crate::host::linalg::{host_values, tensor_of};
use crate::host::random::{Purpose, Streams, fill_normal};
use crate::host::rows::{Rows, density_of_bad};
use crate::marks::{Marks, SplitRows};
use crate::parameter::Init;
use crate::spec::FlowSpec;
use crate::transform::{Given, Mapped, Scales, Transform};
use crate::transforms::{Chain, no_log_det};

/// A density: `log p(x | c) = log p_base(z) + log|det dz/dx|` with `z = f(x | c)`, built from a [`FlowSpec`].
///
/// Cloning is cheap (weights are shared until one copy changes), and a flow may be used from several threads at once.
#[derive(Clone, Debug)]
pub struct Flow {
    spec: Arc<FlowSpec>,
    embedding: Option<Embedding>,
    marks: Option<Marks>,
    chain: Chain,
    base: Box<dyn Distribution>,
    device: Device,
}

/// Rows cut into their parts.
struct Split {
    /// The marks, row after row.
    marks: Vec<f64>,
    /// Their shares, `[n, shares]`; absent without marks.
    shares: Option<Tensor<2>>,
    numbers: Tensor<2>,
    /// What the numbers are given: the context, or its embedding, and the shares.
    given: Option<Tensor<2>>,
    context: Option<Tensor<2>>,
}

/// Numbers of rows in `f64`.
fn of_rows(values: Vec<f64>, device: &Device) -> Tensor<1> {
    let n = values.len();
    let dtype = diffeo_kernels::ops::sum_dtype(device);
    Tensor::from_data(TensorData::new(values, [n]), (device, dtype))
}

impl FlowSpec {
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
        let chain = Chain::build(&self.transforms, self.place(), &mut init)?;
        let base = self.base.build(self.numbers(), &mut init)?;
        let marks =
            self.marks.as_ref().map(|marks| Marks::new(marks, self.context_dims, &mut init));
        let embed = |part| Embedding::new(part, self.context_dims, &mut init);
        let embedding = self.embedding.as_ref().map(embed).transpose()?;
        let (spec, device) = (Arc::new(self.clone()), device.clone());
        Ok(Flow { spec, embedding, marks, chain, base, device })
    }
}

impl Flow {
    /// The description that this flow was built from.
    pub fn spec(&self) -> &FlowSpec {
        &self.spec
    }

    /// Sets the layers that start from data ([`Transform::start`]), such as [`crate::transforms::ActNorm`], so that a first batch comes out standardised, and
    /// the marks, so that each outcome has the frequency of the batch.
    ///
    /// # Errors
    /// As [`Flow::log_prob`].
    pub fn initialize(&mut self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<()> {
        let row = self.split(x, context)?;
        if let Some(marks) = &mut self.marks {
            marks.start(&row.marks);
        }
        if self.numbers() > 0 {
            self.chain.start(row.numbers, &Given::context(row.given.as_ref()))?;
        }
        Ok(())
    }

    /// Width of the data: marks and numbers.
    pub fn dims(&self) -> usize {
        self.spec.dims
    }

    /// Numbers in a row that the transforms map.
    pub fn numbers(&self) -> usize {
        self.spec.numbers()
    }

    /// What the transforms see of the context, if it is not the context itself.
    pub(crate) fn embedding(&self) -> Option<&Embedding> {
        self.embedding.as_ref()
    }

    /// The density of the marks of a row, which come before its numbers.
    pub(crate) fn marks(&self) -> Option<&Marks> {
        self.marks.as_ref()
    }

    /// Width of the context; 0 for an unconditional density.
    pub fn context_dims(&self) -> usize {
        self.spec.context_dims
    }

    /// The transforms.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The base distribution.
    pub fn base(&self) -> &dyn Distribution {
        &*self.base
    }

    /// The base distribution, to be changed in place.
    pub fn base_mut(&mut self) -> &mut dyn Distribution {
        &mut *self.base
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Precision of the weights.
    fn dtype(&self) -> DType {
        self.spec.precision.dtype()
    }

    /// Log-density in nats of each row of `x: [n, d]`, given `context: [n, c]` if the flow has one.
    ///
    /// A row with an infinity has log-density `-inf`, a row with NaN has NaN, and neither changes another row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn log_prob(&self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<Tensor<1>> {
        let [n, width] = x.dims();
        self.check_width("data", width)?;
        if n == 0 {
            let sum = diffeo_kernels::ops::sum_dtype(&x.device());
            return Ok(Tensor::zeros([0], (&x.device(), sum)));
        }
        let largest = self.spec.precision.largest();
        let values = host_values(x.clone().detach())?;
        let mut bad = density_of_bad(&values, width, largest);
        if let Some(marks) = &self.marks {
            let rows = values.chunks_exact(width).enumerate();
            let good = |i: usize| bad.iter().all(|(row, _)| *row != i);
            let beyond = rows.filter(|(i, row)| good(*i) && !marks.layout().are_possible(row));
            let beyond: Vec<_> = beyond.map(|(i, _)| (i, f64::NEG_INFINITY)).collect();
            bad.extend(beyond);
        }
        if bad.is_empty() {
            return self.log_prob_of_finite(x.clone(), no_log_det(&x), context, None);
        }
        // Infinities would become NaN in a matrix product (0 * inf), so these rows are scored apart.
        let rows = |of: &dyn Fn(f64) -> bool| {
            let mut flags = vec![false; n];
            bad.iter().for_each(|(row, density)| flags[*row] = of(*density));
            Tensor::<1, Bool>::from_data(TensorData::new(flags, [n]), &x.device())
        };
        let (nan, any) = (rows(&f64::is_nan), rows(&|_| true));
        let safe = x.clone().mask_fill(any.clone().reshape([n, 1]).expand([n, width]), 0.5);
        let log_prob = self.log_prob_of_finite(safe, no_log_det(&x), context, None)?;
        Ok(log_prob.mask_fill(any, f64::NEG_INFINITY).mask_fill(nan, f64::NAN))
    }

    /// [`Flow::to_data`] with draws for layers that estimate: what an objective on samples calls.
    ///
    /// # Errors
    /// As [`Flow::to_data`].
    pub fn to_data_given(
        &self,
        z: Tensor<2>,
        context: Option<Tensor<2>>,
        draws: Option<Draws>,
    ) -> Result<Mapped> {
        self.to_data_by(z, context, draws, |z, given| self.chain.inverse(z, given))
    }

    /// The rows of [`Flow::to_data`] alone.
    ///
    /// # Errors
    /// As [`Flow::to_data`].
    pub(crate) fn values_of_data(
        &self,
        z: Tensor<2>,
        context: Option<Tensor<2>>,
    ) -> Result<Tensor<2>> {
        let inverse = |z, given: &Given<'_>| {
            let value = self.chain.inverse_value(z, given)?;
            Ok(Mapped { log_det: no_log_det(&value), value })
        };
        Ok(self.to_data_by(z, context, None, inverse)?.value)
    }

    /// One step of denoising, `x + s^2 grad ln p(x | context)`: of a density of what normal noise of deviation `s` was added to, that is the mean of what may have been there before.
    ///
    /// Reference: Efron. *Tweedie's Formula and Selection Bias*. J. Am. Stat. Assoc. 106, 2011, eq. 1.4.
    ///
    /// # Errors
    /// As [`Flow::log_prob`].
    pub fn denoised(
        &self,
        x: Tensor<2>,
        context: Option<Tensor<2>>,
        deviation: f64,
    ) -> Result<Tensor<2>> {
        let noisy = x.clone().autodiff().require_grad();
        let gradients = self.log_prob(noisy.clone(), context)?.sum().backward();
        let Some(slope) = noisy.grad(&gradients) else { return Ok(x) };
        let slope = slope.cast(x.dtype());
        Ok(x + slope.mul_scalar(deviation * deviation))
    }

    fn to_data_by(
        &self,
        z: Tensor<2>,
        context: Option<Tensor<2>>,
        draws: Option<Draws>,
        inverse: impl FnOnce(Tensor<2>, &Given<'_>) -> Result<Mapped>,
    ) -> Result<Mapped> {
        self.check_width("base", z.dims()[1])?;
        let context = self.context(z.dims()[0], context)?;
        let z = z.cast(self.dtype());
        let seen = self.embedded(context.clone())?;
        let Some(marks) = &self.marks else {
            return inverse(z, &Given { context: seen.as_ref(), draws });
        };
        let m = marks.layout().marks();
        let of_marks = host_values(z.clone().narrow(1, 0, m))?;
        let [found, log_det] = marks.to_data(&of_marks, context.as_ref())?;
        let shares = marks.shares(&found);
        let given = seen.into_iter().chain([shares]).collect();
        let given = Some(Tensor::cat(given, 1));
        let n = z.dims()[0];
        let found = Tensor::from_data(TensorData::new(found, [n, m]), (&self.device, self.dtype()));
        let given = Given { context: given.as_ref(), draws };
        self.beside(found, log_det, z, |z| inverse(z, &given))
    }

    /// Marks that were mapped, with the log-determinant of that, beside numbers to be mapped.
    fn beside(
        &self,
        marks: Tensor<2>,
        log_det: Vec<f64>,
        numbers: Tensor<2>,
        map: impl FnOnce(Tensor<2>) -> Result<Mapped>,
    ) -> Result<Mapped> {
        let log_det = no_log_det(&marks) + of_rows(log_det, &self.device);
        if self.numbers() == 0 {
            return Ok(Mapped { value: marks, log_det });
        }
        let [_, width] = numbers.dims();
        let numbers = numbers.narrow(1, width - self.numbers(), self.numbers());
        let mapped = map(numbers)?;
        let log_det = mapped.log_det.clone() + log_det.cast(mapped.log_det.dtype());
        Ok(Mapped { value: Tensor::cat(vec![marks, mapped.value], 1), log_det })
    }

    /// The parts of rows, and what each is given.
    fn split(&self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<Split> {
        self.check_width("data", x.dims()[1])?;
        let context = self.context(x.dims()[0], context)?;
        let x = x.cast(self.dtype());
        let Some(marks) = &self.marks else {
            return Ok(Split {
                marks: vec![],
                shares: None,
                numbers: x,
                given: self.embedded(context.clone())?,
                context,
            });
        };
        let m = marks.layout().marks();
        let of_marks = host_values(x.clone().narrow(1, 0, m).detach())?;
        let shares = marks.shares(&of_marks);
        let seen = self.embedded(context.clone())?;
        let given = seen.into_iter().chain([shares.clone()]).collect();
        let numbers = match self.numbers() {
            0 => x,
            numbers => x.narrow(1, m, numbers),
        };
        let given = Some(Tensor::cat(given, 1));
        Ok(Split { marks: of_marks, shares: Some(shares), numbers, given, context })
    }

    /// What the transforms see of a context.
    fn embedded(&self, context: Option<Tensor<2>>) -> Result<Option<Tensor<2>>> {
        match &self.embedding {
            Some(embedding) => context.map(|context| embedding.forward(context)).transpose(),
            None => Ok(context),
        }
    }

    /// The flow of the numbers, given what the transforms see of the context and the shares of the marks.
    pub(crate) fn of_numbers(&self) -> Self {
        let place = self.spec.place();
        let spec = FlowSpec {
            dims: place.dims,
            context_dims: place.context,
            embedding: None,
            marks: None,
            ..(*self.spec).clone()
        };
        Self { spec: Arc::new(spec), embedding: None, marks: None, ..self.clone() }
    }

    /// The numbers of rows and what they are given, as [`Flow::of_numbers`] takes them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if there are no numbers.
    pub(crate) fn numbers_of(
        &self,
        x: &Rows,
        context: Option<&Rows>,
    ) -> Result<(Rows, Option<Rows>)> {
        let (Some(spec), Some(context)) = (&self.spec.embedding, context) else {
            return self.cut(x, context);
        };
        let context = self.context(context.len(), Some(tensor_of(context)))?;
        let seen = self.embedded(context)?.map_or(Ok(Vec::new()), host_values)?;
        self.cut(x, Some(&Rows::new(seen, spec.seen(self.context_dims()))?))
    }

    /// The numbers of rows, and their contexts with the shares of their marks.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if there are no numbers.
    pub(crate) fn cut(&self, x: &Rows, context: Option<&Rows>) -> Result<(Rows, Option<Rows>)> {
        let Some(marks) = &self.marks else { return Ok((x.clone(), context.cloned())) };
        let width = context.map_or(0, Rows::width) + marks.layout().width();
        let context = context.map_or(&[][..], Rows::values);
        let split = SplitRows::new(marks.layout(), x.values(), context, x.width());
        Ok((Rows::new(split.numbers, self.numbers())?, Some(Rows::new(split.extended, width)?)))
    }

    /// The log-density of the base at `z: [n, d]`; that of marks is standard normal.
    pub fn log_base(&self, z: Tensor<2>) -> Tensor<1> {
        let Some(marks) = &self.marks else { return self.base.log_prob(z) };
        let m = marks.layout().marks();
        let of_marks = standard_normal_log_prob(z.clone().narrow(1, 0, m));
        match self.numbers() {
            0 => of_marks,
            numbers => {
                let of_numbers = self.base.log_prob(z.narrow(1, m, numbers));
                let dtype = of_numbers.dtype();
                of_numbers + of_marks.cast(dtype)
            }
        }
    }

    /// [`Flow::log_prob`] for rows that are known to be finite, after a map with these log-determinants, with draws for layers that estimate:
    /// what training calls.
    pub(crate) fn log_prob_of_finite(
        &self,
        x: Tensor<2>,
        log_det: Tensor<1>,
        context: Option<Tensor<2>>,
        draws: Option<Draws>,
    ) -> Result<Tensor<1>> {
        let row = self.split(x, context)?;
        let log_det = match (&self.marks, &row.shares) {
            (Some(marks), Some(shares)) => {
                let dtype = log_det.dtype();
                log_det + marks.log_prob(shares, row.context.as_ref()).cast(dtype)
            }
            _ => log_det,
        };
        if self.numbers() == 0 {
            return Ok(log_det);
        }
        let given = Given { context: row.given.as_ref(), draws };
        let mapped = self.chain.forward_after(log_det, row.numbers, &given)?;
        let sum = mapped.log_det.dtype();
        Ok(self.base.log_prob(mapped.value).cast(sum) + mapped.log_det)
    }

    /// Data to base: `z` and `log|det dz/dx|`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn to_base(&self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<Mapped> {
        let n = x.dims()[0];
        let row = self.split(x, context)?;
        let given = Given::context(row.given.as_ref());
        let Some(marks) = &self.marks else { return self.chain.forward(row.numbers, &given) };
        let [z, log_det] = marks.to_base(&row.marks, row.context.as_ref())?;
        let shape = [n, marks.layout().marks()];
        let z = Tensor::from_data(TensorData::new(z, shape), (&self.device, self.dtype()));
        self.beside(z, log_det, row.numbers, |x| self.chain.forward(x, &given))
    }

    /// Base to data: `x` and `log|det dx/dz|`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if a width or the number of rows is wrong.
    pub fn to_data(&self, z: Tensor<2>, context: Option<Tensor<2>>) -> Result<Mapped> {
        self.to_data_given(z, context, None)
    }

    /// The log-scales of all layers at some rows, see [`Transform::scales`].
    ///
    /// # Errors
    /// As [`Flow::to_base`].
    pub fn scales(&self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<Vec<Scales>> {
        let row = self.split(x, context)?;
        if self.numbers() == 0 {
            return Ok(Vec::new());
        }
        self.chain.scales(&row.numbers, &Given::context(row.given.as_ref()))
    }

    /// How often fields are evaluated to map a row, on average over these, see [`Transform::evaluations`].
    ///
    /// # Errors
    /// As [`Flow::to_base`].
    pub fn evaluations(&self, x: Tensor<2>, context: Option<Tensor<2>>) -> Result<f64> {
        let row = self.split(x, context)?;
        match self.numbers() {
            0 => Ok(0.0),
            _ => self.chain.evaluations(&row.numbers, &Given::context(row.given.as_ref())),
        }
    }

    /// Where the numbers of rows are on their way from data to base: at the start, after each layer, and inside layers that solve a differential equation at `stops` equal parts, see
    /// [`Transform::path`].
    ///
    /// # Errors
    /// As [`Flow::to_base`]; [`crate::ErrorKind::Config`] for no stops.
    pub fn path(
        &self,
        x: Tensor<2>,
        context: Option<Tensor<2>>,
        stops: usize,
    ) -> Result<Vec<Tensor<2>>> {
        if stops == 0 {
            return Err(Error::config("a path needs at least one stop, found 0"));
        }
        let row = self.split(x, context)?;
        let mut places = vec![row.numbers.clone()];
        if self.numbers() > 0 {
            let given = Given::context(row.given.as_ref());
            places.extend(self.chain.path(&row.numbers, &given, stops)?);
        }
        Ok(places)
    }

    /// `n` draws, `[n, d]`. Row `i` is the same for every `n` above `i`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] if the context does not have `n` rows.
    pub fn sample(&self, n: usize, context: Option<Tensor<2>>, seed: u64) -> Result<Tensor<2>> {
        self.values_of_data(self.draw(n, seed, 0, 1.0)?, context)
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
        let log_base = self.log_base(z.clone());
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
            let mut rng = streams.rng(Purpose::Sample, 0, first + i as u64);
            // Outcomes have no spread: a temperature is about numbers.
            let (marks, numbers) = row.split_at_mut(d - self.numbers());
            fill_normal(&mut rng, marks);
            sampler(&mut rng, temperature, numbers);
        }
        Ok(Tensor::from_data(TensorData::new(values, [n, d]), (&self.device, self.dtype())))
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

    /// The context in the precision of the weights, checked.
    pub(crate) fn context(
        &self,
        rows: usize,
        context: Option<Tensor<2>>,
    ) -> Result<Option<Tensor<2>>> {
        match (self.context_dims(), context) {
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
                Ok(Some(context.cast(self.dtype())))
            }
        }
    }
}
