//! Replays what the fuzz target of models starts from and what it has found: see `fuzz/` and CONTRIBUTING.md.

#[path = "../../../fuzz/src/models.rs"]
mod models;

use std::fs;
use std::path::{Path, PathBuf};

use diffeo::bases::{MixtureSpec, StudentTSpec, UniformSpec};
use diffeo::file::container::{Container, NamedTensor};
use diffeo::laws::Cases;
use diffeo::{
    BaseSpec, Column, ColumnKind, FlowSpec, KindWish, LayerSpec, Model, Place, Precision, Preset,
    PresetOptions, Schema, Units,
};

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/model")
}

/// The files of a folder of seeds, none if it is not there.
fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(seeds().join(folder)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).map(|p| (p.clone(), fs::read(p).unwrap())).collect()
}

/// Sound files must be read, damaged ones refused, and those that fuzzing found may be either; `models::model` asserts the rest.
#[test]
fn models_and_checkpoints() {
    let (valid, damaged) = (files("valid"), files("damaged"));
    assert!(!valid.is_empty() && !damaged.is_empty(), "no seeds");
    for (path, bytes) in valid {
        models::model(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    for (path, bytes) in damaged {
        assert!(models::model(&bytes).is_err(), "{} was read", path.display());
    }
    for (path, bytes) in files("found") {
        let outcome = std::panic::catch_unwind(|| models::model(&bytes));
        assert!(outcome.is_ok(), "{}", path.display());
    }
}

fn save(folder: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = seeds().join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn options(precision: Precision) -> PresetOptions {
    let hidden = vec![3];
    PresetOptions { transforms: 2, hidden, bins: 3, precision, ..PresetOptions::default() }
}

fn small(preset: Preset, context: usize, precision: Precision, base: BaseSpec) -> FlowSpec {
    preset.spec(2, context, &PresetOptions { base, ..options(precision) }).unwrap()
}

fn model(spec: FlowSpec) -> Model {
    let context = (0..spec.context_dims).map(|i| Column::real(format!("c{i}"))).collect();
    let columns = vec![
        Column::new("share", ColumnKind::Interval { low: 0.0, high: 1.0 }),
        Column::new("count", ColumnKind::Integer),
    ];
    let schema = Schema::new(columns, context);
    let units = Units::of(&schema, &[0.5, 3.0], &[1.0 / 3.0, 7.1]);
    Model::with_units(spec.build(7).unwrap(), schema, units).unwrap()
}

fn wished(name: &str, kind: &str) -> Column {
    let KindWish { kind, masses } = kind.parse().unwrap();
    Column { masses, ..Column::new(name, kind) }
}

/// Outcomes alone, outcomes beside numbers, numbers that may be absent, any of a few columns, and numbers given columns of kinds.
fn schemas_of_kinds() -> [(&'static str, Preset, Schema); 5] {
    let hole = |column| Column { holes: true, ..column };
    let tree = Column::category("tree", ["elm", "oak", "ash"]);
    let many = Column::category("many", (0..70).map(|i| format!("level {i}")));
    let words = vec!["no".to_owned(), "yes".to_owned()];
    let truth = Column { levels: words, ..Column::new("truth", ColumnKind::Boolean) };
    let range = Column { range: Some([-2, 4]), unseen: 1e-3, ..wished("count", "integer<=9") };
    let outcomes = vec![Column { other: true, ..hole(tree.clone()) }, truth.clone(), range];
    let bounded = wished("share", "[0, 1]");
    let any = vec![tree.clone(), wished("rain", "positive+{0}"), wished("x", "real")];
    let mixed = vec![
        Column { unseen: 0.01, ..tree.clone() },
        hole(wished("rain", "positive+{0, 2}")),
        wished("hour", "periodic[0, 24)"),
        bounded,
    ];
    let dates = vec![many, hole(wished("day", "date")), wished("at", "time")];
    let given = [hole(tree), truth, hole(wished("angle", "periodic[0, 1)"))];
    let of = |columns| Schema::new(columns, Vec::new());
    [
        ("outcomes", Preset::Nsf, of(outcomes)),
        ("mixed", Preset::Nsf, of(mixed)),
        ("dates", Preset::Maf, of(dates)),
        ("any_subset", Preset::NsfCoupling, of(any).any_subset()),
        ("given", Preset::RealNvp, Schema::real(["x", "y"]).given(given)),
    ]
}

fn model_of(preset: Preset, schema: Schema) -> Model {
    let spec = preset.spec_for(&schema.shape(), &options(Precision::F32)).unwrap();
    let units = Units::of(&schema, &vec![0.5; spec.numbers()], &vec![3.0; spec.numbers()]);
    Model::with_units(spec.build(7).unwrap(), schema, units).unwrap()
}

/// One layer of each kind, the smallest of its cases.
fn every_layer() -> FlowSpec {
    let place = Place::new(2, 0);
    let size = |layer: &LayerSpec| serde_json::to_string(layer).unwrap().len();
    let mut cases = LayerSpec::cases(place);
    cases.sort_by_key(|layer| (layer.name(), size(layer)));
    cases.dedup_by_key(|layer| layer.name());
    FlowSpec::new(2, cases)
}

/// `cargo test -p diffeo --test fuzz_corpora -- --ignored` writes the seeds anew.
#[test]
#[ignore = "writes the seeds anew"]
fn write_seeds() {
    let (single, double) = (Precision::F32, Precision::F64);
    let mixture = MixtureSpec { components: 2 };
    let uniform = UniformSpec { low: -9.0, high: 9.0 };
    for (name, preset, context, precision, base) in [
        ("gaussian", Preset::Gaussian, 0, double, BaseSpec::default()),
        ("realnvp", Preset::RealNvp, 1, single, BaseSpec::default()),
        ("maf", Preset::Maf, 0, double, StudentTSpec { dof: 5.0 }.into()),
        ("iaf", Preset::Iaf, 0, single, uniform.into()),
        ("nsf", Preset::Nsf, 1, single, mixture.into()),
        ("nsf_coupling", Preset::NsfCoupling, 0, single, BaseSpec::default()),
    ] {
        save("valid", name, model(small(preset, context, precision, base)).to_bytes().unwrap());
    }
    save("valid", "layers", model(every_layer()).to_bytes().unwrap());
    for (name, preset, schema) in schemas_of_kinds() {
        save("valid", name, model_of(preset, schema).to_bytes().unwrap());
    }
    write_checkpoints();
    write_damaged();
}

fn write_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    for (name, preset, precision, schema) in [
        ("checkpoint_maf", Preset::Maf, Precision::F32, models::numbers()),
        ("checkpoint_nsf", Preset::Nsf, Precision::F64, models::numbers()),
        ("checkpoint_mixed", Preset::Maf, Precision::F32, models::mixed()),
    ] {
        let spec = preset.spec_for(&schema.shape(), &options(precision)).unwrap();
        let mut trainer = models::fit(spec, schema).unwrap();
        for _ in 0..4 {
            trainer.advance().unwrap();
        }
        trainer.save_checkpoint(&path).unwrap();
        save("valid", name, fs::read(&path).unwrap());
    }
}

fn write_damaged() {
    // An old file of which only the parts can be read: its spec is of a test.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    save("damaged", "format_1", fs::read(golden.join("model_format_1.safetensors")).unwrap());
    let whole =
        model(small(Preset::Maf, 0, Precision::F32, BaseSpec::default())).to_bytes().unwrap();
    save("damaged", "cut", &whole[..whole.len() - 1]);
    save("damaged", "header_only", &whole[..200]);
    let mut flipped = whole.clone();
    flipped[whole.len() - 5] ^= 1;
    save("damaged", "checksum", flipped);
    save("damaged", "pickle", b"\x80\x04\x95\x10\0\0\0\0\0\0\0.");
    let edited = |edit: &dyn Fn(&mut Container)| {
        let mut container = Container::decode(&whole).unwrap();
        edit(&mut container);
        container.encode().unwrap()
    };
    let text = |name: &'static str, from: &'static str, to: &'static str| {
        edited(&|c| {
            let text = c.metadata.get_mut(name).unwrap();
            assert!(text.contains(from), "{text}");
            *text = text.replacen(from, to, 1);
        })
    };
    save("damaged", "dims", text("diffeo.spec", "\"dims\":2", "\"dims\":99999"));
    save("damaged", "hidden", text("diffeo.spec", "\"hidden\":[3]", "\"hidden\":[2147483647]"));
    save("damaged", "layer", text("diffeo.spec", "\"type\":\"", "\"type\":\"../evil"));
    save("damaged", "schema", text("diffeo.schema", "share", "count"));
    save("damaged", "newer", text("diffeo.format_version", "2", "99"));
    save(
        "damaged",
        "extra",
        edited(&|c| c.tensors.push(NamedTensor::from_f32("extra", [1, 1], &[0.0]))),
    );
    save(
        "damaged",
        "infinite",
        edited(&|c| c.tensors[0].data[..4].copy_from_slice(&f32::INFINITY.to_le_bytes())),
    );
}
