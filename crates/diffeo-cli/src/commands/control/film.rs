//! Environments as pictures.

use std::path::Path;

use diffeo::{ErrorKind, Result};
use diffeo_control::{Played, Shape, Sketch, Tone};
use diffeo_plot::{Ink, PlotError, Stage, StageShape, draw_stages, save_film};

/// Moments of an episode in a picture.
const MOMENTS: usize = 8;
/// Episodes side by side in a film, and its longest.
const SIDE_BY_SIDE: usize = 4;
const FRAMES_MAX: usize = 150;
/// Thousandths of a second of a frame.
const FRAME: u16 = 50;
/// Units of the page for each panel.
const PANEL: f64 = 180.0;

fn ink(tone: Tone) -> Ink {
    match tone {
        Tone::Body => Ink::Body,
        Tone::Goal => Ink::Goal,
        Tone::Ground => Ink::Ground,
        Tone::Force => Ink::Force,
    }
}

fn stage(sketch: &Sketch, caption: String) -> Stage {
    let shape = |shape: &Shape| match shape {
        Shape::Line { points, width, tone } => {
            StageShape::Line { points: points.clone(), width: *width, ink: ink(*tone) }
        }
        Shape::Disc { centre, radius, tone } => {
            StageShape::Disc { centre: *centre, radius: *radius, ink: ink(*tone) }
        }
    };
    let shapes = sketch.shapes.iter().map(shape).collect();
    Stage { across: sketch.across, up: sketch.up, shapes, caption }
}

/// The moment of an episode: after its end, the last one.
fn moment(played: &Played, step: usize) -> Option<Stage> {
    let step = step.min(played.sketches.len().checked_sub(1)?);
    let earned = played.rewards[..step].iter().fold(0.0, |sum, reward| sum + reward);
    Some(stage(&played.sketches[step], format!("step {step}, earned {earned:.1}")))
}

/// Draws moments of an episode.
pub(super) fn draw(played: &Played, title: &str, path: &Path) -> Result<()> {
    let last = played.actions.len();
    let at = |i: usize| moment(played, i * last / (MOMENTS - 1));
    let stages: Vec<Stage> = (0..MOMENTS).filter_map(at).collect();
    let figure = draw_stages(&stages, title, PANEL * 4.0).map_err(of_plot)?;
    figure.save(path).map_err(of_plot)
}

/// Writes a few episodes as a film.
pub(super) fn save(played: &[Played], title: &str, path: &Path) -> Result<()> {
    let played = &played[..played.len().min(SIDE_BY_SIDE)];
    let longest = played.iter().map(|p| p.sketches.len()).max().unwrap_or(0);
    let every = longest.div_ceil(FRAMES_MAX).max(1);
    let frames: Vec<Vec<Stage>> = (0..longest)
        .step_by(every)
        // However it is thinned, a film has its end.
        .chain(longest.checked_sub(1).filter(|last| !last.is_multiple_of(every)))
        .map(|step| played.iter().filter_map(|p| moment(p, step)).collect())
        .collect();
    let width = PANEL * played.len().max(2) as f64;
    save_film(&frames, title, (width, FRAME), path).map_err(of_plot)
}

/// An error of a picture as one of ours.
pub(in crate::commands) fn of_plot(error: PlotError) -> diffeo::Error {
    let kind = match error {
        PlotError::Format(_) => ErrorKind::Config,
        PlotError::Io { .. } => ErrorKind::Io,
        PlotError::Limit(_) => ErrorKind::Limit,
        _ => ErrorKind::Internal,
    };
    diffeo::Error::new(kind, error.to_string()).caused_by(error)
}
