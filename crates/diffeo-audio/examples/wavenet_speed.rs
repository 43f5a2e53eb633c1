//! Times of WaveNets and students, as one JSON object: a training step, and draws. `benches/peers/wavenet.py` runs it beside PyTorch.
//!
//! Sizes are those of the command line: 32 units in 16 layers and 16 in 4 times 8, 20 mel bands; 64 stretches of 1,280 samples a step.

use std::time::Instant;

use diffeo::{Purpose, Result, Streams, fill_normal};
use diffeo_audio::{
    AudioSpec, Condition, Dataset, Distillation, DistillationOptions, Likelihood, ModelKind,
    Module, NetworkSpec, Output, Prompt, Recording, Signal, Training, TrainingOptions, Units,
};

const RATE: u32 = 8000;
const STEPS: usize = 7;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed<T>(mut work: impl FnMut() -> Result<T>) -> Result<f64> {
    // The first call makes buffers.
    work()?;
    let each = (0..STEPS).map(|_| {
        let started = Instant::now();
        work().map(|_| started.elapsed().as_secs_f64())
    });
    Ok(median(each.collect::<Result<_>>()?))
}

fn dataset() -> Result<Dataset> {
    let mut samples = vec![0.0; 40_000];
    fill_normal(&mut Streams::new(1).rng(Purpose::Check, 0, 0), &mut samples);
    let recording = Recording { samples, rate: RATE, step: 0.0 };
    let units = Units::of(std::slice::from_ref(&recording))?;
    let condition = Condition { bands: 20, ..Condition::none(RATE) };
    let signal = Signal::new("noise", &recording, (&units, &condition), vec![])?;
    Ok(Dataset { units, condition, signals: vec![signal] })
}

fn module(dataset: &Dataset, kind: ModelKind) -> Result<Module> {
    let (condition, units) = (dataset.condition.clone(), dataset.units);
    AudioSpec { kind, condition, units }.build(0)
}

fn main() -> Result<()> {
    let dataset = dataset()?;
    let network = |width, layers| NetworkSpec::cycles(width, 32, [layers, 8]);
    let teacher = ModelKind::WaveNet { network: network(32, 16), output: Output::Gaussian {} };
    let Module::WaveNet(teacher) = module(&dataset, teacher)? else { return Ok(()) };
    let student = ModelKind::Student { network: network(16, 8), flows: 4 };
    let Module::Student(student) = module(&dataset, student)? else { return Ok(()) };
    let options = TrainingOptions {
        steps: 1_000,
        length: 1280,
        validate_every: 1_000_000,
        ..TrainingOptions::default()
    };
    let (shape, streams) = ([options.rows, options.length], Streams::new(0));
    let [train, valid] = [dataset.clone(), dataset.clone()];
    let task = Likelihood { train, valid, shape, streams };
    let mut training = Training::new(teacher.clone(), options.clone(), serde_json::Value::Null)?;
    let step = timed(|| training.advance(&task))?;
    let data = [dataset.clone(), dataset.clone()];
    let weights = DistillationOptions { windows: vec![64, 256, 512], ..Default::default() };
    let task = Distillation::new(teacher.clone(), data, (shape, streams), weights)?;
    let mut training = Training::new(student.clone(), options, serde_json::Value::Null)?;
    let distilled = timed(|| training.advance(&task))?;
    let prompt = |samples| Prompt { samples, frames: dataset.signals[0].frames.clone(), number: 0 };
    let drawn =
        |prompts: Vec<Prompt>| timed(|| teacher.sample(&prompts, 1.0, streams, &mut |_, _| Ok(())));
    let few = 400;
    let one = drawn(vec![prompt(few)])? / few as f64;
    let many = drawn(vec![prompt(few); 32])? / (32 * few) as f64;
    let second = RATE as usize;
    let at_once =
        |prompts: Vec<Prompt>| timed(|| student.sample(&prompts, 1.0, streams, &mut |_, _| Ok(())));
    let report = serde_json::json!({
        "teacher_step_seconds": step,
        "student_step_seconds": distilled,
        "teacher_sample_microseconds": 1e6 * one,
        "teacher_sample_of_32_microseconds": 1e6 * many,
        "student_sample_microseconds": 1e6 * at_once(vec![prompt(second)])? / second as f64,
        "student_sample_of_a_minute_microseconds":
            1e6 * at_once(vec![prompt(60 * second)])? / (60 * second) as f64,
        "student_sample_of_32_microseconds":
            1e6 * at_once(vec![prompt(second); 32])? / (32 * second) as f64,
    });
    println!("{report:#}");
    Ok(())
}
