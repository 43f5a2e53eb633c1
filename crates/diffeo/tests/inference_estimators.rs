//! Estimates by importance weights of targets whose constants and means are known: within four standard errors, from 2 to 50 dimensions.

use std::f64::consts::TAU;

use burn::tensor::Tensor;
use diffeo::inference::{
    ChainOptions, Defensive, Estimate, LogDensity, ModelProposal, Proposal, Weights, run_chains,
};
use diffeo::train::Fit;
use diffeo::{
    Preset, PresetOptions, Purpose, Result, Rows, SampleOptions, Streams, below, fill_normal,
    uniform,
};
use rand_chacha::ChaCha8Rng;

/// Rows of standard normals, each changed, and their density.
fn drawn(
    proposal: &dyn Proposal,
    seed: u64,
    first: u64,
    n: usize,
    change: impl Fn(&mut ChaCha8Rng, &mut [f64]),
) -> Result<(Rows, Vec<f64>)> {
    let mut rows = Rows::zeros(n, proposal.dims());
    for i in 0..n {
        let mut rng = Streams::new(seed).rng(Purpose::Sample, 0, first + i as u64);
        fill_normal(&mut rng, rows.row_mut(i));
        change(&mut rng, rows.row_mut(i));
    }
    let log_density = proposal.log_density(&rows)?;
    Ok((rows, log_density))
}

/// Independent numbers `u` of a deviation each, carried by a map of volume one but for `scale`: `x = map(u)`, whose inverse is `back`.
struct Carried {
    dims: usize,
    deviation: f64,
    seed: u64,
    map: fn(&mut [f64]),
    back: fn(&mut [f64]),
    /// `ln |det du/dx|` at `x`.
    log_det: fn(&[f64]) -> f64,
}

impl Carried {
    fn log_normal(&self, u: &[f64]) -> f64 {
        let square: f64 = u.iter().map(|v| (v / self.deviation).powi(2)).sum();
        -0.5 * square - u.len() as f64 * (self.deviation.ln() + 0.5 * TAU.ln())
    }
}

impl Proposal for Carried {
    fn dims(&self) -> usize {
        self.dims
    }

    fn draw(&self, first: u64, n: usize) -> Result<(Rows, Vec<f64>)> {
        drawn(self, self.seed, first, n, |_, row| {
            row.iter_mut().for_each(|v| *v *= self.deviation);
            (self.map)(row);
        })
    }

    fn log_density(&self, rows: &Rows) -> Result<Vec<f64>> {
        let at = |i: usize| {
            let mut u = rows.row(i).to_vec();
            let log_det = (self.log_det)(&u);
            (self.back)(&mut u);
            self.log_normal(&u) + log_det
        };
        Ok((0..rows.len()).map(at).collect())
    }
}

/// Weights of draws for a target, and the draws.
fn weighed(
    proposal: &dyn Proposal,
    log_target: impl Fn(&[f64]) -> f64,
    n: usize,
) -> (Rows, Weights) {
    let (rows, log_q) = proposal.draw(0, n).unwrap();
    let log_w = (0..n).map(|i| log_target(rows.row(i)) - log_q[i]);
    let weights = Weights::new(log_w.collect()).unwrap();
    (rows, weights)
}

#[track_caller]
fn within(estimate: Estimate, truth: f64, what: &str) {
    let off = (estimate.mean - truth).abs() / estimate.standard_error;
    assert!(off < 4.0, "{what}: {estimate:?}, exactly {truth}: {off:.1} standard errors");
    assert!(
        estimate.standard_error < 0.2 * (1.0 + truth.abs()),
        "{what}: {estimate:?} says nothing"
    );
}

/// Means of `f` and the integral of a target with constant `e^constant`.
fn hold(
    rows: &Rows,
    weights: &Weights,
    constant: f64,
    means: &[(fn(&[f64]) -> f64, f64)],
    what: &str,
) {
    within(weights.log_mean(), constant, what);
    for (f, truth) in means {
        let values: Vec<f64> = (0..rows.len()).map(|i| f(rows.row(i))).collect();
        within(weights.mean(&values).unwrap(), *truth, what);
    }
}

fn same(_: &mut [f64]) {}

fn flat(_: &[f64]) -> f64 {
    0.0
}

const CONSTANT: f64 = 1.7;

/// A third of the mass about -2 and two thirds about 2 in the first number, all others standard normal.
fn two_modes(x: &[f64]) -> f64 {
    let d = x.len() as f64;
    let rest: f64 = x[1..].iter().map(|v| v * v).sum();
    let of = |at: f64, share: f64| share * (-0.5 * (x[0] - at).powi(2)).exp();
    (of(-2.0, 1.0 / 3.0) + of(2.0, 2.0 / 3.0)).ln() - 0.5 * rest - 0.5 * d * TAU.ln() + CONSTANT
}

/// Its draws, wider by a little in all numbers, by two proposals of which each covers one mode.
struct Modes {
    dims: usize,
    seed: u64,
}

impl Proposal for Modes {
    fn dims(&self) -> usize {
        self.dims
    }

    fn draw(&self, first: u64, n: usize) -> Result<(Rows, Vec<f64>)> {
        drawn(self, self.seed, first, n, |rng, row| {
            row.iter_mut().for_each(|v| *v *= 1.1);
            row[0] += if uniform(rng) < 0.5 { -2.0 } else { 2.0 };
        })
    }

    fn log_density(&self, rows: &Rows) -> Result<Vec<f64>> {
        let at = |i: usize| {
            let x = rows.row(i);
            let rest: f64 = x[1..].iter().map(|v| v * v).sum();
            let of = |m: f64| 0.5 * (-0.5 * ((x[0] - m) / 1.1).powi(2)).exp();
            let d = x.len() as f64;
            (of(-2.0) + of(2.0)).ln() - 0.5 * rest / 1.21 - d * (1.1f64.ln() + 0.5 * TAU.ln())
        };
        Ok((0..rows.len()).map(at).collect())
    }
}

#[test]
fn a_mixture_in_2_to_50_dimensions() {
    for (dims, seed) in [(2, 1), (10, 2), (50, 3)] {
        let (rows, weights) = weighed(&Modes { dims, seed }, two_modes, 40_000);
        let means: [(fn(&[f64]) -> f64, f64); 3] =
            [(|x| x[0], 2.0 / 3.0), (|x| x[0] * x[0], 5.0), (|x| x[1] * x[1], 1.0)];
        hold(&rows, &weights, CONSTANT, &means, &format!("mixture in {dims} dimensions"));
    }
}

/// Twisted normals: `x_2` about `x_1^2`.
#[test]
fn a_banana() {
    let proposal = Carried {
        dims: 2,
        deviation: 1.3,
        seed: 4,
        map: |u| u[1] += u[0] * u[0],
        back: |x| x[1] -= x[0] * x[0],
        log_det: flat,
    };
    let target = |x: &[f64]| {
        let twisted = x[1] - x[0] * x[0];
        -0.5 * (x[0] * x[0] + twisted * twisted) - TAU.ln() + CONSTANT
    };
    let (rows, weights) = weighed(&proposal, target, 20_000);
    hold(&rows, &weights, CONSTANT, &[(|x| x[1], 1.0), (|x| x[0] * x[0], 1.0)], "banana");
}

/// `v ~ N(0, 1.5^2)`, nine numbers of variance `e^v`: by draws of a funnel that is a little wider, and by a mixture of it with a broad normal.
#[test]
fn a_funnel_also_by_a_defensive_mixture() {
    let target = |x: &[f64]| {
        let v = x[0];
        let square: f64 = x[1..].iter().map(|y| y * y).sum();
        -0.5 * (v / 1.5).powi(2)
            - 1.5f64.ln()
            - 4.5 * v
            - 0.5 * square * (-v).exp()
            - 5.0 * TAU.ln()
            + CONSTANT
    };
    let funnel = || Carried {
        dims: 10,
        deviation: 1.2,
        seed: 5,
        map: |u| {
            u[0] *= 1.5;
            let wide = (0.5 * u[0]).exp();
            u[1..].iter_mut().for_each(|y| *y *= wide);
        },
        back: |x| {
            let wide = (0.5 * x[0]).exp();
            x[1..].iter_mut().for_each(|y| *y /= wide);
            x[0] /= 1.5;
        },
        log_det: |x| -1.5f64.ln() - 4.5 * x[0],
    };
    let broad = Carried { dims: 10, deviation: 3.0, seed: 6, map: same, back: same, log_det: flat };
    let means: [(fn(&[f64]) -> f64, f64); 2] = [(|x| x[0], 0.0), (|x| x[0] * x[0], 2.25)];
    let (rows, weights) = weighed(&funnel(), target, 40_000);
    hold(&rows, &weights, CONSTANT, &means, "funnel");
    let narrow = funnel();
    let mixed = Defensive::new(&narrow, &broad, 0.1, 7).unwrap();
    let (rows, weights) = weighed(&mixed, target, 40_000);
    hold(&rows, &weights, CONSTANT, &means, "funnel by a defensive mixture");
}

/// Twenty normals of deviation 0.4 on a grid of 5 by 4, two apart, in units that a fit leaves as they are.
struct Twenty;

fn place(mode: usize) -> [f64; 2] {
    [2.0 * (mode % 5) as f64 - 4.0, 2.0 * (mode / 5) as f64 - 3.0]
}

impl LogDensity for Twenty {
    fn dims(&self) -> usize {
        2
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let n = x.dims()[0];
        let of = |mode| {
            let [a, b] = place(mode);
            let [u, v] = [(0, a), (1, b)].map(|(j, at)| x.clone().narrow(1, j, 1).sub_scalar(at));
            (u.square() + v.square()).mul_scalar(-0.5 / 0.16).exp()
        };
        let sum = (1..20).fold(of(0), |sum, mode| sum + of(mode));
        Ok(sum.add_scalar(1e-300).log().reshape([n]))
    }
}

/// Chains that only take or leave draws of a flow stay in no mode: each of twenty has its share, and draws are worth a good part of their number.
#[test]
fn twenty_modes_are_mixed_by_independence_moves() {
    let mut rng = Streams::new(8).rng(Purpose::Sample, 0, 0);
    let mut drawn = vec![0.0; 2 * 4000];
    fill_normal(&mut rng, &mut drawn);
    for row in drawn.chunks_exact_mut(2) {
        let at = place(below(&mut rng, 20) as usize);
        row.iter_mut().zip(at).for_each(|(v, a)| *v = a + 0.4 * *v);
    }
    let small = PresetOptions { transforms: 3, hidden: vec![48], ..PresetOptions::default() };
    let rows = Rows::new(drawn, 2).unwrap();
    let fit = Fit::new(Preset::NsfCoupling).preset_options(small).rows(rows).steps(800).threads(2);
    let model = fit.run().unwrap();
    let proposal = ModelProposal {
        model: &model,
        options: SampleOptions { threads: 2, ..Default::default() },
    };
    let options = ChainOptions {
        chains: 64,
        draws: 150,
        warmup: 20,
        local_moves: 0,
        ..ChainOptions::default()
    };
    let chains = run_chains(&Twenty, &proposal, &options, |_| Ok(())).unwrap();
    let mut counts = [0.0_f64; 20];
    for rows in &chains.draws {
        for i in 0..rows.len() {
            let column = ((rows.row(i)[0] + 5.0) / 2.0).floor().clamp(0.0, 4.0) as usize;
            let line = ((rows.row(i)[1] + 4.0) / 2.0).floor().clamp(0.0, 3.0) as usize;
            counts[5 * line + column] += 1.0 / (64.0 * 150.0);
        }
    }
    assert!(counts.iter().all(|share| (share - 0.05).abs() < 0.015), "{counts:?}");
    let (sizes, worst) = (chains.effective_sizes(), chains.r_hats());
    assert!(sizes.iter().all(|size| *size > 1000.0), "{sizes:?} {}", chains.global_acceptance);
    assert!(worst.iter().all(|r| *r < 1.02), "{worst:?}");
}
