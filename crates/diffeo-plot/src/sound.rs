//! Waveforms, and their spectrograms below.

use crate::axis::{Axis, AxisTicks, Range, draw_bottom, draw_grid, draw_left};
use crate::clip::Frame;
use crate::colour::{DATA, INK, density_ramp};
use crate::error::PlotError;
use crate::figure::Figure;
use crate::font::Weight;
use crate::layout::{LABEL_SIZE, MARGIN, draw_title, finish, plural, title_height};
use crate::scene::{Anchor, Picture, Scene, TextStyle};

/// A sound.
#[derive(Clone, Debug)]
pub struct Sound<'a> {
    /// What it is.
    pub heading: String,
    /// Samples, most of them between -1 and 1.
    pub samples: &'a [f64],
    /// Samples a second.
    pub rate: u32,
    /// Levels of a spectrogram in decibels, those of all frequencies from 0 to half the rate side by side, frame after frame over the whole sound.
    pub levels: &'a [f64],
    /// Frequencies of a frame.
    pub frequencies: usize,
}

const HEADING: f64 = 20.0;
const WAVE: f64 = 60.0;
const SPECTRUM: f64 = 120.0;
const BETWEEN: f64 = 8.0;
/// A level, in decibels, that nothing louder than is drawn dark.
const QUIET: f64 = -60.0;
/// Decibels from the loudest level to the quietest that is told from silence.
const DEPTH: f64 = 80.0;

/// Draws the waveform of each sound and its spectrogram, which share their axis of time.
///
/// # Errors
/// [`PlotError::Shape`] for no sound, one without samples or frames, or levels that are no whole number of frames.
pub fn draw_sounds(sounds: &[Sound<'_>], title: &str, width: f64) -> Result<Figure, PlotError> {
    let fits = |sound: &Sound<'_>| {
        let Sound { samples, rate, levels, frequencies, .. } = sound;
        let whole = *frequencies > 1 && levels.len().is_multiple_of(*frequencies);
        !samples.is_empty() && *rate > 0 && !levels.is_empty() && whole
    };
    if sounds.is_empty() || !sounds.iter().all(fits) {
        return Err(PlotError::Shape(
            "expected sounds of samples and frames of their spectrogram".into(),
        ));
    }
    let width = width.clamp(320.0, 4000.0);
    let mut scene = Scene::new(width, 0.0);
    draw_title(&mut scene, title);
    let mut top = MARGIN + title_height(title);
    for sound in sounds {
        top = draw_sound(&mut scene, sound, top + HEADING) + MARGIN;
    }
    scene.height = top;
    Ok(finish(scene, title, &plural(sounds.len(), "sound"), vec![]))
}

/// Draws one, and says where it ends.
fn draw_sound(scene: &mut Scene, sound: &Sound<'_>, top: f64) -> f64 {
    let seconds = sound.samples.len() as f64 / f64::from(sound.rate);
    let loudest = sound.samples.iter().fold(1e-4f64, |most, v| most.max(v.abs()));
    let left = MARGIN + LABEL_SIZE + 52.0;
    let wide = (scene.width - left - MARGIN).floor();
    let wave = Frame { left, top, width: wide, height: WAVE };
    let spectrum = Frame { top: wave.bottom() + BETWEEN, height: SPECTRUM, ..wave };
    let x = AxisTicks::new(Axis::horizontal(Range::new(0.0, seconds), &wave), false);
    let y = AxisTicks::new(Axis::vertical(Range::new(-loudest, loudest), &wave), false);
    let hertz = Range::new(0.0, 0.5 * f64::from(sound.rate));
    let pitch = AxisTicks::new(Axis::vertical(hertz, &spectrum), false);
    scene.text([left, top - 6.0], sound.heading.clone(), TextStyle::new(LABEL_SIZE, INK));
    draw_grid(scene, &wave, Some(&x), Some(&y));
    let envelope = envelope(sound.samples, wide as usize * 2);
    let step = wide / envelope.len() as f64;
    let lines = envelope.iter().enumerate().map(|(i, [low, high])| {
        let at = left + (i as f64 + 0.5) * step;
        let place = |v: f64| wave.top + 0.5 * WAVE * (1.0 - v / loudest);
        // A line as high as it is wide is a dot.
        vec![[at, place(*high) - 0.25], [at, place(*low) + 0.25]]
    });
    scene.lines(lines.collect(), step.max(0.5), DATA);
    draw_left(scene, &wave, &y, true);
    let scale = f64::from(Picture::SCALE);
    let size = [wide * scale, SPECTRUM * scale].map(|v| v as usize);
    scene.picture([left, spectrum.top], picture(sound, size));
    draw_bottom(scene, &spectrum, &x, true);
    draw_left(scene, &spectrum, &pitch, true);
    let style = TextStyle::new(LABEL_SIZE, INK).anchored(Anchor::Middle);
    let hertz = pitch.named("Hz", SPECTRUM, LABEL_SIZE, Weight::Regular);
    scene.text([MARGIN + LABEL_SIZE - 3.0, spectrum.centre()[1]], hertz, style.upright());
    let time = x.named("seconds", wide, LABEL_SIZE, Weight::Regular);
    scene.text([spectrum.centre()[0], spectrum.bottom() + 30.0], time, style);
    spectrum.bottom() + 36.0
}

/// The least and the greatest sample of so many stretches, each with the sample before it, so that stretches meet.
fn envelope(samples: &[f64], count: usize) -> Vec<[f64; 2]> {
    let count = count.clamp(1, samples.len());
    let of = |i: usize| {
        let start = (i * samples.len() / count).saturating_sub(1);
        let part = &samples[start..(i + 1) * samples.len() / count];
        let ends = part.iter().filter(|v| v.is_finite());
        ends.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &v| [low.min(v), high.max(v)])
    };
    (0..count).map(of).filter(|[low, high]| low <= high).collect()
}

/// Levels as colours, time to the right and frequencies upwards.
fn picture(sound: &Sound<'_>, [width, height]: [usize; 2]) -> Picture {
    let frames = sound.levels.len() / sound.frequencies;
    let top = sound.levels.iter().copied().filter(|v| v.is_finite());
    // Silence is dark, however loud its loudest is beside the rest.
    let top = top.fold(QUIET, f64::max);
    let mut pixels = vec![u8::MAX; width * height * 4];
    for line in 0..height {
        let k = (height - 1 - line) * sound.frequencies / height;
        for column in 0..width {
            // The loudest of the frames that a pixel stands for.
            let from = column * frames / width;
            let until = ((column + 1) * frames / width).max(from + 1);
            let of = |frame: usize| sound.levels[frame * sound.frequencies + k];
            let level = (from..until).map(of).fold(f64::NEG_INFINITY, f64::max);
            let [r, g, b] = density_ramp(((level - top) / DEPTH + 1.0).clamp(0.0, 1.0)).rgb;
            let at = (line * width + column) * 4;
            pixels[at..at + 3].copy_from_slice(&[r, g, b]);
        }
    }
    Picture { width: width as u32, height: height as u32, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_has_its_wave_and_its_spectrum() {
        let samples: Vec<f64> = (0..800).map(|t| (0.1 * f64::from(t)).sin()).collect();
        let levels: Vec<f64> = (0..10 * 5).map(|i| -f64::from(i)).collect();
        let sound = Sound {
            heading: "tone".into(),
            samples: &samples,
            rate: 8000,
            levels: &levels,
            frequencies: 5,
        };
        let figure = draw_sounds(std::slice::from_ref(&sound), "", 400.0).unwrap();
        let svg = figure.to_svg();
        assert!(svg.contains("tone") && svg.contains("image"), "{svg}");
        assert!(draw_sounds(&[], "", 400.0).is_err());
        let torn = Sound { levels: &levels[1..], ..sound };
        assert!(draw_sounds(&[torn], "", 400.0).is_err());
        assert_eq!(envelope(&[1.0, -2.0, 3.0, 2.0], 2), [[-2.0, 1.0], [-2.0, 3.0]]);
    }
}
