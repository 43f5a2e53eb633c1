//! Standard normal base density, and sums over the columns of a row, in `f64`.

use crate::Real;
use crate::dispatch::dispatched;

/// `ln(2 pi) / 2`.
pub(crate) const LN_2PI_HALF: f64 = 0.918_938_533_204_672_8;

/// `[n, d]` to a sum per row; four partial sums, in an order that depends on `d` only.
#[inline(always)]
fn sum_row<T: Real>(row: &[T], term: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0f64; 4];
    for chunk in row.chunks(4) {
        for (sum, &v) in sums.iter_mut().zip(chunk) {
            *sum += term(v.to_f64());
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

dispatched! {
    /// Sum of each row of `matrix: [n, d]` in `f64`, `n` being `sums.len()`.
    ///
    /// # Panics
    /// If the matrix does not have as many rows as there are sums.
    pub fn sum_rows<T: Real>(matrix: &[T], sums: &mut [f64]) {
        let width = row_width(matrix.len(), sums.len());
        if width == 0 {
            sums.fill(0.0);
        }
        for (row, sum) in matrix.chunks_exact(width.max(1)).zip(sums) {
            *sum = sum_row(row, |v| v);
        }
    }
}

dispatched! {
    /// Log-density of the standard normal in `d` dimensions at each row of `z: [n, d]`:
    /// `-|z|^2 / 2 - d ln(2 pi) / 2`, in `f64`. `n` is `log_prob.len()`.
    ///
    /// # Panics
    /// If `z` does not have as many rows as `log_prob`.
    pub fn normal_log_prob<T: Real>(z: &[T], log_prob: &mut [f64]) {
        let width = row_width(z.len(), log_prob.len());
        if width == 0 {
            log_prob.fill(0.0);
        }
        let constant = width as f64 * LN_2PI_HALF;
        for (row, log_prob) in z.chunks_exact(width.max(1)).zip(log_prob) {
            *log_prob = -0.5 * sum_row(row, |v| v * v) - constant;
        }
    }
}

dispatched! {
    /// Gradient of a loss by `z`, given that by [`normal_log_prob`]: `-z` times it.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn normal_log_prob_backward<T: Real>(z: &[T], grad: &[f64], grad_z: &mut [T]) {
        let width = row_width(z.len(), grad.len()).max(1);
        assert_eq!(z.len(), grad_z.len(), "z and its gradient differ in length");
        let rows = z.chunks_exact(width).zip(grad_z.chunks_exact_mut(width));
        for ((z, grad_z), &grad) in rows.zip(grad) {
            let grad = T::from_f64(-grad);
            z.iter().zip(grad_z).for_each(|(&z, to)| *to = z * grad);
        }
    }
}

/// Columns of a matrix of `length` entries and `rows` rows.
#[inline(always)]
fn row_width(length: usize, rows: usize) -> usize {
    let width = length.checked_div(rows).unwrap_or(0);
    assert_eq!(width * rows, length, "the matrix is not a whole number of rows");
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_and_its_gradient() {
        let z = [0.5, -1.0, 2.0, 0.0, 0.1, -0.2];
        let mut log_prob = [0.0; 2];
        normal_log_prob(&z, &mut log_prob);
        let plain = |row: &[f64]| -> f64 {
            row.iter().map(|v| -0.5 * v * v - 0.5 * (2.0 * std::f64::consts::PI).ln()).sum()
        };
        assert!((log_prob[0] - plain(&z[..3])).abs() < 1e-15);
        assert!((log_prob[1] - plain(&z[3..])).abs() < 1e-15);
        let mut grad_z = [0.0; 6];
        normal_log_prob_backward(&z, &[2.0, 3.0], &mut grad_z);
        assert_eq!(grad_z, [-1.0, 2.0, -4.0, 0.0, -3.0 * 0.1, 3.0 * 0.2]);
    }

    #[test]
    fn rows_are_summed_in_f64() {
        let wide: Vec<f32> = (0..2_000).map(|i| if i % 1000 == 0 { 1e8 } else { 0.25 }).collect();
        let mut sums = [0.0; 2];
        sum_rows(&wide, &mut sums);
        assert_eq!(sums, [1e8 + 999.0 * 0.25; 2]);
        sum_rows::<f32>(&[], &mut sums);
        assert_eq!(sums, [0.0; 2]);
    }

    #[test]
    fn a_bad_row_spoils_itself_only() {
        let mut log_prob = [0.0; 3];
        normal_log_prob(&[0.0f32, f32::NAN, f32::INFINITY], &mut log_prob);
        assert!(log_prob[0].is_finite() && log_prob[1].is_nan());
        assert_eq!(log_prob[2], f64::NEG_INFINITY);
    }
}
