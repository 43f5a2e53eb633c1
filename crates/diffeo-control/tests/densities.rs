//! Densities of squashed actions, at and next to their bounds; and what one flow is to policy and values.

use std::collections::BTreeMap;

use diffeo::burn::tensor::{Device, Tensor, TensorData};
use diffeo::{Flow, PresetOptions, Result, Rows};
use diffeo_control::{
    AgentOptions, EnergyFlow, Interface, Pendulum, PolicyKind, Reacher, Temperature, draw,
    log_prob, squash,
};

fn tensor(values: Vec<f64>, width: usize) -> Tensor<2> {
    let n = values.len() / width;
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, [n, width]), &Device::flex())
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().expect("numbers")
}

fn policy(kind: &str, interface: &Interface) -> Result<Flow> {
    let options = PresetOptions { transforms: 2, hidden: vec![16, 16], ..Default::default() };
    kind.parse::<PolicyKind>()?.spec(interface, &options)?.build(3)
}

/// A flow whose weights are not those of the start, which is the identity.
fn shaken(kind: &str, interface: &Interface) -> Result<Flow> {
    let mut flow = policy(kind, interface)?;
    let values = flow.parameters().into_iter().map(|(name, value)| {
        let [n, m] = value.dims();
        let noise = (0..n * m).map(|i| 0.3 * ((i * 7919 + n * 31 + m) as f64 * 0.61).sin());
        let noise = tensor(noise.collect(), m);
        (name, value + noise)
    });
    flow.set_parameters(&values.collect())?;
    Ok(flow)
}

#[test]
fn c13_c14_the_log_slope_of_tanh_has_its_digits_anywhere() {
    let us = [-90.0, -20.0, -9.01, -1.0, 0.0, 0.3, 9.01, 20.0, 90.0];
    let (action, log_slope) = squash(tensor(us.to_vec(), 1));
    for ((u, action), found) in us.iter().zip(numbers(action)).zip(numbers(log_slope)) {
        // ln(1 - tanh^2 u) without cancellation.
        let exact = 2.0 * (std::f64::consts::LN_2 - u.abs() - (-2.0 * u.abs()).exp().ln_1p());
        assert!((found - exact).abs() < 1e-6 * (1.0 + exact.abs()), "{u}: {found} {exact}");
        assert!(action.abs() <= 1.0);
    }
}

#[test]
fn c11_c12_c15_c17_actions_stay_in_bounds_and_densities_finite_for_any_spread() -> Result<()> {
    let interface = Interface::of(&Pendulum::default());
    let mut flow = policy("gaussian", &interface)?;
    // The bias of the raw log-deviation: to its bounds, and half way.
    for raw in [-1000.0, -3.0, 3.0, 1000.0] {
        let mut parameters: BTreeMap<_, _> = flow.parameters().into_iter().collect();
        let biases = parameters.iter_mut().filter(|(name, _)| name.ends_with("output.bias"));
        let set = biases.map(|(_, value)| *value = tensor(vec![raw; 2], 2)).count();
        assert_eq!(set, 1);
        flow.set_parameters(&parameters)?;
        let states = tensor([0.3, -0.2, 1.0].repeat(5), 3);
        let z = tensor(vec![-3.0, -1.0, 0.0, 1.0, 3.0], 1);
        let drawn = draw(&flow, &states, z)?;
        assert!(numbers(drawn.log_prob.clone()).iter().all(|v| v.is_finite()), "{raw}");
        let again = numbers(log_prob(&flow, &states, drawn.u.clone())?);
        for (a, b) in again.iter().zip(numbers(drawn.log_prob)) {
            assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{raw}: {a} {b}");
        }
        for u in numbers(drawn.u) {
            let action = interface.action(&[u as f32])[0];
            assert!((-2.0..=2.0).contains(&action), "{u} {action}");
        }
    }
    // A model scores an action on its bound, which has no density: never NaN.
    let model = interface.model(flow)?;
    let states = Rows::new([1.0, 0.0, 0.0].repeat(3), 3)?;
    let scores = model.log_prob(&Rows::new(vec![2.0, -2.0, 2.5], 1)?, Some(&states), 1)?;
    assert!(scores.iter().all(|v| *v == f64::NEG_INFINITY), "{scores:?}");
    Ok(())
}

#[test]
fn densities_integrate_to_one_over_the_actions() -> Result<()> {
    let interface = Interface::of(&Pendulum::default());
    for kind in ["gaussian", "nsf", "nsf-coupling", "maf", "realnvp"] {
        let model = interface.model(shaken(kind, &interface)?)?;
        // The midpoint rule in u, so that the ends are reached: a = 2 tanh u.
        let n = 8000;
        let us: Vec<f64> = (0..n).map(|i| -12.0 + 24.0 * (f64::from(i) + 0.5) / 8000.0).collect();
        let actions = Rows::new(us.iter().map(|u| 2.0 * u.tanh()).collect(), 1)?;
        let states = Rows::new([0.6, 0.8, -2.0].repeat(us.len()), 3)?;
        let densities = model.log_prob(&actions, Some(&states), 1)?;
        let slope = |u: &f64| 2.0 * (1.0 - u.tanh().powi(2));
        let parts = us.iter().zip(&densities).filter(|(_, p)| p.is_finite());
        let total: f64 = parts.map(|(u, p)| p.exp() * slope(u) * 24.0 / 8000.0).sum();
        assert!((total - 1.0).abs() < 1e-4, "{kind}: {total}");
    }
    Ok(())
}

#[test]
fn c16_a_policys_file_scores_in_the_units_of_actions() -> Result<()> {
    let interface = Interface::of(&Reacher::default());
    for kind in ["gaussian", "nsf-coupling", "maf", "realnvp"] {
        let flow = shaken(kind, &interface)?;
        let seen: Vec<f64> = vec![0.6, 0.8, 1.0, 0.0, 2.0, -1.0, 0.9, 0.4, -0.3, -1.2];
        let context: Vec<f64> = interface.context(&seen).into_iter().map(f64::from).collect();
        let states = tensor(context.repeat(4), 10);
        let z = tensor(vec![-1.5, 0.3, 0.0, 1.0, 0.7, -0.2, 2.0, 2.0], 2);
        let drawn = draw(&flow, &states, z)?;
        let u = numbers(drawn.u);
        let actions: Vec<f64> =
            u.chunks(2).flat_map(|u| interface.action(&[u[0] as f32, u[1] as f32])).collect();
        let given = Rows::new(seen.repeat(4), 10)?;
        let model = interface.model(flow)?;
        let scores = model.log_prob(&Rows::new(actions, 2)?, Some(&given), 1)?;
        // ln 4 + ln 2: a density of torques is so much thinner than one of (-1, 1).
        assert!((interface.log_scale() - 8f64.ln()).abs() < 1e-12);
        for (found, own) in scores.iter().zip(numbers(drawn.log_prob)) {
            let expected = own - interface.log_scale();
            assert!(
                (found - expected).abs() < 2e-3 * (1.0 + expected.abs()),
                "{kind}: {found} {expected}"
            );
        }
    }
    Ok(())
}

#[test]
fn one_flow_is_policy_and_critic_from_the_start() -> Result<()> {
    let interface = Interface::of(&Pendulum::default());
    let temperature = 0.7;
    let options = AgentOptions {
        temperature: Temperature::Fixed(temperature),
        hidden: vec![16, 16],
        ..AgentOptions::new(1)
    };
    let flow = shaken("nsf", &interface)?;
    let energy = EnergyFlow::new(flow.clone(), &options)?;
    let n = 4000;
    let us: Vec<f64> = (0..n).map(|i| -9.0 + 18.0 * (f64::from(i) + 0.5) / 4000.0).collect();
    let states = tensor([0.2, -0.4, 0.5].repeat(us.len()), 3);
    let u = tensor(us.clone(), 1);
    let [values, _] = energy.state_values(states.clone()).map(numbers);
    assert!(values.iter().all(|v| (v - values[0]).abs() < 1e-6), "of the state alone");
    let [action_values, _] = energy.action_values(states.clone(), u.clone())?.map(numbers);
    let densities = numbers(log_prob(&flow, &states, u)?);
    let mut integral = 0.0;
    for i in 0..us.len() {
        let advantage = action_values[i] - values[i];
        assert!((advantage - temperature * densities[i]).abs() < 1e-4 * (1.0 + advantage.abs()));
        let slope = 1.0 - us[i].tanh().powi(2);
        integral += (action_values[i] / temperature).exp() * slope * 18.0 / 4000.0;
    }
    assert!((temperature * integral.ln() - values[0]).abs() < 1e-3, "{integral} {}", values[0]);
    let tuned = AgentOptions::new(1);
    assert!(EnergyFlow::new(flow, &tuned).err().expect("refused").message().contains("fixed"));
    Ok(())
}
