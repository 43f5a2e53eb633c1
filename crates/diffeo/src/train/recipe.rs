//! The default recipe: one plan for any table of 100 to 10 million rows.

use serde::{Deserialize, Serialize};

use super::loss::Loss;
use super::options::FitOptions;
use super::schedule::Schedule;

/// Everything that a run will do, fixed before its first step. Equal plans on equal data give equal bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What the steps go down.
    #[serde(default)]
    pub loss: Loss,
    /// Rows that train; those of weight 0 are not among them.
    pub rows_train: u64,
    /// Rows that validate.
    pub rows_valid: u64,
    /// Columns whose density is learned.
    pub dims: usize,
    /// Columns it is conditioned on.
    pub context_dims: usize,
    /// Trainable numbers.
    pub parameters: u64,
    /// Most rows in a batch. Batches of an epoch differ by at most one row.
    pub batch: usize,
    /// Pieces that a batch is cut into, each run by one thread; a function of `batch` alone.
    pub shards: usize,
    /// Batches in an epoch.
    pub steps_per_epoch: u64,
    /// Steps to take.
    pub steps_total: u64,
    /// Steps from one validation to the next.
    pub validate_every: u64,
    /// Peak learning rate.
    #[serde(with = "crate::file::container::finite_or_text")]
    pub learning_rate: f64,
    /// Steps in which the rate rises to its peak.
    pub warmup_steps: u64,
    /// Decoupled weight decay.
    #[serde(with = "crate::file::container::finite_or_text")]
    pub weight_decay: f64,
    /// Longest gradient that is used as it is.
    #[serde(with = "crate::file::container::finite_or_text")]
    pub clip_norm: f64,
    /// Decay of the running average of weights; 0 for none.
    #[serde(with = "crate::file::container::finite_or_text")]
    pub average: f64,
    /// Validations without improvement before the fit stops.
    pub patience: u32,
    /// Share of the rows whose context is hidden, in training.
    #[serde(default)]
    pub context_dropout: f64,
    /// Weight of a contrast of contexts beside the likelihood.
    #[serde(default)]
    pub contrast: f64,
    /// Seed of everything random.
    pub seed: u64,
}

/// What the recipe looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem {
    pub(crate) rows_train: usize,
    pub(crate) rows_valid: usize,
    pub(crate) dims: usize,
    pub(crate) context_dims: usize,
    pub(crate) parameters: usize,
    /// The maximum of the likelihood is known in closed form: no steps are needed.
    pub(crate) solved: bool,
}

/// Steps on a table of 1,000 rows.
const STEPS_AT_1000: f64 = 2000.0;
/// Peak rate at a batch of [`BATCH_REFERENCE`].
const RATE_REFERENCE: f64 = 1e-3;
/// Batch that the peak rate is stated for.
const BATCH_REFERENCE: f64 = 256.0;
/// Validations in a run, where they are cheap.
const VALIDATIONS: u64 = 40;
/// Validations in a run where they are dear.
const VALIDATIONS_MIN: u64 = 10;
/// Validations without improvement before a run stops: a quarter of them.
const PATIENCE: u32 = 10;
/// Rows a shard should have: enough for products to run at full speed and to outweigh the sum of gradients, few enough to keep many
/// threads busy.
const SHARD_ROWS: usize = 256;
/// Most shards: beyond this, summing their gradients costs more than the threads gain.
const SHARDS_MAX: usize = 16;

impl Plan {
    /// Fills in what the options leave open.
    ///
    /// * `batch`: the power of two nearest `2.25 sqrt(rows)`, from 32 to 2048. Small tables need many noisy steps an
    ///   epoch, large ones gain nothing from them.
    /// * `steps_total`: `2000 (rows / 1000)^(1/3)`: 930 for 100 rows, 20,000 for a million. More data supports a finer
    ///   density, but a density's error falls with a small power of the rows, and so should the work. That is 300 epochs
    ///   for 100 rows, 90 for 36,000, 9 for ten million; early stopping shortens it where a table is too small for its model.
    ///   By flow matching four times as many.
    /// * `learning_rate`: `1e-3 sqrt(batch / 256)`, from 5e-4 to 2e-3: noise in the gradient falls with the root of the batch.
    /// * `validate_every`: a fortieth of the steps, but at most a tenth of the time (scoring a row costs about a third of
    ///   training on it).
    /// * `average`: a horizon of a hundredth of the run, at least 10 steps and at most 1000: removes the noise of the last
    ///   steps from what is validated.
    pub(crate) fn new(problem: Problem, options: &FitOptions) -> Self {
        let rows = problem.rows_train as f64;
        let loss = options.loss.unwrap_or_default();
        let by_rows = (2.25 * rows.sqrt()).log2().round().exp2().clamp(32.0, 2048.0) as usize;
        let batch = options.batch.unwrap_or(by_rows).min(problem.rows_train);
        let steps_per_epoch = problem.rows_train.div_ceil(batch) as u64;
        let steps_total = match (options.steps, options.epochs) {
            _ if problem.solved => 0,
            (Some(steps), _) => steps,
            (None, Some(epochs)) => (epochs * steps_per_epoch as f64).ceil().max(1.0) as u64,
            (None, None) => steps_by_rows(problem.rows_train, loss),
        };
        let by_batch = RATE_REFERENCE * (batch as f64 / BATCH_REFERENCE).sqrt();
        let warmup_steps = (steps_total as f64 * options.warmup).round() as u64;
        let horizon = (steps_total as f64 / 100.0).clamp(10.0, 1000.0);
        let trained = problem.rows_valid as u64 * trained_for_three_scored(loss, problem.dims) / 3;
        let affordable = trained.div_ceil(batch as u64);
        let at_least_some = match loss {
            Loss::Likelihood => u64::MAX,
            Loss::FlowMatching | Loss::OtFlowMatching => steps_total.div_ceil(VALIDATIONS_MIN),
        };
        Self {
            loss,
            rows_train: problem.rows_train as u64,
            rows_valid: problem.rows_valid as u64,
            dims: problem.dims,
            context_dims: problem.context_dims,
            parameters: problem.parameters as u64,
            batch,
            shards: shards_of(batch),
            steps_per_epoch,
            steps_total,
            validate_every: (steps_total / VALIDATIONS).max(affordable).min(at_least_some).max(1),
            learning_rate: options.learning_rate.unwrap_or(by_batch.clamp(5e-4, 2e-3)),
            warmup_steps,
            weight_decay: options.weight_decay,
            clip_norm: options.clip_norm,
            average: options.average.unwrap_or(1.0 - 1.0 / horizon),
            patience: options.patience.unwrap_or(PATIENCE),
            context_dropout: options.context_dropout,
            contrast: options.contrast,
            seed: options.seed,
        }
    }

    /// The rate by step of a run that ends at a step, if that is sooner than planned: as if it had been planned so.
    pub(crate) fn schedule(&self, end: Option<u64>) -> Schedule {
        let total = end.map_or(self.steps_total, |end| end.min(self.steps_total));
        let share = total as f64 / self.steps_total.max(1) as f64;
        let warmup = (self.warmup_steps as f64 * share).round() as u64;
        Schedule { peak: self.learning_rate, warmup, total }
    }
}

/// Steps for a table of so many rows where nothing else is said.
pub(super) fn steps_by_rows(rows: usize, loss: Loss) -> u64 {
    (STEPS_AT_1000 * lengthened(loss) * (rows as f64 / 1000.0).cbrt()).round().max(1.0) as u64
}

/// How many times as many steps as by likelihood: they are cheap, and the noise of times and draws is averaged over them.
fn lengthened(loss: Loss) -> f64 {
    match loss {
        Loss::Likelihood => 1.0,
        Loss::FlowMatching | Loss::OtFlowMatching => 4.0,
    }
}

/// Rows that are trained for each three that are scored, so that validation takes its share of the time.
fn trained_for_three_scored(loss: Loss, dims: usize) -> u64 {
    match loss {
        // A row scored takes a third of one trained; a tenth of the time.
        Loss::Likelihood => 10,
        // A row scored takes some 80 evaluations of the field and its divergence, one trained as much as three of the field; a third of the time.
        Loss::FlowMatching | Loss::OtFlowMatching => 2 * 80 * (dims as u64 + 1),
    }
}

/// How many shards a batch is cut into: by its size only, so that the sum has the same bits on any number of threads.
fn shards_of(batch: usize) -> usize {
    (batch / SHARD_ROWS).clamp(if batch < 32 { 1 } else { 2 }, SHARDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rows: usize, options: &FitOptions) -> Plan {
        let problem = Problem {
            rows_train: rows,
            rows_valid: rows / 9,
            dims: 5,
            context_dims: 0,
            parameters: 10_000,
            solved: false,
        };
        Plan::new(problem, options)
    }

    #[test]
    fn the_recipe_grows_gently_from_100_rows_to_ten_million() {
        let sizes = [1, 2, 100, 1_000, 15_000, 36_000, 1_000_000, 10_000_000];
        let plans = sizes.map(|n| plan(n, &FitOptions::default()));
        assert_eq!(plans.each_ref().map(|p| p.batch), [1, 2, 32, 64, 256, 512, 2048, 2048]);
        assert!(plans.windows(2).all(|p| p[0].steps_total < p[1].steps_total));
        for p in &plans {
            assert!(p.validate_every >= 1 && p.validate_every <= p.steps_total, "{p:?}");
            assert!((5e-4..=2e-3).contains(&p.learning_rate) && (0.0..1.0).contains(&p.average));
        }
        let epochs = |p: &Plan| p.steps_total / p.steps_per_epoch;
        assert!(epochs(&plans[2]) > 200 && epochs(&plans[7]) < 10, "{plans:?}");
    }

    #[test]
    fn flow_matching_takes_more_steps_and_validates_more_rarely() {
        for rows in [100, 1_000, 36_000, 1_000_000] {
            let by = |loss| plan(rows, &FitOptions { loss: Some(loss), ..FitOptions::default() });
            let (usual, matched) = (by(Loss::Likelihood), by(Loss::OtFlowMatching));
            assert_eq!(usual, plan(rows, &FitOptions::default()));
            assert!(
                matched.steps_total > usual.steps_total && matched.loss == Loss::OtFlowMatching
            );
            let share = |p: &Plan| p.validate_every as f64 / p.steps_total as f64;
            assert!(share(&matched) >= share(&usual) && share(&matched) <= 0.101, "{matched:?}");
        }
    }

    #[test]
    fn options_overrule_the_recipe() {
        let options = FitOptions { epochs: Some(2.5), batch: Some(64), ..FitOptions::default() };
        let p = plan(1000, &options);
        assert_eq!((p.batch, p.steps_per_epoch, p.steps_total), (64, 16, 40));
        assert_eq!(plan(1000, &FitOptions { steps: Some(7), ..options }).steps_total, 7);
    }

    #[test]
    fn a_run_that_ends_sooner_has_the_rates_of_a_shorter_one() {
        let long = plan(1000, &FitOptions { steps: Some(4000), ..FitOptions::default() });
        let short = plan(1000, &FitOptions { steps: Some(100), ..FitOptions::default() });
        assert_eq!(long.schedule(Some(100)), short.schedule(None));
        assert_eq!(long.schedule(Some(5000)), long.schedule(None));
        assert!((0..3).all(|step| long.schedule(Some(0)).rate(step) > 0.0));
    }

    #[test]
    fn d9_shards_follow_from_the_batch() {
        assert_eq!([1, 31, 32, 512, 1024, 4096].map(shards_of), [1, 1, 2, 2, 4, 16]);
    }
}
