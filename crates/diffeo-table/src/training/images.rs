//! Images as a fit takes them: whole, given some columns beside them or the frames before.

use diffeo::train::TrainingData;
use diffeo::{Column, Error, ImageShape, Result, Schema, quoted};

use super::{Roles, TrainingTable};
use crate::infer::{InferOptions, Wish};
use crate::options::{Input, MemoryLimit, ReadOptions};
use crate::reader::Reader;
use crate::readers::images::LABEL;

/// What `--dequantize` says of images.
const LEARNED: &str = "learned";

impl Roles {
    /// Whether the noise in the cells of an image's levels is to be learned.
    pub fn learns_noise(&self) -> bool {
        self.infer.dequantize == [LEARNED]
    }

    /// The shape of the images, of so many levels where that is said, if the data are such and no columns of them are named.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] for what is about images where there are none; as [`Reader::open`].
    pub fn image_shape(
        &self,
        input: &Input,
        options: &ReadOptions,
        levels: Option<u32>,
    ) -> Result<Option<ImageShape>> {
        let image = match !self.columns.is_empty() || input.is_read_once() {
            true => None,
            false => Reader::open(input, options)?.image(),
        };
        if let Some(image) = image {
            return Ok(Some(ImageShape { levels: levels.unwrap_or(image.levels), ..image }));
        }
        let of_images = [("--levels", levels.is_some()), ("--noise", self.noise.is_some())];
        match of_images.iter().find(|(_, is_given)| *is_given) {
            None => Ok(None),
            Some((name, _)) => {
                Err(input
                    .located(Error::data(format!("{name} is about images, and this is a table"))))
            }
        }
    }

    /// The columns of images, and of what they are conditioned on: of frames of clips those before them.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for what is about columns of tables, and for pixels as context; as [`Roles::read`] for the columns of the context.
    pub fn image_schema(
        &self,
        image: ImageShape,
        input: &Input,
        (options, limit): (&ReadOptions, MemoryLimit),
        warn: &mut dyn FnMut(String),
    ) -> Result<Schema> {
        let infer = &self.infer;
        let of_columns = [
            ("--columns", !self.columns.is_empty()),
            ("--exclude", !self.exclude.is_empty()),
            ("--dequantize", !infer.dequantize.is_empty() && !self.learns_noise()),
            ("--any-subset", infer.any_subset),
            ("--drop-constant", infer.drop_constant),
        ];
        if let Some((name, _)) = of_columns.iter().find(|(_, is_given)| *is_given) {
            return Err(Error::config(format!(
                "{name} is about the columns of a table; images are modelled whole (of them there is --dequantize learned)"
            )));
        }
        if self.noise.is_some() && self.learns_noise() {
            return Err(Error::config(
                "--noise is in place of the noise in the cells of levels, and --dequantize learned lets that be learned; give one of them",
            ));
        }
        let schema = match options.earlier {
            Some(earlier @ 1..) => Schema::frames(image, earlier),
            _ => Schema::images(image).given(self.beside_images(input, options, limit, warn)?),
        };
        match self.noise {
            Some(share) => schema.noised(share),
            None => Ok(schema),
        }
    }

    /// What the columns beside the images hold that the model is given.
    fn beside_images(
        &self,
        input: &Input,
        options: &ReadOptions,
        limit: MemoryLimit,
        warn: &mut dyn FnMut(String),
    ) -> Result<Vec<Column>> {
        let wish = |(name, wish): &Wish| match wish {
            None if name == LABEL => Ok((name.clone(), Some("category".parse()?))),
            wish => Ok((name.clone(), wish.clone())),
        };
        let wishes: Vec<Wish> = self.context.iter().map(wish).collect::<Result<_>>()?;
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        if let Some((name, _)) = wishes.iter().find(|(name, _)| name.starts_with("y0x")) {
            return Err(Error::config(format!(
                "--context: {} is a pixel of the images that are modelled",
                quoted(name)
            )));
        }
        let infer = InferOptions { beside_images: true, ..InferOptions::default() };
        let roles = Self { columns: wishes, infer, ..Self::default() };
        let TrainingTable { schema, notes, .. } = roles.read(input, options, limit, warn)?;
        notes.iter().filter(|note| note.warning).for_each(|note| warn(note.to_string()));
        Ok(schema.columns)
    }
}

/// Refuses images of another size than a model's: among the numbers of larger ones there are all that it asks for.
///
/// # Errors
/// [`diffeo::ErrorKind::Data`] with both sizes.
pub fn expect_image(schema: &Schema, reader: &Reader, input: &Input) -> Result<()> {
    let size = |image: ImageShape| [image.height, image.width, image.channels];
    match (schema.image, reader.image()) {
        (Some(image), Some(found)) if size(image) != size(found) => {
            let text = format!(
                "expected images of {image}, which the model is of, found {found}; scale or crop them"
            );
            Err(input.located(Error::data(text)))
        }
        _ => Ok(()),
    }
}

/// Holds out about a share of whole clips, in equal steps; of a single clip its last frames. Frames of one clip are too much alike to be on both sides.
///
/// Gives the frames to learn from and those held out.
pub fn hold_out_clips(data: &TrainingData, share: f64) -> [TrainingData; 2] {
    let last = |row: usize| data.context.as_ref().and_then(|context| context.row(row).last());
    let mut clip = 0;
    let clips: Vec<usize> = (0..data.x.len())
        .map(|row| {
            clip += usize::from(last(row) == Some(&0.0));
            clip.saturating_sub(1)
        })
        .collect();
    let frames = data.x.len();
    // Of one clip a frame at least, if that leaves some to learn from.
    let last_ones = ((frames as f64 * share) as usize).max(usize::from(frames > 1 && share > 0.0));
    let is_held_out = |row: usize| match clip {
        0 | 1 => frames - row <= last_ones,
        _ => ((clips[row] + 1) as f64 * share).floor() > (clips[row] as f64 * share).floor(),
    };
    let (mut valid, mut train): (Vec<usize>, Vec<usize>) =
        (0..frames).partition(|&row| is_held_out(row));
    if valid.is_empty() {
        // So small a share of so few clips: the last of them.
        (valid, train) = (0..frames).partition(|&row| clips[row] + 1 == clip);
    }
    let part = |rows: &[usize]| TrainingData {
        x: data.x.select(rows),
        context: data.context.as_ref().map(|context| context.select(rows)),
        weights: data.weights.as_ref().map(|all| rows.iter().map(|&row| all[row]).collect()),
    };
    [part(&train), part(&valid)]
}
