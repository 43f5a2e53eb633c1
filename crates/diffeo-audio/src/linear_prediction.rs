//! What a linear model of each short frame makes of a recording: the likelihood that a network has to beat.

use std::ops::Range;

use diffeo::{Error, Result};

/// Linear prediction frame by frame: `x_t ~ N(sum over k of a_k x_(t-k), g^2)`, with coefficients and gain of each frame fitted to it by least squares (the covariance method).
///
/// Coefficients and gain are those of the very frame that is scored and cost nothing here, so this flatters it.
///
/// Reference: Makhoul. *Linear Prediction: A Tutorial Review*. Proceedings of the IEEE 63, 1975.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearPrediction {
    /// Coefficients.
    pub order: usize,
    /// Samples of a frame.
    pub frame: usize,
}

/// Added to the power of a frame, relative to it: without it the equations of a tone have no solution.
const WHITE: f64 = 1e-9;

impl LinearPrediction {
    /// Mean log-density of a sample, `sum over frames of -n (ln g + (1 + ln 2 pi) / 2)` over all `n`, of samples whose rounding error has the variance `noise`.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] for a recording without samples.
    pub fn log_prob(&self, samples: &[f64], noise: f64) -> Result<f64> {
        if samples.is_empty() {
            return Err(Error::data("a recording without samples has no density"));
        }
        let constant = 0.5 * (1.0 + std::f64::consts::TAU.ln());
        let mut sum = 0.0;
        for start in (0..samples.len()).step_by(self.frame.max(1)) {
            let end = samples.len().min(start + self.frame.max(1));
            let variance = self.error(samples, start..end) + noise;
            let variance = variance.max(f64::MIN_POSITIVE);
            sum -= (end - start) as f64 * (0.5 * variance.ln() + constant);
        }
        Ok(sum / samples.len() as f64)
    }

    /// Mean squared error of the best prediction of some samples from those before them.
    fn error(&self, samples: &[f64], place: Range<usize>) -> f64 {
        let mut equations = Equations::new(self.order);
        equations.add(samples, place.clone(), 1.0);
        equations.error() / place.len() as f64
    }

    /// The coefficients `a_1, a_2, ..` that predict some recordings best, each frame of which counts as much as any other, however loud.
    pub fn coefficients<'a>(&self, recordings: impl Iterator<Item = &'a [f32]>) -> Vec<f64> {
        let mut equations = Equations::new(self.order);
        for samples in recordings {
            let samples: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
            for start in (0..samples.len()).step_by(self.frame.max(1)) {
                let place = start..samples.len().min(start + self.frame.max(1));
                let power: f64 = samples[place.clone()].iter().map(|v| v * v).sum();
                if power > 0.0 {
                    equations.add(&samples, place, 1.0 / power);
                }
            }
        }
        equations.solution()
    }
}

/// The normal equations of a linear prediction.
struct Equations {
    order: usize,
    /// A row for each coefficient, with its right side behind it.
    system: Vec<f64>,
    power: f64,
}

impl Equations {
    fn new(order: usize) -> Self {
        Self { order, system: vec![0.0; order * (order + 1)], power: 0.0 }
    }

    /// Adds what samples say, which are predicted from those before them, and count so much.
    fn add(&mut self, samples: &[f64], place: Range<usize>, weight: f64) {
        let at = |t: usize, k: usize| if t >= k { samples[t - k] } else { 0.0 };
        let width = self.order + 1;
        for t in place {
            self.power += weight * samples[t] * samples[t];
            for (i, row) in self.system.chunks_exact_mut(width).enumerate() {
                let x = weight * at(t, i + 1);
                for (j, to) in row[..=i].iter_mut().enumerate() {
                    *to += x * at(t, j + 1);
                }
                row[width - 1] += x * samples[t];
            }
        }
    }

    /// The coefficients.
    fn solution(&self) -> Vec<f64> {
        let (p, width, mut system) = (self.order, self.order + 1, self.system.clone());
        for i in 0..p {
            system[i * width + i] += WHITE * (self.power + f64::MIN_POSITIVE);
            for j in i + 1..p {
                system[i * width + j] = system[j * width + i];
            }
        }
        solve(&mut system, p)
    }

    /// What is left of the power.
    fn error(&self) -> f64 {
        let right = self.system.chunks_exact(self.order + 1).map(|row| row[self.order]);
        let explained: f64 = self.solution().iter().zip(right).map(|(a, b)| a * b).sum();
        (self.power - explained).max(0.0)
    }
}

/// Solves a positive definite system whose right side stands behind its rows.
fn solve(system: &mut [f64], p: usize) -> Vec<f64> {
    let width = p + 1;
    for i in 0..p {
        let pivot = system[i * width + i];
        for row in i + 1..p {
            let factor = if pivot > 0.0 { system[row * width + i] / pivot } else { 0.0 };
            for column in i..width {
                system[row * width + column] -= factor * system[i * width + column];
            }
        }
    }
    let mut found = vec![0.0; p];
    for i in (0..p).rev() {
        let known: f64 = (i + 1..p).map(|j| system[i * width + j] * found[j]).sum();
        let pivot = system[i * width + i];
        found[i] = if pivot > 0.0 { (system[i * width + p] - known) / pivot } else { 0.0 };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffeo::{Purpose, Streams, fill_normal};

    #[test]
    fn it_finds_the_entropy_of_a_linear_process() {
        let mut noise = vec![0.0; 40_000];
        fill_normal(&mut Streams::new(1).rng(Purpose::Check, 0, 0), &mut noise);
        let mut x = vec![0.0; noise.len()];
        for t in 0..noise.len() {
            let before = |k: usize| if t >= k { x[t - k] } else { 0.0 };
            x[t] = 1.6 * before(1) - 0.8 * before(2) + 0.1 * noise[t];
        }
        let entropy = -(0.1f64.ln() + 0.5 * (1.0 + std::f64::consts::TAU.ln()));
        let one = LinearPrediction { order: 2, frame: 40_000 }.log_prob(&x, 0.0).unwrap();
        assert!((one - entropy).abs() < 0.01, "{one} {entropy}");
        let narrow: Vec<f32> = x.iter().map(|v| *v as f32).collect();
        let halves = narrow.chunks(20_000);
        let found = LinearPrediction { order: 2, frame: 500 }.coefficients(halves);
        assert!((found[0] - 1.6).abs() < 0.02 && (found[1] + 0.8).abs() < 0.02, "{found:?}");
        // More coefficients a frame than are true flatter it.
        let many = LinearPrediction { order: 32, frame: 200 }.log_prob(&x, 0.0).unwrap();
        assert!(many > entropy + 0.05 && many < entropy + 0.2, "{many} {entropy}");
        let silence = LinearPrediction { order: 4, frame: 100 }.log_prob(&[0.0; 250], 1e-9);
        assert!(silence.unwrap().is_finite());
    }
}
