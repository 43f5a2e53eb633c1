//! A folder of PNG and JPEG files, all of one size; or of folders of such, whose names are the labels. The names of the files are a column, too.

use std::io::{BufRead, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use diffeo::{Error, ErrorKind, ImageShape, Result, quoted};
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::decode::{Decode, Decoded};
use super::images::{FILE, LABEL, batch_of_bytes, schema_of, texts};
use crate::options::ReadOptions;

/// Extensions of the files that are read.
pub(super) const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Most memory that decoding a file may take.
const DECODE_BYTES: u64 = 1 << 28;

/// Reads a folder.
pub(crate) struct FolderReader {
    folder: PathBuf,
    /// Where they are, and their labels.
    files: Vec<(PathBuf, String)>,
    is_labelled: bool,
    image: ImageShape,
    schema: SchemaRef,
    keep: Vec<usize>,
    next: usize,
    rows_per_chunk: usize,
    notes: Vec<String>,
}

impl FolderReader {
    /// Looks for the files, and at the first of them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there is none, [`ErrorKind::Io`] if the folder cannot be read.
    pub(crate) fn open(folder: &Path, options: &ReadOptions) -> Result<Self> {
        let mut notes = Vec::new();
        let Listed { files, folders, mut others } = list(folder, &EXTENSIONS)?;
        let is_labelled = files.is_empty();
        let mut files: Vec<(PathBuf, String)> =
            files.into_iter().map(|path| (path, String::new())).collect();
        if is_labelled {
            let (mut deeper, mut empty) = (0, Vec::new());
            for (path, label) in &folders {
                let inside = list(path, &EXTENSIONS)?;
                others += inside.others;
                deeper += inside.folders.len();
                empty.extend(inside.files.is_empty().then(|| quoted(label)));
                files.extend(inside.files.into_iter().map(|path| (path, label.clone())));
            }
            if deeper > 0 {
                notes.push(format!("{deeper} folders inside those of labels were left out"));
            }
            if !empty.is_empty() {
                notes.push(format!("no image lies in {}", empty.join(", ")));
            }
        } else if !folders.is_empty() {
            notes.push(format!(
                "{} folders beside the images were left out; folders are labels where there are no images beside them",
                folders.len()
            ));
        }
        if others > 0 {
            notes.push(format!("{others} files that are neither PNG nor JPEG were left out"));
        }
        let Some((first, _)) = files.first() else {
            return Err(Error::new(
                ErrorKind::Io,
                "expected a file of a table, or a folder of PNG or JPEG files (or of folders of such), found a folder without images",
            ));
        };
        let (image, _) = decode(first)?;
        let texts: &[&str] = if is_labelled { &[LABEL, FILE] } else { &[FILE] };
        let schema = Arc::new(schema_of(&image, texts));
        Ok(Self {
            folder: folder.to_owned(),
            is_labelled,
            keep: (0..schema.fields().len()).collect(),
            rows_per_chunk: options.rows_per_chunk(image.numbers()),
            files,
            image,
            schema,
            next: 0,
            notes,
        })
    }
}

/// What is in a folder.
#[derive(Default)]
pub(super) struct Listed {
    /// Files of the kinds that were asked for, by name.
    pub(super) files: Vec<PathBuf>,
    /// Folders, by name, with that.
    pub(super) folders: Vec<(PathBuf, String)>,
    /// How many other files there are.
    pub(super) others: u64,
}

/// Lists the files that end in one of some extensions, and the folders, of a folder; hidden ones are left out.
pub(super) fn list(folder: &Path, extensions: &[&str]) -> Result<Listed> {
    let fail = |e| Error::io(folder, "read the folder", e);
    let mut listed = Listed::default();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if path.is_dir() {
            listed.folders.push((path, name));
        } else if extensions.contains(&extension.as_str()) {
            listed.files.push(path);
        } else {
            listed.others += 1;
        }
    }
    listed.files.sort_unstable_by_key(|path| by_number(&path.to_string_lossy()));
    listed.folders.sort_unstable_by_key(|(_, name)| by_number(name));
    Ok(listed)
}

/// A name as what it is sorted by: digits are numbers, so that `frame10` comes after `frame9`.
fn by_number(name: &str) -> Vec<(u128, String)> {
    let mut parts: Vec<(u128, String)> = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (before, digits) = rest.split_at(text);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        parts.push((0, before.to_owned()));
        // The digits as they are tell equal numbers apart.
        parts.push((digits[..end].parse().unwrap_or(u128::MAX), digits[..end].to_owned()));
        rest = &digits[end..];
    }
    parts
}

/// The numbers of the image of a file.
pub(super) fn decode(path: &Path) -> Result<(ImageShape, Vec<u8>)> {
    let reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| Error::io(path, "open", e))?;
    decode_from(reader).map_err(|e| e.at(path))
}

/// The same of any bytes.
pub(super) fn decode_from<R: BufRead + Seek>(
    mut reader: ImageReader<R>,
) -> Result<(ImageShape, Vec<u8>)> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES);
    reader.limits(limits);
    let bad = |e: ImageError| {
        Error::data(format!("expected a whole PNG or JPEG file, but it cannot be decoded: {e}"))
    };
    let mut decoder = reader.into_decoder().map_err(bad)?;
    // How a camera was held stands beside the pixels.
    let orientation = decoder.orientation().map_err(bad)?;
    let mut found = DynamicImage::from_decoder(decoder).map_err(bad)?;
    found.apply_orientation(orientation);
    let (height, width) = (found.height() as usize, found.width() as usize);
    let opaque = |mut alpha: Box<dyn Iterator<Item = u8> + '_>| alpha.all(|a| a == u8::MAX);
    let transparent =
        || Error::data("the image is transparent in places; lay it on a background first");
    let (channels, bytes) = match found {
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => {
            if !opaque(Box::new(image.pixels().map(|p| p.0[1]))) {
                return Err(transparent());
            }
            (1, image.pixels().map(|p| p.0[0]).collect())
        }
        DynamicImage::ImageRgba8(image) => {
            if !opaque(Box::new(image.pixels().map(|p| p.0[3]))) {
                return Err(transparent());
            }
            (3, image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect())
        }
        other => {
            return Err(Error::data(format!(
                "expected 8 bits for each number of a pixel, found {}; convert the image",
                name(other.color())
            )));
        }
    };
    let image = ImageShape::of_bytes(height, width, channels);
    image.validate().map_err(|e| Error::data(e.message().to_owned()))?;
    Ok((image, bytes))
}

fn name(color: ColorType) -> &'static str {
    match color {
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => "16",
        _ => "another kind",
    }
}

impl Decode for FolderReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn image(&self) -> Option<ImageShape> {
        Some(self.image)
    }

    fn rows_hint(&self) -> Option<u64> {
        Some(self.files.len() as u64)
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        let schema: Schema = self.schema.project(keep).map_err(|e| Error::data(e.to_string()))?;
        self.schema = Arc::new(schema);
        self.keep = keep.iter().filter_map(|&i| self.keep.get(i).copied()).collect();
        Ok(())
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        let end = self.files.len().min(self.next + self.rows_per_chunk);
        let files = &self.files[self.next..end];
        if files.is_empty() {
            return Ok(None);
        }
        self.next = end;
        let width = self.image.numbers();
        // Where only the labels are wanted, no file is opened.
        let is_read = self.keep.iter().any(|&i| i < width);
        let mut bytes = Vec::with_capacity(if is_read { files.len() * width } else { 0 });
        for (path, _) in files.iter().filter(|_| is_read) {
            let (image, pixels) = decode(path)?;
            if image != self.image {
                let first = self.files[0].0.file_name().unwrap_or_default().to_string_lossy();
                return Err(Error::new(
                    ErrorKind::Data,
                    format!(
                        "expected images of one size, {} as in {}, found {image}; scale or crop them, and make all grey or all colour",
                        self.image,
                        quoted(&first)
                    ),
                )
                .at(path));
            }
            bytes.extend_from_slice(&pixels);
        }
        if !is_read {
            bytes.resize(files.len() * width, 0);
        }
        let inside = |path: &Path| {
            let name = path.strip_prefix(&self.folder).unwrap_or(path);
            name.to_string_lossy().into_owned()
        };
        let names = texts(files.iter().map(|(path, _)| inside(path)));
        let mut beside = vec![names];
        if self.is_labelled {
            beside.insert(0, texts(files.iter().map(|(_, label)| label)));
        }
        let batch = batch_of_bytes(self.schema.clone(), (&bytes, width), &beside, &self.keep)?;
        Ok(Some(Decoded { batch, lines: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let mut names = ["f10.png", "f2.png", "f1.png", "f02.png", "a3", "f1b.png", "g"];
        names.sort_by_key(|name| by_number(name));
        assert_eq!(names, ["a3", "f1.png", "f1b.png", "f02.png", "f2.png", "f10.png", "g"]);
    }
}
