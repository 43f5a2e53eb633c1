//! A finished figure and its way into a file.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::PlotError;
use crate::scene::Scene;
use crate::{raster, svg};

/// The two formats a figure can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureFormat {
    /// Scalable vector graphics; text is outlines and needs no font.
    Svg,
    /// Pixels at twice the size of the page (192 dots per inch).
    Png,
}

impl FigureFormat {
    /// The format that the extension of a path names, in either case.
    ///
    /// # Errors
    /// [`PlotError::Format`] if the extension is neither `svg` nor `png`. Useful before the work of drawing.
    pub fn from_path(path: &Path) -> Result<Self, PlotError> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(PlotError::Format(path.to_path_buf())),
        }
    }
}

/// A drawn figure.
#[derive(Clone, Debug)]
pub struct Figure {
    pub(crate) scene: Scene,
    pub(crate) title: String,
    pub(crate) notes: Vec<String>,
}

impl Figure {
    /// Width of the page in units of 1/96 inch.
    pub fn width(&self) -> f64 {
        self.scene.width
    }

    /// Height of the page in units of 1/96 inch.
    pub fn height(&self) -> f64 {
        self.scene.height
    }

    /// The sentences of the caption: sizes, and what was skipped or left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The figure as SVG text.
    pub fn to_svg(&self) -> String {
        svg::write(&self.scene, &self.title)
    }

    /// The figure as the bytes of a PNG file.
    ///
    /// # Errors
    /// [`PlotError::Limit`] if the page is larger than a picture can sensibly be.
    pub fn to_png(&self) -> Result<Vec<u8>, PlotError> {
        raster::write(&self.scene)
    }

    /// Writes the figure; the extension of the path chooses the format.
    ///
    /// The file appears complete or not at all: it is written beside its place and then renamed.
    ///
    /// # Errors
    /// [`PlotError::Format`] for another extension, [`PlotError::Limit`] for a PNG too large,
    /// [`PlotError::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PlotError> {
        let bytes = match FigureFormat::from_path(path)? {
            FigureFormat::Svg => self.to_svg().into_bytes(),
            FigureFormat::Png => self.to_png()?,
        };
        write_whole(path, &bytes)
    }
}

/// Writes a file that appears complete or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PlotError> {
    replace(path, bytes).map_err(|source| PlotError::Io { path: path.to_path_buf(), source })
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Through a link, the file it points to is replaced and the link stays.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if fs::metadata(&target).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        // A pipe or device cannot be renamed over.
        return fs::write(&target, bytes);
    }
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".figure-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The default of a temporary file is private; a figure is as readable as any new file.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|e| e.error)?;
    Ok(())
}
