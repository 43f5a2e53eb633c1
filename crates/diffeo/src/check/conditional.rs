//! Is a conditional model calibrated given each context: column by column, in all columns together, and near each context?
//!
//! For a posterior that was fitted to simulations these are simulation-based calibration, the test of accuracy with random points, and a local test.

use super::CheckResult;
use super::energy::scores;
use super::ranks::{DRAWS, PosteriorRanks};
use super::uniform::{EFFECT, FALSE_ALARM, in_words, mean_moments, moments, noise};
use crate::host::rows::Rows;
use crate::model::Model;

/// Contexts about which the local test looks.
const PLACES: usize = 64;
/// Shares of the rows, nearest to such a context, that it looks at.
const SHARES: [usize; 3] = [1, 4, 16];
/// Fewer rows say nothing: of each test, and of one part of the local one.
const ROWS_MIN: usize = 100;
const TARP: &str = "tarp";
const LOCAL: &str = "local_calibration";

pub(super) fn check(model: &Model, ranks: &PosteriorRanks) -> Vec<CheckResult> {
    let columns = &model.schema().columns;
    let names: Vec<String> = columns.iter().map(|column| format!("sbc:{}", column.name)).collect();
    if ranks.len() < ROWS_MIN {
        let reason = format!("{} rows, and {ROWS_MIN} are needed", ranks.len());
        let names = names.into_iter().chain([TARP.to_owned(), LOCAL.to_owned()]);
        return names.map(|name| CheckResult::skipped(name, reason.clone())).collect();
    }
    let of_column = |(j, name)| sbc(name, &ranks.columns.column(j), columns.len());
    let mut results: Vec<CheckResult> = names.into_iter().enumerate().map(of_column).collect();
    results.push(tarp(ranks));
    results.push(local(model, ranks));
    results
}

/// Ranks of one column, against uniform ones.
fn sbc(name: String, ranks: &[f64], columns: usize) -> CheckResult {
    let n = ranks.len();
    let mean = mean_moments(ranks.iter().copied());
    let noise = noise(n, FALSE_ALARM / columns as f64);
    let detail = format!(
        "{n} rows of data, each among {DRAWS} draws at its own context: they lie as {}; limit {EFFECT} + {noise:.3} for noise",
        in_words(mean)
    );
    CheckResult::measured(name, mean[0].hypot(mean[1]), EFFECT + noise, detail)
}

/// Ranks by distance to reference points: are they uniform, and do they know on which side of the draws the point is?
fn tarp(ranks: &PosteriorRanks) -> CheckResult {
    let (n, d) = (ranks.len(), ranks.columns.width());
    let mean = mean_moments(ranks.distance.iter().copied());
    let spread = mean[0].hypot(mean[1]);
    let of_spread = EFFECT + noise(n, 0.5 * FALSE_ALARM);
    let side = side(ranks);
    let of_side = EFFECT + (chi_square(d) / n as f64).sqrt();
    let held = |share: f64| {
        let inside = ranks.distance.iter().filter(|f| **f < share).count();
        100.0 * inside as f64 / n as f64
    };
    let [value, limit] = match spread - of_spread >= side - of_side {
        true => [spread, of_spread],
        false => [side, of_side],
    };
    let detail = format!(
        "{n} rows of data, each among {DRAWS} draws at its own context by distance to a random point: nearer than 10, 50 and 90 % of the draws are {:.1}, {:.1} \
         and {:.1} %; off the uniform distribution by {spread:.3} (limit {of_spread:.3}), and by {side:.3} on the side of the point (limit {of_side:.3})",
        held(0.1),
        held(0.5),
        held(0.9)
    );
    CheckResult::measured(TARP, value, limit, detail)
}

/// Points that knew of no truth would not tell on which side it lies; a model that is shifted has the truth further from points on one side.
fn side(ranks: &PosteriorRanks) -> f64 {
    let (n, d) = (ranks.len() as f64, ranks.columns.width());
    let squares = (0..d).map(|j| {
        let u = ranks.directions.column(j);
        let size = u.iter().map(|u| u * u).sum::<f64>() / n;
        let at = |(u, f): (&f64, &f64)| u * moments(*f)[0] / n;
        let mean = u.iter().zip(&ranks.distance).map(at).sum::<f64>();
        if size > 0.0 { mean * mean / size } else { 0.0 }
    });
    squares.sum::<f64>().sqrt()
}

/// What a chi-square number of `k` degrees exceeds with half of the false alarms (Wilson and Hilferty. PNAS 17, 1931).
fn chi_square(k: usize) -> f64 {
    /// The standard normal number that is exceeded with probability `FALSE_ALARM / 2`.
    const NORMAL: f64 = 3.890_6;
    let k = k as f64;
    let part = 2.0 / (9.0 * k);
    k * (1.0 - part + NORMAL * part.sqrt()).powi(3)
}

/// Where in the contexts ranks are furthest from uniform.
struct Worst {
    value: f64,
    limit: f64,
    number: usize,
    place: usize,
    rows: usize,
    mean: [f64; 2],
}

/// Ranks of the rows whose contexts are nearest to one, for many of them, against uniform ones.
fn local(model: &Model, ranks: &PosteriorRanks) -> CheckResult {
    let (n, d) = (ranks.len(), ranks.columns.width());
    let contexts = scores(&ranks.context, &ranks.context, None);
    let mut numbers: Vec<Vec<f64>> = (0..d).map(|j| ranks.columns.column(j)).collect();
    numbers.extend([ranks.density.clone(), ranks.distance.clone()]);
    let sizes: Vec<usize> = SHARES.iter().map(|s| n / s).filter(|k| *k >= ROWS_MIN).collect();
    let places = PLACES.min(n);
    let tests = places * sizes.len() * numbers.len();
    let mut worst: Option<Worst> = None;
    for place in (0..places).map(|k| k * n / places) {
        let nearest = nearest(&contexts, place);
        for &rows in &sizes {
            let limit = EFFECT + noise(rows, FALSE_ALARM / tests as f64);
            for (number, values) in numbers.iter().enumerate() {
                let near: Vec<f64> = nearest[..rows].iter().map(|i| values[*i]).collect();
                let mean = mean_moments(near.into_iter());
                let value = mean[0].hypot(mean[1]);
                if worst.as_ref().is_none_or(|w| value - limit > w.value - w.limit) {
                    worst = Some(Worst { value, limit, number, place, rows, mean });
                }
            }
        }
    }
    let Some(worst) = worst else {
        return CheckResult::skipped(LOCAL, String::from("there is no row"));
    };
    let columns = &model.schema().columns;
    let percent = 100.0 * (0.5 + worst.mean[0] / 12f64.sqrt());
    let what = match worst.number.checked_sub(columns.len()) {
        None => {
            let name = crate::error::quoted(&columns[worst.number].name);
            format!("in column {name} they lie as {}", in_words(worst.mean))
        }
        Some(0) => format!("{percent:.0} % of the draws are less likely than they, of 50"),
        Some(_) => {
            format!("{percent:.0} % of the draws are nearer to a random point than they, of 50")
        }
    };
    let of = match worst.rows {
        rows if rows == n => String::from("all of them together"),
        rows => format!("the {rows} about {}", described(model, &ranks.context, worst.place)),
    };
    let detail = format!(
        "{n} rows of data among draws at their own contexts, near each of {places} contexts. Furthest off are {of}: {what}"
    );
    CheckResult::measured(LOCAL, worst.value, worst.limit, detail)
}

/// The rows in the order of their distance to one.
fn nearest(contexts: &[Vec<f64>], place: usize) -> Vec<usize> {
    let away =
        |row: &[f64]| row.iter().zip(&contexts[place]).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let away: Vec<f64> = contexts.iter().map(|row| away(row)).collect();
    let mut order: Vec<usize> = (0..contexts.len()).collect();
    order.sort_by(|a, b| away[*a].total_cmp(&away[*b]));
    order
}

/// A context by its first columns.
fn described(model: &Model, context: &Rows, row: usize) -> String {
    const SHOWN: usize = 4;
    let columns = model.schema().context.iter().zip(context.row(row));
    let one = |(column, v): (&crate::Column, &f64)| {
        let name = crate::error::quoted(&column.name);
        match column.levels.get(*v as usize) {
            Some(level) => format!("{name} = {}", crate::error::quoted(level)),
            None if *v == f64::MIN => format!("{name} missing"),
            None => format!("{name} = {v:.4}"),
        }
    };
    let mut shown: Vec<String> = columns.take(SHOWN).map(one).collect();
    if context.width() > SHOWN {
        shown.push(String::from("..."));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_chi_square() {
        // By scipy.stats.chi2.isf(5e-5, k).
        for (k, exact) in [(1, 16.448), (2, 19.807), (10, 37.311), (50, 98.614)] {
            // Never lower, so that there are no more false alarms.
            let over = chi_square(k) / exact;
            assert!((1.0..1.1).contains(&over), "{k}: {over}");
        }
    }
}
