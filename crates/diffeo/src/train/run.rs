//! The training loop: one optimiser step, one validation, or one piece of news at a time.

use std::collections::VecDeque;

use super::batches::{Batch, Batches, Noise};
use super::data::{Part, Sample};
use super::events::{Event, StopReason};
use super::objective::FlatObjective;
use super::optimizer::{Update, clip_scale};
use super::ranks::Ranks;
use super::recipe::Plan;
use super::shards::Shards;
use super::state::{Record, State};
use crate::columns::Encoding;
use crate::engine::Element;
use crate::engine::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::file::container::Container;
use crate::host::draws::Draws;
use crate::host::random::{Purpose, Streams};

/// Rollbacks after which a run counts as diverged.
const ROLLBACKS_MAX: u32 = 3;
/// Steps that are left out because of their gradient, beyond one in so many, after which the weights are no longer trusted.
const SKIPS_MAX: u32 = 5;
const TAKEN_FOR_SKIP: u64 = 10;
/// A gain over the first validation, in nats per dimension, beyond which the density is not believed. On standardised data the
/// hardest published tables gain 4 (BSDS300); repeated rows or a column that is a function of others gain without end.
const PLAUSIBLE_GAIN: f64 = 7.0;
/// How far a loss may be from itself, for rounding.
const ROUNDING: f64 = 1e-4;
/// How many rows an event lists.
const ROWS_LISTED: usize = 20;

/// A run over any objective.
pub(crate) struct Run<T> {
    pub(crate) plan: Plan,
    pub(crate) state: State<T>,
    pub(crate) objective: Box<dyn FlatObjective<T>>,
    layout: Layout,
    encoding: Encoding,
    train: Part,
    valid: Option<Part>,
    batches: Batches,
    shards: Shards<T>,
    news: VecDeque<Event>,
    stop: Option<StopReason>,
    end: Option<u64>,
}

/// What a run works on.
pub(crate) struct Setting<T> {
    pub(crate) plan: Plan,
    pub(crate) objective: Box<dyn FlatObjective<T>>,
    pub(crate) layout: Layout,
    pub(crate) encoding: Encoding,
    pub(crate) train: Part,
    pub(crate) valid: Option<Part>,
}

/// The outcome of a run.
pub(crate) struct Kept<T> {
    pub(crate) weights: Vec<T>,
    pub(crate) step: u64,
    pub(crate) valid_loss: f64,
}

impl<T: Element> Run<T> {
    /// A run at its first step.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] if threads cannot be started.
    pub(crate) fn new(setting: Setting<T>, initial: Vec<T>, threads: usize) -> Result<Self> {
        let Setting { plan, objective, layout, encoding, train, valid } = setting;
        let batches = Batches::new(Streams::new(plan.seed), train.len(), plan.batch);
        let shards = Shards::new(threads, plan.shards, &layout)?;
        let state = State::new(initial, plan.average > 0.0);
        let (news, stop, end) = (VecDeque::new(), None, None);
        Ok(Self {
            plan,
            state,
            objective,
            layout,
            encoding,
            train,
            valid,
            batches,
            shards,
            news,
            stop,
            end,
        })
    }

    /// Up to `n` rows to look at, of the validation part if there is one, and the weights that are best so far.
    pub(crate) fn sight(&self, n: usize) -> (Batch, &[T]) {
        let part = self.valid.as_ref().unwrap_or(&self.train);
        let positions: Vec<u32> = (0..part.len().min(n) as u32).collect();
        let batch = part.batch(&positions, &self.encoding, self.noise(Purpose::Validation, 0));
        let best = &self.state.best;
        (batch, if best.is_empty() { self.state.candidate() } else { best })
    }

    /// Queues something that the caller hears before the next step.
    pub(crate) fn tell(&mut self, event: Event) {
        self.news.push_back(event);
    }

    /// Takes the state of a checkpoint.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ModelFile`] if it does not fit.
    pub(crate) fn restore(&mut self, container: &Container) -> Result<()> {
        let is_averaged = self.plan.average > 0.0;
        self.state = State::read_from(container, self.layout.len(), is_averaged)?;
        self.news.clear();
        Ok(())
    }

    /// Leaves a part of each batch to other processes.
    pub(crate) fn join(&mut self, ranks: Box<dyn Ranks>) {
        self.shards.join(ranks);
    }

    /// Ends the run with the next [`Run::advance`].
    pub(crate) fn stop(&mut self, reason: StopReason) {
        self.stop = Some(reason);
    }

    /// Lets the rate fall as if the run had been planned to end at a step.
    pub(crate) fn settle_by(&mut self, step: u64) {
        self.end = Some(step);
    }

    /// The step that it ends at.
    pub(crate) fn end(&self) -> u64 {
        self.plan.schedule(self.end).total
    }

    /// Does the next thing and says what it was.
    pub(crate) fn advance(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(event);
            }
            if let Some(reason) = self.stop_reason() {
                return Ok(Event::Finished { reason });
            }
            // As a whole on the threads: waking them takes as long as a small model's step.
            self.shards.pool().install(|| match self.record_due() {
                true => self.record(),
                false => self.step(),
            })?;
        }
    }

    /// Why nothing more will happen, if so.
    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        let counters = &self.state.counters;
        if counters.rollbacks >= ROLLBACKS_MAX {
            Some(StopReason::Diverged)
        } else if self.valid.is_some() && counters.stopping.exhausted(self.plan.patience) {
            Some(StopReason::Patience)
        } else if counters.step >= self.plan.steps_total && !self.record_due() {
            Some(StopReason::Completed)
        } else {
            self.stop
        }
    }

    fn record_due(&self) -> bool {
        let step = self.state.counters.step;
        let at_mark =
            step.is_multiple_of(self.plan.validate_every) || step >= self.plan.steps_total;
        at_mark && self.state.counters.validated_at != Some(step)
    }

    fn learning_rate(&self) -> f64 {
        self.plan.schedule(self.end).rate(self.state.counters.step) * self.state.counters.rate_scale
    }

    /// One optimiser step.
    fn step(&mut self) -> Result<()> {
        let learning_rate = self.learning_rate();
        let step = self.state.counters.step;
        let noise = self.noise(Purpose::Dequantise, step);
        let positions = self.batches.positions(step);
        let mut batch = self.train.batch(positions, &self.encoding, noise);
        // Not divided by the weights of this batch: a batch of light rows must not count as much as one of heavy rows.
        let expected = self.train.mean_weight * batch.weights.len() as f64;
        batch.weights.iter_mut().for_each(|w| *w /= expected);
        batch.draws = Some(Draws::new(Streams::new(self.plan.seed), step, 0));

        self.objective.load(&self.state.weights)?;
        let found = self.shards.gradient(&*self.objective, &self.state.weights, &batch);
        let (losses, grad_norm) = match found {
            Err(e) if e.kind() == ErrorKind::NotConverged => {
                self.state.counters.step += 1;
                self.roll_back(step, e.message().to_owned(), Vec::new());
                return Ok(());
            }
            found => found?,
        };
        let total: f64 = batch.weights.iter().sum();
        let loss = losses.iter().zip(&batch.weights).map(|(l, w)| l * w).sum::<f64>() / total;
        self.state.counters.step += 1;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            let (reason, rows) = self.what_is_not_finite(step, &losses);
            match loss.is_finite() && self.state.counters.skips < SKIPS_MAX {
                true => self.skip(step, reason),
                false => self.roll_back(step, reason, rows),
            }
            return Ok(());
        }

        let clipped = grad_norm > self.plan.clip_norm;
        let state = &mut self.state;
        state.counters.updates += 1;
        if state.counters.updates.is_multiple_of(TAKEN_FOR_SKIP) {
            state.counters.skips = state.counters.skips.saturating_sub(1);
        }
        state.counters.clips += u64::from(clipped);
        state.counters.train_sum += loss * losses.len() as f64;
        state.counters.train_rows += losses.len() as u64;
        let update = Update {
            rate: learning_rate,
            decay: self.plan.weight_decay,
            scale: clip_scale(grad_norm, self.plan.clip_norm),
            count: state.counters.updates,
            average: self.plan.average,
            average_warmup: true,
        };
        let arrays = [state.weights.as_mut_slice(), state.average.as_mut_slice()];
        state.moments.update(arrays, self.shards.total(), self.shards.pieces(), update);
        let (step, rows) = (step + 1, losses.len());
        self.tell(Event::Step { step, loss, grad_norm, learning_rate, rows, clipped });
        Ok(())
    }

    /// What a step cannot be taken for, and the rows that it is so for.
    fn what_is_not_finite(&mut self, step: u64, losses: &[f64]) -> (String, Vec<u64>) {
        let bad = losses.iter().zip(self.batches.positions(step)).filter(|(l, _)| !l.is_finite());
        let all: Vec<u64> = bad.map(|(_, &p)| u64::from(self.train.rows[p as usize])).collect();
        let reason = if all.is_empty() {
            let at = self.shards.total().iter().position(|g| !g.wide().is_finite()).unwrap_or(0);
            format!("the gradient of {} is not finite", self.layout.name_at(at))
        } else {
            format!("the log-density of {} of {} rows is not finite", all.len(), losses.len())
        };
        (reason, all.into_iter().take(ROWS_LISTED).collect())
    }

    /// Leaves a step out, and goes on from where it is.
    fn skip(&mut self, step: u64, reason: String) {
        self.state.counters.skips += 1;
        self.tell(Event::Skipped { step: step + 1, reason });
    }

    /// Takes the last good weights back and lowers the rate. Order and noise go on, so the next batch is another one.
    fn roll_back(&mut self, step: u64, reason: String, rows: Vec<u64>) {
        self.state.roll_back();
        let (to_step, learning_rate) = (self.state.counters.good_step, self.learning_rate());
        self.tell(Event::RolledBack { step: step + 1, to_step, learning_rate, reason, rows });
    }

    /// Adds a line to the history: training loss since the last one, and the validation loss if there is validation.
    fn record(&mut self) -> Result<()> {
        let candidate = self.state.candidate().to_vec();
        let (valid_loss, bad) = self.validation_loss(&candidate)?;
        let learning_rate = self.learning_rate();
        let counters = &mut self.state.counters;
        let step = counters.step;
        let train_loss = counters.train_sum / counters.train_rows as f64;
        (counters.train_sum, counters.train_rows) = (0.0, 0);
        counters.validated_at = Some(step);
        self.state.history.push(Record { step, train_loss, valid_loss, learning_rate });
        let usable = match self.valid {
            Some(_) => self.judge(step, [train_loss, valid_loss], &bad)?,
            None => true,
        };
        if usable {
            self.state.counters.good_step = self.state.step_of_weights();
            self.state.good.copy_from_slice(&self.state.weights);
        }
        Ok(())
    }

    /// Compares a validation with those before, keeps the weights if they are the best; says whether it was finite.
    fn judge(
        &mut self,
        step: u64,
        [train_loss, valid_loss]: [f64; 2],
        bad: &[u64],
    ) -> Result<bool> {
        let best = self.keep_best(valid_loss)?;
        let epoch = step as f64 / self.plan.steps_per_epoch as f64;
        self.tell(Event::Validated { step, epoch, train_loss, valid_loss, best });
        if !valid_loss.is_finite() {
            let rows = &bad[..bad.len().min(ROWS_LISTED)];
            self.tell(Event::Warning(format!(
                "the validation loss at step {step} is {valid_loss} and is not used: the log-density of {} rows is not \
                 finite, among them {rows:?} (counted from 0)",
                bad.len()
            )));
            return Ok(false);
        }
        let counters = &mut self.state.counters;
        if !counters.first_loss.is_finite() {
            counters.first_loss = valid_loss;
        }
        let gain = (counters.first_loss - valid_loss) / self.plan.dims as f64;
        if gain > PLAUSIBLE_GAIN && !counters.warned {
            counters.warned = true;
            self.doubt().into_iter().for_each(|text| self.tell(Event::Warning(text)));
        }
        Ok(true)
    }

    /// Keeps the weights of now if they are the best so far: those of the marks and those of the numbers each by themselves, as the loss is a sum
    /// of what the ones and the others make it. Says whether some were kept.
    fn keep_best(&mut self, valid_loss: f64) -> Result<bool> {
        let mut kept = (self.state.candidate().to_vec(), valid_loss);
        let marks = self.layout.part("marks").filter(|_| !self.state.best.is_empty());
        if let Some(marks) = marks.filter(|_| valid_loss.is_finite()) {
            let (now, best) = (kept.0.clone(), self.state.best.clone());
            let best_loss = self.state.counters.stopping.best;
            let with = |from: &[T], mut into: Vec<T>| {
                into[marks.clone()].copy_from_slice(&from[marks.clone()]);
                into
            };
            let new_marks = with(&now, best.clone());
            let new_marks_loss = self.validation_loss(&new_marks)?.0;
            if valid_loss >= new_marks_loss {
                kept = (new_marks, new_marks_loss);
            } else if new_marks_loss >= best_loss {
                let new_numbers = with(&best, now);
                let loss = self.validation_loss(&new_numbers)?.0;
                kept = (new_numbers, loss);
            }
        }
        let (weights, loss) = kept;
        let is_best = self.state.counters.stopping.observe(loss);
        if is_best {
            self.state.best = weights;
            self.state.counters.best_step = self.state.step_of_weights();
        }
        Ok(is_best)
    }

    /// Why the likelihood is not to be believed, if it gained more than it plausibly can.
    pub(crate) fn doubt(&self) -> Option<String> {
        let counters = &self.state.counters;
        let gain = (counters.first_loss - counters.stopping.best) / self.plan.dims as f64;
        counters.warned.then(|| {
            format!(
                "validation gained {gain:.1} nats per dimension since the first step, more than real tables do: the \
                 density may be growing without bound on repeated rows, rounded values or columns that are functions \
                 of others; remove them or declare whole numbers as integer columns"
            )
        })
    }

    /// Rows held out and rows trained on, at most `most` of each, evenly from the whole table.
    pub(crate) fn some_rows(&self, most: usize) -> Vec<Sample> {
        self.valid.iter().chain([&self.train]).map(|part| part.some_rows(most)).collect()
    }

    /// The weighted mean loss over the validation rows under the given weights, and the rows whose loss is not finite.
    ///
    /// Scored in blocks, summed row by row in `f64` in the order of the table, so the cut into blocks does not show.
    pub(crate) fn validation_loss(&mut self, weights: &[T]) -> Result<(f64, Vec<u64>)> {
        let Some(valid) = &self.valid else { return Ok((f64::NAN, Vec::new())) };
        let noise = self.noise(Purpose::Validation, 0);
        self.shards.pool().install(|| self.objective.load(weights))?;
        let losses = self.shards.losses(&*self.objective, weights, valid, &self.encoding, noise)?;
        let (mut sum, mut total, mut bad) = (0.0, 0.0, Vec::new());
        for (loss, &row) in losses.iter().zip(&valid.rows) {
            let weight = valid.data.weight(row as usize);
            sum += weight * loss;
            total += weight;
            if !loss.is_finite() {
                bad.push(u64::from(row));
            }
        }
        Ok((sum / total, bad))
    }

    /// The weights to keep.
    ///
    /// Where a clock ended the run, the last weights may be better than the best ones validated so far: they are scored too.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] if no validation was finite or no step was kept, [`ErrorKind::Internal`] if the best weights do not score what was
    /// recorded for them.
    pub(crate) fn result(&mut self) -> Result<Kept<T>> {
        let counters = &self.state.counters;
        let (step, recorded) = (counters.step, counters.stopping.best);
        let (last, last_step) = (self.state.candidate().to_vec(), self.state.step_of_weights());
        if self.valid.is_none() {
            if step > 0 && last_step == 0 {
                return Err(Error::new(
                    ErrorKind::Diverged,
                    "no step could be kept, so nothing was learned; look for rows far from all others, or lower the \
                     learning rate",
                ));
            }
            let step = last_step;
            return Ok(Kept { weights: last, step, valid_loss: f64::NAN });
        }
        let unseen = counters.validated_at != Some(step);
        let stopped = self.stop.is_some() && self.stop_reason() == self.stop;
        let mut kept = Kept {
            weights: self.state.best.clone(),
            step: counters.best_step,
            valid_loss: recorded,
        };
        if !kept.weights.is_empty() {
            let again = self.validation_loss(&kept.weights)?.0;
            // A run that goes on upon another processor need not round as before.
            let differs = (again - recorded).abs() > ROUNDING * (1.0 + recorded.abs());
            if differs || again.is_nan() {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!(
                        "the best weights scored {recorded} and now score {again}; please report this"
                    ),
                ));
            }
        }
        if unseen && stopped {
            let valid_loss = self.validation_loss(&last)?.0;
            if valid_loss < recorded {
                kept = Kept { weights: last, step: last_step, valid_loss };
            }
        }
        if kept.weights.is_empty() {
            return Err(Error::new(
                ErrorKind::Diverged,
                "no validation loss was finite, so there is no best model; look for rows far from all others, or lower \
                 the learning rate",
            ));
        }
        Ok(kept)
    }

    fn noise(&self, purpose: Purpose, step: u64) -> Noise {
        let hidden = if purpose == Purpose::Dequantise { self.plan.context_dropout } else { 0.0 };
        Noise { streams: Streams::new(self.plan.seed), purpose, step, hidden }
    }
}
