//! The posterior of a simulator in rounds, beside the exact one: two moons.
//!
//! `cargo run --release --example two_moons -- picture.png`

use std::error::Error;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

use diffeo::inference::{SimulationOptions, SimulationRounds, Simulator};
use diffeo::train::FitOptions;
use diffeo::{ChaCha8Rng, Column, ColumnKind, Model, Result, Rows, normal, uniform};
use diffeo_plot::{DensitiesConfig, draw_densities};

const OBSERVED: [f64; 2] = [0.0, 0.0];
const ROUNDS: usize = 3;
/// Mean and deviation of the radius.
const RADIUS: [f64; 2] = [0.1, 0.01];
/// The picture and the sums are of the square from `-RANGE` to `RANGE`, in so many cells a side; there is no mass beyond.
const RANGE: f64 = 0.5;
const CELLS: usize = 400;

/// A point on a half-circle that the parameters move, and fold (Greenberg, Nonnenmacher, Macke. *Automatic posterior transformation for likelihood-free inference*. ICML 2019).
struct TwoMoons;

impl Simulator for TwoMoons {
    fn parameters(&self) -> Vec<Column> {
        let kind = ColumnKind::Interval { low: -1.0, high: 1.0 };
        ["a", "b"].map(|name| Column::new(name, kind)).to_vec()
    }

    fn observations(&self) -> Vec<Column> {
        ["x", "y"].map(Column::real).to_vec()
    }

    fn draw_prior(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..2).map(|_| 2.0 * uniform(rng) - 1.0).collect()
    }

    fn simulate(&self, parameters: &[f64], rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        let (sin, cos) = (PI * (uniform(rng) - 0.5)).sin_cos();
        let radius = RADIUS[0] + RADIUS[1] * normal(rng);
        let [dx, dy] = moved(parameters);
        Ok(vec![radius * cos + 0.25 + dx, radius * sin + dy])
    }
}

fn moved(parameters: &[f64]) -> [f64; 2] {
    let [a, b] = [parameters[0], parameters[1]];
    [-(a + b).abs() * FRAC_1_SQRT_2, (b - a) * FRAC_1_SQRT_2]
}

/// The likelihood of what was observed, exactly: the density of a normal radius and a uniform angle.
fn likelihood(parameters: &[f64]) -> f64 {
    let [dx, dy] = moved(parameters);
    let (u, v) = (OBSERVED[0] - dx - 0.25, OBSERVED[1] - dy);
    let radius = u.hypot(v);
    if u <= 0.0 {
        return 0.0;
    }
    (-0.5 * ((radius - RADIUS[0]) / RADIUS[1]).powi(2)).exp() / radius
}

fn places() -> Vec<f64> {
    (0..CELLS).map(|i| RANGE * (2.0 * (i as f64 + 0.5) / CELLS as f64 - 1.0)).collect()
}

fn points() -> Result<Rows> {
    let places = places();
    Rows::new(places.iter().flat_map(|b| places.iter().flat_map(|a| [*a, *b])).collect(), 2)
}

fn density(posterior: &Model) -> Result<Vec<f64>> {
    let context = Rows::new(OBSERVED.repeat(CELLS * CELLS), 2)?;
    let log_prob = posterior.log_prob(&points()?, Some(&context), 2)?;
    Ok(log_prob.into_iter().map(f64::exp).collect())
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let picture = std::env::args_os().nth(1).ok_or("expected a file for the picture")?;
    let cell = (2.0 * RANGE / CELLS as f64).powi(2);
    let mut exact: Vec<f64> = points()?.values().chunks_exact(2).map(likelihood).collect();
    let mass = cell * exact.iter().sum::<f64>();
    exact.iter_mut().for_each(|p| *p /= mass);
    let options = SimulationOptions {
        simulations: 2000,
        fit: FitOptions { threads: 2, ..FitOptions::default() },
        ..SimulationOptions::default()
    };
    let mut rounds = SimulationRounds::new(&TwoMoons, &OBSERVED, options)?;
    let mut densities = exact.clone();
    let mut names = vec![String::from("exact")];
    for round in 1..=ROUNDS {
        let found = rounds.advance(|_| Ok(()))?;
        let density = density(&found.posterior)?;
        let both = exact.iter().zip(&density).filter(|(p, _)| **p > 0.0);
        let lacks: f64 = both.map(|(p, q)| cell * p * (p / q.max(1e-300)).ln()).sum();
        println!(
            "round {round}: {} simulations from {:.1}% of the prior; lacks {lacks:.3} nats",
            found.kept,
            100.0 * found.share.mean
        );
        names.push(format!("round {round}"));
        densities.extend(density);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let densities: Vec<Vec<f64>> = densities.chunks(CELLS * CELLS).map(<[f64]>::to_vec).collect();
    let figure = draw_densities(&DensitiesConfig {
        columns: &[""],
        rows: &names,
        places: &places(),
        densities: &densities,
        title: "two moons",
        side: 220.0,
    })?;
    figure.save(picture.as_ref())?;
    Ok(())
}
