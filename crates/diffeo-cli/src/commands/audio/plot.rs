//! `diffeo audio plot`: waveforms and spectrograms.

use diffeo::{Error, Result};
use diffeo_audio::{Recording, spectrogram};
use diffeo_plot::{FigureFormat, Sound, draw_sounds};

use crate::args::{AudioPlotArgs, Common};
use crate::commands::control::of_plot;
use crate::faults::Faults;
use crate::options;
use crate::output::{Console, Report};
use crate::preflight::{self, Target};

/// Clips that a page holds.
const CLIPS_MAX: usize = 32;
/// Seconds of a window, and from one to the next.
const WINDOW: f64 = 0.032;
const HOP: f64 = 0.004;

/// Runs `diffeo audio plot`.
pub(super) fn run(args: &AudioPlotArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let out = options::required("--out", args.out.as_ref(), &mut faults);
    if !(1..=CLIPS_MAX).contains(&args.clips.len()) {
        faults
            .add(format!("CLIPS: expected 1 to {CLIPS_MAX} WAV files, found {}", args.clips.len()));
    }
    if args.out.is_some() {
        faults.take("--out", FigureFormat::from_path(&out));
    }
    faults.finish()?;
    let target = Target {
        path: &out,
        inputs: args.clips.iter().map(|path| path.as_path()).collect(),
        overwrite: args.force,
        devices: false,
        bytes: 1 << 20,
    };
    let out = preflight::check(&target, console)?;
    let read = |path: &std::path::PathBuf| {
        let recording = Recording::read(path)?;
        if recording.samples.is_empty() {
            return Err(Error::data("the file holds no sample").at(path));
        }
        let hop = ((HOP * f64::from(recording.rate)) as usize).max(1);
        let overlap = (WINDOW / HOP).round() as usize;
        let (levels, frequencies) = spectrogram(&recording, [overlap * hop, hop])?;
        let heading = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((heading, recording, levels, frequencies))
    };
    let read: Vec<_> = args.clips.iter().map(read).collect::<Result<_>>()?;
    let sounds: Vec<Sound<'_>> = read
        .iter()
        .map(|(heading, recording, levels, frequencies)| Sound {
            heading: heading.clone(),
            samples: &recording.samples,
            rate: recording.rate,
            levels,
            frequencies: *frequencies,
        })
        .collect();
    draw_sounds(&sounds, "", 760.0).and_then(|figure| figure.save(&out)).map_err(of_plot)?;
    let mut report = Report::default();
    let text = out.to_string_lossy();
    report.line(format!("drawn to {}", diffeo::quoted(&text)));
    report.key("clips", args.clips.len());
    report.key("out", text);
    Ok(report)
}
