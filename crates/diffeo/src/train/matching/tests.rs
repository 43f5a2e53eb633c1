//! The loss and its gradient, who trades draws with whom, and fits from beginning to end.

use super::*;
use crate::columns::{Column, Schema};
use crate::embedding::DenseEmbeddingSpec;
use crate::engine::{flat_weights, set_weights};
use crate::error::ErrorKind;
use crate::host::random::{Purpose, Streams, below, normal};
use crate::marks::{MarkSpec, MarksSpec};
use crate::model::Model;
use crate::network::{Activation, NetworkSpec};
use crate::presets::{Preset, PresetOptions};
use crate::spec::{FlowSpec, Precision};
use crate::train::{Fit, FitOptions, Loss, Trainer, TrainingData, ValidationChoice};
use crate::transforms::{ContinuousSpec, PermutationSpec};

fn noise(n: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut rng = Streams::new(seed).rng(Purpose::Check, 3, 0);
    (0..n).map(|_| scale * normal(&mut rng)).collect()
}

fn continuous() -> FlowSpec {
    FlowSpec::new(2, vec![ContinuousSpec::new(vec![6, 5]).into()]).in_precision(Precision::F64)
}

/// A mark of three levels and two numbers, given one number.
fn mixed() -> FlowSpec {
    let network = NetworkSpec { hidden: vec![7], residual: false, activation: Default::default() };
    let marks = vec![MarkSpec::Levels { count: 3, last: None }];
    continuous().given(1).with_marks(MarksSpec { marks, network })
}

fn mixed_batch(rows: usize) -> Batch {
    let numbers = noise(2 * rows, 1.0, 1);
    let x = (0..rows).flat_map(|i| [(i % 3) as f64, numbers[2 * i], numbers[2 * i + 1]]);
    Batch {
        context: Some(Rows::new((0..rows).map(|i| (i % 4) as f64).collect(), 1).unwrap()),
        weights: noise(rows, 1.0, 3).iter().map(|w| w.abs()).collect(),
        draws: Some(Draws::new(Streams::new(5), 2, 0)),
        ..Batch::of(Rows::new(x.collect(), 3).unwrap())
    }
}

#[test]
fn gradients_are_those_of_differences_of_the_loss() {
    let network = NetworkSpec { hidden: vec![4], residual: false, activation: Activation::Tanh };
    let embedding = DenseEmbeddingSpec { network, width: 2, members: 1 }.into();
    for spec in [mixed(), mixed().through(Some(embedding))] {
        follow_differences(&spec);
    }
}

fn follow_differences(spec: &FlowSpec) {
    let (mut flow, batch) = (spec.build(1).unwrap(), mixed_batch(45));
    let count = flat_weights::<f64>(&flow).unwrap().1.len();
    set_weights(&mut flow, &noise(count, 0.4, 7)).unwrap();
    // What is masked stays zero.
    flow.visit(&mut |_, p| {
        p.value = p.mask.iter().fold(p.value.clone(), |v, m| v * m.clone());
    });
    let (_, weights) = flat_weights::<f64>(&flow).unwrap();
    let mut objective = Matching::new(&flow, true);
    let mut at = |weights: &[f64], gradient: &mut [f64]| -> Vec<f64> {
        objective.load(weights).unwrap();
        objective.gradient(weights, &batch, gradient).unwrap()
    };
    let mut gradient = vec![0.0; weights.len()];
    let losses = at(&weights, &mut gradient);
    assert_eq!(losses.len(), 45);
    assert!(gradient.iter().filter(|g| **g != 0.0).count() > 60);
    let mut other = vec![0.0; weights.len()];
    for (i, found) in gradient.iter().enumerate().filter(|(_, g)| **g != 0.0) {
        let step = 1e-5;
        let mut moved = |by: f64| -> f64 {
            let mut weights = weights.clone();
            weights[i] += by;
            let losses = at(&weights, &mut other);
            losses.iter().zip(&batch.weights).map(|(loss, weight)| loss * weight).sum()
        };
        let expected = (moved(step) - moved(-step)) / (2.0 * step);
        assert!(
            (found - expected).abs() < 1e-7 * (1.0 + expected.abs()),
            "{i}: {found} {expected}"
        );
    }
}

#[test]
fn a_field_at_rest_misses_by_the_distance_to_the_draws() {
    let flow = continuous().build(1).unwrap();
    let batch = Batch {
        draws: Some(Draws::new(Streams::new(5), 2, 0)),
        ..Batch::of(Rows::new(noise(20, 1.0, 1), 2).unwrap())
    };
    let (_, weights) = flat_weights::<f64>(&flow).unwrap();
    let mut objective = Matching::new(&flow, false);
    objective.load(&weights).unwrap();
    let mut gradient = vec![0.0; weights.len()];
    let losses = objective.gradient(&weights, &batch, &mut gradient).unwrap();
    let [_, ends] = drawn(&batch.x, &batch.draws.unwrap());
    for (row, loss) in losses.iter().enumerate() {
        let squares = ends.row(row).iter().zip(batch.x.row(row)).map(|(z, x)| (z - x).powi(2));
        assert!((loss - squares.sum::<f64>()).abs() < 1e-12, "{row}");
    }
    // A part of the batch has the draws that it has in the whole.
    let later = objective.gradient(&weights, &batch.slice(4..10), &mut gradient).unwrap();
    assert_eq!(later, losses[4..]);
}

#[test]
fn draws_are_traded_for_shorter_ways_among_rows_that_are_alike_only() {
    let n = 300;
    let numbers = Rows::new(noise(2 * n, 1.0, 1), 2).unwrap();
    let given = Rows::new((0..n).map(|i| (i % 3) as f64).collect(), 1).unwrap();
    let mut weights = vec![0.25; n];
    // Alone in its class.
    weights[7] = 0.5;
    let [_, before] = drawn(&numbers, &Draws::new(Streams::new(5), 2, 0));
    let mut after = before.clone();
    transport(&numbers, Some(&given), &weights, &mut after);
    assert_eq!(before.row(7), after.row(7));
    let bits = |ends: &Rows, of: &dyn Fn(usize) -> bool| {
        let rows = (0..n).filter(|row| of(*row));
        let mut rows: Vec<[u64; 2]> =
            rows.map(|row| [0, 1].map(|i| ends.row(row)[i].to_bits())).collect();
        rows.sort_unstable();
        rows
    };
    // Two groups of 150 rows, each with three contexts.
    for group in 0..2 {
        for class in 0..3 {
            let of = |row: usize| row / 150 == group && row % 3 == class;
            assert_eq!(bits(&before, &of), bits(&after, &of));
        }
    }
    let length = |ends: &Rows| -> f64 {
        ends.values().iter().zip(numbers.values()).map(|(z, x)| (z - x).powi(2)).sum()
    };
    assert!(length(&after) < 0.2 * length(&before), "{} {}", length(&after), length(&before));
    // No two rows of a class would do better the other way round.
    for (a, b) in (0..n).flat_map(|a| (0..a).map(move |b| (a, b))) {
        if a / 150 == b / 150 && a % 3 == b % 3 && a != 7 && b != 7 {
            let way = |row: usize, end: usize| -> f64 {
                let pairs = numbers.row(row).iter().zip(after.row(end));
                pairs.map(|(x, z)| (x - z).powi(2)).sum()
            };
            assert!(way(a, a) + way(b, b) < way(a, b) + way(b, a) + 1e-9);
        }
    }
    // A number that no other row has as its context leaves every row its own draw.
    let own = Rows::new((0..n).map(|i| i as f64).collect(), 1).unwrap();
    let mut same = before.clone();
    transport(&numbers, Some(&own), &weights, &mut same);
    assert_eq!(same, before);
}

/// Eight normals of deviation 0.3 on a circle of radius 2.
fn eight(rows: usize) -> Rows {
    let draw = |row: u64| {
        let mut rng = Streams::new(21).rng(Purpose::Check, 0, row);
        let (sin, cos) = (below(&mut rng, 8) as f64 * std::f64::consts::FRAC_PI_4).sin_cos();
        [2.0 * cos + 0.3 * normal(&mut rng), 2.0 * sin + 0.3 * normal(&mut rng)]
    };
    Rows::new((0..rows as u64).flat_map(draw).collect(), 2).unwrap()
}

fn log_eight(x: &[f64]) -> f64 {
    let parts = (0..8).map(|i| {
        let (sin, cos) = (f64::from(i) * std::f64::consts::FRAC_PI_4).sin_cos();
        let square = (x[0] - 2.0 * cos).powi(2) + (x[1] - 2.0 * sin).powi(2);
        (-square / 0.18).exp()
    });
    (parts.sum::<f64>() / (8.0 * std::f64::consts::TAU * 0.09)).ln()
}

#[test]
fn fields_that_were_matched_have_the_exact_likelihood_of_the_truth() {
    let (rows, test) = (eight(3000), eight(4000).slice(3000..4000));
    let preset = PresetOptions { hidden: vec![48, 48], ..PresetOptions::default() };
    let options = FitOptions {
        batch: Some(256),
        learning_rate: Some(5e-3),
        validation: ValidationChoice::Fraction(0.02),
        ..FitOptions::default()
    };
    let fit = Fit::new(Preset::OtFlowMatching).preset_options(preset).options(options).rows(rows);
    let model = fit.steps(1500).threads(2).run().unwrap();
    let found: f64 = model.log_prob(&test, None, 2).unwrap().iter().sum();
    let truth: f64 = (0..test.len()).map(|row| log_eight(test.row(row))).sum();
    let short = (truth - found) / test.len() as f64;
    assert!(short < 0.12, "{short} nats short of the truth");
    let loss = model.summary.unwrap().options["plan"]["loss"].clone();
    assert_eq!(loss, "ot-flow-matching");
}

fn schema() -> Schema {
    Schema::new(["a", "b"].map(Column::real).to_vec(), Vec::new())
}

fn bits(model: &Model) -> Vec<u64> {
    let parameters = model.flow().parameters();
    let values =
        parameters.into_iter().flat_map(|(_, p)| crate::host::linalg::host_values(p).unwrap());
    values.map(f64::to_bits).collect()
}

#[test]
fn fits_have_the_same_bits_on_any_threads_and_after_a_stop_and_know_their_loss() {
    let data = || TrainingData::rows(eight(300));
    let options = |threads, loss| FitOptions {
        loss: Some(loss),
        steps: Some(24),
        batch: Some(100),
        threads,
        validation: ValidationChoice::None,
        ..FitOptions::default()
    };
    let new = |threads, loss| {
        Trainer::new(continuous(), schema(), data(), options(threads, loss)).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let mut seen = Vec::new();
    for loss in [Loss::Likelihood, Loss::FlowMatching, Loss::OtFlowMatching] {
        let whole = bits(&new(1, loss).run().unwrap());
        assert!(bits(&new(3, loss).run().unwrap()) == whole, "{loss} on three threads");
        let mut first = new(1, loss);
        while first.step() < 11 {
            first.advance().unwrap();
        }
        first.save_checkpoint(&path).unwrap();
        let second = Trainer::resume(&path, data(), options(2, loss)).unwrap();
        assert!(bits(&second.run().unwrap()) == whole, "{loss} after a stop");
        seen.push(whole);
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    let error = Trainer::resume(&path, data(), options(1, Loss::FlowMatching)).err().unwrap();
    assert!(error.message().contains("plan.loss was \"ot-flow-matching\""), "{error}");
}

#[test]
fn flows_that_are_no_single_continuous_layer_are_refused_with_what_they_are() {
    let layer = || ContinuousSpec::new(vec![4]).into();
    let heavy = crate::bases::StudentTSpec { dof: 4.0 };
    for (spec, found) in [
        (FlowSpec::new(2, vec![layer(), layer()]), "2 layers"),
        (FlowSpec::new(2, vec![PermutationSpec { order: vec![1, 0] }.into()]), "another type"),
        (FlowSpec::new(2, vec![layer()]).onto(heavy), "another base"),
        (FlowSpec::new(2, vec![]), "no layer"),
    ] {
        let options = FitOptions { loss: Some(Loss::FlowMatching), ..FitOptions::default() };
        let data = TrainingData::rows(eight(50));
        let error = Trainer::new(spec, schema(), data, options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(found), "{error}");
        assert!(error.message().contains("one continuous layer onto the normal base"), "{error}");
    }
    for (name, loss) in Loss::ALL {
        assert_eq!((name.parse::<Loss>().unwrap(), loss.name()), (loss, name));
        assert_eq!(serde_json::to_value(loss).unwrap(), name);
    }
    assert!("matching".parse::<Loss>().unwrap_err().message().contains("ot-flow-matching"));
}
