//! Do rows of data lie in the base as its own draws do: number by number, together, and given the context?
//!
//! Under a right model the base numbers of data are draws of the base and know nothing of the context (Rosenblatt. *Remarks on a multivariate
//! transformation*. Ann. Math. Stat. 23, 1952). A model that is too narrow for one column given the others has wide base numbers, however well
//! each column is distributed by itself.

use super::calibration::{largest_gap, median, too_few};
use super::energy::{self, scores};
use super::subject::{Draw, Samples, Subject, ranked};
use super::{CheckData, CheckResult, dependence};
use crate::columns::Column;
use crate::error::{Result, quoted};
use crate::host::linalg::host_values;
use crate::host::normal::cdf;
use crate::host::random::{Purpose, uniform_open};
use crate::host::rows::Rows;

/// The distance of distribution functions that passes beside noise. A model 1.3 times too narrow or too wide for a number, or off by 0.3
/// deviations, is at 0.12 and more.
const EFFECT: f64 = 0.05;
/// How often noise alone may exceed its part of the limit, over all numbers.
const FALSE_ALARM: f64 = 1e-4;
/// Share of rows at the edge of an interval, where their place in the base is lost in rounding, above which nothing is measured.
const EDGE_SHARE: f64 = 0.01;
/// Draws of the base for each row of data, so that their noise is small beside that of the data.
const DRAWS: usize = 16;
const NAME: &str = "base_numbers";
const TOGETHER: &str = "base_energy";

pub(super) fn check(subject: &Subject<'_>, data: &CheckData) -> Result<Vec<CheckResult>> {
    let schema = subject.model.schema();
    let edge = (0..data.x.len()).filter(|i| schema.is_at_edge(data.x.row(*i))).count();
    if edge as f64 > EDGE_SHARE * data.x.len() as f64 {
        let reason = format!(
            "{edge} rows lie at the edge of an interval, where floats are too coarse for their logit"
        );
        return Ok(skipped(&reason));
    }
    let placed = placed(subject, data)?;
    if placed.z.is_empty() {
        let reason = format!("all {} rows have density zero", placed.outside);
        return Ok(skipped(&reason));
    }
    let draws = draws(subject, placed.z.len() * DRAWS)?;
    let names = Names { z: &placed.z, x: &placed.x, columns: &schema.columns };
    let name = |number| names.of(number);
    let numbers = of_numbers(&placed.z, &draws, placed.outside, &name);
    let given: Vec<String> = schema.context.iter().map(|column| quoted(&column.name)).collect();
    let context = placed.context.as_ref();
    let dependence = dependence::check(&placed.z, context, &draws, (&name, &given));
    let Placed { z, context, .. } = placed;
    let n = z.len().min(energy::ROWS);
    if n < energy::ROWS_MIN {
        let reason = format!("{n} rows, and {} are needed", energy::ROWS_MIN);
        return Ok(vec![numbers, dependence, CheckResult::skipped(TOGETHER, reason)]);
    }
    let context = context.map(|c| c.slice(0..n));
    let a = scores(&z.slice(0..n), &z, context.as_ref());
    let b = scores(&draws.slice(0..n), &z, context.as_ref());
    let what = match context {
        Some(_) => "base numbers of the data with their contexts, and draws of the base",
        None => "base numbers of the data and draws of the base",
    };
    Ok(vec![numbers, dependence, energy::compare(TOGETHER, what, &a, &b, subject)?])
}

/// What is said of a base number: which one it is, and the column that orders rows most as it does.
struct Names<'a> {
    z: &'a Rows,
    x: &'a Rows,
    columns: &'a [Column],
}

/// Rows that an order is judged by, and the least rank correlation that is worth a word.
const ORDERED: usize = 2000;
const ALIKE: f64 = 0.3;

impl Names<'_> {
    fn of(&self, number: usize) -> String {
        let ranks = |rows: &Rows, j: usize| ranks(&rows.column(j)[..rows.len().min(ORDERED)]);
        let of_number = ranks(self.z, number);
        let alike = |j: usize| correlation(&of_number, &ranks(self.x, j)).abs();
        let nearest = (0..self.x.width()).map(|j| (j, alike(j))).max_by(|a, b| a.1.total_cmp(&b.1));
        match nearest.filter(|(_, alike)| *alike > ALIKE) {
            Some((j, _)) => {
                format!(
                    "number {} (nearest to column {})",
                    number + 1,
                    quoted(&self.columns[j].name)
                )
            }
            None => format!("number {}", number + 1),
        }
    }
}

/// The place of each value in their order, equal ones at the middle of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let (mut ranks, mut at) = (vec![0.0; values.len()], 0);
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let middle = at as f64 + 0.5 * (equal.len() - 1) as f64;
        equal.iter().for_each(|i| ranks[*i] = middle);
        at += equal.len();
    }
    ranks
}

/// 0 where one of the two does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (of_a, of_b) = (mean(a), mean(b));
    let (mut product, mut squares) = (0.0, [0.0; 2]);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - of_a, b - of_b);
        product += a * b;
        squares[0] += a * a;
        squares[1] += b * b;
    }
    let size = (squares[0] * squares[1]).sqrt();
    if size > 0.0 { product / size } else { 0.0 }
}

/// All checks of the base, none of which can be made.
fn skipped(reason: &str) -> Vec<CheckResult> {
    let of = |name| CheckResult::skipped(name, reason.to_owned());
    [NAME, dependence::NAME, TOGETHER].map(of).to_vec()
}

/// Rows of data in the base.
struct Placed {
    z: Rows,
    /// The rows themselves, as ranks.
    x: Rows,
    context: Option<Rows>,
    /// Rows of density zero, which have no place there.
    outside: usize,
}

fn placed(subject: &Subject<'_>, data: &CheckData) -> Result<Placed> {
    let x = in_cells(subject, data)?;
    let rng = |i: usize| subject.streams().rng(Purpose::Check, Draw::Marks as u64, i as u64);
    let (context, threads) = (data.context.as_ref(), subject.threads);
    let (z, log_det) = subject.continuous.to_base_scattered(&x, context, threads, &rng)?;
    let inside: Vec<usize> = (0..z.len()).filter(|i| log_det[*i].is_finite()).collect();
    let outside = z.len() - inside.len();
    let context = data.context.as_ref().map(|c| ranked(&c.select(&inside)));
    let x = ranked(&data.x.select(&inside));
    Ok(Placed { z: z.select(&inside), x, context, outside })
}

/// Points of a cell among which one is chosen.
const POINTS: u64 = 64;

/// The rows with whole numbers at a random point of their cell, by the density that the model has there (sampling, importance resampling).
fn in_cells(subject: &Subject<'_>, data: &CheckData) -> Result<Rows> {
    let cells = subject.model.encoding().cells();
    let mut x = data.x.clone();
    if cells.is_empty() {
        return Ok(x);
    }
    // Among points of so many sides as an image has, one alone would have all the weight.
    let points = if cells.are_of_images() { 1 } else { POINTS };
    let rng = |i: usize, point| {
        subject.streams().rng(Purpose::Check, Draw::Cells as u64 + (point << 8), i as u64)
    };
    // The largest of the densities by standard exponential numbers is of a point chosen in proportion.
    let mut best = vec![f64::NEG_INFINITY; x.len()];
    for point in 1..=points {
        let mut at = data.x.clone();
        cells.scatter(&mut at, |i| rng(i, point));
        let log_prob = subject.continuous.log_prob(&at, data.context.as_ref(), subject.threads)?;
        for (i, log_prob) in log_prob.into_iter().enumerate() {
            let score = log_prob - (-uniform_open(&mut rng(i, point + POINTS)).ln()).ln();
            if score > best[i] || point == 1 {
                best[i] = score;
                x.row_mut(i).copy_from_slice(at.row(i));
            }
        }
    }
    Ok(x)
}

fn draws(subject: &Subject<'_>, n: usize) -> Result<Rows> {
    let flow = subject.model.flow();
    let options = subject.sample_options(Samples::Base);
    Rows::new(host_values(flow.draw(n, options.seed, options.first_row, 1.0)?)?, flow.dims())
}

/// The number whose place or spread is furthest from that of the draws.
fn of_numbers(
    z: &Rows,
    draws: &Rows,
    outside: usize,
    name: &dyn Fn(usize) -> String,
) -> CheckResult {
    let (n, m) = (z.len() as f64, draws.len() as f64);
    let tests = 2.0 * z.width() as f64;
    let noise = (-0.5 * (0.5 * FALSE_ALARM / tests).ln()).sqrt() * ((n + m) / (n * m)).sqrt();
    let limit = EFFECT + noise;
    if limit >= 1.0 {
        return CheckResult::skipped(NAME, too_few(n));
    }
    let mut worst = (f64::NEG_INFINITY, 0, String::new());
    for j in 0..z.width() {
        let (of_data, of_base) = (z.column(j), draws.column(j));
        let centre = median(of_base.clone());
        let away = |values: &[f64]| values.iter().map(|v| (v - centre).abs()).collect::<Vec<f64>>();
        let [wide, usual] = [&of_data, &of_base].map(|values| away(values));
        let ratio = median(wide.clone()) / median(usual.clone());
        let spread = largest_gap(wide, usual).distance;
        let place = largest_gap(of_data, of_base).distance;
        let says = match spread >= place {
            true => {
                let wrong = if ratio >= 1.0 { "narrow" } else { "wide" };
                let verdict = format!(": the model is too {wrong} there");
                let verdict = if spread > limit { verdict } else { String::new() };
                format!("spreads {ratio:.2} times as wide as the base{verdict}")
            }
            false => "lies in other places".to_owned(),
        };
        // NaN is worse than all.
        let distance = spread.max(place);
        if distance.is_nan() || distance > worst.0 {
            worst = (distance, j, says);
        }
        if distance.is_nan() {
            break;
        }
    }
    let left_out = match outside {
        0 => String::new(),
        rows => format!(" ({rows} of density zero left out)"),
    };
    let detail = format!(
        "{n} rows of data{left_out} against {m} draws of the base: the worst distance of distribution functions is {:.3}, of {}, which {}; limit {EFFECT} + \
         {noise:.3} for noise, so a model {:.2} times too narrow would be found on so many rows",
        worst.0,
        name(worst.1),
        worst.2,
        narrow_enough(limit)
    );
    CheckResult::measured(NAME, worst.0, limit, detail)
}

/// How many times too narrow a normal must be for its sizes to be so far, in distribution, from those that they should be.
fn narrow_enough(distance: f64) -> f64 {
    // The density of |z| crosses that of |z| / r at x^2 = 2 ln r / (1 - 1 / r^2).
    let away = |r: f64| {
        let x = (2.0 * r.ln() / (1.0 - 1.0 / (r * r))).sqrt();
        2.0 * (cdf(x) - cdf(x / r))
    };
    (1..200)
        .map(|i| 1.0 + 0.05 * f64::from(i))
        .find(|r| away(*r) > distance)
        .unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Streams, normal};

    fn normals(n: usize, width: usize, seed: u64) -> Rows {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 0, 0);
        Rows::new((0..n * width).map(|_| normal(&mut rng)).collect(), width).unwrap()
    }

    fn changed(seed: u64, change: fn(f64) -> f64) -> CheckResult {
        let mut z = normals(2000, 2, seed);
        z.values_mut().iter_mut().step_by(2).for_each(|v| *v = change(*v));
        let name = |j| format!("number {}", j + 1);
        of_numbers(&z, &normals(32_000, 2, 1000 + seed), 0, &name)
    }

    #[test]
    fn normal_numbers_pass_and_those_of_wrong_models_fail() {
        for seed in 0..20 {
            assert!(changed(seed, |v| v).passed);
            // The data of a model 1.3 times too narrow, too wide, and off by 0.3 deviations.
            for wrong in [|v| 1.3 * v, |v| v / 1.3, |v: f64| v + 0.3] {
                let result = changed(seed, wrong);
                assert!(!result.passed, "{seed}: {result:?}");
            }
        }
        let result = changed(3, |v| 5.0 * v);
        assert!(
            result.detail.contains("number 1, which spreads 5.")
                && result.detail.contains("too narrow"),
            "{result:?}"
        );
        assert!(!changed(3, |_| f64::NAN).passed);
    }

    #[test]
    fn a_number_is_named_by_the_column_that_orders_rows_as_it_does() {
        let z = normals(500, 3, 1);
        let x = (0..500).flat_map(|i| [z.row(i)[1].exp(), -z.row(i)[0].floor()]).collect();
        let x = Rows::new(x, 2).unwrap();
        let columns = [Column::real("a"), Column::real("b")];
        let names = Names { z: &z, x: &x, columns: &columns };
        assert_eq!(names.of(0), "number 1 (nearest to column \"b\")");
        assert_eq!(names.of(1), "number 2 (nearest to column \"a\")");
        assert_eq!(names.of(2), "number 3");
    }

    #[test]
    fn what_would_be_found_is_said() {
        assert!((narrow_enough(0.12) - 1.3).abs() < 1e-9 && narrow_enough(0.95) > 5.0);
    }
}
