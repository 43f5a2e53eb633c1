//! Text: the embedded font, its measures, and making names from files fit to be drawn.

use std::sync::OnceLock;

use ttf_parser::{Face, GlyphId};

/// The two weights of the embedded font.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Labels.
    Regular,
    /// Titles.
    Bold,
}

/// The parsed face of a weight.
pub(crate) fn face(weight: Weight) -> &'static Face<'static> {
    static REGULAR: OnceLock<Face<'static>> = OnceLock::new();
    static BOLD: OnceLock<Face<'static>> = OnceLock::new();
    let (cell, bytes) = match weight {
        Weight::Regular => (&REGULAR, notosans::REGULAR_TTF),
        Weight::Bold => (&BOLD, notosans::BOLD_TTF),
    };
    cell.get_or_init(|| Face::parse(bytes, 0).expect("the font embedded at build time parses"))
}

/// A glyph with its place on the line, in units of the font.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) glyph: GlyphId,
    /// Distance from the beginning of the text.
    pub(crate) pen: f64,
    /// Height above the baseline.
    pub(crate) rise: f64,
    /// Size relative to the text; below 1 for raised and lowered characters that the font lacks.
    pub(crate) scale: f64,
}

/// The glyphs of a text and its width, both in units of the font.
pub(crate) fn lay_out(text: &str, weight: Weight) -> (Vec<Placed>, f64) {
    let face = face(weight);
    let mut pen = 0.0;
    let placed = text
        .chars()
        .map(|c| {
            let (c, rise, scale) = match (face.glyph_index(c), raised_or_lowered(c)) {
                (None, Some((plain, rise))) => (plain, rise * f64::from(face.units_per_em()), 0.64),
                _ => (c, 0.0, 1.0),
            };
            // Glyph 0 is the empty box that stands for characters without a shape.
            let glyph = face.glyph_index(c).unwrap_or(GlyphId(0));
            let at = Placed { glyph, pen, rise, scale };
            pen += scale * f64::from(face.glyph_hor_advance(glyph).unwrap_or(0));
            at
        })
        .collect();
    (placed, pen)
}

/// Whether a character is drawn as more than an empty box.
pub(crate) fn has_shape(c: char, weight: Weight) -> bool {
    let c = raised_or_lowered(c).map_or(c, |(plain, _)| plain);
    face(weight).glyph_index(c).is_some()
}

/// The plain form of a superscript or subscript and its height above the baseline in ems.
fn raised_or_lowered(c: char) -> Option<(char, f64)> {
    const RAISED: f64 = 0.30;
    const LOWERED: f64 = -0.14;
    match c {
        '⁺' => Some(('+', RAISED)),
        '⁻' => Some(('−', RAISED)),
        '₊' => Some(('+', LOWERED)),
        '₋' => Some(('−', LOWERED)),
        '₀'..='₉' => {
            char::from_digit(u32::from(c) - u32::from('₀'), 10).map(|digit| (digit, LOWERED))
        }
        _ => None,
    }
}

/// Width of a text when drawn at `size`.
pub(crate) fn text_width(text: &str, size: f64, weight: Weight) -> f64 {
    lay_out(text, weight).1 * size / f64::from(face(weight).units_per_em())
}

/// Escapes what XML forbids and what could reorder or hide text: a name from a file is drawn as written.
pub(crate) fn printable(text: &str) -> String {
    /// More than any label can show; bounds the work on a hostile name.
    const LONGEST: usize = 400;
    text.chars().take(LONGEST).fold(String::new(), |mut out, c| {
        let bidirectional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || bidirectional || matches!(c, '\u{fffe}' | '\u{ffff}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    })
}

/// The longest beginning of a text that is at most `width` wide, with an ellipsis when it was cut.
pub(crate) fn fit(text: &str, width: f64, size: f64, weight: Weight) -> String {
    let text = printable(text);
    if text_width(&text, size, weight) <= width {
        return text;
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if text_width(&kept, size, weight) + text_width("…", size, weight) > width {
            kept.pop();
            break;
        }
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// Breaks a text at spaces into lines of at most `width`; a word longer than that is cut.
pub(crate) fn wrap(text: &str, width: f64, size: f64, weight: Weight) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            let longer = format!("{line} {word}");
            if text_width(&longer, size, weight) <= width {
                *line = longer;
                continue;
            }
        }
        lines.push(fit(word, width, size, weight));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn font_has_every_character_that_labels_use() {
        for weight in [Weight::Regular, Weight::Bold] {
            for c in "0123456789−–.,+×⁰¹²³⁴⁵⁶⁷⁸⁹⁻…()[]%≥≤µéßλπж∂∞₀₇₋".chars()
            {
                let (placed, width) = lay_out(&c.to_string(), weight);
                assert!(
                    placed[0].glyph != GlyphId(0) && width > 0.0,
                    "{c} is missing in {weight:?}"
                );
            }
        }
    }

    #[test]
    fn long_names_are_cut_to_their_width() {
        let cut = fit(&"w".repeat(200), 80.0, 11.0, Weight::Regular);
        assert!(cut.ends_with('…') && text_width(&cut, 11.0, Weight::Regular) <= 80.0);
        assert_eq!(fit("age", 80.0, 11.0, Weight::Regular), "age");
    }

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[3\n\u{202e}b"), "a\\u{1b}[3\\u{a}\\u{202e}b");
        assert_eq!(printable(&"x".repeat(1_000_000)).len(), 400);
    }

    #[test]
    fn captions_wrap_at_spaces() {
        let lines = wrap("one two three four five six", 60.0, 10.0, Weight::Regular);
        assert!(lines.len() > 1 && lines.join(" ") == "one two three four five six");
    }
}
