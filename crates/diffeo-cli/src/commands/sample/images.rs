//! Where the samples of a model of images go: a sheet, a folder of files, or an array.

use std::path::{Path, PathBuf};

use diffeo::{Error, ErrorKind, ImageShape, Result, Rows, quoted};
use diffeo_plot::{ImageGrid, draw_images, save_image};
use diffeo_table::ImageArrayWriter;

use crate::figures::images::{bytes, of_bytes};
use crate::figures::plot_error;

/// Most images on a sheet.
const SHEET_MAX: u64 = 2500;
/// Units of a page for each image, and its least width.
const CELL: f64 = 44.0;
const PAGE_MIN: f64 = 160.0;

/// What becomes of images.
pub(super) enum To {
    /// A sheet of all.
    Sheet(PathBuf),
    /// A file for each, in a folder.
    Folder(PathBuf),
    /// One array.
    Array(PathBuf),
}

impl To {
    /// What an output says of images; `None` for a table.
    pub(super) fn of(out: Option<&Path>) -> Option<Self> {
        let path = out.filter(|path| path.as_os_str() != "-")?.to_path_buf();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        if path.is_dir() || path.to_string_lossy().ends_with(['/', '\\']) {
            return Some(Self::Folder(path));
        }
        match extension.as_deref() {
            Some("png" | "svg") => Some(Self::Sheet(path)),
            Some("npy") => Some(Self::Array(path)),
            _ => None,
        }
    }

    /// Whether tables may be written there as well.
    pub(super) fn is_of_tables(&self) -> bool {
        matches!(self, Self::Array(_))
    }
}

/// The file of an image in a folder.
fn numbered(number: usize) -> String {
    format!("{number:06}.png")
}

fn number_of(name: &std::ffi::OsStr) -> Option<usize> {
    let name = name.to_string_lossy();
    let number = name.strip_suffix(".png").and_then(|digits| digits.parse().ok())?;
    (numbered(number) == name).then_some(number)
}

fn expect_on_sheet(path: &Path, images: u64) -> Result<()> {
    if images <= SHEET_MAX {
        return Ok(());
    }
    let text = format!(
        "a sheet has at most {SHEET_MAX} images; name a folder (ends in /), an npy file or a table for more"
    );
    Err(Error::config(text).at(path))
}

/// Removes the images of another time beyond the last of now, which would pass for images of this model.
fn remove_beyond(folder: &Path, written: usize) -> Result<()> {
    let fail = |e| Error::io(folder, "read the folder", e);
    for file in std::fs::read_dir(folder).map_err(fail)? {
        let file = file.map_err(fail)?;
        let number = number_of(&file.file_name());
        if number.is_some_and(|number| number > written) {
            std::fs::remove_file(file.path())
                .map_err(|e| Error::io(file.path(), "remove the image", e))?;
        }
    }
    Ok(())
}

/// Images on their way.
pub(super) struct Gallery {
    image: ImageShape,
    state: State,
}

enum State {
    Sheet { path: PathBuf, bytes: Vec<u8> },
    Folder { path: PathBuf, written: usize },
    Array(ImageArrayWriter),
}

impl Gallery {
    /// Prepares to write.
    pub(super) fn create(
        to: To,
        image: ImageShape,
        (overwrite, count): (bool, Option<u64>),
    ) -> Result<Self> {
        if let (To::Sheet(path), Some(count)) = (&to, count) {
            expect_on_sheet(path, count)?;
        }
        let state = match to {
            To::Sheet(path) => State::Sheet { path, bytes: Vec::new() },
            To::Array(path) => State::Array(ImageArrayWriter::create(&path, image, overwrite)?),
            To::Folder(path) => {
                let fail = |e| Error::io(&path, "make the folder", e);
                std::fs::create_dir_all(&path).map_err(fail)?;
                let found = std::fs::read_dir(&path).map_err(fail)?;
                let found: Vec<_> = found.collect::<std::io::Result<_>>().map_err(fail)?;
                if !overwrite && !found.is_empty() {
                    return Err(Error::new(
                        ErrorKind::Io,
                        "the folder is not empty; name another, or replace its images with --force",
                    )
                    .at(&path));
                }
                if let channels @ (2 | 4) = image.channels {
                    let text = format!(
                        "images of {channels} channels have no PNG file that is read back; name an npy file"
                    );
                    return Err(Error::config(text).at(&path));
                }
                State::Folder { path, written: 0 }
            }
        };
        Ok(Self { image, state })
    }

    /// Appends images.
    pub(super) fn write(&mut self, rows: &Rows) -> Result<()> {
        match &mut self.state {
            State::Array(writer) => writer.write(rows),
            State::Sheet { path, bytes: all } => {
                all.extend(bytes(rows, &self.image));
                expect_on_sheet(path, of_bytes(all, &self.image).len() as u64)
            }
            State::Folder { path, written } => {
                for i in 0..rows.len() {
                    *written += 1;
                    let path = path.join(numbered(*written));
                    let image = bytes(&rows.slice(i..i + 1), &self.image);
                    save_image(&of_bytes(&image, &self.image), &path)
                        .map_err(|e| plot_error(e).at(&path))?;
                }
                Ok(())
            }
        }
    }

    /// Ends the output.
    pub(super) fn finish(self) -> Result<()> {
        match self.state {
            State::Array(writer) => writer.finish(),
            State::Folder { path, written } => remove_beyond(&path, written),
            State::Sheet { path, bytes } => {
                let images = of_bytes(&bytes, &self.image);
                if images.is_empty() {
                    let path = path.to_string_lossy();
                    return Err(Error::config(format!("no images for {}", quoted(&path))));
                }
                let across = (images.len() as f64).sqrt().ceil() as usize;
                let grid = ImageGrid { heading: String::new(), across, images };
                let width = (across as f64 * CELL).max(PAGE_MIN);
                let figure = draw_images(&[grid], "", (width, 1)).map_err(plot_error)?;
                figure.save(&path).map_err(|e| plot_error(e).at(&path))
            }
        }
    }
}
