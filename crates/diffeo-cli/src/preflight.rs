//! Checks before the work that its outputs can be written: an hour of training must not end in "permission denied".

use std::fs::{self, OpenOptions};
use std::io::{Error as IoError, ErrorKind as IoKind};
use std::path::{Path, PathBuf};

use diffeo::train::Trainer;
use diffeo::{Error, ErrorKind, Result, printable};

use crate::output::Console;

/// A file that a command will write.
pub(crate) struct Target<'a> {
    /// Where.
    pub(crate) path: &'a Path,
    /// What the command reads, which must not be written over.
    pub(crate) inputs: Vec<&'a Path>,
    /// Whether an existing file may be replaced.
    pub(crate) overwrite: bool,
    /// Whether a device or pipe will do.
    pub(crate) devices: bool,
    /// About how large it will be, 0 if unknown.
    pub(crate) bytes: u64,
}

/// Checks that `target` can be written; gives its path, with a symlink resolved.
///
/// # Errors
/// [`ErrorKind::Io`] if it exists (without `overwrite`), is an input, is no regular file, its folder is missing or not
/// writable, or too little space is left.
pub(crate) fn check(target: &Target<'_>, console: &Console) -> Result<PathBuf> {
    let path = follow_link(target.path, console)?;
    let fault = |message: String| Error::new(ErrorKind::Io, message).at(&path);
    if path.file_name().is_none() {
        return Err(fault("expected the path of a file to write".to_string()));
    }
    for input in &target.inputs {
        if is_same(input, &path) {
            return Err(fault("the output is also an input; choose another name".to_string()));
        }
    }
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => {
            return Err(fault("expected a file to write, found a folder".to_string()));
        }
        Ok(found) if !found.is_file() && target.devices => return Ok(path),
        Ok(found) if !found.is_file() => {
            let message =
                "expected a regular file to write, found a device or pipe; - writes to stdout";
            return Err(fault(message.to_string()));
        }
        Ok(_) if !target.overwrite => {
            return Err(fault(
                "exists already; replace it with --force or choose another name".to_string(),
            ));
        }
        Ok(_) => {}
        Err(e) if e.kind() == IoKind::NotFound => {}
        Err(e) => return Err(Error::io(&path, "look at the output", e)),
    }
    check_writable(folder_of(&path))?;
    check_space(&path, target.bytes)?;
    Ok(path)
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Follows a symlink once and says where it leads: the file is replaced, not the link.
fn follow_link(path: &Path, console: &Console) -> Result<PathBuf> {
    match fs::read_link(path) {
        Err(_) => Ok(path.to_path_buf()),
        Ok(to) => {
            let target = folder_of(path).join(to);
            if fs::read_link(&target).is_ok() {
                let message = "is a symlink to a symlink; name the file itself";
                return Err(Error::new(ErrorKind::Io, message).at(path));
            }
            let (from, to) = (path.to_string_lossy(), target.to_string_lossy());
            console.note(format!("{} is a symlink; writing {}", printable(&from), printable(&to)));
            Ok(target)
        }
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// Creates and removes an empty file: permission bits alone do not tell (read-only mounts, access lists, quotas).
fn check_writable(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".diffeo-write-test-{}", std::process::id()));
    match OpenOptions::new().write(true).create_new(true).open(&probe) {
        Ok(file) => {
            drop(file);
            fs::remove_file(&probe)
                .map_err(|e| Error::io(folder, "remove a file in this folder", e))
        }
        Err(e) if e.kind() == IoKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == IoKind::NotFound => {
            let message = "the folder of the output does not exist; create it first";
            Err(Error::new(ErrorKind::Io, message).at(folder).caused_by(e))
        }
        Err(e) => Err(Error::io(folder, "write into this folder", e)),
    }
}

/// Where a training that writes to a path keeps its checkpoint.
///
/// # Errors
/// [`ErrorKind::Io`] if an earlier one left it there, unless that `is_used`: gone on from, or given up.
pub(crate) fn checkpoint(out: &Path, is_used: bool) -> Result<PathBuf> {
    let mut path = out.as_os_str().to_owned();
    path.push(".checkpoint");
    let path = PathBuf::from(path);
    if Trainer::has_checkpoint(&path) && !is_used {
        let message = "an earlier training left this checkpoint; go on from it with --resume, or start anew with --force";
        return Err(Error::new(ErrorKind::Io, message).at(path));
    }
    Ok(path)
}

/// Checks that a file of this size fits beside `path`.
pub(crate) fn check_space(path: &Path, bytes: u64) -> Result<()> {
    let folder = folder_of(path);
    match free_bytes(folder) {
        Ok(free) if free < bytes => Err(Error::new(
            ErrorKind::Io,
            format!("about {} of space are needed, {} are free", size(bytes), size(free)),
        )
        .at(folder)),
        _ => Ok(()), // unknown space is not a reason to refuse
    }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> std::result::Result<u64, IoError> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> std::result::Result<u64, IoError> {
    Err(IoKind::Unsupported.into())
}

/// A size for people: `1.5 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let bytes = bytes as f64;
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b6_too_little_space_is_said_with_numbers() {
        let error = check_space(Path::new("."), u64::MAX).unwrap_err();
        assert!(error.to_string().contains("of space are needed"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(check_space(Path::new("."), 1).is_ok());
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(512), "512 bytes");
        assert_eq!(size(1_500_000), "1.5 MB");
    }
}
