//! Times what it is asked to, one line of JSON at a time: `speed THREADS` (the protocol is in `benches/peers/worker.py`).

use std::io::{BufRead, Write};
use std::time::Instant;

use diffeo::train::{Event, FitOptions, Trainer, TrainingData, ValidationChoice};
use diffeo::{Model, Preset, PresetOptions, Purpose, Result, Rows, SampleOptions, Schema, Streams};
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
    #[serde(default)]
    size: usize,
    op: String,
    #[serde(default)]
    seconds: f64,
    /// So many calls, instead of a time: for counting instructions.
    #[serde(default)]
    calls: usize,
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(2);
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => serve(&request, threads),
            Err(e) => serde_json::json!({ "error": e.to_string() }),
        };
        println!("{answer}");
        let _ = std::io::stdout().flush();
    }
}

fn serve(request: &Request, threads: usize) -> serde_json::Value {
    let times = match request.op.as_str() {
        "product" => return product(request, threads),
        "train" => train(request, threads),
        _ => infer(request, threads),
    };
    match times {
        Ok(ms) => serde_json::json!({ "ms": ms }),
        Err(e) => serde_json::json!({ "error": e.to_string() }),
    }
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

fn rows(n: usize, d: usize) -> Result<Rows> {
    let mut values = vec![0.0; n * d];
    Streams::new(3).fill_normal(Purpose::Check, 0, 0, d, &mut values);
    Rows::new(values, d)
}

fn parts(request: &Request) -> Result<(diffeo::FlowSpec, Schema)> {
    let preset: Preset = request.model.parse()?;
    let options = PresetOptions {
        transforms: request.transforms,
        hidden: vec![request.hidden; request.layers],
        bins: request.bins.max(2),
        ..PresetOptions::default()
    };
    let schema = Schema::real((0..request.d).map(|i| format!("x{i}")));
    Ok((preset.spec(request.d, 0, &options)?, schema))
}

fn train(request: &Request, threads: usize) -> Result<Vec<f64>> {
    let (spec, schema) = parts(request)?;
    let data = TrainingData::rows(rows(request.batch, request.d)?);
    let options = FitOptions {
        steps: Some(u64::MAX >> 20),
        batch: Some(request.batch),
        threads,
        validation: ValidationChoice::None,
        average: Some(0.0),
        ..FitOptions::default()
    };
    let mut trainer = Trainer::new(spec, schema, data, options)?;
    repeat(request, || {
        while !matches!(trainer.advance()?, Event::Step { .. }) {}
        Ok(())
    })
}

fn infer(request: &Request, threads: usize) -> Result<Vec<f64>> {
    let (spec, schema) = parts(request)?;
    let model = Model::new(spec.build(0)?, schema)?;
    let x = rows(request.batch, request.d)?;
    let mut first_row = 0;
    repeat(request, || {
        if request.op == "log_prob" {
            return model.log_prob(&x, None, threads).map(|_| ());
        }
        first_row += request.batch as u64;
        let options = SampleOptions { threads, first_row, ..SampleOptions::default() };
        model.sample(request.batch, None, &options).map(|_| ())
    })
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
