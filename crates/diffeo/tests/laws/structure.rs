//! What some layers promise beyond the laws of all.

use std::collections::BTreeSet;

use burn::tensor::Device;
use diffeo::burn;
use diffeo::conditioner::ConditionerSpec;
use diffeo::laws::{Case, WAYS, Way, built, cases, close, host, tensor};
use diffeo::monotone::Affine;
use diffeo::transforms::{ElementwiseSpec, PermutationSpec, PluSpec, Qr, Svd};
use diffeo::{Flow, FlowSpec, LayerSpec};

#[test]
fn law8_structure_autoregressive_is_triangular_and_coupling_keeps_its_half() {
    for case in cases() {
        for seed in case.seeds() {
            let flow = built(&case.spec, seed);
            WAYS.into_iter().for_each(|way| check_structure(&case, &flow, way));
        }
    }
}

fn check_structure(case: &Case, flow: &Flow, way: Way) {
    let layer = match case.layer() {
        Some(LayerSpec::Inverted(inverted)) => &*inverted.transform,
        Some(layer) => layer,
        None => return,
    };
    let d = case.spec.dims;
    let jacobians = || way.jacobians(flow, &case.x(), &case.context());
    match layer {
        LayerSpec::Autoregressive(layer) => {
            let order = layer.order.clone().unwrap_or_else(|| (0..d).collect());
            for jacobian in jacobians() {
                for i in 0..d {
                    for j in i + 1..d {
                        assert_eq!(jacobian[order[i]][order[j]], 0.0, "{} {way:?}", case.name);
                    }
                }
            }
        }
        LayerSpec::BlockAutoregressive(_) => {
            for (i, row) in jacobians().iter().flat_map(|jacobian| jacobian.iter().enumerate()) {
                assert!(row[i + 1..].iter().all(|v| *v == 0.0), "{} {way:?}", case.name);
            }
        }
        LayerSpec::Coupling(layer) => {
            for jacobian in jacobians() {
                for (i, _) in layer.kept.iter().enumerate().filter(|(_, kept)| **kept) {
                    for (j, value) in jacobian[i].iter().enumerate() {
                        assert_eq!(*value, f64::from(u8::from(i == j)), "{} {way:?}", case.name);
                    }
                }
            }
        }
        LayerSpec::Conditional(layer) => {
            if let ConditionerSpec::Graph(graph) = &layer.conditioner {
                check_graph(case, &graph.parents, way, &jacobians());
            }
        }
        _ => {}
    }
}

/// One way a column follows from its parents, the other way from its ancestors, each of which matters somewhere.
fn check_graph(case: &Case, parents: &[Vec<usize>], way: Way, jacobians: &[Vec<Vec<f64>>]) {
    let d = parents.len();
    let mut seen: Vec<BTreeSet<usize>> =
        parents.iter().map(|parents| parents.iter().copied().collect()).collect();
    let is_there = !matches!(case.layer(), Some(LayerSpec::Inverted(_))) == (way == Way::ToBase);
    if !is_there {
        for _ in 0..d {
            for i in 0..d {
                let above: Vec<usize> = seen[i].iter().flat_map(|&j| seen[j].clone()).collect();
                seen[i].extend(above);
            }
        }
    }
    for (i, j) in (0..d).flat_map(|i| (0..d).map(move |j| (i, j))).filter(|(i, j)| i != j) {
        let all: Vec<f64> = jacobians.iter().map(|jacobian| jacobian[i][j]).collect();
        match seen[i].contains(&j) {
            true => assert!(all.iter().any(|v| *v != 0.0), "{} {way:?}: {j} to {i}", case.name),
            false => assert!(all.iter().all(|v| *v == 0.0), "{} {way:?}: {j} to {i}", case.name),
        }
    }
}

#[test]
fn a_new_flow_of_scalar_maps_is_the_identity_up_to_order_or_near_it() {
    for case in cases() {
        let map = match case.layer() {
            Some(LayerSpec::Elementwise(layer)) => &layer.monotone,
            Some(LayerSpec::Coupling(layer)) => &layer.monotone,
            Some(LayerSpec::Autoregressive(layer)) => &layer.monotone,
            Some(LayerSpec::Conditional(layer)) => &layer.monotone,
            _ => continue,
        };
        if map.name() == "Translated" && !map.starts_as_identity() {
            continue; // it starts where the other library does
        }
        let tolerance = if map.starts_as_identity() { 1e-12 } else { 0.2 };
        let flow = case.spec.build(9).unwrap();
        for way in WAYS {
            let mapped = way.apply(&flow, case.x(), case.context());
            close(&case.name, &host(mapped.value), &case.points.concat(), tolerance);
            let zero = vec![0.0; case.points.len()];
            close(&case.name, &host(mapped.log_det), &zero, tolerance * case.spec.dims as f64);
        }
    }
}

#[test]
fn law6_the_gradient_through_the_inverse_of_a_plu_layer_is_exact() {
    // z = x A + b, so x = (z - b) A^-1: the gradient of sum_i w_i x_i by z is A^-1 w, by b minus that summed over rows.
    for d in [1, 2, 5] {
        let case = Case::of_layer(PluSpec { order: (1..d).chain([0]).collect() }, d, 0);
        let flow = built(&case.spec, 3);
        let mut with_grad = flow.clone();
        let mut shift = None;
        with_grad.visit(&mut |name, p| {
            p.value = p.value.clone().autodiff().require_grad();
            if name.ends_with("shift") {
                shift = Some(p.value.clone());
            }
        });
        let n = case.points.len();
        let weights: Vec<f64> = (0..d).map(|i| 1.0 - 0.3 * i as f64).collect();
        let z = case.x().autodiff().require_grad();
        let x = with_grad.to_data(z.clone(), None).unwrap().value;
        let grads = (x * tensor(weights.clone(), [1, d])).sum().backward();
        let inverse = Way::ToData.jacobians(&flow, &case.x(), &None);
        let expected: Vec<f64> =
            (0..d).map(|j| (0..d).map(|i| weights[i] * inverse[0][i][j]).sum()).collect();
        close("z", &host(z.grad(&grads).unwrap()), &expected.repeat(n), 1e-12);
        let minus: Vec<f64> = expected.iter().map(|g| -g * n as f64).collect();
        close("shift", &host(shift.unwrap().grad(&grads).unwrap()), &minus, 1e-12);
    }
}

/// `a b` of square matrices.
fn times(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let d = a.len();
    let at = |i: usize, j: usize| (0..d).map(|k| a[i][k] * b[k][j]).sum();
    (0..d).map(|i| (0..d).map(|j| at(i, j)).collect()).collect()
}

#[test]
fn qr_and_svd_layers_are_the_factors_that_they_say() {
    for case in cases() {
        let Some(layer) = case.layer() else { continue };
        let d = case.spec.dims;
        for seed in case.seeds() {
            let flow = built(&case.spec, seed);
            let weights = flow.parameters();
            let of = |end: &str| {
                let mut named = weights.iter().filter(|(name, _)| name.ends_with(end));
                host(named.next().unwrap_or_else(|| panic!("{end}")).1.clone())
            };
            let log_scales = |end: &str, limit: f64| -> Vec<f64> {
                of(end).iter().map(|raw| limit * (raw / limit).tanh()).collect()
            };
            // z = x W: the Jacobian is W^T.
            let jacobian = || Way::ToBase.jacobians(&flow, &case.x(), &None).swap_remove(0);
            let transposed = |m: &[Vec<f64>]| -> Vec<Vec<f64>> {
                (0..d).map(|i| (0..d).map(|j| m[j][i]).collect()).collect()
            };
            match layer {
                LayerSpec::Qr(_) => {
                    let (upper, s) = (of("upper"), log_scales("log_diagonal", Qr::LOG_SCALE_MAX));
                    let at =
                        |i: usize, j: usize| if i == j { s[i].exp() } else { upper[i * d + j] };
                    let r: Vec<Vec<f64>> =
                        (0..d).map(|i| (0..d).map(|j| at(i, j)).collect()).collect();
                    let jacobian = jacobian();
                    let found = times(&jacobian, &transposed(&jacobian)).concat();
                    close(&case.name, &found, &times(&transposed(&r), &r).concat(), 1e-13);
                }
                LayerSpec::Svd(_) => {
                    let s = log_scales("log_scale", Svd::LOG_SCALE_MAX);
                    let jacobian = jacobian();
                    let gram = times(&jacobian, &transposed(&jacobian));
                    let mut power = gram.clone();
                    // As many sums of powers as there are columns fix all singular values.
                    for k in 1..=d {
                        let found: f64 = (0..d).map(|i| power[i][i]).sum();
                        let expected: f64 = s.iter().map(|s| (2.0 * k as f64 * s).exp()).sum();
                        close(&case.name, &[found], &[expected], 1e-12);
                        power = times(&power, &gram);
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn e6_a_hundred_thousand_columns_build_score_and_come_back() {
    const DIMS: usize = 100_000;
    let affine = ElementwiseSpec { monotone: Affine::default().into() };
    let spline = diffeo::monotone::RationalQuadratic { bins: 5, bound: 2.0 };
    let mut spec = FlowSpec::new(
        DIMS,
        vec![
            ElementwiseSpec { monotone: spline.into() }.into(),
            affine.into(),
            PermutationSpec { order: (0..DIMS).rev().collect() }.into(),
        ],
    );
    let flow = built(&spec, 1);
    assert_eq!(flow.dims(), DIMS);
    let x: Vec<f64> = (0..2 * DIMS).map(|i| f64::from((i as f32 * 0.1).sin())).collect();
    let batch = tensor(x.clone(), [2, DIMS]);
    assert!(host(flow.log_prob(batch.clone(), None).unwrap()).iter().all(|p| p.is_finite()));
    let there = Way::ToBase.apply(&flow, batch, None);
    let back = Way::ToData.apply(&flow, there.value, None);
    close("x", &host(back.value), &x, 1e-3);
    spec.dims += 1;
    assert!(spec.validate().is_err(), "100,000 columns are the limit");
}

#[test]
fn draws_land_where_the_flow_was_built() {
    let spec = FlowSpec::new(2, vec![]);
    for device in [Device::flex(), Device::flex().autodiff()] {
        let flow = spec.build_on(0, &device).unwrap();
        assert_eq!(flow.device(), &device);
        assert_eq!(flow.sample(3, None, 1).unwrap().device(), device);
    }
}
