//! Does a row come back from the base as it went?

use super::CheckResult;
use super::subject::{Samples, Subject};
use crate::error::Result;
use crate::host::rows::Rows;

/// Most rows of samples, and of data, that are taken there and back.
const ROWS: usize = 2000;

/// A row's largest error and where.
#[derive(Clone, Debug)]
struct Worst {
    error: f64,
    row: usize,
    column: usize,
    left_out: usize,
}

pub(super) fn check(subject: &Subject<'_>) -> Result<CheckResult> {
    let (model, threads) = (subject.model, subject.threads);
    let n = subject.samples.min(ROWS);
    let context = subject.contexts(n);
    let samples = model.sample(n, context.as_ref(), &subject.sample_options(Samples::RoundTrip))?;
    // How long the way round is, of a circle.
    let turns: Vec<f64> = model.schema().columns.iter().map(|c| c.kind.turn()).collect();
    let measure = |x: &Rows, context: Option<&Rows>| {
        let to_base = |x: &Rows| model.to_base(x, context, threads);
        let to_data = |z: &Rows| Ok(model.to_data(z, context, threads)?.0);
        largest_error(x, &model.encoding().cells().middle(x), &turns, to_base, to_data)
    };
    let of_samples = measure(&samples, context.as_ref())?;
    let mut rows = format!("{n} samples");
    let mut worst = ("sample", of_samples);
    if let Some(data) = subject.data() {
        let n = data.x.len().min(ROWS);
        let of_data =
            measure(&data.x.slice(0..n), data.context.as_ref().map(|c| c.slice(0..n)).as_ref())?;
        rows += &format!(" and {n} rows of data");
        if of_data.left_out > 0 {
            rows += &format!(" ({} of them outside the support, left out)", of_data.left_out);
        }
        if of_data.error.is_nan() || of_data.error > worst.1.error {
            worst = ("row of data", of_data);
        }
    }
    let (kind, Worst { error, row, column, .. }) = worst;
    let name = &model.schema().columns[column].name;
    let detail = format!(
        "{rows} to the base and back: largest error {error:.1e} spreads of the column, in column {} of {kind} {}",
        crate::error::quoted(name),
        row + 1
    );
    let limit = model.round_trip_limit();
    Ok(CheckResult::measured("round_trip", error, limit, detail))
}

/// The largest difference between `expected` and `x` taken to the base and back, relative to the spread of the column, or to the
/// distance from its centre where that is larger: a row far out has its own scale; on circles of these lengths the shorter way. NaN if a number is not finite.
fn largest_error(
    x: &Rows,
    expected: &Rows,
    turns: &[f64],
    to_base: impl Fn(&Rows) -> Result<(Rows, Vec<f64>)>,
    to_data: impl Fn(&Rows) -> Result<Rows>,
) -> Result<Worst> {
    let (z, log_det) = to_base(x)?;
    let back = to_data(&z)?;
    let scales: Vec<(f64, f64)> =
        (0..x.width()).map(|j| centre_and_spread(expected.column(j))).collect();
    let inside = |i: &usize| log_det[*i] != f64::NEG_INFINITY;
    let left_out = x.len() - (0..x.len()).filter(inside).count();
    let mut worst = Worst { error: 0.0, row: 0, column: 0, left_out };
    for row in (0..x.len()).filter(inside) {
        for (column, (centre, spread)) in scales.iter().enumerate() {
            let (a, b) = (expected.row(row)[column], back.row(row)[column]);
            // A value that is missing comes back as one.
            if a.is_nan() && b.is_nan() {
                continue;
            }
            let apart = (b - a).abs();
            // Both ends of a circle are one place.
            let apart = apart.min((turns[column] - apart).abs());
            let error = apart / spread.max((a - centre).abs());
            let error = if b.is_finite() && log_det[row].is_finite() { error } else { f64::NAN };
            if error.is_nan() || error > worst.error {
                worst = Worst { error, row, column, left_out };
            }
            if error.is_nan() {
                return Ok(worst);
            }
        }
    }
    Ok(worst)
}

/// Median, and half the distance of the 16th and 84th percentile: a deviation that far rows do not change.
fn centre_and_spread(mut values: Vec<f64>) -> (f64, f64) {
    values.retain(|v| !v.is_nan());
    if values.is_empty() {
        return (0.0, 1.0);
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
    let spread = 0.5 * (at(0.84) - at(0.16));
    let range = at(1.0) - at(0.0);
    match (spread > 0.0, range > 0.0) {
        (true, _) => (at(0.5), spread),
        (false, true) => (at(0.5), range),
        _ => (at(0.5), 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Precision;

    const LINES: [f64; 2] = [f64::INFINITY; 2];

    #[test]
    fn the_ends_of_a_circle_are_one_place() {
        let x = Rows::new(vec![0.0, 360.0, 90.0, 180.0, 270.0, 45.0], 2).unwrap();
        let to_base = |x: &Rows| Ok((x.clone(), vec![0.0; 3]));
        let to_data = |z: &Rows| {
            let turned = z.values().iter().map(|v| (v + 1e-3) % 360.0);
            Rows::new(turned.collect(), 2)
        };
        let of = |turns: [f64; 2]| largest_error(&x, &x, &turns, to_base, to_data).unwrap().error;
        assert!(of([360.0; 2]) < 1e-4 && of(LINES) > 1.0, "{} {}", of([360.0; 2]), of(LINES));
    }

    fn rows() -> Rows {
        Rows::new((0..200).map(|i| f64::from(i) * 0.1).collect(), 2).unwrap()
    }

    fn scaled(x: &Rows, by: f64) -> Rows {
        Rows::new(x.values().iter().map(|v| v * by).collect(), x.width()).unwrap()
    }

    fn error(inverse: impl Fn(&Rows) -> Rows) -> f64 {
        let x = rows();
        let log_det = vec![0.0; x.len()];
        let to_base = |x: &Rows| Ok((scaled(x, 2.0), log_det.clone()));
        largest_error(&x, &x, &LINES, to_base, |z| Ok(inverse(z))).unwrap().error
    }

    #[test]
    fn e4_a_wrong_inverse_is_seen() {
        assert_eq!(error(|z| scaled(z, 0.5)), 0.0);
        let found = error(|z| scaled(z, 0.51));
        assert!(found > Precision::F32.round_trip_limit() && found < 0.1, "{found}");
        assert!(error(|z| scaled(z, f64::NAN)).is_nan());
        // One number in one row.
        let slip = error(|z| {
            let mut x = scaled(z, 0.5);
            x.values_mut()[101] += 0.5;
            x
        });
        assert!(slip > Precision::F32.round_trip_limit(), "{slip}");
    }

    #[test]
    fn rows_outside_the_support_are_left_out_and_counted() {
        let x = rows();
        let mut log_det = vec![0.0; x.len()];
        log_det[7] = f64::NEG_INFINITY;
        let to_base = |x: &Rows| Ok((x.clone(), log_det.clone()));
        let to_data = |z: &Rows| {
            let mut x = z.clone();
            x.values_mut()[14] = f64::NAN;
            Ok(x)
        };
        let worst = largest_error(&x, &x, &LINES, to_base, to_data).unwrap();
        assert_eq!((worst.error, worst.left_out), (0.0, 1));
    }
}
