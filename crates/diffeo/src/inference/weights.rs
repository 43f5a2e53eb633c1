//! Importance weights: what draws of one density say of another.

use super::pareto::{self, shape_limit};
use super::verdict::Verdict;
use crate::error::{Error, Result};
use crate::host::random::{Purpose, Streams, uniform};

/// A number and the standard error of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl Estimate {
    /// The probability of what was so in `count` of `n` independent draws.
    pub fn of_share(count: u64, n: u64) -> Self {
        let (n, mean) = (n as f64, count as f64 / n as f64);
        Self { mean, standard_error: (mean * (1.0 - mean) / n).sqrt() }
    }

    /// The mean of independent numbers; its error is NaN for fewer than two.
    pub fn of_mean(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Self { mean, standard_error: (squares / (n * (n - 1.0))).sqrt() }
    }
}

/// Weights `w_i = p(x_i) / q(x_i)` of draws `x_i` of a proposal `q`, by which they stand for a target `p`. Kept as logarithms, so that
/// densities may be known up to a constant and neither overflow nor vanish.
///
/// ```
/// use diffeo::inference::Weights;
/// # fn main() -> diffeo::Result<()> {
/// let weights = Weights::new(vec![0.0, 1.0, -1.0])?;
/// assert!((weights.normalised().iter().sum::<f64>() - 1.0).abs() < 1e-15);
/// // Neither shares nor the effective sample size depend on the scale.
/// let scaled = Weights::new(vec![800.0, 801.0, 799.0])?;
/// assert_eq!(scaled.effective_size(), weights.effective_size());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    log: Vec<f64>,
    /// The largest logarithm, which is finite.
    largest: f64,
}

impl Weights {
    /// From their logarithms; minus infinity is a weight of 0.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] if there are none, one is NaN or plus infinity (a draw that the proposal cannot make), or all are 0.
    pub fn new(log: Vec<f64>) -> Result<Self> {
        if let Some(i) = log.iter().position(|w| w.is_nan() || *w == f64::INFINITY) {
            return Err(Error::data(format!(
                "log-weights must be numbers or minus infinity, found {} for draw {i} (counted from 0)",
                log[i]
            )));
        }
        let largest = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return Err(Error::data(format!(
                "none of {} draws lies where the target has density; they say nothing of it",
                log.len()
            )));
        }
        Ok(Self { log, largest })
    }

    /// How many draws there are.
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Never: there is at least one draw.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The logarithms.
    pub fn log(&self) -> &[f64] {
        &self.log
    }

    /// The weights over the largest of them.
    fn scaled(&self) -> impl Iterator<Item = f64> + '_ {
        self.log.iter().map(|w| (w - self.largest).exp())
    }

    /// The weights, scaled to sum to one.
    pub fn normalised(&self) -> Vec<f64> {
        let total: f64 = self.scaled().sum();
        self.scaled().map(|w| w / total).collect()
    }

    /// How many draws of the target these are worth: `(sum w)^2 / sum w^2`, from 1 to their number (Kong 1992).
    pub fn effective_size(&self) -> f64 {
        let (mut sum, mut squares) = (0.0, 0.0);
        for w in self.scaled() {
            sum += w;
            squares += w * w;
        }
        sum * sum / squares
    }

    /// `ln mean of w` with its standard error: the log-evidence `ln Z` of a target known up to `Z`, for draws of a normalised proposal. The mean is without
    /// bias, its logarithm too low by about half the squared error.
    pub fn log_mean(&self) -> Estimate {
        let n = self.log.len() as f64;
        let mean = self.scaled().sum::<f64>() / n;
        let variance = self.scaled().map(|w| (w - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Estimate { mean: self.largest + mean.ln(), standard_error: (variance / n).sqrt() / mean }
    }

    /// The mean of a function over the target, of its values at the draws, where densities are known up to a constant: `sum w f / sum w`. Its bias falls with
    /// the number of draws, and so does the error by the delta method, `sum w^2 (f - mean)^2 / (sum w)^2`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] unless there is a value for each draw.
    pub fn mean(&self, values: &[f64]) -> Result<Estimate> {
        self.check(values)?;
        let shares = self.normalised();
        // A draw of weight 0 may have any value, NaN too.
        let counted = || shares.iter().zip(values).filter(|(w, _)| **w > 0.0);
        let mean = counted().map(|(w, f)| w * f).sum::<f64>();
        let variance = counted().map(|(w, f)| (w * (f - mean)).powi(2)).sum::<f64>();
        Ok(Estimate { mean, standard_error: variance.sqrt() })
    }

    /// The integral of a function times the target, of its values at the draws, where both densities are known with their constants: `mean of w f`, without bias.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] unless there is a value for each draw.
    pub fn plain_mean(&self, values: &[f64]) -> Result<Estimate> {
        self.check(values)?;
        let n = self.log.len() as f64;
        let term = |(w, f): (&f64, &f64)| if *w == f64::NEG_INFINITY { 0.0 } else { w.exp() * f };
        let terms = || self.log.iter().zip(values).map(term);
        let mean = terms().sum::<f64>() / n;
        let variance = terms().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Ok(Estimate { mean, standard_error: (variance / n).sqrt() })
    }

    fn check(&self, values: &[f64]) -> Result<()> {
        if values.len() == self.log.len() {
            return Ok(());
        }
        let (expected, found) = (self.log.len(), values.len());
        Err(Error::shape(format!("expected {expected} values, one for each draw, found {found}")))
    }

    /// The weights with their tail smoothed, and how far they can be relied on: few very large weights are replaced by what a tail of their shape would have had
    /// (Vehtari, Simpson, Gelman, Yao, Gabry. *Pareto Smoothed Importance Sampling*. JMLR 25, 2024). Means over them have less variance and a small bias.
    pub fn smoothed(&self) -> Self {
        let log = pareto::smooth(&self.log).log;
        let largest = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { log, largest }
    }

    /// The shape `k` of the tail: means have an error of finite variance below 1/2, and one worth stating up to [`Weights::pareto_limit`]. `None` of fewer than
    /// 25 draws; minus infinity if the largest weights are equal.
    pub fn pareto_k(&self) -> Option<f64> {
        pareto::smooth(&self.log).shape
    }

    /// `min(1 - 1 / log10 n, 0.7)`.
    pub fn pareto_limit(&self) -> f64 {
        shape_limit(self.log.len())
    }

    /// What the tail and the effective size say of estimates.
    pub fn verdict(&self) -> Verdict {
        let smoothed = pareto::smooth(&self.log);
        Verdict {
            pareto_k: smoothed.shape,
            pareto_limit: self.pareto_limit(),
            excess: smoothed.excess,
            effective_size: self.effective_size(),
            draws: self.log.len(),
            unseen: 0.0,
        }
    }

    /// Numbers of `n` draws taken again in proportion to their weights, ascending: sampling importance resampling (Rubin 1988), systematically, so that a draw
    /// of share `s` is there `n s` times but for rounding (Kitagawa 1996).
    pub fn resample(&self, n: usize, seed: u64) -> Vec<usize> {
        let mut rng = Streams::new(seed).rng(Purpose::Draws, 0, 0);
        let (shares, start) = (self.normalised(), uniform(&mut rng));
        let last = shares.iter().rposition(|w| *w > 0.0).unwrap_or(0);
        let (mut taken, mut below, mut i) = (Vec::with_capacity(n), shares[0], 0);
        for draw in 0..n {
            let place = (draw as f64 + start) / n as f64;
            while place >= below && i < last {
                i += 1;
                below += shares[i];
            }
            taken.push(i);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::normal;

    /// Draws of a normal proposal of deviation `s`, and their log-weights for the standard normal.
    fn normals(n: usize, s: f64, seed: u64) -> (Vec<f64>, Weights) {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 0, 0);
        let x: Vec<f64> = (0..n).map(|_| s * normal(&mut rng)).collect();
        let log = x.iter().map(|x| -0.5 * x * x + 0.5 * (x / s).powi(2) + s.ln()).collect();
        (x, Weights::new(log).unwrap())
    }

    fn scaled(weights: &Weights, by: f64) -> Weights {
        Weights::new(weights.log().iter().map(|w| w + by).collect()).unwrap()
    }

    /// Case: an effective size that was taken of weights before they were normalised changed with their scale, and stopped a sampler early.
    #[test]
    fn nothing_but_the_evidence_depends_on_the_scale_of_weights() {
        let (x, weights) = normals(2000, 1.5, 0);
        for by in [-900.0, 900.0] {
            let other = scaled(&weights, by);
            assert!((other.effective_size() / weights.effective_size() - 1.0).abs() < 1e-9);
            let [a, b] = [&weights, &other].map(|w| w.mean(&x).unwrap().mean);
            assert!((a - b).abs() < 1e-9);
            assert!((other.log_mean().mean - weights.log_mean().mean - by).abs() < 1e-9);
            let [a, b] = [&weights, &other].map(|w| w.pareto_k().unwrap());
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn estimates_are_right_within_their_errors() {
        let (mut means, mut plain, mut evidence) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..200 {
            let (x, weights) = normals(500, 1.5, seed);
            let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
            let z = |e: Estimate, truth: f64| (e.mean - truth) / e.standard_error;
            means.push(z(weights.mean(&squares).unwrap(), 1.0));
            plain.push(z(weights.plain_mean(&squares).unwrap(), 1.0));
            evidence.push(z(scaled(&weights, 3.0).log_mean(), 3.0));
        }
        for z in [means, plain, evidence] {
            let mean = z.iter().sum::<f64>() / 200.0;
            let deviation = (z.iter().map(|z| z * z).sum::<f64>() / 200.0).sqrt();
            assert!(mean.abs() < 0.3 && (0.8..1.25).contains(&deviation), "{mean} {deviation}");
        }
    }

    #[test]
    fn a_narrow_proposal_is_told_by_its_tail() {
        let (_, good) = normals(10_000, 1.2, 1);
        let (_, bad) = normals(10_000, 0.5, 1);
        assert!(good.verdict().is_good(), "{}", good.verdict());
        // Nearly equal weights are good, whatever the shape of the little by which a few are larger.
        let mut near = vec![0.0; 10_000];
        (1..=200).for_each(|i| near[i] = 0.02 / i as f64);
        let near = Weights::new(near).unwrap();
        assert!(near.pareto_k().unwrap() > 0.7 && near.verdict().is_good(), "{}", near.verdict());
        assert!(!bad.verdict().is_good(), "{}", bad.verdict());
        assert!(bad.pareto_k().unwrap() > bad.pareto_limit());
    }

    #[test]
    fn resampled_draws_follow_the_target() {
        let (x, weights) = normals(20_000, 2.0, 4);
        let taken = weights.resample(20_000, 5);
        let square = taken.iter().map(|&i| x[i] * x[i]).sum::<f64>() / 20_000.0;
        assert!((square - 1.0).abs() < 0.05, "{square}");
        let one = Weights::new(vec![f64::NEG_INFINITY, 0.0, f64::NEG_INFINITY]).unwrap();
        assert_eq!(one.resample(3, 0), [1, 1, 1]);
    }

    #[test]
    fn weights_that_say_nothing_are_refused() {
        for (log, part) in [
            (vec![], "none of 0 draws"),
            (vec![f64::NEG_INFINITY; 3], "none of 3 draws"),
            (vec![0.0, f64::NAN], "found NaN for draw 1"),
            (vec![f64::INFINITY], "found inf for draw 0"),
        ] {
            let error = Weights::new(log).unwrap_err();
            assert!(error.message().contains(part), "{error}");
        }
        let weights = Weights::new(vec![0.0, f64::NEG_INFINITY]).unwrap();
        assert_eq!(weights.mean(&[2.0, f64::NAN]).unwrap().mean, 2.0);
        assert!(weights.mean(&[1.0]).is_err());
    }
}
