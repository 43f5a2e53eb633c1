//! `diffeo audio distill`: a student that draws at once.

use std::path::Path;

use diffeo::{Error, ErrorKind, Result, Streams};
use diffeo_audio::{
    AudioModel, AudioSpec, Distillation, DistillationOptions, ModelKind, Module, Split, Student,
    Training, TrainingOptions,
};
use serde_json::json;

use super::clips;
use super::fit::network;
use super::learn::{self, Learned, Plan};
use crate::args::{AudioDistillArgs, Common};
use crate::faults::Faults;
use crate::options;
use crate::output::{Console, Report, number};
use crate::progress::grouped;
use crate::signals;

const STEPS: u64 = 4000;
/// Units and layers of each flow.
const SIZES: [u64; 2] = [16, 8];

/// Runs `diffeo audio distill`.
pub(super) fn run(args: &AudioDistillArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    clips::threads(common, &mut faults)?;
    let path = options::required("TEACHER", args.teacher.as_ref(), &mut faults);
    if args.clips.clips.is_empty() {
        faults
            .add("CLIPS is missing: the recordings whose frames and spectra the student learns by");
    }
    let flows = faults.count("--flows", args.flows, 1, 64).unwrap_or(4) as usize;
    let network = network(&mut faults, &args.sizes, SIZES);
    let mut weights = DistillationOptions::default();
    let at_least_0 = "a number of at least 0";
    for (name, given, weight) in [
        ("--spread", args.spread, &mut weights.spread),
        ("--spectral", args.spectral, &mut weights.spectral),
    ] {
        faults.check(name, given, at_least_0, |v| v >= 0.0 && v.is_finite());
        *weight = given.unwrap_or(*weight);
    }
    let mut inputs: Vec<&Path> = args.clips.clips.iter().map(|path| path.as_path()).collect();
    inputs.push(&path);
    inputs.extend(args.start.as_deref());
    let usual = TrainingOptions { steps: STEPS, learning_rate: 1e-3, ..TrainingOptions::default() };
    let mut plan = Plan::new(&args.learn, usual, (faults, inputs), console)?;
    let teacher = AudioModel::load(&path)?;
    let begun = args.start.as_deref().map(|path| begun(path, &teacher.spec)).transpose()?;
    let clips = clips::read(&args.clips, console)?;
    let split = split(&plan, &teacher, clips.len(), console);
    let held = split.held_out(&clips)?;
    let data = teacher.dataset(clips, signals::check)?.split(&held);
    let AudioModel { spec: known, module: Module::WaveNet(teacher), .. } = teacher else {
        return Err(Error::config(
            "the teacher must be a WaveNet, as diffeo audio fit writes it by --model wavenet",
        )
        .at(&path));
    };
    plan.fit_length(&known, true);
    let (spec, student) = match begun {
        Some(begun) => begun,
        None => fresh(AudioSpec { kind: ModelKind::Student { network, flows }, ..known }, &plan)?,
    };
    console.note(format!("student of {} weights", grouped(spec.weights()?)));
    let shape = ([plan.options.rows, plan.options.length], Streams::new(plan.options.seed));
    let identity = json!({ "spec": spec, "distillation": weights, "samples": data[0].samples() });
    let task = Distillation::new(teacher, data.clone(), shape, weights)?;
    let training = Training::new(student, plan.options.clone(), identity)?;
    let (student, ended) = match learn::learn(&plan, training, &task, console)? {
        Learned::Stopped(report) => return Ok(report),
        Learned::Done { module, reason, steps, seconds, .. } => (module, (reason, steps, seconds)),
    };
    let found = task.divergence(&student)?;
    let valid = json!({
        "kl": number(found.kl), "spread": number(found.spread), "spectral": number(found.spectral),
    });
    let summary = plan.options.summary(ended.1, split, valid.clone());
    let model = AudioModel { spec, module: Module::Student(student), summary };
    let mut report = learn::keep(&plan, &model, ended, &data)?;
    report.line(format!(
        "validation: KL {:.4} nats a sample, log-scales {:.3} apart, spectra {:.3}",
        found.kl,
        found.spread.sqrt(),
        found.spectral
    ));
    report.key("valid", valid);
    Ok(report)
}

/// The student in a file, if it is one for a teacher.
fn begun(path: &Path, teacher: &AudioSpec) -> Result<(AudioSpec, Student)> {
    AudioModel::load(path)?.into_student_of(teacher).map_err(|e| e.at(path))
}

/// Which clips validate: those that validated the teacher, so that neither has learned from them, if they are the same clips.
fn split(plan: &Plan, teacher: &AudioModel, clips: usize, console: &Console) -> Split {
    let of_teacher = Split::of(teacher).filter(|split| split.clips == clips as u64);
    of_teacher.unwrap_or_else(|| {
        console.warn("these are not the clips that the teacher learned from: some that validate here may be among those");
        plan.split(clips)
    })
}

/// A student with initial weights.
fn fresh(spec: AudioSpec, plan: &Plan) -> Result<(AudioSpec, Student)> {
    match spec.build(plan.options.seed)? {
        Module::Student(student) => Ok((spec, student)),
        _ => Err(Error::new(ErrorKind::Internal, "a student was to be built")),
    }
}
