//! Constrained parameters as unconstrained numbers: what a flow on the real line needs of a posterior over scales, shares and correlations.

use burn::tensor::{Tensor, activation};

use super::target::LogDensity;
use crate::error::{Error, Result};

/// Where some numbers of a target lie, and the smooth map from the real line onto it.
///
/// Maps and log-determinants are those of the Stan Reference Manual, chapter "Constraint Transforms"; the determinant is of the free numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// So many numbers without a constraint.
    Real(usize),
    /// So many numbers above 0, `x = e^z`.
    Positive(usize),
    /// So many numbers between bounds, `x = low + (high - low) / (1 + e^-z)`.
    Interval {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
        /// How many.
        count: usize,
    },
    /// So many shares that sum to 1, from one number less: each takes a part of what those before left, `1 / (1 + e^-(z - ln of those to come))`.
    Simplex(usize),
    /// So many numbers in ascending order: the first, then gaps `e^z`.
    Ordered(usize),
    /// The Cholesky factor of a correlation matrix of this size, row after row with the zeros above the diagonal, from its `k (k - 1) / 2` partial correlations `tanh z`.
    CorrelationCholesky(usize),
}

/// Values of a domain, `[n, size]`, and the log-determinant of the map onto it, `[n]`.
struct Onto {
    value: Tensor<2>,
    log_det: Tensor<1>,
}

impl Domain {
    /// Free numbers.
    pub fn free(&self) -> usize {
        match *self {
            Self::Real(n) | Self::Positive(n) | Self::Ordered(n) => n,
            Self::Interval { count, .. } => count,
            Self::Simplex(n) => n.saturating_sub(1),
            Self::CorrelationCholesky(k) => k * k.saturating_sub(1) / 2,
        }
    }

    /// Numbers of a value.
    pub fn size(&self) -> usize {
        match *self {
            Self::Simplex(n) => n,
            Self::CorrelationCholesky(k) => k * k,
            _ => self.free(),
        }
    }

    fn validate(&self) -> Result<()> {
        let fault = match *self {
            Self::Interval { low, high, .. }
                if !(low.is_finite() && high.is_finite() && low < high) =>
            {
                format!("an interval needs finite bounds with low < high, found {low} and {high}")
            }
            Self::Simplex(n) | Self::CorrelationCholesky(n) if n < 2 => {
                format!("a simplex or a correlation matrix has at least 2 parts, found {n}")
            }
            _ if self.free() == 0 => "a domain holds at least one number".to_owned(),
            _ => return Ok(()),
        };
        Err(Error::config(fault))
    }

    fn onto(&self, z: Tensor<2>) -> Onto {
        match *self {
            Self::Real(_) => Onto { log_det: sum(z.clone().mul_scalar(0.0)), value: z },
            Self::Positive(_) => Onto { log_det: sum(z.clone()), value: z.exp() },
            Self::Interval { low, high, count } => {
                // ln of the slope of the sigmoid is symmetric; written so that neither end overflows.
                let slopes =
                    activation::log_sigmoid(z.clone()) + activation::log_sigmoid(z.clone().neg());
                let width = high - low;
                let log_det = sum(slopes).add_scalar(count as f64 * width.ln());
                Onto { value: activation::sigmoid(z).mul_scalar(width).add_scalar(low), log_det }
            }
            Self::Simplex(n) => simplex(z, n),
            Self::Ordered(n) => ordered(z, n),
            Self::CorrelationCholesky(k) => correlation(z, k),
        }
    }
}

fn sum(values: Tensor<2>) -> Tensor<1> {
    let n = values.dims()[0];
    values.sum_dim(1).reshape([n])
}

fn simplex(z: Tensor<2>, n: usize) -> Onto {
    let rows = z.dims()[0];
    // `ln` of what is left.
    let mut left = z.clone().narrow(1, 0, 1).mul_scalar(0.0);
    let mut log_det = left.clone().reshape([rows]);
    let mut parts = Vec::with_capacity(n);
    for i in 0..n - 1 {
        let y = z.clone().narrow(1, i, 1).sub_scalar(((n - 1 - i) as f64).ln());
        let (log_part, log_rest) =
            (activation::log_sigmoid(y.clone()), activation::log_sigmoid(y.neg()));
        log_det = log_det + (log_part.clone() + log_rest.clone() + left.clone()).reshape([rows]);
        parts.push((left.clone() + log_part).exp());
        left = left + log_rest;
    }
    parts.push(left.exp());
    Onto { value: Tensor::cat(parts, 1), log_det }
}

fn ordered(z: Tensor<2>, n: usize) -> Onto {
    let rows = z.dims()[0];
    let mut last = z.clone().narrow(1, 0, 1);
    let mut log_det = last.clone().mul_scalar(0.0).reshape([rows]);
    let mut parts = vec![last.clone()];
    for i in 1..n {
        let gap = z.clone().narrow(1, i, 1);
        log_det = log_det + gap.clone().reshape([rows]);
        last = last + gap.exp();
        parts.push(last.clone());
    }
    Onto { value: Tensor::cat(parts, 1), log_det }
}

/// Row `i` of the factor: `w_j = c_ij` times the square root of what the numbers before left of 1, and that on the diagonal.
fn correlation(z: Tensor<2>, k: usize) -> Onto {
    let rows = z.dims()[0];
    let zero = z.clone().narrow(1, 0, 1).mul_scalar(0.0);
    let mut log_det = zero.clone().reshape([rows]);
    let mut parts = Vec::with_capacity(k * k);
    let mut at = 0;
    for i in 0..k {
        // Half the logarithm of what is left.
        let mut left = zero.clone();
        for _ in 0..i {
            let y = z.clone().narrow(1, at, 1);
            at += 1;
            // ln(1 - tanh^2) = 2 (ln 2 - |y| - ln(1 + e^-2|y|)), finite at any y.
            let size = y.clone().abs();
            let bent = (size.clone().mul_scalar(-2.0)).exp().log1p();
            let log_rest = (size + bent).neg().add_scalar(2f64.ln());
            log_det = log_det + (log_rest.clone().mul_scalar(2.0) + left.clone()).reshape([rows]);
            parts.push(y.tanh() * left.clone().exp());
            left = left + log_rest;
        }
        parts.push(left.exp());
        parts.extend((i + 1..k).map(|_| zero.clone()));
    }
    Onto { value: Tensor::cat(parts, 1), log_det }
}

/// A target over constrained numbers, as one over free ones: `ln p(x(z)) + ln |dx/dz|`.
#[derive(Clone, Debug)]
pub struct Constrained<D> {
    target: D,
    domains: Vec<Domain>,
}

impl<D: LogDensity> Constrained<D> {
    /// The numbers of the target, one domain after another.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a domain that is empty, [`crate::ErrorKind::Shape`] unless the domains have as many numbers as the target.
    pub fn new(target: D, domains: Vec<Domain>) -> Result<Self> {
        domains.iter().try_for_each(Domain::validate)?;
        let size: usize = domains.iter().map(Domain::size).sum();
        if size != target.dims() {
            let expected = target.dims();
            return Err(Error::shape(format!(
                "the target has {expected} numbers, its domains {size}"
            )));
        }
        Ok(Self { target, domains })
    }

    /// The target over constrained numbers.
    pub fn target(&self) -> &D {
        &self.target
    }

    /// Where rows of free numbers, `[n, free]`, lie: rows of the target, `[n, size]`.
    pub fn constrained(&self, z: Tensor<2>) -> Tensor<2> {
        self.onto(z).value
    }

    fn onto(&self, z: Tensor<2>) -> Onto {
        let rows = z.dims()[0];
        let (mut at, mut parts) = (0, Vec::with_capacity(self.domains.len()));
        let mut log_det = z.clone().narrow(1, 0, 1).mul_scalar(0.0).reshape([rows]);
        for domain in &self.domains {
            let onto = domain.onto(z.clone().narrow(1, at, domain.free()));
            at += domain.free();
            log_det = log_det + onto.log_det;
            parts.push(onto.value);
        }
        Onto { value: Tensor::cat(parts, 1), log_det }
    }
}

impl<D: LogDensity> LogDensity for Constrained<D> {
    fn dims(&self) -> usize {
        self.domains.iter().map(Domain::free).sum()
    }

    fn log_density(&self, z: Tensor<2>) -> Result<Tensor<1>> {
        let Onto { value, log_det } = self.onto(z);
        let log_p = self.target.log_density(value)?;
        let log_det = log_det.cast(log_p.dtype());
        Ok(log_p + log_det)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::host::linalg::{host_values, log_abs_det};

    fn tensor(values: &[f64], width: usize) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [values.len() / width, width]);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn domains() -> Vec<Domain> {
        vec![
            Domain::Real(2),
            Domain::Positive(2),
            Domain::Interval { low: -1.0, high: 3.0, count: 2 },
            Domain::Simplex(4),
            Domain::Ordered(3),
            Domain::CorrelationCholesky(4),
        ]
    }

    /// The places among a domain's numbers that its free numbers are a map onto.
    fn independent(domain: &Domain) -> Vec<usize> {
        match *domain {
            Domain::CorrelationCholesky(k) => {
                (0..k).flat_map(|i| (0..i).map(move |j| i * k + j)).collect()
            }
            _ => (0..domain.free()).collect(),
        }
    }

    #[test]
    fn log_determinants_are_those_of_finite_differences() {
        for domain in domains() {
            let d = domain.free();
            let z: Vec<f64> = (0..d).map(|i| 0.4 * (1.3 * i as f64 + 0.5).sin() - 0.1).collect();
            let value = |z: &[f64]| host_values(domain.onto(tensor(z, d)).value).unwrap();
            let places = independent(&domain);
            let mut jacobian = vec![0.0; d * d];
            for j in 0..d {
                let moved = |step: f64| {
                    let mut z = z.clone();
                    z[j] += step;
                    value(&z)
                };
                let (up, down) = (moved(1e-5), moved(-1e-5));
                for (i, &place) in places.iter().enumerate() {
                    jacobian[i * d + j] = (up[place] - down[place]) / 2e-5;
                }
            }
            let found = host_values(domain.onto(tensor(&z, d)).log_det).unwrap()[0];
            let exact = log_abs_det(jacobian, d);
            assert!((found - exact).abs() < 1e-8, "{domain:?}: {found} {exact}");
        }
    }

    #[test]
    fn values_lie_where_they_must_also_far_out() {
        for domain in domains() {
            let d = domain.free();
            for far in [0.0, 3.0, -30.0, 30.0] {
                let z: Vec<f64> = (0..d).map(|i| if i % 2 == 0 { far } else { -far }).collect();
                let onto = domain.onto(tensor(&z, d));
                let value = host_values(onto.value).unwrap();
                assert_eq!(value.len(), domain.size());
                let log_det = host_values(onto.log_det).unwrap()[0];
                assert!(log_det.is_finite(), "{domain:?} {far}: {log_det}");
                let good = match domain {
                    Domain::Real(_) => true,
                    Domain::Positive(_) => value.iter().all(|x| *x > 0.0),
                    Domain::Interval { low, high, .. } => {
                        value.iter().all(|x| (low..=high).contains(x))
                    }
                    Domain::Simplex(_) => {
                        value.iter().all(|x| *x >= 0.0)
                            && (value.iter().sum::<f64>() - 1.0).abs() < 1e-12
                    }
                    Domain::Ordered(_) => value.windows(2).all(|w| w[0] <= w[1]),
                    Domain::CorrelationCholesky(k) => value
                        .chunks_exact(k)
                        .all(|row| (row.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-12),
                };
                assert!(good, "{domain:?} {far}: {value:?}");
            }
        }
    }

    /// Uniform over its numbers.
    struct Flat(usize);

    impl LogDensity for Flat {
        fn dims(&self) -> usize {
            self.0
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            Ok(sum(x.mul_scalar(0.0)))
        }
    }

    #[test]
    fn a_constrained_target_has_its_domains_in_turn() {
        let size: usize = domains().iter().map(Domain::size).sum();
        let target = Constrained::new(Flat(size), domains()).unwrap();
        assert_eq!(target.dims(), 2 + 2 + 2 + 3 + 3 + 6);
        let z = tensor(&vec![0.1; 2 * target.dims()], target.dims());
        assert_eq!(target.constrained(z.clone()).dims(), [2, size]);
        assert_eq!(target.log_density(z).unwrap().dims(), [2]);
        assert!(Constrained::new(Flat(size + 1), domains()).is_err());
        let empty = Domain::Interval { low: 1.0, high: 1.0, count: 1 };
        assert!(Constrained::new(Flat(1), vec![empty]).is_err());
    }
}
