//! Programs against the tensor engine, whose layers the laws are tested on.

use super::*;
use crate::element::Element;
use crate::flat::{flat_weights, set_weights};
use crate::nn::Activation;
use crate::presets::{Preset, PresetOptions};
use crate::random::{Purpose, Streams, normal};
use crate::spec::{FlowSpec, Precision};
use crate::train::{Batch, FlowObjective, Objective};

const ROWS: usize = 37;

fn noise(n: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut rng = Streams::new(seed).rng(Purpose::Check, 3, 0);
    (0..n).map(|_| scale * normal(&mut rng)).collect()
}

/// Weights far from the start, masked ones zero.
fn weights<T: Element>(flow: &Flow) -> Vec<T> {
    let (layout, _) = flat_weights::<T>(flow).unwrap();
    let mut all = vec![T::ZERO; layout.len()];
    let values = noise(all.len(), 0.3, 5);
    let mut start = 0;
    for piece in layout.pieces(layout.len()) {
        for (run, _) in piece.runs {
            for i in run {
                all[start + i] = T::from_f64(values[start + i]);
            }
        }
        start += piece.len;
    }
    // Runs close short gaps of the mask; a round trip through the flow does not.
    let mut masked = flow.clone();
    set_weights(&mut masked, &all).unwrap();
    masked.visit(&mut |_, p| {
        p.value = p.mask.iter().fold(p.value.clone(), |v, m| v * m.clone());
    });
    flat_weights(&masked).unwrap().1
}

fn cases() -> Vec<FlowSpec> {
    let mut all = Vec::new();
    for (preset, d) in
        [(Preset::Nsf, 5), (Preset::Maf, 4), (Preset::NsfCoupling, 5), (Preset::RealNvp, 3)]
    {
        let (tanh, relu, elu) = (Activation::Tanh, Activation::Relu, Activation::Elu);
        for (context, residual, activation, hidden) in [
            (0, false, tanh, 3),
            (2, false, relu, 3),
            (3, false, elu, 1),
            (0, true, tanh, 3),
            (3, true, relu, 3),
            (2, true, elu, 3),
        ] {
            let options = PresetOptions {
                transforms: 2,
                hidden: vec![24; hidden],
                residual,
                activation,
                precision: Precision::F64,
                ..PresetOptions::default()
            };
            let mut spec = preset.spec(d, context, &options).unwrap();
            for layer in &mut spec.transforms {
                if let LayerSpec::Autoregressive { order, .. } = layer
                    && context > 0
                {
                    *order = Some((0..d).map(|i| (i + 2) % d).collect());
                }
            }
            let units = LayerSpec::Standardize { center: noise(d, 1.0, 8), scale: vec![1.5; d] };
            spec.transforms.insert(0, units);
            all.push(spec);
        }
    }
    all
}

fn batch(spec: &FlowSpec) -> Batch {
    Batch {
        x: Rows::new(noise(ROWS * spec.dims, 1.5, 1), spec.dims).unwrap(),
        context: (spec.context_dims > 0).then(|| {
            Rows::new(noise(ROWS * spec.context_dims, 1.0, 2), spec.context_dims).unwrap()
        }),
        weights: noise(ROWS, 1.0, 3).iter().map(|w| w.abs()).collect(),
    }
}

fn close(found: &[f64], expected: &[f64], limit: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= limit * (1.0 + e.abs()), "{what} {i}: found {f}, expected {e}");
    }
}

#[test]
fn densities_and_gradients_equal_those_of_the_tensor_engine() {
    for spec in cases() {
        let flow = spec.build(1).unwrap();
        let weights = weights::<f64>(&flow);
        let batch = batch(&spec);
        let mut engine = FlowObjective::<f64>::new(&flow);
        engine.load(&weights).unwrap();
        let mut expected = vec![0.0; weights.len()];
        let losses = engine.gradient(&weights, &batch, &mut expected).unwrap();

        let mut program = Program::<f64>::new(&flow).expect("every layer has a step");
        program.load(&weights);
        let input = Input { x: &batch.x, context: batch.context.as_ref() };
        // Twice: the second time with buffers that hold the first one's numbers.
        for _ in 0..2 {
            let mut gradient = vec![0.0; weights.len()];
            let log_prob =
                program.gradient(&weights, input, &batch.weights, &mut gradient).unwrap();
            let found: Vec<f64> = log_prob.iter().map(|p| -p).collect();
            close(&found, &losses, 1e-11, "loss");
            // A gradient is a sum over rows, of terms that may be as large as the largest gradient.
            let largest = expected.iter().fold(0.0f64, |top, g| top.max(g.abs()));
            close(&gradient, &expected, 1e-10 + 1e-13 * largest, "gradient");
            let scored = program.log_prob(&weights, input).unwrap();
            assert_eq!(scored, log_prob, "scoring and training give the same bits");
        }
    }
}

#[test]
fn a_row_has_the_same_bits_whatever_the_other_rows_are() {
    for spec in cases() {
        let flow = spec.build(1).unwrap();
        let weights = weights::<f64>(&flow);
        let batch = batch(&spec);
        let mut program = Program::<f64>::new(&flow).unwrap();
        program.load(&weights);
        let score = |rows: Range<usize>| {
            let context = batch.context.as_ref().map(|c| c.slice(rows.clone()));
            let x = batch.x.slice(rows);
            let input = Input { x: &x, context: context.as_ref() };
            program.log_prob(&weights, input).unwrap()
        };
        let all = score(0..ROWS);
        for rows in [0..1, 3..5, 7..ROWS] {
            assert_eq!(score(rows.clone()), all[rows]);
        }
    }
}

#[test]
fn a_flow_with_a_part_that_has_no_step_has_no_program() {
    let options = PresetOptions { hidden: vec![8], ..PresetOptions::default() };
    let iaf = Preset::Iaf.spec(3, 0, &options).unwrap().build(1).unwrap();
    assert!(Program::<f32>::new(&iaf).is_none());
    let mut spec = Preset::Maf.spec(3, 0, &options).unwrap();
    spec.base = crate::spec::BaseSpec::StudentT { dof: 4.0 };
    assert!(Program::<f32>::new(&spec.build(1).unwrap()).is_none());
}
