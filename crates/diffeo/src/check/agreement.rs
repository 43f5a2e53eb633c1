//! Does a sample have the log-density it was drawn with?

use super::CheckResult;
use super::subject::{Samples, Subject};
use crate::error::Result;

/// In `f64` both ways round at about 1e-12; a term that is missing in one of them is of order 1e-3 at least.
const LIMIT_F64: f64 = 1e-6;
/// In `f32` the point itself is rounded on the way, and the density is taken at another point: where it changes by `e` within 1e-5
/// of a spread that shows. A tenth of a nat in the worst of 2000 rows is below what any use of a log-density notices.
const LIMIT_F32: f64 = 0.1;
/// Most rows that are drawn.
const ROWS: usize = 2000;

pub(super) fn check(subject: &Subject<'_>) -> Result<CheckResult> {
    // Columns of whole numbers are taken as they leave the flow: their probabilities are scored in both cases.
    let model = &subject.continuous;
    let n = subject.samples.min(ROWS);
    let context = subject.contexts(n);
    let options = subject.sample_options(Samples::Agreement);
    let (x, drawn) = model.sample_with_log_prob(n, context.as_ref(), &options)?;
    let scored = model.log_prob(&x, context.as_ref(), subject.threads)?;
    let limit = subject.limit(LIMIT_F32, LIMIT_F64);
    let (value, row) = largest_difference(&drawn, &scored);
    let detail = format!(
        "{n} samples: largest difference of their log-density as drawn and as scored {value:.1e} nats, in sample {}",
        row + 1
    );
    Ok(CheckResult::measured("sample_score_agreement", value, limit, detail))
}

/// Largest difference and its place; NaN if there is one.
fn largest_difference(drawn: &[f64], scored: &[f64]) -> (f64, usize) {
    let differences = drawn.iter().zip(scored).map(|(a, b)| (a - b).abs());
    let larger = |a: (f64, usize), (i, d): (usize, f64)| match d > a.0 || d.is_nan() {
        true if !a.0.is_nan() => (d, i),
        _ => a,
    };
    differences.enumerate().fold((0.0, 0), larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_error_or_a_lost_row_is_seen() {
        let drawn = [-1.0, -2.0, -3.0];
        assert_eq!(largest_difference(&drawn, &drawn), (0.0, 0));
        assert_eq!(largest_difference(&drawn, &[-1.0, -2.5, -3.25]), (0.5, 1));
        assert_eq!(largest_difference(&drawn, &[-1.0, -2.0, f64::NEG_INFINITY]).0, f64::INFINITY);
        let (value, row) = largest_difference(&drawn, &[-1.0, f64::NAN, 9.0]);
        assert!(value.is_nan() && row == 1);
    }
}
