//! What a caller may choose about a fit; everything has a default that the recipe fills in.

use serde::{Serialize, Serializer};

use super::data::ValidationChoice;
use super::loss::Loss;
use crate::error::{Error, Result};

/// Choices for [`super::Trainer`]. `None` leaves a choice to the [recipe](super::Plan), which looks at rows and columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FitOptions {
    /// What the steps go down; `None` for what the preset is trained by, which for a flow of your own is the likelihood.
    pub loss: Option<Loss>,
    /// Passes over the training rows; not together with `steps`.
    pub epochs: Option<f64>,
    /// Optimiser steps; not together with `epochs`.
    pub steps: Option<u64>,
    /// Most rows in a batch.
    pub batch: Option<usize>,
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// Decoupled weight decay of the matrices of networks, relative to the learning rate.
    pub weight_decay: f64,
    /// Longest gradient that is used as it is; longer ones are shortened to this norm.
    #[serde(with = "crate::file::container::finite_or_text")]
    pub clip_norm: f64,
    /// Share of the steps in which the rate rises to its peak.
    pub warmup: f64,
    /// Decay of the running average of weights that is validated and kept; 0 turns averaging off.
    pub average: Option<f64>,
    /// Validations without improvement before the fit stops.
    pub patience: Option<u32>,
    /// Share of the rows whose context is hidden in each step, so that the model learns what rows are like without one, too: what [`crate::Model::guided`] needs. For contexts of categories.
    pub context_dropout: f64,
    /// Weight `w` of a contrast of contexts beside the likelihood, 0 for none: a row `x` with context `c` is compared with itself under the context `c'` of another row, and the loss is
    ///
    /// ```text
    /// -log p(x | c) + w log(1 + p(x | c') / p(x | c))
    /// ```
    ///
    /// The second term is minus the log-probability that `x` came with `c`, where either could be. Both terms are least at the true density, so that the weight moves no optimum; it says how much a model
    /// of limited size or training heeds what little of the likelihood the context decides, as the class of an image does. A step takes about twice as long, less once most pairs are told apart. Validation, and what is told of steps, is the likelihood.
    ///
    /// References: van den Oord, Li, Vinyals, arXiv:1807.03748 (with one other context); Mackowiak, Ardizzone, Köthe, Rother. *Generative classifiers as a basis for trustworthy image classification*. CVPR 2021.
    pub contrast: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads; the result does not depend on it.
    #[serde(skip)]
    pub threads: usize,
    /// What the fit is validated on.
    #[serde(serialize_with = "describe")]
    pub validation: ValidationChoice,
}

fn describe<S: Serializer>(choice: &ValidationChoice, serializer: S) -> Result<S::Ok, S::Error> {
    match choice {
        ValidationChoice::Fraction(share) => serializer.serialize_f64(*share),
        ValidationChoice::Given(_) => serializer.serialize_str("given"),
        ValidationChoice::None => serializer.serialize_none(),
    }
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            loss: None,
            epochs: None,
            steps: None,
            batch: None,
            learning_rate: None,
            // Enough to keep unused weights small; a fit of the default length shrinks by a few per cent.
            weight_decay: 0.01,
            // Gradients of a healthy flow on standardised data stay below this after warm-up; a spike does not.
            clip_norm: 5.0,
            warmup: 0.05,
            average: None,
            patience: None,
            context_dropout: 0.0,
            contrast: 0.0,
            seed: 0,
            threads: 1,
            validation: ValidationChoice::default(),
        }
    }
}

impl FitOptions {
    /// Most rows in a batch.
    pub const BATCH_MAX: usize = 1 << 24;
    /// What the learning rate may be.
    pub const LEARNING_RATE: Allowed =
        Allowed { expected: "a number above 0 and at most 1", holds: |x| x > 0.0 && x <= 1.0 };
    /// What the weight decay may be.
    pub const WEIGHT_DECAY: Allowed =
        Allowed { expected: "a number from 0 to 10", holds: |x| (0.0..=10.0).contains(&x) };
    /// What the share of warm-up steps may be.
    pub const WARMUP: Allowed =
        Allowed { expected: "a share from 0 to 1", holds: |x| (0.0..=1.0).contains(&x) };
    /// What the decay of the average may be.
    pub const AVERAGE: Allowed = Allowed {
        expected: "a decay of at least 0 and below 1",
        holds: |x| (0.0..1.0).contains(&x),
    };

    /// What the share of hidden contexts may be.
    pub const CONTEXT_DROPOUT: Allowed = Allowed {
        expected: "a share of at least 0 and below 1",
        holds: |x| (0.0..1.0).contains(&x),
    };

    /// What the weight of a contrast may be.
    pub const CONTRAST: Allowed =
        Allowed { expected: "a number from 0 to 10,000", holds: |x| (0.0..=1e4).contains(&x) };

    /// Checks every range.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] listing all faults at once.
    pub fn validate(&self) -> Result<()> {
        let mut faults = Faults::default();
        let positive = |v: f64| v.is_finite() && v > 0.0;
        if self.epochs.is_some() && self.steps.is_some() {
            faults.0.push("epochs and steps exclude each other".into());
        }
        faults.option("epochs", self.epochs, "a positive number", positive);
        faults.option("steps", self.steps, "1 to 2^53", |s| (1..=1 << 53).contains(&s));
        faults
            .option("batch", self.batch, "1 to 2^24 rows", |b| (1..=Self::BATCH_MAX).contains(&b));
        let numbers = [
            ("learning_rate", self.learning_rate, Self::LEARNING_RATE),
            ("weight_decay", Some(self.weight_decay), Self::WEIGHT_DECAY),
            ("warmup", Some(self.warmup), Self::WARMUP),
            ("average", self.average, Self::AVERAGE),
            ("context_dropout", Some(self.context_dropout), Self::CONTEXT_DROPOUT),
            ("contrast", Some(self.contrast), Self::CONTRAST),
        ];
        for (name, value, allowed) in numbers {
            faults.option(name, value, allowed.expected, allowed.holds);
        }
        faults.check("clip_norm", self.clip_norm, "a positive number", |c| c > 0.0);
        faults.option("patience", self.patience, "at least 1", |p| p >= 1);
        faults.check("threads", self.threads, "1 to 1024", |t| (1..=1024).contains(&t));
        if let ValidationChoice::Fraction(share) = self.validation {
            faults.check("validation", share, "a share of at least 0 and below 1", |s| {
                (0.0..1.0).contains(&s)
            });
        }
        if faults.0.is_empty() { Ok(()) } else { Err(Error::config(faults.0.join("; "))) }
    }
}

/// What a number may be.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// In words.
    pub expected: &'static str,
    /// Whether it is so; never for NaN.
    pub holds: fn(f64) -> bool,
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn check<V: Copy + std::fmt::Display>(
        &mut self,
        name: &str,
        value: V,
        expected: &str,
        good: impl FnOnce(V) -> bool,
    ) {
        if !good(value) {
            self.0.push(format!("{name} must be {expected}, found {value}"));
        }
    }

    fn option<V: Copy + std::fmt::Display>(
        &mut self,
        name: &str,
        value: Option<V>,
        expected: &str,
        good: impl FnOnce(V) -> bool,
    ) {
        if let Some(value) = value {
            self.check(name, value, expected, good);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn b3_all_faults_are_reported_at_once() {
        let options = FitOptions {
            learning_rate: Some(f64::NAN),
            batch: Some(0),
            warmup: -1.0,
            threads: 0,
            validation: ValidationChoice::Fraction(1.0),
            steps: Some(1),
            epochs: Some(f64::INFINITY),
            ..FitOptions::default()
        };
        let error = options.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        for name in
            ["learning_rate", "batch", "warmup", "threads", "validation", "epochs", "exclude"]
        {
            assert!(error.message().contains(name), "{name}: {error}");
        }
        FitOptions::default().validate().unwrap();
    }

    #[test]
    fn b3_rates_outside_their_range() {
        for rate in [0.0, -1e-3, f64::NAN, f64::INFINITY, 2.0] {
            let options = FitOptions { learning_rate: Some(rate), ..FitOptions::default() };
            assert!(options.validate().is_err(), "{rate}");
        }
    }
}
