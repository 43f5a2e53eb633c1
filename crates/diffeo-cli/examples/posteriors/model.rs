//! What the posteriors have in common.

use diffeo::inference::{Domain, PlainDensity};
use serde_json::Value;

use crate::dual::{Dual, Number};

/// A posterior density over constrained numbers.
pub(crate) trait Model: Send + Sync {
    /// Where its numbers lie.
    fn domains(&self) -> Vec<Domain>;

    /// `ln p` up to a constant.
    fn log_density<N: Number>(&self, x: &[N]) -> N;

    /// What the reference draws hold, of the numbers of a point.
    fn parameters(&self, x: &[f64]) -> Vec<f64>;
}

/// A model with its gradient by forward differentiation.
pub(crate) struct Differentiated<M>(pub(crate) M);

impl<M: Model> Differentiated<M> {
    fn by<const D: usize>(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let variables: Vec<Dual<D>> =
            x.iter().enumerate().map(|(i, x)| Dual::variable(*x, i)).collect();
        let found = self.0.log_density(&variables);
        gradient.copy_from_slice(&found.slopes()[..x.len()]);
        found.value()
    }
}

impl<M: Model> PlainDensity for Differentiated<M> {
    fn dims(&self) -> usize {
        self.0.domains().iter().map(Domain::size).sum()
    }

    fn log_density(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        match x.len() {
            0..=4 => self.by::<4>(x, gradient),
            5..=8 => self.by::<8>(x, gradient),
            _ => self.by::<16>(x, gradient),
        }
    }
}

/// `ln N(x; mean, deviation^2)` without its constant.
pub(crate) fn normal<N: Number>(x: N, mean: f64, deviation: f64) -> N {
    (x - N::constant(mean)).square().scale(-0.5 / deviation.powi(2))
}

/// `ln` of a Cauchy density about 0 without its constant.
pub(crate) fn cauchy<N: Number>(x: N, scale: f64) -> N {
    -(N::constant(1.0) + x.scale(1.0 / scale).square()).ln()
}

/// `ln` of a log-normal density of `y` with median `median`, without `ln(2 pi) / 2`.
pub(crate) fn log_normal<N: Number>(y: f64, median: N, sigma: N) -> N {
    let off = (N::constant(y.ln()) - median.ln()) / sigma;
    off.square().scale(-0.5) - sigma.ln()
}

/// `ln(e^a + e^b)`.
pub(crate) fn log_add<N: Number>(a: N, b: N) -> N {
    let (high, low) = if a.value() > b.value() { (a, b) } else { (b, a) };
    high + (N::constant(1.0) + (low - high).exp()).ln()
}

/// A list of numbers in JSON.
pub(crate) fn list(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}
