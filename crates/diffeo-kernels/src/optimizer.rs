//! Optimizer arithmetic over flat slices: AdamW, weight averaging, safe norms, sums of shards.

use crate::Real;
use crate::dispatch::dispatched;

/// AdamW: Adam with decoupled weight decay and bias correction.
///
/// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
/// `w -= rate ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + decay w)`.
///
/// # Reference
/// Loshchilov, Hutter. *Decoupled Weight Decay Regularization*. ICLR 2019. arXiv:1711.05101.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Step size of this step.
    pub learning_rate: f64,
    /// Decay of the first moment, customarily 0.9.
    pub beta1: f64,
    /// Decay of the second moment, customarily 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment, customarily 1e-8.
    pub epsilon: f64,
    /// Share of a weight that a unit of learning rate takes away.
    pub weight_decay: f64,
}

/// What AdamW remembers of a parameter; both start at zero.
#[derive(Debug)]
pub struct Moments<'a, T> {
    /// Running mean of the gradient.
    pub first: &'a mut [T],
    /// Running mean of its square.
    pub second: &'a mut [T],
}

impl AdamW {
    /// Step number `step` (the first is 1) on `scale` times the gradient; `scale` carries the clipping.
    ///
    /// # Panics
    /// If `step` is 0.
    pub fn at<T: Real>(&self, step: u64, scale: f64) -> AdamWStep<T> {
        assert!(step > 0, "steps are numbered from 1");
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        AdamWStep {
            scale: T::from_f64(scale),
            keep1: T::from_f64(self.beta1),
            take1: T::from_f64(1.0 - self.beta1),
            keep2: T::from_f64(self.beta2),
            take2: T::from_f64(1.0 - self.beta2),
            rate: T::from_f64(self.learning_rate / (1.0 - self.beta1.powi(power))),
            correction2: T::from_f64(1.0 / (1.0 - self.beta2.powi(power))),
            epsilon: T::from_f64(self.epsilon),
            keep_weight: T::from_f64(1.0 - self.learning_rate * self.weight_decay),
        }
    }
}

/// [`AdamW`] at one step, for any number of parameters.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep<T> {
    scale: T,
    keep1: T,
    take1: T,
    keep2: T,
    take2: T,
    rate: T,
    correction2: T,
    epsilon: T,
    keep_weight: T,
}

impl<T: Real> AdamWStep<T> {
    /// Updates weights and moments.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply(&self, gradient: &[T], weights: &mut [T], moments: Moments<'_, T>) {
        let n = weights.len();
        assert_eq!(gradient.len(), n, "the gradient differs in length from the weights");
        assert_eq!([moments.first.len(), moments.second.len()], [n, n], "moments differ in length");
        step_body(self, gradient, weights, moments.first, moments.second);
    }
}

dispatched! {
    fn step_body<T: Real>(
        c: &AdamWStep<T>,
        gradient: &[T],
        weights: &mut [T],
        first: &mut [T],
        second: &mut [T],
    ) {
        let moments = first.iter_mut().zip(second);
        for ((w, (m, v)), &g) in weights.iter_mut().zip(moments).zip(gradient) {
            let g = g * c.scale;
            *m = m.fma(c.keep1, c.take1 * g);
            *v = v.fma(c.keep2, c.take2 * g * g);
            let root = (*v * c.correction2).sqrt() + c.epsilon;
            *w = w.fma(c.keep_weight, -(c.rate * *m / root));
        }
    }
}

dispatched! {
    /// `total += other`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add_gradient<T: Real>(total: &mut [T], other: &[T]) {
        assert_eq!(total.len(), other.len(), "two gradients differ in length");
        total.iter_mut().zip(other).for_each(|(total, &v)| *total += v);
    }
}

dispatched! {
    /// Exponential moving average of weights: `average += (1 - decay) (weights - average)`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn average_weights<T: Real>(average: &mut [T], weights: &[T], decay: f64) {
        assert_eq!(average.len(), weights.len(), "average and weights differ in length");
        let take = T::from_f64(1.0 - decay);
        average.iter_mut().zip(weights).for_each(|(a, &w)| *a = (w - *a).fma(take, *a));
    }
}

/// Lanes of a sum: as many partial sums run side by side, in a fixed order, whatever the vector width.
const LANES: usize = 16;

/// Euclidean norm, in `f64` and in a fixed order of summation.
///
/// Neither overflows nor underflows on the way: where the plain sum of squares does, everything is divided by the largest entry first.
/// An infinite entry gives infinity, a NaN gives NaN.
pub fn l2_norm<T: Real>(values: &[T]) -> f64 {
    let plain = sum_squares(values);
    // Outside, squares may have left the range in which f64 keeps its precision.
    if plain.is_nan() || (1e-280..1e300).contains(&plain) {
        plain.sqrt()
    } else {
        scaled_norm(values)
    }
}

dispatched! {
    fn sum_squares<T: Real>(values: &[T]) -> f64 {
        let mut sums = [0.0f64; LANES];
        let mut chunks = values.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (sum, &v) in sums.iter_mut().zip(chunk) {
                *sum += v.to_f64() * v.to_f64();
            }
        }
        for (sum, &v) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += v.to_f64() * v.to_f64();
        }
        sums.iter().sum()
    }
}

dispatched! {
    fn scaled_norm<T: Real>(values: &[T]) -> f64 {
        let mut tops = [0.0f64; LANES];
        for chunk in values.chunks(LANES) {
            for (top, &v) in tops.iter_mut().zip(chunk) {
                let size = v.to_f64().abs();
                // `!(<=)` and not `>`: a NaN must win, and stay.
                *top = if size <= *top || top.is_nan() { *top } else { size };
            }
        }
        let top = tops.iter().fold(0.0, |a, &b| if b <= a || f64::is_nan(a) { a } else { b });
        if top == 0.0 || !top.is_finite() {
            return top;
        }
        let mut sums = [0.0f64; LANES];
        for chunk in values.chunks(LANES) {
            for (sum, &v) in sums.iter_mut().zip(chunk) {
                let share = v.to_f64() / top;
                *sum += share * share;
            }
        }
        top * sums.iter().sum::<f64>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::at_each_level;

    const RULE: AdamW =
        AdamW { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1 };

    fn wave(n: usize, phase: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * 0.7 + phase).sin()).collect()
    }

    #[test]
    fn three_steps_equal_the_formulas() {
        let n = 1000;
        let mut weights = wave(n, 0.0);
        let mut expected = weights.clone();
        let (mut first, mut second) = (vec![0.0; n], vec![0.0; n]);
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        for step in 1..=3u64 {
            let gradient = wave(n, step as f64);
            let moments = Moments { first: &mut first, second: &mut second };
            RULE.at(step, 0.5).apply(&gradient, &mut weights, moments);
            let t = step as i32;
            for i in 0..n {
                let g = 0.5 * gradient[i];
                m[i] = 0.9 * m[i] + (1.0 - 0.9) * g;
                v[i] = 0.999 * v[i] + (1.0 - 0.999) * g * g;
                let (m, v) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
                expected[i] -= 0.01 * (m / (v.sqrt() + 1e-8) + 0.1 * expected[i]);
                assert!((weights[i] - expected[i]).abs() < 1e-14, "{} {}", weights[i], expected[i]);
            }
        }
    }

    #[test]
    fn masked_weights_stay_zero() {
        let mut weights = [0.0f32; 5];
        let (mut first, mut second) = ([0.0; 5], [0.0; 5]);
        let moments = Moments { first: &mut first, second: &mut second };
        RULE.at(1, 1.0).apply(&[0.0; 5], &mut weights, moments);
        assert_eq!(weights, [0.0; 5]);
    }

    #[test]
    fn sums_and_averages() {
        let (a, b) = (wave(700, 1.0), wave(700, 2.0));
        let mut out = a.clone();
        add_gradient(&mut out, &b);
        assert!(out.iter().zip(a.iter().zip(&b)).all(|(o, (a, b))| *o == a + b));
        average_weights(&mut out, &a, 0.75);
        assert!((out[3] - (0.75 * (a[3] + b[3]) + 0.25 * a[3])).abs() < 1e-15);
    }

    #[test]
    fn d2_norm_survives_overflow_and_reports_bad_entries() {
        assert_eq!(l2_norm::<f64>(&[]), 0.0);
        assert_eq!(l2_norm(&[3.0f64, -4.0]), 5.0);
        assert_eq!(l2_norm(&[3e300f64, -4e300]), 5e300);
        assert_eq!(l2_norm(&[3e-300f64, -4e-300]), 5e-300);
        assert!((l2_norm(&[3e38f32, 3e38]) - 3e38f32 as f64 * 2f64.sqrt()).abs() < 1e25);
        for at in [0, 5, 16, 39] {
            let mut values = [1.0f32; 40];
            values[at] = f32::INFINITY;
            assert_eq!(l2_norm(&values), f64::INFINITY);
            values[at] = f32::NAN;
            values[7] = f32::INFINITY;
            values[at] = f32::NAN;
            assert!(l2_norm(&values).is_nan() || at == 7);
        }
    }

    #[test]
    fn d9_bits_do_not_depend_on_the_instruction_set() {
        let x: Vec<f32> = wave(1003, 0.3).iter().map(|&v| v as f32).collect();
        let all = at_each_level(|| {
            let (mut w, mut m, mut v) = (x.clone(), vec![0.0; 1003], vec![0.0; 1003]);
            let moments = Moments { first: &mut m, second: &mut v };
            RULE.at(1, 1.0).apply(&x, &mut w, moments);
            (w, l2_norm(&x).to_bits())
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
