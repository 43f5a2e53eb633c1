//! Reads bytes as a model or a checkpoint, and uses what was read.

use diffeo::file::container::Container;
use diffeo::model::file::{Damage, ModelParts};
use diffeo::train::{FitOptions, Trainer, TrainingData, ValidationChoice};
use diffeo::transforms::Registry;
use diffeo::{Column, ColumnKind, ErrorKind, FlowSpec, Model, Result, Rows, SampleOptions, Schema};

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
                || is_checkpoint && matches!(error.kind(), ErrorKind::Config | ErrorKind::Data),
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
    let schema = model.schema();
    let context = match schema.context.len() {
        0 => None,
        _ => Some(some_rows(&schema.context)?),
    };
    let x = some_rows(&schema.columns)?;
    let scores = model.log_prob(&x, context.as_ref(), 1);
    assert!(scores.is_ok_and(|scores| scores.len() == x.len()), "a row has a score");
    // Weights of any size may lead beyond the numbers there are, but to no outcome that there is not.
    if let Ok(drawn) = model.sample(x.len(), context.as_ref(), &SampleOptions::default()) {
        for (j, column) in schema.columns.iter().enumerate().filter(|(_, c)| !c.has_number()) {
            let values = drawn.column(j);
            assert!(values.iter().all(|x| column.contains(*x)), "{column:?} {values:?}");
        }
    }
    if model.is_of_subsets() {
        let drawn = model.impute(&x, context.as_ref(), &SampleOptions::default());
        let given = |i: usize| !x.values()[i].is_nan();
        if let Ok(drawn) = drawn {
            let changed = |i: &usize| given(*i) && drawn.values()[*i] != x.values()[*i];
            assert_eq!((0..x.values().len()).find(changed), None, "what is given stays");
        }
    }
    let saved = model.to_bytes().expect("what was read can be written");
    let again = Model::from_bytes(&saved, &Registry::new()).and_then(|model| model.to_bytes());
    assert_eq!(again.expect("what was written can be read"), saved);
    Ok(())
}

/// Rows of what a column may hold first, last and otherwise, and of what few may.
fn some_rows(columns: &[Column]) -> Result<Rows> {
    let values = |column: &Column| {
        let (first, last) = match (column.kind, column.range) {
            (_, Some([low, high])) => (low as f64, high as f64),
            (ColumnKind::Category, _) => (0.0, column.levels.len() as f64),
            (ColumnKind::Boolean, _) => (0.0, 1.0),
            (ColumnKind::Interval { low, high } | ColumnKind::Periodic { low, high }, _) => {
                (0.5 * (low + high), low)
            }
            (ColumnKind::Range { low, high }, _) => {
                let bounds = (low.bound().unwrap_or(-1.0), high.bound().unwrap_or(1.0));
                (0.5 * (bounds.0 + bounds.1), bounds.0)
            }
            (ColumnKind::IntegerRange { low, high }, _) => {
                (low.or(high).unwrap_or(0) as f64, high.or(low).unwrap_or(7) as f64)
            }
            (kind, _) if kind.is_whole() => (3.0, -1.0),
            _ => (0.25, 40.0),
        };
        let hole = column.may_be_missing().then_some(f64::NAN);
        [first, last, column.masses.first().copied().or(hole).unwrap_or(first), 0.5]
    };
    let of_columns: Vec<[f64; 4]> = columns.iter().map(values).collect();
    let rows = (0..4).flat_map(|i| of_columns.iter().map(move |values| values[i]));
    Rows::new(rows.collect(), columns.len())
}

/// Goes on with [`fit`] from the checkpoint for two events.
fn read_checkpoint(bytes: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("fit.checkpoint");
    std::fs::write(&path, bytes).expect("room for the file");
    Trainer::look_at_checkpoint(&path)?;
    let is_mixed = bytes.windows(3).any(|word| word == b"elm");
    let schema = if is_mixed { mixed() } else { numbers() };
    let mut trainer = Trainer::resume(&path, data(&schema), options(&schema))?;
    for _ in 0..2 {
        // Hostile moments may make it diverge, which is said.
        if trainer.advance().is_err() {
            break;
        }
    }
    Ok(())
}

/// The fit that checkpoints are of, with one of the schemas below.
pub fn fit(spec: FlowSpec, schema: Schema) -> Result<Trainer> {
    let (data, options) = (data(&schema), options(&schema));
    Trainer::new(spec, schema, data, options)
}

/// Two columns of numbers.
pub fn numbers() -> Schema {
    Schema::real(["a", "b"])
}

/// A category with holes, and a number with a point mass.
pub fn mixed() -> Schema {
    let category = Column { holes: true, ..Column::category("a", ["elm", "oak"]) };
    let number = Column { masses: vec![0.0], ..Column::real("b") };
    Schema::new(vec![category, number], Vec::new())
}

fn options(schema: &Schema) -> FitOptions {
    let validation = ValidationChoice::Given(data(schema));
    FitOptions { steps: Some(6), batch: Some(8), threads: 1, validation, ..FitOptions::default() }
}

/// Sixteen rows.
fn data(schema: &Schema) -> TrainingData {
    let value = |i: u32| (f64::from(i) * 0.37).sin();
    let row = |i: u32| match schema.columns.iter().any(|column| column.holes) {
        false => [value(2 * i), value(2 * i + 1)],
        true => {
            let level = if i.is_multiple_of(5) { f64::NAN } else { f64::from(i % 2) };
            [level, if i.is_multiple_of(3) { 0.0 } else { value(i) }]
        }
    };
    let x = Rows::new((0..16).flat_map(row).collect(), 2).expect("rows of two numbers");
    TrainingData { x, context: None, weights: None }
}
