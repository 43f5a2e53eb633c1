//! Bad rows, infinities, far points, absurd weights, no rows.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor};

use super::case::{Case, PRECISIONS, built, host, tensor};

/// A row with NaN or an infinity has its own density (NaN, or zero) and changes no other row.
///
/// # Panics
/// Where one does.
pub fn bad_rows_spoil_no_other(case: &Case) {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for (seed, precision) in case.seeds().flat_map(|seed| PRECISIONS.map(|p| (seed, p))) {
        let case = case.in_precision(precision);
        let flow = built(&case.spec, seed);
        let log_prob = |x| host(flow.log_prob(x, case.context()).unwrap_or_else(|e| panic!("{e}")));
        let clean = log_prob(case.x());
        let (mut points, last) = (case.points.clone(), case.spec.dims - 1);
        points[3][0] = nan;
        points[7][last] = inf;
        points[8][0] = -inf;
        points[9].fill(inf);
        points[10].fill(-inf);
        let found = log_prob(tensor(points.concat(), [points.len(), case.spec.dims]));
        assert!(found[3].is_nan(), "{}", case.name);
        assert_eq!(found[7..11], [-inf; 4], "{}", case.name);
        for i in (0..points.len()).filter(|i| ![3, 7, 8, 9, 10].contains(i)) {
            assert_eq!(found[i].to_bits(), clean[i].to_bits(), "{} row {i}", case.name);
        }
    }
}

/// A point far away has a finite density or none; never NaN.
///
/// # Panics
/// Where it is NaN.
pub fn far_points_have_a_density(case: &Case) {
    for (seed, precision) in case.seeds().flat_map(|seed| PRECISIONS.map(|p| (seed, p))) {
        let case = case.in_precision(precision);
        let flow = built(&case.spec, seed);
        let far = [1e6, -1e6, 1e30, -1e30];
        let x: Vec<f64> = far.iter().flat_map(|v| vec![*v; case.spec.dims]).collect();
        let context = case.context().map(|c| c.narrow(0, 0, 4));
        let log_prob = flow.log_prob(tensor(x, [4, case.spec.dims]), context);
        let log_prob = host(log_prob.unwrap_or_else(|e| panic!("{e}")));
        assert!(log_prob.iter().all(|p| !p.is_nan()), "{}: {log_prob:?}", case.name);
    }
}

/// Weights that are finite but absurd give no NaN, in densities and in samples.
///
/// # Panics
/// Where they do.
pub fn absurd_weights_give_no_nan(case: &Case) {
    for (precision, size) in PRECISIONS.iter().flat_map(|p| [1e4, -1e4].map(|s| (*p, s))) {
        let case = case.in_precision(precision);
        let mut flow = case.spec.build(1).unwrap_or_else(|e| panic!("{e}"));
        let all: Vec<_> = flow.parameters();
        for chosen in 0..all.len() {
            let with = |i: usize, value: &Tensor<2>| match i == chosen {
                true => Tensor::full(value.dims(), size, (&Device::flex(), precision.dtype())),
                false => value.clone(),
            };
            let weights: BTreeMap<_, _> =
                all.iter().enumerate().map(|(i, (n, v))| (n.clone(), with(i, v))).collect();
            flow.set_parameters(&weights).unwrap_or_else(|e| panic!("{e}"));
            let name = format!("{} {precision:?}: {} = {size}", case.name, all[chosen].0);
            let log_prob = flow.log_prob(case.x(), case.context());
            let log_prob = host(log_prob.unwrap_or_else(|e| panic!("{name}: {e}")));
            assert!(log_prob.iter().all(|p| !p.is_nan()), "{name}: {log_prob:?}");
            let drawn = flow.sample_with_log_prob(case.points.len(), case.context(), 1);
            let (x, log_prob) = drawn.unwrap_or_else(|e| panic!("{name}: {e}"));
            let numbers = [host(x), host(log_prob)].concat();
            assert!(numbers.iter().all(|v| !v.is_nan()), "{name}: samples");
        }
    }
}

/// No rows give an empty result.
///
/// # Panics
/// Where they do not.
pub fn no_rows_give_no_densities(case: &Case) {
    let flow = built(&case.spec, 1);
    let none = |width: usize| Tensor::zeros([0, width], (&Device::flex(), DType::F64));
    let context = (case.spec.context_dims > 0).then(|| none(case.spec.context_dims));
    let log_prob = flow.log_prob(none(case.spec.dims), context).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(log_prob.dims(), [0], "{}", case.name);
}
