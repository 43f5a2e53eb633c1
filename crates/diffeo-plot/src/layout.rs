//! What all figures share: the title, the legend, the caption and the grid of small panels.

use crate::clip::Frame;
use crate::colour::{Colour, INK, MUTED};
use crate::figure::Figure;
use crate::font::{self, Weight, text_width};
use crate::scene::{Anchor, Scene, TextStyle};
use crate::ticks::count;

/// Size of titles.
pub(crate) const TITLE_SIZE: f64 = 14.0;
/// Size of axis names and legends.
pub(crate) const LABEL_SIZE: f64 = 11.0;
/// Size of captions.
const CAPTION_SIZE: f64 = 9.5;
/// Empty space around a figure.
pub(crate) const MARGIN: f64 = 18.0;

/// Height that [`draw_title`] takes.
pub(crate) fn title_height(title: &str) -> f64 {
    if title.is_empty() { 0.0 } else { TITLE_SIZE + 14.0 }
}

/// The title at the upper left.
pub(crate) fn draw_title(scene: &mut Scene, title: &str) {
    let room = scene.width - 2.0 * MARGIN;
    let text = font::fit(title, room, TITLE_SIZE, Weight::Bold);
    scene.text([MARGIN, MARGIN + TITLE_SIZE * 0.85], text, TextStyle::new(TITLE_SIZE, INK).bold());
}

/// Puts the caption below everything and closes the figure.
pub(crate) fn finish(mut scene: Scene, title: &str, kind: &str, mut notes: Vec<String>) -> Figure {
    let unknown = scene.characters_without_shape();
    if !unknown.is_empty() {
        notes.push(format!(
            "The font of the picture has no shapes for {}; an SVG shows them where it is looked at.",
            unknown.iter().take(12).collect::<String>()
        ));
    }
    let lines =
        font::wrap(&notes.join(" "), scene.width - 2.0 * MARGIN, CAPTION_SIZE, Weight::Regular);
    let mut y = scene.height - MARGIN + 8.0;
    for line in lines {
        y += CAPTION_SIZE * 1.4;
        scene.text([MARGIN, y], line, TextStyle::new(CAPTION_SIZE, MUTED));
    }
    scene.height = (y + MARGIN).max(scene.height).ceil();
    let title = if title.is_empty() { kind.to_owned() } else { title.to_owned() };
    Figure { scene, title, notes }
}

/// How a thing looks in a legend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Swatch {
    /// A filled area.
    Area(Colour),
    /// A line.
    Line(Colour, f64),
    /// A disc.
    Dot(Colour),
}

/// Width of a legend entry.
pub(crate) fn entry_width(text: &str) -> f64 {
    22.0 + text_width(text, LABEL_SIZE, Weight::Regular)
}

/// One entry of a legend with its middle at `y`.
pub(crate) fn draw_entry(scene: &mut Scene, x: f64, y: f64, swatch: Swatch, text: &str) {
    match swatch {
        Swatch::Area(colour) => scene.rectangle([x, y - 4.5], [x + 14.0, y + 4.5], colour),
        Swatch::Line(colour, width) => {
            scene.lines(vec![vec![[x, y], [x + 14.0, y]]], width, colour);
        }
        Swatch::Dot(colour) => scene.dots(vec![[x + 7.0, y]], 3.0, colour),
    }
    scene.text([x + 20.0, y + 0.36 * LABEL_SIZE], text, TextStyle::new(LABEL_SIZE, INK));
}

/// Entries side by side from `x`, with their middle at `y`.
pub(crate) fn draw_legend_row(scene: &mut Scene, mut x: f64, y: f64, entries: &[(Swatch, String)]) {
    for (swatch, text) in entries {
        draw_entry(scene, x, y, *swatch, text);
        x += entry_width(text) + 16.0;
    }
}

/// Says in the middle of a panel that there is nothing to draw.
pub(crate) fn draw_empty(scene: &mut Scene, frame: &Frame, text: &str) {
    let [x, y] = frame.centre();
    let text = font::fit(text, frame.width - 4.0, LABEL_SIZE, Weight::Regular);
    let style = TextStyle::new(LABEL_SIZE, MUTED).anchored(Anchor::Middle);
    scene.text([x, y + 0.36 * LABEL_SIZE], text, style);
}

/// Small panels in rows: how many across, and where each one lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    pub(crate) across: usize,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) gap: [f64; 2],
}

impl Panels {
    /// Panels on a page of a given width, as near to a calm rectangle as their number allows.
    pub(crate) fn new(n: usize, page: f64, left: f64, top: f64, gap: [f64; 2]) -> Self {
        let across = match n {
            0..=4 => n.max(1),
            5 | 6 | 9 => 3,
            7 | 8 | 10..=12 => 4,
            13..=30 => 5,
            _ => 6,
        };
        let room = page - left - MARGIN - gap[0] * (across - 1) as f64;
        let width = (room / across as f64).min(400.0).floor();
        let height = (width * 0.72).clamp(70.0, 220.0).floor();
        Self { across, width, height, left, top, gap }
    }

    pub(crate) fn frame(&self, index: usize) -> Frame {
        let (row, column) = (index / self.across, index % self.across);
        Frame {
            left: self.left + column as f64 * (self.width + self.gap[0]),
            top: self.top + row as f64 * (self.height + self.gap[1]),
            width: self.width,
            height: self.height,
        }
    }

    /// Where the last row of `n` panels ends.
    pub(crate) fn bottom(&self, n: usize) -> f64 {
        self.frame(n.max(1) - 1).bottom()
    }
}

/// `1 sample`, `2 samples`; nouns here form their plural with an s.
pub(crate) fn plural(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Values of one kind that a figure could not show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Missing {
    pub(crate) skipped: usize,
    pub(crate) outside: usize,
}

/// Sentences about what is not drawn, by kind of value; none if all is drawn.
pub(crate) fn missing_notes(kinds: &[(&str, Missing)]) -> Vec<String> {
    let sentence = |beginning: &str, number: fn(&Missing) -> usize| {
        let parts: Vec<String> = kinds
            .iter()
            .filter(|(_, missing)| number(missing) > 0)
            .map(|(kind, missing)| plural(number(missing), kind))
            .collect();
        (!parts.is_empty()).then(|| format!("{beginning}: {}.", parts.join(", ")))
    };
    let skipped = sentence("Not finite, skipped", |m| m.skipped);
    let outside = sentence("Outside the axes", |m| m.outside);
    skipped.into_iter().chain(outside).collect()
}

/// Says how many of the columns are drawn, if not all.
pub(crate) fn capped_note(drawn: usize, all: usize) -> Option<String> {
    (drawn < all)
        .then(|| format!("The first {} of {} are drawn.", count(drawn), plural(all, "column")))
}
