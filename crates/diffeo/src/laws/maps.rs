//! Laws 1 to 5 and 7: shapes, round trips, log-determinants, rows by themselves, precisions.

use burn::tensor::DType;

use super::bends_far_out;
use super::case::{Case, PRECISIONS, built, close, host, within};
use super::sensitivity::{RoundTrip, WAYS, Way};
use crate::bases::BaseSpec;
use crate::host::linalg::log_abs_det;
use crate::monotone::RationalQuadratic;
use crate::spec::Precision;

/// Law 1: shapes and types are as promised, and all is finite.
///
/// # Panics
/// Where they are not.
pub fn shapes_and_types_are_as_promised(case: &Case) {
    for precision in PRECISIONS {
        let case = case.in_precision(precision);
        let [n, d] = case.x().dims();
        for seed in case.seeds() {
            let flow = built(&case.spec, seed);
            for way in WAYS {
                let mapped = way.apply(&flow, case.x(), case.context());
                assert_eq!(mapped.value.dims(), [n, d], "{}", case.name);
                assert_eq!(mapped.log_det.dims(), [n], "{}", case.name);
                let types = (mapped.value.dtype(), mapped.log_det.dtype());
                assert_eq!(types, (precision.dtype(), DType::F64), "{} {way:?}", case.name);
                let numbers = [host(mapped.value), host(mapped.log_det)].concat();
                assert!(numbers.iter().all(|v| v.is_finite()), "{} {way:?}", case.name);
            }
            let say = |e| panic!("{}: {e}", case.name);
            let log_prob = flow.log_prob(case.x(), case.context()).unwrap_or_else(say);
            assert_eq!((log_prob.dims(), log_prob.dtype()), ([n], DType::F64));
            // Outside a uniform base the density is zero.
            let bounded = matches!(case.spec.base, BaseSpec::Uniform(_));
            let bad = |p: &f64| p.is_nan() || !(p.is_finite() || bounded);
            assert!(!host(log_prob).iter().any(bad), "{}", case.name);
            let drawn = flow.sample_with_log_prob(n, case.context(), seed);
            let (x, log_prob) = drawn.unwrap_or_else(|e| panic!("{}: {e}", case.name));
            assert_eq!((x.dims(), log_prob.dims()), ([n, d], [n]));
            let numbers = [host(x), host(log_prob)].concat();
            assert!(numbers.iter().all(|v| v.is_finite()), "{}: sample", case.name);
        }
    }
}

/// Units that a value may be off: the longest way from input to output here is three layers of about a hundred dependent operations.
const UNITS_MAX: f64 = 300.0;
/// Units that a log-determinant may be off: a spline's bin may be a thousandth of its box, so its width, its height and the place of a point
/// in it, which are differences of knots, are known to a thousand units each, and the logarithm of the slope follows from the three.
const LOG_DET_UNITS_MAX: f64 = 3.0 / RationalQuadratic::MIN_SIZE;

/// Laws 2 and 4: both round trips return, and log-determinants cancel, within what rounding does by the map's own derivatives.
///
/// # Panics
/// Where they do not.
pub fn round_trips_return(case: &Case) {
    for (precision, seed) in PRECISIONS.iter().flat_map(|p| case.seeds().map(|seed| (*p, seed))) {
        let exact = case.in_precision(precision).in_precision(Precision::F64);
        let case = case.in_precision(precision);
        let (flow, reference) = (built(&case.spec, seed), built(&exact.spec, seed));
        for way in WAYS {
            let name = format!("{} {way:?} seed {seed} {precision:?}", case.name);
            let (input, context) = (case.x(), case.context());
            let mut units = RoundTrip::new(way, &reference, &input, &context, precision);
            units.share_across_edges(&case.points, precision);
            let there = way.apply(&flow, input.clone(), context.clone());
            let back = way.back().apply(&flow, there.value, context);
            let (found, sum) = (host(back.value), host(there.log_det + back.log_det));
            within(&name, &found, &host(input), &units.value, UNITS_MAX);
            let zero = vec![0.0; sum.len()];
            within(&name, &sum, &zero, &units.log_det, LOG_DET_UNITS_MAX);
        }
    }
}

/// Law 3: the log-determinant is that of the Jacobian by autodiff.
///
/// # Panics
/// Where it is not.
pub fn log_det_is_that_of_the_jacobian(case: &Case) {
    for (seed, way) in case.seeds().flat_map(|seed| WAYS.map(|way| (seed, way))) {
        let flow = built(&case.spec, seed);
        let (input, context) = (case.x(), case.context());
        let log_det = host(way.apply(&flow, input.clone(), context.clone()).log_det);
        let jacobians = way.jacobians(&flow, &input, &context).into_iter();
        let expected: Vec<f64> =
            jacobians.map(|jacobian| log_abs_det(jacobian.concat(), case.spec.dims)).collect();
        // What stretches each column by so much magnifies the rounding of every operation by as much.
        let stretched = |v: &f64| (v.abs() / case.spec.dims as f64).exp() * f64::EPSILON;
        let worst = expected.iter().map(stretched).fold(0.0, f64::max);
        // What one layer of a chain stretches another may press: the volume does not show it.
        let bends = case.layer().is_none() && case.spec.transforms.iter().any(bends_far_out);
        let least = if bends { 1e-6 } else { 1e-8 };
        let tolerance = (UNITS_MAX * worst).clamp(least, 1e-6);
        close(&format!("{} {way:?} seed {seed}", case.name), &log_det, &expected, tolerance);
    }
}

/// Law 5: a row has the same bits in whatever company and order.
///
/// # Panics
/// Where it has not.
pub fn rows_do_not_know_each_other(case: &Case) {
    for seed in case.seeds() {
        let flow = built(&case.spec, seed);
        let n = case.points.len();
        let log_prob =
            |x, c| host(flow.log_prob(x, c).unwrap_or_else(|e| panic!("{}: {e}", case.name)));
        let whole = log_prob(case.x(), case.context());
        let part = |start: usize, len: usize| {
            let c = case.context().map(|c| c.narrow(0, start, len));
            log_prob(case.x().narrow(0, start, len), c)
        };
        let halves = [part(0, n / 2), part(n / 2, n - n / 2)].concat();
        assert_eq!(whole, halves, "{}: cutting the batch changed bits", case.name);
        let flipped = log_prob(case.x().flip([0]), case.context().map(|c| c.flip([0])));
        let back: Vec<f64> = flipped.into_iter().rev().collect();
        assert_eq!(whole, back, "{}: the order of rows changed bits", case.name);
    }
}

/// Law 7. Weights and activations are rounded to `2^-24`; sums of 12 products in three layers and raw parameters of size 10 make
/// that some `100 * 2^-23` in a parameter, relative to one and to the value and the products that it is the sum of.
const SINGLE_MAX: f64 = 100.0 * f32::EPSILON as f64;
/// What slopes stretch it by. A log-determinant is stretched by its own slope where that is steeper.
const STRETCH: f64 = 100.0;

/// Law 7: single precision agrees with double.
///
/// # Panics
/// Where it does not.
pub fn single_precision_agrees_with_double(case: &Case) {
    let case = case.in_precision(Precision::F32);
    for seed in case.seeds() {
        let exact = built(&case.in_precision(Precision::F64).spec, seed);
        let single = built(&case.spec, seed);
        let [a, b] =
            [&exact, &single].map(|flow| Way::ToBase.apply(flow, case.x(), case.context()));
        let (x, context) = (case.x(), case.context());
        let units = RoundTrip::new(Way::ToBase, &exact, &x, &context, Precision::F32).there;
        let count = SINGLE_MAX * STRETCH / Precision::F32.spacing(1.0);
        within(&case.name, &host(b.value), &host(a.value), &units, count);
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
