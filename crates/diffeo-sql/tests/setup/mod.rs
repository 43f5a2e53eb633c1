//! A model and rows for the tests.

use std::path::{Path, PathBuf};

use diffeo::train::Fit;
use diffeo::{Model, Preset, PresetOptions, Rows};

/// Rows of three columns that depend on each other.
pub fn rows(n: usize) -> Rows {
    let at = |i: usize| {
        let (a, b) = ((i as f64 * 0.37).sin(), (i as f64 * 1.93).cos());
        [a, 2.0 * a + 0.3 * b, a * b]
    };
    Rows::new((0..n).flat_map(at).collect(), 3).unwrap()
}

/// A spline flow of the columns `a`, `b` and `c`, in a file.
pub fn model(folder: &Path) -> (PathBuf, Model) {
    let path = folder.join("model.safetensors");
    let options = PresetOptions { hidden: vec![32, 32], ..PresetOptions::default() };
    let fit = Fit::new(Preset::Nsf).preset_options(options).columns(["a", "b", "c"]);
    let model = fit.rows(rows(600)).steps(10).seed(1).run().unwrap();
    model.save(&path).unwrap();
    (path, model)
}
