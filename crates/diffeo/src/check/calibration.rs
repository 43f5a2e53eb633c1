//! Are the values of each column spread as the model says?
//!
//! The probability integral transform of the data under the model, `u_i = F(x_i)`, is uniform for a calibrated model. With `F` taken from
//! samples, the distance of the `u_i` from uniform is the Kolmogorov-Smirnov distance of data and samples, which also holds for
//! whole numbers, where many values are tied. Samples of a conditional model are drawn at the contexts of the data.

use super::subject::{MISSING, Subject, ranked};
use super::{CheckData, CheckResult};
use crate::columns::{Column, ColumnKind};
use crate::error::quoted;
use crate::host::rows::Rows;

/// What passes beside noise: the model puts any quantile of the data at most five percentage points wrong. A finite fit is never exact, and
/// with enough data every error would be significant; this is the size that matters.
const EFFECT: f64 = 0.05;
/// How often noise alone may exceed its part of the limit.
const FALSE_ALARM: f64 = 1e-6;

pub(super) fn check(subject: &Subject<'_>, data: &CheckData, samples: &Rows) -> Vec<CheckResult> {
    let columns = subject.model.schema().columns.iter().enumerate();
    let (data, samples) = (ranked(&data.x), ranked(samples));
    columns.map(|(j, column)| of_column(column, data.column(j), samples.column(j))).collect()
}

fn of_column(column: &Column, data: Vec<f64>, samples: Vec<f64>) -> CheckResult {
    let name = format!("calibration:{}", column.name);
    let (n, m) = (data.len() as f64, samples.len() as f64);
    // Smirnov's limit for two samples, exact to first order and conservative where values are tied.
    let noise = (-0.5 * (0.5 * FALSE_ALARM).ln()).sqrt() * ((n + m) / (n * m)).sqrt();
    let limit = EFFECT + noise;
    if limit >= 1.0 {
        return CheckResult::skipped(name, too_few(n));
    }
    let level = most_off(column, &data, &samples);
    let Gap { distance, at, data: below_data, samples: below_samples } = largest_gap(data, samples);
    let (of_data, of_samples, are) = match level {
        Some((level, of_data, of_samples)) => (of_data, of_samples, format!("are {level}")),
        None => (below_data, below_samples, up_to(column, at)),
    };
    let detail = format!(
        "{n} rows of data, {m} samples: the distributions differ by {distance:.3} at most ({:.1} % of the data and {:.1} % of the \
         samples {are}); limit {EFFECT} + {noise:.3} for noise",
        100.0 * of_data,
        100.0 * of_samples
    );
    CheckResult::measured(name, distance, limit, detail)
}

/// Values up to one, in words: missing ones are ranked below all.
fn up_to(column: &Column, at: f64) -> String {
    if at == MISSING {
        return "are missing".to_owned();
    }
    let day = |days: f64| {
        let [year, month, day] = civil(days as i64);
        format!("{year:04}-{month:02}-{day:02}")
    };
    match column.kind {
        ColumnKind::Date => format!("are at or before {}", day(at.floor())),
        ColumnKind::Time => {
            let (days, seconds) = ((at / 86_400.0).floor(), at.rem_euclid(86_400.0).floor() as u64);
            let [hours, minutes] = [seconds / 3600, seconds / 60 % 60];
            format!("are at or before {}T{hours:02}:{minutes:02}:{:02}", day(days), seconds % 60)
        }
        _ => format!("are at or below {at}"),
    }
}

/// Year, month and day of so many days after 1970-01-01. Years are counted from March, so that the leap day is their last (Hinnant. *chrono-compatible low-level date algorithms*).
fn civil(days: i64) -> [i64; 3] {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    [400 * era + year + i64::from(month <= 2), month, of_month]
}

/// Why so few rows of data tell nothing.
pub(super) fn too_few(rows: f64) -> String {
    format!("{rows} rows of data: every distribution would pass, give more")
}

/// The level whose share differs most, and its shares in data and samples, of a column that has levels.
fn most_off(column: &Column, data: &[f64], samples: &[f64]) -> Option<(String, f64, f64)> {
    let share = |values: &[f64], level: f64| {
        values.iter().filter(|x| **x == level).count() as f64 / values.len() as f64
    };
    let of_level = |(place, level): (usize, &String)| {
        let [a, b] = [data, samples].map(|values| share(values, place as f64));
        (quoted(level), a, b)
    };
    let levels = column.levels.iter().enumerate().map(of_level);
    levels.max_by(|(_, a, b), (_, c, d)| (a - b).abs().total_cmp(&(c - d).abs()))
}

/// The largest difference of two distribution functions, where it is, and the functions there.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) distance: f64,
    at: f64,
    data: f64,
    samples: f64,
}

/// Compares the distribution functions at every value, after all of its ties.
pub(super) fn largest_gap(mut data: Vec<f64>, mut samples: Vec<f64>) -> Gap {
    data.sort_by(f64::total_cmp);
    samples.sort_by(f64::total_cmp);
    let mut worst = Gap { distance: 0.0, at: data[0], data: 0.0, samples: 0.0 };
    if samples.iter().any(|v| v.is_nan()) {
        return Gap { distance: f64::NAN, ..worst };
    }
    let (mut i, mut j) = (0, 0);
    while i < data.len() && j < samples.len() {
        let at = data[i].min(samples[j]);
        i += data[i..].iter().take_while(|v| **v <= at).count();
        j += samples[j..].iter().take_while(|v| **v <= at).count();
        let (a, b) = (i as f64 / data.len() as f64, j as f64 / samples.len() as f64);
        if (a - b).abs() > worst.distance {
            worst = Gap { distance: (a - b).abs(), at, data: a, samples: b };
        }
    }
    worst
}

/// The middle one of some values.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Purpose, Streams, normal, uniform};

    fn draws(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 0, 0);
        (0..n).map(|_| normal(&mut rng)).collect()
    }

    #[test]
    fn the_gap_of_small_samples_with_ties_is_exact() {
        let gap = |a: &[f64], b: &[f64]| largest_gap(a.to_vec(), b.to_vec()).distance;
        assert_eq!(gap(&[1.0, 2.0, 2.0, 3.0], &[3.0, 2.0, 1.0, 2.0]), 0.0);
        assert_eq!(gap(&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 1.0]), 0.5);
        assert_eq!(gap(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(gap(&[0.0, 1.0, 2.0, 3.0], &[1.5]), 0.5);
        assert!(gap(&[0.0], &[f64::NAN, 1.0]).is_nan());
    }

    #[test]
    fn places_are_told_in_the_words_of_their_columns() {
        let told = |kind, at| up_to(&Column::new("a", kind), at);
        assert_eq!(told(ColumnKind::Real, 2.5), "are at or below 2.5");
        assert_eq!(told(ColumnKind::Integer, MISSING), "are missing");
        for (days, date) in [
            (0.0, "1970-01-01"),
            (-1.0, "1969-12-31"),
            (11_016.0, "2000-02-29"),
            (18_819.0, "2021-07-11"),
            (-719_468.0, "0000-03-01"),
        ] {
            assert_eq!(told(ColumnKind::Date, days), format!("are at or before {date}"));
        }
        assert_eq!(told(ColumnKind::Time, 1_366_473_600.5), "are at or before 2013-04-20T16:00:00");
        assert_eq!(told(ColumnKind::Time, -1.0), "are at or before 1969-12-31T23:59:59");
    }

    #[test]
    fn equal_distributions_pass_and_others_fail() {
        let a = Column::real("a");
        for seed in 0..20 {
            let result = of_column(&a, draws(500, seed), draws(2000, 1000 + seed));
            assert!(result.passed, "{result:?}");
        }
        let shifted = draws(5000, 3).into_iter().map(|v| v + 0.3).collect();
        let result = of_column(&a, shifted, draws(5000, 4));
        assert!(!result.passed && result.name == "calibration:a", "{result:?}");
        let wide = draws(5000, 5).into_iter().map(|v| v * 1.6).collect();
        assert!(!of_column(&a, wide, draws(5000, 6)).passed);
        // Of few rows nothing can be told.
        let few = of_column(&a, draws(7, 3), draws(10_000, 4));
        assert!(few.value.is_nan() && few.detail.contains("7 rows"), "{few:?}");
        // Whole numbers, the model too high by one in a fifth of the rows.
        let mut rng = Streams::new(8).rng(Purpose::Check, 1, 0);
        let counts: Vec<f64> = (0..5000).map(|_| (4.0 * uniform(&mut rng)).floor()).collect();
        let higher: Vec<f64> =
            counts.iter().map(|v| v + f64::from(u8::from(uniform(&mut rng) < 0.5))).collect();
        assert!(of_column(&a, counts.clone(), counts.clone()).passed);
        assert!(!of_column(&a, counts, higher).passed);
        // A level is named.
        let trees = Column::category("tree", ["elm", "oak"]);
        let [elms, both] = [2, 1].map(|of: usize| (0..1000).map(|i| (i % 2 / of) as f64).collect());
        let result = of_column(&trees, both, elms);
        assert!(
            result.detail.contains("50.0 % of the data and 0.0 % of the samples are \"oak\""),
            "{result:?}"
        );
    }
}
