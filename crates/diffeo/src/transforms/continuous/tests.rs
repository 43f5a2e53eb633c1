//! Estimates in training, the two ways to run, and what a description refuses.

use burn::tensor::{Device, TensorData};

use super::*;
use crate::engine::{Engine, Input, flat_weights};
use crate::flow::Flow;
use crate::host::linalg::host_values;
use crate::host::random::{Purpose, Streams, normal};
use crate::host::rows::Rows;
use crate::spec::{FlowSpec, Precision};
use crate::transforms::{ActNormSpec, ChainSpec, InvertedSpec, LayerSpec};

fn noise(n: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut rng = Streams::new(seed).rng(Purpose::Check, 3, 0);
    (0..n).map(|_| scale * normal(&mut rng)).collect()
}

/// A flow of layers with weights far from the start.
fn flow(dims: usize, context: usize, layers: Vec<LayerSpec>) -> Flow {
    let spec = FlowSpec::new(dims, layers).given(context).in_precision(Precision::F64);
    let mut flow = spec.build(3).unwrap();
    let mut seed = 0;
    flow.visit(&mut |_, p| {
        let [n, m] = p.value.dims();
        seed += 1;
        let values = TensorData::new(noise(n * m, 0.4, seed), [n, m]);
        p.value = Tensor::from_data(values, (&Device::flex(), DType::F64));
    });
    flow
}

fn estimating(tolerance: f64) -> ContinuousSpec {
    let adaptive = ToleranceSpec { training: tolerance, ..ToleranceSpec::default() };
    let solver = SolverSpec::Adaptive(adaptive);
    ContinuousSpec { exact_columns: 1, solver, ..ContinuousSpec::new(vec![9, 7]) }
}

#[test]
fn programs_and_tensors_make_the_same_estimates_in_training() {
    // The layers draw for themselves, one inside another one too.
    let inner = ChainSpec { transforms: vec![estimating(1e-6).into(), estimating(1e-5).into()] };
    let penalty = PenaltySpec { kinetic: 0.2, jacobian: 0.1 };
    let first = ContinuousSpec { penalty, ..estimating(1e-5) };
    let flow = flow(3, 2, vec![first.into(), inner.into()]);
    let (n, mut results) = (41, Vec::new());
    let x = Rows::new(noise(n * 3, 1.0, 50), 3).unwrap();
    let context = Rows::new(noise(n * 2, 1.0, 51), 2).unwrap();
    let (_, weights) = flat_weights::<f64>(&flow).unwrap();
    let draws = Draws::new(Streams::new(8), 5, 0);
    for (i, mut engine) in [Engine::new(&flow), Engine::of_tensors(&flow)].into_iter().enumerate() {
        assert_eq!(engine.has_program(), i == 0);
        engine.load(&weights).unwrap();
        for draws in [None, Some(draws)] {
            let (context, log_det) = (Some(&context), &vec![0.0; n][..]);
            let input = Input { x: &x, log_det, context, draws };
            let mut gradient = vec![0.0; weights.len()];
            let row_weights = vec![0.7; n];
            let found = engine.gradient(&weights, input, &row_weights, &mut gradient).unwrap();
            results.push([found, gradient]);
        }
    }
    let [exact, estimate, exact_by_tensors, estimate_by_tensors] = &results[..] else { panic!() };
    for (by_program, by_tensors) in [(exact, exact_by_tensors), (estimate, estimate_by_tensors)] {
        for (a, b) in by_program.iter().flatten().zip(by_tensors.iter().flatten()) {
            assert!((a - b).abs() < 1e-9 * (1.0 + b.abs()), "{a} {b}");
        }
    }
    let off = exact[0].iter().zip(&estimate[0]).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f64::max) > 0.05, "the estimates are none");
}

#[test]
fn estimates_of_the_log_determinant_have_the_exact_one_as_their_mean() {
    let spec = estimating(1e-6);
    let flow = flow(5, 0, vec![spec.into()]);
    let layer = &flow.chain().layers()[0];
    let (copies, row) = (4000, noise(5, 1.0, 9));
    let data = TensorData::new(row.repeat(copies), [copies, 5]);
    let x = Tensor::from_data(data, (&Device::flex(), DType::F64));
    let draws = Some(Draws::new(Streams::new(1), 0, 0));
    let given = Given { context: None, draws };
    let found = host_values(layer.forward(x.clone(), &given).unwrap().log_det).unwrap();
    let exact = layer.forward(x.narrow(0, 0, 1), &Given::default()).unwrap().log_det;
    let exact = host_values(exact).unwrap()[0];
    let mean = found.iter().sum::<f64>() / copies as f64;
    let variance = found.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / copies as f64;
    let deviation = (variance / copies as f64).sqrt();
    assert!(
        deviation > 1e-4 && (mean - exact).abs() < 4.0 * deviation,
        "{mean} {exact} {deviation}"
    );
}

#[test]
fn a_penalty_counts_in_training_alone_and_against_the_way_in_either_direction() {
    let penalty = PenaltySpec { kinetic: 0.2, jacobian: 0.1 };
    let of = |penalty| {
        flow(2, 0, vec![ContinuousSpec { penalty, ..ContinuousSpec::new(vec![9]) }.into()])
    };
    let [with, without] = [penalty, PenaltySpec::default()].map(of);
    let x = Tensor::from_data(
        TensorData::new(noise(20, 1.0, 4), [10, 2]),
        (&Device::flex(), DType::F64),
    );
    let map = |flow: &Flow, draws, inverse| {
        let (layer, given) = (&flow.chain().layers()[0], Given { context: None, draws });
        let mapped = match inverse {
            false => layer.forward(x.clone(), &given),
            true => layer.inverse(x.clone(), &given),
        };
        host_values(mapped.unwrap().log_det).unwrap()
    };
    let draws = Some(Draws::new(Streams::new(1), 0, 0));
    for inverse in [false, true] {
        assert_eq!(map(&with, None, inverse), map(&without, None, inverse));
        let pairs = map(&with, draws, inverse).into_iter().zip(map(&without, draws, inverse));
        // A density of rows that are mapped to the base has it added, one of draws taken off, and both losses grow.
        assert!(pairs.clone().all(|(with, without)| with < without), "{pairs:?}");
    }
}

#[test]
fn evaluations_are_counted_and_grow_with_the_accuracy() {
    let with = |exact| {
        let solver =
            SolverSpec::Adaptive(ToleranceSpec { exact: Some(exact), ..ToleranceSpec::default() });
        let layer = ContinuousSpec { solver, ..ContinuousSpec::new(vec![9]) };
        let flow = flow(2, 1, vec![layer.clone().into(), layer.into()]);
        let rows = |n: usize, width: usize, seed| {
            let data = TensorData::new(noise(n * width, 1.0, seed), [n, width]);
            Tensor::from_data(data, (&Device::flex(), DType::F64))
        };
        flow.evaluations(rows(40, 2, 4), Some(rows(40, 1, 5))).unwrap()
    };
    let (coarse, fine) = (with(1e-3), with(1e-7));
    assert!(coarse > 14.0 && coarse < fine && fine < 1000.0, "{coarse} {fine}");
    let four = SolverSpec::Fixed(3);
    let layer = ContinuousSpec { solver: four, ..ContinuousSpec::new(vec![9]) };
    let x = Tensor::from_data(TensorData::new(vec![0.5; 2], [1, 2]), (&Device::flex(), DType::F64));
    // The field at the start, then four stages a step.
    assert_eq!(flow(2, 0, vec![layer.into()]).evaluations(x, None).unwrap(), 13.0);
}

#[test]
fn a_path_leads_through_the_places_of_a_way_to_where_its_layers_end() {
    let spec = |solver| ContinuousSpec { solver, ..ContinuousSpec::new(vec![9]) };
    let of = |solver| flow(2, 1, vec![spec(solver).into(), ActNormSpec {}.into()]);
    let rows = |n: usize, width: usize, seed| {
        let data = TensorData::new(noise(n * width, 1.0, seed), [n, width]);
        Tensor::<2>::from_data(data, (&Device::flex(), DType::F64))
    };
    let (x, context) = (rows(40, 2, 4), rows(40, 1, 5));
    let path = |flow: &Flow, stops| {
        let places = flow.path(x.clone(), Some(context.clone()), stops).unwrap();
        places.into_iter().map(|place| host_values(place).unwrap()).collect::<Vec<_>>()
    };
    let far =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let (adaptive, fixed) = (of(SolverSpec::default()), of(SolverSpec::Fixed(200)));
    let [found, expected] = [path(&adaptive, 5), path(&fixed, 5)];
    // The start, five places of the solution, the end of the other layer.
    assert_eq!(found.len(), 7);
    for (found, expected) in found.iter().zip(&expected) {
        assert!(far(found, expected) < 1e-5, "{}", far(found, expected));
    }
    assert!(found.windows(2).all(|pair| far(&pair[0], &pair[1]) > 0.01), "rows stood still");
    assert_eq!(found[0], host_values(x.clone()).unwrap());
    let z = adaptive.to_base(x.clone(), Some(context.clone())).unwrap().value;
    assert!(far(found.last().unwrap(), &host_values(z).unwrap()) < 1e-6);
    let error = adaptive.path(x, Some(context), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn the_path_of_an_inverse_is_walked_back() {
    let layer: LayerSpec = ContinuousSpec::new(vec![9]).into();
    let inverted: LayerSpec = InvertedSpec::of(layer.clone()).into();
    let [there, back] = [layer, inverted].map(|layer| flow(2, 0, vec![layer]));
    let x = Tensor::from_data(
        TensorData::new(noise(12, 1.0, 4), [6, 2]),
        (&Device::flex(), DType::F64),
    );
    let there = there.path(x, None, 4).unwrap();
    let back = back.path(there[4].clone(), None, 4).unwrap();
    for (there, back) in there.into_iter().zip(back.into_iter().rev()) {
        let [there, back] = [there, back].map(|place| host_values(place).unwrap());
        assert!(there.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-5), "{there:?} {back:?}");
    }
}

#[test]
fn a_fixed_number_of_steps_is_as_good_as_it_is_many() {
    let of = |solver| ContinuousSpec { solver, ..ContinuousSpec::new(vec![9]) };
    let log_prob = |solver| {
        let flow = flow(2, 0, vec![of(solver).into()]);
        let x = Tensor::from_data(
            TensorData::new(noise(20, 1.0, 4), [10, 2]),
            (&Device::flex(), DType::F64),
        );
        host_values(flow.log_prob(x, None).unwrap()).unwrap()
    };
    let exact = log_prob(SolverSpec::default());
    let error = |steps| {
        let found = log_prob(SolverSpec::Fixed(steps));
        found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(error(40) < 1e-5 && error(80) < error(40) / 8.0, "{} {}", error(40), error(80));
}

#[test]
fn descriptions_are_read_and_refused() {
    let read = |text: &str| serde_json::from_str::<LayerSpec>(text);
    let least = read(r#"{"type": "continuous", "hidden": [8]}"#).unwrap();
    assert_eq!(least, ContinuousSpec::new(vec![8]).into());
    let fixed = read(r#"{"type": "continuous", "hidden": [8], "solver": {"fixed": 20}}"#).unwrap();
    let text = serde_json::to_string(&fixed).unwrap();
    assert!(text.contains(r#""solver":{"fixed":20}"#), "{text}");
    let adaptive = r#"{"type": "continuous", "hidden": [8], "activation": "softplus",
        "solver": {"adaptive": {"training": 1e-4, "exact": 1e-8}}, "exact_columns": 3,
        "penalty": {"kinetic": 0.1}}"#;
    assert_eq!(
        read(&serde_json::to_string(&read(adaptive).unwrap()).unwrap()).unwrap(),
        read(adaptive).unwrap()
    );
    assert!(read(r#"{"type": "continuous", "hidden": [8], "tolerance": 1}"#).is_err());
    let at = Place::new(2, 0);
    let with = |solver| ContinuousSpec { solver, ..ContinuousSpec::new(vec![8]) };
    let tolerance =
        |training| SolverSpec::Adaptive(ToleranceSpec { training, ..ToleranceSpec::default() });
    let priced = |jacobian| {
        let penalty = PenaltySpec { jacobian, ..PenaltySpec::default() };
        ContinuousSpec { penalty, ..ContinuousSpec::new(vec![8]) }
    };
    for (spec, expected) in [
        (ContinuousSpec::new(vec![]), "hidden layers"),
        (with(SolverSpec::Fixed(0)), "number of steps"),
        (with(tolerance(0.5)), "tolerances"),
        (with(tolerance(f64::NAN)), "tolerances"),
        (priced(-1.0), "penalty"),
        (priced(f64::NAN), "penalty"),
    ] {
        let error = spec.validate(at).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    }
}

#[test]
fn what_is_counted_is_what_is_built() {
    for (dims, context) in [(1, 0), (3, 2)] {
        let spec = ContinuousSpec::new(vec![7, 4]);
        let place = Place::new(dims, context);
        let mut init = Init::new(1, DType::F32, Device::flex());
        let mut layer = spec.build(place, &mut init).unwrap();
        let mut count = 0;
        layer.visit(&mut |_, p| count += p.value.dims().iter().product::<usize>() as u64);
        assert_eq!(spec.count(place), Some(count));
    }
}

#[test]
fn an_equation_that_is_not_solved_is_an_error_that_says_when() {
    let solver = SolverSpec::Adaptive(ToleranceSpec { steps_max: 3, ..ToleranceSpec::default() });
    let flow = flow(2, 0, vec![ContinuousSpec { solver, ..ContinuousSpec::new(vec![9]) }.into()]);
    let x = Tensor::from_data(TensorData::new(vec![1.0; 4], [2, 2]), (&Device::flex(), DType::F64));
    let error = flow.log_prob(x, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConverged);
    assert!(error.message().contains("beyond t = 0."), "{error}");
    let x = Rows::new(vec![1.0; 4], 2).unwrap();
    let mut engine = Engine::<f64>::new(&flow);
    let (_, weights) = flat_weights::<f64>(&flow).unwrap();
    engine.load(&weights).unwrap();
    let input = Input { x: &x, log_det: &[0.0; 2], context: None, draws: None };
    assert_eq!(engine.log_prob(&weights, input).unwrap_err().kind(), ErrorKind::NotConverged);
}
