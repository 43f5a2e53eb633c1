//! The eight posteriors that are no linear regressions. Densities are those of the `model.stan` beside the data.

use diffeo::inference::Domain;
use serde_json::Value;

use crate::dual::Number;
use crate::model::{Model, cauchy, list, log_add, log_normal, normal};

/// Treatment effects of eight schools, with a common mean and spread.
pub(crate) struct Schools {
    effects: Vec<f64>,
    errors: Vec<f64>,
}

impl Schools {
    pub(crate) fn new(data: &Value) -> Self {
        Self { effects: list(&data["y"]), errors: list(&data["sigma"]) }
    }
}

impl Model for Schools {
    fn domains(&self) -> Vec<Domain> {
        vec![Domain::Real(9), Domain::Positive(1)]
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let (mu, tau) = (x[8], x[9]);
        let mut log_p = normal(mu, 0.0, 5.0) + cauchy(tau, 5.0);
        for (i, raw) in x[..8].iter().enumerate() {
            let theta = *raw * tau + mu;
            log_p = log_p + normal(*raw, 0.0, 1.0) + normal(theta, self.effects[i], self.errors[i]);
        }
        log_p
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        x[..8].iter().map(|raw| raw * x[9] + x[8]).chain([x[8], x[9]]).collect()
    }
}

/// A series whose variance follows from its last value and its last variance.
pub(crate) struct Garch {
    y: Vec<f64>,
    first: f64,
}

impl Garch {
    pub(crate) fn new(data: &Value) -> Self {
        Self { y: list(&data["y"]), first: data["sigma1"].as_f64().unwrap_or(1.0) }
    }
}

impl Model for Garch {
    /// `beta1` is the last number times what `alpha1` leaves of 1.
    fn domains(&self) -> Vec<Domain> {
        let share = || Domain::Interval { low: 0.0, high: 1.0, count: 1 };
        vec![Domain::Real(1), Domain::Positive(1), share(), share()]
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let (mu, alpha0, alpha1) = (x[0], x[1], x[2]);
        let left = N::constant(1.0) - alpha1;
        let beta1 = x[3] * left;
        let mut variance = N::constant(self.first * self.first);
        let mut log_p = left.ln();
        for (t, y) in self.y.iter().enumerate() {
            if t > 0 {
                let off = N::constant(self.y[t - 1]) - mu;
                variance = alpha0 + alpha1 * off.square() + beta1 * variance;
            }
            let off = N::constant(*y) - mu;
            log_p = log_p - (variance.ln() + off.square() / variance).scale(0.5);
        }
        log_p
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        vec![x[0], x[1], x[2], x[3] * (1.0 - x[2])]
    }
}

/// Gaussian processes of eleven points: of normal values, or of counts by their logarithm.
pub(crate) struct Process {
    x: Vec<f64>,
    outcome: Vec<f64>,
    counts: bool,
}

impl Process {
    pub(crate) fn new(data: &Value, counts: bool) -> Self {
        let outcome = list(&data[if counts { "k" } else { "y" }]);
        Self { x: list(&data["x"]), outcome, counts }
    }

    /// The Cholesky factor of the covariance, row after row.
    fn factor<N: Number>(&self, rho: N, alpha: N, more: N) -> Vec<N> {
        let n = self.x.len();
        let mut l = vec![N::constant(0.0); n * n];
        for i in 0..n {
            for j in 0..=i {
                let far = (N::constant(self.x[i] - self.x[j]) / rho).square().scale(-0.5);
                let mut rest = alpha.square() * far.exp();
                if i == j {
                    rest = rest + more;
                }
                for k in 0..j {
                    rest = rest - l[i * n + k] * l[j * n + k];
                }
                l[i * n + j] = if i == j { rest.sqrt() } else { rest / l[j * n + j] };
            }
        }
        l
    }

    fn values<N: Number>(&self, factor: &[N], raw: &[N]) -> Vec<N> {
        let n = self.x.len();
        let value = |i: usize| {
            let terms = factor[i * n..=i * n + i].iter().zip(raw);
            terms.fold(N::constant(0.0), |sum, (l, r)| sum + *l * *r)
        };
        (0..n).map(value).collect()
    }
}

impl Model for Process {
    fn domains(&self) -> Vec<Domain> {
        match self.counts {
            true => vec![Domain::Positive(2), Domain::Real(self.x.len())],
            false => vec![Domain::Positive(3)],
        }
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let (rho, alpha) = (x[0], x[1]);
        let mut log_p = rho.ln().scale(24.0) - rho.scale(4.0) + normal(alpha, 0.0, 2.0);
        if self.counts {
            let factor = self.factor(rho, alpha, N::constant(1e-10));
            for (f, k) in self.values(&factor, &x[2..]).into_iter().zip(&self.outcome) {
                log_p = log_p + f.scale(*k) - f.exp();
            }
            x[2..].iter().for_each(|raw| log_p = log_p + normal(*raw, 0.0, 1.0));
            return log_p;
        }
        let (sigma, n) = (x[2], self.x.len());
        let factor = self.factor(rho, alpha, sigma);
        log_p = log_p + normal(sigma, 0.0, 1.0);
        let mut white: Vec<N> = Vec::with_capacity(n);
        for i in 0..n {
            let known = white.iter().enumerate();
            let rest =
                known.fold(N::constant(self.outcome[i]), |r, (k, w)| r - factor[i * n + k] * *w);
            let own = factor[i * n + i];
            white.push(rest / own);
            log_p = log_p - own.ln() - white[i].square().scale(0.5);
        }
        log_p
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        if !self.counts {
            return x.to_vec();
        }
        let factor = self.factor(x[0], x[1], 1e-10);
        x[..2].iter().copied().chain(self.values(&factor, &x[2..])).collect()
    }
}

/// A hidden Markov chain of two states with normal outputs.
pub(crate) struct HiddenMarkov {
    y: Vec<f64>,
}

impl HiddenMarkov {
    pub(crate) fn new(data: &Value) -> Self {
        Self { y: list(&data["y"]) }
    }
}

impl Model for HiddenMarkov {
    /// Two rows of probabilities, the first mean, and how far the second is above it.
    fn domains(&self) -> Vec<Domain> {
        vec![Domain::Simplex(2), Domain::Simplex(2), Domain::Positive(2)]
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let means = [x[4], x[4] + x[5]];
        let log_moves = [[x[0].ln(), x[1].ln()], [x[2].ln(), x[3].ln()]];
        let output = |y: f64, k: usize| (N::constant(y) - means[k]).square().scale(-0.5);
        let mut forward = [output(self.y[0], 0), output(self.y[0], 1)];
        for y in &self.y[1..] {
            let arrive = |k: usize| {
                log_add(forward[0] + log_moves[0][k], forward[1] + log_moves[1][k]) + output(*y, k)
            };
            forward = [arrive(0), arrive(1)];
        }
        log_add(forward[0], forward[1]) + normal(means[0], 3.0, 1.0) + normal(means[1], 10.0, 1.0)
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        x[..4].iter().copied().chain([x[4], x[4] + x[5]]).collect()
    }
}

/// A mixture of two normals.
pub(crate) struct Mixture {
    y: Vec<f64>,
}

impl Mixture {
    pub(crate) fn new(data: &Value) -> Self {
        Self { y: list(&data["y"]) }
    }
}

impl Model for Mixture {
    fn domains(&self) -> Vec<Domain> {
        let share = Domain::Interval { low: 0.0, high: 1.0, count: 1 };
        vec![Domain::Ordered(2), Domain::Positive(2), share]
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let theta = x[4];
        let rest = N::constant(1.0) - theta;
        let mut log_p = (theta.ln() + rest.ln()).scale(4.0);
        x[..4].iter().for_each(|v| log_p = log_p + normal(*v, 0.0, 2.0));
        let starts = [theta.ln() - x[2].ln(), rest.ln() - x[3].ln()];
        for y in &self.y {
            let part =
                |k: usize| starts[k] - ((N::constant(*y) - x[k]) / x[2 + k]).square().scale(0.5);
            log_p = log_p + log_add(part(0), part(1));
        }
        log_p
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        x.to_vec()
    }
}

/// Steps of the classical Runge-Kutta method between two measurements a unit of time apart.
const STEPS: usize = 12;

/// One step of it.
fn runge_kutta<N: Number, const S: usize>(
    state: [N; S],
    time: f64,
    step: f64,
    field: impl Fn(f64, &[N; S]) -> [N; S],
) -> [N; S] {
    let moved = |slopes: &[N; S], by: f64| {
        let mut there = state;
        there.iter_mut().zip(slopes).for_each(|(s, k)| *s = *s + k.scale(by));
        there
    };
    let k1 = field(time, &state);
    let k2 = field(time + 0.5 * step, &moved(&k1, 0.5 * step));
    let k3 = field(time + 0.5 * step, &moved(&k2, 0.5 * step));
    let k4 = field(time + step, &moved(&k3, step));
    let mut there = state;
    for (i, s) in there.iter_mut().enumerate() {
        *s = *s + (k1[i] + k4[i] + (k2[i] + k3[i]).scale(2.0)).scale(step / 6.0);
    }
    there
}

/// Hares and lynxes.
pub(crate) struct Predation {
    first: Vec<f64>,
    measured: Vec<Vec<f64>>,
}

impl Predation {
    pub(crate) fn new(data: &Value) -> Self {
        let measured = data["y"].as_array().into_iter().flatten().map(list).collect();
        Self { first: list(&data["y_init"]), measured }
    }
}

impl Model for Predation {
    fn domains(&self) -> Vec<Domain> {
        vec![Domain::Positive(8)]
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let (start, sigma) = ([x[4], x[5]], [x[6], x[7]]);
        let mut log_p = N::constant(0.0);
        for (i, mean, deviation) in [(0, 1.0, 0.5), (1, 0.05, 0.05), (2, 1.0, 0.5), (3, 0.05, 0.05)]
        {
            log_p = log_p + normal(x[i], mean, deviation);
        }
        for k in 0..2 {
            // A log-normal prior has the density of its own number.
            let prior = |v: N, centre: f64| normal(v.ln(), centre, 1.0) - v.ln();
            log_p = log_p + prior(sigma[k], -1.0) + prior(start[k], 10f64.ln());
            log_p = log_p + log_normal(self.first[k], start[k], sigma[k]);
        }
        let field = |_: f64, z: &[N; 2]| [(x[0] - x[1] * z[1]) * z[0], (x[3] * z[0] - x[2]) * z[1]];
        let mut state = start;
        for row in &self.measured {
            for _ in 0..STEPS {
                state = runge_kutta(state, 0.0, 1.0 / STEPS as f64, field);
            }
            for k in 0..2 {
                log_p = log_p + log_normal(row[k], state[k], sigma[k]);
            }
        }
        log_p
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        x.to_vec()
    }
}

/// A drug that is absorbed, and eliminated at a rate that saturates.
pub(crate) struct Elimination {
    times: Vec<f64>,
    measured: Vec<f64>,
    dose: f64,
    volume: f64,
}

impl Elimination {
    pub(crate) fn new(data: &Value) -> Self {
        let number = |key: &str| data[key].as_f64().unwrap_or(f64::NAN);
        Self {
            times: list(&data["times"]),
            measured: list(&data["C_hat"]),
            dose: number("D"),
            volume: number("V"),
        }
    }
}

impl Model for Elimination {
    fn domains(&self) -> Vec<Domain> {
        vec![Domain::Positive(4)]
    }

    fn log_density<N: Number>(&self, x: &[N]) -> N {
        let (absorption, half, most, sigma) = (x[0], x[1], x[2], x[3]);
        let mut log_p = x.iter().fold(N::constant(0.0), |sum, v| sum + cauchy(*v, 1.0));
        let field = |t: f64, c: &[N; 1]| {
            let dose = (absorption.scale(-t)).exp() * absorption.scale(self.dose / self.volume);
            [dose - most.scale(1.0 / self.volume) * c[0] / (half + c[0])]
        };
        let (mut state, mut time) = ([N::constant(0.0)], 0.0);
        for (next, measured) in self.times.iter().zip(&self.measured) {
            let step = (next - time) / STEPS as f64;
            for i in 0..STEPS {
                state = runge_kutta(state, time + i as f64 * step, step, field);
            }
            time = *next;
            log_p = log_p + log_normal(*measured, state[0], sigma);
        }
        log_p
    }

    fn parameters(&self, x: &[f64]) -> Vec<f64> {
        x.to_vec()
    }
}
