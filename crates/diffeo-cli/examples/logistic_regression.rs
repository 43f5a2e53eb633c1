//! Bayesian logistic regression: which wines are good, the posterior of what each property says, and the evidence.
//!
//! `cargo run --release --example logistic_regression -- data/wine_red.csv quality 6`: a table of numbers, the column that is to be explained, and from which value
//! on it counts as a yes.

use std::error::Error;

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::inference::{
    FlowProposal, LogDensity, VariationalOptions, Weights, Whitened, fit, weigh,
};
use diffeo::ops::softplus;
use diffeo::{Preset, PresetOptions, Result, Rows};
use diffeo_table::{Input, MemoryLimit, ReadOptions, read_table};

/// Deviation of the normal prior of each coefficient, about 0.
const PRIOR: f64 = 2.5;
/// Draws that are weighed.
const DRAWS: usize = 20_000;

/// `y ~ Bernoulli(1 / (1 + e^-l))`, `l = b_0 + sum_j b_j x_j`, `b ~ N(0, PRIOR^2)`.
struct Regression {
    /// Rows times their sign, 1 for yes and -1 for no, `[rows, coefficients]`: then `ln p(y | b) = -softplus(-s l)`.
    signed: Tensor<2>,
}

impl LogDensity for Regression {
    fn dims(&self) -> usize {
        self.signed.dims()[1]
    }

    fn log_density(&self, b: Tensor<2>) -> Result<Tensor<1>> {
        let [n, d] = b.dims();
        let signed = self.signed.clone().cast(b.dtype());
        let misses = softplus(signed.matmul(b.clone().transpose()).neg());
        let likelihood = misses.sum_dim(0).reshape([n]).neg();
        let prior = b.mul_scalar(1.0 / PRIOR).square().sum_dim(1).reshape([n]).mul_scalar(-0.5);
        let of_prior = d as f64 * ((2.0 * std::f64::consts::PI).sqrt() * PRIOR).ln();
        Ok(likelihood + prior.sub_scalar(of_prior))
    }
}

/// The names of the columns that explain, standardised and with a 1 before them, each row times its sign.
fn read(
    path: &str,
    outcome: &str,
    from: f64,
) -> std::result::Result<(Vec<String>, Rows), Box<dyn Error>> {
    let input = Input::Path(path.into());
    let table = read_table(&input, None, &ReadOptions::default(), MemoryLimit::unlimited())?;
    let of = table.names.iter().position(|name| name == outcome);
    let of = of.ok_or_else(|| format!("there is no column {outcome} in {path}"))?;
    let n = table.rows.len();
    let explains: Vec<usize> = (0..table.names.len()).filter(|j| *j != of).collect();
    let mut columns = vec![vec![1.0; n]];
    for &j in &explains {
        let values = table.rows.column(j);
        let mean = values.iter().sum::<f64>() / n as f64;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        columns.push(values.iter().map(|v| (v - mean) / square.sqrt()).collect());
    }
    let sign = |i: usize| if table.rows.row(i)[of] >= from { 1.0 } else { -1.0 };
    let rows = (0..n).flat_map(|i| columns.iter().map(move |column| sign(i) * column[i]));
    let names = explains.iter().map(|j| table.names[*j].clone());
    let names = std::iter::once(String::from("(constant)")).chain(names).collect();
    Ok((names, Rows::new(rows.collect(), explains.len() + 1)?))
}

/// Mean, deviation and the probability of being above 0 of each coefficient.
fn print(names: &[String], draws: &Rows, weights: &Weights) -> Result<()> {
    println!("{:<24}{:>8}{:>10}{:>14}", "", "mean", "deviation", "p(above 0)");
    for (j, name) in names.iter().enumerate() {
        let values = draws.column(j);
        let mean = weights.mean(&values)?.mean;
        let squares: Vec<f64> = values.iter().map(|v| (v - mean).powi(2)).collect();
        let above: Vec<f64> = values.iter().map(|v| f64::from(u8::from(*v > 0.0))).collect();
        let [square, above] = [weights.mean(&squares)?.mean, weights.mean(&above)?.mean];
        println!("{name:<24}{mean:>8.3}{:>10.3}{above:>14.4}", square.sqrt());
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, outcome, from] = &arguments[..] else {
        return Err("expected a table, a column, and the value from which on it is a yes".into());
    };
    let (names, rows) = read(path, outcome, from.parse()?)?;
    let data = TensorData::new(rows.values().to_vec(), [rows.len(), rows.width()]);
    let target = Regression { signed: Tensor::from_data(data, (&Device::flex(), DType::F64)) };
    // About the mode, in directions of equal curvature, a flow has little left to learn.
    let whitened = Whitened::at_mode(&target, 0)?;
    let shape = PresetOptions { transforms: 2, hidden: vec![32], ..PresetOptions::default() };
    let flow = Preset::NsfCoupling.spec(whitened.dims(), 0, &shape)?.build(0)?;
    let options = VariationalOptions { annealed: 0.0, steps: 300, ..VariationalOptions::default() };
    let flow = fit(flow, &whitened, &options, |_| Ok(()))?;
    let (draws, weights) = weigh(&FlowProposal { flow: &flow, seed: 1 }, &whitened, DRAWS)?;
    let data = TensorData::new(draws.values().to_vec(), [draws.len(), draws.width()]);
    let b = whitened.unwhitened(Tensor::from_data(data, (&Device::flex(), DType::F64)));
    let b = Rows::new(b.into_data().try_into_vec().unwrap_or_default(), names.len())?;
    print(&names, &b, &weights)?;
    let evidence = weights.log_mean();
    println!("log-evidence {:.3} +- {:.3} nats", evidence.mean, evidence.standard_error);
    println!("{}", weights.verdict());
    Ok(())
}
