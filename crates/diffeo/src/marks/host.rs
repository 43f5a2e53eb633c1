//! Marks of single rows, on the host in `f64`: their shares, their way to the base, and draws.
//!
//! The base number of a mark is `Phi^-1(F(m))`, with `F` the distribution function of the mark given those before it: a draw of the standard
//! normal where the marks are draws of their density.

use burn::tensor::Tensor;

use super::{MarkSpec, Marks};
use crate::error::Result;
use crate::host::linalg::host_values;
use crate::host::normal::{LN_2PI_HALF, cdf, quantile};

/// Marks stay this far below the end of their cell, so that rounding to single precision does not move them to the next one.
const INSIDE: f64 = 1.0 - 1e-4;

/// What an outcome counts more than it was seen, so that none starts at probability zero (Krichevsky, Trofimov. IEEE Trans. Inf. Theory 27, 1981).
const PRIOR: f64 = 0.5;

impl Marks {
    /// Sets the weights of each mark to its frequencies in some rows: what training starts from, whatever the marks before it are.
    pub(crate) fn start(&mut self, marks: &[f64]) {
        let (width, bound) = (self.shares.width(), diffeo_kernels::LOGIT_MAX);
        let mut counts = vec![PRIOR; width];
        let mut shares = vec![0.0; width];
        for marks in marks.chunks_exact(self.shares.marks()) {
            self.shares.write(marks, &mut shares);
            counts.iter_mut().zip(&shares).for_each(|(count, share)| *count += share);
        }
        for (_, at) in self.shares.parts() {
            let logits = &mut counts[at];
            logits.iter_mut().for_each(|count| *count = count.ln());
            let mean = logits.iter().sum::<f64>() / logits.len() as f64;
            logits.iter_mut().for_each(|l| *l = bound * ((*l - mean) / bound).atanh());
        }
        let bias = self.tensor(counts);
        self.network.set_output_bias(bias);
    }

    /// Marks to base numbers, and the log-slope of each row, to which the base's log-density adds up to `ln p`. A mark that is not known has no
    /// place there: its number is NaN, and the log-slope `-inf`.
    pub(crate) fn to_base(
        &self,
        marks: &[f64],
        context: Option<&Tensor<2>>,
    ) -> Result<[Vec<f64>; 2]> {
        let (shares, m, width) = (self.shares(marks), self.shares.marks(), self.shares.width());
        let raw = host_values(self.network.forward(shares.clone(), context))?;
        let shares = host_values(shares)?;
        let rows = raw.chunks_exact(width).zip(shares.chunks_exact(width));
        let (mut z, mut log_det) = (Vec::with_capacity(marks.len()), Vec::new());
        for (marks, (raw, shares)) in marks.chunks_exact(m).zip(rows) {
            let mut sum = 0.0;
            for (i, &mark) in marks.iter().enumerate() {
                if mark.is_nan() || mark < 0.0 || mark >= self.shares.spec(i).width() as f64 {
                    z.push(f64::NAN);
                    sum = f64::NEG_INFINITY;
                    continue;
                }
                let weights = self.weights(i, raw, shares);
                let (below, density) = self.distribution(i, mark, &weights);
                let at = quantile(below);
                z.push(at);
                sum += density.ln() + 0.5 * at * at + LN_2PI_HALF;
            }
            log_det.push(sum);
        }
        Ok([z, log_det])
    }

    /// Base numbers to marks, one after another, and the log-slope of each row. A base number that is NaN is that of a mark which is not
    /// known, and stays so.
    pub(crate) fn to_data(&self, z: &[f64], context: Option<&Tensor<2>>) -> Result<[Vec<f64>; 2]> {
        let (m, width) = (self.shares.marks(), self.shares.width());
        let n = z.len() / m;
        let (mut marks, mut log_det) = (vec![-1.0; z.len()], vec![0.0; n]);
        let mut shares = vec![0.0; n * width];
        for i in 0..m {
            let known = self.tensor(shares.clone());
            let raw = host_values(self.network.forward(known, context))?;
            for row in 0..n {
                let (at, raw) = (z[row * m + i], &raw[row * width..][..width]);
                if at.is_nan() {
                    continue;
                }
                let shares = &mut shares[row * width..][..width];
                let weights = self.weights(i, raw, shares);
                let mark = self.quantile(i, cdf(at), &weights);
                let (_, density) = self.distribution(i, mark, &weights);
                marks[row * m + i] = mark;
                log_det[row] -= density.ln() + 0.5 * at * at + LN_2PI_HALF;
                self.shares.write(&marks[row * m..][..m], shares);
            }
        }
        Ok([marks, log_det])
    }

    /// The weights of mark `i`, which add up to one, given the shares of those before it.
    fn weights(&self, i: usize, raw: &[f64], shares: &[f64]) -> Vec<f64> {
        let (at, bound) = (self.shares.of(i), diffeo_kernels::LOGIT_MAX);
        let (raw, start) = (&raw[at.clone()], at.start);
        let mut weights: Vec<f64> =
            raw.iter().map(|raw| (bound * (raw / bound).tanh()).exp()).collect();
        if let MarkSpec::Levels { last: Some(last), .. } = *self.shares.spec(i)
            && shares[start - 1] == 1.0
        {
            weights[last..].fill(0.0);
        }
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        weights
    }

    /// The distribution function of mark `i`, and its density.
    fn distribution(&self, i: usize, mark: f64, weights: &[f64]) -> (f64, f64) {
        let (k, t) = (mark.floor() as usize, mark.fract());
        match *self.shares.spec(i) {
            MarkSpec::Levels { .. } => {
                let below: f64 = weights[..k].iter().sum();
                (below + weights[k] * t, weights[k])
            }
            MarkSpec::Circle { knots } => {
                let (here, next) = (weights[k], weights[(k + 1) % knots]);
                let below: f64 = (0..k).map(|j| 0.5 * (weights[j] + weights[j + 1])).sum();
                let within = here * t + 0.5 * (next - here) * t * t;
                (below + within, here + (next - here) * t)
            }
        }
    }

    /// Where the distribution function of mark `i` is `u`.
    fn quantile(&self, i: usize, u: f64, weights: &[f64]) -> f64 {
        let n = weights.len();
        let mass = |k: usize| match *self.shares.spec(i) {
            MarkSpec::Levels { .. } => weights[k],
            MarkSpec::Circle { .. } => 0.5 * (weights[k] + weights[(k + 1) % n]),
        };
        let (mut k, mut left) = (0, u);
        // Rounding may leave some of `u` after the last one that is possible.
        let last = (0..n).rev().find(|k| mass(*k) > 0.0).unwrap_or(0);
        while k < last && left >= mass(k) {
            left -= mass(k);
            k += 1;
        }
        let t = match *self.shares.spec(i) {
            MarkSpec::Levels { .. } => left / mass(k),
            MarkSpec::Circle { .. } => {
                // The root of a + b t + c t^2 between 0 and 1, in the form that does not cancel.
                let (here, next) = (weights[k], weights[(k + 1) % n]);
                let root = (here * here + 2.0 * (next - here) * left).max(0.0).sqrt();
                2.0 * left / (here + root)
            }
        };
        k as f64 + t.clamp(0.0, INSIDE)
    }
}
