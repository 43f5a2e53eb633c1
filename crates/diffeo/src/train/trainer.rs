//! Fitting a flow to a table.

use std::collections::BTreeMap;
use std::path::Path;

use super::checkpoint::{self, Identity, Resume, Saved};
use super::contrast::Contrast;
use super::data::{Part, TrainingData, ValidationChoice, fingerprint, split};
use super::events::{Event, StopReason};
use super::loss::Loss;
use super::matching::Matching;
use super::objective::FlatObjective;
use super::options::FitOptions;
use super::ranks::Ranks;
use super::recipe::{Plan, Problem};
use super::run::{Run, Setting};
use super::saturation;
use super::solve;
use super::state::Record;
use super::warnings;
use crate::columns::{ColumnKind, Encoding, Schema, Units};
use crate::engine::{Element, Engine, flat_weights, set_weights};
use crate::error::{Error, Result, quoted};
use crate::file::container::Container;
use crate::flow::Flow;
use crate::host::linalg::tensor_of;
use crate::host::random::Streams;
use crate::model::{HistoryPoint, TrainingSummary};
use crate::model::{Model, expect_columns};
use crate::spec::{FlowSpec, Precision};

/// Most rows of each kind whose log-density is looked at for [`TrainingSummary::log_prob_lowest`].
const ROWS_SCORED: usize = 10_000;

/// The same where that takes longer than the fit would.
const ROWS_SCORED_BY_SOLUTION: usize = 2_000;
/// Rows that evaluations are counted of.
const ROWS_SIGHTED: usize = 256;
/// Most rows that validate where scoring takes the solution of an equation and training does not.
const ROWS_SOLVED: usize = 512;

/// A fit in progress: [`Trainer::advance`] until it says [`Event::Finished`], then [`Trainer::finish`].
///
/// ```
/// use diffeo::train::{Event, FitOptions, Trainer, TrainingData};
/// # fn main() -> diffeo::Result<()> {
/// # use diffeo::{Preset, PresetOptions, Rows, Schema};
/// # let data = TrainingData::rows(Rows::new((0..200).map(|i| f64::from(i).sin()).collect(), 1)?);
/// # let schema = Schema::real(["x"]);
/// # let spec = Preset::Maf.spec(1, 0, &PresetOptions::default())?;
/// let options = FitOptions { steps: Some(20), ..FitOptions::default() };
/// let mut trainer = Trainer::new(spec, schema, data, options)?;
/// loop {
///     match trainer.advance()? {
///         Event::Validated { step, valid_loss, .. } => println!("{step}: {valid_loss:.3} nats"),
///         Event::Finished { .. } => break,
///         _ => {}
///     }
/// }
/// let model = trainer.finish()?;
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    runs: Runs,
    /// Its weights are those of the start until the fit ends.
    flow: Flow,
    units: Units,
    identity: Identity,
    options: serde_json::Value,
    /// What the data was warned of.
    warnings: Vec<String>,
    /// As [`TrainingSummary`] has them.
    context_ranges: BTreeMap<String, [f64; 2]>,
    context_shares: BTreeMap<String, Vec<f64>>,
    threads: usize,
    /// Whether the fit has ended and what it came to was looked at.
    examined: bool,
}

/// A run in the precision of its weights.
enum Runs {
    F32(Run<f32>),
    F64(Run<f64>),
}

/// Does the same with a run of either precision.
macro_rules! with_run {
    ($runs:expr, $run:ident => $body:expr) => {
        match $runs {
            Runs::F32($run) => $body,
            Runs::F64($run) => $body,
        }
    };
}

/// Refuses to hide contexts that cannot be told from others then: a number of zero is like any other.
fn expect_hideable(schema: &Schema, share: f64) -> Result<()> {
    if share == 0.0 {
        return Ok(());
    }
    let other = schema.context.iter().find(|column| column.kind != ColumnKind::Category);
    let fault = match other {
        _ if schema.columns.iter().any(|column| column.optional) => {
            Some("columns that may be given or not are hidden already".to_owned())
        }
        _ if schema.context.is_empty() => Some("there is none".to_owned()),
        Some(column) => {
            Some(format!("{} is {}: declare it as a category", quoted(&column.name), column.kind))
        }
        None => None,
    };
    match fault {
        None => Ok(()),
        Some(fault) => Err(Error::config(format!(
            "context_dropout: expected a context of categories, which can be hidden; {fault}"
        ))),
    }
}

/// Refuses a contrast of contexts where there are none to be swapped.
fn expect_contrasted(schema: &Schema, loss: Loss, weight: f64) -> Result<()> {
    let fault = match loss {
        _ if weight == 0.0 => return Ok(()),
        Loss::FlowMatching | Loss::OtFlowMatching => "stands beside the loss likelihood alone",
        Loss::Likelihood if schema.columns.iter().any(|column| column.optional) => {
            "is of one context, not of any columns given any others"
        }
        Loss::Likelihood if schema.context.is_empty() => {
            "compares rows under the contexts of others, and there is no context"
        }
        Loss::Likelihood => return Ok(()),
    };
    Err(Error::config(format!("contrast: it {fault}; leave it out")))
}

/// Refuses what does not go together.
fn expect_sound(
    spec: &FlowSpec,
    schema: &Schema,
    data: &TrainingData,
    options: &FitOptions,
    loss: Loss,
) -> Result<()> {
    options.validate()?;
    schema.validate()?;
    expect_columns(spec, schema)?;
    loss.expect(spec)?;
    data.check(schema)?;
    expect_hideable(schema, options.context_dropout)?;
    expect_contrasted(schema, loss, options.contrast)?;
    match &options.validation {
        ValidationChoice::Given(valid) => {
            valid.check(schema).map_err(|e| Error::new(e.kind(), format!("validation: {e}")))
        }
        _ => Ok(()),
    }
}

/// What lies between the columns and a flow that is fitted from nothing.
fn units_of(spec: &FlowSpec, schema: &Schema, data: &TrainingData) -> Result<Units> {
    let mut units = Units::fit(schema, &data.x, data.context.as_ref(), |i| data.weight(i))?;
    if let Some(embedding) = &spec.embedding {
        units.share_among(embedding.members());
    }
    Ok(units)
}

impl Trainer {
    /// Prepares a fit: checks everything, fits the maps from the data's units, splits, and builds the flow.
    ///
    /// `spec` describes the flow for columns of mean 0 and deviation 1: the units that make them so are taken from the data. A
    /// flow whose only parameters are those of a Gaussian base is fitted in closed form, without a step.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for options or a specification out of range, [`crate::ErrorKind::Data`] or [`crate::ErrorKind::Shape`] for rows
    /// that do not fit the schema.
    pub fn new(
        spec: FlowSpec,
        schema: Schema,
        data: TrainingData,
        options: FitOptions,
    ) -> Result<Self> {
        Self::prepare(spec, schema, None, data, options)
    }

    /// Prepares a fit that begins from the weights of a model, whose columns and units stay as they are: for more rows, for those of a place of its own, or to train some other way from here on. A loss that is
    /// not given is that which the model was fitted by.
    ///
    /// The recipe is that of a fit from nothing; a lower [`FitOptions::learning_rate`] stays nearer to the model. A flow of closed form ([`Trainer::new`]) is solved for the rows, whatever it was.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn start_from(model: &Model, data: TrainingData, options: FitOptions) -> Result<Self> {
        let (spec, schema) = (model.flow().spec().clone(), model.schema().clone());
        Self::prepare(spec, schema, Some(model), data, options)
    }

    fn prepare(
        spec: FlowSpec,
        schema: Schema,
        start: Option<&Model>,
        data: TrainingData,
        mut options: FitOptions,
    ) -> Result<Self> {
        let of_start = start.and_then(|model| model.summary.as_ref()).map(TrainingSummary::loss);
        options.loss = options.loss.or(of_start);
        let loss = options.loss.unwrap_or_default();
        expect_sound(&spec, &schema, &data, &options, loss)?;
        let fingerprint = fingerprint(&schema, &data, &options.validation);
        let units = match start {
            Some(model) => model.units().clone(),
            None => units_of(&spec, &schema, &data)?,
        };
        let mut warnings = warnings::about(&schema, &data);
        warnings.extend(warnings::about_scale(&spec, &units, &schema, &data));
        warnings.extend(start.and_then(|_| warnings::about_levels(&schema, &data)));
        let context_ranges = data.context_ranges(&schema);
        let context_shares = data.context_shares(&schema);
        let streams = Streams::new(options.seed);
        let (train, valid) = split(data, &options.validation, schema.is_continuous(), streams)?;
        let valid = valid.map(|part| match loss {
            Loss::Likelihood => part,
            Loss::FlowMatching | Loss::OtFlowMatching => part.at_most(ROWS_SOLVED),
        });
        let encoding = Encoding::new(&schema, units.clone());
        let mut flow = match start {
            Some(model) => model.flow().clone(),
            None => {
                let mut flow = spec.build(options.seed)?;
                solve::initialise(&mut flow, &train, &encoding, streams)?;
                flow
            }
        };
        let solved = solve::solve(&mut flow, &train, &encoding, streams)?;
        let problem = Problem {
            rows_train: train.len(),
            rows_valid: valid.as_ref().map_or(0, Part::len),
            dims: spec.dims,
            context_dims: spec.context_dims,
            parameters: flow.parameters().iter().map(|(_, p)| p.shape().num_elements()).sum(),
            solved,
        };
        let plan = Plan::new(problem, &options);
        let precision = spec.precision;
        let start = start.map(Model::fingerprint).transpose()?;
        let identity = Identity { spec, schema, plan: plan.clone(), fingerprint, start };
        let parts = Parts { plan, encoding, train, valid };
        let mut runs = match precision {
            Precision::F32 => Runs::F32(parts.run(&flow, options.threads)?),
            Precision::F64 => Runs::F64(parts.run(&flow, options.threads)?),
        };
        with_run!(&mut runs, run => warnings.iter().for_each(|w| run.tell(Event::Warning(w.clone()))));
        let threads = options.threads;
        let options = serde_json::to_value(&options).unwrap_or_default();
        Ok(Self {
            runs,
            flow,
            units,
            identity,
            options,
            warnings,
            context_ranges,
            context_shares,
            threads,
            examined: false,
        })
    }

    /// Goes on from a checkpoint, to the same bits as if the fit had never stopped.
    ///
    /// If the newest generation of the checkpoint is damaged, the one before it is used and the first event is a warning. Only the
    /// number of threads may differ from the first run; [`Trainer::expect`] compares a specification, and
    /// [`Trainer::resume_with`] allows more.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] listing what differs, if data or options do; [`crate::ErrorKind::ModelFile`] or [`crate::ErrorKind::Version`] if
    /// neither generation can be used.
    pub fn resume(checkpoint: &Path, data: TrainingData, options: FitOptions) -> Result<Self> {
        Self::resume_with(checkpoint, data, options, &Resume::default())
    }

    /// Goes on from a checkpoint with layers of a program's own, or with some settings other than before, from the weights and moments of
    /// the checkpoint on. With changes the bits are those of no run without an interruption.
    ///
    /// # Errors
    /// As [`Trainer::resume`], for what differs and is not among the changes.
    pub fn resume_with(
        checkpoint: &Path,
        data: TrainingData,
        options: FitOptions,
        resume: &Resume,
    ) -> Result<Self> {
        let mut saved = checkpoint::read(checkpoint)?;
        resume.registry.resolve(&mut saved.identity.spec.transforms)?;
        saved.check_size()?;
        let Saved { identity, container, path, refused } = saved;
        let schema = identity.schema.clone();
        let spec = identity.spec.clone();
        data.check(&schema).map_err(|error| {
            Error::new(
                error.kind(),
                format!(
                    "cannot resume: the rows are not those of the checkpoint ({}); give the data and settings of the first run, or start anew",
                    error.message()
                ),
            )
        })?;
        let mut trainer = Self::prepare(spec, schema, resume.start.as_ref(), data, options)?;
        identity.expect_but(&trainer.identity, &resume.changes)?;
        with_run!(&mut trainer.runs, run => {
            run.restore(&container).map_err(|e| e.at(&path))?;
        });
        if let Some(error) = refused {
            with_run!(&mut trainer.runs, run => run.tell(Event::Warning(format!(
                "the newest checkpoint could not be used ({error}); going on from the one before it, {}: the work in \
                 between is done again",
                crate::error::printable(&path.to_string_lossy())
            ))));
        }
        Ok(trainer)
    }

    /// Refuses to go on if the specification or schema is another than the one this fit is about.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] listing what differs.
    pub fn expect(&self, spec: &FlowSpec, schema: &Schema) -> Result<()> {
        let other =
            Identity { spec: spec.clone(), schema: schema.clone(), ..self.identity.clone() };
        self.identity.expect(&other)
    }

    /// Trains together with other processes, each of which has prepared the same fit of the same rows, and joins before its first step: a process computes the gradients of its shards of each
    /// batch ([`Plan::shards`]) and the losses of its part of the validation; their sums are known to all, so that all have the same weights. Everything that is decided is decided by all
    /// alike; a caller's own decisions ([`Trainer::stop`], [`Trainer::settle_by`]) must be those of all processes, too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if the fits are not the same; others of [`Ranks`].
    pub fn join(&mut self, mut ranks: Box<dyn Ranks>) -> Result<()> {
        let mut all = vec![0.0; ranks.count()];
        all[ranks.rank()] = checkpoint::number(&self.to_container()?)?;
        ranks.sum_f64(&mut all)?;
        if let Some(other) = all.iter().position(|number| *number != all[0]) {
            return Err(Error::config(format!(
                "processes 0 and {other} of this training have prepared different fits; give all of them the same rows, options and seed, and the same checkpoint if they go on from one"
            )));
        }
        with_run!(&mut self.runs, run => run.join(ranks));
        Ok(())
    }

    /// What the fit will do.
    pub fn plan(&self) -> &Plan {
        &self.identity.plan
    }

    /// Lets the learning rate fall as if the fit had been planned to end at a step, where that is sooner than [`Plan::steps_total`]: for a caller who
    /// will [`Trainer::stop`] it by the clock. A checkpoint does not hold it: a fit that goes on has the rates of its plan again, unless told anew.
    pub fn settle_by(&mut self, step: u64) {
        with_run!(&mut self.runs, run => run.settle_by(step));
    }

    /// The step at which the learning rate has fallen: that of the plan, or of [`Trainer::settle_by`].
    pub fn end(&self) -> u64 {
        with_run!(&self.runs, run => run.end())
    }

    /// Steps taken so far.
    pub fn step(&self) -> u64 {
        with_run!(&self.runs, run => run.state.counters.step)
    }

    /// The course of the losses so far.
    pub fn history(&self) -> Vec<HistoryPoint> {
        with_run!(&self.runs, run => run.state.history.iter().map(point).collect())
    }

    /// The step of the best weights so far, and their validation loss. Where a model has outcomes and numbers, the weights of each are kept by themselves, and together may
    /// be better than at any step.
    pub fn best(&self) -> Option<(u64, f64)> {
        with_run!(&self.runs, run => run.state.best())
    }

    /// Does the next thing (one optimiser step or one validation) and says what it was. Before the end there may be a last
    /// [`Event::Warning`] about the model.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotConverged`] and others from the flow. A loss that is not finite is not an error: see [`Event::RolledBack`].
    pub fn advance(&mut self) -> Result<Event> {
        let event = with_run!(&mut self.runs, run => run.advance())?;
        let ended = matches!(event, Event::Finished { .. });
        if !ended || std::mem::replace(&mut self.examined, true) {
            return Ok(event);
        }
        let mut flow = self.flow.clone();
        let rows = with_run!(&self.runs, run => {
            let (rows, weights) = run.sight(saturation::ROWS_EXAMINED);
            set_weights(&mut flow, weights)?;
            rows
        });
        let Some(warning) = saturation::about(&flow, &rows)? else { return Ok(event) };
        self.warnings.push(warning.clone());
        Ok(Event::Warning(warning))
    }

    /// Ends the fit: the next [`Trainer::advance`] gives [`Event::Finished`] with this reason, unless the fit ended by itself.
    pub fn stop(&mut self, reason: StopReason) {
        with_run!(&mut self.runs, run => run.stop(reason));
    }

    /// Writes everything that [`Trainer::resume`] needs, in one step, keeping the checkpoint before it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`]; the checkpoints on disk are then as they were.
    pub fn save_checkpoint(&self, path: &Path) -> Result<()> {
        checkpoint::write(&self.to_container()?, path)
    }

    /// What a checkpoint of now holds.
    fn to_container(&self) -> Result<Container> {
        let mut container = checkpoint::header(&self.identity)?;
        with_run!(&self.runs, run => run.state.write_into(&mut container)?);
        Ok(container)
    }

    /// Goes on to the end, and gives the model.
    ///
    /// # Errors
    /// As [`Trainer::advance`] and [`Trainer::finish`].
    pub fn run(mut self) -> Result<Model> {
        while !matches!(self.advance()?, Event::Finished { .. }) {}
        self.finish()
    }

    /// The model with the best weights, and how it came about; how long it took, its caller knows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Diverged`] if nothing was learned, [`crate::ErrorKind::Internal`] if the best weights do not score what was
    /// recorded for them.
    pub fn finish(mut self) -> Result<Model> {
        let (step, best_step, valid_loss) = with_run!(&mut self.runs, run => {
            let kept = run.result()?;
            set_weights(&mut self.flow, &kept.weights)?;
            (run.state.counters.step, kept.step, kept.valid_loss)
        });
        let reason = with_run!(&self.runs, run => run.stop_reason());
        let most = match self.identity.plan.loss {
            Loss::Likelihood => ROWS_SCORED,
            Loss::FlowMatching | Loss::OtFlowMatching => ROWS_SCORED_BY_SOLUTION,
        };
        let seen = with_run!(&self.runs, run => run.some_rows(most));
        self.warnings.extend(with_run!(&self.runs, run => run.doubt()));
        let plan = &self.identity.plan;
        let mut summary = TrainingSummary {
            seed: plan.seed,
            rows_train: plan.rows_train,
            rows_valid: plan.rows_valid,
            rows_trimmed: 0,
            steps: step,
            epochs: step as f64 / plan.steps_per_epoch as f64,
            seconds: f64::NAN,
            stop_reason: reason.unwrap_or(StopReason::Interrupted).to_string(),
            best_step,
            valid_log_prob_mean: -valid_loss,
            log_prob_lowest: None,
            log_prob_quantiles: Vec::new(),
            context_ranges: std::mem::take(&mut self.context_ranges),
            context_shares: std::mem::take(&mut self.context_shares),
            evaluations: None,
            warnings: std::mem::take(&mut self.warnings),
            history: self.history(),
            options: serde_json::json!({ "given": self.options, "plan": plan }),
            diffeo_version: env!("CARGO_PKG_VERSION").to_owned(),
            data_fingerprint: self.identity.fingerprint.clone(),
        };
        summary.evaluations = self.evaluations()?;
        let mut model = Model::with_units(self.flow, self.identity.schema, self.units)?;
        let mut log_prob = Vec::new();
        for super::data::Sample { x, context, weights } in &seen {
            log_prob.extend(model.log_prob(x, context.as_ref(), self.threads)?);
            // The validations were those of random subsets.
            if summary.rows_valid > 0 && log_prob.len() == x.len() && model.is_of_subsets() {
                let sum: f64 = log_prob.iter().zip(weights).map(|(l, w)| l * w).sum();
                summary.valid_log_prob_mean = sum / weights.iter().sum::<f64>();
            }
        }
        let log_prob_lowest = Some(log_prob.iter().copied().fold(f64::INFINITY, f64::min));
        let log_prob_quantiles = quantiles(log_prob);
        model.summary = Some(TrainingSummary { log_prob_lowest, log_prob_quantiles, ..summary });
        Ok(model)
    }
}

impl Trainer {
    /// [`TrainingSummary::evaluations`] of the flow as it is.
    fn evaluations(&self) -> Result<Option<f64>> {
        let rows = with_run!(&self.runs, run => run.sight(ROWS_SIGHTED).0);
        let context = rows.context.as_ref().map(tensor_of);
        let found = self.flow.evaluations(tensor_of(&rows.x), context)?;
        Ok((found > 0.0).then_some(found))
    }
}

/// Where quantiles of the log-density are kept: close in the lower tail, which tells rows that are unlike the others.
const SHARES: [f64; 23] = [
    0.0, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7,
    0.8, 0.9, 0.95, 0.98, 0.99, 1.0,
];

/// Quantiles of the finite ones of some log-densities.
fn quantiles(mut log_prob: Vec<f64>) -> Vec<[f64; 2]> {
    log_prob.retain(|v| v.is_finite());
    log_prob.sort_unstable_by(f64::total_cmp);
    let Some(last) = log_prob.len().checked_sub(1) else { return Vec::new() };
    // The row at or below the place, so that a threshold is never above a row that it should spare.
    SHARES.map(|share| [share, log_prob[(share * last as f64) as usize]]).to_vec()
}

struct Parts {
    plan: Plan,
    encoding: Encoding,
    train: Part,
    valid: Option<Part>,
}

impl Parts {
    fn run<T: Element>(self, flow: &Flow, threads: usize) -> Result<Run<T>> {
        let Self { plan, encoding, train, valid } = self;
        let (layout, initial) = flat_weights(flow)?;
        let objective: Box<dyn FlatObjective<T>> = match plan.loss {
            Loss::Likelihood if plan.contrast > 0.0 => Box::new(Contrast::new(flow, plan.contrast)),
            Loss::Likelihood => Box::new(Engine::new(flow)),
            Loss::FlowMatching => Box::new(Matching::new(flow, false)),
            Loss::OtFlowMatching => Box::new(Matching::new(flow, true)),
        };
        Run::new(Setting { plan, objective, layout, encoding, train, valid }, initial, threads)
    }
}

fn point(record: &Record) -> HistoryPoint {
    HistoryPoint {
        step: record.step,
        train_loss: record.train_loss,
        valid_loss: (!record.valid_loss.is_nan()).then_some(record.valid_loss),
        learning_rate: record.learning_rate,
    }
}
