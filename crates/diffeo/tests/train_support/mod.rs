//! Small tables and flows for the tests of training.
#![allow(dead_code, reason = "each test file uses a part of it")]

use diffeo::train::{Event, FitOptions, StopReason, Trainer, TrainingData, ValidationChoice};
use diffeo::{
    Column, FlowSpec, Model, Precision, Preset, PresetOptions, Purpose, Rows, Schema, Streams,
    normal,
};

/// Correlated normals: mean (1, -2), deviations 1 and 0.5.
pub fn correlated(rows: usize, seed: u64) -> TrainingData {
    let mut values = Vec::new();
    for row in 0..rows as u64 {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 0, row);
        let (a, b) = (normal(&mut rng), normal(&mut rng));
        values.extend([1.0 + a, -2.0 + 0.4 * a + 0.3 * b]);
    }
    TrainingData { x: Rows::new(values, 2).unwrap(), context: None, weights: None }
}

pub fn real_columns(names: &[&str]) -> Vec<Column> {
    let column = |name: &&str| Column::real(*name);
    names.iter().map(column).collect()
}

pub fn schema() -> Schema {
    Schema::new(real_columns(&["a", "b"]), Vec::new())
}

/// A flow small enough for a test build.
pub fn small(preset: Preset, dims: usize, context: usize, precision: Precision) -> FlowSpec {
    let options =
        PresetOptions { transforms: 2, hidden: vec![8], bins: 4, precision, ..Default::default() };
    preset.spec(dims, context, &options).unwrap()
}

pub fn nsf() -> FlowSpec {
    small(Preset::Nsf, 2, 0, Precision::F32)
}

/// A short run with several validations.
pub fn options(steps: u64) -> FitOptions {
    let valid = ValidationChoice::Given(correlated(50, 77));
    FitOptions { steps: Some(steps), batch: Some(40), validation: valid, ..FitOptions::default() }
}

pub fn trainer(options: FitOptions) -> Trainer {
    Trainer::new(nsf(), schema(), correlated(100, 1), options).unwrap()
}

/// Runs to the end.
pub fn events(trainer: &mut Trainer) -> (Vec<Event>, StopReason) {
    let mut all = Vec::new();
    loop {
        match trainer.advance().unwrap() {
            Event::Finished { reason } => return (all, reason),
            event => all.push(event),
        }
        assert!(all.len() < 100_000);
    }
}

/// The bits of a model's weights.
pub fn bits(model: &Model) -> Vec<u32> {
    let parameters = model.flow().parameters();
    let values = parameters
        .into_iter()
        .flat_map(|(_, p)| p.into_data().convert::<f32>().try_to_vec::<f32>().unwrap());
    values.map(f32::to_bits).collect()
}
