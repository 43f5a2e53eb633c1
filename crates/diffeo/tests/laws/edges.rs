//! Bad rows, infinities, far points, bounds of a support, knots of a spline, absurd weights, no rows, many columns.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor};
use diffeo::monotone::{Monotone, MonotoneSpec, RationalQuadratic};
use diffeo::{LayerSpec, Precision, Transform};

use crate::PRECISIONS;
use crate::cases::{SEEDS, affine, around, built, cases, host, spline, tensor, tensor_as};
use crate::sensitivity::Way;

#[test]
fn e1_a_bad_row_spoils_no_other_and_infinities_have_density_zero() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for case in cases() {
        for (seed, precision) in SEEDS.flat_map(|seed| PRECISIONS.map(|p| (seed, p))) {
            let case = case.with_precision(precision);
            let flow = built(&case.spec, seed);
            let clean = host(flow.log_prob(case.x(), case.context()).unwrap());
            let (mut points, last) = (case.points.clone(), case.spec.dims - 1);
            points[3][0] = nan;
            points[7][last] = inf;
            points[8][0] = -inf;
            points[9].fill(inf);
            points[10].fill(-inf);
            let x = tensor(points.concat(), [points.len(), case.spec.dims]);
            let found = host(flow.log_prob(x, case.context()).unwrap());
            assert!(found[3].is_nan(), "{}", case.name);
            assert_eq!(found[7..11], [-inf; 4], "{}", case.name);
            for i in (0..points.len()).filter(|i| ![3, 7, 8, 9, 10].contains(i)) {
                assert_eq!(found[i].to_bits(), clean[i].to_bits(), "{} row {i}", case.name);
            }
        }
    }
}

#[test]
fn d3_log_slopes_of_scalar_maps_are_finite_at_infinity_and_at_subnormals() {
    let maps: [MonotoneSpec; 3] = [affine(), spline(8, 3.0), spline(2, 1e6)];
    let x = [f64::INFINITY, f64::NEG_INFINITY, f64::from_bits(1), -0.0, 1e30, -1e30];
    for (map, dtype) in maps.iter().flat_map(|m| [DType::F64, DType::F32].map(|t| (m, t))) {
        let k = map.params_per_dim();
        for size in [0.0, 1.0, 1e4] {
            let params: Vec<f64> =
                (0..x.len() * k).map(|i| size * (i as f64 * 1.3).sin()).collect();
            for direction in [Monotone::forward, Monotone::inverse] {
                let params = tensor_as(params.clone(), [x.len(), k], dtype);
                let mapped =
                    direction(map, tensor_as(x.to_vec(), [x.len(), 1], dtype), params).unwrap();
                let (value, log_slope) = (host(mapped.value), host(mapped.log_slope));
                assert!(
                    log_slope.iter().all(|s| s.is_finite()),
                    "{map:?} {dtype:?}: {log_slope:?}"
                );
                assert_eq!(value[..2], x[..2], "{map:?} {dtype:?}");
                assert!(value[2..].iter().all(|v| v.is_finite()), "{map:?} {dtype:?}: {value:?}");
            }
        }
    }
}

#[test]
fn e2_points_far_away_have_a_finite_density_or_none() {
    for case in cases() {
        for (seed, precision) in SEEDS.flat_map(|seed| PRECISIONS.map(|p| (seed, p))) {
            let case = case.with_precision(precision);
            let flow = built(&case.spec, seed);
            let far = [1e6, -1e6, 1e30, -1e30];
            let x: Vec<f64> = far.iter().flat_map(|v| vec![*v; case.spec.dims]).collect();
            let context = case.context().map(|c| c.narrow(0, 0, 4));
            let log_prob = host(flow.log_prob(tensor(x, [4, case.spec.dims]), context).unwrap());
            assert!(log_prob.iter().all(|p| !p.is_nan()), "{}: {log_prob:?}", case.name);
        }
    }
}

#[test]
fn e3_a_support_ends_exactly_at_its_bounds() {
    let minus_infinity = f64::NEG_INFINITY;
    let case = cases().into_iter().find(|c| c.name == "support_5d_0c").unwrap();
    let flow = built(&case.spec, 1);
    // Columns are ln, identity, logit on (-1, 3), ln, identity.
    let log_prob = |column: usize, value: f64| {
        let mut row = vec![0.5; 5];
        row[column] = value;
        host(flow.log_prob(tensor(row, [1, 5]), None).unwrap())[0]
    };
    for outside in [0.0, -0.0, 0f64.next_down(), -1e-8, -1e6] {
        assert_eq!(log_prob(0, outside), minus_infinity, "ln {outside}");
    }
    for inside in [0f64.next_up(), f64::MIN_POSITIVE, 1e-8, 1e6, f64::MAX] {
        assert!(log_prob(0, inside).is_finite(), "ln {inside}");
    }
    for outside in [-1.0, -1f64.next_up(), 3.0, 3f64.next_up(), 1e6, -1e6] {
        assert_eq!(log_prob(2, outside), minus_infinity, "logit {outside}");
    }
    for inside in [(-1f64).next_up(), 3f64.next_down(), 0.0, -0.0, 1e-8, -1e-8] {
        assert!(log_prob(2, inside).is_finite(), "logit {inside}");
    }
    // However far out in base space, a sample lies strictly inside.
    for far in [1e3, 1e6, -1e3, -1e6] {
        let x = host(flow.to_data(tensor(vec![far; 5], [1, 5]), None).unwrap().value);
        assert!(x[0] > 0.0 && x[2] > -1.0 && x[2] < 3.0, "{x:?}");
        assert!(log_prob(0, x[0]).is_finite() && log_prob(2, x[2]).is_finite(), "{x:?}");
    }
}

/// The inner knots of a spline on the data side, from its raw widths: the formula of its documentation.
fn knots(map: &RationalQuadratic, params: &[f64]) -> Vec<f64> {
    let raw = &params[..map.bins];
    let total: f64 = raw.iter().map(|w| w.exp()).sum();
    let share = 1.0 - map.bins as f64 * RationalQuadratic::MIN_SIZE;
    let mut at = -map.bound;
    let widths = raw
        .iter()
        .map(|w| 2.0 * map.bound * (RationalQuadratic::MIN_SIZE + share * w.exp() / total));
    widths
        .take(map.bins - 1)
        .map(|w| {
            at += w;
            at
        })
        .collect()
}

#[test]
fn d3_value_slope_and_gradients_do_not_jump_at_a_knot() {
    let map = RationalQuadratic { bins: 6, bound: 3.0 };
    for (seed, dtype) in SEEDS.flat_map(|s| [DType::F64, DType::F32].map(|t| (s, t))) {
        let eps = if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
        let params: Vec<f64> =
            (0..17).map(|i| ((i as f64 + 0.1) * (seed as f64 + 1.7)).sin()).collect();
        let edges = [vec![-3.0, 3.0], knots(&map, &params)].concat();
        for knot in edges {
            // Rounding may put the kernel's own knot a few units away from ours: the neighbours reach past it.
            let beside = [-64.0, -8.0, 8.0, 64.0].map(|k| knot * (1.0 + k * eps));
            let points = [around(knot).to_vec(), beside.to_vec()].concat();
            let n = points.len();
            for direction in [Monotone::forward, Monotone::inverse] {
                let x = tensor_as(points.clone(), [n, 1], dtype).autodiff().require_grad();
                let p = tensor_as(params.repeat(n), [n, 17], dtype).autodiff().require_grad();
                let mapped = direction(&map, x.clone(), p.clone()).unwrap();
                let (value, slope) = (host(mapped.value.clone()), host(mapped.log_slope.clone()));
                let grads = (mapped.value.sum() + mapped.log_slope.sum()).backward();
                let all = [host(x.grad(&grads).unwrap()), host(p.grad(&grads).unwrap())].concat();
                assert!(all.iter().all(|g| g.is_finite()), "{dtype:?} {knot}");
                // The single neighbours are 2^29 double units away: points and slopes move with them.
                let reach = points.iter().fold(0.0f64, |m, p| m.max((p - knot).abs()));
                let room = 1e4 * (reach + eps);
                let jump = |v: &[f64]| v.iter().fold(0.0f64, |m, a| m.max((a - v[0]).abs()));
                assert!(
                    jump(&value) < room && jump(&slope) < room,
                    "{dtype:?} {knot}: {value:?} {slope:?}"
                );
            }
        }
    }
}

#[test]
fn c6_finite_but_absurd_weights_give_no_nan() {
    for case in cases() {
        for (precision, size) in PRECISIONS.iter().flat_map(|p| [1e4, -1e4].map(|s| (*p, s))) {
            let case = case.with_precision(precision);
            let mut flow = case.spec.build(1).unwrap();
            let dtype = precision.dtype();
            let all: Vec<_> = flow.parameters();
            for chosen in 0..all.len() {
                let with = |i: usize, value: &Tensor<2>| match i == chosen {
                    true => Tensor::full(value.dims(), size, (&Device::flex(), dtype)),
                    false => value.clone(),
                };
                let weights: BTreeMap<_, _> =
                    all.iter().enumerate().map(|(i, (n, v))| (n.clone(), with(i, v))).collect();
                flow.set_parameters(&weights).unwrap();
                let name = format!("{} {precision:?}: {} = {size}", case.name, all[chosen].0);
                let log_prob = host(flow.log_prob(case.x(), case.context()).unwrap());
                assert!(log_prob.iter().all(|p| !p.is_nan()), "{name}: {log_prob:?}");
                let n = case.points.len();
                let (x, log_prob) = flow.sample_with_log_prob(n, case.context(), 1).unwrap();
                let numbers = [host(x), host(log_prob)].concat();
                assert!(numbers.iter().all(|v| !v.is_nan()), "{name}: samples");
            }
        }
    }
}

#[test]
fn e6_no_rows_give_an_empty_result() {
    for case in cases() {
        let flow = built(&case.spec, 1);
        let none = |width: usize| Tensor::zeros([0, width], (&Device::flex(), DType::F64));
        let context = (case.spec.context_dims > 0).then(|| none(case.spec.context_dims));
        let log_prob = flow.log_prob(none(case.spec.dims), context).unwrap();
        assert_eq!(log_prob.dims(), [0], "{}", case.name);
    }
}

#[test]
fn e6_a_hundred_thousand_columns_build_score_and_come_back() {
    const DIMS: usize = 100_000;
    let mut spec = cases().into_iter().find(|c| c.name == "elementwise_spline_1d_0c").unwrap().spec;
    spec.dims = DIMS;
    spec.precision = Precision::F32;
    spec.transforms.push(LayerSpec::Elementwise { monotone: affine() });
    spec.transforms.push(LayerSpec::Permutation { order: (0..DIMS).rev().collect() });
    let flow = built(&spec, 1);
    assert_eq!(flow.transform().dims(), DIMS);
    let x: Vec<f64> = (0..2 * DIMS).map(|i| f64::from((i as f32 * 0.1).sin())).collect();
    let batch = tensor(x.clone(), [2, DIMS]);
    assert!(host(flow.log_prob(batch.clone(), None).unwrap()).iter().all(|p| p.is_finite()));
    let there = Way::ToBase.apply(&flow, batch, None);
    let back = Way::ToData.apply(&flow, there.value, None);
    crate::close("x", &host(back.value), &x, 1e-3);
    spec.dims += 1;
    assert!(spec.validate().is_err(), "100,000 columns are the limit");
}
