//! Places of rows of data among draws of a conditional model, each row's at its own context: uniform if the model is right.

use rand_chacha::ChaCha8Rng;

use super::subject::{Draw, Samples, Subject, ranked};
use super::{CheckData, CheckOptions};
use crate::error::{Error, Result};
use crate::host::random::{Purpose, below, uniform};
use crate::host::rows::Rows;
use crate::model::{Model, SampleOptions};

/// Draws at the context of each row.
pub(super) const DRAWS: usize = 64;
/// Most rows that are used.
const ROWS: usize = 4000;
/// Rows whose draws are held at a time.
const BLOCK: usize = 256;

/// Where each row of data lies among draws of the model at that row's context: shares of the draws that come before it, with a place at random among ties and between
/// neighbours. If rows are drawn as the model says, each share is uniform on 0..1 and knows nothing of the context.
///
/// For a posterior `q(parameters | observation)` that was fitted to simulations these are the ranks of simulation-based calibration (Talts et al. *Validating Bayesian
/// inference algorithms with simulation-based calibration*. arXiv:1804.06788, 2018).
#[derive(Clone, Debug)]
pub struct PosteriorRanks {
    /// Of each modelled column by value, `[rows, columns]`.
    pub columns: Rows,
    /// By density: the share of draws that are less likely than the row. A region of highest density of mass `q` holds the rows above `1 - q`.
    pub density: Vec<f64>,
    /// By distance to a reference point, from the middle of draws and row three times their spread towards another row: the share of draws that are nearer to it. Columns are
    /// measured by their ranks among the data, so that none counts for more because of its unit (Lemos, Coogan, Hezaveh, Perreault-Levasseur. *Sampling-based accuracy testing of posterior estimators for general
    /// inference*. ICML 2023).
    pub distance: Vec<f64>,
    /// Unit vectors from that middle to the reference point, in those ranks.
    pub(super) directions: Rows,
    /// The context of each row.
    pub(super) context: Rows,
}

/// Ranks of rows of data under a conditional model: of at most 4,000 of them, chosen at random.
///
/// # Errors
/// As [`super::check`]; [`crate::ErrorKind::Config`] for a model without context.
pub fn posterior_ranks(
    model: &Model,
    data: &CheckData,
    options: &CheckOptions,
) -> Result<PosteriorRanks> {
    let subject = Subject::new(model, Some(data), options)?;
    match subject.data().and_then(|data| Some((data, data.context.as_ref()?))) {
        Some((data, context)) => PosteriorRanks::new(&subject, data, context),
        None => Err(Error::config("ranks at a row's own context need a model with a context")),
    }
}

impl PosteriorRanks {
    pub(super) fn new(subject: &Subject<'_>, data: &CheckData, context: &Rows) -> Result<Self> {
        let rows: Vec<usize> = (0..data.x.len().min(ROWS)).collect();
        let (x, context) = (data.x.select(&rows), context.select(&rows));
        let (n, d) = (x.len(), x.width());
        let scale = Scale::new(&x);
        let mut ranks = Self {
            columns: Rows::zeros(n, d),
            density: vec![0.0; n],
            distance: vec![0.0; n],
            directions: Rows::zeros(n, d),
            context: ranked(&context),
        };
        for first in (0..n).step_by(BLOCK) {
            let rows: Vec<usize> = (first..n.min(first + BLOCK)).collect();
            let again: Vec<usize> = rows.iter().flat_map(|i| [*i; DRAWS]).collect();
            let given = context.select(&again);
            let options = subject.sample_options(Samples::Coverage);
            let first_row = options.first_row + (first * DRAWS) as u64;
            let options = SampleOptions { first_row, ..options };
            let draws = subject.model.sample(again.len(), Some(&given), &options)?;
            // Scored as the data is: the same outcomes must tie.
            let of_draws = subject.model.log_prob(&draws, Some(&given), subject.threads)?;
            let own = context.select(&rows);
            let of_rows = subject.model.log_prob(&x.select(&rows), Some(&own), subject.threads)?;
            for (k, i) in rows.into_iter().enumerate() {
                let part = k * DRAWS..(k + 1) * DRAWS;
                let row = Row {
                    at: i,
                    log_prob: of_rows[k],
                    draws: draws.slice(part.clone()),
                    of_draws: &of_draws[part],
                };
                let mut rng = subject.streams().rng(Purpose::Check, Draw::Ranks as u64, i as u64);
                ranks.place(&row, &x, &scale, &mut rng);
            }
        }
        Ok(ranks)
    }

    fn place(&mut self, row: &Row<'_>, x: &Rows, scale: &Scale, rng: &mut ChaCha8Rng) {
        let i = row.at;
        self.density[i] = rank(row.log_prob, row.of_draws.to_vec(), rng);
        let (truth, draws) = (ranked(&x.slice(i..i + 1)), ranked(&row.draws));
        for j in 0..x.width() {
            self.columns.row_mut(i)[j] = rank(truth.values()[j], draws.column(j), rng);
        }
        let other = match x.len() {
            1 => 0,
            n => (i + 1 + below(rng, n as u64 - 1) as usize) % n,
        };
        let toward = scale.place(ranked(&x.slice(other..other + 1)).row(0));
        let mut places: Vec<Vec<f64>> = (0..DRAWS).map(|k| scale.place(draws.row(k))).collect();
        places.push(scale.place(truth.row(0)));
        let (reference, direction) = reference(&places, &toward);
        self.directions.row_mut(i).copy_from_slice(&direction);
        let away = places.iter().map(|place| square(place, &reference));
        let mut away: Vec<f64> = away.collect();
        let of_truth = away.pop().unwrap_or(0.0);
        self.distance[i] = rank(of_truth, away, rng);
    }

    pub(super) fn len(&self) -> usize {
        self.density.len()
    }
}

/// How far a reference point is from the middle of the draws, in spreads of them: so far that being nearer is being on its side, which a wrong width and a wrong place both show.
const FAR: f64 = 3.0;

/// A point towards another, and in which direction. Draws and row enter alike, so that the row's place among the draws is uniform whatever the point is.
fn reference(places: &[Vec<f64>], toward: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let n = places.len() as f64;
    let mean: Vec<f64> =
        (0..toward.len()).map(|j| places.iter().map(|p| p[j]).sum::<f64>() / n).collect();
    let spread = (places.iter().map(|place| square(place, &mean)).sum::<f64>() / n).sqrt();
    let length = square(toward, &mean).sqrt();
    let unit = |(t, m): (&f64, &f64)| if length > 0.0 { (t - m) / length } else { 0.0 };
    let direction: Vec<f64> = toward.iter().zip(&mean).map(unit).collect();
    let point = mean.iter().zip(&direction).map(|(m, u)| m + FAR * spread * u).collect();
    (point, direction)
}

/// The square of the distance of two points.
fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// A row of data with its draws.
struct Row<'a> {
    at: usize,
    log_prob: f64,
    draws: Rows,
    of_draws: &'a [f64],
}

/// The place of a number among others, at random among its ties and between its neighbours: exactly uniform for one more of them.
pub(super) fn rank(value: f64, mut among: Vec<f64>, rng: &mut ChaCha8Rng) -> f64 {
    among.sort_by(f64::total_cmp);
    rank_sorted(value, &among, rng)
}

/// The same among numbers that are sorted.
pub(super) fn rank_sorted(value: f64, sorted: &[f64], rng: &mut ChaCha8Rng) -> f64 {
    let before = sorted.partition_point(|s| *s < value);
    let ties = sorted.partition_point(|s| *s <= value) - before;
    (before as f64 + uniform(rng) * (ties + 1) as f64) / (sorted.len() + 1) as f64
}

/// What the columns of a table are measured by: the shares of its values below, straight lines between them.
struct Scale {
    sorted: Vec<Vec<f64>>,
}

impl Scale {
    fn new(x: &Rows) -> Self {
        let x = ranked(x);
        let sorted = |j| {
            let mut values = x.column(j);
            values.sort_by(f64::total_cmp);
            values
        };
        Self { sorted: (0..x.width()).map(sorted).collect() }
    }

    fn place(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(&self.sorted).map(|(v, sorted)| share(sorted, *v)).collect()
    }
}

fn share(sorted: &[f64], v: f64) -> f64 {
    let n = sorted.len();
    match sorted.partition_point(|s| *s < v) {
        0 => 0.0,
        i if i == n => 1.0,
        i => {
            let (low, high) = (sorted[i - 1], sorted[i]);
            ((i - 1) as f64 + (v - low) / (high - low)) / (n - 1) as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::Streams;

    #[test]
    fn places_are_between_neighbours_and_ties_share_theirs() {
        let mut rng = Streams::new(1).rng(Purpose::Check, 0, 0);
        let mut mean = 0.0;
        for _ in 0..1000 {
            let between = rank_sorted(2.5, &[1.0, 2.0, 3.0], &mut rng);
            assert!((0.5..0.75).contains(&between), "{between}");
            let tied = rank_sorted(2.0, &[1.0, 2.0, 2.0], &mut rng);
            assert!((0.25..1.0).contains(&tied), "{tied}");
            mean += tied / 1000.0;
        }
        assert!((mean - 0.625).abs() < 0.05, "{mean}");
    }

    #[test]
    fn a_column_is_measured_by_its_shares() {
        let scale = Scale::new(&Rows::new(vec![1.0, 2.0, 4.0, f64::NAN, 8.0], 1).unwrap());
        let place = |v| scale.place(&[v])[0];
        assert_eq!([0.0, 1.0, 3.0, 4.0, 8.0, 9.0].map(place), [0.25, 0.25, 0.625, 0.75, 1.0, 1.0]);
    }
}
