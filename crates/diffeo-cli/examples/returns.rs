//! Returns over training, from the logs of `diffeo control train --log`, as one picture with a panel for each environment.
//!
//! `cargo run --release --example returns -- OUT.png TITLE=LOG[,LOG ...] ...`: the logs of one title are trainings of the same thing.

use std::error::Error;
use std::path::Path;

use diffeo_plot::{Figure, ReturnPoint, Stack, compose, draw_return_curve};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let (out, panels) = given.split_first().ok_or("expected a picture to write")?;
    let panel = |text: &String| -> Result<Figure, Box<dyn Error>> {
        let (title, logs) = text.split_once('=').ok_or("expected TITLE=LOG[,LOG ...]")?;
        let trainings: Vec<_> = logs.split(',').map(episodes).collect::<Result<_, _>>()?;
        Ok(draw_return_curve(&trainings, title, 480.0)?)
    };
    let figures: Vec<Figure> = panels.iter().map(panel).collect::<Result<_, _>>()?;
    compose(&figures, Stack::Vertical).save(Path::new(out))?;
    Ok(())
}

/// The episodes of a log.
fn episodes(path: &str) -> Result<Vec<ReturnPoint>, Box<dyn Error>> {
    let mut found = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["event"] == "episode" {
            let step = line["step"].as_u64().ok_or("an episode without its step")?;
            found.push(ReturnPoint { step, earned: line["return"].as_f64().unwrap_or(f64::NAN) });
        }
    }
    Ok(found)
}
