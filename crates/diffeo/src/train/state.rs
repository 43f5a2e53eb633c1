//! Everything that changes while a run goes on, and its form in a checkpoint.

use serde::{Deserialize, Serialize};

use super::optimizer::Moments;
use super::stopping::Stopping;
use crate::engine::Element;
use crate::error::{Error, Result};
use crate::file::container::{Container, NamedTensor, finite_or_text};

/// One line of a run's history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) step: u64,
    /// Mean loss of the batches since the record before; NaN at step 0.
    pub(crate) train_loss: f64,
    /// NaN where nothing was validated.
    pub(crate) valid_loss: f64,
    pub(crate) learning_rate: f64,
}

/// The state of a run. Together with plan and data it determines everything that follows, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State<T> {
    pub(crate) weights: Vec<T>,
    pub(crate) moments: Moments<T>,
    /// The running average of the weights; empty without averaging.
    pub(crate) average: Vec<T>,
    /// The weights of the best validation; empty before the first.
    pub(crate) best: Vec<T>,
    /// The weights to go back to when a loss is not finite.
    pub(crate) good: Vec<T>,
    pub(crate) counters: Counters,
    pub(crate) history: Vec<Record>,
}

/// The part of the state that is single numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    /// Batches seen, those of steps that were not applied included: decides order, noise and rate.
    pub(crate) step: u64,
    pub(crate) validated_at: Option<u64>,
    pub(crate) best_step: u64,
    pub(crate) stopping: Stopping,
    pub(crate) good_step: u64,
    pub(crate) rollbacks: u32,
    /// Steps left out for their gradient, less one for each ten that were taken since.
    #[serde(default)]
    pub(crate) skips: u32,
    pub(crate) clips: u64,
    /// Halved at every rollback; a [`Learner`](super::Learner) doubles it again.
    #[serde(with = "finite_or_text")]
    pub(crate) rate_scale: f64,
    /// The first finite validation loss, which later ones are held against.
    #[serde(with = "finite_or_text")]
    pub(crate) first_loss: f64,
    /// Whether an implausible gain was reported.
    pub(crate) warned: bool,
    /// Sum of losses and number of rows since the last record.
    #[serde(with = "finite_or_text")]
    pub(crate) train_sum: f64,
    pub(crate) train_rows: u64,
    /// Updates since the optimiser's running means were zero.
    pub(crate) updates: u64,
}

impl Counters {
    /// Largest count that a double holds exactly, as a history does; no run comes near it.
    const MOST: u64 = 1 << 53;

    /// Refuses counts that no run can have come to, with which a run that goes on would overflow.
    fn check(&self) -> Result<()> {
        let steps = [self.good_step, self.best_step, self.clips, self.updates];
        if self.step > Self::MOST || self.train_rows > Self::MOST {
            return Err(Error::model_file(format!(
                "checkpoint counters: expected at most {} steps and rows, found {} and {}; start the fit anew",
                Self::MOST,
                self.step,
                self.train_rows
            )));
        }
        if steps.iter().any(|&n| n > self.step) {
            return Err(Error::model_file(format!(
                "checkpoint counters: expected nothing counted beyond step {}, found {steps:?}; start the fit anew",
                self.step
            )));
        }
        Ok(())
    }
}

impl<T: Element> State<T> {
    /// A run that has not begun.
    pub(crate) fn new(weights: Vec<T>, averaging: bool) -> Self {
        Self {
            moments: Moments::zeros(weights.len()),
            average: if averaging { weights.clone() } else { Vec::new() },
            best: Vec::new(),
            good: weights.clone(),
            weights,
            counters: Counters {
                step: 0,
                validated_at: None,
                best_step: 0,
                stopping: Stopping::default(),
                good_step: 0,
                rollbacks: 0,
                skips: 0,
                clips: 0,
                rate_scale: 1.0,
                first_loss: f64::NAN,
                warned: false,
                train_sum: 0.0,
                train_rows: 0,
                updates: 0,
            },
            history: Vec::new(),
        }
    }

    /// The weights that are validated and kept: the average if there is one.
    pub(crate) fn candidate(&self) -> &[T] {
        if self.average.is_empty() { &self.weights } else { &self.average }
    }

    /// The step that the weights are of: refused steps count, and leave the weights where they were.
    pub(crate) fn step_of_weights(&self) -> u64 {
        if self.counters.updates == 0 { self.counters.good_step } else { self.counters.step }
    }

    /// Goes back to the last good weights. The running means start anew: they lead to where it went wrong.
    pub(crate) fn roll_back(&mut self) {
        self.weights.copy_from_slice(&self.good);
        self.moments = Moments::zeros(self.weights.len());
        if !self.average.is_empty() {
            self.average.copy_from_slice(&self.good);
        }
        self.counters.updates = 0;
        self.counters.rollbacks += 1;
        self.counters.skips = 0;
        self.counters.rate_scale *= 0.5;
    }

    /// Adds the state to a checkpoint.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] if it has no JSON form.
    pub(crate) fn write_into(&self, container: &mut Container) -> Result<()> {
        container.set_json(COUNTERS, &self.counters)?;
        let arrays = [
            (WEIGHTS, &self.weights),
            (FIRST, &self.moments.first),
            (SECOND, &self.moments.second),
            (AVERAGE, &self.average),
            (BEST, &self.best),
            (GOOD, &self.good),
        ];
        for (name, values) in arrays {
            if !values.is_empty() {
                container.tensors.push(T::to_named(name, values));
            }
        }
        let history: Vec<f64> = self
            .history
            .iter()
            .flat_map(|r| [r.step as f64, r.train_loss, r.valid_loss, r.learning_rate])
            .collect();
        if !history.is_empty() {
            let shape = [self.history.len(), 4];
            container.tensors.push(NamedTensor::from_f64(HISTORY, shape, &history));
        }
        Ok(())
    }

    /// The step of the best weights, and their validation loss.
    pub(crate) fn best(&self) -> Option<(u64, f64)> {
        let counters = &self.counters;
        (!self.best.is_empty()).then_some((counters.best_step, counters.stopping.best))
    }

    /// Reads a state of `len` weights back, of which there is a running average or not.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] if something is missing, of another size or beyond what can be counted, [`crate::ErrorKind::Config`] if it was written with an average and there is
    /// to be none, or without.
    pub(crate) fn read_from(container: &Container, len: usize, is_averaged: bool) -> Result<Self> {
        let counters: Counters = container.json(COUNTERS)?;
        counters.check()?;
        let array = |name: &str, lens: &[usize]| -> Result<Vec<T>> {
            let values = match container.tensor(name) {
                Some(tensor) => T::from_named(tensor)?,
                None => Vec::new(),
            };
            if lens.contains(&values.len()) {
                return Ok(values);
            }
            let found = values.len();
            Err(Error::model_file(format!(
                "checkpoint array {name}: expected {len} numbers, found {found}"
            )))
        };
        let average = array(AVERAGE, &[0, len])?;
        if average.is_empty() == is_averaged {
            let [was, is] = [!is_averaged, is_averaged]
                .map(|averages| if averages { "with" } else { "without" });
            return Err(Error::config(format!(
                "cannot resume: the checkpoint was written {was} a running average of the weights, this training is {is} one; give the option `average` of the first run"
            )));
        }
        let history = match container.tensor(HISTORY) {
            Some(tensor) => tensor.to_f64()?,
            None => Vec::new(),
        };
        let record = |r: &[f64]| match *r {
            [step, train_loss, valid_loss, learning_rate] => {
                Some(Record { step: step as u64, train_loss, valid_loss, learning_rate })
            }
            _ => None,
        };
        Ok(Self {
            weights: array(WEIGHTS, &[len])?,
            moments: Moments { first: array(FIRST, &[len])?, second: array(SECOND, &[len])? },
            average,
            best: array(BEST, &[0, len])?,
            good: array(GOOD, &[len])?,
            history: history.chunks(4).filter_map(record).collect(),
            counters,
        })
    }
}

const COUNTERS: &str = "diffeo.state";
pub(crate) const WEIGHTS: &str = "weights";
const FIRST: &str = "moments.first";
const SECOND: &str = "moments.second";
const AVERAGE: &str = "average";
const BEST: &str = "best";
const GOOD: &str = "good";
const HISTORY: &str = "history";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c15_a_state_survives_a_checkpoint_bit_for_bit() {
        let mut state = State::new(vec![1.0f32, -0.0, f32::MIN_POSITIVE / 4.0], true);
        state.best = vec![0.1, 0.2, 0.3];
        state.counters.step = Counters::MOST;
        state.counters.validated_at = Some(7);
        state.counters.train_sum = 0.1 + 0.2;
        state.counters.stopping.best = f64::NEG_INFINITY;
        let nan = f64::NAN;
        state.history.push(Record {
            step: 3,
            train_loss: nan,
            valid_loss: 1e-308,
            learning_rate: 0.1,
        });
        let mut container = Container::default();
        state.write_into(&mut container).unwrap();
        let read = Container::decode(&container.encode().unwrap()).unwrap();
        let back = State::<f32>::read_from(&read, 3, true).unwrap();
        // Compared as text, because a NaN is in it and zero has a sign.
        assert_eq!(format!("{state:?}"), format!("{back:?}"));
        assert!(State::<f32>::read_from(&read, 4, true).is_err());
        assert!(State::<f64>::read_from(&read, 3, true).is_err());
        let error = State::<f32>::read_from(&read, 3, false).unwrap_err();
        assert!(error.message().contains("`average`"), "{error}");
    }
}
