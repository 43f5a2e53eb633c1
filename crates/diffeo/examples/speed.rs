//! Times what it is asked to, one line of JSON at a time: `speed THREADS` (the protocol is in `benches/peers/worker.py`).

use std::io::{BufRead, Write};
use std::time::Instant;

use diffeo::train::{Event, FitOptions, Trainer, TrainingData, ValidationChoice};
use diffeo::transforms::{SolverSpec, ToleranceSpec};
use diffeo::{
    ImageShape, LayerSpec, Model, Preset, PresetOptions, Purpose, Result, Rows, SampleOptions,
    Schema, Streams,
};
use diffeo_kernels::{Activation, MaskedLinear, Staircase};
use serde::Deserialize;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    model: String,
    #[serde(default)]
    d: usize,
    #[serde(default)]
    hidden: usize,
    #[serde(default)]
    layers: usize,
    #[serde(default)]
    transforms: usize,
    #[serde(default)]
    bins: usize,
    #[serde(default)]
    batch: usize,
    /// Lines, pixels and channels of rows that are images.
    #[serde(default)]
    image: Option<[usize; 3]>,
    #[serde(default)]
    size: usize,
    op: String,
    #[serde(default)]
    seconds: f64,
    /// So many calls, instead of a time: for counting instructions.
    #[serde(default)]
    calls: usize,
}

impl Request {
    fn learns(&self) -> bool {
        LEARNING.contains(&self.model.as_str())
    }
}

/// Models whose costs depend on what they have learned; the protocol says what that is.
const LEARNING: [&str; 2] = ["ffjord", "resflow"];
/// Steps of the lesson, and their rate.
const LESSON: (u64, f64) = (100, 5e-3);

/// Tolerance of differential equations, in training (as it is by default) and after it.
const TOLERANCE: f64 = 1e-5;

/// The model that was asked for last, by what it is.
type Kept = Option<(String, Model)>;

fn main() {
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(2);
    let mut kept = None;
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => serve(&request, threads, &mut kept),
            Err(e) => serde_json::json!({ "error": e.to_string() }),
        };
        println!("{answer}");
        let _ = std::io::stdout().flush();
    }
}

fn serve(request: &Request, threads: usize, kept: &mut Kept) -> serde_json::Value {
    let answer = match request.op.as_str() {
        "product" => return product(request, threads),
        "train" => train(request, threads),
        _ => infer(request, threads, kept),
    };
    answer.unwrap_or_else(|e| serde_json::json!({ "error": e.to_string() }))
}

/// Milliseconds of each call in the time given (or of so many calls), after one that is not counted.
fn repeat(request: &Request, mut call: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    call()?;
    let begin = Instant::now();
    let mut ms = Vec::new();
    let more = |done: usize| match request.calls {
        0 => done == 0 || begin.elapsed().as_secs_f64() < request.seconds,
        calls => done < calls,
    };
    while more(ms.len()) {
        let start = Instant::now();
        call()?;
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(ms)
}

/// Normal rows, levels that look random of images, or rows of the lesson: two clusters, each column of variance 1.
fn rows(request: &Request) -> Result<Rows> {
    let (n, d) = (request.batch, request.d);
    let mut values = vec![0.0; n * (d + 1)];
    Streams::new(3).fill_normal(Purpose::Check, 0, 0, d + 1, &mut values);
    let learns = request.learns();
    let is_image = request.image.is_some();
    let place = |row: &[f64], x: f64| {
        if is_image {
            (128.0 + 50.0 * x).floor().clamp(0.0, 255.0)
        } else if learns {
            (1.5f64.copysign(row[d]) + 0.5 * x) / 2.5f64.sqrt()
        } else {
            x
        }
    };
    let rows = values.chunks_exact(d + 1);
    Rows::new(rows.flat_map(|row| row[..d].iter().map(|x| place(row, *x))).collect(), d)
}

fn parts(request: &Request) -> Result<(diffeo::FlowSpec, Schema)> {
    let preset: Preset = request.model.parse()?;
    let options = PresetOptions {
        transforms: request.transforms,
        hidden: vec![request.hidden; request.layers],
        bins: request.bins.max(2),
        ..PresetOptions::default()
    };
    let image = request.image.map(|[h, w, c]| ImageShape::of_bytes(h, w, c));
    let schema = match image {
        Some(image) => Schema::images(image),
        None => Schema::real((0..request.d).map(|i| format!("x{i}"))),
    };
    let mut spec = preset.spec_for(&schema.shape(), &options)?;
    for layer in &mut spec.transforms {
        if let LayerSpec::Continuous(layer) = layer {
            // Samples are solved to a tenth of what is asked for.
            let exact = if request.op == "sample" { 10.0 * TOLERANCE } else { TOLERANCE };
            let tolerance = ToleranceSpec { exact: Some(exact), ..ToleranceSpec::default() };
            layer.solver = SolverSpec::Adaptive(tolerance);
        }
    }
    Ok((spec, schema))
}

/// A run of so many steps.
fn trainer(request: &Request, threads: usize, steps: u64) -> Result<Trainer> {
    let (spec, schema) = parts(request)?;
    let options = FitOptions {
        steps: Some(steps),
        batch: Some(request.batch),
        learning_rate: request.learns().then_some(LESSON.1),
        warmup: 0.0,
        threads,
        validation: ValidationChoice::None,
        average: Some(0.0),
        ..FitOptions::default()
    };
    Trainer::new(spec, schema, TrainingData::rows(rows(request)?), options)
}

fn step(trainer: &mut Trainer) -> Result<()> {
    while !matches!(trainer.advance()?, Event::Step { .. }) {}
    Ok(())
}

fn train(request: &Request, threads: usize) -> Result<serde_json::Value> {
    let mut trainer = trainer(request, threads, u64::MAX >> 20)?;
    for _ in 0..if request.learns() { LESSON.0 } else { 0 } {
        step(&mut trainer)?;
    }
    let ms = repeat(request, || step(&mut trainer))?;
    Ok(serde_json::json!({ "ms": ms }))
}

fn infer(request: &Request, threads: usize, kept: &mut Kept) -> Result<serde_json::Value> {
    let Request { model, d, hidden, layers, transforms, bins, batch, .. } = request;
    let learned = if request.learns() { &request.op } else { "" };
    let key = format!("{model} {d} {hidden} {layers} {transforms} {bins} {batch} {learned}");
    let model = match kept.take() {
        Some((of, model)) if of == key => model,
        _ if request.learns() => trainer(request, threads, LESSON.0)?.run()?,
        _ => {
            let (spec, schema) = parts(request)?;
            Model::new(spec.build(0)?, schema)?
        }
    };
    let x = rows(request)?;
    let mut first_row = 0;
    let ms = repeat(request, || {
        if request.op == "log_prob" {
            return model.log_prob(&x, None, threads).map(|_| ());
        }
        first_row += request.batch as u64;
        let options = SampleOptions { threads, first_row, ..SampleOptions::default() };
        model.sample(request.batch, None, &options).map(|_| ())
    })?;
    let mut answer = serde_json::json!({ "ms": ms });
    if request.op == "log_prob" {
        let log_prob = model.log_prob(&x, None, threads)?;
        answer["nats"] = (log_prob.iter().sum::<f64>() / log_prob.len() as f64).into();
    }
    *kept = Some((key, model));
    Ok(answer)
}

/// The rate of products of square matrices, without mask or activation: what the machine could do at most.
fn product(request: &Request, threads: usize) -> serde_json::Value {
    let n = request.size;
    let per_thread = n.div_ceil(threads).max(1) * n;
    let (a, b, bias) = (vec![1.0f32; n * n], vec![1.0f32; n * n], vec![0.0f32; n]);
    let mut out = vec![0.0f32; n * n];
    let staircase = Staircase::dense(n, n);
    let layer = MaskedLinear {
        weight: &b,
        bias: &bias,
        staircase: &staircase,
        activation: Activation::None,
    };
    let times = repeat(request, || {
        std::thread::scope(|scope| {
            for (a, out) in a.chunks(per_thread).zip(out.chunks_mut(per_thread)) {
                scope.spawn(move || layer.forward(a, None, out));
            }
        });
        Ok(())
    });
    let flops = 2.0 * (n as f64).powi(3);
    let rates: Vec<f64> = times.unwrap_or_default().iter().map(|ms| flops / ms / 1e6).collect();
    serde_json::json!({ "gflops": rates })
}
