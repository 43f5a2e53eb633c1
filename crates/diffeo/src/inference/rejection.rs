//! Exact draws of a density from those of another, by rejection.

use super::proposal::Proposal;
use super::weights::Estimate;
use crate::error::{Error, ErrorKind, Result};
use crate::host::random::{Purpose, Streams, uniform_open};
use crate::host::rows::Rows;

/// The logarithm of a number that no ratio `p(x) / q(x)` exceeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Known: a larger ratio is an error.
    Known(f64),
    /// The largest ratio of so many draws, and of all later ones: when it rises, draws that were accepted are thinned to what they would be under the new one
    /// (Caffo, Booth, Davis. *Empirical supremum rejection sampling*. Biometrika 89, 2002). Draws are exact only as far as that is the largest ratio of all.
    Estimated(usize),
}

/// When to give up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RejectionOptions {
    /// Most draws of the proposal.
    pub tries: u64,
    /// Draws at a time.
    pub batch: usize,
    /// Seed of acceptance.
    pub seed: u64,
}

impl Default for RejectionOptions {
    fn default() -> Self {
        Self { tries: 10_000_000, batch: 4096, seed: 0 }
    }
}

/// What rejection has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The draws.
    pub rows: Rows,
    /// Draws of the proposal, up to the one that the last row was accepted by.
    pub tries: u64,
    /// The bound in the end.
    pub log_bound: f64,
    /// How often an estimated bound rose after it was first set.
    pub raised: u64,
    /// Draws of the proposal that the rate was counted in: with a known bound also those that came with the last of [`Self::tries`],
    pub drawn: u64,
    /// and how many of them were accepted.
    pub accepted: u64,
    /// The share of draws that are accepted. Times the bound it is the integral of the target; of a region, its probability.
    pub rate: Estimate,
}

impl Accepted {
    /// `ln` of the integral of the target, over what its density had as constant.
    pub fn log_integral(&self) -> f64 {
        self.rate.mean.ln() + self.log_bound
    }
}

/// `n` draws of the density that is in proportion to `q e^r`, where `q` is the proposal's and `log_ratio` gives `r` of rows and their `ln q`: each draw of `q` is accepted with
/// probability `e^(r - bound)` (von Neumann 1951). `watch` is called after each batch with the rows so far and the tries, and ends all by an error.
///
/// # Errors
/// [`ErrorKind::NotConverged`] when the tries are used up, with the rate; [`ErrorKind::Domain`] if a ratio exceeds a known bound or is NaN; those of proposal, ratio and
/// `watch`.
pub fn reject(
    proposal: &dyn Proposal,
    log_ratio: &dyn Fn(&Rows, &[f64]) -> Result<Vec<f64>>,
    n: usize,
    bound: Bound,
    options: &RejectionOptions,
    mut watch: impl FnMut(usize, u64) -> Result<()>,
) -> Result<Accepted> {
    let streams = Streams::new(options.seed);
    let mut taken = Taken { rows: Vec::new(), width: proposal.dims(), raised: 0 };
    let mut first = 0_u64;
    let mut log_bound = match bound {
        Bound::Known(bound) => bound,
        Bound::Estimated(draws) => {
            let (rows, log_density) = proposal.draw(0, draws)?;
            // Draws that made the bound are not used again: the largest of them would always be accepted.
            first = draws as u64;
            largest(&log_ratio(&rows, &log_density)?)?
        }
    };
    let (mut tries, mut accepted) = (0_u64, 0_u64);
    if n == 0 {
        return taken.finish(0, [0, 0], log_bound);
    }
    loop {
        let batch = options.batch.min(usize::try_from(options.tries - tries).unwrap_or(usize::MAX));
        if batch == 0 {
            return Err(given_up(taken.len(), n, tries));
        }
        let (rows, log_density) = proposal.draw(first + tries, batch)?;
        let ratios = log_ratio(&rows, &log_density)?;
        for (i, ratio) in ratios.iter().enumerate() {
            tries += 1;
            let mut rng = streams.rng(Purpose::Accept, 0, tries);
            if *ratio > log_bound {
                if let Bound::Known(bound) = bound {
                    return Err(exceeded(*ratio, bound));
                }
                accepted = (accepted as f64 * (log_bound - ratio).exp()).round() as u64;
                taken.thin(log_bound - ratio, streams);
                log_bound = *ratio;
            } else if ratio.is_nan() {
                return Err(Error::new(
                    ErrorKind::Domain,
                    "a log-ratio is NaN; it is a number or minus infinity",
                ));
            }
            if uniform_open(&mut rng).ln() < ratio - log_bound {
                accepted += 1;
                taken.rows.extend_from_slice(rows.row(i));
                if taken.len() == n {
                    let rest = match bound {
                        Bound::Known(_) => &ratios[i + 1..],
                        Bound::Estimated(_) => &[],
                    };
                    let is_accepted = |(j, ratio): &(usize, &f64)| {
                        let mut rng = streams.rng(Purpose::Accept, 0, tries + 1 + *j as u64);
                        uniform_open(&mut rng).ln() < **ratio - log_bound
                    };
                    let more = rest.iter().enumerate().filter(is_accepted).count();
                    let counted = [tries + rest.len() as u64, accepted + more as u64];
                    return taken.finish(tries, counted, log_bound);
                }
            }
        }
        watch(taken.len(), tries)?;
    }
}

/// Draws of a model within a region of its columns: the model given that `contains`. The rate is the region's probability, so that the log-density of a row in it
/// is the model's less `ln` of the rate.
///
/// # Errors
/// As [`reject`].
pub fn draw_within(
    proposal: &dyn Proposal,
    contains: &dyn Fn(&[f64]) -> bool,
    n: usize,
    options: &RejectionOptions,
    watch: impl FnMut(usize, u64) -> Result<()>,
) -> Result<Accepted> {
    let log_ratio = |rows: &Rows, _: &[f64]| {
        let inside = |i: usize| if contains(rows.row(i)) { 0.0 } else { f64::NEG_INFINITY };
        Ok((0..rows.len()).map(inside).collect())
    };
    reject(proposal, &log_ratio, n, Bound::Known(0.0), options, watch)
}

/// Rows that were accepted so far.
struct Taken {
    rows: Vec<f64>,
    width: usize,
    raised: u64,
}

impl Taken {
    fn len(&self) -> usize {
        self.rows.len() / self.width
    }

    /// Keeps each row with this probability.
    fn thin(&mut self, log_probability: f64, streams: Streams) {
        self.raised += 1;
        let kept = self.rows.chunks_exact(self.width).enumerate().filter(|(i, _)| {
            let mut rng = streams.rng(Purpose::Accept, self.raised, *i as u64);
            uniform_open(&mut rng).ln() < log_probability
        });
        self.rows = kept.flat_map(|(_, row)| row.iter().copied()).collect();
    }

    fn finish(self, tries: u64, [drawn, accepted]: [u64; 2], log_bound: f64) -> Result<Accepted> {
        let rate = Estimate::of_share(accepted, drawn);
        let rows = Rows::new(self.rows, self.width)?;
        Ok(Accepted { rows, tries, log_bound, raised: self.raised, drawn, accepted, rate })
    }
}

fn largest(ratios: &[f64]) -> Result<f64> {
    let largest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_finite() {
        return Ok(largest);
    }
    Err(Error::new(
        ErrorKind::NotConverged,
        format!(
            "none of {} draws lies where the target has density; there is no bound to estimate",
            ratios.len()
        ),
    ))
}

fn given_up(accepted: usize, n: usize, tries: u64) -> Error {
    let rate = accepted as f64 / tries.max(1) as f64;
    Error::new(
        ErrorKind::NotConverged,
        format!(
            "accepted {accepted} of {n} rows in {tries} tries (a rate of {rate:.1e}); allow more tries, ask for fewer rows, or draw from a proposal nearer to the target"
        ),
    )
}

fn exceeded(ratio: f64, bound: f64) -> Error {
    Error::new(
        ErrorKind::Domain,
        format!(
            "a log-ratio of {ratio:.4} exceeds the bound {bound:.4}: draws would not follow the target; give a larger bound, or have it estimated"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::normal::LN_2PI_HALF;
    use crate::host::random::normal;

    /// A normal of this deviation.
    struct Normal(f64);

    impl Proposal for Normal {
        fn dims(&self) -> usize {
            1
        }

        fn draw(&self, first: u64, n: usize) -> Result<(Rows, Vec<f64>)> {
            let z = |i| normal(&mut Streams::new(3).rng(Purpose::Sample, 0, first + i));
            let z: Vec<f64> = (0..n as u64).map(z).collect();
            let log = z.iter().map(|z| -0.5 * z * z - LN_2PI_HALF - self.0.ln()).collect();
            Ok((Rows::new(z.iter().map(|z| self.0 * z).collect(), 1)?, log))
        }

        fn log_density(&self, rows: &Rows) -> Result<Vec<f64>> {
            let log = |x: &f64| -0.5 * (x / self.0).powi(2) - LN_2PI_HALF - self.0.ln();
            Ok(rows.values().iter().map(log).collect())
        }
    }

    /// Seven times the standard normal, over the proposal.
    fn to_standard(x: &Rows, log_q: &[f64]) -> Result<Vec<f64>> {
        let log_p = |x: &f64| 7f64.ln() - 0.5 * x * x - LN_2PI_HALF;
        Ok(x.values().iter().zip(log_q).map(|(x, q)| log_p(x) - q).collect())
    }

    fn variance(rows: &Rows) -> f64 {
        rows.values().iter().map(|x| x * x).sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn draws_follow_the_target_and_the_rate_is_its_integral() {
        let options = RejectionOptions::default();
        let exact = 7f64.ln() + 2f64.ln();
        for bound in [Bound::Known(exact), Bound::Known(exact + 1.0), Bound::Estimated(500)] {
            let found = reject(&Normal(2.0), &to_standard, 20_000, bound, &options, |_, _| Ok(()));
            let found = found.unwrap();
            assert_eq!(found.rows.len(), 20_000);
            assert!((variance(&found.rows) - 1.0).abs() < 0.04, "{}", variance(&found.rows));
            assert!((found.log_integral() - 7f64.ln()).abs() < 0.03, "{}", found.log_integral());
        }
        let low = Bound::Estimated(3);
        let found = reject(&Normal(2.0), &to_standard, 5000, low, &options, |_, _| Ok(())).unwrap();
        assert!(found.raised > 0 && (found.log_bound - exact).abs() < 1e-3);
        assert!((variance(&found.rows) - 1.0).abs() < 0.08);
    }

    #[test]
    fn a_region_has_the_models_density_over_its_probability() {
        let above = |row: &[f64]| row[0] > 1.0;
        let options = RejectionOptions::default();
        let found = draw_within(&Normal(1.0), &above, 10_000, &options, |_, _| Ok(())).unwrap();
        assert!(found.rows.values().iter().all(|x| *x > 1.0));
        assert!((found.rate.mean - 0.158_655).abs() < 4.0 * found.rate.standard_error);
        let none = draw_within(&Normal(1.0), &above, 0, &options, |_, _| Ok(())).unwrap();
        assert_eq!((none.rows.len(), none.tries), (0, 0));
    }

    /// Case: a loop of rejection that never accepted anything ran until it was killed.
    #[test]
    fn what_is_never_accepted_ends_with_an_error_and_says_the_rate() {
        let options = RejectionOptions { tries: 20_000, ..RejectionOptions::default() };
        let never = |row: &[f64]| row[0] > 50.0;
        let error = draw_within(&Normal(1.0), &never, 10, &options, |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConverged);
        assert!(error.message().contains("accepted 0 of 10 rows in 20000 tries"), "{error}");
        let stop = |_: usize, _: u64| Err(Error::new(ErrorKind::Interrupted, "stop"));
        let error = draw_within(&Normal(1.0), &never, 10, &options, stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn a_bound_that_is_none_is_an_error() {
        let options = RejectionOptions::default();
        let low = Bound::Known(1.0);
        let error =
            reject(&Normal(2.0), &to_standard, 1000, low, &options, |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Domain);
        // A proposal that is narrower than the target has no bound: it rises as long as there are draws.
        let found =
            reject(&Normal(0.5), &to_standard, 200, Bound::Estimated(10), &options, |_, _| Ok(()));
        assert!(found.is_err() || found.unwrap().raised > 3);
    }
}
