//! The mean log-density of a table that is read in chunks.

use std::f64::consts::LN_2;

/// Mean and standard error of log-densities, added in any number of pieces, all alike or with weights.
///
/// With weights the mean is `m = sum w x / sum w` and its squared error `n / (n - 1) sum w^2 (x - m)^2 / (sum w)^2`: weights say how much
/// a row stands for, not how often it was seen.
///
/// The sum is kept as a share of 2^64, so that rows near the largest number do not overflow it. It is compensated (Neumaier. ZAMM 54,
/// 1974) and squares are taken about the running mean (Welford. *Technometrics* 4, 1962), row by row, so that how the rows were cut
/// into pieces changes no bit, and neither ten million rows nor one far row cost digits.
///
/// ```
/// let mut likelihood = diffeo::Likelihood::default();
/// likelihood.add(&[-1.0, -2.0]);
/// likelihood.add(&[-3.0]);
/// assert_eq!((likelihood.rows(), likelihood.mean()), (3, -2.0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Likelihood {
    rows: u64,
    outside: u64,
    mean: Mean,
    /// With the squares of the weights.
    mean_by_squares: Mean,
    /// Sum of the squares of weight times distance from that mean.
    squares: f64,
}

/// `ln (1/n sum of e^v)`; NaN if one of them is.
pub(crate) fn log_mean_exp(values: impl Iterator<Item = f64> + Clone, n: f64) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return if values.clone().any(f64::is_nan) { f64::NAN } else { top };
    }
    top + (values.map(|v| (v - top).exp()).sum::<f64>() / n).ln()
}

/// A compensated weighted mean.
#[derive(Clone, Debug, Default)]
struct Mean {
    weight: f64,
    /// In units of [`UNIT`].
    sum: f64,
    /// What the additions to `sum` rounded away.
    rest: f64,
}

/// The unit of the sum, a power of two: no digit is lost, and no sum of fewer rows overflows.
const UNIT: f64 = 18_446_744_073_709_551_616.0;

impl Likelihood {
    /// Adds the log-densities of some rows, in nats.
    pub fn add(&mut self, log_probs: &[f64]) {
        log_probs.iter().for_each(|value| self.add_row(*value, 1.0));
    }

    /// Adds the log-densities of rows that do not count alike; a weight is finite and not negative, and a row of weight 0 is passed over.
    pub fn add_weighted(&mut self, log_probs: &[f64], weights: &[f64]) {
        let counted = log_probs.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
        counted.for_each(|(value, weight)| self.add_row(*value, *weight));
    }

    fn add_row(&mut self, value: f64, weight: f64) {
        self.rows += 1;
        if value == f64::NEG_INFINITY {
            self.outside += 1;
            return;
        }
        self.mean.add(value, weight);
        let before = self.mean_by_squares.value();
        self.mean_by_squares.add(value, weight * weight);
        let after = self.mean_by_squares.value();
        // Halves, as the difference of two numbers may be twice the largest; equal rows add nothing, whatever their size.
        let off = [before, after].map(|mean| weight * (0.5 * value - 0.5 * mean));
        self.squares += if off.contains(&0.0) { 0.0 } else { 4.0 * off[0] * off[1] };
    }

    /// Number of rows that count.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows of density zero: outside the support of a column.
    pub fn rows_outside_support(&self) -> u64 {
        self.outside
    }

    /// Mean in nats per row: `-inf` if a row has density zero, NaN if a row is NaN or there is no row.
    pub fn mean(&self) -> f64 {
        match (self.rows, self.outside) {
            (0, _) => f64::NAN,
            (_, 0) => self.mean.value(),
            // Minus infinity, unless the sum is NaN or plus infinity: then there is no mean.
            _ => self.mean.sum + f64::NEG_INFINITY,
        }
    }

    /// Standard error of the mean; NaN for fewer than two rows or a mean that is not finite.
    pub fn standard_error(&self) -> f64 {
        if self.rows < 2 || !self.mean().is_finite() {
            return f64::NAN;
        }
        let n = self.rows as f64;
        let between = self.mean_by_squares.value() - self.mean.value();
        let squares = self.squares + self.mean_by_squares.weight * between * between;
        let share = n / self.mean.weight;
        (squares * share * share / (n - 1.0) / n).sqrt()
    }

    /// The mean as bits per dimension, `-mean / (dims ln 2)`: less is better.
    pub fn bits_per_dim(&self, dims: usize) -> f64 {
        -self.mean() / (dims as f64 * LN_2)
    }
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.weight += weight;
        let part = value / UNIT * weight;
        let sum = self.sum + part;
        // An infinity or NaN would turn the correction into NaN and hide which of them it was.
        if sum.is_finite() {
            self.rest += if self.sum.abs() >= part.abs() {
                (self.sum - sum) + part
            } else {
                (part - sum) + self.sum
            };
        }
        self.sum = sum;
    }

    /// 0 for no rows.
    fn value(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { (self.sum + self.rest) / self.weight * UNIT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(log_probs: &[f64]) -> Likelihood {
        let mut likelihood = Likelihood::default();
        likelihood.add(log_probs);
        likelihood
    }

    #[test]
    fn chunks_change_nothing_and_far_rows_cost_no_digits() {
        let values: Vec<f64> =
            (0..10_000).map(|i| -1e8 + f64::from(i % 7) + 0.1 * f64::from(i % 3)).collect();
        let whole = of(&values);
        for chunk in [1, 3, 1024] {
            let mut pieces = Likelihood::default();
            values.chunks(chunk).for_each(|c| pieces.add(c));
            assert_eq!(pieces.mean().to_bits(), whole.mean().to_bits());
            assert_eq!(pieces.standard_error().to_bits(), whole.standard_error().to_bits());
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|v| v + 1e8).sum::<f64>() / n;
        let variance = values.iter().map(|v| (v + 1e8 - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert!((whole.mean() + 1e8 - mean).abs() < 1e-7, "{}", whole.mean());
        assert!((whole.standard_error() / (variance / n).sqrt() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_order_of_rows_costs_no_digits() {
        let mut values: Vec<f64> = (1..5000).map(|i| -1.0 / f64::from(i)).collect();
        values.push(-1e6);
        let forth = of(&values);
        values.reverse();
        let back = of(&values);
        assert!((forth.mean() / back.mean() - 1.0).abs() < 1e-15);
        assert!((forth.standard_error() / back.standard_error() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn e5_sums_beyond_the_largest_number_have_a_mean() {
        for (values, mean) in [
            (vec![1e308; 8], 1e308),
            (vec![-1e308; 8], -1e308),
            (vec![1e308, -1e308, 1.7e308, -1.7e308], 0.0),
            (vec![-1e308, -1e308, -1e308, -745.13, -1e308], -8e307),
            (vec![f64::MAX, f64::MAX], f64::MAX),
        ] {
            assert_eq!(of(&values).mean(), mean, "{values:?}");
            assert!(!of(&values).standard_error().is_nan(), "{values:?}");
            values.iter().for_each(|v| assert_eq!(of(&[*v]).mean(), *v));
        }
        assert_eq!(of(&[1e308; 3]).standard_error(), 0.0);
    }

    #[test]
    fn e5_log_densities_at_the_ends_of_the_exponential_keep_their_digits() {
        // e^-745.2 is zero, e^709.8 infinite: nothing may pass through the density itself.
        let values = [-745.133, -745.134, 709.783, 709.784, -744.44, -5000.25];
        let mean = values.iter().sum::<f64>() / 6.0;
        assert!((of(&values).mean() - mean).abs() < 1e-12, "{}", of(&values).mean());
        assert_eq!(of(&[-745.25, -745.75]).mean(), -745.5);
        assert_eq!(of(&[1e-280]).mean(), 1e-280);
    }

    #[test]
    fn weights_are_those_of_the_weighted_mean_and_one_is_as_without() {
        let values: Vec<f64> = (0..500).map(|i| -3.0 + (f64::from(i) * 0.7).sin()).collect();
        let weights: Vec<f64> = (0..500).map(|i| f64::from(i % 5)).collect();
        let mut weighted = Likelihood::default();
        values.chunks(7).zip(weights.chunks(7)).for_each(|(v, w)| weighted.add_weighted(v, w));
        let pairs = || values.iter().zip(&weights);
        let total: f64 = weights.iter().sum();
        let mean = pairs().map(|(v, w)| v * w).sum::<f64>() / total;
        let square = pairs().map(|(v, w)| (w * (v - mean)).powi(2)).sum::<f64>() / total.powi(2);
        assert!((weighted.mean() - mean).abs() < 1e-14 && weighted.rows() == 400);
        let error = (square * 400.0 / 399.0).sqrt();
        assert!((weighted.standard_error() / error - 1.0).abs() < 1e-12);
        let mut ones = Likelihood::default();
        ones.add_weighted(&values, &[1.0; 500]);
        let same = |l: &Likelihood| [l.mean(), l.standard_error()].map(f64::to_bits);
        assert_eq!(same(&ones), same(&of(&values)));
    }

    #[test]
    fn units() {
        let likelihood = of(&[-LN_2, -3.0 * LN_2]);
        assert!((likelihood.bits_per_dim(2) - 1.0).abs() < 1e-15);
        assert!((likelihood.standard_error() - LN_2).abs() < 1e-15);
    }

    #[test]
    fn rows_without_density_make_the_mean_minus_infinity_and_are_counted() {
        let likelihood = of(&[-1.0, f64::NEG_INFINITY, -2.0]);
        assert_eq!((likelihood.mean(), likelihood.rows_outside_support()), (f64::NEG_INFINITY, 1));
        assert!(likelihood.standard_error().is_nan() && likelihood.rows() == 3);
        assert_eq!(likelihood.bits_per_dim(1), f64::INFINITY);
    }

    #[test]
    fn what_is_not_a_number_stays_that() {
        assert!(of(&[]).mean().is_nan() && of(&[]).standard_error().is_nan());
        assert!(of(&[-1.0]).standard_error().is_nan() && of(&[-1.0]).mean() == -1.0);
        for rows in [
            &[-1.0, f64::NAN][..],
            &[f64::NAN, f64::NEG_INFINITY],
            &[f64::INFINITY, f64::NEG_INFINITY],
        ] {
            assert!(of(rows).mean().is_nan(), "{rows:?}");
        }
        assert_eq!(of(&[1.0, f64::INFINITY]).mean(), f64::INFINITY);
    }
}
