//! Worlds of a few shapes: single moments side by side, or many as a film.

use std::path::Path;

use crate::colour::{AXIS, Colour, DATA, DATA_FILL, GRID, MODEL, MUTED};
use crate::error::PlotError;
use crate::figure::Figure;
use crate::layout::{LABEL_SIZE, MARGIN, draw_title, finish, title_height};
use crate::raster;
use crate::scene::{Anchor, Scene, TextStyle};

/// What a shape is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// What moves: blue.
    Body,
    /// What is to be reached: light blue.
    Goal,
    /// What stands still: grey.
    Ground,
    /// What acts: orange.
    Force,
}

impl Ink {
    fn colour(self) -> Colour {
        match self {
            Self::Body => DATA,
            Self::Goal => DATA_FILL,
            Self::Ground => AXIS,
            Self::Force => MODEL,
        }
    }
}

/// A shape in the coordinates of its world.
#[derive(Clone, Debug, PartialEq)]
pub enum StageShape {
    /// Straight lines from point to point.
    Line {
        /// The points.
        points: Vec<[f64; 2]>,
        /// How wide.
        width: f64,
        /// In what.
        ink: Ink,
    },
    /// A disc.
    Disc {
        /// Its centre.
        centre: [f64; 2],
        /// Its radius.
        radius: f64,
        /// In what.
        ink: Ink,
    },
}

/// A moment of a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Least and largest coordinate to the right.
    pub across: [f64; 2],
    /// Least and largest coordinate upwards.
    pub up: [f64; 2],
    /// What there is, from the rearmost to the foremost.
    pub shapes: Vec<StageShape>,
    /// What is said below.
    pub caption: String,
}

/// Most panels in a row.
const ACROSS_MAX: usize = 4;
const GAP: f64 = 14.0;
/// Between a panel and the panel below: its caption.
const BELOW: f64 = 24.0;

/// Draws moments side by side, in rows of up to four, all at the scale of the first.
///
/// # Errors
/// [`PlotError::Limit`] if there is none, or if one has no extent.
pub fn draw_stages(stages: &[Stage], title: &str, width: f64) -> Result<Figure, PlotError> {
    let extents: Vec<[f64; 2]> =
        stages.iter().map(|s| [s.across[1] - s.across[0], s.up[1] - s.up[0]]).collect();
    let is_sound = |extent: &[f64; 2]| extent.iter().all(|e| e.is_finite() && *e > 0.0);
    let Some(first) = extents.first().filter(|_| extents.iter().all(is_sound)) else {
        return Err(PlotError::Limit("expected moments of worlds that have an extent".into()));
    };
    let columns = stages.len().min(ACROSS_MAX);
    let width = width.clamp(160.0, 4000.0);
    let panel = (width - 2.0 * MARGIN - GAP * (columns - 1) as f64) / columns as f64;
    let scale = panel / first[0];
    let tallest = extents.iter().fold(0.0, |most: f64, extent| most.max(extent[1] * scale));
    let top = MARGIN + title_height(title);
    let rows = stages.len().div_ceil(columns);
    let mut scene = Scene::new(width, top + rows as f64 * (tallest + BELOW) + MARGIN);
    draw_title(&mut scene, title);
    for (i, stage) in stages.iter().enumerate() {
        let (row, column) = ((i / columns) as f64, (i % columns) as f64);
        let corner = [MARGIN + column * (panel + GAP), top + row * (tallest + BELOW)];
        draw_stage(&mut scene, stage, corner, scale);
    }
    Ok(finish(scene, title, "a world of a few shapes", vec![]))
}

fn draw_stage(scene: &mut Scene, stage: &Stage, [left, top]: [f64; 2], scale: f64) {
    let (width, height) =
        ((stage.across[1] - stage.across[0]) * scale, (stage.up[1] - stage.up[0]) * scale);
    let place = |p: &[f64; 2]| {
        let x = left + (p[0] - stage.across[0]) * scale;
        [x.clamp(left, left + width), (top + (stage.up[1] - p[1]) * scale).clamp(top, top + height)]
    };
    let corners = [
        [left, top],
        [left + width, top],
        [left + width, top + height],
        [left, top + height],
        [left, top],
    ];
    scene.lines(vec![corners.to_vec()], 1.0, GRID);
    for shape in &stage.shapes {
        match shape {
            StageShape::Line { points, width, ink } => {
                let points: Vec<[f64; 2]> = points.iter().map(place).collect();
                scene.lines(vec![points], (width * scale).max(0.75), ink.colour());
            }
            StageShape::Disc { centre, radius, ink } => {
                scene.dots(vec![place(centre)], radius * scale, ink.colour());
            }
        }
    }
    let style = TextStyle::new(LABEL_SIZE, MUTED).anchored(Anchor::Middle);
    scene.text([left + 0.5 * width, top + height + 15.0], &stage.caption, style);
}

/// Writes moments as an animated PNG that repeats, each for so many thousandths of a second: `frames[i]` holds what is side by side at time `i`. Viewers that do not move show the first one.
///
/// The file appears complete or not at all.
///
/// # Errors
/// As [`draw_stages`]; [`PlotError::Format`] for a path that does not end in `.png`, [`PlotError::Io`] if it cannot be written.
pub fn save_film(
    frames: &[Vec<Stage>],
    title: &str,
    (width, thousandths): (f64, u16),
    path: &Path,
) -> Result<(), PlotError> {
    if crate::FigureFormat::from_path(path)? != crate::FigureFormat::Png {
        return Err(PlotError::Format(path.to_path_buf()));
    }
    let scenes = frames.iter().map(|stages| Ok(draw_stages(stages, title, width)?.scene));
    let bytes = raster::write_film(scenes, frames.len(), thousandths)?;
    crate::figure::write_whole(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(x: f64) -> Stage {
        let disc = StageShape::Disc { centre: [x, 0.0], radius: 0.2, ink: Ink::Body };
        let line =
            StageShape::Line { points: vec![[-9.0, 0.0], [x, 1.0]], width: 0.1, ink: Ink::Force };
        Stage {
            across: [-1.0, 1.0],
            up: [-0.5, 1.0],
            shapes: vec![disc, line],
            caption: "a moment".into(),
        }
    }

    #[test]
    fn moments_stand_in_rows_of_four_and_nothing_leaves_its_panel() {
        let stages: Vec<Stage> = (0..5).map(|i| moment(f64::from(i) * 0.2)).collect();
        let figure = draw_stages(&stages, "five", 720.0).unwrap();
        assert!(figure.height() > 2.0 * 0.75 * 160.0 && figure.height() < 420.0);
        let svg = figure.to_svg();
        let text = roxmltree::Document::parse(&svg).unwrap();
        assert!(text.root_element().has_tag_name(("http://www.w3.org/2000/svg", "svg")));
        assert!(matches!(draw_stages(&[], "", 300.0), Err(PlotError::Limit(_))));
        let flat = Stage { up: [1.0, 1.0], ..moment(0.0) };
        assert!(draw_stages(&[flat], "", 300.0).is_err());
    }

    #[test]
    fn a_film_is_an_animated_png_of_all_its_moments() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.png");
        let frames: Vec<Vec<Stage>> = (0..3).map(|i| vec![moment(f64::from(i) * 0.3)]).collect();
        save_film(&frames, "", (200.0, 40), &path).unwrap();
        let decoder =
            png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let animation = *reader.info().animation_control().expect("animated");
        assert_eq!((animation.num_frames, animation.num_plays), (3, 0));
        let mut pixels = vec![vec![0; reader.output_buffer_size().unwrap()]; 3];
        for pixels in &mut pixels {
            reader.next_frame(pixels).unwrap();
        }
        assert!(pixels[0] != pixels[1] && pixels[1] != pixels[2]);
        assert!(save_film(&frames, "", (200.0, 40), &folder.path().join("film.svg")).is_err());
        assert!(save_film(&[], "", (200.0, 40), &path).is_err());
    }
}
