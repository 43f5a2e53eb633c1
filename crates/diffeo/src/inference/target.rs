//! Densities that are known up to a constant: what inference is about.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::error::{Error, ErrorKind, Result};
use crate::host::linalg::host_values;
use crate::host::parallel;
use crate::host::rows::Rows;

/// Rows that a thread takes at a time.
const BLOCK: usize = 16;

/// An unnormalised log-density, written with tensors so that its gradient comes by itself. One with a gradient of its own is an [`OwnGradient`].
pub trait LogDensity: Send + Sync {
    /// Numbers in a row.
    fn dims(&self) -> usize;

    /// `ln p~(x)` of each row of `x: [n, d]`, up to a constant.
    ///
    /// # Errors
    /// When an iterative method does not converge.
    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>>;
}

impl<D: LogDensity + ?Sized> LogDensity for &D {
    fn dims(&self) -> usize {
        (**self).dims()
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        (**self).log_density(x)
    }
}

/// An unnormalised log-density of plain numbers, with its gradient.
pub trait PlainDensity: Send + Sync {
    /// Numbers in a point.
    fn dims(&self) -> usize;

    /// `ln p~(x)` up to a constant; writes its gradient.
    fn log_density(&self, x: &[f64], gradient: &mut [f64]) -> f64;
}

/// A [`PlainDensity`] among tensors: values and gradients are its own, in `f64`, row by row.
#[derive(Clone, Copy, Debug)]
pub struct OwnGradient<P> {
    /// The density.
    pub density: P,
    /// Threads that rows are shared among; the result does not depend on it.
    pub threads: usize,
}

impl<P: PlainDensity> LogDensity for OwnGradient<P> {
    fn dims(&self) -> usize {
        self.density.dims()
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let [n, d] = x.dims();
        let constant = x.clone().detach();
        let points = host_values(constant.clone())?;
        let blocks = parallel::map(n.div_ceil(BLOCK), self.threads, |block| {
            let points = &points[block * BLOCK * d..((block + 1) * BLOCK).min(n) * d];
            let mut gradients = vec![0.0; points.len()];
            let rows = points.chunks_exact(d).zip(gradients.chunks_exact_mut(d));
            let values: Vec<f64> =
                rows.map(|(point, slope)| self.density.log_density(point, slope)).collect();
            Ok((values, gradients))
        })?;
        let (values, gradients): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let to = (&x.device(), x.dtype());
        let values = Tensor::<1>::from_data(TensorData::new(values.concat(), [n]), to);
        let gradients = Tensor::<2>::from_data(TensorData::new(gradients.concat(), [n, d]), to);
        // Adds nothing, and its derivative by x is the gradient.
        let slope = ((x - constant) * gradients).sum_dim(1).reshape([n]);
        Ok(values + slope)
    }
}

/// `beta ln p~ + (1 - beta) ln N(0, 1)`: on the way from a standard normal to the target, for fits that would lose modes that are far apart.
#[derive(Clone, Copy, Debug)]
pub struct Annealed<D> {
    /// The target.
    pub target: D,
    /// 0 at the normal, 1 at the target.
    pub beta: f64,
}

impl<D: LogDensity> LogDensity for Annealed<D> {
    fn dims(&self) -> usize {
        self.target.dims()
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let n = x.dims()[0];
        let normal = x.clone().square().sum_dim(1).reshape([n]).mul_scalar(-0.5);
        let target = self.target.log_density(x)?;
        Ok(target.mul_scalar(self.beta) + normal.mul_scalar(1.0 - self.beta))
    }
}

/// `ln p~` at each row of plain numbers.
///
/// # Errors
/// Those of the density.
pub(super) fn log_density_of(target: &dyn LogDensity, rows: &Rows) -> Result<Vec<f64>> {
    let x = Tensor::<2>::from_data(
        TensorData::new(rows.values().to_vec(), [rows.len(), rows.width()]),
        (&Device::flex(), DType::F64),
    );
    host_values(target.log_density(x)?)
}

/// `ln p~` and its gradient at rows.
///
/// # Errors
/// Those of the density.
pub(super) fn value_and_gradient(target: &dyn LogDensity, x: &Rows) -> Result<(Vec<f64>, Rows)> {
    let data = TensorData::new(x.values().to_vec(), [x.len(), x.width()]);
    let x_tensor = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
    let leaf = x_tensor.autodiff().require_grad();
    let log_p = target.log_density(leaf.clone())?;
    let values = host_values(log_p.clone().detach())?;
    if !log_p.is_tracked() {
        return Ok((values, Rows::zeros(x.len(), x.width())));
    }
    // Rows do not depend on each other, so that the gradient of the sum holds those of all.
    let mut gradients = log_p.sum().backward();
    let gradient = match leaf.grad_remove(&mut gradients) {
        Some(gradient) => Rows::new(host_values(gradient)?, x.width())?,
        None => Rows::zeros(x.len(), x.width()),
    };
    Ok((values, gradient))
}

/// Refuses a target whose slope by some number is finite at none of the rows, or whose value is: no step along it is one.
///
/// # Errors
/// [`ErrorKind::Domain`] with the number, counted from 1; those of the density.
pub(super) fn expect_slopes(target: &dyn LogDensity, rows: &Rows) -> Result<()> {
    let (values, slopes) = value_and_gradient(target, rows)?;
    let (n, d) = (rows.len(), rows.width());
    let is_never = |j: &usize| !(0..n).any(|i| slopes.row(i)[*j].is_finite());
    let never: Vec<usize> = (0..d).filter(is_never).collect();
    // A slope that is no number makes the value none, too.
    if never.is_empty() || never.len() == d {
        if values.iter().any(|v| v.is_finite()) && never.is_empty() {
            return Ok(());
        }
        let text = format!(
            "the target or its gradient is finite at none of {n} draws; at the first the target is {}",
            values[0]
        );
        return Err(Error::new(ErrorKind::Domain, text));
    }
    Err(Error::new(
        ErrorKind::Domain,
        format!(
            "the gradient of the target by number {} is finite at none of {n} draws, at the first it is {}; look at how the density depends on that number",
            never[0] + 1,
            slopes.row(0)[never[0]]
        ),
    ))
}
