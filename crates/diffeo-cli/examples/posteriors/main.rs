//! Posteriors of Bayesian models beside long reference draws: how near a flow and importance weights come.
//!
//! `cargo run --release --example posteriors -- FOLDER [NAME ...]`, where `FOLDER` has a folder for each posterior with `data.json` and
//! `draws.parquet` of `posteriordb` (github.com/stan-dev/posteriordb). Prints a table: of each posterior the verdict on its weights, and of its parameters the largest
//! errors of a mean and of a deviation, in deviations of the reference draws.

mod dual;
mod model;
mod models;
mod regressions;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use diffeo::bases::StudentTSpec;
use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::inference::{
    Constrained, FlowProposal, LogDensity, OwnGradient, VariationalOptions, Verdict, Whitened, fit,
    weigh,
};
use diffeo::{Preset, PresetOptions, Result, Rows};
use diffeo_table::{Input, MemoryLimit, ReadOptions, read_table};
use serde_json::Value;

use model::{Differentiated, Model};
use models::{Elimination, Garch, HiddenMarkov, Mixture, Predation, Process, Schools};
use regressions::Regression;

/// Draws that are weighed.
const DRAWS: usize = 20_000;

/// What was found of a posterior.
struct Found {
    /// Weighted mean and deviation of each parameter.
    parameters: Vec<[f64; 2]>,
    verdict: Verdict,
    log_evidence: f64,
    seconds: f64,
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("expected a folder of posteriors, then names")?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        let entries = std::fs::read_dir(&folder)?.collect::<std::result::Result<Vec<_>, _>>()?;
        names = entries.iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
    }
    println!(
        "| posterior | numbers | Pareto k | tail, % | worth, of {DRAWS} | error of means | of deviations | log-evidence | seconds |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for name in names {
        let folder = Path::new(&folder).join(&name);
        let data: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("data.json"))?)?;
        let found = find(&name, &data)?;
        let reference = moments_of(&folder.join("draws.parquet"))?;
        let [mean, deviation] = errors(&found.parameters, &reference);
        println!(
            "| {name} | {} | {:.2} | {:.2} | {:.0} | {mean:.3} | {deviation:.3} | {:.3} | {:.1} |",
            found.parameters.len(),
            found.verdict.pareto_k.unwrap_or(f64::NAN),
            100.0 * found.verdict.excess,
            found.verdict.effective_size,
            found.log_evidence,
            found.seconds
        );
        if !found.verdict.is_good() {
            println!("\n{name}: {}\n", found.verdict);
        }
    }
    Ok(())
}

/// The posterior of a name.
fn find(name: &str, data: &Value) -> std::result::Result<Found, Box<dyn Error>> {
    if let Some(regression) = Regression::of(name, data) {
        return Ok(infer(regression)?);
    }
    Ok(match name {
        "eight_schools-eight_schools_noncentered" => infer(Schools::new(data))?,
        "garch-garch11" => infer(Garch::new(data))?,
        "gp_pois_regr-gp_pois_regr" => infer(Process::new(data, true))?,
        "gp_pois_regr-gp_regr" => infer(Process::new(data, false))?,
        "hmm_example-hmm_example" => infer(HiddenMarkov::new(data))?,
        "hudson_lynx_hare-lotka_volterra" => infer(Predation::new(data))?,
        "low_dim_gauss_mix-low_dim_gauss_mix" => infer(Mixture::new(data))?,
        "one_comp_mm_elim_abs-one_comp_mm_elim_abs" => infer(Elimination::new(data))?,
        _ => return Err(format!("no model of the name {name}").into()),
    })
}

/// Fits a flow about the mode, and weighs its draws.
fn infer(model: impl Model) -> Result<Found> {
    let started = Instant::now();
    let (domains, density) = (model.domains(), Differentiated(model));
    let target = Constrained::new(OwnGradient { density, threads: 2 }, domains)?;
    let whitened = Whitened::at_mode(&target, 0)?;
    // Tails heavier than those of the target keep weights bounded.
    let base = StudentTSpec { dof: 10.0 }.into();
    let shape =
        PresetOptions { transforms: 4, hidden: vec![32, 32], base, ..PresetOptions::default() };
    let flow = Preset::NsfCoupling.spec(whitened.dims(), 0, &shape)?.build(0)?;
    let options =
        VariationalOptions { annealed: 0.0, steps: 1500, ..VariationalOptions::default() };
    let flow = fit(flow, &whitened, &options, |_| Ok(()))?;
    let (rows, weights) = weigh(&FlowProposal { flow: &flow, seed: 1 }, &whitened, DRAWS)?;
    let verdict = weights.verdict();
    let log_evidence = weights.log_mean().mean;
    let smoothed = weights.smoothed();
    let x = constrained(&target, &whitened, &rows)?;
    let model = &target.target().density.0;
    let drawn: Vec<Vec<f64>> = (0..x.len()).map(|i| model.parameters(x.row(i))).collect();
    let parameters = (0..drawn[0].len()).map(|j| {
        let values: Vec<f64> = drawn.iter().map(|p| p[j]).collect();
        let mean = smoothed.mean(&values)?.mean;
        let squares: Vec<f64> = values.iter().map(|v| (v - mean).powi(2)).collect();
        Ok([mean, smoothed.mean(&squares)?.mean.sqrt()])
    });
    let parameters = parameters.collect::<Result<_>>()?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Found { parameters, verdict, log_evidence, seconds })
}

/// Rows about the mode as numbers of the model.
fn constrained<D: LogDensity>(
    target: &Constrained<D>,
    whitened: &Whitened<&Constrained<D>>,
    rows: &Rows,
) -> Result<Rows> {
    let data = TensorData::new(rows.values().to_vec(), [rows.len(), rows.width()]);
    let u = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
    let x = target.constrained(whitened.unwhitened(u));
    let width = x.dims()[1];
    Rows::new(x.into_data().try_into_vec().unwrap_or_default(), width)
}

/// Mean and deviation of each column of the reference draws.
fn moments_of(path: &Path) -> Result<Vec<[f64; 2]>> {
    let input = Input::Path(path.to_owned());
    let table = read_table(&input, None, &ReadOptions::default(), MemoryLimit::unlimited())?;
    let n = table.rows.len() as f64;
    let moments = |j: usize| {
        let values = table.rows.column(j);
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        [mean, variance.sqrt()]
    };
    Ok((0..table.names.len()).map(moments).collect())
}

/// The largest error of a mean and of a deviation, in deviations.
fn errors(found: &[[f64; 2]], reference: &[[f64; 2]]) -> [f64; 2] {
    assert_eq!(found.len(), reference.len(), "the model has other parameters than the draws");
    let mut largest = [0.0_f64; 2];
    for (found, reference) in found.iter().zip(reference) {
        for k in 0..2 {
            largest[k] = largest[k].max((found[k] - reference[k]).abs() / reference[1]);
        }
    }
    largest
}
