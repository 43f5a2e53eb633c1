//! `diffeo audio sample`: waveforms that are drawn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use diffeo::{Error, ErrorKind, Result, Streams, quoted};
use diffeo_audio::{AudioModel, Prompt, Recording};

use super::clips;
use crate::args::{AudioSampleArgs, Common};
use crate::duration::Rough;
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::preflight::{self, Target};
use crate::progress::{Progress, grouped};
use crate::{options, signals};

const NUMBER_MAX: u64 = 100_000;
const SECONDS_MAX: f64 = 3600.0;
/// Waveforms that are drawn together.
const TOGETHER: usize = 64;

/// Runs `diffeo audio sample`.
pub(super) fn run(args: &AudioSampleArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    clips::threads(common, &mut faults)?;
    let path = options::required("MODEL", args.model.as_ref(), &mut faults);
    let out = options::required("--out", args.out.as_ref(), &mut faults);
    let number = faults.count("--number", args.number, 1, NUMBER_MAX).unwrap_or(1) as usize;
    let length = "a number of seconds above 0 and up to 3600";
    faults.check("--seconds", args.seconds, length, |v| v > 0.0 && v <= SECONDS_MAX);
    faults.check("--temperature", args.temperature, "a number of at least 0", |v| {
        v >= 0.0 && v.is_finite()
    });
    let labels = labels(&args.label, &mut faults);
    let seed = options::seed(args.seed, &mut faults);
    faults.finish()?;
    let model = AudioModel::load(&path)?;
    let prompt = prompt(&model, args, &labels)?;
    let files = files(&out, number, args, console)?;
    let seed = options::seed_or_drawn(seed, console);
    signals::defer()?;
    let (started, temperature) = (Instant::now(), args.temperature.unwrap_or(1.0));
    let mut progress = Progress::new(console);
    // Few at a time, so that memory does not grow with their number.
    for (some, files) in files.chunks(TOGETHER).enumerate() {
        let of = |i: usize| Prompt { number: (some * TOGETHER + i) as u64, ..prompt.clone() };
        let prompts: Vec<Prompt> = (0..files.len()).map(of).collect();
        let drawn = model.sample(&prompts, temperature, Streams::new(seed), &mut |done, all| {
            progress.update(|| {
                let before = grouped((some * TOGETHER) as u64);
                format!(
                    "{before} of {} drawn, {} % of the next",
                    grouped(number as u64),
                    100 * done / all
                )
            });
            signals::check()
        })?;
        for (file, drawn) in files.iter().zip(&drawn) {
            drawn.write(file)?;
        }
    }
    drop(progress);
    let seconds = started.elapsed().as_secs_f64();
    let (samples, rate) = (prompt.samples, model.spec.units.rate);
    let sound = (samples * number) as f64 / f64::from(rate);
    let mut report = Report::default();
    report.line(format!(
        "{} of sound drawn in {}: {}",
        Rough(sound),
        Rough(seconds),
        quoted(&out.to_string_lossy())
    ));
    report.key("files", files.iter().map(|f| f.to_string_lossy()).collect::<Vec<_>>());
    report.key("samples", samples);
    report.key("rate", rate);
    report.number("seconds", seconds);
    report.number("seconds_of_sound", sound);
    report.key("seed", seed);
    Ok(report)
}

fn labels(given: &[String], faults: &mut Faults) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for text in given {
        match text.split_once('=') {
            Some((name, value)) => {
                labels.insert(name.to_owned(), value.to_owned());
            }
            None => faults.add(format!("--label: expected NAME=VALUE, found {}", quoted(text))),
        }
    }
    labels
}

/// Where each waveform goes.
fn files(
    out: &Path,
    number: usize,
    args: &AudioSampleArgs,
    console: &Console,
) -> Result<Vec<PathBuf>> {
    let is_wav = out.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav"));
    if is_wav && number > 1 {
        return Err(Error::config(format!(
            "--out: {} waveforms go to a folder; name one without .wav",
            grouped(number as u64)
        )));
    }
    if !is_wav && !out.is_dir() && out.extension().is_some() {
        return Err(Error::config(format!(
            "--out: expected a name that ends in .wav, or a folder, whose name has no dot, found {}",
            quoted(&out.to_string_lossy())
        )));
    }
    let files = match is_wav {
        true => vec![out.to_path_buf()],
        false => {
            std::fs::create_dir_all(out).map_err(|e| Error::io(out, "make the folder", e))?;
            (1..=number).map(|i| out.join(format!("{i}.wav"))).collect()
        }
    };
    let inputs: Vec<&Path> = args.model.iter().chain(&args.like).map(|p| p.as_path()).collect();
    let check = |path: PathBuf| {
        let target = Target {
            path: &path,
            inputs: inputs.clone(),
            overwrite: args.force,
            devices: false,
            bytes: 1 << 20,
        };
        preflight::check(&target, console)
    };
    files.into_iter().map(check).collect()
}

/// What is to be drawn, by a clip or by seconds, and labels.
fn prompt(
    model: &AudioModel,
    args: &AudioSampleArgs,
    labels: &BTreeMap<String, String>,
) -> Result<Prompt> {
    let (rate, condition) = (model.spec.units.rate, &model.spec.condition);
    for name in labels.keys() {
        if !condition.labels.iter().any(|label| label.name == *name) {
            return Err(Error::config(format!(
                "--label: the model knows no label {}",
                quoted(name)
            )));
        }
    }
    let sound = match &args.like {
        Some(path) => Recording::read(path)?.at_rate(rate).map_err(|e| e.at(path))?,
        None if condition.bands > 0 => {
            return Err(Error::new(
                ErrorKind::Config,
                "the model is told mel bands; give a clip that they are taken from, by --like",
            ));
        }
        None => Recording { samples: vec![0.0; rate as usize], rate, step: 0.0 },
    };
    let signal = model.signal("--like", sound, |name| labels.get(name).cloned())?;
    let wanted = args.seconds.map(|seconds| (seconds * f64::from(rate)).round() as usize);
    let samples = wanted.unwrap_or(signal.samples.len()).max(1);
    Ok(Prompt { samples, frames: signal.frames, number: 0 })
}
