//! A scene as pixels, and pixels as PNG.

use tiny_skia::{
    FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, PixmapPaint, PremultipliedColorU8,
    Stroke, StrokeDash, Transform,
};
use ttf_parser::OutlineBuilder;

use crate::colour::{Colour, PAPER};
use crate::error::PlotError;
use crate::font;
use crate::scene::{Anchor, Mark, Picture, Point, Scene, TextStyle};

/// Largest side of a PNG in pixels: 600 MB of memory, and more than any viewer shows.
const SIDE_LIMIT: f64 = 12_000.0;
/// Dots per metre of a page at 96 units per inch, drawn at twice that.
const DOTS_PER_METRE: u32 = 7559;

/// Draws the scene at twice its size and encodes it.
pub(crate) fn write(scene: &Scene) -> Result<Vec<u8>, PlotError> {
    let (width, height, rgb) = pixels(scene)?;
    encode(width, height, png::ColorType::Rgb, &rgb)
}

/// Draws scenes of one size at twice their size and encodes them as an animation that repeats.
pub(crate) fn write_film(
    scenes: impl Iterator<Item = Result<Scene, PlotError>>,
    frames: usize,
    thousandths: u16,
) -> Result<Vec<u8>, PlotError> {
    let mut scenes = scenes.peekable();
    let first = match scenes.peek() {
        Some(Ok(scene)) => pixels(scene)?,
        Some(Err(_)) | None => {
            return match scenes.next() {
                Some(Err(error)) => Err(error),
                _ => Err(PlotError::Limit("expected a film of a picture at least".into())),
            };
        }
    };
    let size = [first.0, first.1];
    let of_one_size = |(wide, high, rgb): (u32, u32, Vec<u8>)| match [wide, high] == size {
        true => Ok(rgb),
        false => Err(PlotError::Shape("expected pictures of one size in a film".into())),
    };
    let pictures = scenes.map(|scene| of_one_size(pixels(&scene?)?));
    animate((size, png::ColorType::Rgb), (frames, thousandths), pictures)
}

/// Encodes so many pictures of one size as an animation that repeats, each shown for so many thousandths of a second.
pub(crate) fn animate<P: AsRef<[u8]>>(
    ([width, height], colour): ([u32; 2], png::ColorType),
    (frames, thousandths): (usize, u16),
    pictures: impl Iterator<Item = Result<P, PlotError>>,
) -> Result<Vec<u8>, PlotError> {
    let frames = u32::try_from(frames)
        .map_err(|_| PlotError::Limit(format!("a film of {frames} pictures is too long")))?;
    let mut out = Vec::new();
    let mut encoder = header(&mut out, width, height, colour);
    encoder.set_animated(frames, 0).map_err(failed)?;
    encoder.set_frame_delay(thousandths, 1000).map_err(failed)?;
    let mut writer = encoder.write_header().map_err(failed)?;
    for picture in pictures {
        writer.write_image_data(picture?.as_ref()).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(out)
}

/// A scene at twice its size: width, height, and the colours of its pixels.
fn pixels(scene: &Scene) -> Result<(u32, u32, Vec<u8>), PlotError> {
    let scale = f64::from(Picture::SCALE);
    let (width, height) = ((scene.width * scale).round(), (scene.height * scale).round());
    if !(1.0..=SIDE_LIMIT).contains(&width) || !(1.0..=SIDE_LIMIT).contains(&height) {
        return Err(PlotError::Limit(format!(
            "expected a picture of at most {SIDE_LIMIT} pixels a side, found {width} by {height} \
             (draw fewer columns or save as .svg)"
        )));
    }
    let mut pixmap = Pixmap::new(width as u32, height as u32)
        .ok_or_else(|| PlotError::Encode(format!("no canvas of {width} by {height} pixels")))?;
    pixmap.fill(skia_colour(PAPER));
    for mark in &scene.marks {
        draw_mark(&mut pixmap, mark);
    }
    let rgb = pixmap.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    Ok((width as u32, height as u32, rgb))
}

/// A picture as a PNG, to be embedded in an SVG.
pub(crate) fn encode_picture(picture: &Picture) -> Vec<u8> {
    encode(picture.width, picture.height, png::ColorType::Rgba, &picture.pixels)
        .expect("a picture has at least one pixel and as many bytes as its size says")
}

/// Pixels of bytes as a PNG.
pub(crate) fn encode(
    width: u32,
    height: u32,
    colour: png::ColorType,
    bytes: &[u8],
) -> Result<Vec<u8>, PlotError> {
    let mut out = Vec::new();
    let mut writer = header(&mut out, width, height, colour).write_header().map_err(failed)?;
    writer.write_image_data(bytes).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

fn header(
    out: &mut Vec<u8>,
    width: u32,
    height: u32,
    colour: png::ColorType,
) -> png::Encoder<'_, &mut Vec<u8>> {
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: DOTS_PER_METRE,
        yppu: DOTS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    encoder
}

fn failed(error: png::EncodingError) -> PlotError {
    PlotError::Encode(error.to_string())
}

fn draw_mark(pixmap: &mut Pixmap, mark: &Mark) {
    let scale = Transform::from_scale(Picture::SCALE as f32, Picture::SCALE as f32);
    match mark {
        Mark::Area { rings, colour } => {
            if let Some(path) = path(rings, true) {
                pixmap.fill_path(&path, &paint(*colour), FillRule::Winding, scale, None);
            }
        }
        Mark::Lines { lines, width, colour, dashed } => {
            let stroke = Stroke {
                width: *width as f32,
                line_join: LineJoin::Round,
                dash: if *dashed { StrokeDash::new(vec![4.0, 3.0], 0.0) } else { None },
                ..Stroke::default()
            };
            if let Some(path) = path(lines, false) {
                pixmap.stroke_path(&path, &paint(*colour), &stroke, scale, None);
            }
        }
        Mark::Dots { centres, radius, colour } => {
            let mut builder = PathBuilder::new();
            for [x, y] in centres {
                builder.push_circle(*x as f32, *y as f32, *radius as f32);
            }
            if let Some(path) = builder.finish() {
                pixmap.fill_path(&path, &paint(*colour), FillRule::Winding, scale, None);
            }
        }
        Mark::Text { at, text, style } => draw_text(pixmap, *at, text, *style, scale),
        Mark::Picture { at, picture } => draw_picture(pixmap, *at, picture),
    }
}

fn draw_text(pixmap: &mut Pixmap, at: Point, text: &str, style: TextStyle, page: Transform) {
    let face = font::face(style.weight);
    let scale = style.size / f64::from(face.units_per_em());
    let width = font::text_width(text, style.size, style.weight);
    let shift = match style.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * width,
        Anchor::End => -width,
    };
    let mut outline = SkiaOutline { builder: PathBuilder::new(), scale: 0.0, at: (0.0, 0.0) };
    for placed in font::lay_out(text, style.weight).0 {
        outline.at = ((placed.pen * scale + shift) as f32, (-placed.rise * scale) as f32);
        outline.scale = (placed.scale * scale) as f32;
        face.outline_glyph(placed.glyph, &mut outline);
    }
    let Some(path) = outline.builder.finish() else { return };
    let mut transform = page.pre_translate(at[0] as f32, at[1] as f32);
    if style.upright {
        transform = transform.pre_rotate(-90.0);
    }
    pixmap.fill_path(&path, &paint(style.colour), FillRule::Winding, transform, None);
}

fn draw_picture(pixmap: &mut Pixmap, at: Point, picture: &Picture) {
    let Some(mut block) = Pixmap::new(picture.width, picture.height) else { return };
    for (to, from) in block.pixels_mut().iter_mut().zip(picture.pixels.chunks_exact(4)) {
        if let [r, g, b, a] = *from {
            let premultiplied = |c: u8| ((u16::from(c) * u16::from(a) + 127) / 255) as u8;
            let pixel = PremultipliedColorU8::from_rgba(
                premultiplied(r),
                premultiplied(g),
                premultiplied(b),
                a,
            );
            *to = pixel.unwrap_or(PremultipliedColorU8::TRANSPARENT);
        }
    }
    let scale = f64::from(Picture::SCALE);
    let (x, y) = ((at[0] * scale).round() as i32, (at[1] * scale).round() as i32);
    pixmap.draw_pixmap(x, y, block.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
}

fn path(lines: &[Vec<Point>], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for line in lines.iter().filter(|line| line.len() > 1) {
        for (i, [x, y]) in line.iter().enumerate() {
            if i == 0 {
                builder.move_to(*x as f32, *y as f32);
            } else {
                builder.line_to(*x as f32, *y as f32);
            }
        }
        if closed {
            builder.close();
        }
    }
    builder.finish()
}

fn paint(colour: Colour) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(skia_colour(colour));
    paint
}

fn skia_colour(colour: Colour) -> tiny_skia::Color {
    let [r, g, b] = colour.rgb;
    tiny_skia::Color::from_rgba8(r, g, b, (colour.alpha * 255.0).round() as u8)
}

/// Glyph outlines into a path in units of the page; y of a font points up.
struct SkiaOutline {
    builder: PathBuilder,
    scale: f32,
    at: (f32, f32),
}

impl SkiaOutline {
    fn map(&self, x: f32, y: f32) -> (f32, f32) {
        (self.at.0 + x * self.scale, self.at.1 - y * self.scale)
    }
}

impl OutlineBuilder for SkiaOutline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.map(x, y);
        self.builder.move_to(x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.map(x, y);
        self.builder.line_to(x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.map(x1, y1), self.map(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.map(x1, y1), self.map(x2, y2), self.map(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }
    fn close(&mut self) {
        self.builder.close();
    }
}
