//! Images in grids, and single ones.

use std::path::Path;

use crate::colour::INK;
use crate::error::PlotError;
use crate::figure::{Figure, write_whole};
use crate::layout::{LABEL_SIZE, MARGIN, draw_title, finish, plural, title_height};
use crate::raster;
use crate::scene::{Picture, Scene, TextStyle};

/// Images of one size, one after another, each line after line from the top, the channels of a pixel side by side: one is grey, three are red, green and blue.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// Lines.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Numbers of a pixel.
    pub channels: usize,
    /// 0 is black, 255 white.
    pub bytes: &'a [u8],
}

/// Some images under a heading.
#[derive(Clone, Debug)]
pub struct ImageGrid<'a> {
    /// What they are; nothing is said if it is empty.
    pub heading: String,
    /// Images in a line of the grid.
    pub across: usize,
    /// The images.
    pub images: Images<'a>,
}

/// Pixels of a PNG between images.
const GAP: usize = 4;
/// Units of the page between grids.
const BETWEEN: f64 = 18.0;
const HEADING: f64 = 18.0;
/// The page is as wide as its grids, but no narrower.
const PAGE_MIN: f64 = 360.0;
/// A pixel of an image is never drawn larger than this many of the figure.
const ZOOM_MAX: usize = 8;

impl Images<'_> {
    fn size(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size().max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Red, green and blue of a pixel.
    pub(crate) fn colour(&self, image: usize, line: usize, pixel: usize) -> [u8; 3] {
        let at = image * self.size() + (line * self.width + pixel) * self.channels;
        match &self.bytes[at..at + self.channels] {
            [grey] => [*grey; 3],
            [red, green] => [*red, *green, 0],
            [red, green, blue, ..] => [*red, *green, *blue],
            [] => [0; 3],
        }
    }
}

impl ImageGrid<'_> {
    fn cell(&self, zoom: usize) -> [usize; 2] {
        [self.images.width * zoom + GAP, self.images.height * zoom + GAP]
    }

    /// The largest whole zoom at which the grid is no wider than so many pixels.
    fn zoom(&self, pixels: f64) -> usize {
        let each = pixels as usize / self.across - GAP.min(pixels as usize / self.across);
        (each / self.images.width).clamp(1, ZOOM_MAX)
    }

    fn render(&self, zoom: usize) -> Picture {
        let ([wide, high], n) = (self.cell(zoom), self.images.len());
        let (width, height) = (wide * self.across - GAP, high * n.div_ceil(self.across) - GAP);
        let mut pixels = vec![0; width * height * 4];
        for image in 0..n {
            let (left, top) = (image % self.across * wide, image / self.across * high);
            for line in 0..self.images.height * zoom {
                for pixel in 0..self.images.width * zoom {
                    let [r, g, b] = self.images.colour(image, line / zoom, pixel / zoom);
                    let at = ((top + line) * width + left + pixel) * 4;
                    pixels[at..at + 4].copy_from_slice(&[r, g, b, u8::MAX]);
                }
            }
        }
        Picture { width: width as u32, height: height as u32, pixels }
    }
}

/// Draws grids of images, so many side by side, on a page of at most this width.
///
/// # Errors
/// [`PlotError::Limit`] if a grid has no image, or images without pixels.
pub fn draw_images(
    grids: &[ImageGrid<'_>],
    title: &str,
    (width, beside): (f64, usize),
) -> Result<Figure, PlotError> {
    let is_sound = |grid: &ImageGrid<'_>| !grid.images.is_empty() && grid.across > 0;
    if grids.is_empty() || !grids.iter().all(is_sound) {
        return Err(PlotError::Limit("expected images in every grid".into()));
    }
    let beside = beside.clamp(1, grids.len());
    let room = (width - 2.0 * MARGIN - BETWEEN * (beside - 1) as f64) / beside as f64;
    let scale = f64::from(Picture::SCALE);
    let mut scene = Scene::new(width, 0.0);
    draw_title(&mut scene, title);
    let (mut top, mut right) = (MARGIN + title_height(title), PAGE_MIN.min(width));
    for line in grids.chunks(beside) {
        let is_headed = line.iter().any(|grid| !grid.heading.is_empty());
        let below = top + if is_headed { HEADING } else { 0.0 };
        let (mut bottom, mut left) = (below, MARGIN);
        for grid in line {
            let at = [left, below - 6.0];
            scene.text(at, grid.heading.clone(), TextStyle::new(LABEL_SIZE, INK));
            let picture = grid.render(grid.zoom(room * scale));
            bottom = bottom.max(below + f64::from(picture.height) / scale);
            right = right.max(left + f64::from(picture.width) / scale + MARGIN);
            // Large images take more than their share of the page.
            let wide = room.max(f64::from(picture.width) / scale);
            scene.picture([left, below], picture);
            left += wide + BETWEEN;
        }
        top = bottom + BETWEEN;
    }
    (scene.width, scene.height) = (right.ceil(), top - BETWEEN + MARGIN);
    let shown: usize = grids.iter().map(|grid| grid.images.len()).sum();
    Ok(finish(scene, title, &plural(shown, "image"), vec![]))
}

/// Writes the first image as a PNG of its own size. The file appears complete or not at all.
///
/// # Errors
/// [`PlotError::Limit`] if there is none, [`PlotError::Io`] if it cannot be written.
pub fn save_image(images: &Images<'_>, path: &Path) -> Result<(), PlotError> {
    if images.is_empty() {
        return Err(PlotError::Limit("expected an image".into()));
    }
    let places = (0..images.height).flat_map(|line| (0..images.width).map(move |x| (line, x)));
    let (colour, bytes) = match images.channels {
        1 => (png::ColorType::Grayscale, images.bytes[..images.size()].to_vec()),
        _ => {
            let bytes = places.flat_map(|(line, x)| images.colour(0, line, x)).collect();
            (png::ColorType::Rgb, bytes)
        }
    };
    let (width, height) = (images.width as u32, images.height as u32);
    write_whole(path, &raster::encode(width, height, colour, &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_where_they_belong_at_a_whole_zoom() {
        let bytes: Vec<u8> = vec![0, 255, 10, 20, 5, 6, 7, 8];
        let images = Images { height: 2, width: 2, channels: 1, bytes: &bytes };
        assert_eq!(images.len(), 2);
        let grid = ImageGrid { heading: "a".into(), across: 2, images };
        assert_eq!(grid.zoom(100.0), 8);
        let picture = grid.render(3);
        assert_eq!((picture.width, picture.height), (6 + 4 + 6, 6));
        let pixel = |x: usize, y: usize| picture.pixels[(y * 16 + x) * 4];
        assert_eq!([pixel(0, 0), pixel(3, 2), pixel(2, 3), pixel(15, 5)], [0, 255, 10, 8]);
        assert_eq!(picture.pixels[7 * 4 + 3], 0, "nothing between images");
        assert!(draw_images(&[grid], "t", (300.0, 1)).is_ok());
    }

    #[test]
    fn grids_of_large_images_stand_side_by_side() {
        let bytes = vec![200; 4 * 100 * 100];
        let images = Images { height: 100, width: 100, channels: 1, bytes: &bytes };
        let grid = ImageGrid { heading: String::new(), across: 4, images };
        let wide = f64::from(grid.render(1).width) / f64::from(Picture::SCALE);
        let page = draw_images(&[grid.clone(), grid], "", (300.0, 2)).unwrap();
        assert!(page.width() >= 2.0 * wide + BETWEEN, "{} {wide}", page.width());
    }

    #[test]
    fn no_images_are_refused() {
        let images = Images { height: 2, width: 2, channels: 1, bytes: &[] };
        let grid = ImageGrid { heading: String::new(), across: 2, images };
        assert!(draw_images(&[grid], "", (300.0, 1)).is_err());
        assert!(save_image(&images, Path::new("none.png")).is_err());
    }
}
