//! A disk in memory that fails on command and can lose power: the test twin of the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Entry, NewFile, Storage};

/// What happens to the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error and has no effect; a write leaves half of its bytes behind.
    Error(io::ErrorKind),
    /// It reports success and does nothing: a disk that lies.
    Lie,
    /// The process is killed: this operation and all later ones fail.
    Kill,
}

/// A file system in memory for tests. Every operation counts; one of them can be made to fail.
///
/// The model of a power loss is the hardest one: a file keeps only what was synced, and of the changes of names since
/// the folder was last synced any subset may have reached the disk. All folders exist.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

type Changes = Vec<(PathBuf, Option<usize>)>;

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    others: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced: Vec<Changes>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    killed: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    locked: bool,
}

impl SimulatedDisk {
    /// An empty disk that works.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the `n`-th operation from now, counted from 0, meet a fault.
    pub fn fail(&self, n: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.operations.saturating_add(n), fault));
    }

    /// How many operations were asked for so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Puts a link, folder or device at a path.
    pub fn place(&self, path: impl Into<PathBuf>, entry: Entry) {
        self.state().others.insert(path.into(), entry);
    }

    /// The content of a file, `None` if there is none of that name.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).and_then(|&i| state.files.get(i)).map(|f| f.content.clone())
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The disk as the next process finds it: all that was written is there, no lock is held, no fault is set.
    pub fn after_kill(&self) -> Self {
        let mut state = self.state().clone();
        state.release();
        Self(Arc::new(Mutex::new(state)))
    }

    /// Every disk that may be found after a power loss now.
    pub fn after_power_loss(&self) -> Vec<Self> {
        let state = self.state().clone();
        let pending = state.unsynced.len().min(16);
        let subsets = (0..1_u32 << pending).map(|subset| {
            let mut lost = state.clone();
            lost.names = state.durable_names.clone();
            for (i, changes) in state.unsynced.iter().enumerate() {
                if i >= pending || subset >> i & 1 == 1 {
                    apply(&mut lost.names, changes);
                }
            }
            lost.durable_names = lost.names.clone();
            lost.unsynced.clear();
            for file in &mut lost.files {
                file.content = file.durable.clone();
            }
            lost.release();
            Self(Arc::new(Mutex::new(lost)))
        });
        subsets.collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation. `Ok(false)` means: pretend.
    fn begin(&mut self) -> io::Result<bool> {
        let n = self.operations;
        self.operations = n.saturating_add(1);
        let fault = self.fault.and_then(|(at, fault)| (at == n).then_some(fault));
        self.killed |= fault == Some(Fault::Kill);
        match fault {
            _ if self.killed => Err(io::Error::other("the process was killed")),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Lie) => Ok(false),
            _ => Ok(true),
        }
    }

    fn change(&mut self, changes: Changes) {
        apply(&mut self.names, &changes);
        self.unsynced.push(changes);
    }

    fn release(&mut self) {
        self.fault = None;
        self.killed = false;
        self.files.iter_mut().for_each(|f| f.locked = false);
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, changes: &Changes) {
    for (path, file) in changes {
        match file {
            Some(file) => names.insert(path.clone(), *file),
            None => names.remove(path),
        };
    }
}

impl Storage for SimulatedDisk {
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let mut state = self.state();
        state.begin()?;
        let file = state.names.contains_key(path).then_some(Entry::File);
        Ok(state.others.get(path).cloned().or(file))
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let mut state = self.state();
        state.begin()?;
        let inside = state.names.keys().filter(|p| super::folder_of(p) == folder);
        Ok(inside
            .filter_map(|p| p.file_name())
            .map(OsString::from)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect())
    }

    fn create(&self, path: &Path, _like: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut state = self.state();
        let real = state.begin()?;
        if state.names.contains_key(path) || state.others.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let index = state.files.len();
        state.files.push(File { locked: true, ..File::default() });
        if real {
            state.change(vec![(path.to_path_buf(), Some(index))]);
        }
        Ok(Box::new(Handle { disk: self.clone(), index }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.begin()? {
            let file = state.find(from)?;
            state.change(vec![(from.to_path_buf(), None), (to.to_path_buf(), Some(file))]);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.begin()? {
            state.find(path)?;
            state.change(vec![(path.to_path_buf(), None)]);
        }
        Ok(())
    }

    fn remove_abandoned(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.begin()? {
            let file = state.find(path)?;
            if state.files.get(file).is_some_and(|f| !f.locked) {
                state.change(vec![(path.to_path_buf(), None)]);
            }
        }
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.begin()? {
            state.durable_names = state.names.clone();
            state.unsynced.clear();
        }
        Ok(())
    }
}

struct Handle {
    disk: SimulatedDisk,
    index: usize,
}

impl NewFile for Handle {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let begun = state.begin();
        let written = match &begun {
            Ok(true) => bytes.len(),
            Ok(false) => 0,
            Err(_) => bytes.len() / 2,
        };
        if let Some(file) = state.files.get_mut(self.index) {
            file.content.extend(bytes.iter().take(written));
        }
        begun.map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.begin()?
            && let Some(file) = state.files.get_mut(self.index)
        {
            file.durable = file.content.clone();
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(file) = self.disk.state().files.get_mut(self.index) {
            file.locked = false;
        }
    }
}
