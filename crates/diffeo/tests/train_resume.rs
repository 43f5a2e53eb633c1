//! A fit that goes on from a checkpoint gives the bits of one that never stopped.

mod train_support;

use std::fs;

use diffeo::file::container::Container;
use diffeo::file::storage::previous_path;
use diffeo::train::{Change, Event, FitOptions, Resume, Trainer, TrainingData};
use diffeo::{Column, Error, ErrorKind, Model, Precision, Preset, PresetOptions, Rows, Schema};
use train_support::{bits, correlated, events, nsf, options, schema, small, trainer};

fn resumed(path: &std::path::Path, options: FitOptions) -> Result<Trainer, Error> {
    Trainer::resume(path, correlated(100, 1), options)
}

#[test]
fn f2_stopping_at_any_step_of_twenty_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let short = |threads| FitOptions { threads, ..options(20) };
    let mut whole = trainer(short(1));
    let length = events(&mut whole).0.len();
    let whole = bits(&whole.finish().unwrap());
    for threads in [1, 4] {
        for stop_at in 0..=length {
            let mut first = trainer(short(1));
            for _ in 0..stop_at {
                first.advance().unwrap();
            }
            first.save_checkpoint(&path).unwrap();
            drop(first);
            let mut second = resumed(&path, short(threads)).unwrap();
            events(&mut second);
            let second = bits(&second.finish().unwrap());
            assert!(whole == second, "stopped after {stop_at} events, {threads} threads");
        }
    }
}

#[test]
fn c13_a_damaged_newest_checkpoint_gives_way_to_the_one_before_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let mut first = trainer(options(20));
    for _ in 0..5 {
        first.advance().unwrap();
    }
    first.save_checkpoint(&path).unwrap();
    let at = first.step();
    for _ in 0..5 {
        first.advance().unwrap();
    }
    first.save_checkpoint(&path).unwrap();
    events(&mut first);
    let whole = bits(&first.finish().unwrap());

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut second = resumed(&path, options(20)).unwrap();
    match second.advance().unwrap() {
        Event::Warning(text) => {
            assert!(text.contains("previous") && text.contains("fit.checkpoint"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(second.step(), at);
    events(&mut second);
    assert!(bits(&second.finish().unwrap()) == whole);

    fs::write(previous_path(&path), b"not a checkpoint").unwrap();
    let error = resumed(&path, options(20)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ModelFile);
}

#[test]
fn c14_other_data_options_or_specification_are_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let mut first = trainer(options(20));
    first.advance().unwrap();
    first.save_checkpoint(&path).unwrap();

    let refused = |data, options| {
        let error = Trainer::resume(&path, data, options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        error.to_string()
    };
    let other = refused(correlated(100, 2), options(20));
    assert!(other.contains("fingerprint was"), "{other}");
    let fewer = refused(correlated(90, 1), options(20));
    assert!(fewer.contains("plan.rows_train was 100, is 90"), "{fewer}");
    let seed = refused(correlated(100, 1), FitOptions { seed: 9, ..options(20) });
    assert!(seed.contains("plan.seed was 0, is 9"), "{seed}");
    let steps = refused(correlated(100, 1), options(30));
    assert!(steps.contains("was to take 20 steps, this one 30"), "{steps}");

    let trainer = resumed(&path, options(20)).unwrap();
    trainer.expect(&nsf(), &schema()).unwrap();
    let maf = small(Preset::Maf, 2, 0, Precision::F32);
    let error = trainer.expect(&maf, &schema()).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("spec.transforms"),
        "{error}"
    );
    let f64 = small(Preset::Nsf, 2, 0, Precision::F64);
    let error = trainer.expect(&f64, &schema()).unwrap_err();
    assert!(error.message().contains("precision"), "{error}");
}

#[test]
fn c14_allowed_changes_take_effect_and_others_are_still_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let mut first = trainer(options(20));
    while first.step() < 10 {
        first.advance().unwrap();
    }
    first.save_checkpoint(&path).unwrap();
    let resume = |options, changes: &[Change]| {
        let resume = Resume { changes: changes.to_vec(), ..Resume::default() };
        Trainer::resume_with(&path, correlated(100, 1), options, &resume)
    };
    let longer = FitOptions { learning_rate: Some(1e-4), ..options(40) };
    for (allowed, named) in [
        (&[Change::Epochs][..], "plan.learning_rate was"),
        (&[Change::LearningRate][..], "was to take 20 steps, this one 40"),
    ] {
        let error = resume(longer.clone(), allowed).err().unwrap();
        assert!(error.kind() == ErrorKind::Config && error.message().contains(named), "{error}");
    }
    let both = [Change::LearningRate, Change::Epochs];
    let error = resume(FitOptions { batch: Some(20), ..longer.clone() }, &both).err().unwrap();
    assert!(error.message().contains("plan.batch was 40, is 20"), "{error}");

    let mut second = resume(longer.clone(), &both).unwrap();
    assert_eq!(second.step(), 10);
    let (events, _) = events(&mut second);
    let rates = events.iter().filter_map(|event| match event {
        Event::Step { learning_rate, .. } => Some(*learning_rate),
        _ => None,
    });
    assert!(rates.clone().count() == 30 && rates.clone().all(|rate| rate <= 1e-4));
    // What is saved from here on is the changed fit.
    second.save_checkpoint(&path).unwrap();
    resumed(&path, longer).unwrap();
}

#[test]
fn c14_a_checkpoint_of_another_release_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let mut first = trainer(options(20));
    first.advance().unwrap();
    for (release, resumes) in [("0.1.99", true), ("0.2.0", false), ("9.3.1", false)] {
        first.save_checkpoint(&path).unwrap();
        let mut container = Container::read(&path).unwrap();
        container.metadata.insert("diffeo.version".into(), release.into());
        fs::write(&path, container.encode().unwrap()).unwrap();
        let _ = fs::remove_file(previous_path(&path));
        match resumed(&path, options(20)) {
            Ok(_) => assert!(resumes, "{release}"),
            Err(error) => {
                assert!(!resumes && error.kind() == ErrorKind::Version, "{release}: {error}");
                for version in [release, env!("CARGO_PKG_VERSION")] {
                    assert!(error.message().contains(version), "{error}");
                }
            }
        }
    }
}

#[test]
fn d6_an_implausible_gain_is_said_in_the_summary_also_after_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let mut first = trainer(options(20));
    while first.step() < 10 {
        first.advance().unwrap();
    }
    first.save_checkpoint(&path).unwrap();
    let mut container = Container::read(&path).unwrap();
    let mut state: serde_json::Value = container.json("diffeo.state").unwrap();
    let best = state["stopping"]["best"].as_f64().unwrap();
    // As if the first validation had been 25 nats worse, in two columns, and that had been reported.
    (state["first_loss"], state["warned"]) = ((best + 25.0).into(), true.into());
    container.set_json("diffeo.state", &state).unwrap();
    fs::write(&path, container.encode().unwrap()).unwrap();
    let mut second = resumed(&path, options(20)).unwrap();
    events(&mut second);
    let summary = second.finish().unwrap().summary.unwrap();
    assert_eq!(summary.warnings.len(), 1, "{:?}", summary.warnings);
    assert!(summary.warnings[0].contains("gained 12.") && best.is_finite(), "{summary:?}");
}

#[test]
fn c10_a_checkpoint_that_claims_more_than_it_holds_is_refused_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let mut first = trainer(options(20));
    first.advance().unwrap();
    first.save_checkpoint(&path).unwrap();
    let intact = Container::read(&path).unwrap();
    let refused = |text: &str, from: &str, to: &str, message: &str| {
        let mut container = intact.clone();
        let text = container.metadata.get_mut(text).unwrap();
        assert!(text.contains(from), "{text}");
        *text = text.replacen(from, to, 1);
        fs::write(&path, container.encode().unwrap()).unwrap();
        let error = resumed(&path, options(20)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ModelFile, "{error}");
        assert!(error.message().contains(message) && error.path().is_some(), "{error}");
    };
    // Two layers of 10^8 weights each.
    refused("diffeo.run", "\"hidden\":[8]", "\"hidden\":[10000,10000]", "the spec calls for");
    refused("diffeo.run", "\"hidden\":[8]", "\"hidden\":[]", "cannot be built");
    for step in [u64::MAX, 1 << 54] {
        refused("diffeo.state", "\"step\":0", &format!("\"step\":{step}"), "steps and rows");
    }
    refused("diffeo.state", "\"updates\":0", "\"updates\":7", "beyond step 0");
}

#[test]
fn c1_a_model_is_not_a_checkpoint_and_a_checkpoint_is_not_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let (model, checkpoint) = (folder.path().join("model"), folder.path().join("checkpoint"));
    let mut fit = trainer(options(2));
    events(&mut fit);
    fit.save_checkpoint(&checkpoint).unwrap();
    fit.finish().unwrap().save(&model).unwrap();
    assert_eq!(resumed(&model, options(2)).err().unwrap().kind(), ErrorKind::ModelFile);
    assert_eq!(diffeo::Model::load(&checkpoint).err().unwrap().kind(), ErrorKind::ModelFile);
}

#[test]
fn f2_a_finished_fit_resumes_to_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let spec = small(Preset::Maf, 2, 0, Precision::F64);
    let mut first = Trainer::new(spec, schema(), correlated(100, 1), options(10)).unwrap();
    let (_, reason) = events(&mut first);
    first.save_checkpoint(&path).unwrap();
    let mut second = resumed(&path, options(10)).unwrap();
    let (again, same) = events(&mut second);
    assert!(again.is_empty() && same == reason);
    let (first, second) = (first.finish().unwrap(), second.finish().unwrap());
    assert!(bits(&first) == bits(&second));
    // As text, because the first training loss is NaN.
    assert_eq!(format!("{:?}", first.summary), format!("{:?}", second.summary));
}

#[test]
fn a_fit_begins_from_a_model_in_its_units_and_goes_on_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let start = trainer(options(60)).run().unwrap();
    let data = || correlated(80, 7);
    let begun = |steps, rate| {
        let options = FitOptions { learning_rate: Some(rate), ..options(steps) };
        Trainer::start_from(&start, data(), options).unwrap()
    };
    // Steps that go nowhere leave the model as it is.
    let same = begun(1, 1e-30).run().unwrap();
    assert_eq!(bits(&same), bits(&start));
    assert_eq!(same.units(), start.units());
    let x = data().x;
    let mean = |model: &Model| {
        let log_prob = model.log_prob(&x, None, 1).unwrap();
        log_prob.iter().sum::<f64>() / log_prob.len() as f64
    };
    let mut first = begun(40, 1e-3);
    for _ in 0..20 {
        first.advance().unwrap();
    }
    first.save_checkpoint(&path).unwrap();
    events(&mut first);
    let whole = first.finish().unwrap();
    assert!(mean(&whole) > mean(&start), "{} {}", mean(&whole), mean(&start));

    let options = FitOptions { learning_rate: Some(1e-3), ..options(40) };
    let go_on = |start: Option<Model>| {
        let resume = Resume { start, ..Resume::default() };
        Trainer::resume_with(&path, data(), options.clone(), &resume)
    };
    let error = go_on(None).err().expect("the model that it began from is not there");
    assert!(error.message().contains("start was"), "{error}");
    let error = go_on(Some(whole.clone())).err().expect("another model");
    assert!(error.message().contains("start was"), "{error}");
    let mut second = go_on(Some(start)).unwrap();
    events(&mut second);
    assert_eq!(bits(&second.finish().unwrap()), bits(&whole));
}

#[test]
fn levels_that_the_model_of_the_start_does_not_know_are_told_of() {
    let column = Column::category("tree", ["elm", "oak"]);
    let data = |last: f64| {
        let cells = (0..60).map(|i| if i % 10 == 9 { last } else { f64::from(i % 2) });
        TrainingData::rows(Rows::new(cells.collect(), 1).unwrap())
    };
    let schema = Schema::new(vec![Column { unseen: 0.01, ..column }], Vec::new());
    let options = FitOptions { steps: Some(5), ..FitOptions::default() };
    let spec = Preset::Nsf.spec_for(&schema.shape(), &PresetOptions::default()).unwrap();
    let model = Trainer::new(spec, schema, data(1.0), options.clone()).unwrap().run().unwrap();
    let finer = |last| Trainer::start_from(&model, data(last), options.clone()).unwrap().run();
    let told = finer(2.0).unwrap().summary.unwrap().warnings;
    assert!(told.iter().any(|text| text.starts_with("6 of 60 rows have a level")), "{told:?}");
    assert!(finer(0.0).unwrap().summary.unwrap().warnings.is_empty());
}
