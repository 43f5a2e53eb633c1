//! Images of a model as those of pictures.

use diffeo::{ImageShape, Rows};
use diffeo_plot::Images;

/// The numbers of images from 0 (black) to 255 (white).
pub(super) fn bytes(rows: &Rows, image: &ImageShape) -> Vec<u8> {
    let white = f64::from(image.levels - 1);
    rows.values().iter().map(|v| (v / white * 255.0).round().clamp(0.0, 255.0) as u8).collect()
}

/// Bytes as images.
pub(super) fn of_bytes<'a>(bytes: &'a [u8], image: &ImageShape) -> Images<'a> {
    let ImageShape { height, width, channels, .. } = *image;
    Images { height, width, channels, bytes }
}
