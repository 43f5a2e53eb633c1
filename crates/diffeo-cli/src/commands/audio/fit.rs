//! `diffeo audio fit`: a density of recordings.

use std::path::Path;

use diffeo::{Error, Result, Streams, Trainable, quoted};
use diffeo_audio::{
    AudioModel, AudioSpec, Dataset, Density, KindWish, Likelihood, ModelKind, ModelWish, Module,
    NetworkSpec, Output, Training, TrainingOptions, at_one_rate, bits,
};
use serde_json::{Value, json};

use super::clips;
use super::learn::{self, Learned, Plan};
use crate::args::{AudioFitArgs, Common, SizeArgs};
use crate::faults::Faults;
use crate::output::{Console, Report, number};
use crate::progress::grouped;
use crate::signals;

const BANDS: u64 = 40;
const BANDS_MAX: u64 = 512;
/// Coefficients of the prediction from bands.
const ORDER: u64 = 32;
const ORDER_MAX: u64 = 512;
const STEPS: u64 = 4000;
/// Most lines of a WaveFlow.
const LINES_MAX: u64 = 1024;

/// The network that was asked for, of so many units and layers where nothing is said.
pub(super) fn network(faults: &mut Faults, args: &SizeArgs, usual: [u64; 2]) -> NetworkSpec {
    let [width, layers, cycle] = sizes(faults, args, [usual[0], usual[1], 8]);
    let window = faults.count("--window", args.window, 1, 4096).unwrap_or(32) as usize;
    NetworkSpec::cycles(width, window, [layers, cycle])
}

/// Width, layers and cycle that were asked for.
fn sizes(faults: &mut Faults, args: &SizeArgs, usual: [u64; 3]) -> [usize; 3] {
    let mut count =
        |name, given, most, usual| faults.count(name, given, 1, most).unwrap_or(usual) as usize;
    let width = count("--width", args.width, 1024, usual[0]);
    let layers = count("--layers", args.layers, 128, usual[1]);
    [width, layers, count("--cycle", args.cycle, 16, usual[2].min(layers as u64))]
}

/// Runs `diffeo audio fit`.
pub(super) fn run(args: &AudioFitArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    clips::threads(common, &mut faults)?;
    let (wish, rate) = wish(args, &mut faults);
    let inputs: Vec<&Path> = args.clips.clips.iter().map(|path| path.as_path()).collect();
    let usual = TrainingOptions { steps: STEPS, ..TrainingOptions::default() };
    let mut plan = Plan::new(&args.learn, usual, (faults, inputs), console)?;
    let clips = clips::read(&args.clips, console)?;
    let split = plan.split(clips.len());
    let held = split.held_out(&clips)?;
    let (clips, others) = at_one_rate(clips, rate)?;
    let model = wish.model(&clips, &held, plan.options.seed)?;
    if others > 0 {
        let [others, rate] = [others as u64, model.spec.units.rate.into()].map(grouped);
        console.note(format!("{others} clips of other rates are resampled to {rate} Hz"));
    }
    let step = model.spec.units.step;
    let finer = clips.iter().filter(|clip| clip.recording.step != step).count();
    if step > 0.0 && finer > 0 {
        console.warn(format!(
            "{} clips have other levels than the coarsest, which lie {step} apart: all are given the noise of those, and the bits that are told are of them alone",
            grouped(finer as u64)
        ));
    }
    plan.fit_length(&model.spec, false);
    let data = model.dataset(clips, signals::check)?.split(&held);
    let AudioModel { spec, module, .. } = model;
    console.note(told(&spec)?);
    let learned = match module {
        Module::WaveNet(mut module) => {
            module.start_from(&data[0]);
            learn(&plan, (&spec, module), &data, console)?.map(Module::WaveNet)
        }
        Module::WaveFlow(module) => {
            learn(&plan, (&spec, module), &data, console)?.map(Module::WaveFlow)
        }
        Module::Student(_) => {
            return Err(Error::new(diffeo::ErrorKind::Internal, "students are not fitted"));
        }
    };
    let (module, loss, ended) = match learned {
        Learned::Stopped(report) => return Ok(report),
        Learned::Done { module, valid, reason, steps, seconds } => {
            (module, valid, (reason, steps, seconds))
        }
    };
    let log_prob = -loss - spec.units.scale.ln();
    let bits = bits(log_prob, spec.units.step);
    let valid = json!({
        "nats_per_sample": number(log_prob), "bits_per_sample": bits.map_or(Value::Null, number),
    });
    let summary = plan.options.summary(ended.1, split, valid.clone());
    let model = AudioModel { spec, module, summary };
    let mut report = learn::keep(&plan, &model, ended, &data)?;
    let bits = bits.map_or(String::new(), |bits| format!(", {bits:.3} bits"));
    report.line(format!("validation: {log_prob:.4} nats a sample{bits}"));
    report.key("valid", valid);
    Ok(report)
}

fn learn<M: Density + Trainable + 'static>(
    plan: &Plan,
    (spec, module): (&AudioSpec, M),
    data: &[Dataset; 2],
    console: &Console,
) -> Result<Learned<M>> {
    let streams = Streams::new(plan.options.seed);
    let shape = [plan.options.rows, plan.options.length];
    let [train, valid] = data.clone();
    let task = Likelihood { train, valid, shape, streams };
    let identity = json!({ "spec": spec, "samples": data[0].samples() });
    let training = Training::new(module, plan.options.clone(), identity)?;
    learn::learn(plan, training, &task, console)
}

/// What is fitted, in a line.
fn told(spec: &AudioSpec) -> Result<String> {
    let of = match &spec.kind {
        ModelKind::WaveNet { network, .. } => {
            format!("sees {} samples back", grouped(network.reach() as u64))
        }
        ModelKind::WaveFlow { network, flows } => {
            format!("is {flows} flows over {} lines", network.height)
        }
        ModelKind::Student { flows, .. } => format!("is {flows} flows"),
    };
    let weights = grouped(spec.weights()?);
    let numbers = spec.condition.numbers();
    Ok(format!("{} of {weights} weights that {of}; {numbers} numbers a frame", spec.kind.name()))
}

/// The model that was asked for, and the rate of its sound.
fn wish(args: &AudioFitArgs, faults: &mut Faults) -> (ModelWish, Option<u32>) {
    if args.clips.clips.is_empty() {
        faults.add("CLIPS is missing: name WAV files, or folders of them");
    }
    let rate = faults.count("--rate", args.rate, 1000, 384_000).map(|rate| rate as u32);
    let bands = faults.count("--mel", args.mel, 0, BANDS_MAX).unwrap_or(BANDS) as usize;
    let order = if bands > 1 { ORDER } else { 0 };
    let order =
        faults.count("--prediction", args.prediction, 0, ORDER_MAX).unwrap_or(order) as usize;
    if order > 0 && bands < 2 {
        faults.add("--prediction follows from mel bands; give --mel 2 or more, or --prediction 0");
    }
    let pitch = order > 0 && !args.no_pitch;
    let kind = match args.model.as_deref().unwrap_or("wavenet") {
        "waveflow" => wave_flow(args, faults),
        name => {
            if name != "wavenet" {
                let found = quoted(name);
                faults.add(format!("--model: expected wavenet or waveflow, found {found}"));
            }
            wave_net(args, faults)
        }
    };
    (ModelWish { bands, order, pitch, kind }, rate)
}

fn wave_net(args: &AudioFitArgs, faults: &mut Faults) -> KindWish {
    for (name, is_given) in [("--lines", args.lines.is_some()), ("--flows", args.flows.is_some())] {
        if is_given {
            faults.add(format!("{name} is of --model waveflow"));
        }
    }
    let output = match args.output.as_deref().unwrap_or("gaussian") {
        "gaussian" => Output::Gaussian {},
        text => {
            let count = text.strip_prefix("logistics:").and_then(|n| n.parse().ok());
            match count.filter(|n| (1..=100).contains(n)) {
                Some(components) => Output::Logistics { components },
                None => {
                    faults.add(format!(
                        "--output: expected gaussian, or logistics:K with K from 1 to 100, found {}",
                        quoted(text)
                    ));
                    Output::Gaussian {}
                }
            }
        }
    };
    KindWish::WaveNet { network: network(faults, &args.sizes, [32, 16]), output }
}

fn wave_flow(args: &AudioFitArgs, faults: &mut Faults) -> KindWish {
    let of_wavenet =
        [("--output", args.output.is_some()), ("--window", args.sizes.window.is_some())];
    for (name, is_given) in of_wavenet {
        if is_given {
            faults.add(format!("{name} is of --model wavenet"));
        }
    }
    let lines = faults.count("--lines", args.lines, 2, LINES_MAX).map(|n| n as usize);
    let flows = faults.count("--flows", args.flows, 1, 64).unwrap_or(4) as usize;
    KindWish::WaveFlow { sizes: sizes(faults, &args.sizes, [16, 6, 4]), lines, flows }
}
