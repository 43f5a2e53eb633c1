//! The scene: what a figure consists of before it becomes SVG or pixels.

use crate::colour::Colour;
use crate::font::{self, Weight};

/// A point in units of the page, y downwards.
pub(crate) type Point = [f64; 2];

/// Where a text stands relative to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

/// How a text is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextStyle {
    pub(crate) size: f64,
    pub(crate) weight: Weight,
    pub(crate) colour: Colour,
    pub(crate) anchor: Anchor,
    /// Turned a quarter to the left, to be read from below.
    pub(crate) upright: bool,
}

impl TextStyle {
    /// Horizontal regular text that begins at its position.
    pub(crate) const fn new(size: f64, colour: Colour) -> Self {
        Self { size, weight: Weight::Regular, colour, anchor: Anchor::Start, upright: false }
    }

    pub(crate) const fn bold(self) -> Self {
        Self { weight: Weight::Bold, ..self }
    }

    pub(crate) const fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(crate) const fn upright(self) -> Self {
        Self { upright: true, ..self }
    }
}

/// One thing to draw.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// Filled polygons, drawn as one area (overlaps do not darken).
    Area { rings: Vec<Vec<Point>>, colour: Colour },
    /// Stroked polylines, drawn as one stroke.
    Lines { lines: Vec<Vec<Point>>, width: f64, colour: Colour, dashed: bool },
    /// Discs, drawn as one area.
    Dots { centres: Vec<Point>, radius: f64, colour: Colour },
    /// Text with its baseline at the point.
    Text { at: Point, text: String, style: TextStyle },
    /// Pixels, `Picture::SCALE` per unit, with the upper left corner at the point.
    Picture { at: Point, picture: Picture },
}

/// A block of opaque or transparent pixels.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// RGBA, rows from the top, not premultiplied.
    pub(crate) pixels: Vec<u8>,
}

impl Picture {
    /// Pixels per unit of the page; equal to the scale of a PNG, so pictures are never resampled.
    pub(crate) const SCALE: u32 = 2;

    /// A picture that covers `width` by `height` units; `colour` is asked at every pixel centre in units.
    pub(crate) fn render(
        width: f64,
        height: f64,
        mut colour: impl FnMut(f64, f64) -> Option<Colour>,
    ) -> Self {
        let scale = f64::from(Self::SCALE);
        let (columns, rows) = ((width * scale).max(1.0) as u32, (height * scale).max(1.0) as u32);
        let mut pixels = Vec::with_capacity(columns as usize * rows as usize * 4);
        for row in 0..rows {
            for column in 0..columns {
                let (x, y) = ((f64::from(column) + 0.5) / scale, (f64::from(row) + 0.5) / scale);
                match colour(x, y) {
                    Some(c) => {
                        pixels.extend_from_slice(&c.rgb);
                        pixels.push((c.alpha * 255.0).round() as u8);
                    }
                    None => pixels.extend_from_slice(&[0; 4]),
                }
            }
        }
        Self { width: columns, height: rows, pixels }
    }
}

/// Marks on a page, drawn in order.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) marks: Vec<Mark>,
}

impl Scene {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, marks: Vec::new() }
    }

    /// A filled rectangle from one corner to the opposite one.
    pub(crate) fn rectangle(&mut self, from: Point, to: Point, colour: Colour) {
        self.area(vec![rectangle(from, to)], colour);
    }

    pub(crate) fn area(&mut self, rings: Vec<Vec<Point>>, colour: Colour) {
        self.marks.push(Mark::Area { rings, colour });
    }

    pub(crate) fn lines(&mut self, lines: Vec<Vec<Point>>, width: f64, colour: Colour) {
        self.marks.push(Mark::Lines { lines, width, colour, dashed: false });
    }

    pub(crate) fn dashed(&mut self, from: Point, to: Point, width: f64, colour: Colour) {
        self.marks.push(Mark::Lines { lines: vec![vec![from, to]], width, colour, dashed: true });
    }

    pub(crate) fn dots(&mut self, centres: Vec<Point>, radius: f64, colour: Colour) {
        self.marks.push(Mark::Dots { centres, radius, colour });
    }

    pub(crate) fn text(&mut self, at: Point, text: impl Into<String>, style: TextStyle) {
        self.marks.push(Mark::Text { at, text: text.into(), style });
    }

    /// Characters of texts that would be drawn as boxes, each once.
    pub(crate) fn characters_without_shape(&self) -> Vec<char> {
        let texts = self.marks.iter().filter_map(|mark| match mark {
            Mark::Text { text, style, .. } => Some((text, style.weight)),
            _ => None,
        });
        let mut found: Vec<char> = Vec::new();
        for (c, weight) in texts.flat_map(|(text, weight)| text.chars().map(move |c| (c, weight))) {
            if !font::has_shape(c, weight) && !found.contains(&c) {
                found.push(c);
            }
        }
        found
    }

    pub(crate) fn picture(&mut self, at: Point, picture: Picture) {
        self.marks.push(Mark::Picture { at, picture });
    }

    /// Draws another scene with its upper left corner at `offset`.
    pub(crate) fn place(&mut self, other: &Scene, offset: Point) {
        let moved = |p: &Point| [p[0] + offset[0], p[1] + offset[1]];
        let moved_all = |lines: &[Vec<Point>]| -> Vec<Vec<Point>> {
            lines.iter().map(|line| line.iter().map(moved).collect()).collect()
        };
        self.marks.extend(other.marks.iter().map(|mark| match mark {
            Mark::Area { rings, colour } => Mark::Area { rings: moved_all(rings), colour: *colour },
            Mark::Lines { lines, width, colour, dashed } => Mark::Lines {
                lines: moved_all(lines),
                width: *width,
                colour: *colour,
                dashed: *dashed,
            },
            Mark::Dots { centres, radius, colour } => Mark::Dots {
                centres: centres.iter().map(moved).collect(),
                radius: *radius,
                colour: *colour,
            },
            Mark::Text { at, text, style } => {
                Mark::Text { at: moved(at), text: text.clone(), style: *style }
            }
            Mark::Picture { at, picture } => {
                Mark::Picture { at: moved(at), picture: picture.clone() }
            }
        }));
    }
}

/// The ring of a rectangle.
pub(crate) fn rectangle(from: Point, to: Point) -> Vec<Point> {
    vec![from, [to[0], from[1]], to, [from[0], to[1]]]
}
