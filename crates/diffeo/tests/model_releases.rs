//! Models of every release load for ever and score as they did: case C9.

use std::path::{Path, PathBuf};

use diffeo::file::storage::Disk;
use diffeo::model::file::{Damage, ModelParts};
use diffeo::{ColumnKind, Model, Rows};
use serde_json::Value;

/// Largest `|a - b| / max(1, |b|)`: what COMPATIBILITY.md promises across releases, and across processors. Bits are promised on one only.
const TOLERANCE: f64 = 1e-6;
/// Fitted models, with the scores that their own release gave.
const RELEASES: [&str; 1] = ["model_release_0_1"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A number of the file; infinities are texts.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

#[test]
fn c9_models_of_every_release_load_and_score_as_they_did() {
    for release in RELEASES {
        let model = Model::load(&golden(&format!("{release}.safetensors"))).unwrap();
        let text = std::fs::read_to_string(golden(&format!("{release}.json"))).unwrap();
        let recorded: Value = serde_json::from_str(&text).unwrap();
        let x: Vec<Vec<f64>> = serde_json::from_value(recorded["x"].clone()).unwrap();
        let expected: Vec<f64> =
            recorded["log_prob"].as_array().unwrap().iter().map(number).collect();
        let found = model.log_prob(&Rows::new(x.concat(), x[0].len()).unwrap(), None, 1).unwrap();
        assert!(expected.len() == found.len() && expected.iter().any(|p| p.is_finite()));
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let close = (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
            assert!(found == expected || close, "{release}, row {i}: {found}, was {expected}");
        }
    }
}

#[test]
fn c9_the_first_release_keeps_its_columns_and_its_training() {
    let model = Model::load(&golden("model_release_0_1.safetensors")).unwrap();
    let kinds: Vec<ColumnKind> = model.schema().columns.iter().map(|c| c.kind).collect();
    let share = ColumnKind::Interval { low: 0.0, high: 1.0 };
    assert_eq!(kinds, [ColumnKind::Positive, ColumnKind::Integer, share]);
    let summary = model.summary.unwrap();
    assert_eq!((summary.seed, summary.steps, summary.rows_train), (7, 200, 540));
    // It was written before these were measured.
    assert!(summary.log_prob_lowest.is_none() && summary.warnings.is_empty());
}

#[test]
fn c9_a_model_that_is_loaded_and_saved_keeps_the_texts_that_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let path = golden("model_release_0_1.safetensors");
    let mut parts = ModelParts::read(&path, Damage::Refuse).unwrap();
    parts.other.insert("author".into(), "\u{1f30a} someone".into());
    parts.other.insert("diffeo.licence".into(), "of a later release".into());
    parts.write(&old, &Disk).unwrap();
    Model::load(&old).unwrap().save(&new).unwrap();
    let again = ModelParts::read(&new, Damage::Refuse).unwrap();
    assert_eq!(again.other, parts.other);
    assert_eq!((&again.tensors, &again.units), (&parts.tensors, &parts.units));
    // A clone is the same model.
    Model::load(&old).unwrap().clone().save(&new).unwrap();
    assert_eq!(ModelParts::read(&new, Damage::Refuse).unwrap().other, parts.other);
}
