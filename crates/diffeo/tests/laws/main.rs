//! The laws that every transform obeys, over a registry that cannot forget one.

mod cases;
mod edges;
mod files;
mod gradients;
mod sensitivity;
mod variants;

use std::collections::BTreeSet;

use burn::tensor::{DType, Tensor};
use cases::{Case, SEEDS, built, cases, host, tensor};
use diffeo::monotone::RationalQuadratic;
use diffeo::{Flow, LayerSpec, Precision};
use sensitivity::{RoundTrip, WAYS, Way};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F64];

#[test]
fn every_transform_has_a_case() {
    let mut found = BTreeSet::new();
    for case in cases() {
        for precision in PRECISIONS {
            variants::named(&case.with_precision(precision).spec, &mut found);
        }
    }
    let missing: Vec<_> = variants::demanded().difference(&found).cloned().collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
    let names: BTreeSet<String> = cases().into_iter().map(|c| c.name).collect();
    assert_eq!(names.len(), cases().len(), "two cases have the same name");
}

#[track_caller]
fn close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: lengths");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / (1.0 + b.abs());
        assert!(error <= tolerance, "{name}, element {i}: {a} against {b}, error {error:e}");
    }
}

/// `|found - expected| <= count * unit`, element by element.
#[track_caller]
fn within(name: &str, found: &[f64], expected: &[f64], units: &[f64], count: f64) {
    assert_eq!([found.len(), expected.len()], [units.len(); 2], "{name}: lengths");
    for i in 0..found.len() {
        let error = (found[i] - expected[i]).abs() / units[i];
        let (a, b) = (found[i], expected[i]);
        assert!(error <= count, "{name}, element {i}: {a} against {b}, {error} units");
    }
}

/// Points of the input side of a way: the case's own, or for a bounded column's base side the images of these.
fn inputs(case: &Case, flow: &Flow, way: Way) -> Tensor<2> {
    match way {
        Way::ToData if case.bounded => {
            let z = flow.to_base(case.x(), case.context()).unwrap().value;
            let [n, d] = z.dims();
            tensor(host(z), [n, d])
        }
        _ => case.x(),
    }
}

#[test]
fn law1_shapes_and_types_are_as_promised_and_all_is_finite() {
    for case in cases() {
        for precision in PRECISIONS {
            let case = case.with_precision(precision);
            let [n, d] = case.x().dims();
            // A layer that maps units gives the precision of the data, `f64`.
            let data = if case.spec.transforms.iter().any(maps_units) {
                DType::F64
            } else {
                precision.dtype()
            };
            for seed in SEEDS {
                let flow = built(&case.spec, seed);
                for (way, dtype) in [(Way::ToBase, precision.dtype()), (Way::ToData, data)] {
                    let mapped = way.apply(&flow, inputs(&case, &flow, way), case.context());
                    assert_eq!(mapped.value.dims(), [n, d], "{}", case.name);
                    assert_eq!(mapped.log_det.dims(), [n], "{}", case.name);
                    let types = (mapped.value.dtype(), mapped.log_det.dtype());
                    assert_eq!(types, (dtype, DType::F64), "{} {way:?}", case.name);
                    let numbers = [host(mapped.value), host(mapped.log_det)].concat();
                    assert!(numbers.iter().all(|v| v.is_finite()), "{} {way:?}", case.name);
                }
                let log_prob = flow.log_prob(case.x(), case.context()).unwrap();
                assert_eq!((log_prob.dims(), log_prob.dtype()), ([n], DType::F64));
                // Outside a uniform base the density is zero.
                let bad = |p: &f64| !p.is_finite() && !case.name.starts_with("onto_uniform");
                assert!(!host(log_prob).iter().any(|p| p.is_nan() || bad(p)), "{}", case.name);
                let (x, log_prob) = flow.sample_with_log_prob(n, case.context(), seed).unwrap();
                assert_eq!((x.dims(), log_prob.dims()), ([n, d], [n]));
                let numbers = [host(x), host(log_prob)].concat();
                assert!(numbers.iter().all(|v| v.is_finite()), "{}: sample", case.name);
            }
        }
    }
}

fn maps_units(layer: &LayerSpec) -> bool {
    matches!(layer, LayerSpec::Support { .. } | LayerSpec::Standardize { .. })
}

/// Units that a value may be off: the longest way from input to output here is three layers of about a hundred dependent operations.
const UNITS_MAX: f64 = 300.0;
/// Units that a log-determinant may be off: a spline's bin may be a thousandth of its box, so its width and its height, which are
/// differences of knots, are known to a thousand units each, and the logarithm of the slope is that of their ratio.
const LOG_DET_UNITS_MAX: f64 = 2.0 / RationalQuadratic::MIN_SIZE;

#[test]
fn law2_law4_both_round_trips_return_and_log_dets_cancel() {
    for precision in PRECISIONS {
        for case in cases() {
            let case = case.with_precision(precision);
            let exact = case.with_precision(Precision::F64);
            for seed in SEEDS {
                let (flow, reference) = (built(&case.spec, seed), built(&exact.spec, seed));
                for way in WAYS {
                    let name = format!("{} {way:?} seed {seed} {precision:?}", case.name);
                    let (input, context) = (inputs(&case, &flow, way), case.context());
                    let units = RoundTrip::new(way, &reference, &input, &context, precision);
                    let there = way.apply(&flow, input.clone(), context.clone());
                    let back = way.back().apply(&flow, there.value, context);
                    let (found, sum) = (host(back.value), host(there.log_det + back.log_det));
                    let input = host(input);
                    within(&name, &found, &input, &units.value, UNITS_MAX);
                    let zero = vec![0.0; sum.len()];
                    within(&name, &sum, &zero, &units.log_det, LOG_DET_UNITS_MAX);
                }
            }
        }
    }
}

fn log_abs_det(mut a: Vec<Vec<f64>>) -> f64 {
    let d = a.len();
    let mut sum = 0.0;
    for k in 0..d {
        let pivot = (k..d).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap();
        a.swap(k, pivot);
        sum += a[k][k].abs().ln();
        for i in k + 1..d {
            let f = a[i][k] / a[k][k];
            for j in k..d {
                a[i][j] -= f * a[k][j];
            }
        }
    }
    sum
}

#[test]
fn law3_log_det_is_that_of_the_autodiff_jacobian() {
    for case in cases() {
        for seed in SEEDS {
            let flow = built(&case.spec, seed);
            for way in WAYS {
                let (input, context) = (inputs(&case, &flow, way), case.context());
                let log_det = host(way.apply(&flow, input.clone(), context.clone()).log_det);
                let jacobians = way.jacobians(&flow, &input, &context);
                let expected: Vec<f64> = jacobians.into_iter().map(log_abs_det).collect();
                let name = format!("{} {way:?} seed {seed}", case.name);
                close(&name, &log_det, &expected, 1e-8);
            }
        }
    }
}

#[test]
fn law8_structure_autoregressive_is_triangular_and_coupling_keeps_its_half() {
    for case in cases() {
        for seed in SEEDS {
            let flow = built(&case.spec, seed);
            for way in WAYS {
                check_structure(&case, &flow, way);
            }
        }
    }
}

fn check_structure(case: &Case, flow: &Flow, way: Way) {
    let layer = match case.layer() {
        Some(LayerSpec::Inverted { transform }) => transform,
        Some(layer) => layer,
        None => return,
    };
    let d = case.spec.dims;
    let jacobians = || way.jacobians(flow, &inputs(case, flow, way), &case.context());
    match layer {
        LayerSpec::Autoregressive { order, .. } => {
            let order = order.clone().unwrap_or_else(|| (0..d).collect());
            for jacobian in jacobians() {
                for i in 0..d {
                    for j in i + 1..d {
                        assert_eq!(jacobian[order[i]][order[j]], 0.0, "{} {way:?}", case.name);
                    }
                }
            }
        }
        LayerSpec::Coupling { kept, .. } => {
            for jacobian in jacobians() {
                for (i, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
                    for (j, value) in jacobian[i].iter().enumerate() {
                        assert_eq!(*value, f64::from(u8::from(i == j)), "{} {way:?}", case.name);
                    }
                }
            }
        }
        _ => {}
    }
}

#[test]
fn law5_e8_rows_do_not_know_each_other() {
    for case in cases() {
        for seed in SEEDS {
            let flow = built(&case.spec, seed);
            let n = case.points.len();
            let whole = host(flow.log_prob(case.x(), case.context()).unwrap());
            let part = |start: usize, len: usize| {
                let x = case.x().narrow(0, start, len);
                let c = case.context().map(|c| c.narrow(0, start, len));
                host(flow.log_prob(x, c).unwrap())
            };
            let halves = [part(0, n / 2), part(n / 2, n - n / 2)].concat();
            assert_eq!(whole, halves, "{}: cutting the batch changed bits", case.name);
            let context = case.context().map(|c| c.flip([0]));
            let flipped = host(flow.log_prob(case.x().flip([0]), context).unwrap());
            let back: Vec<f64> = flipped.into_iter().rev().collect();
            assert_eq!(whole, back, "{}: the order of rows changed bits", case.name);
        }
    }
}

/// Law 7. Weights and activations are rounded to `2^-24`; sums of 12 products in three layers and raw parameters of size 10 make
/// that some `100 * 2^-23` in a parameter, relative to `1 + |value|`.
const SINGLE_MAX: f64 = 100.0 * f32::EPSILON as f64;
/// What slopes stretch it by. A log-determinant is stretched by its own slope where that is steeper.
const STRETCH: f64 = 100.0;

#[test]
fn law7_f32_agrees_with_f64() {
    for case in cases() {
        for seed in SEEDS {
            let case = case.with_precision(Precision::F32);
            let exact = built(&case.with_precision(Precision::F64).spec, seed);
            let single = built(&case.spec, seed);
            let a = exact.to_base(case.x(), case.context()).unwrap();
            let b = single.to_base(case.x(), case.context()).unwrap();
            close(&case.name, &host(b.value), &host(a.value), SINGLE_MAX * STRETCH);
            let log_det = host(a.log_det);
            let slopes = Way::ToBase.log_det_slopes(&exact, &case.x(), &case.context());
            let units: Vec<f64> = slopes
                .chunks(case.spec.dims)
                .map(|row| row.iter().map(|v| v.abs()).sum::<f64>().max(STRETCH))
                .zip(&log_det)
                .map(|(stretch, v)| SINGLE_MAX * stretch * (1.0 + v.abs()))
                .collect();
            within(&case.name, &host(b.log_det), &log_det, &units, 1.0);
        }
    }
}

#[test]
fn a_new_flow_of_splines_and_affine_maps_is_the_identity_up_to_order() {
    for case in cases() {
        let identity = matches!(
            case.layer(),
            Some(
                LayerSpec::Elementwise { .. }
                    | LayerSpec::Coupling { .. }
                    | LayerSpec::Autoregressive { .. }
            )
        );
        if identity {
            let flow = case.spec.build(9).unwrap();
            for way in WAYS {
                let mapped = way.apply(&flow, case.x(), case.context());
                close(&case.name, &host(mapped.value), &case.points.concat(), 1e-12);
                close(&case.name, &host(mapped.log_det), &vec![0.0; case.points.len()], 1e-12);
            }
        }
    }
}
