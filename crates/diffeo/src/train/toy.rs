//! An objective with a known answer, for tests of the loop.

use super::batches::Batch;
use super::data::split;
use super::events::Event;
use super::objective::FlatObjective;
use super::options::FitOptions;
use super::recipe::{Plan, Problem};
use super::run::{Run, Setting};
use crate::columns::{Column, ColumnKind, Encoding, Schema, Units};
use crate::engine::Element;
use crate::engine::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::host::random::{Purpose, Streams, normal};
use crate::host::rows::Rows;
use crate::train::TrainingData;

/// A value whose row has a loss of NaN.
pub(crate) const POISON: f64 = 666.0;
/// A value whose row has a finite loss and an infinite gradient.
pub(crate) const STEEP: f64 = 777.0;

/// A value whose row makes the objective panic, as a bug would.
pub(crate) const BUG: f64 = 888.0;

/// A value whose row makes an iteration not converge.
pub(crate) const UNSOLVED: f64 = 999.0;

/// Independent normals: `d` means, then `d` log-scales.
pub(crate) struct Normals<T> {
    weights: Vec<T>,
}

impl<T: Element> Normals<T> {
    fn row(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let d = x.len();
        let mut gradient = vec![0.0; 2 * d];
        let mut loss = 0.0;
        for (j, x) in x.iter().enumerate() {
            let (mean, log_scale) = (self.weights[j].wide(), self.weights[d + j].wide());
            let z = (x - mean) * (-log_scale).exp();
            loss += 0.5 * z * z + log_scale + 0.918_938_533_204_672_7;
            gradient[j] = -z * (-log_scale).exp();
            gradient[d + j] = 1.0 - z * z;
        }
        assert!(x[0] != BUG, "as a test asked for");
        if x[0] == POISON {
            loss = f64::NAN;
        }
        if x[0] == STEEP {
            gradient[0] = f64::INFINITY;
        }
        (loss, gradient)
    }
}

impl<T: Element> FlatObjective<T> for Normals<T> {
    fn load(&mut self, weights: &[T]) -> Result<()> {
        self.weights = weights.to_vec();
        Ok(())
    }

    fn gradient(&self, _weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>> {
        if (0..batch.weights.len()).any(|i| batch.x.row(i)[0] == UNSOLVED) {
            return Err(Error::new(ErrorKind::NotConverged, "as a test asked for"));
        }
        let mut sum = vec![0.0; gradient.len()];
        let mut losses = Vec::new();
        for (i, weight) in batch.weights.iter().enumerate() {
            let (loss, row) = self.row(batch.x.row(i));
            losses.push(loss);
            sum.iter_mut().zip(row).for_each(|(s, g)| *s += weight * g);
        }
        gradient.iter_mut().zip(sum).for_each(|(g, s)| *g = T::from_f64(s));
        Ok(losses)
    }

    fn losses(&self, _weights: &[T], batch: &Batch) -> Result<Vec<f64>> {
        Ok((0..batch.weights.len()).map(|i| self.row(batch.x.row(i)).0).collect())
    }
}

/// Normals with mean 3 and deviation 2 in two columns.
pub(crate) fn table(rows: usize) -> TrainingData {
    let mut values = Vec::new();
    for row in 0..rows as u64 {
        let mut rng = Streams::new(11).rng(Purpose::Check, 0, row);
        values.extend([3.0 + 2.0 * normal(&mut rng), 3.0 + 2.0 * normal(&mut rng)]);
    }
    TrainingData { x: Rows::new(values, 2).unwrap(), context: None, weights: None }
}

/// Columns of one kind.
pub(crate) fn schema(kind: ColumnKind) -> Schema {
    let column = |name: &str| Column::new(name, kind);
    Schema::new(vec![column("a"), column("b")], Vec::new())
}

/// Short steps on real columns, as many as asked for.
pub(crate) fn options(steps: u64) -> FitOptions {
    FitOptions { steps: Some(steps), learning_rate: Some(0.05), ..FitOptions::default() }
}

/// A run of [`Normals`] from zero.
pub(crate) fn run<T: Element>(
    data: TrainingData,
    kind: ColumnKind,
    options: &FitOptions,
) -> Run<T> {
    let schema = schema(kind);
    let streams = Streams::new(options.seed);
    data.check(&schema).unwrap();
    let (train, valid) = split(data, &options.validation, true, streams).unwrap();
    let mut layout = Layout::default();
    layout.push("mean", 2, true, None);
    layout.push("log_scale", 2, false, None);
    let problem = Problem {
        rows_train: train.len(),
        rows_valid: valid.as_ref().map_or(0, |v| v.len()),
        dims: 2,
        context_dims: 0,
        parameters: layout.len(),
        solved: false,
    };
    let plan = Plan::new(problem, options);
    let objective = Box::new(Normals { weights: Vec::new() });
    let initial = vec![T::ZERO; layout.len()];
    let encoding = Encoding::new(&schema, Units::none(2, 0));
    let setting = Setting { plan, objective, layout, encoding, train, valid };
    Run::new(setting, initial, options.threads).unwrap()
}

/// All that a run says until it ends.
pub(crate) fn events<T: Element>(run: &mut Run<T>) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        all.push(run.advance().unwrap());
        if matches!(all.last(), Some(Event::Finished { .. })) {
            return all;
        }
        assert!(all.len() < 100_000, "a run must end");
    }
}
