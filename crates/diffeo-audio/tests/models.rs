//! Files, checkpoints and draws of models.

use std::path::Path;

use diffeo::{ErrorKind, Purpose, Streams, fill_normal};
use diffeo_audio::{
    AudioModel, AudioSpec, Condition, Dataset, Density, Label, Likelihood, LinesSpec, ModelKind,
    Module, NetworkSpec, Output, Prompt, Recording, Signal, Training, TrainingOptions, Units,
    WaveNet,
};
use serde_json::Value;

/// Noise that is loud and soft in turn, for two speakers.
fn sound(seed: u64, count: usize) -> Recording {
    let mut samples = vec![0.0; count];
    fill_normal(&mut Streams::new(seed).rng(Purpose::Check, 0, 0), &mut samples);
    for (t, v) in samples.iter_mut().enumerate() {
        *v = (*v * if t / 160 % 2 == 0 { 3000.0 } else { 200.0 }).round() / 32768.0;
    }
    Recording { samples, rate: 8000, step: 1.0 / 32768.0 }
}

fn spec(kind: ModelKind) -> AudioSpec {
    let labels = vec![Label { name: "who".into(), values: vec!["a".into(), "b".into()] }];
    let condition = Condition { samples: 80, labels, bands: 6, order: 5, pitch: true };
    AudioSpec { kind, condition, units: Units::of(&[sound(1, 4000)]).unwrap() }
}

fn kinds() -> [ModelKind; 4] {
    let network = NetworkSpec::cycles(4, 8, [4, 3]);
    [
        ModelKind::WaveNet { network: network.clone(), output: Output::Gaussian {} },
        ModelKind::WaveNet {
            network: network.clone(),
            output: Output::Logistics { components: 3 },
        },
        ModelKind::Student { network, flows: 2 },
        ModelKind::WaveFlow { network: LinesSpec::cycles(4, 8, [3, 2]), flows: 3 },
    ]
}

fn model(kind: ModelKind) -> AudioModel {
    let spec = spec(kind);
    let module = spec.build(3).unwrap();
    AudioModel { spec, module, summary: Value::Null }
}

fn dataset(spec: &AudioSpec) -> Dataset {
    let of = |value| {
        let (units, condition) = (&spec.units, &spec.condition);
        Signal::new("x", &sound(value as u64, 4000), (units, condition), vec![value]).unwrap()
    };
    Dataset { units: spec.units, condition: spec.condition.clone(), signals: vec![of(0), of(1)] }
}

fn score(model: &AudioModel) -> Vec<Vec<f64>> {
    let dataset = dataset(&model.spec);
    model.score(&dataset.signals.iter().collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_model_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    for kind in kinds() {
        let model = model(kind);
        model.save(&path).unwrap();
        let again = AudioModel::load(&path).unwrap();
        assert_eq!(model.spec, again.spec);
        assert_eq!(score(&model), score(&again));
    }
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    model(kinds()[0].clone()).save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        AudioModel::load(&path).expect_err("a damaged file").kind()
    };
    assert_eq!(refused(&whole[..whole.len() / 2]), ErrorKind::ModelFile);
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&flipped), ErrorKind::ModelFile);
    assert_eq!(AudioModel::load(Path::new("none")).unwrap_err().kind(), ErrorKind::Io);
    let vast = NetworkSpec { width: 4096, window: 1, dilations: vec![1; 256] };
    let vast = spec(ModelKind::Student { network: vast, flows: 64 });
    assert!(vast.weights().unwrap() > 1 << 30, "counted without being built");
}

fn training(steps: u64, seed: u64) -> (Training<WaveNet>, Likelihood) {
    let mut model = model(kinds()[0].clone());
    // A prediction would know what is loud before it starts.
    model.spec.condition.order = 0;
    let data = dataset(&model.spec);
    let Module::WaveNet(module) = model.module else { panic!("a WaveNet") };
    let options = TrainingOptions {
        steps,
        rows: 4,
        length: 320,
        validate_every: 5,
        seed,
        learning_rate: 1e-2,
        ..TrainingOptions::default()
    };
    let shape = [options.rows, options.length];
    let streams = Streams::new(seed);
    let task = Likelihood { train: data.clone(), valid: data, shape, streams };
    (Training::new(module, options, Value::Null).unwrap(), task)
}

fn weights(mut module: WaveNet) -> Vec<f64> {
    let mut all = Vec::new();
    diffeo::Trainable::visit(&mut module, &mut |_, p| {
        all.extend(diffeo::host_values(p.value.clone()).unwrap());
    });
    all
}

#[test]
fn a_training_that_goes_on_gives_the_bits_of_one_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    let (mut whole, task) = training(12, 1);
    while !whole.is_done() {
        whole.advance(&task).unwrap();
    }
    let (mut first, _) = training(12, 1);
    for _ in 0..7 {
        first.advance(&task).unwrap();
    }
    first.save(&path).unwrap();
    let mut second = training(12, 1).0.resumed(&path).unwrap();
    assert_eq!((second.steps(), second.best()), (7, first.best()));
    while !second.is_done() {
        second.advance(&task).unwrap();
    }
    let [whole, second] = [whole, second].map(|t| t.finish(&task).unwrap());
    assert_eq!(whole.1.to_bits(), second.1.to_bits());
    assert_eq!(weights(whole.0), weights(second.0));
    let other = training(13, 1).0.resumed(&path).err().expect("another training");
    assert_eq!(other.kind(), ErrorKind::Config);
    assert_eq!(TrainingOptions::of_checkpoint(&path).unwrap().seed, 1);
}

#[test]
fn training_learns_which_frames_are_loud() {
    let (mut training, task) = training(150, 2);
    let first = training.advance(&task).unwrap().loss;
    while !training.is_done() {
        training.advance(&task).unwrap();
    }
    let (_, loss) = training.finish(&task).unwrap();
    // Half of the samples have 1/15 of the deviation of the others, by frames; white noise otherwise.
    assert!(loss < first - 0.6, "{first} to {loss}");
}

#[test]
fn draws_follow_from_their_seed_and_their_frames() {
    for kind in kinds() {
        let model = model(kind);
        let signal = dataset(&model.spec).signals.remove(0);
        let prompt =
            |i: usize| Prompt { samples: 100 + i, frames: signal.frames.clone(), number: i as u64 };
        // More than a tile of them, of several lengths.
        let prompts: Vec<Prompt> = (0..35).map(prompt).collect();
        let draw = |prompts: &[Prompt], seed| {
            model.sample(prompts, 1.0, Streams::new(seed), &mut |_, _| Ok(())).unwrap()
        };
        let drawn = draw(&prompts, 5);
        assert!(drawn.iter().zip(&prompts).all(|(d, p)| d.samples.len() == p.samples));
        assert_eq!(drawn, draw(&prompts, 5));
        assert_ne!(drawn, draw(&prompts, 6));
        assert_ne!(drawn[0].samples[..50], drawn[1].samples[..50]);
        // A draw does not depend on those beside it.
        assert_eq!(drawn[0], draw(&prompts[..1], 5)[0]);
        assert_eq!(drawn[34], draw(&prompts[34..], 5)[0]);
        assert_eq!((drawn[0].rate, drawn[0].samples.len()), (8000, 100));
    }
}

#[test]
fn a_wavenet_draws_what_its_density_says() {
    let model = model(kinds()[0].clone());
    let Module::WaveNet(wavenet) = &model.module else { panic!("a WaveNet") };
    let frames = dataset(&model.spec).signals.remove(0).frames;
    let prompts = (0..64)
        .map(|number| Prompt { samples: 600, frames: frames.clone(), number })
        .collect::<Vec<_>>();
    let drawn = wavenet.sample(&prompts, 1.0, Streams::new(1), &mut |_, _| Ok(())).unwrap();
    let signals: Vec<Signal> = drawn
        .into_iter()
        .map(|samples| Signal {
            name: "x".into(),
            samples,
            frames: frames.clone(),
            values: vec![0],
        })
        .collect();
    let found = wavenet.score(&signals.iter().collect::<Vec<_>>()).unwrap();
    // The head starts at zero: each factor is a standard normal density but for the linear filter, which starts at zero, too; so entropies are known.
    let entropy = 0.5 * (1.0 + std::f64::consts::TAU.ln());
    let n = (64 * 600) as f64;
    let mean = found.iter().flatten().sum::<f64>() / n;
    assert!((mean + entropy).abs() < 4.0 * 0.71 / n.sqrt() + 1e-3, "{mean} {entropy}");
}
