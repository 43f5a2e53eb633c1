//! Gradients are finite everywhere and agree with central differences.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use diffeo::Flow;

use crate::cases::{Case, built, cases, host, tensor};

/// A scalar that depends on everything: the sum of log-densities, with large ones tamed.
fn score(flow: &Flow, x: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<1> {
    let mapped = flow.to_base(x, context).unwrap();
    (mapped.value.mul_scalar(0.1).tanh().sum_dim(1).reshape([-1]) + mapped.log_det.mul_scalar(0.5))
        .sum()
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

fn value_with(case: &Case, flow: &Flow, name: &str, at: usize, step: f64) -> f64 {
    let mut moved = flow.clone();
    moved.visit(&mut |found, p| {
        if found == name {
            let mut values = host(p.value.clone());
            values[at] += step;
            p.value = tensor(values, p.value.dims());
        }
    });
    host(score(&moved, case.x(), case.context()))[0]
}

#[test]
fn gradients_of_parameters_agree_with_central_differences() {
    const STEP: f64 = 1e-5;
    for mut case in cases() {
        // At a knot the one-sided slopes of the derivative differ; the differences need ordinary points.
        case.points.truncate(24);
        let flow = built(&case.spec, 6);
        let (with_grad, leaves) = tracked(&flow);
        if leaves.is_empty() {
            continue;
        }
        let grads = score(&with_grad, case.x(), case.context()).backward();
        for (name, leaf) in &leaves {
            let Some(gradient) = leaf.grad(&grads) else { continue };
            let gradient = host(gradient);
            assert!(gradient.iter().all(|g| g.is_finite()), "{} {name}", case.name);
            let weights = host(leaf.clone().inner());
            for at in [0, gradient.len() / 2, gradient.len() - 1] {
                if weights[at] == 0.0 {
                    assert_eq!(
                        gradient[at], 0.0,
                        "{} {name}: a masked weight has a gradient",
                        case.name
                    );
                    continue;
                }
                let up = value_with(&case, &flow, name, at, STEP);
                let down = value_with(&case, &flow, name, at, -STEP);
                let expected = (up - down) / (2.0 * STEP);
                let error = (gradient[at] - expected).abs() / (1.0 + expected.abs());
                assert!(
                    error < 1e-5,
                    "{} {name}[{at}]: {} against {expected}",
                    case.name,
                    gradient[at]
                );
            }
        }
    }
}

#[test]
fn d3_gradients_are_finite_at_every_edge() {
    for case in cases() {
        let flow = built(&case.spec, 6);
        let mut rows = case.points.clone();
        if !case.name.starts_with("support") {
            rows.extend([1e6, -1e6, f64::MIN_POSITIVE / 8.0].map(|v| vec![v; case.spec.dims]));
        }
        let n = rows.len();
        let context = case.context().map(|c| Tensor::cat(vec![c.clone(), c], 0).narrow(0, 0, n));
        let (with_grad, leaves) = tracked(&flow);
        let x = tensor(rows.concat(), [n, case.spec.dims]).autodiff().require_grad();
        let log_prob = with_grad.log_prob(x.clone(), context).unwrap();
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
