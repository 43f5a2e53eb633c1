//! Law 6: gradients are finite everywhere and agree with differences, by parameters and by inputs, in both directions.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use diffeo::{Flow, LayerSpec};

use crate::cases::{Case, SEEDS, built, cases, host, tensor};
use crate::inputs;
use crate::sensitivity::{WAYS, Way};

/// A number a row that depends on everything: value and log-determinant, with large values tamed.
fn score(way: Way, flow: &Flow, input: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<1> {
    let mapped = way.apply(flow, input, context);
    let value = mapped.value.mul_scalar(0.1).tanh().sum_dim(1).reshape([-1]);
    let log_det = mapped.log_det;
    value.cast(log_det.dtype()) + log_det.mul_scalar(0.5)
}

fn tracked(flow: &Flow) -> (Flow, BTreeMap<String, Tensor<2>>) {
    let mut flow = flow.clone();
    let mut leaves = BTreeMap::new();
    flow.visit(&mut |name, p| {
        p.value = p.value.clone().autodiff().require_grad();
        leaves.insert(name.to_owned(), p.value.clone());
    });
    (flow, leaves)
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

/// Steps of difference quotients, of which one must fit: with a long one a point may cross a knot or bend, a short one rounds.
const STEPS: [f64; 5] = [1e-5, 1e-6, 1e-7, 1e-8, 1e-9];

/// Whether a gradient is that of a difference quotient. A chain stretches rounding in each of its layers, and so it bends; a single
/// layer is held to more. Where the score is steep it bends, too.
fn fits(case: &Case, gradient: f64, quotient: f64) -> bool {
    let tolerance = match case.layer() {
        None | Some(LayerSpec::Chain { .. }) => 1e-3,
        Some(_) if quotient.abs() < 100.0 => 1e-5,
        Some(_) => 1e-4,
    };
    (gradient - quotient).abs() < tolerance * (1.0 + quotient.abs())
}

/// Points where a difference quotient by a weight means something: far out, the steps of networks saturate and round.
fn near(case: &Case) -> Case {
    let mut case = case.clone();
    case.points.retain(|row| row.iter().all(|v| v.abs() < 1e3));
    case
}

#[test]
fn law6_gradients_of_parameters_agree_with_central_differences() {
    for case in cases() {
        let case = near(&case);
        for (seed, way) in SEEDS.flat_map(|seed| WAYS.map(|way| (seed, way))) {
            let flow = built(&case.spec, seed);
            let (with_grad, leaves) = tracked(&flow);
            if leaves.is_empty() {
                continue;
            }
            let (input, context) = (inputs(&case, &flow, way), case.context());
            let total = |flow: &Flow| score(way, flow, input.clone(), context.clone()).sum();
            let grads = total(&with_grad).backward();
            for (name, leaf) in &leaves {
                let Some(gradient) = leaf.grad(&grads) else { continue };
                let gradient = host(gradient);
                assert!(gradient.iter().all(|g| g.is_finite()), "{} {name}", case.name);
                let weights = host(leaf.clone().inner());
                for at in [0, gradient.len() / 2, gradient.len() - 1] {
                    let found = gradient[at];
                    if weights[at] == 0.0 {
                        assert_eq!(
                            found, 0.0,
                            "{} {name}: a masked weight has a gradient",
                            case.name
                        );
                        continue;
                    }
                    let quotient = |step: f64| {
                        let [up, down] =
                            [step, -step].map(|step| host(total(&moved(&flow, name, at, step)))[0]);
                        (up - down) / (2.0 * step)
                    };
                    let expected = STEPS.map(quotient);
                    assert!(
                        expected.iter().any(|e| fits(&case, found, *e)),
                        "{} {way:?} seed {seed} {name}[{at}]: {found} against {expected:?}",
                        case.name
                    );
                }
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

#[test]
fn law6_gradients_of_inputs_agree_with_differences_on_one_side_at_least() {
    // At a knot the slope of the log-slope jumps: the gradient is that of one side or the other.
    for mut case in cases() {
        if case.bounded {
            // Nearer to a bound the step is not small against the distance.
            case.points.retain(|row| row.iter().all(|v| (1e-3..2.99).contains(v)));
        }
        for (seed, way) in SEEDS.flat_map(|seed| WAYS.map(|way| (seed, way))) {
            let flow = built(&case.spec, seed);
            let (input, context) = (inputs(&case, &flow, way), case.context());
            let leaf = input.clone().autodiff().require_grad();
            let grads = score(way, &flow, leaf.clone(), context.clone()).sum().backward();
            let gradient = host(leaf.grad(&grads).unwrap());
            let [n, d] = input.dims();
            let input = host(input);
            for column in 0..d {
                let score = |input: &[f64]| {
                    let input = tensor(input.to_vec(), [n, d]);
                    host(score(way, &flow, input, context.clone()))
                };
                let sides = STEPS.map(|step| one_sided(score, &input, [column, d], step));
                for r in 0..n {
                    let found = gradient[r * d + column];
                    let quotients: Vec<f64> = sides.iter().flat_map(|sides| sides[r]).collect();
                    assert!(
                        quotients.iter().any(|q| fits(&case, found, *q)),
                        "{} {way:?} seed {seed}, column {column} at {:?}: {found} against {quotients:?}",
                        case.name,
                        &input[r * d..(r + 1) * d]
                    );
                }
            }
        }
    }
}

#[test]
fn law6_the_gradient_through_the_inverse_of_a_plu_layer_is_exact() {
    // z = x A + b, so x = (z - b) A^-1: the gradient of sum_i w_i x_i by z is A^-1 w, by b minus that summed over rows.
    for case in cases().iter().filter(|c| c.name.starts_with("plu")) {
        assert!(matches!(case.layer(), Some(LayerSpec::Plu { .. })));
        let flow = built(&case.spec, 3);
        let (with_grad, leaves) = tracked(&flow);
        let (n, d) = (case.points.len(), case.spec.dims);
        let weights: Vec<f64> = (0..d).map(|i| 1.0 - 0.3 * i as f64).collect();
        let z = case.x().autodiff().require_grad();
        let x = with_grad.to_data(z.clone(), None).unwrap().value;
        let grads = (x * tensor(weights.clone(), [1, d])).sum().backward();
        let inverse = Way::ToData.jacobians(&flow, &case.x(), &None);
        let expected: Vec<f64> =
            (0..d).map(|j| (0..d).map(|i| weights[i] * inverse[0][i][j]).sum()).collect();
        let found = host(z.grad(&grads).unwrap());
        crate::close("z", &found, &expected.repeat(n), 1e-12);
        let shift = leaves.iter().find(|(name, _)| name.ends_with("shift")).unwrap().1;
        let minus: Vec<f64> = expected.iter().map(|g| -g * n as f64).collect();
        crate::close("shift", &host(shift.grad(&grads).unwrap()), &minus, 1e-12);
    }
}

#[test]
fn d3_gradients_are_finite_at_every_edge() {
    for case in cases() {
        for seed in SEEDS {
            let flow = built(&case.spec, seed);
            let mut case = case.clone();
            if !case.bounded {
                let d = case.spec.dims;
                case.points.extend([f64::MIN_POSITIVE / 8.0, 1e9, -1e9].map(|v| vec![v; d]));
            }
            let (with_grad, leaves) = tracked(&flow);
            let x = case.x().autodiff().require_grad();
            let log_prob = with_grad.log_prob(x.clone(), case.context()).unwrap();
            // The square of a far point is large but finite, and so must be all gradients.
            let grads = log_prob.mul_scalar(1e-6).sum().backward();
            let all_finite = |t: Tensor<2>| host(t).iter().all(|g| g.is_finite());
            assert!(all_finite(x.grad(&grads).unwrap()), "{}: x", case.name);
            for (name, leaf) in leaves {
                if let Some(gradient) = leaf.grad(&grads) {
                    assert!(all_finite(gradient), "{}: {name}", case.name);
                }
            }
        }
    }
}
