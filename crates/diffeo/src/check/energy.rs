//! How far are samples from data in all columns together?

use super::subject::{Draw, Subject, ranked};
use super::{CheckData, CheckResult};
use crate::error::Result;
use crate::host::parallel;
use crate::host::random::{Purpose, Streams, permutation};
use crate::host::rows::Rows;

/// What passes beside noise, as a share of the mean distance of data and samples: a shift by a fifth of a deviation in one dimension.
const EFFECT: f64 = 0.01;
/// How many times the distance between halves of the data noise may reach. Halves have twice the noise of whole samples; in one dimension,
/// the worst case, the null distribution is a sum of chi-squares with weights `1 / k^2` whose quantile at one in a million lies 16
/// deviations up.
const NOISE: f64 = 8.0;
/// Random splits of the data into halves.
const SPLITS: usize = 16;
/// Rows of data and samples that are used: all pairs are compared.
pub(super) const ROWS: usize = 2000;
/// Fewer rows have no halves to compare.
pub(super) const ROWS_MIN: usize = 20;
const NAME: &str = "energy_distance";

pub(super) fn check(
    subject: &Subject<'_>,
    data: &CheckData,
    samples: &Rows,
) -> Result<CheckResult> {
    let n = data.x.len().min(samples.len()).min(ROWS);
    if n < ROWS_MIN {
        return Ok(CheckResult::skipped(NAME, format!("{n} rows, and {ROWS_MIN} are needed")));
    }
    let context = data.context.as_ref().map(|c| ranked(&c.slice(0..n)));
    let (x, samples) = (ranked(&data.x), ranked(&samples.slice(0..n)));
    let a = scores(&x.slice(0..n), &x, context.as_ref());
    let b = scores(&samples, &x, context.as_ref());
    let with = if context.is_some() { " with their contexts" } else { "" };
    compare(NAME, &format!("rows of data and {n} samples{with}"), &a, &b, subject)
}

/// The energy distance of two samples of equal size, whose columns are ranks.
pub(super) fn compare(
    name: &str,
    what: &str,
    a: &[Vec<f64>],
    b: &[Vec<f64>],
    subject: &Subject<'_>,
) -> Result<CheckResult> {
    let Measured { distance, noise } = measure(a, b, subject.streams(), subject.threads)?;
    let limit = EFFECT + NOISE * noise;
    let detail = format!(
        "{} {what}, ranked by column: energy distance {distance:.4} of their mean distance; limit {EFFECT} + {NOISE} x {noise:.5}, the noise \
         between halves of the data",
        a.len()
    );
    Ok(CheckResult::measured(name, distance, limit, detail))
}

/// Each number as its rank in the column of `of`, with the context's ranks beside.
///
/// Equal distributions have equal ranks whatever the columns' units, and a few values far out do not drown the rest.
pub(super) fn scores(x: &Rows, of: &Rows, context: Option<&Rows>) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); x.len()];
    for (values, of) in std::iter::once((x, of)).chain(context.map(|c| (c, c))) {
        for j in 0..values.width() {
            let mut sorted = of.column(j);
            sorted.sort_by(f64::total_cmp);
            for (row, v) in rows.iter_mut().zip(values.column(j)) {
                row.push(rank(&sorted, v));
            }
        }
    }
    rows
}

/// Share of the values below `v`, half of its ties counted.
fn rank(sorted: &[f64], v: f64) -> f64 {
    let (below, up_to) = (sorted.partition_point(|s| *s < v), sorted.partition_point(|s| *s <= v));
    (below + up_to) as f64 / (2 * sorted.len()) as f64
}

struct Measured {
    distance: f64,
    noise: f64,
}

/// `(2 E|X - Y| - E|X - X'| - E|Y - Y'|) / 2 E|X - Y|` between two samples of equal size, without bias, and the root mean square of the same
/// between random halves of the first (Székely and Rizzo. *Energy statistics*. J. Stat. Plan. Inference 143, 2013).
///
/// Rows of equal number may share their context, so these pairs are left out of the first mean too.
fn measure(a: &[Vec<f64>], b: &[Vec<f64>], streams: &Streams, threads: usize) -> Result<Measured> {
    let n = a.len();
    let between = |x: &[Vec<f64>], y: &[Vec<f64>]| -> Result<Vec<Vec<f64>>> {
        parallel::map(n, threads, |i| Ok(y.iter().map(|row| distance(&x[i], row)).collect()))
    };
    let total = |table: &[Vec<f64>]| -> f64 {
        let others = |(i, row): (usize, &Vec<f64>)| row.iter().sum::<f64>() - row[i];
        table.iter().enumerate().map(others).sum()
    };
    let inside = between(a, a)?;
    let (aa, bb, ab) = (total(&inside), total(&between(b, b)?), total(&between(a, b)?));
    // Identical constants are at no distance at all.
    let share = |energy: f64, cross: f64| if cross == 0.0 { 0.0 } else { energy / cross };
    let distance = share(2.0 * ab - aa - bb, 2.0 * ab).max(0.0);
    let mut square = 0.0;
    for split in 0..SPLITS {
        let mut rng = streams.rng(Purpose::Check, Draw::Halves as u64, split as u64);
        let order = permutation(&mut rng, n as u32);
        let half = n / 2;
        let mut first = vec![false; n];
        order[..half].iter().for_each(|i| first[*i as usize] = true);
        let (mut same, mut cross) = ([0.0; 2], 0.0);
        for (i, row) in inside.iter().enumerate() {
            let in_first: f64 = row.iter().zip(&first).filter(|(_, f)| **f).map(|(d, _)| d).sum();
            let in_second = row.iter().sum::<f64>() - in_first;
            let (own, other) = if first[i] { (in_first, in_second) } else { (in_second, in_first) };
            same[usize::from(!first[i])] += own;
            cross += 0.5 * other;
        }
        let (p, q) = (half as f64, (n - half) as f64);
        let cross = cross / (p * q);
        let energy = 2.0 * cross - same[0] / (p * (p - 1.0)) - same[1] / (q * (q - 1.0));
        square += share(energy, 2.0 * cross).powi(2);
    }
    Ok(Measured { distance, noise: (square / SPLITS as f64).sqrt() })
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::normal;

    fn draws(n: usize, d: usize, seed: u64) -> Vec<Vec<f64>> {
        let streams = Streams::new(seed);
        let row = |i: usize| {
            let mut rng = streams.rng(Purpose::Check, 9, i as u64);
            (0..d).map(|_| normal(&mut rng)).collect()
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn ranks_share_ties_and_end_at_0_and_1() {
        let sorted = [1.0, 2.0, 2.0, 3.0];
        assert_eq!(
            [0.0, 1.0, 2.0, 2.5, 9.0].map(|v| rank(&sorted, v)),
            [0.0, 0.125, 0.5, 0.75, 1.0]
        );
    }

    fn of(a: &[Vec<f64>], b: &[Vec<f64>]) -> (f64, f64) {
        let found = measure(a, b, &Streams::new(1), 2).unwrap();
        (found.distance, EFFECT + NOISE * found.noise)
    }

    #[test]
    fn equal_distributions_pass() {
        for d in [1, 4] {
            for seed in 0..10 {
                let (value, limit) = of(&draws(200, d, seed), &draws(200, d, 100 + seed));
                assert!(value <= limit && limit < 0.15, "{d} {seed}: {value} {limit}");
            }
        }
    }

    #[test]
    fn a_shift_and_a_lost_dependence_fail() {
        let a = draws(1000, 2, 1);
        let shifted: Vec<Vec<f64>> =
            draws(1000, 2, 2).into_iter().map(|r| vec![r[0] + 0.8, r[1]]).collect();
        let (value, limit) = of(&a, &shifted);
        assert!(value > limit, "{value} {limit}");
        // Both columns have the right distribution, but not together.
        let dependent: Vec<Vec<f64>> =
            draws(1000, 2, 3).into_iter().map(|r| vec![r[0], r[0]]).collect();
        let (value, limit) = of(&dependent, &a);
        assert!(value > limit, "{value} {limit}");
    }

    #[test]
    fn the_distance_of_two_points_is_known_and_threads_do_not_matter() {
        let (a, b) = (vec![vec![0.0]; 30], vec![vec![2.0]; 30]);
        assert_eq!(measure(&a, &b, &Streams::new(1), 1).unwrap().distance, 1.0);
        assert_eq!(measure(&a, &a, &Streams::new(1), 1).unwrap().distance, 0.0);
        let (a, b) = (draws(50, 3, 1), draws(50, 3, 2));
        let of = |threads| measure(&a, &b, &Streams::new(1), threads).unwrap().distance;
        assert_eq!(of(1).to_bits(), of(3).to_bits());
    }
}
