//! The spline against the paper's formulas written out in `f64`, and its laws.

use super::*;
use crate::Real;
use crate::dispatch::tests::at_each_level;
use crate::monotone::{ArgumentGradients, MapGradients, MapKernel};
use proptest::prelude::*;

/// Numbers in `(-1, 1)` that depend on the seed only.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(step).collect()
}

/// Knots on both axes and slopes, as in section 3.1 of the paper.
fn knots(spline: &RationalQuadratic, params: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let k = spline.bins;
    let axis = |raw: &[f64]| {
        let top = raw.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = raw.iter().map(|r| (r - top).exp()).sum();
        let mut edges = vec![-spline.bound];
        for r in raw {
            let share = (r - top).exp() / total;
            let size = spline.min_size + (1.0 - k as f64 * spline.min_size) * share;
            edges.push(edges.last().unwrap() + 2.0 * spline.bound * size);
        }
        edges[k] = spline.bound;
        edges
    };
    let slope = |u: &f64| {
        let shifted = u + (std::f64::consts::E - 1.0).ln();
        let soft = shifted.max(0.0) + (-shifted.abs()).exp().ln_1p();
        spline.min_slope + (1.0 - spline.min_slope) * soft
    };
    let mut slopes = vec![1.0];
    slopes.extend(params[2 * k..].iter().map(slope));
    slopes.push(1.0);
    (axis(&params[..k]), axis(&params[k..2 * k]), slopes)
}

/// Eq. 4 and 5.
fn twin(spline: &RationalQuadratic, x: f64, params: &[f64]) -> (f64, f64) {
    if x.abs() >= spline.bound {
        return (x, 0.0);
    }
    let (xs, zs, ds) = knots(spline, params);
    let k = xs.partition_point(|&edge| edge <= x) - 1;
    let (w, h) = (xs[k + 1] - xs[k], zs[k + 1] - zs[k]);
    let (t, s) = ((x - xs[k]) / w, h / w);
    let below = s + (ds[k + 1] + ds[k] - 2.0 * s) * t * (1.0 - t);
    let value = zs[k] + h * (s * t * t + ds[k] * t * (1.0 - t)) / below;
    let above = ds[k + 1] * t * t + 2.0 * s * t * (1.0 - t) + ds[k] * (1.0 - t) * (1.0 - t);
    (value, (s * s * above / (below * below)).ln())
}

fn run<T: Real>(
    spline: &RationalQuadratic,
    x: &[T],
    params: &[T],
    inverse: bool,
) -> (Vec<T>, Vec<T>) {
    let (mut value, mut log_slope) = (vec![T::ZERO; x.len()], vec![T::ZERO; x.len()]);
    match inverse {
        false => spline.forward(x, params, &mut value, &mut log_slope),
        true => spline.inverse(x, params, &mut value, &mut log_slope),
    }
    (value, log_slope)
}

fn grads(
    spline: &RationalQuadratic,
    x: &[f64],
    params: &[f64],
    (gv, gl): (&[f64], &[f64]),
    inverse: bool,
) -> (Vec<f64>, Vec<f64>) {
    let (mut input, mut to_params) = (vec![f64::NAN; x.len()], vec![f64::NAN; params.len()]);
    let from = MapGradients { value: gv, log_slope: gl };
    let to = ArgumentGradients { input: &mut input, params: &mut to_params };
    match inverse {
        false => spline.forward_backward(x, params, from, to),
        true => spline.inverse_backward(x, params, from, to),
    }
    (input, to_params)
}

#[test]
fn values_and_log_slopes_equal_the_paper() {
    for (bins, n) in [(1, 70), (2, 64), (8, 300), (16, 65)] {
        let spline = RationalQuadratic::new(bins, 4.0);
        let x: Vec<f64> = noise(n, 1).iter().map(|v| 5.0 * v).collect();
        let width = spline.params_per_dim();
        let params: Vec<f64> = noise(n * width, 2).iter().map(|v| 3.0 * v).collect();
        let (z, log) = run(&spline, &x, &params, false);
        let (back, log_back) = run(&spline, &z, &params, true);
        for i in 0..n {
            let (value, log_slope) = twin(&spline, x[i], &params[i * width..][..width]);
            assert!((z[i] - value).abs() < 1e-12, "{bins} bins, x = {}: {} {value}", x[i], z[i]);
            assert!((log[i] - log_slope).abs() < 1e-11, "{} {log_slope}", log[i]);
            assert!((back[i] - x[i]).abs() < 1e-11 && (log_back[i] + log[i]).abs() < 1e-9);
        }
    }
}

#[test]
fn zero_parameters_are_the_identity() {
    let spline = RationalQuadratic::new(8, 5.0);
    let x: Vec<f64> = (-60..=60).map(|i| f64::from(i) * 0.1).collect();
    let (z, log) = run(&spline, &x, &vec![0.0; 23 * x.len()], false);
    for ((x, z), log) in x.iter().zip(&z).zip(&log) {
        assert!((x - z).abs() < 1e-14 && log.abs() < 1e-14, "{x} {z} {log}");
    }
}

#[test]
fn gradients_equal_central_differences() {
    let spline = RationalQuadratic::new(5, 3.0);
    let width = spline.params_per_dim();
    let n = 150;
    let x: Vec<f64> = noise(n, 4).iter().map(|v| 3.3 * v).collect();
    let params: Vec<f64> = noise(n * width, 5).iter().map(|v| 2.5 * v).collect();
    let (gv, gl) = (noise(n, 6), noise(n, 7));
    for inverse in [false, true] {
        let input = if inverse { run(&spline, &x, &params, false).0 } else { x.clone() };
        let loss = |input: &[f64], params: &[f64]| -> Vec<f64> {
            let (v, l) = run(&spline, input, params, inverse);
            (0..n).map(|i| gv[i] * v[i] + gl[i] * l[i]).collect()
        };
        let (by_input, by_params) = grads(&spline, &x, &params, (&gv, &gl), inverse);
        let h = 1e-6;
        let compare = |found: f64, up: f64, down: f64, at: &str| {
            let numeric = (up - down) / (2.0 * h);
            assert!(
                (found - numeric).abs() < 3e-5 * (1.0 + found.abs()),
                "{at}: {found} {numeric}"
            );
        };
        let moved = |by: f64| input.iter().map(|v| v + by).collect::<Vec<_>>();
        let (up, down) = (loss(&moved(h), &params), loss(&moved(-h), &params));
        (0..n).for_each(|i| {
            compare(by_input[i], up[i], down[i], &format!("{inverse} input {}", x[i]))
        });
        for k in 0..width {
            let moved = |by: f64| {
                let mut params = params.clone();
                params.iter_mut().skip(k).step_by(width).for_each(|p| *p += by);
                params
            };
            let (up, down) = (loss(&input, &moved(h)), loss(&input, &moved(-h)));
            (0..n).for_each(|i| {
                compare(
                    by_params[i * width + k],
                    up[i],
                    down[i],
                    &format!("{inverse} param {k} x {}", x[i]),
                );
            });
        }
    }
}

/// D3: outside the box, on its edge, infinite, subnormal, NaN.
#[test]
fn d3_edges_of_the_box_give_finite_values_and_gradients() {
    let spline = RationalQuadratic::new(4, 3.0);
    let x = [-3.0, 3.0, 3.5, -1e6, f64::INFINITY, f64::NEG_INFINITY, 1e6, 5e-324, -0.0, f64::NAN];
    let n = x.len();
    let params: Vec<f64> = noise(n * 11, 3).iter().map(|v| 4.0 * v).collect();
    for inverse in [false, true] {
        let (value, log) = run(&spline, &x, &params, inverse);
        assert_eq!(value[..7], x[..7]);
        assert_eq!(log[..7], [0.0; 7]);
        assert!(value[7].is_finite() && value[8].is_finite());
        assert!(value[9].is_nan() && log[9].is_nan());
        let (input, by_params) = grads(&spline, &x, &params, (&[1.0; 10], &[0.5; 10]), inverse);
        assert_eq!(input[..7], [1.0; 7]);
        assert!(by_params[..77].iter().all(|&g| g == 0.0));
        assert!(by_params.iter().chain(&input).all(|g| g.is_finite()));
    }
}

#[test]
fn d3_knots_belong_to_one_bin_and_gradients_there_are_finite() {
    let spline = RationalQuadratic::new(8, 3.0);
    let params: Vec<f64> = noise(23, 11).iter().map(|v| 2.0 * v).collect();
    let (xs, zs, ds) = knots(&spline, &params);
    for k in 0..=8 {
        let (value, log) = run(&spline, &[xs[k]], &params, false);
        assert!((value[0] - zs[k]).abs() < 1e-13 && (log[0] - ds[k].ln()).abs() < 1e-12);
        let (input, by_params) = grads(&spline, &[xs[k]], &params, (&[1.0], &[1.0]), false);
        assert!(input.iter().chain(&by_params).all(|g| g.is_finite()));
    }
}

#[test]
fn nan_parameters_are_never_hidden() {
    let spline = RationalQuadratic::new(3, 2.0);
    for x in [-1.9, -0.3, 0.2, 1.8] {
        for k in 0..6 {
            let mut params = [0.3; 8];
            params[k] = f64::NAN;
            for inverse in [false, true] {
                let (value, log) = run(&spline, &[x], &params, inverse);
                assert!(
                    value[0].is_nan() && log[0].is_nan(),
                    "x = {x}, parameter {k}, inverse {inverse}"
                );
            }
        }
    }
}

/// D4: a million random bins in `f32`; sizes and slopes over the whole range that parameters can reach.
#[test]
fn d4_a_million_random_bins_in_f32_round_trip() {
    let spline = RationalQuadratic::new(2, 1.0);
    let (n, rounds) = (10_000, 100);
    let mut worst = 0.0f32;
    for round in 0..rounds {
        let x: Vec<f32> = noise(n, round).iter().map(|&v| v as f32).collect();
        let spread = [1.0, 4.0, 12.0, 1e4][round as usize % 4];
        let params: Vec<f32> =
            noise(n * 5, round + 1000).iter().map(|&v| (v * spread) as f32).collect();
        let (z, log) = run(&spline, &x, &params, false);
        let (back, log_back) = run(&spline, &z, &params, true);
        for i in 0..n {
            assert!(
                log[i].is_finite()
                    && log_back[i].is_finite()
                    && z[i].abs() <= 1.0
                    && back[i].abs() <= 1.0
            );
            // A rounding of z moves x by that over the slope, a rounding of x moves z by that times it.
            let forth = run(&spline, &back[i..=i], &params[i * 5..][..5], false).0[0];
            let on_x = (back[i] - x[i]).abs() / (1.0 + (-log[i]).exp());
            let on_z = (forth - z[i]).abs() / (1.0 + log[i].exp());
            worst = worst.max(on_x.min(on_z) / f32::EPSILON);
        }
    }
    println!("worst round trip: {worst} epsilon");
    assert!(worst < 8.0, "{worst}");
}

proptest! {
    #[test]
    fn d4_finite_for_any_finite_parameters(
        x in prop::collection::vec(-5.0f32..5.0, 20),
        params in prop::collection::vec(prop_oneof![-1e4f32..1e4, -5.0f32..5.0, Just(1e4f32), Just(-1e4f32), Just(1e30f32), Just(-1e30f32)], 20 * 23),
    ) {
        let spline = RationalQuadratic::new(8, 5.0);
        for inverse in [false, true] {
            let (value, log) = run(&spline, &x, &params, inverse);
            prop_assert!(value.iter().chain(&log).all(|v| v.is_finite()));
            let (mut input, mut to_params) = (vec![f32::NAN; 20], vec![f32::NAN; 20 * 23]);
            let at = if inverse { &value } else { &x };
            let from = MapGradients { value: &[1.0; 20], log_slope: &[-1.0; 20] };
            let to = ArgumentGradients { input: &mut input, params: &mut to_params };
            match inverse {
                false => spline.forward_backward(at, &params, from, to),
                true => spline.inverse_backward(at, &params, from, to),
            }
            prop_assert!(input.iter().chain(&to_params).all(|g| g.is_finite()), "{input:?} {to_params:?}");
        }
    }

    #[test]
    fn rising_and_inverse_at_once(
        mut x in prop::collection::vec(-5.5f64..5.5, 30),
        params in prop::collection::vec(-6.0f64..6.0, 23),
    ) {
        let spline = RationalQuadratic::new(8, 5.0);
        x.sort_by(f64::total_cmp);
        let all = params.repeat(30);
        let (z, log) = run(&spline, &x, &all, false);
        prop_assert!(z.is_sorted());
        let (back, log_back) = run(&spline, &z, &all, true);
        for i in 0..30 {
            let slack = 1e-13 * (1.0 + (-log[i]).exp());
            prop_assert!((back[i] - x[i]).abs() < 100.0 * slack, "{} {}", back[i], x[i]);
            prop_assert!((log[i] + log_back[i]).abs() < 1e-6);
        }
    }
}

#[test]
fn d9_an_element_has_the_same_bits_anywhere_and_on_any_instruction_set() {
    let spline = RationalQuadratic::new(8, 4.0);
    let x: Vec<f32> = noise(133, 1).iter().map(|&v| 4.5 * v as f32).collect();
    let params: Vec<f32> = noise(133 * 23, 2).iter().map(|&v| 3.0 * v as f32).collect();
    let all = at_each_level(|| {
        let whole = run(&spline, &x, &params, false);
        for (start, end) in [(0, 1), (5, 70), (100, 133)] {
            let part = run(&spline, &x[start..end], &params[start * 23..end * 23], false);
            assert!(part.0 == whole.0[start..end] && part.1 == whole.1[start..end]);
        }
        (whole, run(&spline, &x, &params, true))
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}
