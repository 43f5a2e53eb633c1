//! Norms that bound, estimates without bias, roots to rounding.

use burn::tensor::{DType, Device};

use super::network::Trace;
use super::roulette::{self, Probes, Series};
use super::*;
use crate::error::ErrorKind;
use crate::host::draws::Draws;
use crate::host::linalg::host_values;
use crate::host::random::{Purpose, Streams, normal};

const CPU: fn() -> Device = Device::flex;

fn tensor(values: Vec<f64>, shape: [usize; 2], dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&CPU(), dtype))
}

fn host<const D: usize>(t: Tensor<D>) -> Vec<f64> {
    host_values(t).unwrap()
}

/// Normal numbers of a deviation.
fn noise(shape: [usize; 2], size: f64, seed: u64) -> Vec<f64> {
    let mut rng = Streams::new(seed).rng(Purpose::Check, 7, 0);
    (0..shape[0] * shape[1]).map(|_| size * normal(&mut rng)).collect()
}

/// A network whose weights are normal numbers of a deviation.
fn network(spec: &ResidualSpec, at: Place, size: f64, seed: u64, dtype: DType) -> Network {
    let mut network = Network::new(spec, at, &mut Init::new(seed, dtype, CPU()));
    let mut count = 100 * seed;
    network.visit(&mut |_, p| {
        count += 1;
        p.value = tensor(noise(p.value.dims(), size, count), p.value.dims(), dtype);
    });
    network
}

/// The same network with weights that record gradients.
fn tracked(network: &Network) -> (Network, Vec<Tensor<2>>) {
    let (mut network, mut leaves) = (network.clone(), Vec::new());
    network.visit(&mut |_, p| {
        p.value = p.value.clone().autodiff().require_grad();
        leaves.push(p.value.clone());
    });
    (network, leaves)
}

fn shapes() -> Vec<ResidualSpec> {
    use ContractiveActivation::{Elu, LipSwish, Tanh};
    let of = |(activation, norm, lipschitz)| ResidualSpec {
        activation,
        norm,
        lipschitz,
        ..ResidualSpec::new(vec![16, 11])
    };
    let (spectral, infinity) = (LipschitzNorm::Spectral, LipschitzNorm::Infinity);
    [
        (LipSwish, spectral, 0.97),
        (Elu, spectral, 0.99),
        (Tanh, infinity, 0.9),
        (LipSwish, infinity, 0.97),
    ]
    .map(of)
    .to_vec()
}

/// The largest singular value: of the matrix whose columns Jacobi's rotations have made orthogonal, the longest.
fn largest_singular_value(values: &[f64], [rows, columns]: [usize; 2]) -> f64 {
    let mut a: Vec<Vec<f64>> =
        (0..columns).map(|j| (0..rows).map(|i| values[i * columns + j]).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    for _ in 0..60 {
        for (p, q) in (0..columns).flat_map(|p| (p + 1..columns).map(move |q| (p, q))) {
            let (alpha, beta, gamma) = (dot(&a[p], &a[p]), dot(&a[q], &a[q]), dot(&a[p], &a[q]));
            if gamma == 0.0 {
                continue;
            }
            let zeta = (beta - alpha) / (2.0 * gamma);
            let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let c = 1.0 / (1.0 + t * t).sqrt();
            for i in 0..rows {
                let (x, y) = (a[p][i], a[q][i]);
                (a[p][i], a[q][i]) = (c * x - c * t * y, c * t * x + c * y);
            }
        }
    }
    a.iter().map(|column| dot(column, column).sqrt()).fold(0.0, f64::max)
}

/// Matrices: random ones, of equal singular values, of rank one, with one dominant element, nothing.
fn matrices() -> Vec<(Vec<f64>, [usize; 2])> {
    let mut all: Vec<_> = [[1, 1], [1, 7], [7, 1], [5, 12], [12, 5], [24, 24]]
        .into_iter()
        .map(|shape| (noise(shape, 1.0, 5), shape))
        .collect();
    let d = 24;
    let eye = |i: usize| f64::from(u8::from(i / d == i % d));
    // A reflection: all singular values are one.
    let turned = |i: usize| eye(i) - 2.0 / d as f64;
    all.push(((0..d * d).map(eye).collect(), [d, d]));
    all.push(((0..d * d).map(turned).collect(), [d, d]));
    all.push((vec![1.0; d * d], [d, d]));
    all.push(((0..d * d).map(|i| if i == 0 { 1.0 } else { 1e-3 * eye(i) }).collect(), [d, d]));
    all
}

#[test]
fn a_spectral_norm_is_bounded_from_above_and_closely() {
    let norm = LipschitzNorm::Spectral;
    for (dtype, scales) in
        [(DType::F64, [1.0, 1e4, 1e-30, 1e150]), (DType::F32, [1.0, 1e4, 1e-30, 1e30])]
    {
        let rounding = if dtype == DType::F64 { 1e-12 } else { 1e-6 };
        for ((values, shape), scale) in
            matrices().into_iter().flat_map(|m| scales.map(|s| (m.clone(), s)))
        {
            let weight = tensor(values.iter().map(|v| v * scale).collect(), shape, dtype);
            let sigma = largest_singular_value(&values, shape) * scale;
            let held = largest_singular_value(&host(norm.held(weight.clone(), 0.9)), shape);
            if sigma > 0.91 {
                let name = format!("{shape:?} {scale:e} {dtype:?}: {sigma} held to {held}");
                assert!(held <= 0.9 * (1.0 + rounding), "{name}");
                assert!(held >= 0.9 * 0.996, "{name}");
            } else if sigma < 0.89 {
                assert_eq!(host(norm.held(weight.clone(), 0.9)), host(weight), "left as it is");
            }
        }
        let zero = norm.held(Tensor::zeros([3, 2], (&CPU(), dtype)), 0.9);
        assert_eq!(host(zero), [0.0; 6]);
    }
}

#[test]
fn outputs_are_held_to_a_sum_of_weights_each() {
    let values = vec![3.0, 0.1, -1e30, -1.0, 0.2, 1e30, 0.5, -0.3, 1e30];
    let held = host(LipschitzNorm::Infinity.held(tensor(values.clone(), [3, 3], DType::F32), 0.9));
    let sum = |j: usize| -> f64 { (0..3).map(|i| held[3 * i + j].abs()).sum() };
    let [first, second, third] = [0, 1, 2].map(sum);
    assert!((first - 0.9).abs() < 1e-6 && (third - 0.9).abs() < 1e-6, "{held:?}");
    // Beside weights of 1e30 small ones lose what single precision has no digits for.
    assert!((second - 0.6).abs() < 1e-6, "{held:?}");
}

#[test]
fn the_gradient_of_a_norm_is_that_of_differences() {
    for norm in [LipschitzNorm::Spectral, LipschitzNorm::Infinity] {
        for shape in [[5, 9], [9, 5], [6, 6]] {
            let values = noise(shape, 2.0, 3);
            let weights = tensor(noise(shape, 1.0, 4), shape, DType::F64);
            let score = |values: Vec<f64>| {
                let held = norm.held(tensor(values, shape, DType::F64), 0.9);
                host((held * weights.clone()).sum())[0]
            };
            let leaf = tensor(values.clone(), shape, DType::F64).autodiff().require_grad();
            let total = (norm.held(leaf.clone(), 0.9) * weights.clone()).sum();
            let gradient = host(leaf.grad(&total.backward()).unwrap());
            for (i, found) in gradient.into_iter().enumerate() {
                let moved = |step: f64| {
                    let mut values = values.clone();
                    values[i] += step;
                    score(values)
                };
                let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((found - expected).abs() < 1e-8, "{norm:?} {shape:?}: {found} {expected}");
            }
        }
    }
}

#[test]
fn no_activation_is_steeper_than_one_and_slopes_are_those_of_differences() {
    use ContractiveActivation::{Elu, LipSwish, Tanh};
    let at: Vec<f64> = (-4000..=4000).map(|i| 1e-2 * f64::from(i) + 1e-7).collect();
    for (activation, beta) in [
        (LipSwish, 1.0),
        (LipSwish, 1e3),
        (LipSwish, 1e-3),
        (LipSwish, 0.3),
        (Elu, 1.0),
        (Tanh, 1.0),
    ] {
        let of = |step: f64| {
            let moved = at.iter().map(|v| v + step).collect();
            let beta = tensor(vec![beta], [1, 1], DType::F64);
            activation.with_slope(tensor(moved, [at.len(), 1], DType::F64), Some(&beta)).map(host)
        };
        let [[_, slope], [above, _], [below, _]] = [of(0.0), of(1e-6), of(-1e-6)];
        let steepest = slope.iter().fold(0.0f64, |top, s| top.max(s.abs()));
        assert!(steepest <= 1.0, "{activation:?} {beta}: {steepest}");
        for i in 0..at.len() {
            let expected = (above[i] - below[i]) / 2e-6;
            assert!(
                (slope[i] - expected).abs() < 1e-6 * beta.max(1.0).powi(2),
                "{activation:?} {beta} at {}",
                at[i]
            );
        }
    }
}

/// `|g(x) - g(y)| / |x - y|` for pairs of rows near and far.
fn stretches(held: &Held, spec: &ResidualSpec, d: usize) -> Vec<f64> {
    let n = 400;
    let x = noise([n, d], 1.5, 11);
    let apart = noise([n, d], 1.0, 12);
    let y: Vec<f64> =
        (0..n * d).map(|i| x[i] + apart[i] * 10f64.powi((i / d % 7) as i32 - 4)).collect();
    let of =
        |values: &Vec<f64>| host(held.at(tensor(values.clone(), [n, d], DType::F64), None).value);
    let (gx, gy) = (of(&x), of(&y));
    let between = |a: &[f64], b: &[f64]| {
        spec.norm.length(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
    };
    let rows = (0..n).map(|i| i * d..(i + 1) * d);
    rows.map(|row| between(&gx[row.clone()], &gy[row.clone()]) / between(&x[row.clone()], &y[row]))
        .collect()
}

#[test]
fn the_network_contracts_whatever_its_weights_are() {
    for (spec, d) in shapes().into_iter().flat_map(|spec| [1, 3, 16].map(|d| (spec.clone(), d))) {
        let at = Place::new(d, 0);
        for (seed, size) in (0..4).flat_map(|seed| [0.05, 1.0, 30.0, 1e4].map(|size| (seed, size)))
        {
            let held = network(&spec, at, size, seed, DType::F64).held();
            let worst = stretches(&held, &spec, d).into_iter().fold(0.0, f64::max);
            assert!(worst <= spec.lipschitz + 1e-9, "{spec:?} {d} {size}: {worst}");
        }
        // All weights equal: every layer points the same way.
        let mut equal = Network::new(&spec, at, &mut Init::new(0, DType::F64, CPU()));
        equal.visit(&mut |name, p| {
            let value = if name.ends_with("weight") { 1e4 } else { 0.0 };
            p.value = p.value.full_like(value);
        });
        let worst = stretches(&equal.held(), &spec, d).into_iter().fold(0.0, f64::max);
        assert!(worst <= spec.lipschitz + 1e-9, "{spec:?} {d}, equal weights: {worst}");
    }
}

#[test]
fn the_bound_is_reached() {
    for norm in [LipschitzNorm::Spectral, LipschitzNorm::Infinity] {
        let spec = ResidualSpec {
            activation: ContractiveActivation::Tanh,
            norm,
            ..ResidualSpec::new(vec![3, 3])
        };
        let mut network =
            Network::new(&spec, Place::new(3, 0), &mut Init::new(0, DType::F64, CPU()));
        network.visit(&mut |name, p| {
            let eye = |i: usize| if i.is_multiple_of(4) { 1e4 } else { 0.0 };
            let values = (0..p.value.dims().iter().product()).map(eye).collect();
            p.value = if name.ends_with("weight") {
                tensor(values, p.value.dims(), DType::F64)
            } else {
                p.value.zeros_like()
            };
        });
        let held = network.held();
        let trace = held.at(Tensor::zeros([1, 3], (&CPU(), DType::F64)), None);
        let jacobian = host(held.jacobian(&trace.slopes));
        assert!(jacobian[0] <= 0.97 && jacobian[0] > 0.965, "{norm:?}: {jacobian:?}");
    }
}

/// A network of three columns whose Jacobian is near its bound, from minus the identity to something turned, and a point.
fn small() -> (ResidualSpec, Network, Vec<f64>) {
    let activation = ContractiveActivation::Tanh;
    let spec =
        ResidualSpec { exact_dims: 0, terms: 2, activation, ..ResidualSpec::new(vec![8, 8]) };
    let mut network = network(&spec, Place::new(3, 0), 0.1, 2, DType::F64);
    network.visit(&mut |name, p| {
        let [_, columns] = p.value.dims();
        let sign = if name.starts_with("layers.2") { -1.0 } else { 1.0 };
        let eye = |(i, v): (usize, f64)| match i / columns == i % columns {
            true => sign * (20.0 + 30.0 * v),
            false => 30.0 * v,
        };
        if name.ends_with("weight") {
            let values = host(p.value.clone()).into_iter().enumerate().map(eye).collect();
            p.value = tensor(values, p.value.dims(), DType::F64);
        }
    });
    (spec, network, vec![0.3, -0.4, 0.2])
}

fn trace(held: &Held, x: &[f64], n: usize) -> Trace {
    held.at(tensor(x.repeat(n), [n, x.len()], DType::F64), None)
}

/// How many standard errors the mean of some numbers is away from what it should be.
fn errors_off(found: &[f64], expected: f64) -> f64 {
    let n = found.len() as f64;
    let mean = found.iter().sum::<f64>() / n;
    let variance = found.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean - expected).abs() / (variance / n).sqrt()
}

fn probes(n: usize, d: usize, step: u64) -> Probes {
    Probes::draw(&Draws::new(Streams::new(3), step, 0), [n, d])
}

#[test]
fn the_estimate_of_the_log_determinant_has_no_bias_and_a_truncated_one_has() {
    const DRAWS: usize = 100_000;
    let (spec, network, x) = small();
    let held = network.held();
    let exact = host(determinant::log_det(&held, &trace(&held, &x, 1).slopes).unwrap())[0];
    let slopes = trace(&held, &x, DRAWS).slopes;
    let off = |probes: &Probes| {
        let found = host(roulette::estimate(&held, &slopes, probes, &spec).unwrap());
        errors_off(&found, exact)
    };
    let fair = probes(DRAWS, 3, 0);
    assert!(off(&fair) < 4.0, "{} standard errors", off(&fair));
    // A row that never goes on, or always goes on further than its probability says, or signs that are not independent.
    let truncated = Probes { chances: vec![1.0; DRAWS], ..fair.clone() };
    let eager = Probes { chances: fair.chances.iter().map(|c| 0.5 * c).collect(), ..fair.clone() };
    let alike = Probes { signs: vec![1.0; 3 * DRAWS], ..fair };
    for wrong in [truncated, eager, alike] {
        assert!(off(&wrong) > 6.0, "{} standard errors", off(&wrong));
    }
}

/// Gradients by all weights and by `x` of the mean of a number a row.
fn gradients(
    network: &Network,
    x: &[f64],
    n: usize,
    of: impl Fn(&Held, &Slopes) -> Tensor<1>,
) -> Vec<f64> {
    let (network, mut leaves) = tracked(network);
    let held = network.held();
    let x = tensor(x.repeat(n), [n, x.len()], DType::F64).autodiff().require_grad();
    let slopes = held.at(x.clone(), None).slopes;
    let grads = of(&held, &slopes).mean().backward();
    let by_x = host(x.grad(&grads).unwrap().sum_dim(0));
    leaves.retain(|leaf| leaf.grad(&grads).is_some());
    leaves.iter().flat_map(|leaf| host(leaf.grad(&grads).unwrap())).chain(by_x).collect()
}

#[test]
fn the_gradient_of_the_estimate_has_no_bias_and_one_without_the_series_has() {
    const BATCHES: usize = 100;
    const ROWS: usize = 1000;
    let (spec, network, x) = small();
    let exact =
        gradients(&network, &x, 1, |held, slopes| determinant::log_det(held, slopes).unwrap());
    let worst = |wrong: bool| {
        let batch = |step: usize| {
            gradients(&network, &x, ROWS, |held, slopes| {
                let probes = probes(ROWS, 3, step as u64);
                if wrong {
                    let to = (&CPU(), DType::F64);
                    return roulette::along(held, slopes, [probes.signs.clone(), probes.signs], to);
                }
                roulette::estimate(held, slopes, &probes, &spec).unwrap()
            })
        };
        let found: Vec<Vec<f64>> = (0..BATCHES).map(batch).collect();
        let column = |i: usize| found.iter().map(|batch| batch[i]).collect::<Vec<_>>();
        assert!(found[0].len() == exact.len() && exact.len() > 100);
        // Biases of the last layer have none; nor have weights that are at rest.
        let moving = (0..exact.len()).filter(|i| exact[*i] != 0.0);
        moving.map(|i| errors_off(&column(i), exact[i])).fold(0.0, f64::max)
    };
    // The largest of 130.
    assert!(worst(false) < 4.0, "{} standard errors", worst(false));
    assert!(worst(true) > 8.0, "{} standard errors", worst(true));
}

#[test]
fn an_estimate_is_that_of_its_row_in_any_company_and_costs_no_graph() {
    let spec = ResidualSpec { terms: 3, ..ResidualSpec::new(vec![16]) };
    for dtype in [DType::F32, DType::F64] {
        let network = network(&spec, Place::new(12, 0), 1.0, 4, dtype);
        let x = tensor(noise([50, 12], 1.0, 1), [50, 12], dtype);
        let (with_grad, _) = tracked(&network);
        let held = with_grad.held();
        let draws = Draws::new(Streams::new(1), 5, 0);
        let estimate = |start: usize, len: usize| {
            let slopes = held.at(x.clone().narrow(0, start, len), None).slopes;
            let probes = Probes::draw(&draws.after(start), [len, 12]);
            host(roulette::estimate(&held, &slopes, &probes, &spec).unwrap())
        };
        let whole = estimate(0, 50);
        assert_eq!(whole, [estimate(0, 1), estimate(1, 20), estimate(21, 29)].concat());
        // The terms of the series are numbers of a network that records nothing.
        let slopes = held.at(x.clone(), None).slopes;
        let (still, flat) = (held.detached(), slopes.detached());
        assert!(
            held.is_tracked() && slopes.is_tracked() && held.along(&slopes, x.clone()).is_tracked()
        );
        assert!(
            !still.is_tracked()
                && !flat.is_tracked()
                && !still.along(&flat, x.clone()).is_tracked()
        );
    }
}

#[test]
fn the_series_ends_for_a_network_that_is_nothing_and_for_one_that_hardly_contracts() {
    let spec = ResidualSpec { lipschitz: 0.99, ..ResidualSpec::new(vec![3]) };
    let zero = Network::new(&spec, Place::new(3, 0), &mut Init::new(0, DType::F64, CPU())).held();
    let found: Series = {
        let slopes = trace(&zero, &[1.0, 2.0, 3.0], 5).slopes;
        roulette::series(&zero, &slopes, &probes(5, 3, 0), &spec).unwrap()
    };
    assert_eq!(found.log_det, [0.0; 5]);
    let tanh = ResidualSpec { activation: ContractiveActivation::Tanh, ..spec };
    let mut steep = Network::new(&tanh, Place::new(3, 0), &mut Init::new(0, DType::F64, CPU()));
    steep.visit(&mut |name, p| {
        let eye = |i: usize| if i.is_multiple_of(4) { 10.0 } else { 0.0 };
        let values = (0..p.value.dims().iter().product()).map(eye).collect();
        p.value = if name.ends_with("weight") {
            tensor(values, p.value.dims(), DType::F64)
        } else {
            p.value.zeros_like()
        };
    });
    let held = steep.held();
    let slopes = trace(&held, &[0.0; 3], 20_000).slopes;
    let found = roulette::series(&held, &slopes, &probes(20_000, 3, 1), &tanh).unwrap().log_det;
    // J is 0.99 I to 0.3 %: a series of which hundreds of terms count, and the mean is still known.
    let exact = host(determinant::log_det(&held, &trace(&held, &[0.0; 3], 1).slopes).unwrap())[0];
    assert!((exact - 3.0 * 1.99f64.ln()).abs() < 0.01);
    assert!(errors_off(&found, exact) < 4.0);
    let spread = found.iter().fold(0.0f64, |top, v| top.max((v - exact).abs()));
    assert!(spread < 20.0, "no term outweighs the first ones: {spread}");
}

#[test]
fn the_inverse_arrives_at_rounding_from_everywhere() {
    for (spec, d) in shapes().into_iter().flat_map(|spec| [1, 3, 20].map(|d| (spec.clone(), d))) {
        for (dtype, epsilon) in [(DType::F64, f64::EPSILON), (DType::F32, f64::from(f32::EPSILON))]
        {
            for (size, far) in [(0.5, 1.0), (30.0, 3.0), (1e4, 1.0), (1.0, 1e6), (1.0, 1e30)] {
                let network = network(&spec, Place::new(d, 0), size, 1, dtype);
                let (held, z) = (network.held(), tensor(noise([40, d], far, 8), [40, d], dtype));
                let x = fixed_point::solve(&network, &z, None, &spec).unwrap();
                let moved = host(x.clone() + held.at(x.clone(), None).value);
                let (x, z) = (host(x), host(z));
                for row in 0..40 {
                    let of = |v: &[f64]| spec.norm.length(&v[row * d..][..d]);
                    let residual = spec.norm.length(
                        &(row * d..row * d + d).map(|i| moved[i] - z[i]).collect::<Vec<_>>(),
                    );
                    // Biases are as large as weights.
                    let unit = epsilon * (1.0 + of(&x) + of(&z) + size);
                    assert!(
                        residual < 20.0 * unit,
                        "{spec:?} {d} {dtype:?} {size} {far:e}: {} units",
                        residual / unit
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_root_in_any_company_and_one_that_is_not_finite_spoils_no_other() {
    let spec = ResidualSpec::new(vec![16]);
    let network = network(&spec, Place::new(2, 0), 3.0, 1, DType::F64);
    let mut values = noise([9, 2], 2.0, 8);
    let solve = |values: &[f64]| {
        let z = tensor(values.to_vec(), [values.len() / 2, 2], DType::F64);
        host(fixed_point::solve(&network, &z, None, &spec).unwrap())
    };
    let together = solve(&values);
    let alone: Vec<f64> = values.chunks(2).flat_map(solve).collect();
    assert_eq!(together, alone);
    (values[4], values[11]) = (f64::NAN, f64::INFINITY);
    let found = solve(&values);
    for row in 0..9 {
        match row {
            2 | 5 => assert!(found[2 * row].is_nan()),
            _ => assert_eq!(found[2 * row..][..2], together[2 * row..][..2]),
        }
    }
}

#[test]
fn a_map_that_does_not_contract_is_an_error_with_the_residual() {
    // x + g(x) with a steep negative g is bounded from above.
    let spec = ResidualSpec {
        lipschitz: 50.0,
        activation: ContractiveActivation::Elu,
        ..ResidualSpec::new(vec![1])
    };
    let mut network = Network::new(&spec, Place::new(1, 0), &mut Init::new(0, DType::F64, CPU()));
    network.visit(&mut |name, p| {
        let value = match name {
            "layers.0.weight" => 5.0,
            "layers.1.weight" => -5.0,
            _ => 0.0,
        };
        p.value = p.value.full_like(value);
    });
    let z = tensor(vec![100.0, -1.0], [2, 1], DType::F64);
    let error = fixed_point::solve(&network, &z, None, &ResidualSpec::new(vec![1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConverged);
    assert!(
        error.message().contains("residual of 9") || error.message().contains("residual of 1"),
        "{error}"
    );
}

#[test]
fn a_context_moves_the_map_and_does_not_stretch_it() {
    let spec = ResidualSpec::new(vec![12]);
    let network = network(&spec, Place::new(2, 3), 1e3, 6, DType::F64);
    let x = tensor(noise([30, 2], 1.0, 1), [30, 2], DType::F64);
    let of = |size: f64, seed: u64| {
        let context = tensor(noise([30, 3], size, seed), [30, 3], DType::F64);
        let addend = network.addend(Some(&context));
        let held = network.held();
        let trace = held.at(x.clone(), addend);
        (host(trace.value), host(held.jacobian(&trace.slopes)))
    };
    let ((first, jacobian), (second, _)) = (of(1.0, 1), of(1.0, 2));
    assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() > 1e-6));
    for matrix in jacobian.chunks(4) {
        assert!(largest_singular_value(matrix, [2, 2]) <= spec.lipschitz);
    }
}

#[test]
fn in_training_with_many_columns_the_log_determinant_is_estimated_and_else_exact() {
    let (spec, at) = (ResidualSpec::new(vec![16]), Place::new(12, 0));
    let x = tensor(noise([6, 12], 1.0, 1), [6, 12], DType::F64);
    let draws = Some(Draws::new(Streams::new(1), 5, 0));
    let of = |exact_dims: usize, draws: Option<Draws>| {
        let spec = ResidualSpec { exact_dims, ..spec.clone() };
        let mut layer = Residual::new(&spec, at, &mut Init::new(1, DType::F64, CPU()));
        layer.network = network(&spec, at, 1.0, 3, DType::F64);
        let there = layer.forward(x.clone(), &Given { context: None, draws }).unwrap();
        let back = layer.inverse(there.value, &Given { context: None, draws }).unwrap();
        let off = host(back.log_det.clone() + there.log_det.clone());
        assert!(off.iter().all(|v| v.abs() < 1e-10), "both ways with the same draws");
        host(there.log_det)
    };
    let exact = of(8, None);
    assert_eq!((of(12, draws), of(8, None)), (exact.clone(), exact.clone()));
    let estimated = of(8, draws);
    assert!(exact.iter().zip(&estimated).all(|(a, b)| a != b && (a - b).abs() < 3.0));
}

#[test]
fn settings_out_of_range_are_refused() {
    let of = |change: fn(&mut ResidualSpec), dims: usize| {
        let mut spec = ResidualSpec::new(vec![8]);
        change(&mut spec);
        spec.validate(Place::new(dims, 0)).map_err(|e| e.message().to_owned())
    };
    assert_eq!(of(|_| {}, 2), Ok(()));
    for (change, dims, word) in [
        ((|s| s.lipschitz = 1.0) as fn(&mut ResidualSpec), 2, "lipschitz"),
        (|s| s.lipschitz = f64::NAN, 2, "lipschitz"),
        (|s| s.terms = 0, 2, "terms"),
        (|s| s.hidden = vec![], 2, "hidden"),
        (|s| s.hidden = vec![2000], 2, "infinity"),
        (|_| {}, 5000, "columns"),
    ] {
        assert!(of(change, dims).unwrap_err().contains(word), "{word}");
    }
    let wide = |s: &mut ResidualSpec| (s.hidden, s.norm) = (vec![2000], LipschitzNorm::Infinity);
    assert_eq!(of(wide, 2), Ok(()));
}
