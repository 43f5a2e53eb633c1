//! Are numbers spread evenly on 0..1, and if not, is the model shifted, too wide or too narrow?

/// What passes beside noise: a model off by a twelfth of a deviation, or about 1.07 times too wide or too narrow.
pub(super) const EFFECT: f64 = 0.08;
/// How often noise alone may exceed its part of the limit, over all numbers of a check.
pub(super) const FALSE_ALARM: f64 = 1e-4;

/// The first two Legendre polynomials on 0..1, of mean 0 and variance 1 under the uniform distribution: the place of a number, and whether it lies at the ends.
pub(super) fn moments(u: f64) -> [f64; 2] {
    let v = u - 0.5;
    [12f64.sqrt() * v, 5f64.sqrt() * (6.0 * v * v - 0.5)]
}

/// Means of [`moments`] over some numbers.
pub(super) fn mean_moments(numbers: impl ExactSizeIterator<Item = f64>) -> [f64; 2] {
    let n = numbers.len() as f64;
    numbers.map(moments).fold([0.0; 2], |sum, m| [sum[0] + m[0] / n, sum[1] + m[1] / n])
}

/// The length of the mean of two moments of `n` uniform numbers that is exceeded with this probability (Neyman. *Smooth test for goodness of fit*. Skand. Aktuar. 20, 1937).
pub(super) fn noise(n: usize, probability: f64) -> f64 {
    (-2.0 * probability.ln() / n as f64).sqrt()
}

/// What a normal model must have wrong for the places of data in it to have these moments, in words.
pub(super) fn in_words([place, spread]: [f64; 2]) -> String {
    // E Phi(z + s) - 1/2 is s / (2 sqrt(pi)) to first order, and the variance of Phi(r z) is asin(r^2 / (1 + r^2)) / (2 pi).
    let shift = place * std::f64::consts::PI.sqrt() / 3f64.sqrt();
    let sine = (std::f64::consts::TAU * (spread / 5f64.sqrt() + 0.5) / 6.0).sin();
    let ratio = if sine < 1.0 { (sine.max(0.0) / (1.0 - sine)).sqrt() } else { f64::INFINITY };
    format!("data {ratio:.2} times as wide as the draws and {shift:+.2} deviations off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::normal::cdf;
    use crate::host::random::{Purpose, Streams, normal, uniform};

    #[test]
    fn moments_are_orthonormal() {
        let grid = (0..100_000).map(|i| moments((f64::from(i) + 0.5) / 1e5));
        let of = |f: fn([f64; 2]) -> f64| grid.clone().map(f).sum::<f64>() / 1e5;
        let found = [
            of(|m| m[0]),
            of(|m| m[1]),
            of(|m| m[0] * m[1]),
            of(|m| m[0] * m[0]),
            of(|m| m[1] * m[1]),
        ];
        let off = found.iter().zip([0.0, 0.0, 0.0, 1.0, 1.0]).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f64::max) < 1e-8, "{found:?}");
    }

    #[test]
    fn noise_is_exceeded_as_often_as_it_says() {
        let mut above = 0;
        for seed in 0..2000 {
            let mut rng = Streams::new(seed).rng(Purpose::Check, 0, 0);
            let [a, b] =
                mean_moments((0..200).map(|_| uniform(&mut rng)).collect::<Vec<_>>().into_iter());
            above += usize::from(a.hypot(b) > noise(200, 0.05));
        }
        assert!((60..140).contains(&above), "{above} of 2000");
    }

    #[test]
    fn what_is_wrong_with_a_normal_model_is_said() {
        let of = |wide: f64, shift: f64| {
            let mut rng = Streams::new(3).rng(Purpose::Check, 0, 0);
            let u: Vec<f64> = (0..40_000).map(|_| cdf(wide * normal(&mut rng) + shift)).collect();
            in_words(mean_moments(u.into_iter()))
        };
        assert!(of(1.0 / 1.2, 0.0).starts_with("data 0.83 times"), "{}", of(1.0 / 1.2, 0.0));
        assert!(of(1.5, 0.0).starts_with("data 1.5"), "{}", of(1.5, 0.0));
        assert!(
            of(1.0, 0.2).contains("+0.2") || of(1.0, 0.2).contains("+0.19"),
            "{}",
            of(1.0, 0.2)
        );
    }
}
