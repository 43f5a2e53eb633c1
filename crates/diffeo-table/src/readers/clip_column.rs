//! Clips in memory: a column of lists of frames, which are lines of pixels, perhaps of channels.

use diffeo::{Error, ImageShape, Result, quoted};

use super::batches::Batches;
use super::clips::{Frame, Frames};
use super::image_column::{flatten, list_at};

/// Frames of one clip after another.
pub(crate) struct ColumnFrames {
    table: Batches,
    name: String,
    image: ImageShape,
    /// The batch and the row of the next clip, and how many came before.
    next: (usize, usize),
    clips: u64,
    /// The numbers of a clip that have not been given out, from this one on.
    clip: (Vec<u8>, usize),
}

impl ColumnFrames {
    /// The clips of a table of one column.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if it has others, no clip, or something else in it.
    pub(crate) fn new(table: Batches) -> Result<Self> {
        let expected = |found: String| {
            Error::data(format!(
                "expected clips, an array (clips, frames, height, width[, channels]) of bytes, found {found}"
            ))
        };
        let name = match table.schema().fields().as_ref() {
            [only] => only.name().clone(),
            others => return Err(expected(format!("{} columns", others.len()))),
        };
        let image = ImageShape::of_bytes(1, 1, 1);
        let clip = (Vec::new(), 0);
        let mut frames = Self { table, name, image, next: (0, 0), clips: 0, clip };
        let Some((image, _)) = frames.read_clip()? else { return Err(expected("none".into())) };
        (frames.image, frames.next, frames.clips) = (image, (0, 0), 0);
        Ok(frames)
    }

    /// The shape of the frames of the next clip, and their numbers.
    fn read_clip(&mut self) -> Result<Option<(ImageShape, Vec<u8>)>> {
        while let Some(batch) = self.table.batches().get(self.next.0) {
            if self.next.1 == batch.num_rows() {
                self.next = (self.next.0 + 1, 0);
                continue;
            }
            let (column, row) = (batch.column(0), self.next.1);
            (self.next.1, self.clips) = (row + 1, self.clips + 1);
            let bad = |text: String| {
                Error::data(format!("column {}, row {}: {text}", quoted(&self.name), self.clips))
            };
            let list = list_at(column, row).ok_or_else(|| bad("expected a clip".into()))?;
            let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
            flatten(&list, 0, &mut lengths, &mut bytes).map_err(bad)?;
            let image = match lengths[..] {
                [_, height, width] => ImageShape::of_bytes(height, width, 1),
                [_, height, width, channels @ (1 | 3)] => {
                    ImageShape::of_bytes(height, width, channels)
                }
                _ => {
                    return Err(bad(format!(
                        "expected frames of lines of pixels, perhaps of channels, found lengths {lengths:?}"
                    )));
                }
            };
            image.validate().map_err(|e| bad(e.message().to_owned()))?;
            if bytes.is_empty() {
                return Err(bad("expected at least one frame".into()));
            }
            return Ok(Some((image, bytes)));
        }
        Ok(None)
    }
}

impl Frames for ColumnFrames {
    fn image(&self) -> ImageShape {
        self.image
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let mut begins = None;
        if self.clip.1 == self.clip.0.len() {
            let Some((image, bytes)) = self.read_clip()? else { return Ok(None) };
            if image != self.image {
                return Err(Error::data(format!(
                    "clip {}: expected frames of {}, as in the first, found {image}",
                    self.clips, self.image
                )));
            }
            begins = Some(self.clips.to_string());
            self.clip = (bytes, 0);
        }
        let (bytes, from) = (&self.clip.0, self.clip.1);
        let to = from + self.image.numbers();
        let frame = Frame { bytes: bytes[from..to].to_vec(), begins };
        self.clip.1 = to;
        Ok(Some(frame))
    }
}
