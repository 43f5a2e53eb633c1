//! Clips: frames in order, each a row with those that come before it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::UInt32Array;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use diffeo::{Error, ImageShape, Result};

use super::decode::{Decode, Decoded};
use super::images::{batch_of_bytes, texts};
use crate::options::ReadOptions;

/// What the columns of the clips' names and of the frames' numbers are called.
const CLIP: &str = "clip";
const FRAME: &str = "frame";
/// Most frames that a frame is given.
pub const EARLIER_MAX: usize = 64;

/// Where frames come from, clip after clip.
pub(crate) trait Frames: Send {
    /// The shape of all.
    fn image(&self) -> ImageShape;

    /// How many there are, where that is known.
    fn count(&self) -> Option<u64> {
        None
    }

    /// Share of them that has been read, where that is known.
    fn progress(&self) -> Option<f64> {
        None
    }

    /// Remarks for the report.
    fn take_notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The next one.
    fn next_frame(&mut self) -> Result<Option<Frame>>;
}

/// A frame.
pub(crate) struct Frame {
    /// Its numbers.
    pub(crate) bytes: Vec<u8>,
    /// The name of the clip that it begins, if it does.
    pub(crate) begins: Option<String>,
}

/// Reads clips: rows as [`diffeo::Schema::frames`] has them, then the clip and the number of the frame in it.
pub(crate) struct ClipReader {
    frames: Box<dyn Frames>,
    image: ImageShape,
    earlier: usize,
    schema: SchemaRef,
    keep: Vec<usize>,
    rows_per_chunk: usize,
    clip: String,
    /// How many frames of the clip have been read, and the last of them, the newest first.
    read: usize,
    before: VecDeque<Vec<u8>>,
}

impl ClipReader {
    /// Reads frames, each with so many before it.
    pub(crate) fn new(frames: Box<dyn Frames>, options: &ReadOptions) -> Result<Self> {
        let (image, earlier) = (frames.image(), options.earlier.unwrap_or(0));
        if earlier > EARLIER_MAX {
            return Err(Error::config(format!(
                "a frame is given at most {EARLIER_MAX} before it, not {earlier}"
            )));
        }
        let columns = diffeo::Schema::frames(image, earlier);
        let numbers = columns.columns.iter().chain(&columns.context);
        let field = |name: &str, kind| Field::new(name, kind, false);
        let mut fields: Vec<Field> =
            numbers.map(|column| field(&column.name, DataType::UInt8)).collect();
        let width = fields.len();
        fields.extend([field(CLIP, DataType::Utf8), field(FRAME, DataType::UInt32)]);
        Ok(Self {
            frames,
            image,
            earlier,
            keep: (0..fields.len()).collect(),
            schema: Arc::new(Schema::new(fields)),
            rows_per_chunk: options.rows_per_chunk(width),
            clip: String::new(),
            read: 0,
            before: VecDeque::new(),
        })
    }

    /// Numbers of a row.
    fn width(&self) -> usize {
        let numbers = self.image.numbers();
        numbers + self.earlier * numbers + usize::from(self.earlier > 0)
    }

    /// Appends the row of a frame.
    fn append(&mut self, frame: Frame, rows: &mut Vec<u8>) {
        if let Some(clip) = frame.begins {
            (self.clip, self.read) = (clip, 0);
            self.before.clear();
        }
        self.read += 1;
        rows.extend_from_slice(&frame.bytes);
        if self.earlier == 0 {
            return;
        }
        let channels = self.image.channels;
        for pixel in 0..frame.bytes.len() / channels {
            let of = |before: &Vec<u8>| before[pixel * channels..(pixel + 1) * channels].to_vec();
            self.before.iter().for_each(|before| rows.extend(of(before)));
            let absent = self.earlier - self.before.len();
            rows.extend(std::iter::repeat_n(0, absent * channels));
        }
        rows.push(self.before.len() as u8);
        self.before.truncate(self.earlier - 1);
        self.before.push_front(frame.bytes);
    }
}

impl Decode for ClipReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn image(&self) -> Option<ImageShape> {
        Some(self.image)
    }

    fn rows_hint(&self) -> Option<u64> {
        self.frames.count()
    }

    fn progress(&self) -> Option<f64> {
        self.frames.progress()
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        let schema: Schema = self.schema.project(keep).map_err(|e| Error::data(e.to_string()))?;
        self.schema = Arc::new(schema);
        self.keep = keep.iter().filter_map(|&i| self.keep.get(i).copied()).collect();
        Ok(())
    }

    fn take_notes(&mut self) -> Vec<String> {
        self.frames.take_notes()
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let (mut rows, mut clips, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        while clips.len() < self.rows_per_chunk {
            let Some(frame) = self.frames.next_frame()? else { break };
            self.append(frame, &mut rows);
            clips.push(self.clip.clone());
            numbers.push(u32::try_from(self.read).unwrap_or(u32::MAX));
        }
        if clips.is_empty() {
            return Ok(None);
        }
        let beside = [texts(clips), Arc::new(UInt32Array::from(numbers)) as _];
        let bytes = (&*rows, self.width());
        let batch = batch_of_bytes(self.schema.clone(), bytes, &beside, &self.keep)?;
        Ok(Some(Decoded { batch, lines: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt8Type;

    /// Two clips of two pixels of two channels: three frames and one.
    struct Few(usize);

    impl Frames for Few {
        fn image(&self) -> ImageShape {
            ImageShape::of_bytes(1, 2, 2)
        }

        fn next_frame(&mut self) -> Result<Option<Frame>> {
            self.0 += 1;
            let begins = match self.0 {
                1 => Some("a".to_owned()),
                4 => Some("b".to_owned()),
                _ => None,
            };
            let first = 10 * self.0 as u8;
            let bytes = (first..first + 4).collect();
            Ok((self.0 <= 4).then_some(Frame { bytes, begins }))
        }
    }

    #[test]
    fn a_row_is_a_frame_and_those_before_it_the_last_first() {
        let options = ReadOptions { earlier: Some(2), ..ReadOptions::default() };
        let mut reader = ClipReader::new(Box::new(Few(0)), &options).unwrap();
        let names: Vec<String> =
            reader.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(
            names[4..9],
            ["given.y0x0c0", "given.y0x0c1", "given.y0x0c2", "given.y0x0c3", "given.y0x1c0"]
        );
        assert_eq!(names[12..], ["earlier", "clip", "frame"]);
        let batch = reader.next_batch().unwrap().unwrap().batch;
        let row = |i: usize| -> Vec<u8> {
            let column = |j: usize| batch.column(j).as_primitive::<UInt8Type>().value(i);
            (0..13).map(column).collect()
        };
        assert_eq!(row(0), [10, 11, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(row(1), [20, 21, 22, 23, 10, 11, 0, 0, 12, 13, 0, 0, 1]);
        assert_eq!(row(2), [30, 31, 32, 33, 20, 21, 10, 11, 22, 23, 12, 13, 2]);
        assert_eq!(row(3), [40, 41, 42, 43, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(batch.column(13).as_string::<i32>().value(3), "b");
        assert!(reader.next_batch().unwrap().is_none());
    }
}
