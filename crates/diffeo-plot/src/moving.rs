//! Images one after another, as a GIF or APNG file.

use std::path::Path;

use crate::error::PlotError;
use crate::figure::write_whole;
use crate::images::Images;
use crate::raster::animate;

/// Pixels between clips side by side.
const GAP: usize = 1;
/// Of a gap.
const GREY: u8 = 128;
/// How hard the GIF encoder looks for 256 colours, from 1 to 30; the default of its documentation.
const SPEED: i32 = 10;

/// Frames as they are written: one is grey, three are red, green and blue.
struct Frames {
    width: usize,
    height: usize,
    channels: usize,
    each: Vec<Vec<u8>>,
}

/// Writes clips of equal length as one file, `.gif` or an animated `.png` or `.apng`, that repeats: side by side in a square if there are several, each frame for `thousandths` of a second.
///
/// The numbers of a single clip are those of its images; of a GIF in colour, those of the 256 colours that are nearest.
///
/// # Errors
/// [`PlotError::Format`] for another extension, [`PlotError::Limit`] for clips of other lengths or sizes, or without frames, [`PlotError::Io`] if it cannot be written.
pub fn save_clips(clips: &[Images<'_>], thousandths: u16, path: &Path) -> Result<(), PlotError> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let frames = Frames::side_by_side(clips)?;
    let bytes = match extension.as_deref() {
        Some("gif") => frames.gif(thousandths)?,
        Some("png" | "apng") => frames.apng(thousandths)?,
        _ => return Err(PlotError::Format(path.to_path_buf())),
    };
    write_whole(path, &bytes)
}

impl Frames {
    fn side_by_side(clips: &[Images<'_>]) -> Result<Self, PlotError> {
        let shape = |clip: &Images<'_>| (clip.len(), clip.height, clip.width, clip.channels);
        let Some(first) = clips.first().filter(|clip| !clip.is_empty()) else {
            return Err(PlotError::Limit("expected clips of at least one frame".into()));
        };
        if clips.iter().any(|clip| shape(clip) != shape(first)) {
            return Err(PlotError::Limit("expected clips of one length and size".into()));
        }
        let across = (clips.len() as f64).sqrt().ceil() as usize;
        let (wide, high) = (first.width + GAP, first.height + GAP);
        let width = across * wide - GAP;
        let height = clips.len().div_ceil(across) * high - GAP;
        let channels = if first.channels == 1 { 1 } else { 3 };
        let each = (0..first.len()).map(|frame| {
            let mut pixels = vec![GREY; width * height * channels];
            for (i, clip) in clips.iter().enumerate() {
                let (left, top) = (i % across * wide, i / across * high);
                for (line, pixel) in
                    (0..clip.height).flat_map(|l| (0..clip.width).map(move |p| (l, p)))
                {
                    let at = ((top + line) * width + left + pixel) * channels;
                    let colour = clip.colour(frame, line, pixel);
                    pixels[at..at + channels].copy_from_slice(&colour[..channels]);
                }
            }
            pixels
        });
        let each = each.collect();
        Ok(Self { width, height, channels, each })
    }

    fn apng(&self, thousandths: u16) -> Result<Vec<u8>, PlotError> {
        let colour =
            if self.channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb };
        let size = [self.width, self.height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        let frames = self.each.iter().map(Ok);
        animate((size, colour), (self.each.len(), thousandths), frames)
    }

    fn gif(&self, thousandths: u16) -> Result<Vec<u8>, PlotError> {
        let failed = |e: gif::EncodingError| PlotError::Encode(e.to_string());
        let side = |side: usize| {
            u16::try_from(side).map_err(|_| {
                PlotError::Limit(format!("a GIF of {side} pixels a side is too large"))
            })
        };
        let (width, height) = (side(self.width)?, side(self.height)?);
        let greys: Vec<u8> = (0..=u8::MAX).flat_map(|grey| [grey; 3]).collect();
        let palette = if self.channels == 1 { &*greys } else { &[] };
        let mut out = Vec::new();
        let mut encoder = gif::Encoder::new(&mut out, width, height, palette).map_err(failed)?;
        encoder.set_repeat(gif::Repeat::Infinite).map_err(failed)?;
        for pixels in &self.each {
            let mut frame = match self.channels {
                1 => gif::Frame { width, height, buffer: pixels.into(), ..gif::Frame::default() },
                _ => gif::Frame::from_rgb_speed(width, height, pixels, SPEED),
            };
            // Hundredths of a second.
            frame.delay = thousandths.div_ceil(10);
            encoder.write_frame(&frame).map_err(failed)?;
        }
        drop(encoder);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_of_greys_comes_back_from_both_formats_as_it_was() {
        let bytes: Vec<u8> = (0..24).map(|i| (i * 11) as u8).collect();
        let clip = Images { height: 2, width: 3, channels: 1, bytes: &bytes };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.gif");
        save_clips(&[clip], 50, &path).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(std::fs::File::open(&path).unwrap()).unwrap();
        let mut found = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            found.extend(frame.buffer.chunks(4).map(|pixel| pixel[0]));
        }
        assert_eq!(found, bytes);
        let path = folder.path().join("clip.apng");
        save_clips(&[clip], 50, &path).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut found = vec![0; 24];
        for frame in found.chunks_mut(6) {
            reader.next_frame(frame).unwrap();
        }
        assert_eq!(found, bytes);
        assert!(matches!(
            save_clips(&[clip], 50, &folder.path().join("clip.mp4")),
            Err(PlotError::Format(_))
        ));
    }

    #[test]
    fn several_clips_stand_side_by_side() {
        let bytes = [10, 20];
        let clip = Images { height: 1, width: 1, channels: 1, bytes: &bytes };
        let frames = Frames::side_by_side(&[clip; 3]).unwrap();
        assert_eq!((frames.width, frames.height), (3, 3));
        assert_eq!(frames.each[1], [20, 128, 20, 128, 128, 128, 20, 128, 128]);
        let longer = [1, 2, 3];
        let longer = Images { bytes: &longer, ..clip };
        assert!(Frames::side_by_side(&[clip, longer]).is_err());
        assert!(Frames::side_by_side(&[]).is_err());
    }
}
