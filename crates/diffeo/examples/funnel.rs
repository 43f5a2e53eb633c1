//! A funnel of 101 numbers, which no sampler of fixed steps mixes, by the warped sampler: `cargo run --release --features nuts --example funnel`

use std::time::Instant;

use diffeo::Result;
use diffeo::inference::{NutsOptions, PlainDensity, warped_nuts};

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

fn main() -> Result<()> {
    let started = Instant::now();
    let options = NutsOptions { seed: 1, ..NutsOptions::default() };
    let found = warped_nuts(&Funnel, &options, &|chain, draw, warms_up| {
        if draw % 250 == 0 {
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
    Ok(())
}
