//! The laws that every transform obeys, over a registry that cannot forget one.

mod cases;
mod gradients;

use burn::tensor::Tensor;
use cases::{Case, VARIANTS, built, cases, host, number, tensor};
use diffeo::{LayerSpec, Precision};

#[test]
fn every_transform_has_a_case() {
    let mut seen = [false; VARIANTS];
    cases().iter().for_each(|c| seen[number(&c.spec.transforms[0])] = true);
    assert_eq!(seen, [true; VARIANTS]);
}

#[track_caller]
fn close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: lengths");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / (1.0 + b.abs());
        assert!(error <= tolerance, "{name}, element {i}: {a} against {b}, error {error:e}");
    }
}

#[test]
fn both_round_trips_return_and_log_dets_cancel() {
    for case in cases() {
        for seed in 0..4 {
            let flow = built(&case.spec, seed);
            let there = flow.to_base(case.x(), case.context()).unwrap();
            let back = flow.to_data(there.value.clone(), case.context()).unwrap();
            close(&case.name, &host(back.value), &case.points.concat(), case.tolerance);
            let sum = host(there.log_det.clone() + back.log_det);
            close(&case.name, &sum, &vec![0.0; sum.len()], 1e-7);
            let again = flow.to_data(case.x(), case.context()).unwrap();
            let there_again = flow.to_base(again.value, case.context()).unwrap();
            if !matches!(case.spec.transforms[0], LayerSpec::Support { .. }) {
                close(&case.name, &host(there_again.value), &case.points.concat(), case.tolerance);
            }
        }
    }
}

/// The Jacobian of row `r`, `[i][j] = dz_i/dx_j`, for all rows at once.
fn jacobians(case: &Case, flow: &diffeo::Flow) -> Vec<Vec<Vec<f64>>> {
    let d = case.spec.dims;
    let n = case.points.len();
    let mut rows = vec![vec![vec![0.0; d]; d]; n];
    for i in 0..d {
        let x = case.x().autodiff().require_grad();
        let z = flow.to_base(x.clone(), case.context()).unwrap().value;
        let grads = z.narrow(1, i, 1).sum().backward();
        let g = host(x.grad(&grads).unwrap());
        for (r, row) in rows.iter_mut().enumerate() {
            row[i].copy_from_slice(&g[r * d..(r + 1) * d]);
        }
    }
    rows
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
fn log_det_is_that_of_the_autodiff_jacobian() {
    for case in cases() {
        let flow = built(&case.spec, 1);
        let log_det = host(flow.to_base(case.x(), case.context()).unwrap().log_det);
        let expected: Vec<f64> = jacobians(&case, &flow).into_iter().map(log_abs_det).collect();
        close(&case.name, &log_det, &expected, 1e-8);
    }
}

#[test]
fn structure_autoregressive_is_triangular_and_coupling_keeps_its_half() {
    for case in cases() {
        let flow = built(&case.spec, 2);
        match &case.spec.transforms[0] {
            LayerSpec::Autoregressive { order, .. } => {
                let d = case.spec.dims;
                let order = order.clone().unwrap_or_else(|| (0..d).collect());
                for jacobian in jacobians(&case, &flow) {
                    for i in 0..d {
                        for j in i + 1..d {
                            assert_eq!(jacobian[order[i]][order[j]], 0.0, "{}", case.name);
                        }
                    }
                }
            }
            LayerSpec::Coupling { kept, .. } => {
                for jacobian in jacobians(&case, &flow) {
                    for (i, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
                        for (j, value) in jacobian[i].iter().enumerate() {
                            assert_eq!(*value, f64::from(u8::from(i == j)), "{}", case.name);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn e8_rows_do_not_know_each_other() {
    for case in cases() {
        let flow = built(&case.spec, 3);
        let n = case.points.len();
        let whole = host(flow.log_prob(case.x(), case.context()).unwrap());
        let part = |start: usize, len: usize| {
            let x = case.x().narrow(0, start, len);
            let c = case.context().map(|c| c.narrow(0, start, len));
            host(flow.log_prob(x, c).unwrap())
        };
        let halves = [part(0, n / 2), part(n / 2, n - n / 2)].concat();
        assert_eq!(whole, halves, "{}: cutting the batch changed bits", case.name);
        let flipped =
            host(flow.log_prob(case.x().flip([0]), case.context().map(|c| c.flip([0]))).unwrap());
        let back: Vec<f64> = flipped.into_iter().rev().collect();
        assert_eq!(whole, back, "{}: the order of rows changed bits", case.name);
    }
}

#[test]
fn f32_agrees_with_f64() {
    for case in cases() {
        let exact = built(&case.spec, 1);
        let mut spec = case.spec.clone();
        spec.precision = Precision::F32;
        let single = built(&spec, 1);
        let a = exact.to_base(case.x(), case.context()).unwrap();
        let b = single.to_base(case.x(), case.context()).unwrap();
        close(&case.name, &host(b.value), &host(a.value), 2e-3);
        close(&case.name, &host(b.log_det), &host(a.log_det), 2e-3);
    }
}

#[test]
fn e1_a_bad_row_spoils_no_other_and_infinities_have_density_zero() {
    for case in cases() {
        let flow = built(&case.spec, 1);
        let clean = host(flow.log_prob(case.x(), case.context()).unwrap());
        let mut points = case.points.clone();
        points[3][0] = f64::NAN;
        points[7][case.spec.dims - 1] = f64::INFINITY;
        points[8][0] = f64::NEG_INFINITY;
        let x = tensor(points.concat(), [points.len(), case.spec.dims]);
        let found = host(flow.log_prob(x, case.context()).unwrap());
        assert!(
            found[3].is_nan() && found[7] == f64::NEG_INFINITY && found[8] == f64::NEG_INFINITY
        );
        for i in (0..points.len()).filter(|i| ![3, 7, 8].contains(i)) {
            assert_eq!(found[i].to_bits(), clean[i].to_bits(), "{} row {i}", case.name);
        }
    }
}

#[test]
fn e2_points_far_away_have_a_finite_density_or_none() {
    for case in cases() {
        let flow = built(&case.spec, 1);
        let far = [1e6, -1e6, 1e30, -1e30];
        let x: Vec<f64> = far.iter().flat_map(|v| vec![*v; case.spec.dims]).collect();
        let context = case.context().map(|c| c.narrow(0, 0, 4));
        let log_prob = host(flow.log_prob(tensor(x, [4, case.spec.dims]), context).unwrap());
        assert!(log_prob.iter().all(|p| !p.is_nan()), "{}: {log_prob:?}", case.name);
    }
}

#[test]
fn e6_no_rows_give_an_empty_result() {
    for case in cases() {
        let flow = built(&case.spec, 1);
        let none = |width: usize| {
            Tensor::zeros([0, width], (&burn::tensor::Device::flex(), burn::tensor::DType::F64))
        };
        let context = (case.spec.context_dims > 0).then(|| none(case.spec.context_dims));
        let log_prob = flow.log_prob(none(case.spec.dims), context).unwrap();
        assert_eq!(log_prob.dims(), [0], "{}", case.name);
    }
}

#[test]
fn a_new_flow_of_splines_and_affine_maps_is_the_identity_up_to_order() {
    for case in cases() {
        let identity = matches!(
            case.spec.transforms[0],
            LayerSpec::Elementwise { .. }
                | LayerSpec::Coupling { .. }
                | LayerSpec::Autoregressive { .. }
        );
        if identity {
            let flow = case.spec.build(9).unwrap();
            let mapped = flow.to_base(case.x(), case.context()).unwrap();
            close(&case.name, &host(mapped.value), &case.points.concat(), 1e-12);
            close(&case.name, &host(mapped.log_det), &vec![0.0; case.points.len()], 1e-12);
        }
    }
}
