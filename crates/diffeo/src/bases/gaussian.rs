//! The Gaussian with a full covariance matrix.

use burn::tensor::Tensor;
use diffeo_kernels::ops::{standard_normal_log_prob, sum_rows};
use serde::{Deserialize, Serialize};

use super::{DescribeBase, Distribution, Sampler, Written};
use crate::error::Result;
use crate::host::linalg::{SquareMatrix, host_values, product};
use crate::host::random::normal;
use crate::host::rows::Rows;
use crate::parameter::{Init, Parameter, Visitor};
use crate::{catalog::Cases, place::Place};

/// A [`Gaussian`] base, described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianSpec {}

impl DescribeBase for GaussianSpec {
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn count(&self, dims: u64) -> Option<u64> {
        dims.checked_mul(dims)?.checked_add(2 * dims)
    }

    fn build(&self, dims: usize, init: &mut Init) -> Result<Box<dyn Distribution>> {
        Ok(Box::new(Gaussian::new(dims, init)))
    }
}

impl Written for GaussianSpec {
    const USAGE: &'static str = "gaussian";

    fn written(number: Option<f64>) -> Option<Self> {
        number.is_none().then_some(Self {})
    }
}

impl Cases for GaussianSpec {
    fn cases(_at: Place) -> Vec<Self> {
        vec![Self {}]
    }
}

/// `N(mu, Sigma)` through the Cholesky factor `A = L^-1` of the precision, `Sigma = L L^T`:
/// `log p(z) = log N(A (z - mu); 0, I) + sum_i ln A_ii`.
///
/// Trainable, with `A_ii = e^s_i`; [`Distribution::fit`] gives the maximum-likelihood values in closed form.
///
/// Reference: Bishop. *Pattern Recognition and Machine Learning*. Springer 2006, eqs. 2.43 and 2.121-2.122.
#[derive(Clone, Debug)]
pub struct Gaussian {
    mean: Parameter,
    log_diagonal: Parameter,
    lower: Parameter,
}

impl Gaussian {
    /// Bound of the logarithms of the diagonal: beyond it a scale would overflow in single precision, and `0 inf` is NaN.
    const LOG_DIAGONAL_MAX: f64 = 80.0;

    /// Starts as the standard normal.
    pub fn new(dims: usize, init: &Init) -> Self {
        let zeros = || Parameter::new(init.full([1, dims], 0.0));
        let below = |row, column| row > column;
        Self {
            mean: zeros(),
            log_diagonal: zeros(),
            lower: Parameter::masked_zeros(init, [dims, dims], below),
        }
    }

    fn log_diagonal(&self) -> Tensor<2> {
        self.log_diagonal.value.clone().clamp(-Self::LOG_DIAGONAL_MAX, Self::LOG_DIAGONAL_MAX)
    }

    fn factor(&self) -> Tensor<2> {
        let d = self.dims();
        let eye = Tensor::<2>::eye(d, &self.mean.value.device()).cast(self.mean.value.dtype());
        self.lower.masked() + eye * self.log_diagonal().exp()
    }
}

/// `(1 - r) S + r tr(S) / d I` of a covariance `S` of so many rows.
fn shrink(covariance: &mut [f64], d: usize, rows: f64) {
    let p = d as f64;
    let trace: f64 = covariance.iter().step_by(d + 1).sum();
    let square: f64 = covariance.iter().map(|c| c * c).sum();
    let spread = (rows + 1.0 - 2.0 / p) * (square - trace * trace / p);
    let wanted = (1.0 - 2.0 / p) * square + trace * trace;
    let share = if wanted < spread { wanted / spread } else { 1.0 };
    covariance.iter_mut().for_each(|c| *c *= 1.0 - share);
    covariance.iter_mut().step_by(d + 1).for_each(|c| *c += share * trace / p);
}

impl Distribution for Gaussian {
    fn dims(&self) -> usize {
        self.mean.value.dims()[1]
    }

    fn log_prob(&self, z: Tensor<2>) -> Tensor<1> {
        let n = z.dims()[0];
        let white = product(z - self.mean.value.clone(), self.factor().transpose());
        standard_normal_log_prob(white) + sum_rows(self.log_diagonal()).expand([n])
    }

    fn sampler(&self) -> Result<Sampler> {
        let d = self.dims();
        let mean = host_values(self.mean.value.clone())?;
        let cholesky = SquareMatrix::from_tensor(self.factor())?.inverse()?;
        Ok(Box::new(move |rng, temperature, row| {
            let noise: Vec<f64> = (0..d).map(|_| temperature * normal(rng)).collect();
            for (i, z) in row.iter_mut().enumerate() {
                *z = mean[i] + (0..=i).map(|j| cholesky.at(i, j) * noise[j]).sum::<f64>();
            }
        }))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("mean", &mut self.mean);
        visitor("log_diagonal", &mut self.log_diagonal);
        visitor("lower", &mut self.lower);
    }

    /// Mean and covariance are those of the rows, with `1 / n`. No more rows than dimensions have a singular covariance, which is shrunk towards
    /// a multiple of the identity, by the oracle approximating shrinkage.
    ///
    /// Reference: Chen, Wiesel, Eldar, Hero. *Shrinkage Algorithms for MMSE Covariance Estimation*. IEEE Trans. Signal Process. 58, 2010,
    /// eq. 23, arXiv:0907.4698.
    fn fit(&mut self, x: &Rows, weights: Option<&[f64]>) -> Result<bool> {
        let d = x.width();
        let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
        let total: f64 = (0..x.len()).map(weight).sum();
        let mut mean = vec![0.0; d];
        for i in 0..x.len() {
            mean.iter_mut().zip(x.row(i)).for_each(|(m, v)| *m += weight(i) * v);
        }
        mean.iter_mut().for_each(|m| *m /= total);
        let mut covariance = vec![0.0; d * d];
        let mut centered = vec![0.0; d];
        for i in 0..x.len() {
            centered.iter_mut().zip(x.row(i)).zip(&mean).for_each(|((c, v), m)| *c = v - m);
            for j in 0..d {
                for k in 0..d {
                    covariance[j * d + k] += weight(i) * centered[j] * centered[k];
                }
            }
        }
        covariance.iter_mut().for_each(|c| *c /= total);
        if (0..x.len()).filter(|i| weight(*i) > 0.0).count() <= d {
            let squares: f64 = (0..x.len()).map(|i| weight(i).powi(2)).sum();
            shrink(&mut covariance, d, total * total / squares);
        }
        let a = SquareMatrix::new(covariance, d).cholesky()?.inverse()?;
        let (device, dtype) = (self.mean.value.device(), self.mean.value.dtype());
        let row = |values: Vec<f64>| {
            Tensor::from_data(burn::tensor::TensorData::new(values, [1, d]), (&device, dtype))
        };
        self.mean.value = row(mean);
        self.log_diagonal.value = row((0..d).map(|i| a.at(i, i).ln()).collect());
        let strict = |i: usize| if i / d > i % d { a.values()[i] } else { 0.0 };
        self.lower.value =
            SquareMatrix::new((0..d * d).map(strict).collect(), d).to_tensor(&device, dtype);
        Ok(true)
    }
}
