//! Where the samples of a model of images go: a sheet, a folder of files, or an array.

use std::path::{Path, PathBuf};

use diffeo::{Error, ErrorKind, ImageShape, Result, Rows, quoted};
use diffeo_plot::{ImageGrid, draw_images, save_image};
use diffeo_table::ImageArrayWriter;

use crate::figures::images::{bytes, of_bytes};
use crate::figures::plot_error;

/// Most images on a sheet.
const SHEET_MAX: usize = 2500;
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

fn is_numbered(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let number = name.strip_suffix(".png").and_then(|digits| digits.parse().ok());
    number.is_some_and(|number| numbered(number) == name)
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
    pub(super) fn create(to: To, image: ImageShape, overwrite: bool) -> Result<Self> {
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
                // Those of another time beyond the last of now would pass for images of this model.
                for file in found.iter().filter(|file| is_numbered(&file.file_name())) {
                    std::fs::remove_file(file.path())
                        .map_err(|e| Error::io(file.path(), "remove the image", e))?;
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
                if of_bytes(all, &self.image).len() > SHEET_MAX {
                    let text = format!(
                        "a sheet has at most {SHEET_MAX} images; name a folder (ends in /), an npy file or a table for more"
                    );
                    return Err(Error::config(text).at(&*path));
                }
                Ok(())
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
            State::Folder { .. } => Ok(()),
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
