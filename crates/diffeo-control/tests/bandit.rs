//! One state, one step, a value of four bumps: what a policy can be is `softmax(Q / T)`, and nothing but the family of the policy is in the way.

use diffeo::burn::tensor::{Device, Tensor, TensorData};
use diffeo::train::{Event, Learner, LearnerOptions};
use diffeo::{Flow, PresetOptions, Purpose, Result, Streams, fill_normal};
use diffeo_control::{Interface, MultiGoal, PolicyKind, draw, log_prob};

const TEMPERATURE: f64 = 0.5;
/// Points of the quadrature in each direction.
const SIDE: usize = 160;

/// `Q(a) = 2 sum of exp(-|a - c|^2 / (2 0.2^2))` over four centres, as tensors.
fn value(action: &Tensor<2>) -> Tensor<2> {
    let centres = [[0.5, 0.5], [0.5, -0.5], [-0.5, 0.5], [-0.5, -0.5]];
    let bump = |centre: [f64; 2]| {
        let centre = Tensor::<2>::from_data(
            TensorData::new(centre.map(|c| c as f32).to_vec(), [1, 2]),
            &Device::flex(),
        );
        let distance = (action.clone() - centre).square().sum_dim(1);
        distance.mul_scalar(-12.5).exp().mul_scalar(2.0)
    };
    let [a, b, c, d] = centres.map(bump);
    a + b + c + d
}

fn tensor(values: Vec<f32>, width: usize) -> Tensor<2> {
    let n = values.len() / width;
    Tensor::from_data(TensorData::new(values, [n, width]), &Device::flex())
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().expect("numbers")
}

fn base(n: usize, step: u64) -> Tensor<2> {
    let mut values = vec![0.0; 2 * n];
    fill_normal(&mut Streams::new(5).rng(Purpose::Draws, step, 0), &mut values);
    tensor(values.into_iter().map(|v| v as f32).collect(), 2)
}

fn states(n: usize) -> Tensor<2> {
    tensor(vec![0.0; 2 * n], 2)
}

/// Trained as the policy of soft actor-critic is.
fn trained(kind: &str, seed: u64, steps: u64) -> Result<Flow> {
    let interface = Interface::of(&MultiGoal::default());
    let options = PresetOptions { transforms: 3, hidden: vec![32, 32], seed, ..Default::default() };
    let flow = kind.parse::<PolicyKind>()?.spec(&interface, &options)?.build(seed)?;
    let options = LearnerOptions { learning_rate: 3e-3, average: 0.98, ..Default::default() };
    let mut learner = Learner::new(flow, options)?;
    for step in 0..steps {
        learner.set_learning_rate(3e-3 * (1.0 - step as f64 / steps as f64) + 1e-5)?;
        let event = learner.step(|policy| {
            let drawn = draw(policy, &states(256), base(256, step))?;
            let cost = drawn.log_prob.reshape([256, 1]).mul_scalar(TEMPERATURE);
            Ok((cost - value(&drawn.action)).mean())
        })?;
        assert!(matches!(event, Event::Step { .. }), "{event:?}");
    }
    learner.averaged()
}

/// `KL(pi || softmax(Q / T))` and `T ln integral of exp(Q / T)` by the midpoint rule.
fn by_quadrature(flow: &Flow) -> Result<[f64; 2]> {
    let at = |i: usize| -1.0 + 2.0 * (i as f64 + 0.5) / SIDE as f64;
    let points: Vec<f32> =
        (0..SIDE * SIDE).flat_map(|i| [at(i / SIDE) as f32, at(i % SIDE) as f32]).collect();
    let u = tensor(points.iter().map(|a| a.atanh()).collect(), 2);
    let densities = numbers(log_prob(flow, &states(SIDE * SIDE), u)?);
    let values = numbers(value(&tensor(points, 2)));
    let area = (2.0 / SIDE as f64).powi(2);
    let total: f64 = densities.iter().map(|p| p.exp() * area).sum();
    assert!((total - 1.0).abs() < 0.01, "the quadrature sees all of it: {total}");
    let log_total = values.iter().map(|q| (q / TEMPERATURE).exp() * area).sum::<f64>().ln();
    let parts = densities.iter().zip(&values);
    let divergence = parts.map(|(p, q)| p.exp() * (p - q / TEMPERATURE + log_total) * area);
    Ok([divergence.sum(), TEMPERATURE * log_total])
}

#[test]
fn a_flow_becomes_the_softmax_of_four_bumps_and_no_gaussian_can() -> Result<()> {
    let flow = trained("nsf", 1, 1500)?;
    let [divergence, exact] = by_quadrature(&flow)?;
    assert!(divergence < 0.05, "{divergence} nats");
    // The value of the state by importance weights of the policy's draws: T ln E[exp(Q / T) / pi].
    let drawn = draw(&flow, &states(8192), base(8192, u64::MAX))?;
    let (densities, values) = (numbers(drawn.log_prob), numbers(value(&drawn.action)));
    let weights = densities.iter().zip(&values).map(|(p, q)| (q / TEMPERATURE - p).exp());
    let found = TEMPERATURE * (weights.sum::<f64>() / 8192.0).ln();
    assert!((found / exact - 1.0).abs() < 0.01, "{found} {exact}");
    let gaussian = |seed| by_quadrature(&trained("gaussian", seed, 600)?);
    let best = [1, 2, 3].map(gaussian).into_iter().collect::<Result<Vec<_>>>()?;
    let best = best.iter().fold(f64::INFINITY, |best, [divergence, _]| best.min(*divergence));
    println!(
        "KL {divergence:.4} nats by a flow, {best:.4} by the best Gaussian; V {found:.4}, exactly {exact:.4}"
    );
    assert!(best > 5.0 * divergence && best > 0.2, "{best}");
    Ok(())
}
