//! The tail of importance weights: how heavy it is, and what smooths it.

use std::f64::consts::LN_10;

/// Fewest weights in a tail that a shape is told from.
const TAIL_MIN: usize = 5;
/// Weight of the prior on the scale of the tail (Zhang, Stephens 2009, section 3).
const PRIOR_SCALE: f64 = 3.0;
/// Rows that the prior on the shape, 1/2, counts for (Vehtari et al. 2024, appendix G).
const PRIOR_ROWS: f64 = 10.0;
/// Highest shape at which means over weights have errors worth stating, however many weights there are.
const SHAPE_MAX: f64 = 0.7;

/// A generalised Pareto distribution of what exceeds a threshold: `P(X > x) = (1 + k x / s)^(-1/k)`.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// `k`: moments of order `1 / k` and above are infinite.
    shape: f64,
    /// `s`.
    scale: f64,
}

impl Tail {
    /// From exceedances in ascending order, the last above 0.
    ///
    /// Reference: Zhang, Stephens. *A New and Efficient Estimation Method for the Generalized Pareto Distribution*. Technometrics 51, 2009, with the
    /// weak prior on `k` of Vehtari et al. 2024.
    fn fit(exceedances: &[f64]) -> Self {
        let n = exceedances.len();
        let largest = exceedances[n - 1];
        let quartile = exceedances[((n as f64 / 4.0 + 0.5) as usize).max(1) - 1];
        let points = 30 + (n as f64).sqrt() as usize;
        let shape_at =
            |b: f64| exceedances.iter().map(|x| (-b * x).ln_1p()).sum::<f64>() / n as f64;
        let grid: Vec<f64> = (1..=points)
            .map(|j| {
                let spread = 1.0 - (points as f64 / (j as f64 - 0.5)).sqrt();
                1.0 / largest + spread / (PRIOR_SCALE * quartile)
            })
            .collect();
        let profile: Vec<f64> = grid
            .iter()
            .map(|b| {
                let shape = shape_at(*b);
                n as f64 * ((-b / shape).ln() - shape - 1.0)
            })
            .collect();
        let highest = profile.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = profile.iter().map(|l| (l - highest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let b = grid.iter().zip(&weights).map(|(b, w)| b * w / total).sum::<f64>();
        let shape = shape_at(b);
        let scale = -shape / b;
        let n = n as f64;
        Self { shape: (shape * n + 0.5 * PRIOR_ROWS) / (n + PRIOR_ROWS), scale }
    }

    /// The exceedance that a share `p` lies below.
    fn quantile(self, p: f64) -> f64 {
        let survival = (-p).ln_1p();
        if self.shape == 0.0 {
            return -self.scale * survival;
        }
        self.scale * (-self.shape * survival).exp_m1() / self.shape
    }
}

/// Log-weights with their tail smoothed, and the tail's shape.
pub(super) struct Smoothed {
    /// In the order of the weights that came in, none above the largest of those.
    pub(super) log: Vec<f64>,
    /// `None` where there is no tail to speak of: fewer than 25 weights that are not 0. Minus infinity where the largest are equal.
    pub(super) shape: Option<f64>,
    /// The share of all weight by which those of the tail exceed the largest of the others.
    pub(super) excess: f64,
}

/// Pareto-smoothed importance weights: the largest are replaced by the quantiles of the distribution that fits them.
///
/// Reference: Vehtari, Simpson, Gelman, Yao, Gabry. *Pareto Smoothed Importance Sampling*. JMLR 25 (72), 2024, arXiv:1507.02646.
pub(super) fn smooth(log_weights: &[f64]) -> Smoothed {
    let n = log_weights.len();
    let tail = ((n as f64 / 5.0).min(3.0 * (n as f64).sqrt())).ceil() as usize;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| log_weights[*a].total_cmp(&log_weights[*b]));
    let unsmoothed = |shape| Smoothed { log: log_weights.to_vec(), shape, excess: 0.0 };
    if tail < TAIL_MIN || n <= tail {
        return unsmoothed(None);
    }
    let largest = log_weights[order[n - 1]];
    let cutoff = log_weights[order[n - tail - 1]];
    if cutoff == f64::NEG_INFINITY {
        return unsmoothed(None);
    }
    // The largest weight is 1.
    let threshold = (cutoff - largest).exp();
    let above: Vec<f64> =
        order[n - tail..].iter().map(|&i| (log_weights[i] - largest).exp() - threshold).collect();
    // Exceedances that are equal to rounding have no shape.
    if above[tail - 1] <= f64::EPSILON || above[tail - 1] - above[0] <= f64::EPSILON {
        return unsmoothed(Some(f64::NEG_INFINITY));
    }
    let total: f64 = log_weights.iter().map(|w| (w - largest).exp()).sum();
    let excess = above.iter().sum::<f64>() / total;
    let above: Vec<f64> = above.iter().map(|x| x.max(f64::MIN_POSITIVE)).collect();
    let fitted = Tail::fit(&above);
    let mut log = log_weights.to_vec();
    for (rank, &i) in order[n - tail..].iter().enumerate() {
        let quantile = fitted.quantile((rank as f64 + 0.5) / tail as f64);
        log[i] = ((threshold + quantile).ln() + largest).min(largest);
    }
    Smoothed { log, shape: Some(fitted.shape), excess }
}

/// The shape up to which `n` weights give means with errors that can be stated: `min(1 - 1 / log10 n, 0.7)` (Vehtari et al. 2024, section 3.2.4).
pub(super) fn shape_limit(n: usize) -> f64 {
    (1.0 - LN_10 / (n as f64).ln()).min(SHAPE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Purpose, Streams, uniform_open};

    /// Logarithms of draws from `P(X > x) = (1 + k x)^(-1/k)`, above 1 so that most of the sample is bulk.
    fn pareto(n: usize, shape: f64, seed: u64) -> Vec<f64> {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 0, 0);
        let tail = Tail { shape, scale: 1.0 };
        (0..n).map(|_| (1.0 + tail.quantile(uniform_open(&mut rng))).ln()).collect()
    }

    #[test]
    fn the_shape_of_a_tail_is_found() {
        for shape in [0.2, 0.5, 0.9, 1.5] {
            let found: Vec<f64> =
                (0..20).map(|seed| smooth(&pareto(20_000, shape, seed)).shape.unwrap()).collect();
            let mean = found.iter().sum::<f64>() / 20.0;
            assert!((mean - shape).abs() < 0.07, "{shape}: {mean}");
        }
    }

    #[test]
    fn bounded_weights_have_a_shape_below_zero_and_equal_ones_none() {
        let mut rng = Streams::new(0).rng(Purpose::Check, 0, 0);
        let bounded: Vec<f64> = (0..10_000).map(|_| uniform_open(&mut rng).ln()).collect();
        assert!(smooth(&bounded).shape.unwrap() < -0.5);
        assert_eq!(smooth(&[3.0; 1000]).shape, Some(f64::NEG_INFINITY));
        assert_eq!(smooth(&[3.0; 20]).shape, None);
    }

    #[test]
    fn smoothing_keeps_the_order_and_the_largest_weight_as_a_bound() {
        let log = pareto(5000, 0.8, 3);
        let smoothed = smooth(&log).log;
        let largest = log.iter().copied().fold(f64::MIN, f64::max);
        assert!(smoothed.iter().all(|w| *w <= largest));
        let mut order: Vec<usize> = (0..log.len()).collect();
        order.sort_by(|a, b| log[*a].total_cmp(&log[*b]));
        assert!(order.windows(2).all(|w| smoothed[w[0]] <= smoothed[w[1]]));
        assert_ne!(log, smoothed);
    }

    #[test]
    fn limits_grow_with_the_number_of_weights_up_to_seven_tenths() {
        assert!((shape_limit(100) - 0.5).abs() < 1e-12);
        assert_eq!(shape_limit(1_000_000), 0.7);
    }
}
