//! Columns that are a function of others: their joint density is infinite on a plane, so the likelihood has no bound.

use crate::moments::moments;

/// Rows looked at.
const ROWS: usize = 10_000;
/// Most columns: the work grows with their square.
const COLUMNS: usize = 256;
/// A column is taken as determined by others if they leave less than this share of its variance, or what rounding leaves.
const VARIANCE_LEFT: f64 = 1e-9;
/// Most decimals that rounded numbers have; more are those of floats.
const DECIMALS: i32 = 8;
/// How much larger than that of rounding the variance left may be: it is estimated from few rows.
const ROUNDING: f64 = 2.0;

/// A column that others determine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dependent {
    /// Equal to another one, but for scale and offset.
    Copy { column: usize, of: usize },
    /// A linear combination of those before it.
    Combination { column: usize },
}

/// Finds dependent columns by a Cholesky factorisation of the correlation matrix: a pivot that vanishes is a column whose
/// variance the columns before it explain. `at(row, column)` gives the numbers.
pub(crate) fn dependent_columns(
    rows: usize,
    columns: usize,
    at: impl Fn(usize, usize) -> f64,
) -> Vec<Dependent> {
    let n = rows.min(ROWS);
    let d = columns.min(COLUMNS);
    if n < 3 || d < 2 {
        return Vec::new();
    }
    let row = |i: usize| (i as u128 * rows as u128 / n as u128) as usize;
    let mut noise = vec![0.0; d];
    let standard: Vec<Vec<f64>> = (0..d)
        .map(|j| {
            let m = moments((0..n).map(|i| at(row(i), j)));
            let scale = if m.deviation > 0.0 { 1.0 / m.deviation } else { 0.0 };
            noise[j] = (rounded_to((0..n).map(|i| at(row(i), j))) * scale).powi(2) / 12.0;
            (0..n).map(|i| (at(row(i), j) - m.mean) * scale).collect()
        })
        .collect();
    let correlation =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / n as f64;
    let mut found = Vec::new();
    let mut factor: Vec<(usize, Vec<f64>)> = Vec::new();
    for (j, column) in standard.iter().enumerate() {
        let variance = correlation(column, column);
        if variance < 0.5 {
            continue; // Constant in the rows looked at; reported elsewhere.
        }
        let mut line: Vec<f64> = Vec::with_capacity(factor.len() + 1);
        let mut copy_of = None;
        for (k, earlier) in &factor {
            let r = correlation(column, &standard[*k]);
            if 1.0 - r * r < VARIANCE_LEFT.max(ROUNDING * (noise[j] + noise[*k])) {
                copy_of = Some(*k);
                break;
            }
            let explained: f64 = line.iter().zip(earlier).map(|(a, b)| a * b).sum();
            line.push((r - explained) / earlier[line.len()]);
        }
        if let Some(of) = copy_of {
            found.push(Dependent::Copy { column: j, of });
            continue;
        }
        let left = variance - line.iter().map(|a| a * a).sum::<f64>();
        if left < VARIANCE_LEFT || left < ROUNDING * rounding(j, &line, &factor, &noise) {
            // With as many columns as rows every column is a combination of others, and it means nothing.
            if factor.len() + 1 < n {
                found.push(Dependent::Combination { column: j });
            }
            continue;
        }
        line.push(left.sqrt());
        factor.push((j, line));
    }
    found
}

/// The unit that all numbers are multiples of, if they are rounded to decimals; else 0.
fn rounded_to(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let is_multiple = |x: f64, decimals: i32| {
        let scaled = x * 10f64.powi(decimals);
        (scaled - scaled.round()).abs() <= 8.0 * f64::EPSILON * scaled.abs()
    };
    let decimals = (0..=DECIMALS).find(|n| values.clone().all(|x| is_multiple(x, *n)));
    decimals.map_or(0.0, |decimals| 10f64.powi(-decimals))
}

/// The variance that rounding leaves of a column which is a combination of those before it, whose coefficients follow from the factor.
fn rounding(j: usize, line: &[f64], factor: &[(usize, Vec<f64>)], noise: &[f64]) -> f64 {
    let mut coefficients = line.to_vec();
    for k in (0..line.len()).rev() {
        let (_, row) = &factor[k];
        coefficients[k] /= row[k];
        let found = coefficients[k];
        for (coefficient, below) in coefficients[..k].iter_mut().zip(row) {
            *coefficient -= found * below;
        }
    }
    let of_others = coefficients.iter().zip(factor).map(|(c, (k, _))| c * c * noise[*k]);
    noise[j] + of_others.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m8_parts_of_a_whole_are_found_also_when_rounded() {
        let parts = |i: usize| {
            let raw =
                [((i * 7919) % 1009) as f64, ((i * 104_729) % 997) as f64, ((i * 31) % 211) as f64];
            raw.map(|v| v / raw.iter().sum::<f64>())
        };
        for decimals in 2..7 {
            let unit = 10f64.powi(decimals);
            let at = |i: usize, j: usize| (parts(i + 1)[j] * unit).round() / unit;
            assert_eq!(
                dependent_columns(300, 3, at),
                [Dependent::Combination { column: 2 }],
                "{decimals}"
            );
            // Noise of ten times the rounding is a column of its own.
            let noisy = |i: usize, j: usize| match j {
                2 => ((parts(i + 1)[2] + ((i * 17) % 23) as f64 / unit) * unit).round() / unit,
                _ => at(i, j),
            };
            assert!(decimals < 3 || dependent_columns(300, 3, noisy).is_empty(), "{decimals}");
        }
        assert_eq!(
            (rounded_to([0.25, -3.0].into_iter()), rounded_to([1.0 / 3.0].into_iter())),
            (0.01, 0.0)
        );
    }

    #[test]
    fn a8_copies_and_sums_of_columns_are_found() {
        let a = |i: usize| ((i * 7919) % 1009) as f64;
        let b = |i: usize| ((i * 104_729) % 997) as f64;
        let at = |i: usize, j: usize| match j {
            0 => a(i),
            1 => b(i),
            2 => 3.0 - 2.0 * f64::from(a(i) as f32),
            3 => a(i) + b(i),
            _ => ((i * 31) % 211) as f64,
        };
        assert_eq!(
            dependent_columns(500, 5, at),
            [Dependent::Copy { column: 2, of: 0 }, Dependent::Combination { column: 3 }]
        );
        assert!(dependent_columns(500, 2, at).is_empty());
    }
}
