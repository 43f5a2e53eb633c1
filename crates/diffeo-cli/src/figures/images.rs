//! Pictures of models of images.

use diffeo::check::CheckData;
use diffeo::{Error, ImageShape, Model, Result, Rows, SampleOptions};
use diffeo_plot::{Figure, ImageGrid, Images, draw_images};

use super::{Kind, draw_loss, plot_error};

/// Images drawn where no number is asked for.
pub const IMAGES: usize = 64;
/// Most images that are drawn.
pub const IMAGES_MAX: usize = 1024;
/// Images from one to another, and how many such lines.
const STOPS: usize = 10;
const LINES: usize = 8;
/// Images that these lines go from and to.
pub(crate) const ENDS: usize = 2 * LINES;
/// Temperatures of a strip.
const TEMPERATURES: [f64; 7] = [0.0, 0.3, 0.6, 0.8, 0.9, 1.0, 1.2];
/// Frames of a clip that are drawn.
pub const FRAMES: usize = 12;
/// Most frames that others go on from.
const GIVEN_MAX: usize = 8;
/// Clips of the data that are drawn.
pub const CLIPS: usize = 4;
/// Draws that go on with each.
const DRAWS: usize = 2;
/// Width of the page.
const PAGE: f64 = 720.0;

/// What is drawn of a model of images.
pub struct Gallery<'a> {
    /// The model.
    pub model: &'a Model,
    /// The shape of its images.
    pub image: ImageShape,
    /// Images of the data, if there are any.
    pub data: Option<CheckData>,
    /// The first clips of the data, frame after frame, of a model of such.
    pub clips: Vec<Vec<f64>>,
    /// How samples are drawn.
    pub options: SampleOptions,
    /// How many images.
    pub rows: usize,
}

/// The numbers of images from 0 (black) to 255 (white).
pub(crate) fn bytes(rows: &Rows, image: &ImageShape) -> Vec<u8> {
    let white = f64::from(image.levels - 1);
    rows.values().iter().map(|v| (v / white * 255.0).round().clamp(0.0, 255.0) as u8).collect()
}

/// Bytes as images.
pub(crate) fn of_bytes<'a>(bytes: &'a [u8], image: &ImageShape) -> Images<'a> {
    let ImageShape { height, width, channels, .. } = *image;
    Images { height, width, channels, bytes }
}

impl Gallery<'_> {
    /// Draws a picture.
    ///
    /// # Errors
    /// Those of the model; [`diffeo::ErrorKind::Config`] for what needs data.
    pub fn draw(&self, kind: Kind) -> Result<Figure> {
        match kind {
            Kind::Loss => draw_loss(self.model),
            Kind::Interpolation => self.interpolate(),
            Kind::Temperature => self.heat(),
            Kind::Continuation => self.go_on(),
            _ => self.beside(),
        }
    }

    /// The contexts of the first `n` images of the data, again and again.
    fn context(&self, n: usize) -> Result<Option<Rows>> {
        if self.model.schema().context.is_empty() {
            return Ok(None);
        }
        match self.data.as_ref().and_then(|data| data.context.as_ref()) {
            Some(context) if !context.is_empty() => {
                let rows: Vec<usize> = (0..n).map(|i| i % context.len()).collect();
                Ok(Some(context.select(&rows)))
            }
            _ => Err(Error::config(
                "the model is conditional: give images with its context columns as DATA",
            )),
        }
    }

    fn sample(&self, n: usize, temperature: f64) -> Result<Vec<u8>> {
        let options = SampleOptions { temperature, ..self.options.clone() };
        let rows = self.model.sample(n, self.context(n)?.as_ref(), &options)?;
        Ok(bytes(&rows, &self.image))
    }

    /// Samples, beside images of the data if there are any.
    fn beside(&self) -> Result<Figure> {
        let samples = self.sample(self.rows, self.options.temperature)?;
        let across = (self.rows as f64).sqrt().ceil() as usize;
        let grid = |heading: &str, bytes| ImageGrid {
            heading: heading.to_owned(),
            across,
            images: of_bytes(bytes, &self.image),
        };
        let data = self.data.as_ref().map(|data| {
            let n = data.x.len().min(self.rows);
            bytes(&data.x.slice(0..n), &self.image)
        });
        let mut grids: Vec<ImageGrid<'_>> = data.iter().map(|data| grid("data", data)).collect();
        grids.push(grid("samples", &samples));
        let beside = grids.len();
        draw_images(&grids, "", (PAGE, beside)).map_err(plot_error)
    }

    /// From one image of the data to the next, along the circle through their places in the base.
    fn interpolate(&self) -> Result<Figure> {
        let Some(data) = self.data.as_ref().filter(|data| data.x.len() > 1) else {
            return Err(Error::config(
                "--kind interpolation: expected at least two images of DATA",
            ));
        };
        let (model, threads) = (self.model, self.options.threads);
        let lines = LINES.min(data.x.len() / 2);
        let x = data.x.slice(0..2 * lines);
        let context = self.context(2 * lines)?;
        let (z, _) = model.to_base(&x, context.as_ref(), threads)?;
        let mut way = Vec::with_capacity(lines * STOPS * z.width());
        let mut given = Vec::new();
        for line in 0..lines {
            let (from, to) = (z.row(2 * line), z.row(2 * line + 1));
            for stop in 0..STOPS {
                way.extend(between(from, to, stop as f64 / (STOPS - 1) as f64));
                // The context of the nearer end.
                given.push(2 * line + usize::from(2 * stop >= STOPS));
            }
        }
        let context = context.map(|context| context.select(&given));
        let (rows, _) = model.to_data(&Rows::new(way, z.width())?, context.as_ref(), threads)?;
        let found = bytes(&model.settled(rows), &self.image);
        let images = of_bytes(&found, &self.image);
        let grid = ImageGrid { heading: String::new(), across: STOPS, images };
        let title = "From one image to another, through the base";
        draw_images(&[grid], title, (PAGE, 1)).map_err(plot_error)
    }

    /// Clips of the data, and below each how two draws go on from its first frames; or clips that begin.
    fn go_on(&self) -> Result<Figure> {
        let schema = self.model.schema();
        let (earlier, size) = (schema.earlier_frames(), self.image.numbers());
        if self.clips.is_empty() {
            let begun = vec![schema.first_context(); LINES];
            let drawn = self.drawn(begun, FRAMES, 0)?.concat();
            return self.strips(&[("clips that begin".to_owned(), drawn)]);
        }
        let mut strips = Vec::new();
        for (i, clip) in self.clips.iter().enumerate() {
            let known = clip.len() / size;
            let (mut context, given) = (schema.first_context(), earlier.min(known).min(GIVEN_MAX));
            for frame in clip.chunks_exact(size).take(given) {
                context = schema.next_context(frame, &context)?;
            }
            let mut lines = clip.clone();
            // Where a clip has ended is white.
            lines.resize(FRAMES * size, f64::from(self.image.levels - 1));
            let first = (i * DRAWS) as u64;
            let frames = FRAMES.saturating_sub(given);
            for drawn in self.drawn(vec![context; DRAWS], frames, first)? {
                lines.extend_from_slice(&clip[..given * size]);
                lines.extend(drawn);
            }
            strips
                .push((format!("clip {}, and two that go on after {given} frames", i + 1), lines));
        }
        self.strips(&strips)
    }

    /// Frames of clips, of one after another, as draws from this row of the seed on.
    fn drawn(
        &self,
        contexts: Vec<Vec<f64>>,
        frames: usize,
        first_row: u64,
    ) -> Result<Vec<Vec<f64>>> {
        let mut clips = vec![Vec::new(); contexts.len()];
        let context = Rows::new(contexts.concat(), self.model.schema().context.len())?;
        let options = SampleOptions { first_row, ..self.options.clone() };
        let continuation = self.model.continue_clips(context, options)?;
        for drawn in continuation.take(frames) {
            let drawn = drawn?;
            clips.iter_mut().enumerate().for_each(|(i, clip)| clip.extend_from_slice(drawn.row(i)));
        }
        Ok(clips)
    }

    fn strips(&self, strips: &[(String, Vec<f64>)]) -> Result<Figure> {
        let all = strips.iter().map(|(heading, frames)| {
            Ok((heading, bytes(&Rows::new(frames.clone(), self.image.numbers())?, &self.image)))
        });
        let all = all.collect::<Result<Vec<_>>>()?;
        let grids: Vec<ImageGrid<'_>> = all
            .iter()
            .map(|(heading, bytes)| ImageGrid {
                heading: (*heading).clone(),
                across: FRAMES,
                images: of_bytes(bytes, &self.image),
            })
            .collect();
        draw_images(&grids, "", (PAGE, 1)).map_err(plot_error)
    }

    /// The same draws at several temperatures.
    fn heat(&self) -> Result<Figure> {
        let strips = TEMPERATURES.iter().map(|t| self.sample(STOPS, *t));
        let strips = strips.collect::<Result<Vec<_>>>()?;
        let mut grids = Vec::new();
        for (t, bytes) in TEMPERATURES.iter().zip(&strips) {
            let heading = format!("temperature {t}");
            let images = of_bytes(bytes, &self.image);
            grids.push(ImageGrid { heading, across: STOPS, images });
        }
        draw_images(&grids, "", (PAGE, 1)).map_err(plot_error)
    }
}

/// A point between two of a standard normal, at the share `t` of the way, as far from the middle as points of a normal are (spherical interpolation).
fn between(a: &[f64], b: &[f64], t: f64) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE);
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let [p, q] = match angle.sin() {
        sin if sin > 1e-6 => [((1.0 - t) * angle).sin() / sin, (t * angle).sin() / sin],
        _ => [1.0 - t, t],
    };
    a.iter().zip(b).map(|(a, b)| p * a + q * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_two_points_keeps_its_distance_from_the_middle() {
        let (a, b) = ([3.0, 0.0], [0.0, 3.0]);
        assert_eq!(between(&a, &b, 0.0), a);
        let middle = between(&a, &b, 0.5);
        assert!((middle[0].hypot(middle[1]) - 3.0).abs() < 1e-12, "{middle:?}");
        assert_eq!(between(&a, &a, 0.5), a);
    }
}
