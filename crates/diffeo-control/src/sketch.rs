//! What an environment looks like: a few shapes in its own coordinates.

/// What a shape is drawn in; those who draw decide what that looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// What moves.
    Body,
    /// What is to be reached.
    Goal,
    /// What stands still.
    Ground,
    /// What acts.
    Force,
}

/// A shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Straight lines from point to point.
    Line {
        /// The points.
        points: Vec<[f64; 2]>,
        /// How wide.
        width: f64,
        /// In what.
        tone: Tone,
    },
    /// A disc.
    Disc {
        /// Its centre.
        centre: [f64; 2],
        /// Its radius.
        radius: f64,
        /// In what.
        tone: Tone,
    },
}

/// Shapes, from the rearmost to the foremost, and the part of the plane that is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    /// Least and largest coordinate to the right.
    pub across: [f64; 2],
    /// Least and largest coordinate upwards.
    pub up: [f64; 2],
    /// What there is.
    pub shapes: Vec<Shape>,
}

impl Shape {
    /// One straight line.
    pub fn line(from: [f64; 2], to: [f64; 2], width: f64, tone: Tone) -> Self {
        Self::Line { points: vec![from, to], width, tone }
    }

    /// A disc.
    pub fn disc(centre: [f64; 2], radius: f64, tone: Tone) -> Self {
        Self::Disc { centre, radius, tone }
    }
}
