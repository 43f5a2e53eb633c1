//! Programs against the tensor engine, whose layers the laws are tested on. The same over all cases of the laws is in `tests/laws`.

use std::ops::Range;

use super::*;
use crate::bases::StudentTSpec;
use crate::columns::{Column, ColumnKind, ImageShape, Schema};
use crate::embedding::{DenseEmbeddingSpec, EmbeddingSpec};
use crate::host::draws::Draws;
use crate::host::random::{Purpose, Streams, normal};
use crate::network::{Activation, NetworkSpec};
use crate::presets::{Preset, PresetOptions};
use crate::spec::FlowSpec;
use crate::transforms::ContractiveActivation::{self, Elu, LipSwish, Tanh};
use crate::transforms::{ChainSpec, LayerSpec, LipschitzNorm};

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
                if let LayerSpec::Autoregressive(layer) = layer
                    && context > 0
                {
                    layer.order = Some((0..d).map(|i| (i + 2) % d).collect());
                }
            }
            let chain = ChainSpec { transforms: spec.transforms.split_off(1) };
            spec.transforms.push(chain.into());
            all.push(spec);
        }
    }
    all.extend([0, 2].map(|context| mixed(context, None)));
    let of = |width, members| Some(embedding(width, members));
    all.extend([mixed(4, of(3, 1)), mixed(2, of(5, 2))]);
    let presets = [Preset::Nsf, Preset::RealNvp, Preset::TMaf, Preset::ResFlow, Preset::Ffjord];
    all.extend(presets.into_iter().zip([1, 2, 2, 4, 1]).map(|(preset, members)| {
        let embedding = of(3, members);
        let options = PresetOptions { embedding, ..small() };
        preset.spec(3, 4, &options).unwrap()
    }));
    let frames = Schema::frames(ImageShape::of_bytes(4, 4, 1), 2).shape();
    let options = PresetOptions { transforms: 1, hidden: vec![12], dequantise: true, ..small() };
    all.push(Preset::NsfImage.spec_for(&frames, &options).unwrap());
    all.extend([(0, 8, LipSwish), (2, 8, LipSwish), (2, 8, Tanh), (0, 8, Elu)].map(contractive));
    all
}

fn small() -> PresetOptions {
    PresetOptions {
        transforms: 2,
        hidden: vec![24, 24],
        precision: Precision::F64,
        ..PresetOptions::default()
    }
}

fn embedding(width: usize, members: usize) -> EmbeddingSpec {
    let network = NetworkSpec { hidden: vec![9, 7], residual: false, activation: Activation::Elu };
    DenseEmbeddingSpec { network, width, members }.into()
}

/// Residual layers inside a chain, which have other random numbers there, and log-determinants that are exact up to so many columns.
fn contractive(
    (context, exact_dims, activation): (usize, usize, ContractiveActivation),
) -> FlowSpec {
    let options = PresetOptions {
        transforms: 3,
        hidden: vec![12, 9],
        precision: Precision::F64,
        ..PresetOptions::default()
    };
    let mut spec = Preset::ResFlow.spec(5, context, &options).unwrap();
    for (i, layer) in spec.transforms.iter_mut().enumerate() {
        if let LayerSpec::Residual(layer) = layer {
            (layer.exact_dims, layer.activation, layer.lipschitz) = (exact_dims, activation, 0.8);
            layer.norm = if i == 0 { LipschitzNorm::Infinity } else { LipschitzNorm::Spectral };
        }
    }
    let chain = ChainSpec { transforms: spec.transforms.split_off(1) };
    spec.transforms.push(chain.into());
    spec
}

/// Marks of every kind, and numbers that may be absent. Random rows have marks that are not known or not one, too.
fn mixed(context: usize, embedding: Option<EmbeddingSpec>) -> FlowSpec {
    let levels = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
    let real = |name: &str| Column::real(name);
    let columns = vec![
        Column::category("a", levels(3)),
        Column { masses: vec![0.0], ..real("x") },
        Column { holes: true, ..real("y") },
        Column::new("t", ColumnKind::Periodic { low: 0.0, high: 1.0 }),
        Column::category("b", levels(70)),
        real("z"),
    ];
    let schema = Schema::new(columns, (0..context).map(|i| real(&format!("c{i}"))).collect());
    let options = PresetOptions { embedding, ..small() };
    let preset = if context == 0 { Preset::Nsf } else { Preset::NsfCoupling };
    preset.spec_for(&schema.shape(), &options).unwrap()
}

/// Rows with what came before, and their contexts.
struct Batch {
    x: Rows,
    log_det: Vec<f64>,
    context: Option<Rows>,
    weights: Vec<f64>,
}

impl Batch {
    fn new(spec: &FlowSpec) -> Self {
        let context = (spec.context_dims > 0).then(|| {
            Rows::new(noise(ROWS * spec.context_dims, 1.0, 2), spec.context_dims).unwrap()
        });
        Self {
            x: Rows::new(noise(ROWS * spec.dims, 1.5, 1), spec.dims).unwrap(),
            log_det: noise(ROWS, 1.0, 4),
            context,
            weights: noise(ROWS, 1.0, 3).iter().map(|w| w.abs()).collect(),
        }
    }

    fn input(&self) -> Input<'_> {
        let context = self.context.as_ref();
        Input { x: &self.x, log_det: &self.log_det, context, draws: None }
    }
}

#[track_caller]
fn close(found: &[f64], expected: &[f64], limit: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= limit * (1.0 + e.abs()), "{what} {i}: found {f}, expected {e}");
    }
}

#[test]
fn densities_and_gradients_equal_those_of_the_tensor_engine() {
    cases().iter().for_each(|spec| equal_those_of_the_tensor_engine(spec, None));
}

#[test]
fn estimates_in_training_equal_those_of_the_tensor_engine() {
    let draws = Some(Draws::new(Streams::new(1), 5, 2));
    for spec in [(0, 4, LipSwish), (2, 0, LipSwish), (2, 4, Tanh), (0, 0, Elu)].map(contractive) {
        equal_those_of_the_tensor_engine(&spec, draws);
    }
}

fn equal_those_of_the_tensor_engine(spec: &FlowSpec, draws: Option<Draws>) {
    let flow = spec.build(1).unwrap();
    let weights = weights::<f64>(&flow);
    let batch = Batch::new(spec);
    let input = Input { draws, ..batch.input() };
    let mut tensors = Engine::<f64>::of_tensors(&flow);
    tensors.load(&weights).unwrap();
    let mut expected = vec![0.0; weights.len()];
    let densities = tensors.gradient(&weights, input, &batch.weights, &mut expected).unwrap();

    let mut engine = Engine::<f64>::new(&flow);
    assert!(engine.has_program(), "every layer has a step");
    engine.load(&weights).unwrap();
    // Twice: the second time with buffers that hold the first one's numbers.
    for _ in 0..2 {
        let mut gradient = vec![0.0; weights.len()];
        let log_prob = engine.gradient(&weights, input, &batch.weights, &mut gradient).unwrap();
        close(&log_prob, &densities, 1e-11, "density");
        // A gradient is a sum over rows, of terms that may be as large as the largest gradient.
        let largest = expected.iter().fold(0.0f64, |top, g| top.max(g.abs()));
        close(&gradient, &expected, 1e-10 + 1e-13 * largest, "gradient");
        let scored = engine.log_prob(&weights, batch.input()).unwrap();
        assert_eq!(
            scored == log_prob,
            draws.is_none(),
            "scoring gives the same bits as training, where nothing is estimated"
        );
    }
}

#[test]
fn members_may_come_in_any_order_and_a_whole_may_not() {
    for (members, same) in [(3, true), (1, false)] {
        let options = PresetOptions { embedding: Some(embedding(2, members)), ..small() };
        let flow = Preset::Maf.spec(2, 6, &options).unwrap().build(1).unwrap();
        let weights = weights::<f64>(&flow);
        let mut engine = Engine::<f64>::new(&flow);
        engine.load(&weights).unwrap();
        let x = Rows::new(vec![0.3, -0.4, 0.3, -0.4], 2).unwrap();
        let context = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.5, 0.6, 0.1, 0.2, 0.3, 0.4];
        let context = Rows::new(context.to_vec(), 6).unwrap();
        let input = Input { x: &x, log_det: &[0.0; 2], context: Some(&context), draws: None };
        let found = engine.log_prob(&weights, input).unwrap();
        assert_eq!((found[0] - found[1]).abs() < 1e-12, same, "{members}: {found:?}");
    }
}

#[test]
fn an_embedding_that_fits_no_context_is_refused() {
    let refused = |context, width, members| {
        let options = PresetOptions { embedding: Some(embedding(width, members)), ..small() };
        Preset::Maf.spec(2, context, &options).unwrap_err().message().to_owned()
    };
    assert!(refused(0, 3, 1).contains("no context to embed"));
    assert!(refused(5, 3, 2).contains("5 numbers is not 2 members"));
    assert!(refused(4, 0, 2).contains("expected a width"));
    assert!(refused(4, 3, 0).contains("0 members"));
}

#[test]
fn a_row_has_the_same_bits_whatever_the_other_rows_are() {
    for spec in cases() {
        let flow = spec.build(1).unwrap();
        let weights = weights::<f64>(&flow);
        let batch = Batch::new(&spec);
        let mut engine = Engine::<f64>::new(&flow);
        engine.load(&weights).unwrap();
        let score = |rows: Range<usize>| {
            let context = batch.context.as_ref().map(|c| c.slice(rows.clone()));
            let (x, log_det) = (batch.x.slice(rows.clone()), &batch.log_det[rows]);
            let input = Input { x: &x, log_det, context: context.as_ref(), draws: None };
            engine.log_prob(&weights, input).unwrap()
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
    assert!(!Engine::<f32>::new(&iaf).has_program());
    let maf = Preset::Maf.spec(3, 0, &options).unwrap();
    assert!(Engine::<f32>::new(&maf.build(1).unwrap()).has_program());
    let heavy = maf.onto(StudentTSpec { dof: 4.0 });
    assert!(!Engine::<f32>::new(&heavy.build(1).unwrap()).has_program());
}

#[test]
fn rows_that_are_not_finite_are_scored_by_one_rule_on_both_ways() {
    let options = PresetOptions { hidden: vec![8], ..PresetOptions::default() };
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let x = Rows::new(vec![0.1, inf, nan, inf, 0.2, 0.3, 1e39, 0.0], 2).unwrap();
    for preset in [Preset::Maf, Preset::Iaf] {
        let flow = preset.spec(2, 0, &options).unwrap().build(1).unwrap();
        let input = Input { x: &x, log_det: &[0.0; 4], context: None, draws: None };
        let found = scorer(&flow).unwrap().log_prob(input).unwrap();
        assert!(found[1].is_nan() && found[2].is_finite(), "{found:?}");
        assert_eq!([found[0], found[3]], [-inf; 2], "beyond the largest f32 is infinite");
    }
}
