//! Maps of a tile and of columns against maps of rows.

use super::*;
use crate::dispatch::tests::at_each_level;
use crate::{
    Affine, Bernstein, LogisticMixture, MonotonicNetwork, PolynomialSpline, RationalQuadratic,
    Real, SumOfSquares,
};

fn numbers<T: Real>(n: usize, speed: f64, size: f64) -> Vec<T> {
    (0..n).map(|i| T::from_f64((i as f64 * speed + 1.0).sin() * size)).collect()
}

/// `[TILE_ROWS, columns]` to `[columns, TILE_ROWS]`.
fn tile<T: Real>(rows: &[T]) -> Vec<T> {
    let columns = rows.len() / TILE_ROWS;
    (0..rows.len()).map(|i| rows[i % TILE_ROWS * columns + i / TILE_ROWS]).collect()
}

fn compare<T: Real>(map: &dyn MapKernel<T>) {
    const DIMS: usize = 3;
    let width = map.params_per_dim();
    let n = TILE_ROWS * DIMS;
    let (mut x, params) = (numbers::<T>(n, 1.7, 5.5), numbers::<T>(n * width, 2.3, 3.0));
    (x[5], x[n - 1]) = (T::INFINITY, T::from_f64(5.0));
    let (gv, gl) = (numbers::<T>(n, 3.1, 1.0), numbers::<T>(n, 0.9, 1.0));
    let zeros = || (vec![T::ZERO; n], vec![T::ZERO; n]);
    let (mut rows, mut tiles) = (zeros(), zeros());
    map.forward(&x, &params, &mut rows.0, &mut rows.1);
    map.forward_tile(&tile(&x), &tile(&params), &mut tiles.0, &mut tiles.1);
    assert!(tile(&rows.0) == tiles.0 && tile(&rows.1) == tiles.1, "{map:?}");

    let zeros = || (vec![T::ZERO; n], vec![T::ZERO; n * width]);
    let (mut rows, mut tiles) = (zeros(), zeros());
    let from = MapGradients { value: &gv, log_slope: &gl };
    let to = ArgumentGradients { input: &mut rows.0, params: &mut rows.1 };
    map.forward_backward(&x, &params, from, to);
    let from = MapGradients { value: &tile(&gv), log_slope: &tile(&gl) };
    let to = ArgumentGradients { input: &mut tiles.0, params: &mut tiles.1 };
    map.forward_backward_tile(&tile(&x), &tile(&params), from, to);
    // Infinity minus infinity is NaN for the affine map: bits are compared, not numbers.
    let text = |v: &[T]| format!("{v:?}");
    assert_eq!(text(&tile(&rows.0)), text(&tiles.0), "{map:?}");
    assert_eq!(text(&tile(&rows.1)), text(&tiles.1), "{map:?}");
}

/// Two tiles of rows of one column, whose parameters lie apart as those of three tiles do.
fn compare_columns<T: Real>(map: &dyn MapKernel<T>) {
    const ROWS: usize = 2 * TILE_ROWS;
    const STRIDE: usize = 3 * TILE_ROWS;
    let width = map.params_per_dim();
    let (mut z, params) = (numbers::<T>(ROWS, 1.7, 5.5), numbers::<T>(ROWS * width, 2.3, 3.0));
    (z[5], z[ROWS - 1]) = (T::INFINITY, T::from_f64(5.0));
    let zeros = || (vec![T::ZERO; ROWS], vec![T::ZERO; ROWS]);
    let (mut rows, mut columns) = (zeros(), zeros());
    map.inverse(&z, &params, &mut rows.0, &mut rows.1);
    let mut apart = vec![T::ZERO; STRIDE * width];
    for (i, &p) in params.iter().enumerate() {
        apart[i % width * STRIDE + i / width] = p;
    }
    map.inverter().invert(&z, &apart, STRIDE, &mut columns.0, &mut columns.1);
    assert!(rows == columns, "{map:?}");
}

fn polynomial_spline(degree: usize, bins: usize) -> PolynomialSpline {
    PolynomialSpline { degree, bins, bound: 5.0, min_size: 1e-3, min_slope: 1e-3 }
}

fn at_both_types(check: impl Fn(&dyn MapKernel<f32>, &dyn MapKernel<f64>)) {
    at_each_level(|| {
        check(&Affine { log_scale_max: 7.0 }, &Affine { log_scale_max: 7.0 });
        for bins in [1, 2, 3, 8, 17] {
            let spline = RationalQuadratic::new(bins, 5.0);
            check(&spline, &spline);
        }
        for [components, depth] in [[1, 1], [8, 2]] {
            let mixture = LogisticMixture { components, depth };
            check(&mixture, &mixture);
        }
        for degree in [2, 9] {
            let polynomial = Bernstein { degree, bound: 5.0, min_slope: 1e-3 };
            check(&polynomial, &polynomial);
        }
        let squares = SumOfSquares { polynomials: 2, degree: 3, bound: 5.0, min_slope: 1e-3 };
        check(&squares, &squares);
        let network = MonotonicNetwork { units: 3, nodes: 8, bound: 5.0, min_slope: 1e-3 };
        check(&network, &network);
        for (degree, bins) in [(1, 2), (1, 9), (2, 2), (2, 9), (3, 2), (3, 9)] {
            let spline = polynomial_spline(degree, bins);
            check(&spline, &spline);
        }
    });
}

#[test]
fn d9_a_tile_has_the_bits_of_its_rows() {
    at_both_types(|single, double| {
        compare(single);
        compare(double);
    });
}

#[test]
fn d9_a_column_has_the_bits_of_its_rows() {
    at_both_types(|single, double| {
        compare_columns(single);
        compare_columns(double);
    });
}

#[test]
#[should_panic(expected = "whole number of columns")]
fn part_of_a_tile_is_refused() {
    let map = RationalQuadratic::new(2, 5.0);
    map.forward_tile(&[0.0; 8], &[0.0; 40], &mut [0.0; 8], &mut [0.0; 8]);
}

/// Maps without a formula for the inverse come back from wherever they have been, or to a neighbour of it.
fn round_trip<T: Real>(map: &dyn MapKernel<T>, size: f64) {
    const N: usize = 4 * TILE_ROWS;
    let far = [1e-8, 0.3, -2.0, 5.0, -40.0, 1e3, -1e6, 1e6];
    let x: Vec<T> = (0..N).map(|i| T::from_f64(far[i % far.len()])).collect();
    let params = numbers::<T>(N * map.params_per_dim(), 2.3, size);
    let zeros = || (vec![T::ZERO; N], vec![T::ZERO; N]);
    let (mut there, mut back) = (zeros(), zeros());
    map.forward(&x, &params, &mut there.0, &mut there.1);
    map.inverse(&there.0, &params, &mut back.0, &mut back.1);
    for i in 0..N {
        let [x, z, slope] = [x[i], there.0[i], there.1[i].exp()].map(T::to_f64);
        // What rounding of the forward pass does to the way back.
        let unit = T::EPSILON.to_f64() * (1.0 + x.abs() + (1.0 + z.abs()) / slope);
        let miss = (back.0[i].to_f64() - x).abs();
        assert!(miss < 300.0 * unit, "{map:?}: {x} to {z} and back to {}", back.0[i]);
    }
}

#[test]
fn what_has_no_formula_comes_back() {
    for size in [0.3, 1.0, 3.0] {
        let mixture = LogisticMixture { components: 5, depth: 1 };
        let polynomial = Bernstein { degree: 9, bound: 5.0, min_slope: 1e-3 };
        let squares = SumOfSquares { polynomials: 1, degree: 1, bound: 2.0, min_slope: 1e-3 };
        round_trip::<f32>(&mixture, size);
        round_trip::<f64>(&mixture, size);
        round_trip::<f32>(&polynomial, size);
        round_trip::<f64>(&polynomial, size);
        round_trip::<f32>(&squares, size);
        round_trip::<f64>(&squares, size);
        let network = MonotonicNetwork { units: 4, nodes: 32, bound: 5.0, min_slope: 1e-3 };
        round_trip::<f32>(&network, size);
        round_trip::<f64>(&network, size);
        for degree in 1..=3 {
            round_trip::<f32>(&polynomial_spline(degree, 8), size);
            round_trip::<f64>(&polynomial_spline(degree, 8), size);
        }
    }
}

#[test]
fn the_error_of_a_network_s_quadrature_is_as_documented() {
    const N: usize = 200;
    let x: Vec<f64> = (0..N).map(|i| if i % 2 == 0 { 5.0 } else { -5.0 }).collect();
    for (nodes, limit) in [(32, 1e-6), (48, 1e-9), (64, 1e-11)] {
        let map = MonotonicNetwork { units: 16, nodes, bound: 5.0, min_slope: 1e-3 };
        for size in [0.3, 1.0, 3.0, 30.0] {
            let params = numbers::<f64>(N * map.params_per_dim(), 2.3, size);
            let (mut z, mut slope) = (vec![0.0; N], vec![0.0; N]);
            map.forward(&x, &params, &mut z, &mut slope);
            let scale = z.iter().fold(1.0f64, |top, z| top.max(z.abs()));
            let error = map.error(&x, &params) / scale;
            assert!(error < limit, "{nodes} nodes, size {size}: {error:e}");
        }
    }
    // Too few are found out.
    let map = MonotonicNetwork { units: 16, nodes: 4, bound: 5.0, min_slope: 1e-3 };
    assert!(map.error(&x, &numbers(N * map.params_per_dim(), 2.3, 1.0)) > 1e-3);
}
