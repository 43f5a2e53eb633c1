//! Do base numbers of data know of the context, or of each other more than those of the base do?

use super::CheckResult;
use super::calibration::{largest_gap, median};
use crate::host::rows::Rows;

/// The distance of distribution functions within a quarter of the rows that passes beside noise.
const EFFECT: f64 = 0.1;
/// How often noise alone may exceed its part of the limit, over all comparisons.
const FALSE_ALARM: f64 = 1e-4;
/// Parts of the rows, by what is given.
const PARTS: usize = 4;
/// Rows and draws that are used, and base numbers: all pairs are compared.
const ROWS: usize = 4000;
const NUMBERS: usize = 32;
/// Fewer rows have no quarters to compare.
const ROWS_MIN: usize = 200;
pub(super) const NAME: &str = "base_dependence";

/// A column of the context, or a number of the base.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Context(usize),
    Number(usize),
}

/// What the rows are ordered by, in the data and, if it is a number of the base, in its draws.
struct Condition {
    by: By,
    of_data: Vec<f64>,
}

/// Holds base numbers of data, with their contexts, against draws of the base.
/// Numbers are called by `name`, columns of the context as `given`.
pub(super) fn check(
    of_data: &Rows,
    context: Option<&Rows>,
    draws: &Rows,
    (name, given): (&dyn Fn(usize) -> String, &[String]),
) -> CheckResult {
    let n = of_data.len().min(ROWS);
    let conditions = conditions(of_data, context, n);
    if n < ROWS_MIN {
        return CheckResult::skipped(NAME, format!("{n} rows, and {ROWS_MIN} are needed"));
    }
    if conditions.iter().all(|c| matches!(c.by, By::Number(_))) && of_data.width() == 1 {
        return CheckResult::skipped(
            NAME,
            "one number without context depends on nothing".to_owned(),
        );
    }
    let numbers = of_data.width().min(NUMBERS);
    let columns = |rows: &Rows, n: usize| -> Vec<Vec<f64>> {
        (0..numbers).map(|j| rows.column(j)[..n].to_vec()).collect()
    };
    let (z, y) = (columns(of_data, n), columns(draws, draws.len().min(2 * ROWS)));
    let m = y[0].len();
    let tests = (conditions.len() * numbers * PARTS * 2) as f64;
    let per_part = PARTS as f64 / n as f64 + PARTS as f64 / m as f64;
    let noise = (-0.5 * (0.5 * FALSE_ALARM / tests).ln()).sqrt() * per_part.sqrt();
    let mut worst = (0.0, None);
    for condition in &conditions {
        let parts_of_data = parts(&condition.of_data);
        let of_draws = match condition.by {
            By::Number(k) => parts(&y[k]),
            By::Context(_) => vec![(0..m).collect(); PARTS],
        };
        for j in (0..numbers).filter(|j| condition.by != By::Number(*j)) {
            for (part, (a, b)) in parts_of_data.iter().zip(&of_draws).enumerate() {
                let distance = furthest(pick(&z[j], a), pick(&y[j], b));
                if distance.is_nan() || distance > worst.0 {
                    worst = (distance, Some((j, part, condition.by)));
                }
            }
        }
    }
    let limit = EFFECT + noise;
    let says = match worst.1 {
        None => "nothing stands out".to_owned(),
        Some((j, part, by)) => {
            let quarter = ["lowest", "second", "third", "highest"][part];
            let by = match by {
                By::Context(k) => given[k].clone(),
                By::Number(k) => name(k),
            };
            format!("{} in the {quarter} quarter of {by}", name(j))
        }
    };
    let detail = format!(
        "{n} rows of data and their first {numbers} numbers, in quarters by each of {} conditions, against draws of the base: the worst distance of \
         distribution functions is {:.3}, {}; limit {EFFECT} + {noise:.3} for noise",
        conditions.len(),
        worst.0,
        says
    );
    CheckResult::measured(NAME, worst.0, limit, detail)
}

fn conditions(of_data: &Rows, context: Option<&Rows>, n: usize) -> Vec<Condition> {
    let of = |by, rows: &Rows, k| Condition { by, of_data: rows.column(k)[..n].to_vec() };
    let given = context
        .into_iter()
        .flat_map(|context| (0..context.width()).map(move |k| of(By::Context(k), context, k)));
    let others = (0..of_data.width().min(NUMBERS)).map(|k| of(By::Number(k), of_data, k));
    given.chain(others).collect()
}

/// The places of values in equal parts by size.
fn parts(values: &[f64]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let cut = |i: usize| values.len() * i / PARTS;
    (0..PARTS).map(|i| order[cut(i)..cut(i + 1)].to_vec()).collect()
}

fn pick(values: &[f64], places: &[usize]) -> Vec<f64> {
    places.iter().map(|i| values[*i]).collect()
}

/// The distance of two samples, or of their distances from the middle of the second.
fn furthest(a: Vec<f64>, b: Vec<f64>) -> f64 {
    let centre = median(b.clone());
    let away = |values: &[f64]| values.iter().map(|v| (v - centre).abs()).collect();
    let spread = largest_gap(away(&a), away(&b)).distance;
    spread.max(largest_gap(a, b).distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Purpose, Streams, normal};

    fn normals(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 0, 0);
        (0..n).map(|_| normal(&mut rng)).collect()
    }

    /// Two numbers and a context of one, changed row by row.
    fn result(seed: u64, change: impl Fn(&mut [f64], f64)) -> CheckResult {
        let (mut z, c) = (normals(4000, seed), normals(2000, 100 + seed));
        z.chunks_mut(2).zip(&c).for_each(|(row, c)| change(row, *c));
        let (z, context) = (Rows::new(z, 2).unwrap(), Rows::new(c, 1).unwrap());
        let draws = Rows::new(normals(64_000, 200 + seed), 2).unwrap();
        check(&z, Some(&context), &draws, (&|j| format!("number {}", j + 1), &["\"c\"".to_owned()]))
    }

    #[test]
    fn what_knows_of_the_context_or_of_another_number_is_found() {
        for seed in 0..10 {
            assert!(result(seed, |_, _| {}).passed);
            // The place, or the spread alone, follows the context; or one number the other, without a correlation.
            let place = result(seed, |row, c| row[1] = 0.5f64.sqrt() * (row[1] + c));
            assert!(!place.passed && place.detail.contains("\"c\""), "{place:?}");
            let spread = result(seed, |row, c| row[0] *= (0.5 * c).exp());
            assert!(!spread.passed, "{spread:?}");
            let other = result(seed, |row, _| {
                row[1] = if row[0].abs() > 0.7 { row[1].abs() } else { -row[1].abs() }
            });
            assert!(!other.passed && other.detail.contains("of number"), "{other:?}");
        }
    }
}
