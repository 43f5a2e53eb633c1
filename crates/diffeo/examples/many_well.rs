//! Eight wells in six dimensions: reverse KL loses some, the bootstrap finds all.
//!
//! `cargo run --release --example many_well -- [SECONDS]`; each fit has so many seconds (60).

use std::time::{Duration, Instant};

use diffeo::burn::tensor::Tensor;
use diffeo::inference::{
    AlphaDivergence, BaseDraws, Bootstrap, BootstrapOptions, FlowProposal, LogDensity, weigh,
};
use diffeo::train::{Learner, LearnerOptions};
use diffeo::{Flow, Preset, PresetOptions, Result, Rows};

/// Pairs of numbers, each with two wells in its first.
const PAIRS: usize = 3;

/// `sum of -x^4 + 6 x^2 + x / 2 - y^2 / 2` (Noé, Olsson, Köhler, Wu. Science 365, 2019), whose two wells have masses of about 1 to 5.
struct ManyWell;

impl LogDensity for ManyWell {
    fn dims(&self) -> usize {
        2 * PAIRS
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let n = x.dims()[0];
        let pairs = x.reshape([n * PAIRS, 2]);
        let square = pairs.clone().narrow(1, 0, 1).square();
        let well = square.clone() * 6.0 - square.square() + pairs.clone().narrow(1, 0, 1) * 0.5;
        let sum = well - pairs.narrow(1, 1, 1).square() * 0.5;
        Ok(sum.reshape([n, PAIRS]).sum_dim(1).reshape([n]))
    }
}

/// `ln Z` by quadrature over each number.
fn log_evidence() -> f64 {
    let step = 1e-3;
    let well = |x: f64| (-x.powi(4) + 6.0 * x * x + 0.5 * x).exp() * step;
    let one: f64 = (-6000..6000).map(|i| well(f64::from(i) * step)).sum();
    PAIRS as f64 * (one * std::f64::consts::TAU.sqrt()).ln()
}

/// The share of the draws in each of the wells, by the signs of the first numbers of the pairs.
fn wells(rows: &Rows) -> Vec<f64> {
    let mut shares = vec![0.0; 1 << PAIRS];
    for i in 0..rows.len() {
        let signs = (0..PAIRS).map(|pair| usize::from(rows.row(i)[2 * pair] > 0.0) << pair);
        shares[signs.sum::<usize>()] += 1.0 / rows.len() as f64;
    }
    shares
}

fn report(name: &str, flow: &Flow) -> Result<()> {
    let (rows, weights) = weigh(&FlowProposal { flow, seed: 7 }, &ManyWell, 20_000)?;
    let shares = wells(&rows);
    let found = shares.iter().filter(|share| **share > 1e-3).count();
    let evidence = weights.log_mean();
    println!("{name}: {found} of {} wells", shares.len());
    println!("  shares {}", shares.iter().map(|s| format!("{s:.4}")).collect::<Vec<_>>().join(" "));
    println!(
        "  ln Z {:.3} ± {:.3}, exactly {:.3}; {}",
        evidence.mean,
        evidence.standard_error,
        log_evidence(),
        weights.verdict()
    );
    Ok(())
}

fn start() -> Result<Flow> {
    let shape = PresetOptions { transforms: 8, hidden: vec![32, 32], ..PresetOptions::default() };
    Preset::RealNvp.spec(2 * PAIRS, 0, &shape)?.build(0)
}

fn main() -> Result<()> {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(60.0);
    let time = Duration::from_secs_f64(seconds);
    let options = LearnerOptions { learning_rate: 1e-3, average: 0.99, ..Default::default() };
    let flow = start()?;
    let mut draws = BaseDraws::new(&flow, 256, 1);
    let mut learner = Learner::new(flow, options.clone())?;
    let started = Instant::now();
    while started.elapsed() < time {
        learner.learn(&AlphaDivergence { target: ManyWell, alpha: 0.0 }, &mut draws)?;
    }
    report(&format!("reverse KL, {} steps", learner.steps()), &learner.averaged()?)?;
    let learner = LearnerOptions { clip_norm: 100.0, ..options };
    let options = BootstrapOptions { learner, ..BootstrapOptions::default() };
    let mut bootstrap = Bootstrap::new(start()?, ManyWell, options)?;
    let (started, mut iterations) = (Instant::now(), 0);
    while started.elapsed() < time {
        bootstrap.iterate()?;
        iterations += 1;
    }
    report(&format!("bootstrap, {iterations} iterations"), &bootstrap.flow()?)
}
