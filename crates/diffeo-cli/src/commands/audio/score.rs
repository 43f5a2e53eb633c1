//! `diffeo audio score`: a row for each recording.

use std::io::Write as _;

use diffeo::file::storage::{Disk, write_atomic};
use diffeo::{Error, Result, Streams};
use diffeo_audio::{AudioModel, Clip, Recording, Split, at_one_rate, bits};

use super::clips;
use crate::args::{AudioScoreArgs, ClipArgs, Common};
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::preflight::{self, Target};
use crate::progress::Progress;
use crate::{options, signals};

/// What was found of a clip.
pub(super) struct Scored {
    pub(super) name: String,
    pub(super) samples: usize,
    /// Of all samples, between -1 and 1.
    pub(super) log_prob: f64,
    /// The sound, at the model's rate.
    pub(super) recording: Recording,
}

impl Scored {
    /// Bits of a sample, for a clip of the whole numbers that the model is of: of others a density bounds no code.
    pub(super) fn bits(&self, step: f64) -> Option<f64> {
        let is_of_step = self.recording.step == step;
        is_of_step.then(|| bits(self.log_prob / self.samples as f64, step)).flatten()
    }
}

/// Clips that are scored together.
const TOGETHER: usize = 64;

/// Scores clips, or those of them that `is_wanted`.
pub(super) fn scored(
    model: &AudioModel,
    args: &ClipArgs,
    (seed, is_wanted): (u64, impl Fn(&[Clip]) -> Result<Vec<bool>>),
    console: &Console,
) -> Result<Vec<Scored>> {
    let clips = clips::read(args, console)?;
    let wanted = is_wanted(&clips)?;
    let kept = clips.into_iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(clip, _)| clip);
    let (clips, _) = at_one_rate(kept.collect(), Some(model.spec.units.rate))?;
    let recordings: Vec<Recording> = clips.iter().map(|clip| clip.recording.clone()).collect();
    let dataset = model.dataset(clips, signals::check)?;
    let signals = dataset.unrounded(Streams::new(seed));
    let (mut found, mut progress) = (Vec::new(), Progress::new(console));
    let mut recordings = recordings.into_iter();
    for some in signals.chunks(TOGETHER) {
        signals::check()?;
        for (signal, log_prob) in some.iter().zip(model.score(&some.iter().collect::<Vec<_>>())?) {
            let (name, samples) = (signal.name.clone(), signal.samples.len());
            let recording = recordings.next().ok_or_else(|| {
                Error::new(diffeo::ErrorKind::Internal, "a clip has no sound; please report this")
            })?;
            found.push(Scored { name, samples, log_prob: log_prob.iter().sum(), recording });
        }
        progress.update(|| format!("{} of {} clips", found.len(), signals.len()));
    }
    Ok(found)
}

/// Runs `diffeo audio score`.
pub(super) fn run(args: &AudioScoreArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    clips::threads(common, &mut faults)?;
    let path = options::required("MODEL", args.model.as_ref(), &mut faults);
    let seed = options::seed(args.seed, &mut faults).unwrap_or(0);
    if args.out.is_none() && common.json {
        faults.add("--json writes to stdout, and so does the table; name a file with --out");
    }
    faults.finish()?;
    let check = |out| {
        let target = Target {
            path: out,
            inputs: vec![path.as_path()],
            overwrite: args.force,
            devices: false,
            bytes: 1 << 20,
        };
        preflight::check(&target, console)
    };
    let out = args.out.as_deref().map(check).transpose()?;
    let model = AudioModel::load(&path)?;
    signals::defer()?;
    let wanted = |clips: &[Clip]| wanted(&model, args.held_out, clips);
    let found = scored(&model, &args.clips, (seed, wanted), console)?;
    let bytes = table(&found, model.spec.units.step)?;
    let mut report = Report::default();
    match &out {
        Some(out) => {
            write_atomic(&Disk, out, &bytes)?;
            report.line(format!("{} clips scored", found.len()));
            report.key("clips", found.len());
            report.key("out", out.to_string_lossy());
        }
        None => std::io::stdout().write_all(&bytes).map_err(|e| Error::io("stdout", "write", e))?,
    }
    Ok(report)
}

/// Which clips are wanted: all, or those that validated when the model was fitted to these.
pub(super) fn wanted(model: &AudioModel, only_held_out: bool, clips: &[Clip]) -> Result<Vec<bool>> {
    if !only_held_out {
        return Ok(vec![true; clips.len()]);
    }
    let split = Split::of(model);
    let split = split.ok_or_else(|| {
        Error::model_file("the file does not say which clips validated; fit it anew")
    })?;
    if split.clips != clips.len() as u64 {
        return Err(Error::data(format!(
            "--held-out: the model was fitted to {} clips, these are {}; name the same ones",
            split.clips,
            clips.len()
        )));
    }
    split.held_out(clips)
}

fn table(found: &[Scored], step: f64) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fault = |e: csv::Error| Error::new(diffeo::ErrorKind::Internal, e.to_string());
    let names = ["file", "samples", "log_prob", "nats_per_sample", "bits_per_sample"];
    writer.write_record(names).map_err(fault)?;
    for scored in found {
        let Scored { name, samples, log_prob, .. } = scored;
        let each = log_prob / *samples as f64;
        let bits = scored.bits(step).map_or(String::new(), |bits| bits.to_string());
        let cells =
            [name.clone(), samples.to_string(), log_prob.to_string(), each.to_string(), bits];
        writer.write_record(cells).map_err(fault)?;
    }
    writer.into_inner().map_err(|e| Error::new(diffeo::ErrorKind::Internal, e.to_string()))
}
