//! Flows over waveforms folded into lines.

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Init, Purpose, Streams, Trainable, fill_normal, host_values};
use diffeo_audio::{
    Condition, Dataset, Density, FrameSize, Likelihood, LinesSpec, Prompt, Recording, Signal,
    Training, TrainingOptions, Units, WaveFlow,
};

/// A flow with weights that are far from those of the start.
fn flow(spec: &LinesSpec, flows: usize, frame: FrameSize, dtype: DType) -> WaveFlow {
    let mut init = Init::new(1, dtype, Device::flex());
    let frames = (Some(frame), frame.samples);
    let mut flow = WaveFlow::new(spec, flows, frames, &mut init).unwrap();
    flow.visit(&mut |_, p| p.value = init.uniform(p.value.dims(), 0.4));
    flow
}

fn signal(samples: Vec<f32>, frames: &[f32]) -> Signal {
    Signal { name: "x".into(), samples, frames: frames.to_vec(), values: vec![] }
}

#[test]
fn the_density_of_two_samples_integrates_to_one_and_draws_follow_it() {
    let spec = LinesSpec::cycles(3, 2, [2, 2]);
    let flow = flow(&spec, 3, FrameSize { numbers: 1, samples: 2 }, DType::F32);
    let (step, frames) = (0.1f32, [0.5]);
    let grid: Vec<f32> = (-160..=160).map(|i| step * i as f32).collect();
    let pairs = grid.iter().flat_map(|a| grid.iter().map(move |b| vec![*a, *b]));
    let signals: Vec<Signal> = pairs.map(|pair| signal(pair, &frames)).collect();
    let of = |signals: &[Signal]| flow.score(&signals.iter().collect::<Vec<_>>()).unwrap();
    let cell = f64::from(step * step);
    let (mut mass, mut entropy) = (0.0, 0.0);
    for found in of(&signals) {
        let log_prob: f64 = found.iter().sum();
        mass += cell * log_prob.exp();
        entropy -= cell * log_prob.exp() * log_prob;
    }
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
    let prompt = |number| Prompt { samples: 2, frames: frames.to_vec(), number };
    let prompts: Vec<Prompt> = (0..4000).map(prompt).collect();
    let drawn = flow.sample(&prompts, 1.0, Streams::new(2), &mut |_, _| Ok(())).unwrap();
    let drawn: Vec<Signal> = drawn.into_iter().map(|pair| signal(pair, &frames)).collect();
    let scores: Vec<f64> = of(&drawn).iter().map(|found| found.iter().sum()).collect();
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let variance = scores.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    assert!((mean + entropy).abs() < 4.0 * (variance / n).sqrt(), "{mean} {entropy}");
}

#[test]
fn a_draw_has_the_density_of_its_noise_and_of_the_tensors() {
    let spec = LinesSpec::cycles(4, 4, [3, 2]);
    let frame = FrameSize { numbers: 2, samples: 8 };
    // Behind the end is silence both ways, as far as it is seen.
    let (samples, length) = (59, 160);
    let mut frames: Vec<f32> = (0..16).map(|i| (0.9 * i as f32).sin()).collect();
    let (narrow, wide) = (flow(&spec, 3, frame, DType::F32), flow(&spec, 3, frame, DType::F64));
    let prompt = Prompt { samples, frames: frames.clone(), number: 7 };
    let drawn = narrow.sample(&[prompt], 1.0, Streams::new(5), &mut |_, _| Ok(())).unwrap();
    let x = drawn[0].clone();
    let tensor = |values: Vec<f64>| {
        let shape = [1, values.len()];
        Tensor::<2>::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
    };
    let mut padded: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    padded.resize(length, 0.0);
    let mask: Vec<f64> = (0..length).map(|t| f64::from(u8::from(t < samples))).collect();
    // The last frame goes on.
    let last = frames[14..].to_vec();
    (8..length / 8).for_each(|_| frames.extend(&last));
    let context = tensor(frames.iter().map(|v| f64::from(*v)).collect());
    let log_prob =
        |x: Vec<f64>| wide.log_prob(tensor(x), &tensor(mask.clone()), Some(&context)).unwrap();
    let expected = host_values(log_prob(padded.clone())).unwrap();
    let found = narrow.score(&[&signal(x, &frames)]).unwrap();
    for (t, (a, b)) in found[0].iter().zip(&expected).enumerate() {
        assert!((a - b).abs() < 2e-3 * (1.0 + b.abs()), "sample {t}: {a} {b}");
    }
    // The noise that it was drawn from.
    let mut noise = vec![0.0; samples];
    fill_normal(&mut Streams::new(5).rng(Purpose::Sample, 0, 7), &mut noise);
    let (again, _) = narrow.noise(&[&signal(drawn[0].clone(), &frames)]).unwrap();
    for (t, (a, b)) in again[0].iter().zip(&noise).enumerate() {
        assert!((f64::from(*a) - b).abs() < 1e-3, "sample {t}: {a} {b}");
    }
}

/// A resonance, by noise of a seed.
fn resonance(seed: u64, count: usize) -> Recording {
    let mut noise = vec![0.0; count];
    fill_normal(&mut Streams::new(seed).rng(Purpose::Check, 0, 0), &mut noise);
    let mut x = vec![0.0; count];
    for t in 0..count {
        let before = |k: usize| if t >= k { x[t - k] } else { 0.0 };
        x[t] = 1.2 * before(1) - 0.8 * before(2) + noise[t];
    }
    Recording { samples: x, rate: 800, step: 0.0 }
}

#[test]
fn training_learns_a_resonance() {
    let learned = resonance(1, 100_000);
    let units = Units::of(std::slice::from_ref(&learned)).unwrap();
    let condition = Condition::none(units.rate);
    let data = [learned, resonance(2, 20_000)].map(|recording| {
        let signal = Signal::new("x", &recording, (&units, &condition), vec![]).unwrap();
        Dataset { units, condition: condition.clone(), signals: vec![signal] }
    });
    let spec = LinesSpec::cycles(8, 8, [3, 2]);
    let mut init = Init::new(1, DType::F32, Device::flex());
    let flow = WaveFlow::new(&spec, 2, (None, 8), &mut init).unwrap();
    let options = TrainingOptions {
        steps: 300,
        rows: 32,
        length: 160,
        learning_rate: 1e-2,
        validate_every: 100,
        ..TrainingOptions::default()
    };
    let shape = [options.rows, options.length];
    let [train, valid] = data;
    let task = Likelihood { train, valid, shape, streams: Streams::new(1) };
    let mut training = Training::new(flow, options, serde_json::Value::Null).unwrap();
    while !training.is_done() {
        training.advance(&task).unwrap();
    }
    let (_, loss) = training.finish(&task).unwrap();
    // The entropy of a sample given all before it, which no density is below on sound that it has not seen; white noise of unit power is half a nat above.
    let entropy = (1.0 / units.scale).ln() + 0.5 * (1.0 + std::f64::consts::TAU.ln());
    println!("{loss} of {entropy}");
    assert!(loss > entropy - 0.02 && loss < entropy + 0.05, "{loss} of {entropy}");
}
