//! Two generations of a checkpoint: the newest, and the one before it in case the newest is damaged.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, Staged, Storage, resolve, sync_names};
use crate::error::{Error, Result};

/// Where the generation before `path` is kept: the same name with `.previous` at its end.
pub fn previous_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".previous");
    PathBuf::from(name)
}

/// Like [`super::write_atomic`], but keeps the file that was there as [`previous_path`].
///
/// At every moment at least one of the two names holds a whole file. Between the two renames only the previous one
/// does, so read with [`load_newest`].
///
/// # Errors
/// As [`super::write_atomic`].
pub fn write_generation(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<()> {
    let target = resolve(storage, path)?;
    let previous = previous_path(&target);
    let staged = Staged::new(storage, &target, bytes)?;
    let kept = match storage.rename(&target, &previous) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(Error::io(&target, "keep it as the previous generation", e)),
    };
    if let Err(error) = staged.publish(&target) {
        if kept {
            // If this fails too, the old file is whole under the previous name, where `load_newest` finds it.
            let _ = storage.rename(&previous, &target);
        }
        return Err(error);
    }
    sync_names(storage, &target)
}

/// What [`load_newest`] found.
#[derive(Debug)]
pub struct Generation<T> {
    /// The loaded value.
    pub value: T,
    /// The file that it came from.
    pub path: PathBuf,
    /// Why the newest file could not be used, if it was there and the previous one had to stand in. Work may be lost
    /// in that case: tell the user.
    pub refused: Option<Error>,
}

/// Loads the newest usable generation of `path`.
///
/// A newest file that is missing is no fault: a writer was stopped between its two renames, and the previous file is
/// its last work.
///
/// # Errors
/// The error for the newest file, if the previous one is of no use either.
pub fn load_newest<T>(
    path: &Path,
    mut load: impl FnMut(&Path) -> Result<T>,
) -> Result<Generation<T>> {
    let path = real(path);
    let newest = match load(&path) {
        Ok(value) => return Ok(Generation { value, path, refused: None }),
        Err(error) => error,
    };
    let previous = previous_path(&path);
    match load(&previous) {
        Ok(value) => {
            let refused = if is_missing(&newest) { None } else { Some(newest) };
            Ok(Generation { value, path: previous, refused })
        }
        Err(error) if is_missing(&newest) && !is_missing(&error) => Err(error),
        Err(_) => Err(newest),
    }
}

/// Whether there is a generation of `path`, if only the one before the newest.
pub fn has_generation(path: &Path) -> bool {
    let path = real(path);
    path.exists() || previous_path(&path).exists()
}

/// Removes both generations of `path`, and a link that leads to them.
///
/// # Errors
/// [`crate::ErrorKind::Io`] if one is there and cannot be removed.
pub fn remove_generations(path: &Path) -> Result<()> {
    let real = real(path);
    for file in [&real, &previous_path(&real), path] {
        match std::fs::remove_file(file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(file, "remove it", e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where generations lie: beside the file that links lead to, as [`write_generation`] has it.
fn real(path: &Path) -> PathBuf {
    resolve(&Disk, path).unwrap_or_else(|_| path.to_path_buf())
}

fn is_missing(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|e| e.downcast_ref::<io::Error>())
        .is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
}
