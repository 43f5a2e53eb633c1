//! What a training run was: kept in the model file, shown by `inspect`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::columns::Column;
use crate::file::container::finite_or_text;
use crate::host::rows::Rows;
use crate::train::Loss;

/// A training run in numbers. Losses are negative log-densities in nats, in the units of the data; but for those of training by another [`crate::train::Loss`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSummary {
    /// Seed of all randomness of the run.
    pub seed: u64,
    /// Rows learned from.
    pub rows_train: u64,
    /// Rows held out.
    pub rows_valid: u64,
    /// Rows that were left out as unlike the others, neither learned from nor held out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_trimmed: u64,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Passes over the training rows.
    #[serde(with = "finite_or_text")]
    pub epochs: f64,
    /// Wall-clock seconds; NaN where the caller did not say.
    #[serde(with = "finite_or_text")]
    pub seconds: f64,
    /// Why the run ended.
    pub stop_reason: String,
    /// The last step of which weights were kept: those of outcomes and those of numbers may be of two.
    pub best_step: u64,
    /// Mean log-density of the held-out rows under the weights kept; for columns that may be left out, where training validates with random
    /// subsets, of at most 10,000 of these rows with all that is known of them.
    #[serde(with = "finite_or_text")]
    pub valid_log_prob_mean: f64,
    /// The lowest log-density among rows of the run, held out and trained on: 10,000 of each at most. A row below it is unlike all
    /// that the model has seen. Absent in files of releases that did not measure it.
    #[serde(default, with = "finite_or_text::option")]
    pub log_prob_lowest: Option<f64>,
    /// Quantiles of the log-density of these rows, `[share below, log-density]`, from the lowest to the highest. Empty where they were not
    /// measured.
    #[serde(default)]
    pub log_prob_quantiles: Vec<[f64; 2]>,
    /// The lowest and the highest value of each number of the context among the rows of the run, by its name. Empty in files of releases that did not keep them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context_ranges: BTreeMap<String, [f64; 2]>,
    /// How the rows of the run are shared among the levels of each category and truth value of the context, by its name. Empty in files of releases that did not count them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context_shares: BTreeMap<String, Vec<f64>>,
    /// How often the fields of continuous layers are evaluated to score a row: the fewer, the straighter the ways. Absent where there is no such layer, or it was not
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "finite_or_text::option")]
    pub evaluations: Option<f64>,
    /// What the run warned of: faults of the data, a likelihood that is not to be believed.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The course of the losses.
    pub history: Vec<HistoryPoint>,
    /// The options of the run, as given and as chosen by the recipe.
    pub options: serde_json::Value,
    /// The release that trained the model.
    pub diffeo_version: String,
    /// Hash of the rows learned from.
    pub data_fingerprint: String,
}

impl TrainingSummary {
    /// What the steps went down.
    pub fn loss(&self) -> Loss {
        Loss::deserialize(&self.options["plan"]["loss"]).unwrap_or_default()
    }

    /// Share of the rows whose context was hidden in training.
    pub fn context_dropout(&self) -> f64 {
        self.options["plan"]["context_dropout"].as_f64().unwrap_or(0.0)
    }

    /// How many rows of a context have a number that lies outside of what the rows of the run had, by more than a tenth of their range: what a model says there it has not learned.
    pub fn rows_beyond(&self, columns: &[Column], context: &Rows) -> usize {
        let range =
            |(j, column): (usize, &Column)| Some((j, self.context_ranges.get(&column.name)?));
        let ranges: Vec<_> = columns.iter().enumerate().filter_map(range).collect();
        let is_beyond = |row: &[f64]| {
            ranges.iter().any(|(j, [low, high])| {
                let margin = 0.1 * (high - low);
                row[*j] < low - margin || row[*j] > high + margin
            })
        };
        (0..context.len()).filter(|i| is_beyond(context.row(*i))).count()
    }

    /// Share of the rows of the run whose log-density is at most `log_prob`, linear between the quantiles that are kept; `None` where
    /// there are none.
    pub fn share_below(&self, log_prob: f64) -> Option<f64> {
        let quantiles = &self.log_prob_quantiles;
        let (first, last) = (quantiles.first()?, quantiles.last()?);
        let above = quantiles.partition_point(|[_, value]| *value <= log_prob);
        Some(match above {
            _ if log_prob.is_nan() || log_prob < first[1] => 0.0,
            _ if log_prob >= last[1] => 1.0,
            above => {
                let ([p, low], [q, high]) = (quantiles[above - 1], quantiles[above]);
                p + (q - p) * (log_prob - low) / (high - low)
            }
        })
    }

    /// The log-density below which a share of the rows of the run lies; `None` where there are no quantiles.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let quantiles = &self.log_prob_quantiles;
        let above = quantiles.partition_point(|[p, _]| *p <= share);
        match above {
            0 => quantiles.first().map(|[_, value]| *value),
            above if above == quantiles.len() => quantiles.last().map(|[_, value]| *value),
            above => {
                let ([p, low], [q, high]) = (quantiles[above - 1], quantiles[above]);
                Some(low + (high - low) * (share - p) / (q - p))
            }
        }
    }
}

/// One validation pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryPoint {
    /// Steps taken so far.
    pub step: u64,
    /// Mean training loss since the point before.
    #[serde(with = "finite_or_text")]
    pub train_loss: f64,
    /// Mean loss of the held-out rows; absent without validation.
    #[serde(with = "finite_or_text::option")]
    pub valid_loss: Option<f64>,
    /// Learning rate at this step.
    #[serde(with = "finite_or_text")]
    pub learning_rate: f64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
