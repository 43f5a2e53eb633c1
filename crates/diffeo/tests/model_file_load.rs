//! Whole models through files: the same bits come back, and a file that lies gets an error, never a panic.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use diffeo::bases::{MixtureSpec, NormalSpec, StudentTSpec, UniformSpec};
use diffeo::file::container::NamedTensor;
use diffeo::model::file::{Damage, ModelParts};
use diffeo::{BaseSpec, Column, ErrorKind, Model, Preset, PresetOptions, Rows, Schema, Units};
use serde_json::{Value, json};

fn schema(dims: usize, context: usize) -> Schema {
    let columns = |prefix: &str, n: usize| {
        let column = |i| Column::real(format!("{prefix}{i}"));
        (0..n).map(column).collect()
    };
    Schema::new(columns("x", dims), columns("c", context))
}

fn model(preset: Preset, base: BaseSpec) -> Model {
    let options =
        PresetOptions { transforms: 2, hidden: vec![3], bins: 3, base, ..PresetOptions::default() };
    let flow = preset.spec(2, 1, &options).unwrap().build(7).unwrap();
    // Seventeen digits that a fast parser of floats misses by the last bit.
    let center = [0.12345678901234566, -1.0 / 3.0e7];
    let units = Units::of(&schema(2, 1), &center, &[1.0 / 3.0, 7.1e-3]);
    Model::with_units(flow, schema(2, 1), units).unwrap()
}

fn nsf() -> Model {
    model(Preset::Nsf, BaseSpec::Mixture(MixtureSpec { components: 2 }))
}

fn bits(model: &Model) -> Vec<u64> {
    let x = Rows::new(vec![0.1, 0.2, -3.0, 4.0, 1e3, -1e-3], 2).unwrap();
    let c = Rows::new(vec![0.0, 1.0, -1.0], 1).unwrap();
    model.log_prob(&x, Some(&c), 1).unwrap().into_iter().map(f64::to_bits).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("model.safetensors")
    }

    fn parts(&self, model: &Model) -> ModelParts {
        model.save(&self.path()).unwrap();
        ModelParts::read(&self.path(), Damage::Refuse).unwrap()
    }

    fn load(&self, parts: &ModelParts) -> diffeo::Result<Model> {
        std::fs::write(self.path(), parts.encode().unwrap()).unwrap();
        Model::load(&self.path())
    }
}

#[test]
fn a_loaded_model_gives_the_same_bits() {
    let folder = Folder::new();
    let takes_context = |p: &Preset| p.spec(2, 1, &PresetOptions::default()).is_ok();
    for preset in Preset::of_tables().filter(takes_context) {
        let saved = model(preset, BaseSpec::Normal(NormalSpec {}));
        saved.save(&folder.path()).unwrap();
        let bytes = std::fs::read(folder.path()).unwrap();
        let loaded = Model::load(&folder.path()).unwrap();
        assert_eq!(bits(&loaded), bits(&saved), "{preset}");
        assert_eq!(loaded.flow().spec(), saved.flow().spec());
        loaded.save(&folder.path()).unwrap();
        assert_eq!(std::fs::read(folder.path()).unwrap(), bytes, "{preset}");
    }
}

#[test]
fn c8_every_truncation_and_c7_every_changed_byte_of_a_model_file() {
    let folder = Folder::new();
    let spec = Preset::Gaussian.spec(1, 0, &PresetOptions::default()).unwrap();
    let small = Model::new(spec.build(0).unwrap(), schema(1, 0)).unwrap();
    small.save(&folder.path()).unwrap();
    let intact = std::fs::read(folder.path()).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(folder.path(), bytes).unwrap();
        Model::load(&folder.path()).unwrap_err()
    };
    for length in 0..intact.len() {
        assert_eq!(refused(&intact[..length]).kind(), ErrorKind::ModelFile);
    }
    for place in 0..intact.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = intact.clone();
            bytes[place] ^= change;
            refused(&bytes);
        }
    }
}

#[test]
fn c5_weights_that_do_not_fit_the_spec() {
    let folder = Folder::new();
    let parts = folder.parts(&nsf());
    let fault = |edit: &dyn Fn(&mut Vec<NamedTensor>)| {
        let mut edited = parts.clone();
        edit(&mut edited.tensors);
        let error = folder.load(&edited).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFile, "{error}");
        assert_eq!(error.path(), Some(folder.path().as_path()));
        error.to_string()
    };
    fault(&|t| drop(t.pop()));
    fault(&|t| t.push(NamedTensor::from_f32("extra", [1, 1], &[0.0])));
    assert!(fault(&|t| t[0].name = "other".to_owned()).contains("is missing"));
    let wide = parts.tensors.iter().position(|t| t.shape[0] != t.shape[1]).unwrap();
    assert!(fault(&|t| t[wide].shape.reverse()).contains("should have shape"));
    assert!(fault(&|t| t[0].shape.insert(0, 1)).contains("should have shape"));
}

#[test]
fn c6_weights_that_are_not_finite() {
    let folder = Folder::new();
    let mut parts = folder.parts(&nsf());
    let last = parts.tensors.last_mut().unwrap();
    last.data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = folder.load(&parts).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelFile);
    assert!(error.to_string().contains("NaN"), "{error}");
}

#[test]
fn c6_structural_faults_of_the_spec() {
    let folder = Folder::new();
    let intact = folder.parts(&nsf());
    let (mut orders, mut paths) = (0, Vec::new());
    pointers(&intact.spec, String::new(), &mut paths);
    for path in paths.iter().filter(|p| p.ends_with("/order")) {
        for order in [json!([0, 0]), json!([0, 2]), json!([0]), json!([]), json!([0, 1, 2])] {
            let mut parts = intact.clone();
            *parts.spec.pointer_mut(path).unwrap() = order;
            assert_eq!(folder.load(&parts).unwrap_err().kind(), ErrorKind::ModelFile, "{path}");
        }
        orders += 1;
    }
    assert!(orders > 0);
    for scale in [0.0, -1.0, 5e-324, f64::NAN] {
        let mut parts = intact.clone();
        parts.units.columns[1].scale = scale;
        assert!(folder.load(&parts).is_err(), "scale {scale}");
    }
    let mut parts = intact.clone();
    parts.units.columns.pop();
    assert!(folder.load(&parts).is_err(), "a unit is missing");
}

#[test]
fn c10_layers_outside_the_closed_list() {
    let folder = Folder::new();
    let intact = folder.parts(&nsf());
    for name in ["lambda", "../evil", "https://example.org/layer", "torch.nn.Linear"] {
        let mut parts = intact.clone();
        *parts.spec.pointer_mut("/transforms/1/type").unwrap() = json!(name);
        let error = folder.load(&parts).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFile);
        assert!(error.to_string().contains("unknown variant"), "{error}");
    }
    let mut parts = intact.clone();
    parts.spec["import"] = json!("os");
    assert!(folder.load(&parts).unwrap_err().to_string().contains("unknown field"));
}

/// The places of all values in a JSON tree.
fn pointers(value: &Value, here: String, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                pointers(value, format!("{here}/{key}"), found);
            }
        }
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                pointers(value, format!("{here}/{i}"), found);
            }
        }
        _ => {}
    }
    found.push(here);
}

#[test]
fn c10_any_lie_in_the_spec_or_schema_gives_an_error_or_a_model_that_works() {
    let lies = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(-1),
        json!(0.5),
        json!(-0.0),
        json!(1e308),
        json!(5e-324),
        json!(1_000_000_007),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(u64::MAX / 4),
        json!(""),
        json!("x"),
        json!("NaN"),
        json!([]),
        json!([0]),
        json!([[0]]),
        json!({}),
        json!([u64::MAX, 0]),
    ];
    let folder = Folder::new();
    let mut panics: BTreeMap<String, String> = BTreeMap::new();
    let models = [
        nsf(),
        model(Preset::NsfCoupling, BaseSpec::StudentT(StudentTSpec { dof: 5.0 })),
        model(Preset::Iaf, BaseSpec::Uniform(UniformSpec { low: -9.0, high: 9.0 })),
    ];
    for model in &models {
        let intact = folder.parts(model);
        let schema = serde_json::to_value(&intact.schema).unwrap();
        let units = serde_json::to_value(&intact.units).unwrap();
        let whole = json!({ "spec": intact.spec, "schema": schema, "units": units });
        let mut places = Vec::new();
        pointers(&whole, String::new(), &mut places);
        for place in places.iter().filter(|p| p.len() > 7) {
            for lie in &lies {
                let mut edited = whole.clone();
                *edited.pointer_mut(place).unwrap() = lie.clone();
                let mut parts = intact.clone();
                parts.spec = edited["spec"].take();
                parts.other.insert("place".to_owned(), place.clone());
                let Ok(schema) = serde_json::from_value(edited["schema"].take()) else { continue };
                let Ok(units) = serde_json::from_value(edited["units"].take()) else { continue };
                (parts.schema, parts.units) = (schema, units);
                let works = || folder.load(&parts).map(|model| drop(bits_or_error(&model)));
                if catch_unwind(AssertUnwindSafe(works)).is_err() {
                    panics.insert(place.clone(), lie.to_string());
                }
            }
        }
    }
    assert!(panics.is_empty(), "{panics:#?}");
}

fn bits_or_error(model: &Model) -> Option<Vec<f64>> {
    let zeros = |width: usize| Rows::new(vec![0.5; width], width);
    let context = model.flow().context_dims();
    let c = (context > 0).then(|| zeros(context)).transpose().ok()?;
    model.log_prob(&zeros(model.flow().dims()).ok()?, c.as_ref(), 1).ok()
}

#[test]
fn c16_a_folder_or_nothing_in_place_of_a_model() {
    let folder = Folder::new();
    assert_eq!(Model::load(folder.0.path()).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(Model::load(Path::new("/nowhere/model")).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(nsf().save(folder.0.path()).unwrap_err().kind(), ErrorKind::Io);
}
