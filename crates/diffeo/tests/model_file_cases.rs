//! What a model file must and must not say, and in which version.

use std::path::Path;

use diffeo::file::container::{Container, Dtype, NamedTensor};
use diffeo::file::storage::Disk;
use diffeo::model::file::{Damage, FORMAT_VERSION, ModelParts, from_json};
use diffeo::{Column, ColumnKind, Error, ErrorKind, Schema, Units};
use serde::Deserialize;
use serde_json::json;

fn parts() -> ModelParts {
    let column = |name: &str, kind| Column::new(name.to_owned(), kind);
    let schema = Schema::new(
        vec![
            column("energy", ColumnKind::Positive),
            column("share", ColumnKind::Interval { low: 0.0, high: 1.0 }),
        ],
        vec![column("run", ColumnKind::Integer)],
    );
    let spec = json!({"dims": 2, "transforms": [{"type": "affine"}]});
    let tensors = vec![
        NamedTensor::from_f32("0.shift", [1, 2], &[0.25, -1.5]),
        NamedTensor::from_f32("0.scale", [1, 2], &[1.0, 2.0]),
    ];
    let units = Units::none(2, 1);
    let mut parts = ModelParts::new(spec, schema, units, Dtype::F32, tensors);
    parts.summary = Some(json!({"steps": 100, "valid_loss": "NaN"}));
    parts
}

fn decode(bytes: &[u8]) -> Result<ModelParts, Error> {
    ModelParts::decode(bytes, Damage::Refuse)
}

/// The model after an edit of its texts, with a checksum that is right again.
fn edited(edit: impl FnOnce(&mut Container)) -> Vec<u8> {
    let mut container = Container::decode(&parts().encode().unwrap()).unwrap();
    edit(&mut container);
    container.encode().unwrap()
}

fn with_text(name: &str, text: &str) -> Vec<u8> {
    edited(|c| drop(c.metadata.insert(name.to_owned(), text.to_owned())))
}

fn assert_fault(bytes: &[u8], kind: ErrorKind, message: &str) {
    let error = decode(bytes).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "expected {message:?} in {error}");
}

#[test]
fn parts_come_back_and_saving_again_gives_equal_bytes() {
    let bytes = parts().encode().unwrap();
    let read = decode(&bytes).unwrap();
    assert_eq!(read, parts());
    assert_eq!(read.encode().unwrap(), bytes);
    let mut untrained = parts();
    untrained.summary = None;
    assert_eq!(decode(&untrained.encode().unwrap()).unwrap(), untrained);
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    parts().write(&path, &Disk).unwrap();
    assert_eq!(ModelParts::read(&path, Damage::Refuse).unwrap(), parts());
    std::fs::write(&path, with_text("diffeo.spec", "{")).unwrap();
    let error = ModelParts::read(&path, Damage::Refuse).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
    assert!(error.contains("\"diffeo.spec\""), "{error}");
    let missing = ModelParts::read(Path::new("/nowhere/m"), Damage::Refuse).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
}

#[test]
fn c5_differences_from_the_spec_are_listed() {
    let check = |expected: &[(&str, [usize; 2])]| {
        parts().check_tensors(expected.iter().map(|(name, shape)| (*name, shape.to_vec())))
    };
    check(&[("0.scale", [1, 2]), ("0.shift", [1, 2])]).unwrap();
    let error = check(&[("0.scale", [2, 1]), ("1.shift", [1, 2])]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelFile);
    for difference in [
        "tensor \"0.scale\" should have shape [2, 1], found [1, 2]",
        "tensor \"1.shift\" is missing",
        "tensor \"0.shift\" is not part of this model",
    ] {
        assert!(error.to_string().contains(difference), "{error}");
    }
    let many: Vec<String> = (0..50).map(|i| format!("t{i}")).collect();
    let error = parts().check_tensors(many.iter().map(|n| (n.as_str(), vec![1]))).unwrap_err();
    assert!(error.to_string().ends_with("and 42 more"), "{error}");
    assert!(check(&[]).is_err());
}

#[test]
fn c6_damaged_weights_are_refused_but_can_be_inspected() {
    let mut damaged = parts();
    damaged.tensors[1] = NamedTensor::from_f32("0.scale", [1, 2], &[f32::NAN, f32::NEG_INFINITY]);
    let bytes = damaged.encode().unwrap();
    assert_fault(&bytes, ErrorKind::ModelFile, "\"0.scale\": 2 of 2 values are NaN or infinite");
    let read = ModelParts::decode(&bytes, Damage::Allow).unwrap();
    assert_eq!(read, damaged);
    assert_eq!(read.damage().len(), 1);

    damaged.tensors[1] = NamedTensor::from_f64("0.scale", [1, 2], &[1.0, 2.0]);
    let bytes = damaged.encode().unwrap();
    assert_fault(&bytes, ErrorKind::ModelFile, "should hold F32, found F64");
}

#[test]
fn c7_every_changed_byte_of_a_model_is_found() {
    let intact = parts().encode().unwrap();
    for place in 0..intact.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = intact.clone();
            bytes[place] ^= change;
            assert!(decode(&bytes).is_err(), "byte {place}");
        }
    }
}

#[test]
fn c8_every_truncation_of_a_model_is_found() {
    let intact = parts().encode().unwrap();
    assert!((0..intact.len()).all(|n| decode(&intact[..n]).is_err()));
}

#[test]
fn c9_newer_formats_are_named_with_both_versions() {
    let newer = edited(|c| {
        c.metadata.insert("diffeo.format_version".to_owned(), (FORMAT_VERSION + 1).to_string());
        c.metadata.insert("diffeo.version".to_owned(), "9.3.0".to_owned());
        c.metadata.remove("diffeo.spec"); // Whatever else has changed, the version is what to report.
    });
    let message = "written by format 3 (diffeo 9.3.0), this build reads up to 2";
    assert_fault(&newer, ErrorKind::Version, message);
    for text in ["0", "-1", "", "one", "1.5"] {
        let bytes = with_text("diffeo.format_version", text);
        assert_fault(&bytes, ErrorKind::ModelFile, "should be a number from 1");
    }
}

#[test]
fn c9_unknown_required_features_are_refused() {
    let bytes = with_text("diffeo.requires", "[\"quantum\"]");
    assert_fault(&bytes, ErrorKind::Version, "needs the feature \"quantum\"");
}

#[test]
fn c9_unknown_texts_are_kept_and_written_back() {
    let bytes = with_text("author", "\u{1f30a} someone");
    let read = decode(&bytes).unwrap();
    assert_eq!(read.other["author"], "\u{1f30a} someone");
    assert_eq!(read.encode().unwrap(), bytes);
}

/// The texts and tensors of format 1: the encoding of `parts()` in release 0.1.0. Models that were fitted are in `model_releases.rs`.
#[test]
fn c9_the_golden_file_of_format_1_loads() {
    let golden = include_bytes!("golden/model_format_1.safetensors");
    let read = decode(golden).unwrap();
    assert_eq!(read, ModelParts { diffeo_version: "0.1.0".to_owned(), ..parts() });
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Known {
    // With braces: serde ignores unknown fields of a tagged unit variant in spite of `deny_unknown_fields`.
    Affine {},
}

#[test]
fn c10_names_outside_the_closed_list_are_refused() {
    let known: Known = from_json("layer", &json!({"type": "affine"})).unwrap();
    assert!(matches!(known, Known::Affine {}));
    for name in
        ["os.system", "../layer.py", "https://example.org/x", "keras.layers.Lambda", "\u{1b}["]
    {
        let error = from_json::<Known>("layer", &json!({ "type": name })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFile);
        assert!(error.to_string().contains("unknown variant"), "{error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    assert!(from_json::<Known>("layer", &json!({"type": "affine", "path": "/etc"})).is_err());
}

#[test]
fn texts_that_are_missing_or_wrong_are_named() {
    for name in
        ["kind", "format_version", "version", "requires", "precision", "spec", "schema", "units"]
    {
        let key = format!("diffeo.{name}");
        let bytes = edited(|c| drop(c.metadata.remove(&key)));
        assert_fault(&bytes, ErrorKind::ModelFile, &format!("{key:?} is missing"));
    }
    let cases = [
        ("diffeo.kind", "checkpoint", "expected a model, found a checkpoint"),
        ("diffeo.precision", "F16", "should be F32 or F64, found \"F16\""),
        ("diffeo.requires", "{}", "\"diffeo.requires\""),
        ("diffeo.spec", "{\"a\":1,\"a\":2}", "is there twice"),
        ("diffeo.schema", "{\"columns\":[],\"code\":1}", "unknown field"),
        (
            "diffeo.schema",
            "{\"columns\":[{\"name\":\"\",\"kind\":{\"kind\":\"real\"}}]}",
            "needs a name",
        ),
        ("diffeo.summary", "nul", "\"diffeo.summary\""),
    ];
    for (name, text, message) in cases {
        assert_fault(&with_text(name, text), ErrorKind::ModelFile, message);
    }
}
