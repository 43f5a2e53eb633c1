//! A scene as SVG text. Letters are outlines, so a viewer needs no font.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ttf_parser::{GlyphId, OutlineBuilder};

use crate::colour::{Colour, PAPER};
use crate::font::{self, Weight};
use crate::raster::encode_picture;
use crate::scene::{Anchor, Mark, Picture, Point, Scene, TextStyle};

/// Writes the scene; `title` is read by screen readers and shown by browsers as the name of the picture.
pub(crate) fn write(scene: &Scene, title: &str) -> String {
    let mut body = String::new();
    let mut used = BTreeMap::new();
    for mark in &scene.marks {
        write_mark(&mut body, mark, &mut used);
    }
    let (width, height) = (number(scene.width), number(scene.height));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<defs>\n",
        escape(title)
    );
    for (&(weight, glyph), name) in &used {
        let mut outline = SvgOutline(String::new());
        font::face(weight).outline_glyph(GlyphId(glyph), &mut outline);
        let _ = writeln!(out, "<path id=\"{name}\" d=\"{}\"/>", outline.0.trim_end());
    }
    let paper = hex(PAPER);
    let _ = write!(
        out,
        "</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"{paper}\"/>\n{body}</svg>\n"
    );
    out
}

type UsedGlyphs = BTreeMap<(Weight, u16), String>;

fn write_mark(out: &mut String, mark: &Mark, used: &mut UsedGlyphs) {
    match mark {
        Mark::Area { rings, colour } => {
            let data = path_data(rings, true);
            let _ = writeln!(out, "<path d=\"{data}\"{}/>", paint("fill", *colour));
        }
        Mark::Lines { lines, width, colour, dashed } => {
            let data = path_data(lines, false);
            let dashes = if *dashed { " stroke-dasharray=\"4 3\"" } else { "" };
            let _ = writeln!(
                out,
                "<path d=\"{data}\" fill=\"none\"{} stroke-width=\"{}\" stroke-linejoin=\"round\"{dashes}/>",
                paint("stroke", *colour),
                number(*width)
            );
        }
        Mark::Dots { centres, radius, colour } => {
            // A line of no length with round caps is a disc, in a tenth of the bytes of a circle.
            let data = centres.iter().fold(String::new(), |mut data, [x, y]| {
                let _ = write!(data, "M{} {}h0", number(*x), number(*y));
                data
            });
            let _ = writeln!(
                out,
                "<path d=\"{data}\" fill=\"none\"{} stroke-width=\"{}\" stroke-linecap=\"round\"/>",
                paint("stroke", *colour),
                number(2.0 * radius)
            );
        }
        Mark::Text { at, text, style } => write_text(out, *at, text, *style, used),
        Mark::Picture { at, picture } => {
            let bytes = encode_picture(picture);
            let scale = f64::from(Picture::SCALE);
            let _ = writeln!(
                out,
                "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
                 href=\"data:image/png;base64,{}\"/>",
                number(at[0]),
                number(at[1]),
                number(f64::from(picture.width) / scale),
                number(f64::from(picture.height) / scale),
                base64(&bytes)
            );
        }
    }
}

fn write_text(out: &mut String, at: Point, text: &str, style: TextStyle, used: &mut UsedGlyphs) {
    let scale = style.size / f64::from(font::face(style.weight).units_per_em());
    let shift = match style.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5,
        Anchor::End => -1.0,
    } * font::text_width(text, style.size, style.weight)
        / scale;
    let turn = if style.upright { " rotate(-90)" } else { "" };
    let _ = write!(
        out,
        "<g role=\"text\" aria-label=\"{}\"{} transform=\"translate({} {}){turn} scale({scale:.6} {:.6})\">",
        escape(text),
        paint("fill", style.colour),
        number(at[0]),
        number(at[1]),
        -scale
    );
    for placed in font::lay_out(text, style.weight).0 {
        let name = used.entry((style.weight, placed.glyph.0)).or_insert_with(|| {
            let letter = if style.weight == Weight::Bold { 'b' } else { 'r' };
            format!("{letter}{}", placed.glyph.0)
        });
        let x = number(placed.pen + shift);
        if placed.scale == 1.0 {
            let _ = write!(out, "<use href=\"#{name}\" x=\"{x}\"/>");
        } else {
            let (y, scale) = (number(placed.rise), number(placed.scale));
            let _ = write!(
                out,
                "<use href=\"#{name}\" transform=\"translate({x} {y}) scale({scale})\"/>"
            );
        }
    }
    out.push_str("</g>\n");
}

fn path_data(lines: &[Vec<Point>], closed: bool) -> String {
    let mut data = String::new();
    for line in lines.iter().filter(|line| line.len() > 1) {
        for (i, [x, y]) in line.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            let _ = write!(data, "{command}{} {}", number(*x), number(*y));
        }
        if closed {
            data.push('Z');
        }
    }
    data
}

fn paint(attribute: &str, colour: Colour) -> String {
    let mut out = format!(" {attribute}=\"{}\"", hex(colour));
    if colour.alpha < 1.0 {
        let _ = write!(out, " {attribute}-opacity=\"{}\"", number(f64::from(colour.alpha)));
    }
    out
}

fn hex(colour: Colour) -> String {
    let [r, g, b] = colour.rgb;
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A coordinate with at most two decimals: a hundredth of a unit cannot be seen.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

fn escape(text: &str) -> String {
    font::printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &b| word << 8 | u32::from(b));
        let word = word << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

struct SvgOutline(String);

impl OutlineBuilder for SvgOutline {
    fn move_to(&mut self, x: f32, y: f32) {
        let _ = write!(self.0, "M{x} {y}");
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let _ = write!(self.0, "L{x} {y}");
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let _ = write!(self.0, "Q{x1} {y1} {x} {y}");
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let _ = write!(self.0, "C{x1} {y1} {x2} {y2} {x} {y}");
    }
    fn close(&mut self) {
        self.0.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_rfc_4648() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(1.0), "1");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(1.256), "1.26");
    }
}
