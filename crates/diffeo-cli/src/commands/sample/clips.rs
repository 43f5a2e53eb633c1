//! Clips that go on, or begin.

use std::path::{Path, PathBuf};
use std::time::Instant;

use diffeo::{Error, ImageShape, Result, Rows, SampleOptions, quoted};
use diffeo_plot::{Images, save_clips};
use diffeo_table::{ImageArrayWriter, Input};

use super::Plan;
use crate::args::SampleArgs;
use crate::commands::model::Loaded;
use crate::figures::images::bytes;
use crate::figures::plot_error;
use crate::output::{Console, Report};
use crate::progress::{Progress, grouped, rate};
use crate::signals;

/// Most clips at once, and most bytes of all their frames.
const CLIPS_MAX: u64 = 10_000;
const BYTES_MAX: u64 = 1 << 30;
/// Thousandths of a second that a frame is shown for.
const FRAME: u16 = 100;

/// Draws `plan.rows` frames of `plan.repeats` clips that go on from each clip of `--context`, or begin.
pub(super) fn run(
    args: &SampleArgs,
    plan: &Plan,
    loaded: &Loaded,
    (options, image): (SampleOptions, ImageShape),
    console: &Console,
) -> Result<Report> {
    let schema = loaded.model.schema();
    let out = Out::of(args, plan)?;
    let starts = match &args.context {
        Some(path) => ends_of(path, plan, loaded, console)?,
        None => vec![schema.first_context()],
    };
    let clips = (starts.len() as u64).saturating_mul(plan.repeats);
    let size = clips.saturating_mul(plan.rows).saturating_mul(image.numbers() as u64);
    if clips > CLIPS_MAX || size > BYTES_MAX {
        return Err(Error::config(format!(
            "{clips} clips of {} frames are more than are drawn at once (at most {CLIPS_MAX}, and {BYTES_MAX} bytes); draw fewer",
            plan.rows
        )));
    }
    let width = schema.context.len();
    let repeated = starts.iter().flat_map(|row| (0..plan.repeats).map(move |_| row));
    let context = Rows::new(repeated.flatten().copied().collect(), width)?;
    let seed = options.seed;
    let (mut progress, started) = (Progress::new(console), Instant::now());
    let mut frames = vec![Vec::new(); context.len()];
    let continuation = loaded.model.continue_clips(context, options)?;
    for (step, drawn) in (1..=plan.rows).zip(continuation) {
        signals::check()?;
        let drawn = drawn?;
        frames.iter_mut().enumerate().for_each(|(i, clip)| clip.extend_from_slice(drawn.row(i)));
        let rate = rate(step * clips, started.elapsed());
        progress.update(|| format!("{step} of {} frames drawn  {rate}", plan.rows));
    }
    drop(progress);
    out.write(&frames, &image, args.force)?;
    console.note(format!(
        "{} frames of {} drawn with seed {seed}",
        grouped(plan.rows),
        if clips == 1 { "a clip".to_owned() } else { format!("{} clips", grouped(clips)) }
    ));
    let mut report = Report::default();
    report.key("rows", plan.rows * clips);
    report.key("clips", clips);
    report.key("frames", plan.rows);
    report.key("seed", seed);
    report.key("out", out.path().to_string_lossy());
    Ok(report)
}

/// The contexts of the frames after the last ones of clips.
fn ends_of(path: &Path, plan: &Plan, loaded: &Loaded, console: &Console) -> Result<Vec<Vec<f64>>> {
    let schema = loaded.model.schema();
    let mut reader = loaded.open_table(&Input::from_arg(path), &plan.read, true)?;
    let mut ends: Vec<Vec<f64>> = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        let batch = loaded.batch(&chunk)?;
        let Some(context) = batch.context else { continue };
        for i in 0..batch.x.len() {
            let given = context.row(i);
            let next = schema.next_context(batch.x.row(i), given)?;
            match ends.last_mut() {
                Some(end) if given.last().is_some_and(|earlier| *earlier > 0.0) => *end = next,
                _ => ends.push(next),
            }
        }
    }
    loaded.say_warnings(&reader, console);
    Ok(ends)
}

/// What becomes of clips.
enum Out {
    /// GIF or APNG.
    Film(PathBuf),
    /// An array of bytes.
    Array(PathBuf),
}

impl Out {
    fn of(args: &SampleArgs, plan: &Plan) -> Result<Self> {
        let refused = [
            (args.with_log_prob, "--with-log-prob"),
            (args.given.is_some(), "--given"),
            (args.region.is_some(), "--where"),
        ];
        if let Some((_, name)) = refused.iter().find(|(is_given, _)| *is_given) {
            return Err(Error::config(format!(
                "{name}: the model is one of clips; it has no use here"
            )));
        }
        if plan.rows == 0 {
            return Err(Error::config("-n is missing: how many frames to draw"));
        }
        let path = args.out.clone().unwrap_or_default();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("gif" | "png" | "apng") => Ok(Self::Film(path)),
            Some("npy") => Ok(Self::Array(path)),
            _ => Err(Error::config(format!(
                "--out: clips are written as .gif, .apng, .png (animated) or .npy (frames of all clips one after another), found {}",
                quoted(&path.to_string_lossy())
            ))),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Film(path) | Self::Array(path) => path,
        }
    }

    fn write(&self, clips: &[Vec<f64>], image: &ImageShape, overwrite: bool) -> Result<()> {
        match self {
            Self::Array(path) => {
                let mut writer = ImageArrayWriter::create(path, *image, overwrite)?;
                for clip in clips {
                    writer.write(&Rows::new(clip.clone(), image.numbers())?)?;
                }
                writer.finish_as_clips(clips.len() as u64)
            }
            Self::Film(path) => {
                let each = clips
                    .iter()
                    .map(|clip| Ok(bytes(&Rows::new(clip.clone(), image.numbers())?, image)));
                let each = each.collect::<Result<Vec<_>>>()?;
                let ImageShape { height, width, channels, .. } = *image;
                let clips: Vec<Images<'_>> =
                    each.iter().map(|bytes| Images { height, width, channels, bytes }).collect();
                save_clips(&clips, FRAME, path).map_err(|e| plot_error(e).at(path))
            }
        }
    }
}
