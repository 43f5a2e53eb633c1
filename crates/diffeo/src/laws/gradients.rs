//! Law 6: gradients are there, are finite everywhere, and agree with differences, by weights and by inputs, in both directions.

use burn::tensor::Tensor;

use super::case::{Case, built, host, tensor, tracked};
use super::sensitivity::{WAYS, Way};
use crate::flow::Flow;
use crate::transforms::LayerSpec;

/// A number a row that depends on everything: value and log-determinant, with large values tamed.
fn score(way: Way, flow: &Flow, input: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<1> {
    let mapped = way.apply(flow, input, context);
    let value = mapped.value.mul_scalar(0.1).tanh().sum_dim(1).reshape([-1]);
    let log_det = mapped.log_det;
    value.cast(log_det.dtype()) + log_det.mul_scalar(0.5)
}

/// The flow with one weight moved.
fn moved(flow: &Flow, name: &str, at: usize, step: f64) -> Flow {
    let mut moved = flow.clone();
    moved.visit(&mut |found, p| {
        if found == name {
            let mut values = host(p.value.clone());
            values[at] += step;
            p.value = tensor(values, p.value.dims());
        }
    });
    moved
}

/// Steps of difference quotients: with a long one a point may cross a knot or bend, a short one rounds.
const STEPS: [f64; 6] = [1e-5, 3e-6, 1e-6, 1e-7, 1e-8, 1e-9];
/// How many of these must fit away from edges: most.
const FITS_MIN: usize = 3;

/// Whether a gradient is that of a difference quotient. A chain stretches rounding in each of its layers, and so it bends; a single
/// layer is held to more. Where the score is steep it bends, too.
fn fits(case: &Case, gradient: f64, quotient: f64) -> bool {
    let tolerance = match case.layer() {
        None | Some(LayerSpec::Chain(_)) => 1e-3,
        Some(_) if quotient.abs() < 100.0 => 1e-5,
        Some(_) => 1e-4,
    };
    (gradient - quotient).abs() < tolerance * (1.0 + quotient.abs())
}

/// The gradient by every weight of the transforms is there and agrees with central differences.
///
/// # Panics
/// Where it is missing, not finite or another; also where a masked weight has one.
pub fn gradients_of_weights_are_right(case: &Case) {
    // Ordinary points: a weight moves knots, and at an edge a point may lie on one.
    let count = if case.is_shortened() { Case::ORDINARY / 3 } else { Case::ORDINARY };
    let ordinary = case.points[..count.min(case.points.len())].to_vec();
    let case = Case { points: ordinary, ..case.clone() };
    for (seed, way) in case.seeds().flat_map(|seed| WAYS.map(|way| (seed, way))) {
        let flow = built(&case.spec, seed);
        let (with_grad, mut leaves) = tracked(&flow);
        leaves.retain(|name, _| !name.starts_with("base."));
        if leaves.is_empty() {
            continue;
        }
        let total = |flow: &Flow| score(way, flow, case.x(), case.context()).sum();
        let grads = total(&with_grad).backward();
        for (name, leaf) in &leaves {
            let what = format!("{} {way:?} seed {seed} {name}", case.name);
            let gradient =
                host(leaf.grad(&grads).unwrap_or_else(|| panic!("{what}: there is no gradient")));
            assert!(gradient.iter().all(|g| g.is_finite()), "{what}: {gradient:?}");
            let weights = host(leaf.clone().inner());
            for at in [0, gradient.len() / 2, gradient.len() - 1] {
                let found = gradient[at];
                if weights[at] == 0.0 {
                    assert_eq!(found, 0.0, "{what}: a masked weight has a gradient");
                    continue;
                }
                let quotient = |step: f64| {
                    let [up, down] =
                        [step, -step].map(|step| host(total(&moved(&flow, name, at, step)))[0]);
                    (up - down) / (2.0 * step)
                };
                let (mut expected, mut fitting) = (Vec::new(), 0);
                for step in STEPS {
                    expected.push(quotient(step));
                    fitting += usize::from(fits(&case, found, expected[expected.len() - 1]));
                    if fitting >= FITS_MIN {
                        break;
                    }
                }
                assert!(fitting >= FITS_MIN, "{what}[{at}]: {found} against {expected:?}");
            }
        }
    }
}

/// The derivative of each row's score by one column, from the left and from the right, to second order in the step.
fn one_sided(
    score: impl Fn(&[f64]) -> Vec<f64>,
    input: &[f64],
    [column, dims]: [usize; 2],
    step: f64,
) -> Vec<[f64; 2]> {
    // The step as it comes out after rounding, for each row.
    let at = |count: f64| {
        let mut input = input.to_vec();
        for row in input.chunks_mut(dims) {
            row[column] += count * step * row[column].abs().max(1.0);
        }
        score(&input)
    };
    let [below2, below, here, above, above2] = [-2.0, -1.0, 0.0, 1.0, 2.0].map(at);
    let rows = input.chunks(dims).enumerate();
    rows.map(|(r, row)| {
        let h = 2.0 * step * row[column].abs().max(1.0);
        let left = (3.0 * here[r] - 4.0 * below[r] + below2[r]) / h;
        let right = (-3.0 * here[r] + 4.0 * above[r] - above2[r]) / h;
        [left, right]
    })
    .collect()
}

/// The gradient by the input agrees with differences: at ordinary points with several, at edges on one side at least.
///
/// # Panics
/// Where it does not.
pub fn gradients_of_inputs_are_right(case: &Case) {
    // At a knot the slope of the log-slope jumps: the gradient is that of one side or the other.
    for (seed, way) in case.seeds().flat_map(|seed| WAYS.map(|way| (seed, way))) {
        let flow = built(&case.spec, seed);
        let context = case.context();
        let leaf = case.x().autodiff().require_grad();
        let grads = score(way, &flow, leaf.clone(), context.clone()).sum().backward();
        let gradient = host(leaf.grad(&grads).expect("the score depends on the input"));
        let [n, d] = leaf.dims();
        let input = case.points.concat();
        for column in 0..d {
            let score = |input: &[f64]| {
                let input = tensor(input.to_vec(), [n, d]);
                host(score(way, &flow, input, context.clone()))
            };
            let mut quotients = vec![Vec::new(); n];
            let misses = |quotients: &[Vec<f64>]| {
                let miss = |r: &usize| {
                    let found = gradient[r * d + column];
                    let fitting = quotients[*r].iter().filter(|q| fits(case, found, **q)).count();
                    fitting < if *r < Case::ORDINARY { FITS_MIN } else { 1 }
                };
                (0..n).find(miss)
            };
            for step in STEPS {
                let sides = one_sided(score, &input, [column, d], step);
                quotients.iter_mut().zip(sides).for_each(|(row, sides)| row.extend(sides));
                if misses(&quotients).is_none() {
                    break;
                }
            }
            if let Some(r) = misses(&quotients) {
                panic!(
                    "{} {way:?} seed {seed}, column {column} at {:?}: {} against {:?}",
                    case.name,
                    &case.points[r],
                    gradient[r * d + column],
                    quotients[r]
                );
            }
        }
    }
}

/// The gradient of the density is there and finite at every edge, by inputs and by weights.
///
/// # Panics
/// Where it is not.
pub fn gradients_are_finite_at_edges(case: &Case) {
    for seed in case.seeds() {
        let flow = built(&case.spec, seed);
        let mut case = case.clone();
        let d = case.spec.dims;
        case.points.extend([f64::MIN_POSITIVE / 8.0, 1e9, -1e9].map(|v| vec![v; d]));
        let (with_grad, leaves) = tracked(&flow);
        let x = case.x().autodiff().require_grad();
        let log_prob = with_grad.log_prob(x.clone(), case.context());
        let log_prob = log_prob.unwrap_or_else(|e| panic!("{}: {e}", case.name));
        // The square of a far point is large but finite, and so must be all gradients.
        let grads = log_prob.mul_scalar(1e-6).sum().backward();
        let all_finite = |t: Tensor<2>| host(t).iter().all(|g| g.is_finite());
        let by_x = x.grad(&grads).expect("the density depends on the input");
        assert!(all_finite(by_x), "{}: x", case.name);
        for (name, leaf) in leaves {
            match leaf.grad(&grads) {
                Some(gradient) => assert!(all_finite(gradient), "{}: {name}", case.name),
                None => panic!("{}: there is no gradient of {name}", case.name),
            }
        }
    }
}
