//! Rows told from what they would be under other contexts, beside their likelihood.

use super::batches::Batch;
use super::objective::{FlatObjective, negated};
use crate::engine::{Element, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::host::draws::Draws;
use crate::host::random::uniform;
use crate::host::rows::Rows;

/// Pairs that are told apart more surely than this add nothing to speak of to a gradient, and are left out of it: of a model that has learned its context, most.
const DOUBT_MIN: f64 = 1e-3;

/// The likelihood and a contrast of contexts; see [`super::FitOptions::contrast`].
pub(super) struct Contrast<T> {
    engine: Engine<T>,
    weight: f64,
}

/// A row, and another whose context it is compared under.
struct Pair {
    row: usize,
    other: usize,
}

impl<T: Element> Contrast<T> {
    pub(super) fn new(flow: &Flow, weight: f64) -> Self {
        Self { engine: Engine::new(flow), weight }
    }
}

impl<T: Element> FlatObjective<T> for Contrast<T> {
    fn load(&mut self, weights: &[T]) -> Result<()> {
        self.engine.load(weights)
    }

    /// The gradient of `-l + w ln(1 + exp(l' - l))` of each pair is that of log-probabilities weighted by how much the pair is in doubt, which takes their values first.
    fn gradient(&self, weights: &[T], batch: &Batch, gradient: &mut [T]) -> Result<Vec<f64>> {
        let (Some(context), Some(draws)) = (&batch.context, batch.draws) else {
            let message = "a contrast needs a context and random numbers; please report this";
            return Err(Error::new(ErrorKind::Internal, message));
        };
        let exact = Batch { draws: None, ..batch.clone() };
        let pairs = pairs(context, &draws);
        let own = self.engine.log_prob(weights, exact.input())?;
        let other = self.engine.log_prob(weights, exact.under(&[], &pairs).input())?;

        let n = batch.weights.len();
        let mean = batch.weights.iter().sum::<f64>() / n as f64;
        let (mut pulls, mut pushes, mut doubtful) = (batch.weights.clone(), vec![], vec![]);
        for (pair, other) in pairs.into_iter().zip(other) {
            let doubt = 1.0 / (1.0 + (own[pair.row] - other).exp());
            if doubt > DOUBT_MIN {
                let pull = batch.weights[pair.row] * batch.weights[pair.other] / mean;
                let pull = self.weight * doubt * pull;
                pulls[pair.row] += pull;
                pushes.push(-pull);
                doubtful.push(pair);
            }
        }
        pulls.extend(pushes);
        let rows: Vec<usize> = (0..n).collect();
        let both = batch.under(&rows, &doubtful);
        let mut log_prob = self.engine.gradient(weights, both.input(), &pulls, gradient)?;
        log_prob.truncate(n);
        Ok(negated(log_prob))
    }

    fn losses(&self, weights: &[T], batch: &Batch) -> Result<Vec<f64>> {
        Ok(negated(self.engine.log_prob(weights, batch.input())?))
    }
}

impl Batch {
    /// Some rows as they are, and behind them those of pairs under the contexts of the others.
    fn under(&self, rows: &[usize], pairs: &[Pair]) -> Self {
        let of = |member: fn(&Pair) -> usize| -> Vec<usize> {
            rows.iter().copied().chain(pairs.iter().map(member)).collect()
        };
        let (rows, givers) = (of(|pair| pair.row), of(|pair| pair.other));
        let select = |values: &[f64]| rows.iter().map(|&i| values[i]).collect();
        Self {
            x: self.x.select(&rows),
            log_det: select(&self.log_det),
            context: self.context.as_ref().map(|context| context.select(&givers)),
            weights: select(&self.weights),
            draws: self.draws,
        }
    }
}

/// For each row another one of the batch, drawn once; those of the same context, which are told apart by nothing, are left out. To draw until one differs would count rows of frequent contexts more often
/// than they come, and move the optimum. A context of zeros is one that was hidden, of which nothing is to be told.
fn pairs(context: &Rows, draws: &Draws) -> Vec<Pair> {
    let n = context.len();
    let is_hidden = |row: usize| context.row(row).iter().all(|v| *v == 0.0);
    let drawn = (0..n).map(|row| {
        let other = (uniform(&mut draws.rng(row)) * n as f64) as usize;
        Pair { row, other: other.min(n - 1) }
    });
    let differ = |pair: &Pair| context.row(pair.row) != context.row(pair.other);
    drawn.filter(|p| differ(p) && !is_hidden(p.row) && !is_hidden(p.other)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{flat_weights, set_weights};
    use crate::host::random::{Purpose, Streams, fill_normal};
    use crate::presets::{Preset, PresetOptions};
    use crate::spec::Precision;

    fn noise(n: usize, key: u64) -> Vec<f64> {
        let mut values = vec![0.0; n];
        fill_normal(&mut Streams::new(key).rng(Purpose::Estimate, 0, 0), &mut values);
        values
    }

    fn flow() -> Flow {
        let (hidden, precision) = (vec![8], Precision::F64);
        let options =
            PresetOptions { hidden, transforms: 2, precision, ..PresetOptions::default() };
        let mut flow = Preset::NsfCoupling.spec(2, 3, &options).unwrap().build(1).unwrap();
        let count = flat_weights::<f64>(&flow).unwrap().1.len();
        let weights: Vec<f64> = noise(count, 7).iter().map(|v| 0.4 * v).collect();
        set_weights(&mut flow, &weights).unwrap();
        // What is masked stays zero.
        flow.visit(&mut |_, p| {
            p.value = p.mask.iter().fold(p.value.clone(), |v, m| v * m.clone());
        });
        flow
    }

    /// Rows of three classes, some of which are hidden, and that do not count alike.
    fn batch(n: usize) -> Batch {
        let class = |i: usize| (0..3).map(move |k| f64::from(u8::from(i % 4 == k)));
        let context: Vec<f64> = (0..n).flat_map(class).collect();
        Batch {
            context: Some(Rows::new(context, 3).unwrap()),
            weights: (0..n).map(|i| 0.5 + (i % 3) as f64).collect(),
            draws: Some(Draws::new(Streams::new(3), 4, 0)),
            ..Batch::of(Rows::new(noise(2 * n, 1), 2).unwrap())
        }
    }

    #[test]
    fn rows_are_paired_with_others_of_another_class() {
        let (batch, draws) = (batch(400), Draws::new(Streams::new(3), 4, 0));
        let found = pairs(batch.context.as_ref().unwrap(), &draws);
        assert!(
            found.iter().all(|p| p.row % 4 != 3 && p.other % 4 != 3 && p.row % 4 != p.other % 4)
        );
        assert!((120..180).contains(&found.len()), "{}", found.len());
        assert!(pairs(&Rows::new(vec![1.0; 10], 1).unwrap(), &draws).is_empty());
    }

    #[test]
    fn gradients_are_those_of_differences_of_the_loss() {
        let (flow, batch, weight) = (flow(), batch(45), 3.0);
        let (_, weights) = flat_weights::<f64>(&flow).unwrap();
        let mut objective = Contrast::new(&flow, weight);
        let draws = batch.draws.unwrap();
        let found = pairs(batch.context.as_ref().unwrap(), &draws);
        let mean = batch.weights.iter().sum::<f64>() / 45.0;
        let mut loss = |weights: &[f64]| -> f64 {
            objective.load(weights).unwrap();
            let own = objective.engine.log_prob(weights, batch.input()).unwrap();
            let other =
                objective.engine.log_prob(weights, batch.under(&[], &found).input()).unwrap();
            let likelihood: f64 = own.iter().zip(&batch.weights).map(|(l, w)| -l * w).sum();
            let contrast = found.iter().zip(&other).map(|(pair, other)| {
                let apart = other - own[pair.row];
                let counted = f64::from(u8::from(apart > (DOUBT_MIN / (1.0 - DOUBT_MIN)).ln()));
                counted * apart.exp().ln_1p() * batch.weights[pair.row] * batch.weights[pair.other]
                    / mean
            });
            likelihood + weight * contrast.sum::<f64>()
        };
        let step = 1e-5;
        let mut expected = vec![0.0; weights.len()];
        for (i, expected) in expected.iter_mut().enumerate() {
            let mut moved = |by: f64| {
                let mut weights = weights.clone();
                weights[i] += by;
                loss(&weights)
            };
            *expected = (moved(step) - moved(-step)) / (2.0 * step);
        }
        let mut gradient = vec![0.0; weights.len()];
        objective.load(&weights).unwrap();
        let losses = objective.gradient(&weights, &batch, &mut gradient).unwrap();
        assert_eq!(losses, objective.losses(&weights, &batch).unwrap());
        assert!(gradient.iter().filter(|g| **g != 0.0).count() > 60);
        for (i, (found, expected)) in gradient.iter().zip(&expected).enumerate() {
            // Where a weight is masked nothing comes of moving it.
            if *found != 0.0 {
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                    "{i}: {found} {expected}"
                );
            }
        }
    }
}
