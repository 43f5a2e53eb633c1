//! Reads bytes as a model or a checkpoint, and uses what was read.

use diffeo::file::container::Container;
use diffeo::model::file::{Damage, ModelParts};
use diffeo::train::{FitOptions, Trainer, TrainingData, ValidationChoice};
use diffeo::transforms::Registry;
use diffeo::{Column, ErrorKind, FlowSpec, Model, Result, Rows, SampleOptions, Schema};

/// A model file, or the checkpoint of [`fit`]: it must be refused, or work.
pub fn model(bytes: &[u8]) -> Result<()> {
    let container = Container::decode(bytes);
    let is_checkpoint =
        container.is_ok_and(|c| c.text("diffeo.kind").is_ok_and(|kind| kind == "checkpoint"));
    let outcome = if is_checkpoint { read_checkpoint(bytes) } else { read_model(bytes) };
    if let Err(error) = &outcome {
        let fit = !error.message().contains(char::is_control) && error.message().len() < 10_000;
        assert!(fit, "an unfit message: {error:?}");
        assert!(
            matches!(error.kind(), ErrorKind::ModelFile | ErrorKind::Version)
                || is_checkpoint && error.kind() == ErrorKind::Config,
            "{error:?}"
        );
    }
    outcome
}

/// Looks at the parts, then loads the model, scores, samples and saves it.
fn read_model(bytes: &[u8]) -> Result<()> {
    if let Ok(parts) = ModelParts::decode(bytes, Damage::Allow) {
        parts.damage();
        parts.encode().expect("what was read can be written");
    }
    let model = Model::from_bytes(bytes, &Registry::new())?;
    let row = |width: usize| Rows::new(vec![0.5; width], width);
    let context = match model.schema().context_width() {
        0 => None,
        width => Some(row(width)?),
    };
    let scores = model.log_prob(&row(model.schema().width())?, context.as_ref(), 1);
    assert!(scores.is_ok_and(|scores| scores.len() == 1), "a row has a score");
    // Weights of any size may lead beyond the numbers there are, which is said.
    let _ = model.sample(1, context.as_ref(), &SampleOptions::default());
    let saved = model.to_bytes().expect("what was read can be written");
    let again = Model::from_bytes(&saved, &Registry::new()).and_then(|model| model.to_bytes());
    assert_eq!(again.expect("what was written can be read"), saved);
    Ok(())
}

/// Goes on with [`fit`] from the checkpoint for two events.
fn read_checkpoint(bytes: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("fit.checkpoint");
    std::fs::write(&path, bytes).expect("room for the file");
    Trainer::look_at_checkpoint(&path)?;
    let mut trainer = Trainer::resume(&path, data(), options())?;
    for _ in 0..2 {
        // Hostile moments may make it diverge, which is said.
        if trainer.advance().is_err() {
            break;
        }
    }
    Ok(())
}

/// The fit that checkpoints are of.
pub fn fit(spec: FlowSpec) -> Result<Trainer> {
    let columns = ["a", "b"].map(Column::real).to_vec();
    Trainer::new(spec, Schema { columns, context: Vec::new() }, data(), options())
}

fn options() -> FitOptions {
    let validation = ValidationChoice::Given(data());
    FitOptions { steps: Some(6), batch: Some(8), threads: 1, validation, ..FitOptions::default() }
}

fn data() -> TrainingData {
    let values = (0..32).map(|i| (f64::from(i) * 0.37).sin()).collect();
    let x = Rows::new(values, 2).expect("sixteen rows of two numbers");
    TrainingData { x, context: None, weights: None }
}
