//! What a training run was: kept in the model file, shown by `inspect`.

use serde::{Deserialize, Serialize};

use crate::file::container::finite_or_text;

/// A training run in numbers. Losses are negative log-densities in nats, in the units of the data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSummary {
    /// Seed of all randomness of the run.
    pub seed: u64,
    /// Rows learned from.
    pub rows_train: u64,
    /// Rows held out.
    pub rows_valid: u64,
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
    /// The step whose weights were kept.
    pub best_step: u64,
    /// Mean log-density of the held-out rows under the weights kept.
    #[serde(with = "finite_or_text")]
    pub valid_log_prob_mean: f64,
    /// The lowest log-density among rows of the run, held out and trained on: 10,000 of each at most. A row below it is unlike all
    /// that the model has seen. Absent in files of releases that did not measure it.
    #[serde(default, with = "finite_or_text::option")]
    pub log_prob_lowest: Option<f64>,
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
