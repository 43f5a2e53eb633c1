//! Scalar maps by themselves: infinities, subnormals, knots.

use burn::tensor::{DType, Device};
use diffeo::laws::{around, host, tensor_as};
use diffeo::monotone::{
    Affine, Bernstein, DescribeMap, LogisticMixture, Monotone, MonotoneSpec, MonotonicNetwork,
    PolynomialSpline, RationalQuadratic, SumOfSquares,
};
use diffeo::{Init, burn};

fn built(map: &dyn DescribeMap) -> Box<dyn Monotone> {
    map.build(&mut Init::new(0, DType::F64, Device::flex()))
}

#[test]
fn d3_log_slopes_of_scalar_maps_are_finite_at_infinity_and_at_subnormals() {
    let spline = |bins, bound| RationalQuadratic { bins, bound };
    let maps: [MonotoneSpec; 11] = [
        Affine::default().into(),
        spline(8, 3.0).into(),
        spline(2, 1e6).into(),
        LogisticMixture { components: 5, depth: 2 }.into(),
        Bernstein::default().into(),
        Bernstein { degree: 64, bound: 1e6 }.into(),
        SumOfSquares::default().into(),
        MonotonicNetwork::default().into(),
        PolynomialSpline { degree: 1, bins: 8, bound: 3.0 }.into(),
        PolynomialSpline { degree: 2, bins: 2, bound: 1e6 }.into(),
        PolynomialSpline { degree: 3, bins: 8, bound: 3.0 }.into(),
    ];
    let x = [f64::INFINITY, f64::NEG_INFINITY, f64::from_bits(1), -0.0, 1e30, -1e30];
    for (map, dtype) in maps.iter().flat_map(|m| [DType::F64, DType::F32].map(|t| (m, t))) {
        let k = map.params_per_dim();
        for size in [0.0, 1.0, 1e4] {
            let params: Vec<f64> =
                (0..x.len() * k).map(|i| size * (i as f64 * 1.3).sin()).collect();
            for direction in [<dyn Monotone>::forward, <dyn Monotone>::inverse] {
                let params = tensor_as(params.clone(), [x.len(), k], dtype);
                let mapped =
                    direction(&*built(&**map), tensor_as(x.to_vec(), [x.len(), 1], dtype), params)
                        .unwrap();
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
    for (seed, dtype) in (0..8u64).flat_map(|s| [DType::F64, DType::F32].map(|t| (s, t))) {
        let eps = if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
        let params: Vec<f64> =
            (0..17).map(|i| ((i as f64 + 0.1) * (seed as f64 + 1.7)).sin()).collect();
        let edges = [vec![-3.0, 3.0], knots(&map, &params)].concat();
        for knot in edges {
            // Rounding may put the kernel's own knot a few units away from ours: the neighbours reach past it.
            let beside = [-64.0, -8.0, 8.0, 64.0].map(|k| knot * (1.0 + k * eps));
            let points = [around(knot).to_vec(), beside.to_vec()].concat();
            let n = points.len();
            for direction in [<dyn Monotone>::forward, <dyn Monotone>::inverse] {
                let x = tensor_as(points.clone(), [n, 1], dtype).autodiff().require_grad();
                let p = tensor_as(params.repeat(n), [n, 17], dtype).autodiff().require_grad();
                let mapped = direction(&*built(&map), x.clone(), p.clone()).unwrap();
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
