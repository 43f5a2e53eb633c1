//! Every named model on the classic densities of the plane, as pictures: target, density of the model and samples, one file a model, and the densities of all in `overview.png`.
//!
//! `cargo run --release --example classics -- FOLDER [MODEL ...]`; without models all of them, which takes hours. `STEPS=500` or `SECONDS=30` in the environment
//! makes fits shorter, `THREADS` says how many run (2).

use std::error::Error;
use std::f64::consts::{PI, TAU};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use diffeo::train::{Event, Fit, StopReason};
use diffeo::{
    Model, Preset, PresetOptions, Purpose, Rows, SampleOptions, Streams, fill_normal, uniform,
};
use diffeo_plot::{DensitiesConfig, draw_densities};

/// Rows to learn from, and to score.
const ROWS: u64 = 20_000;
/// Rows of the histograms that show targets and samples.
const SHOWN: u64 = 400_000;
/// Pictures show the square from `-RANGE` to `RANGE`, in so many cells a side.
const RANGE: f64 = 4.2;
const CELLS: usize = 120;

/// Makes a row of two normal and two uniform numbers.
type Draw = fn([f64; 2], [f64; 2]) -> [f64; 2];

const CLASSICS: [(&str, Draw); 8] = [
    ("8 Gaussians", |z, u| {
        let (sin, cos) = (TAU * (8.0 * u[0]).floor() / 8.0).sin_cos();
        [2.8 * cos + 0.3 * z[0], 2.8 * sin + 0.3 * z[1]]
    }),
    ("two spirals", |z, u| {
        let angle = 3.0 * PI * u[0].sqrt();
        let (sin, cos) = angle.sin_cos();
        let sign = if u[1] < 0.5 { -0.36 } else { 0.36 };
        [sign * angle * cos + 0.1 * z[0], sign * angle * sin + 0.1 * z[1]]
    }),
    ("checkerboard", |_, u| {
        let (column, y) = ((4.0 * u[0]).floor(), 2.0 * u[1]);
        let row = 2.0 * y.floor() + column % 2.0;
        [2.0 * (4.0 * u[0]) - 4.0, 2.0 * (row + y.fract()) - 4.0]
    }),
    ("pinwheel", |z, u| {
        let (radius, across) = (1.0 + 0.3 * z[0], 0.1 * z[1]);
        let (sin, cos) = (TAU * (5.0 * u[0]).floor() / 5.0 + 0.25 * radius.exp()).sin_cos();
        [2.0 * (radius * cos - across * sin), 2.0 * (radius * sin + across * cos)]
    }),
    ("rings", |z, u| {
        let radius = 0.9 * (1.0 + (4.0 * u[0]).floor());
        let (sin, cos) = (TAU * u[1]).sin_cos();
        [radius * cos + 0.1 * z[0], radius * sin + 0.1 * z[1]]
    }),
    ("two moons", |z, u| {
        let (sin, cos) = (PI * u[0]).sin_cos();
        let [x, y] = if u[1] < 0.5 { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
        [2.0 * (x - 0.5) + 0.16 * z[0], 2.0 * (y - 0.25) + 0.16 * z[1]]
    }),
    ("Swiss roll", |z, u| {
        let angle = 1.5 * PI * (1.0 + 2.0 * u[0]);
        [0.27 * angle * angle.cos() + 0.15 * z[0], 0.27 * angle * angle.sin() + 0.15 * z[1]]
    }),
    ("cross", |z, u| {
        let [along, across] = [3.8 * (2.0 * u[0] - 1.0), 0.15 * z[0]];
        if u[1] < 0.5 { [along, across] } else { [across, along] }
    }),
];

/// Rows `first .. first + n` of a classic.
fn rows(draw: Draw, first: u64, n: u64) -> diffeo::Result<Rows> {
    let row = |i: u64| {
        let mut rng = Streams::new(7).rng(Purpose::Check, 0, i);
        let mut z = [0.0; 2];
        fill_normal(&mut rng, &mut z);
        draw(z, [uniform(&mut rng), uniform(&mut rng)])
    };
    Rows::new((first..first + n).flat_map(row).collect(), 2)
}

/// Middles of the cells along either axis.
fn places() -> Vec<f64> {
    (0..CELLS).map(|i| RANGE * (2.0 * (i as f64 + 0.5) / CELLS as f64 - 1.0)).collect()
}

/// How many rows lie in each cell, as a density.
fn histogram(rows: &Rows) -> Vec<f64> {
    let mut counts = vec![0.0; CELLS * CELLS];
    let share = (CELLS as f64 / (2.0 * RANGE)).powi(2) / rows.len() as f64;
    for row in rows.values().chunks_exact(2) {
        let [i, j] = [row[0], row[1]].map(|v| (v + RANGE) / (2.0 * RANGE) * CELLS as f64);
        let inside = |v: f64| (0.0..CELLS as f64).contains(&v);
        if inside(i) && inside(j) {
            counts[j as usize * CELLS + i as usize] += share;
        }
    }
    counts
}

/// A number that the environment may say.
fn said<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn threads() -> usize {
    said("THREADS").unwrap_or(2)
}

fn density(model: &Model) -> diffeo::Result<Vec<f64>> {
    let places = places();
    let points = places.iter().flat_map(|y| places.iter().flat_map(|x| [*x, *y]));
    let log_prob = model.log_prob(&Rows::new(points.collect(), 2)?, None, threads())?;
    Ok(log_prob.into_iter().map(f64::exp).collect())
}

/// What the guide names for models of many small transforms or of one.
fn options(preset: Preset) -> PresetOptions {
    let usual = PresetOptions { hidden: vec![64, 64], ..PresetOptions::default() };
    let transforms = match preset.name() {
        "planar" | "radial" | "sylvester" => 32,
        "gaussianization" => 16,
        "ffjord" | "ot-flow-matching" => 1,
        _ => usual.transforms,
    };
    PresetOptions { transforms, ..usual }
}

/// Fits, prints what the model reaches, and returns its density and samples.
fn fit(preset: Preset, (name, draw): (&str, Draw)) -> diffeo::Result<[Vec<f64>; 2]> {
    let started = Instant::now();
    let mut fit = Fit::new(preset).preset_options(options(preset)).rows(rows(draw, 0, ROWS)?);
    if let Some(steps) = said("STEPS") {
        fit = fit.steps(steps);
    }
    let limit = said("SECONDS").map_or(Duration::MAX, Duration::from_secs);
    let mut trainer = fit.threads(threads()).into_trainer()?;
    while !matches!(trainer.advance()?, Event::Finished { .. }) {
        if started.elapsed() >= limit {
            trainer.stop(StopReason::MaxTime);
        }
    }
    let model = trainer.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let log_prob = model.log_prob(&rows(draw, 1 << 32, ROWS)?, None, threads())?;
    let mean = log_prob.iter().sum::<f64>() / log_prob.len() as f64;
    println!("{preset:<17} {name:<16} {mean:8.4} nats  {seconds:7.1} s");
    let options = SampleOptions { threads: threads(), ..SampleOptions::default() };
    let samples = model.sample(SHOWN as usize, None, &options)?;
    Ok([density(&model)?, histogram(&samples)])
}

/// Fits all classics and draws them; the densities of the target and of the model.
fn draw(preset: Preset, folder: &Path) -> Result<[Vec<Vec<f64>>; 2], Box<dyn Error>> {
    let [mut target, mut model, mut samples] = [Vec::new(), Vec::new(), Vec::new()];
    for classic in CLASSICS {
        target.push(histogram(&rows(classic.1, 0, SHOWN)?));
        let [density, drawn] = fit(preset, classic)?;
        model.push(density);
        samples.push(drawn);
    }
    let all = [&target[..], &model, &samples].concat();
    let path = folder.join(format!("{preset}.png"));
    save(&["target", preset.name(), "samples"], &all, 120.0, &path)?;
    Ok([target, model])
}

/// A row of pictures under each name.
fn save(
    names: &[&str],
    densities: &[Vec<f64>],
    side: f64,
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    let figure = draw_densities(&DensitiesConfig {
        columns: &CLASSICS.map(|(name, _)| name),
        rows: names,
        places: &places(),
        densities,
        title: "",
        side,
    })?;
    figure.save(path)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("expected a folder, then models")?;
    let folder = Path::new(&folder);
    let named: Vec<Preset> = arguments.map(|name| name.parse()).collect::<diffeo::Result<_>>()?;
    let presets = if named.is_empty() { Preset::of_tables().collect() } else { named };
    std::fs::create_dir_all(folder)?;
    let (mut names, mut densities) = (vec!["target"], Vec::new());
    for preset in presets {
        let [target, model] = draw(preset, folder)?;
        if densities.is_empty() {
            densities.extend(target);
        }
        names.push(preset.name());
        densities.extend(model);
        // Drawn anew after each, so that an interrupted run has what it came to.
        save(&names, &densities, 84.0, &folder.join("overview.png"))?;
    }
    Ok(())
}
