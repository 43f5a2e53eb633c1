//! Clips as an array of bytes.

use diffeo::{Error, ImageShape, Result};

use super::clips::{Frame, Frames};
use super::npy_header::{CHANNELS_MAX, NpyHeader, NpyKind};
use crate::source::{Source, Stream};

/// Frames one after another: of an array `(clips, frames, height, width[, channels])`, or of one clip, `(frames, height, width[, channels])`; four axes of which the last is 1 or 3 are the latter.
pub(crate) struct ArrayFrames {
    stream: Stream,
    image: ImageShape,
    clips: u64,
    frames: u64,
    read: u64,
}

/// Whether an array can be nothing but clips: an axis more than images have, none of which is of so few channels.
pub(crate) fn is_of_clips(header: &NpyHeader) -> bool {
    match header.axes[..] {
        [_, second, _, last] => last > CHANNELS_MAX && second > CHANNELS_MAX,
        [_, _, _, _, channels] => channels <= CHANNELS_MAX,
        _ => false,
    }
}

impl ArrayFrames {
    /// The array that starts at this byte of a source.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] for an array of another shape or type.
    pub(crate) fn new(header: &NpyHeader, start: u64, source: Source) -> Result<Self> {
        let [clips, frames, height, width, channels] = match header.axes[..] {
            [frames, height, width] => [1, frames, height, width, 1],
            [frames, height, width, channels @ (1 | 3)] => [1, frames, height, width, channels],
            [clips, frames, height, width] => [clips, frames, height, width, 1],
            [clips, frames, height, width, channels] => [clips, frames, height, width, channels],
            _ => {
                return Err(Error::data(format!(
                    "expected clips of shape (clips, frames, height, width[, channels]), or one of shape (frames, height, width[, channels]), found shape {}",
                    header.shape()
                )));
            }
        };
        if header.kind != NpyKind::Uint(1) || header.fortran {
            return Err(Error::data(
                "expected clips as bytes from 0 to 255 in the order of C; convert with np.ascontiguousarray(x, dtype='uint8')",
            ));
        }
        let size = |axis: u64| usize::try_from(axis).unwrap_or(usize::MAX);
        let image = ImageShape::of_bytes(size(height), size(width), size(channels));
        image.validate().map_err(|e| Error::data(e.message().to_owned()))?;
        let total = clips.checked_mul(frames).filter(|total| *total > 0).ok_or_else(|| {
            Error::data(format!("expected at least one frame, found shape {}", header.shape()))
        })?;
        let bytes = total.checked_mul(image.numbers() as u64).and_then(|n| n.checked_add(start));
        let mut stream = source.stream;
        if let (Some(found), Some(bytes)) = (stream.size(), bytes)
            && found != bytes
        {
            return Err(Error::data(format!(
                "expected {bytes} bytes from the shape of the array, found {found}; the file is damaged"
            )));
        }
        let mut skipped = vec![0; start as usize];
        stream.read_full(&mut skipped)?;
        Ok(Self { stream, image, clips, frames, read: 0 })
    }
}

impl Frames for ArrayFrames {
    fn image(&self) -> ImageShape {
        self.image
    }

    fn count(&self) -> Option<u64> {
        Some(self.clips * self.frames)
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.read == self.clips * self.frames {
            self.stream.expect_end()?;
            return Ok(None);
        }
        let mut bytes = vec![0; self.image.numbers()];
        if self.stream.read_full(&mut bytes)? < bytes.len() {
            return Err(Error::data(
                "the data is shorter than the shape of the array; the file is cut short",
            ));
        }
        let is_first = self.read.is_multiple_of(self.frames);
        let begins = is_first.then(|| (self.read / self.frames + 1).to_string());
        self.read += 1;
        Ok(Some(Frame { bytes, begins }))
    }
}
