//! A flow composed by hand from layers and a base, and an objective that is not a fit: `cargo run --release --example compose`

use diffeo::bases::StudentTSpec;
use diffeo::burn::tensor::Tensor;
use diffeo::inference::{BaseDraws, LogDensity, ReverseKl};
use diffeo::monotone::RationalQuadratic;
use diffeo::network::{Activation, NetworkSpec};
use diffeo::train::{Event, Learner, LearnerOptions};
use diffeo::transforms::{ActNormSpec, AutoregressiveSpec, InvertedSpec, PluSpec};
use diffeo::{FlowSpec, Result};

/// A banana: `x_0 ~ N(0, 1)`, `x_1 | x_0 ~ N(x_0^2 / 2, 0.3^2)`, without its constant `ln(2 pi 0.3)`.
struct Banana;

impl LogDensity for Banana {
    fn dims(&self) -> usize {
        2
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let (a, b) = (x.clone().narrow(1, 0, 1), x.narrow(1, 1, 1));
        let miss = (b - a.clone().square() * 0.5) / 0.3;
        Ok((a.square() + miss.square()).sum_dim(1).reshape([-1]) * -0.5)
    }
}

fn main() -> Result<()> {
    let network =
        NetworkSpec { hidden: vec![32, 32], residual: false, activation: Activation::Tanh };
    let monotone = RationalQuadratic { bins: 8, bound: 6.0 };
    let autoregressive = AutoregressiveSpec::new(monotone, network);
    // Inverted: variational inference samples at each step, which is fast in this direction.
    let layers = vec![
        ActNormSpec {}.into(),
        PluSpec { order: vec![1, 0] }.into(),
        InvertedSpec::of(autoregressive.clone()).into(),
        PluSpec { order: vec![1, 0] }.into(),
        InvertedSpec::of(autoregressive).into(),
    ];
    let flow = FlowSpec::new(2, layers).onto(StudentTSpec { dof: 30.0 }).build(0)?;
    let mut draws = BaseDraws::new(&flow, 256, 1);
    let options = LearnerOptions { learning_rate: 5e-3, ..LearnerOptions::default() };
    let mut learner = Learner::new(flow, options)?;
    let exact = -(2.0 * std::f64::consts::PI * 0.3_f64).ln();
    for step in 0..=600 {
        if let Event::Step { loss, .. } = learner.learn(&ReverseKl(Banana), &mut draws)?
            && step % 100 == 0
        {
            println!("step {step:3}: KL(q || p) = {:.3} nats", loss - exact);
        }
    }
    Ok(())
}
