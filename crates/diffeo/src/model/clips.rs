//! Draws of clips, frame after frame: see [`Schema::frames`].

use super::{Model, SampleOptions};
use crate::columns::Schema;
use crate::error::{Error, Result};
use crate::host::rows::Rows;

impl Schema {
    /// The context of a clip's first frame: nothing is before it.
    pub fn first_context(&self) -> Vec<f64> {
        vec![0.0; self.context.len()]
    }

    /// The context of the frame after this one, given that of this one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if these are no frames of clips, [`crate::ErrorKind::Shape`] for rows of other widths.
    pub fn next_context(&self, frame: &[f64], context: &[f64]) -> Result<Vec<f64>> {
        let (Some(image), earlier @ 1..) = (self.image, self.earlier_frames()) else {
            return Err(Error::config("expected a model of frames of clips, given those before"));
        };
        if (frame.len(), context.len()) != (image.numbers(), self.context.len()) {
            return Err(Error::shape(format!(
                "expected a frame of {} numbers and a context of {}, found {} and {}",
                image.numbers(),
                self.context.len(),
                frame.len(),
                context.len()
            )));
        }
        let (new, kept) = (image.channels, (earlier - 1) * image.channels);
        let mut next = Vec::with_capacity(context.len());
        for (pixel, before) in frame.chunks_exact(new).zip(context.chunks_exact(kept + new)) {
            next.extend_from_slice(pixel);
            next.extend_from_slice(&before[..kept]);
        }
        next.push((context[context.len() - 1] + 1.0).min(earlier as f64));
        Ok(next)
    }
}

/// The rows of random numbers that the clips of a frame have for themselves.
const ROWS_OF_FRAME: u64 = 1 << 32;

/// Clips that go on, one frame of each at a time: without end.
pub struct Continuation<'a> {
    model: &'a Model,
    context: Rows,
    options: SampleOptions,
}

impl Model {
    /// Goes on with clips, given the context of the next frame of each ([`Schema::first_context`], [`Schema::next_context`]). The draw of a frame follows from the seed, its place in the clip and
    /// the place of the clip among these.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a model of anything else than frames of clips.
    pub fn continue_clips(
        &self,
        context: Rows,
        options: SampleOptions,
    ) -> Result<Continuation<'_>> {
        self.check_width(&context, self.schema.context.len())?;
        if self.schema.earlier_frames() == 0 {
            return Err(Error::config("expected a model of frames of clips, given those before"));
        }
        Ok(Continuation { model: self, context, options })
    }
}

impl Continuation<'_> {
    fn draw(&mut self) -> Result<Rows> {
        let (schema, clips) = (&self.model.schema, self.context.len());
        let frames = self.model.sample(clips, Some(&self.context), &self.options)?;
        // Rows of other frames, so that a draw does not depend on how many clips there are.
        self.options.first_row += ROWS_OF_FRAME;
        let next = (0..clips).map(|i| schema.next_context(frames.row(i), self.context.row(i)));
        let next = next.collect::<Result<Vec<_>>>()?.concat();
        self.context = Rows::new(next, self.context.width())?;
        Ok(frames)
    }
}

impl Iterator for Continuation<'_> {
    type Item = Result<Rows>;

    fn next(&mut self) -> Option<Result<Rows>> {
        Some(self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::ImageShape;

    #[test]
    fn the_next_context_has_the_frame_first_and_forgets_the_oldest() {
        let schema = Schema::frames(ImageShape::of_bytes(1, 2, 1), 2);
        let first = schema.first_context();
        let second = schema.next_context(&[1.0, 2.0], &first).unwrap();
        assert_eq!(second, [1.0, 0.0, 2.0, 0.0, 1.0]);
        let third = schema.next_context(&[3.0, 4.0], &second).unwrap();
        assert_eq!(third, [3.0, 1.0, 4.0, 2.0, 2.0]);
        let fourth = schema.next_context(&[5.0, 6.0], &third).unwrap();
        assert_eq!(fourth, [5.0, 3.0, 6.0, 4.0, 2.0]);
        assert!(schema.next_context(&[5.0], &third).is_err());
        let images = Schema::images(ImageShape::of_bytes(1, 2, 1));
        assert!(images.next_context(&[1.0, 2.0], &[]).is_err());
    }
}
