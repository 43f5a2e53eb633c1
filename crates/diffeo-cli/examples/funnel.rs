//! A funnel of 101 numbers, which no sampler of fixed steps mixes, by the warped sampler; writes the draws, with chain and draw, as ArviZ reads them. Stopped, and run again, it goes on:
//! `cargo run --release -p diffeo-cli --features nuts --example funnel -- draws.parquet [SEED [ACCEPTANCE [DRAWS]]]`

use std::path::PathBuf;
use std::time::Instant;

use diffeo::Result;
use diffeo::inference::{Chains, NutsOptions, PlainDensity, WarpedRun};
use diffeo_table::{Chunk, Output, Writer};

/// `s ~ N(0, 1)`, and a hundred `x_i ~ N(0, e^s)` by their deviation.
struct Funnel;

impl PlainDensity for Funnel {
    fn dims(&self) -> usize {
        101
    }

    fn log_density(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let s = x[0];
        let precision = (-2.0 * s).exp();
        let mut square = 0.0;
        for (g, v) in gradient[1..].iter_mut().zip(&x[1..]) {
            *g = -v * precision;
            square += v * v;
        }
        gradient[0] = -s - 100.0 + square * precision;
        -0.5 * s * s - 100.0 * s - 0.5 * square * precision
    }
}

fn write(chains: &Chains, path: PathBuf) -> Result<()> {
    let rows = chains.table()?;
    let numbers = (1..rows.width() - 2).map(|i| format!("x{i}"));
    let names = ["chain", "draw", "s"].map(String::from).into_iter().chain(numbers);
    let names: Vec<String> = names.collect();
    let whole: Vec<bool> = (0..names.len()).map(|j| j < 2).collect();
    let mut writer = Writer::create(&Output::Path(path), None, true)?;
    writer.write(&Chunk::from_rows(&names, &rows, &whole)?)?;
    writer.finish()?;
    Ok(())
}

fn main() -> Result<()> {
    let started = Instant::now();
    let seed = std::env::args().nth(2).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let acceptance = std::env::args().nth(3).and_then(|share| share.parse().ok());
    let draws = std::env::args().nth(4).and_then(|draws| draws.parse().ok());
    let usual = NutsOptions::default();
    let options = NutsOptions {
        seed,
        acceptance: acceptance.unwrap_or(usual.acceptance),
        draws: draws.unwrap_or(usual.draws),
        ..usual
    };
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let mut run = WarpedRun::new(&Funnel, options)?;
    if let Some(path) = &path {
        run = run.checkpoint(path.with_added_extension("checkpoint"), 250);
    }
    let found = run.run(&|chain, draw, warms_up| {
        if draw % 500 == 0 {
            let phase = if warms_up { "warm-up" } else { "draws" };
            println!("  chain {chain}: {draw:4} {phase}, {:.1} s", started.elapsed().as_secs_f64());
        }
        Ok(())
    })?;
    let sizes = found.chains.effective_sizes();
    let worst = found.chains.r_hats().into_iter().fold(0.0, f64::max);
    let scale = found.chains.draws.iter().flat_map(|rows| rows.column(0)).collect::<Vec<_>>();
    let n = scale.len() as f64;
    let mean = scale.iter().sum::<f64>() / n;
    let deviation = (scale.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt();
    println!(
        "{n} draws in {:.1} s: effective sizes {:.0} of s, {:.0} the least; r-hat {worst:.3}; {} divergences; {:.1} leapfrogs a draw",
        started.elapsed().as_secs_f64(),
        sizes[0],
        sizes.iter().copied().fold(f64::INFINITY, f64::min),
        found.divergences,
        found.leapfrogs
    );
    println!(
        "s: mean {mean:+.3} (exactly 0), deviation {deviation:.3} (exactly 1); Fisher divergences {:.2?}",
        found.warp_divergences
    );
    if let Some(path) = path {
        write(&found.chains, path)?;
    }
    run.remove_checkpoint()
}
