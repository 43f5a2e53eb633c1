//! `diffeo audio fit`: a density of recordings.

use std::path::Path;

use diffeo::{Error, Result, Streams, quoted};
use diffeo_audio::{
    AudioModel, AudioSpec, Condition, Likelihood, ModelKind, Module, NetworkSpec, Output,
    Recording, Training, TrainingOptions, Units,
};
use serde_json::{Value, json};

use super::clips::{self, Clip};
use super::learn::{self, Learned, Plan};
use crate::args::{AudioFitArgs, Common, SizeArgs};
use crate::faults::Faults;
use crate::output::{Console, Report, number};
use crate::progress::grouped;

const BANDS: u64 = 40;
const BANDS_MAX: u64 = 512;
/// Coefficients of the prediction from bands.
const ORDER: u64 = 32;
const ORDER_MAX: u64 = 512;
const STEPS: u64 = 4000;

/// The network that was asked for, of so many layers where nothing is said.
pub(super) fn network(faults: &mut Faults, args: &SizeArgs, layers: u64) -> NetworkSpec {
    let mut count =
        |name, given, most, usual| faults.count(name, given, 1, most).unwrap_or(usual) as usize;
    let width = count("--width", args.width, 1024, 32);
    let window = count("--window", args.window, 4096, 32);
    let layers = count("--layers", args.layers, 128, layers);
    let cycle = count("--cycle", args.cycle, 16, 8.min(layers as u64));
    NetworkSpec::cycles(width, window, [layers, cycle])
}

struct Wish {
    rate: Option<u32>,
    bands: usize,
    order: usize,
    network: NetworkSpec,
    output: Output,
}

/// Runs `diffeo audio fit`.
pub(super) fn run(args: &AudioFitArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    clips::threads(common, &mut faults)?;
    let wish = wish(args, &mut faults);
    let inputs: Vec<&Path> = args.clips.clips.iter().map(|path| path.as_path()).collect();
    let usual = TrainingOptions { steps: STEPS, ..TrainingOptions::default() };
    let mut plan = Plan::new(&args.learn, usual, (faults, inputs), console)?;
    let clips = clips::read(&args.clips, console)?;
    let clips = at_one_rate(clips, wish.rate, console)?;
    let held = plan.held_out(clips.len())?;
    let model = model(&wish, &clips, &held, plan.options.seed)?;
    plan.fit_length(model.spec.units.rate, model.spec.condition.samples);
    let data = learn::split(clips::dataset(&model, clips)?, &held);
    let AudioModel { spec, module: Module::WaveNet(mut module), .. } = model else {
        return Err(Error::new(diffeo::ErrorKind::Internal, "a WaveNet was to be fitted"));
    };
    module.start_from(&data[0]);
    console.note(format!(
        "WaveNet of {} weights that sees {} samples back; {} numbers a frame",
        grouped(spec.weights()?),
        grouped(wish.network.reach() as u64),
        spec.condition.numbers()
    ));
    let streams = Streams::new(plan.options.seed);
    let shape = [plan.options.rows, plan.options.length];
    let [train, valid] = data.clone();
    let task = Likelihood { train, valid, shape, streams };
    let identity = json!({ "spec": spec, "samples": data[0].samples() });
    let training = Training::new(module, plan.options.clone(), identity)?;
    let learned = learn::learn(&plan, training, &task, console)?;
    let (module, loss, ended) = match learned {
        Learned::Stopped(report) => return Ok(report),
        Learned::Done { module, valid, reason, steps, seconds } => {
            (module, valid, (reason, steps, seconds))
        }
    };
    let log_prob = -loss - spec.units.scale.ln();
    let bits = clips::bits(log_prob, spec.units.step);
    let count = data[0].signals.len() + data[1].signals.len();
    let valid = json!({
        "nats_per_sample": number(log_prob), "bits_per_sample": bits.map_or(Value::Null, number),
    });
    let summary = learn::summary(&plan, (ended.1, count), valid.clone());
    let model = AudioModel { spec, module: Module::WaveNet(module), summary };
    let mut report = learn::keep(&plan, &model, ended, &data)?;
    let bits = bits.map_or(String::new(), |bits| format!(", {bits:.3} bits"));
    report.line(format!("validation: {log_prob:.4} nats a sample{bits}"));
    report.key("model", "wavenet");
    report.key("valid", valid);
    Ok(report)
}

fn wish(args: &AudioFitArgs, faults: &mut Faults) -> Wish {
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
    let network = network(faults, &args.sizes, 16);
    Wish { rate, bands, order, network, output }
}

/// Clips at the rate that was asked for, or that of the first.
fn at_one_rate(clips: Vec<Clip>, rate: Option<u32>, console: &Console) -> Result<Vec<Clip>> {
    let rate = rate.unwrap_or_else(|| clips[0].recording.rate);
    let others = clips.iter().filter(|clip| clip.recording.rate != rate).count() as u64;
    if others > 0 {
        console.note(format!(
            "{} clips of other rates are resampled to {} Hz",
            grouped(others),
            grouped(rate.into())
        ));
    }
    let of = |clip: Clip| {
        let Clip { name, recording, labels } = clip;
        let recording = recording.at_rate(rate).map_err(|e| e.at(&name))?;
        Ok(Clip { name, recording, labels })
    };
    clips.into_iter().map(of).collect()
}

/// The model as it starts; its units are those of the clips that are learned from.
fn model(wish: &Wish, clips: &[Clip], held: &[bool], seed: u64) -> Result<AudioModel> {
    let learned = clips.iter().zip(held).filter(|(_, held)| !**held);
    let recordings: Vec<Recording> = learned.map(|(clip, _)| clip.recording.clone()).collect();
    let units = Units::of(&recordings)?;
    let condition = Condition {
        labels: clips::known_labels(clips)?,
        bands: wish.bands,
        order: wish.order,
        ..Condition::none(units.rate)
    };
    let kind = ModelKind::WaveNet { network: wish.network.clone(), output: wish.output };
    let spec = AudioSpec { kind, condition, units };
    let module = spec.build(seed)?;
    Ok(AudioModel { spec, module, summary: Value::Null })
}
