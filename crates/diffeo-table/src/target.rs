//! Where a written table goes: a temporary file beside its target that takes its name at the end, or a stream.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use diffeo::{Error, ErrorKind, Result};
use tempfile::{NamedTempFile, TempPath};

/// The bytes of a table on their way out.
pub(crate) enum Sink {
    File(File),
    Stdout(std::io::Stdout),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(out) => out.flush(),
        }
    }
}

/// What happens when all is written.
pub(crate) enum Target {
    /// The temporary file takes the name of the target; dropped before that, it is removed.
    Replace { file: File, temporary: TempPath, path: PathBuf, overwrite: bool },
    /// Nothing: a FIFO or a device such as `/dev/null`.
    Device { path: PathBuf },
    /// Nothing.
    Stdout,
}

impl Target {
    pub(crate) fn stdout() -> (Self, Sink) {
        (Self::Stdout, Sink::Stdout(std::io::stdout()))
    }

    /// Opens a temporary file beside `path`. A symlink is followed once, now.
    pub(crate) fn file(path: &Path, overwrite: bool) -> Result<(Self, Sink)> {
        let found = match std::fs::metadata(path) {
            Ok(found) => Some(found),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io(path, "look at the output", e)),
        };
        let refuse = |what: &str| Err(Error::new(ErrorKind::Io, what.to_owned()).at(path));
        let mut real = path.to_path_buf();
        if let Some(found) = &found {
            if found.is_dir() {
                return refuse("expected a file to write, found a folder; name a file in it");
            }
            if is_block_device(found) {
                return refuse("expected a file to write, found a block device");
            }
            if !found.is_file() {
                let file = File::options()
                    .write(true)
                    .open(path)
                    .map_err(|e| Error::io(path, "open", e))?;
                return Ok((Self::Device { path: real }, Sink::File(file)));
            }
            if !overwrite {
                return refuse("the output exists already; use --force to replace it");
            }
            real = std::fs::canonicalize(path).map_err(|e| Error::io(path, "follow", e))?;
        }
        let temporary = beside(&real)?;
        if let Some(found) = found {
            let _ = temporary.as_file().set_permissions(found.permissions());
        }
        let again = temporary.as_file().try_clone().map_err(|e| Error::io(path, "write", e))?;
        let (file, temporary) = temporary.into_parts();
        Ok((Self::Replace { file, temporary, path: real, overwrite }, Sink::File(again)))
    }

    /// Makes the file whole: synced, renamed, and the rename synced, too.
    pub(crate) fn publish(self) -> Result<()> {
        let Self::Replace { file, temporary, path, overwrite } = self else {
            return Ok(());
        };
        file.sync_all().map_err(|e| Error::io(&path, "write to disk", e))?;
        if overwrite {
            temporary
                .persist(&path)
                .map_err(|e| Error::io(&path, "rename the finished file", e.error))?;
        } else {
            temporary
                .persist_noclobber(&path)
                .map_err(|e| Error::io(&path, "rename the finished file", e.error))?;
        }
        sync_folder(&path)
    }

    /// An error of writing, with what was being written.
    pub(crate) fn error(&self, error: std::io::Error) -> Error {
        match self {
            Self::Replace { path, .. } | Self::Device { path } => Error::io(path, "write", error),
            Self::Stdout => {
                Error::new(ErrorKind::Io, format!("cannot write to standard output: {error}"))
                    .caused_by(error)
            }
        }
    }
}

/// A file that others see whole or not at all, with the permissions of the one that it replaces.
pub struct NewFile(Target);

impl NewFile {
    /// Opens it for writing, in place of what is there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if `path` is no file, or its folder cannot be written.
    pub fn create(path: &Path) -> Result<(Self, Box<dyn Write + Send>)> {
        let (target, sink) = Target::file(path, true)?;
        Ok((Self(target), Box::new(sink)))
    }

    /// Syncs what was written to disk and gives it its name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if any of it fails.
    pub fn publish(self) -> Result<()> {
        self.0.publish()
    }
}

fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".diffeo-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What any new file gets; the process's umask still applies. The default of tempfile is for secrets.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
        .tempfile_in(folder)
        .map_err(|e| Error::io(path, "create a file in the output's folder", e))
}

#[cfg(unix)]
fn is_block_device(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&found.file_type())
}

#[cfg(not(unix))]
fn is_block_device(_: &std::fs::Metadata) -> bool {
    false
}

/// Makes the new name survive a power cut.
#[cfg(unix)]
fn sync_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io(folder, "write the folder to disk", e))
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<()> {
    Ok(())
}
