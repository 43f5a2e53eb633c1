//! Clips in files and folders, and their labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diffeo::{Error, Result, quoted};
use diffeo_audio::{Clip, wav_files};

use crate::args::{ClipArgs, Common};
use crate::faults::Faults;
use crate::options;
use crate::output::Console;
use crate::progress::grouped;
use crate::signals;

/// Sets up the threads that networks run on.
pub(super) fn threads(common: &Common, faults: &mut Faults) -> Result<()> {
    options::device(common, faults)?;
    let threads = options::threads(common, faults);
    // A pool that is there already is as good.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    Ok(())
}

/// Reads all clips that are named.
pub(super) fn read(args: &ClipArgs, console: &Console) -> Result<Vec<Clip>> {
    let (paths, others) = wav_files(&args.clips)?;
    if others > 0 {
        console.note(format!("{} files that are no WAV files are left out", grouped(others)));
    }
    let mut table = args.labels.as_deref().map(table).transpose()?;
    let of = |path: &PathBuf| {
        signals::check()?;
        let names = args.name_labels.as_ref().map_or(&[][..], |names| &names.0);
        let mut clip = Clip::read(path, names)?;
        if let Some(table) = &mut table {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let (row, is_taken) = table.get_mut(file.as_ref()).ok_or_else(|| {
                Error::data(format!("--labels has no row for {}", quoted(&file))).at(path)
            })?;
            if std::mem::replace(is_taken, true) {
                return Err(Error::data(format!(
                    "--labels: two clips are called {}, and its row cannot be of both; rename one",
                    quoted(&file)
                ))
                .at(path));
            }
            if let Some(name) = row.keys().find(|name| clip.labels.contains_key(*name)) {
                return Err(Error::config(format!(
                    "label {} is in --labels and in --name-labels; give one of them",
                    quoted(name)
                )));
            }
            clip.labels.extend(row.clone());
        }
        Ok(clip)
    };
    let clips = paths.iter().map(of).collect::<Result<_>>()?;
    let is_idle = |(_, is_taken): &&(_, bool)| !is_taken;
    let idle = table.as_ref().map_or(0, |table| table.values().filter(is_idle).count());
    if idle > 0 {
        console.note(format!("{} rows of --labels are of none of the clips", grouped(idle as u64)));
    }
    Ok(clips)
}

/// By the name of a file its labels, and whether a clip has taken them.
type Labels = BTreeMap<String, (BTreeMap<String, String>, bool)>;

/// The labels of each file by a table.
fn table(path: &Path) -> Result<Labels> {
    let fault = |e: csv::Error| Error::data(format!("--labels: {e}")).at(path);
    let mut reader = csv::Reader::from_path(path).map_err(fault)?;
    let names = reader.headers().map_err(fault)?.clone();
    let file = names.iter().position(|name| name == "file").ok_or_else(|| {
        Error::data("--labels: expected a column `file` with the names of the clips").at(path)
    })?;
    let mut labels = Labels::new();
    for row in reader.records() {
        let row = row.map_err(fault)?;
        let others = names.iter().zip(&row).enumerate().filter(|(i, _)| *i != file);
        let others = others.map(|(_, (name, value))| (name.to_owned(), value.to_owned()));
        if labels.insert(row[file].to_owned(), (others.collect(), false)).is_some() {
            let name = quoted(&row[file]);
            return Err(Error::data(format!("--labels has two rows for {name}")).at(path));
        }
    }
    Ok(labels)
}
