//! Writing files so that a reader, a crash or a full disk never meets half of one.
//!
//! A write goes to a temporary file beside the target, is synced, and then takes the target's name in one step; at
//! the end the folder is synced too. Whatever happens on the way, the target holds its old content or its new one.
//!
//! * A symbolic link at the target is followed once, at the start: the file it points to is replaced, the link stays.
//! * A hard link is broken: the other names keep the old content.
//! * The permissions of a file that is replaced are kept.
//! * A folder, device, pipe or socket at the target is refused.
//! * Temporary files that a killed process left in the folder are removed by the next write. A live writer holds a lock
//!   on its own, which is how the two are told apart.

mod disk;
mod generations;
mod simulated;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use disk::Disk;
pub use generations::{
    Generation, has_generation, load_newest, previous_path, remove_generations, write_generation,
};
pub use simulated::{Fault, SimulatedDisk};

use crate::error::{Error, ErrorKind, Result};

/// How many symbolic links are followed before the chain counts as a loop.
pub const MAX_LINKS: usize = 40;
/// How many names for a temporary file are tried before giving up.
const MAX_TEMPORARY_NAMES: usize = 64;

const TEMPORARY_PREFIX: &str = ".diffeo-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// What a path names, without following a symbolic link at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link and the path stored in it.
    Link(PathBuf),
    /// A device, pipe or socket.
    Other,
}

/// The operations on files that an atomic write consists of.
///
/// [`Disk`] is the real one; [`SimulatedDisk`] fails any chosen operation and can lose power.
pub trait Storage: Sync {
    /// What `path` names, `None` if nothing.
    ///
    /// # Errors
    /// Whatever the system reports, other than that nothing is there.
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// The names in a folder.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Creates a file that must not exist yet, and locks it for as long as the handle lives. If `like` names a file,
    /// the new one gets its permissions.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; otherwise whatever the system reports.
    fn create(&self, path: &Path, like: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Gives `from` the name `to`, replacing what is there in one step.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a file unless a live process holds its lock.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn remove_abandoned(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Whatever the system reports, other than that it cannot sync folders at all.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that [`Storage::create`] made. Dropping it releases the lock and leaves the file where it is.
pub trait NewFile {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Whatever the system reports; part of the bytes may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content durable.
    ///
    /// # Errors
    /// Whatever the system reports. After an error the content must be taken as lost.
    fn sync(&mut self) -> io::Result<()>;
}

/// Replaces the file at `path` by one that holds `bytes`, in one step. See the module for what that promises.
///
/// # Errors
/// [`ErrorKind::Io`] naming the operation that failed. Unless the message says that only durability is in doubt, the
/// target is as it was before.
pub fn write_atomic(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<()> {
    let target = resolve(storage, path)?;
    Staged::new(storage, &target, bytes)?.publish(&target)?;
    sync_names(storage, &target)
}

/// Checks that [`write_atomic`] to this path can be expected to work, by making and removing a temporary file beside it.
///
/// Meant for the time before a long computation, so that its result has somewhere to go.
///
/// # Errors
/// As [`write_atomic`].
pub fn check_writable(storage: &dyn Storage, path: &Path) -> Result<()> {
    let target = resolve(storage, path)?;
    Staged::new(storage, &target, b"").map(drop)
}

/// Follows symbolic links to the file that will be replaced and refuses what is not a file.
fn resolve(storage: &dyn Storage, path: &Path) -> Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..=MAX_LINKS {
        if target.file_name().is_none() {
            return Err(Error::new(
                ErrorKind::Io,
                "cannot write here: it is not the name of a file",
            )
            .at(path));
        }
        match storage.entry(&target).map_err(|e| Error::io(path, "look at the target", e))? {
            None | Some(Entry::File) => return Ok(target),
            Some(Entry::Link(to)) => target = folder_of(&target).join(to),
            Some(Entry::Folder) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    "cannot write a file here: it is a folder; name a file in it",
                )
                .at(path));
            }
            Some(Entry::Other) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    "cannot write here: it is a device, pipe or socket; name a regular file",
                )
                .at(path));
            }
        }
    }
    let message =
        format!("cannot write here: more than {MAX_LINKS} symbolic links lead on; is it a loop?");
    Err(Error::new(ErrorKind::Io, message).at(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn sync_names(storage: &dyn Storage, target: &Path) -> Result<()> {
    storage.sync_folder(folder_of(target)).map_err(|e| {
        Error::io(
            target,
            "make the new file durable (it is in place but may not survive a power loss)",
            e,
        )
    })
}

/// A complete, synced temporary file that waits for its name. Dropped without one, it is removed.
struct Staged<'a> {
    storage: &'a dyn Storage,
    path: PathBuf,
    /// Kept open for its lock: other writers clean up temporary files that nobody holds.
    file: Option<Box<dyn NewFile>>,
}

impl<'a> Staged<'a> {
    fn new(storage: &'a dyn Storage, target: &Path, bytes: &[u8]) -> Result<Self> {
        remove_abandoned(storage, folder_of(target));
        let mut staged = Self::create(storage, target)?;
        if let Some(file) = &mut staged.file {
            file.write_all(bytes).map_err(|e| Error::io(target, "write", e))?;
            file.sync().map_err(|e| Error::io(target, "make the written bytes durable", e))?;
        }
        Ok(staged)
    }

    fn create(storage: &'a dyn Storage, target: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = folder_of(target);
        let mut taken = None;
        for _ in 0..MAX_TEMPORARY_NAMES {
            let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path =
                folder.join(format!("{TEMPORARY_PREFIX}{process:x}-{number:x}{TEMPORARY_SUFFIX}"));
            match storage.create(&path, target) {
                Ok(file) => return Ok(Self { storage, path, file: Some(file) }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => taken = Some(e),
                Err(e) => {
                    return Err(Error::io(target, "create a temporary file in its folder", e));
                }
            }
        }
        let e = taken.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into());
        Err(Error::io(target, "create a temporary file in its folder", e))
    }

    fn publish(mut self, target: &Path) -> Result<()> {
        self.storage
            .rename(&self.path, target)
            .map_err(|e| Error::io(target, "put the new file in place", e))?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // The error that led here is the one to report; a leftover is removed by the next write.
            let _ = self.storage.remove(&self.path);
        }
    }
}

/// Housekeeping only: what cannot be listed or removed now does not stand in the way of the write.
fn remove_abandoned(storage: &dyn Storage, folder: &Path) {
    for name in storage.names(folder).unwrap_or_default() {
        let ours = name
            .to_str()
            .is_some_and(|n| n.starts_with(TEMPORARY_PREFIX) && n.ends_with(TEMPORARY_SUFFIX));
        if ours {
            let _ = storage.remove_abandoned(&folder.join(name));
        }
    }
}
