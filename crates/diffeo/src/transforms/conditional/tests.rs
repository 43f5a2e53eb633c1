//! The gradient through the fast inverse against autodiff through a pass of the network for each column.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};

use super::*;
use crate::conditioner::{GraphSpec, MaskedSpec, RecurrentSpec, TransformerSpec};
use crate::host::linalg::host_values;
use crate::monotone::{Affine, RationalQuadratic};
use crate::network::{Activation, NetworkSpec};

const ROWS: usize = 70;

/// What a layer is made of.
#[derive(Clone, Debug)]
struct Shape {
    monotone: MonotoneSpec,
    conditioner: ConditionerSpec,
    dims: usize,
    context: usize,
}

/// Numbers between -1 and 1 that depend on the seed only.
fn noise(shape: [usize; 2], seed: u64, dtype: DType) -> Tensor<2> {
    let mut init = Init::new(seed, DType::F64, Device::flex());
    let values = init.uniform(shape, 1.0);
    values.cast(dtype)
}

fn host(tensor: Tensor<2>) -> Vec<f64> {
    host_values(tensor).unwrap()
}

fn shapes() -> Vec<Shape> {
    let affine = || MonotoneSpec::Affine(Affine::default());
    let spline = || MonotoneSpec::RationalQuadratic(RationalQuadratic { bins: 5, bound: 3.0 });
    let mut shapes = Vec::new();
    for (dims, order) in [(1, vec![0]), (2, vec![1, 0]), (5, vec![3, 0, 4, 1, 2])] {
        for (residual, activation) in
            [(false, Activation::Tanh), (true, Activation::Elu), (false, Activation::Relu)]
        {
            for monotone in [affine(), spline()] {
                for context in [0, 3] {
                    let network = NetworkSpec { hidden: vec![19, 19, 19], residual, activation };
                    let of = |order| MaskedSpec { network: network.clone(), order }.into();
                    let parents = |i: usize| {
                        [i + 1, i + 3].into_iter().filter(|&parent| parent < dims).collect()
                    };
                    let parents = (0..dims).map(parents).collect();
                    let graph = GraphSpec { network: network.clone(), parents }.into();
                    for conditioner in [graph, of(None), of(Some(order.clone()))] {
                        let monotone = monotone.clone();
                        shapes.push(Shape { monotone, conditioner, dims, context });
                    }
                }
            }
        }
    }
    shapes
}

/// The layer with weights that are nowhere zero but where masked.
fn layer(shape: &Shape, dtype: DType) -> Conditional {
    let mut init = Init::new(1, dtype, Device::flex());
    let (at, k) = (Place::new(shape.dims, shape.context), shape.monotone.params_per_dim());
    let conditioner = shape.conditioner.build(at, k, &mut init).unwrap();
    let map = shape.monotone.build(&mut init);
    let mut layer = Conditional::new(conditioner, map, &init.device).unwrap();
    let mut seed = 10;
    layer.visit(&mut |_, p| {
        seed += 1;
        let value = noise(p.value.dims(), seed, dtype).mul_scalar(0.5);
        p.value = p.mask.iter().fold(value, |value, mask| value * mask.clone());
    });
    layer
}

/// What is computed from `z` and, by name, the gradients of a loss by everything.
fn outcome(shape: &Shape, dtype: DType, fast: bool) -> BTreeMap<String, Vec<f64>> {
    let mut layer = layer(shape, dtype);
    let leaf = |t: Tensor<2>| t.autodiff().require_grad();
    let mut leaves = BTreeMap::new();
    let mut masks = BTreeMap::new();
    layer.visit(&mut |name, p| {
        p.value = leaf(p.value.clone());
        leaves.insert(name.to_owned(), p.value.clone());
        masks.extend(p.mask.clone().map(|mask| (name.to_owned(), host(mask))));
    });
    let z = leaf(noise([ROWS, shape.dims], 2, dtype).mul_scalar(3.5));
    leaves.insert("z".into(), z.clone());
    let context = (shape.context > 0).then(|| leaf(noise([ROWS, shape.context], 3, dtype)));
    leaves.extend(context.clone().map(|context| ("c".into(), context)));
    let given = Given::context(context.as_ref());
    let solved = if fast {
        layer.solve_at_once(&z, &given).expect("a kernel")
    } else {
        layer.solve(&z, &given).unwrap()
    };
    let value = layer.joined(&z, solved.value);
    let mut found = BTreeMap::from([
        ("value".to_owned(), host(value.clone())),
        ("log_slope".to_owned(), host(solved.log_slope.clone())),
    ]);
    let loss = value * noise([ROWS, shape.dims], 4, dtype)
        + solved.log_slope * noise([ROWS, shape.dims], 5, dtype);
    let gradients = loss.sum().backward();
    for (name, leaf) in leaves {
        let gradient =
            host(leaf.grad(&gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like()));
        if let Some(mask) = masks.get(&name) {
            let masked = gradient.iter().zip(mask).filter(|(_, mask)| **mask == 0.0);
            assert!(masked.clone().all(|(g, _)| *g == 0.0), "{shape:?}: {name} is masked");
        }
        found.insert(name, gradient);
    }
    found
}

/// The numbers of two outcomes agree, relative to the largest of their kind.
fn agree(
    shape: &Shape,
    found: &BTreeMap<String, Vec<f64>>,
    expected: &BTreeMap<String, Vec<f64>>,
    limit: f64,
) {
    assert!(found.keys().eq(expected.keys()));
    for (name, expected) in expected {
        let largest = expected.iter().fold(1e-3f64, |largest, v| largest.max(v.abs()));
        let found = &found[name];
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            let error = (a - b).abs() / largest;
            assert!(error < limit, "{shape:?}: {name}[{i}]: {a} against {b}, error {error:e}");
        }
    }
}

#[test]
fn the_gradient_of_the_sweep_is_that_of_a_pass_for_each_column() {
    for shape in shapes() {
        let [found, expected] = [true, false].map(|fast| outcome(&shape, DType::F64, fast));
        agree(&shape, &found, &expected, 1e-9);
    }
}

#[test]
fn gradients_in_single_precision_agree_with_double() {
    for shape in shapes() {
        let [found, expected] = [DType::F32, DType::F64].map(|dtype| outcome(&shape, dtype, true));
        agree(&shape, &found, &expected, 1e-3);
    }
}

#[test]
fn what_is_not_tracked_gets_no_gradient_and_changes_none() {
    let shape = shapes().pop().unwrap();
    let all = outcome(&shape, DType::F64, true);
    let context = Some(noise([ROWS, shape.context], 3, DType::F64));
    let z = noise([ROWS, shape.dims], 2, DType::F64).mul_scalar(3.5);
    let weighted = |layer: &Conditional, z: Tensor<2>| {
        let solved = layer.solve_at_once(&z, &Given::context(context.as_ref())).unwrap();
        let by = [4, 5].map(|seed| noise([ROWS, shape.dims], seed, DType::F64));
        let [by_value, by_slope] = by;
        (layer.joined(&z, solved.value) * by_value + solved.log_slope * by_slope).sum()
    };
    let constant = layer(&shape, DType::F64);
    let leaf = z.clone().autodiff().require_grad();
    let gradients = weighted(&constant, leaf.clone()).backward();
    assert_eq!(host(leaf.grad(&gradients).unwrap()), all["z"]);
    // One weight alone.
    let mut trained = layer(&shape, DType::F64);
    let mut leaf = None;
    trained.visit(&mut |name, p| {
        if name == "network.hidden.0.weight" {
            p.value = p.value.clone().autodiff().require_grad();
            leaf = Some(p.value.clone());
        }
    });
    let gradients = weighted(&trained, z).backward();
    assert_eq!(host(leaf.unwrap().grad(&gradients).unwrap()), all["network.hidden.0.weight"]);
}

/// Layers whose conditioners read in sequence, with or without a context that says which columns are absent.
fn sequences(dtype: DType) -> Vec<(ConditionalSpec, Place, Conditional)> {
    let transformer =
        |group| TransformerSpec { width: 8, heads: 2, inner: 9, blocks: 2, group, alike: false };
    let recurrent = |group| RecurrentSpec { width: 7, group };
    let mut layers = Vec::new();
    for (group, context) in [(1, 0), (2, 0), (1, 2), (2, 2)] {
        let at = Place::new(5, context);
        let gates = Gates(vec![None, Some(0), None, None, (context > 0).then_some(1)]);
        let conditioners: [ConditionerSpec; 2] =
            [transformer(group).into(), recurrent(group).into()];
        for conditioner in conditioners {
            let spec = ConditionalSpec::new(conditioner, &Affine::default().into());
            let spec = if context > 0 { spec.gated(gates.clone()) } else { spec };
            let mut init = Init::new(1, dtype, Device::flex());
            let conditioner = spec.conditioner.build(at, 2, &mut init).unwrap();
            let map = spec.monotone.build(&mut init);
            let layer = Conditional::new(conditioner, map, &init.device).unwrap();
            let mut layer = layer.gated(&spec.gates);
            let mut seed = 20;
            layer.visit(&mut |_, p| {
                seed += 1;
                p.value = noise(p.value.dims(), seed, dtype);
            });
            layers.push((spec, at, layer));
        }
    }
    layers
}

#[test]
fn what_is_read_token_by_token_is_solved_to_the_same_bits_as_in_a_pass_for_each() {
    for dtype in [DType::F32, DType::F64] {
        for (spec, at, layer) in sequences(dtype) {
            let z = noise([ROWS, at.dims], 2, dtype).mul_scalar(3.0);
            let context = (at.context > 0).then(|| noise([ROWS, at.context], 3, dtype));
            let given = Given::context(context.as_ref());
            assert!(layer.conditioner.sequence(&z, &given).is_some(), "{spec:?}");
            // Where a gradient is wanted, there is a pass for each token.
            let leaf = z.clone().autodiff().require_grad();
            assert!(layer.conditioner.sequence(&leaf, &given).is_none(), "{spec:?}");
            let [read, passes] = [z.clone(), leaf].map(|z| layer.inverse(z, &given).unwrap());
            assert_eq!(host(read.value.clone()), host(passes.value), "{spec:?}");
            let log_dets = [read.log_det.clone(), passes.log_det];
            let [found, expected] = log_dets.map(|t| host(t.reshape([1, -1])));
            assert_eq!(found, expected, "{spec:?}");
            let back = layer.forward(read.value, &given).unwrap();
            let limit = if dtype == DType::F64 { 1e-12 } else { 1e-4 };
            for (a, b) in host(back.value).iter().zip(host(z)) {
                assert!((a - b).abs() < limit * (1.0 + b.abs()), "{spec:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn weights_that_change_are_read_anew() {
    for (_, at, mut layer) in sequences(DType::F64).into_iter().take(2) {
        let z = noise([ROWS, at.dims], 2, DType::F64);
        let solve =
            |layer: &Conditional| host(layer.inverse(z.clone(), &Given::default()).unwrap().value);
        let before = solve(&layer);
        layer.visit(&mut |_, p| p.value = p.value.clone().mul_scalar(0.5));
        assert_ne!(solve(&layer), before);
    }
}

#[test]
fn sequences_have_as_many_weights_as_they_say() {
    for (spec, at, mut layer) in sequences(DType::F64) {
        let mut count = 0;
        layer.visit(&mut |_, p| count += p.value.shape().num_elements() as u64);
        assert_eq!(spec.count(at), Some(count), "{spec:?}");
    }
}
