//! Clips in files and folders, and their labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diffeo::{Error, Result, quoted};
use diffeo_audio::{AudioModel, Dataset, Label, Recording, Signal};

use crate::args::{ClipArgs, Common};
use crate::faults::Faults;
use crate::options;
use crate::output::Console;
use crate::progress::grouped;
use crate::signals;

/// Folders inside folders are looked into so deep.
const DEPTH_MAX: usize = 8;

/// A clip, and what is known of it by name.
pub(super) struct Clip {
    pub(super) name: String,
    pub(super) recording: Recording,
    pub(super) labels: BTreeMap<String, String>,
}

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
    let (mut paths, mut others) = (Vec::new(), 0);
    for path in &args.clips {
        match path.is_dir() {
            true => walk(path, 0, &mut paths, &mut others)?,
            false => paths.push(path.clone()),
        }
    }
    if others > 0 {
        console.note(format!("{} files that are no WAV files are left out", grouped(others)));
    }
    if paths.is_empty() {
        return Err(Error::data("there is no WAV file among the clips"));
    }
    let table = args.labels.as_deref().map(table).transpose()?;
    let of = |path: &PathBuf| {
        signals::check()?;
        let recording = Recording::read(path)?;
        let name = path.to_string_lossy().into_owned();
        let mut labels = BTreeMap::new();
        if let Some(names) = &args.name_labels {
            labels = by_name(path, &names.0).map_err(|e| e.at(path))?;
        }
        if let Some(table) = &table {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let row = table.get(file.as_ref()).ok_or_else(|| {
                Error::data(format!("--labels has no row for {}", quoted(&file))).at(path)
            })?;
            labels.extend(row.clone());
        }
        Ok(Clip { name, recording, labels })
    };
    let clips: Vec<Clip> = paths.iter().map(of).collect::<Result<_>>()?;
    match clips.iter().find(|clip| clip.recording.samples.is_empty()) {
        Some(clip) => Err(Error::data("the file holds no sample; leave it out").at(&clip.name)),
        None => Ok(clips),
    }
}

/// The WAV files of a folder, in the order of their names.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>, others: &mut u64) -> Result<()> {
    let fault = |e| Error::io(folder, "read the folder", e);
    let entries = std::fs::read_dir(folder).map_err(fault)?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()
        .map_err(fault)?;
    paths.sort();
    for path in paths {
        let is_wav = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav"));
        if path.is_dir() && depth < DEPTH_MAX {
            walk(&path, depth + 1, found, others)?;
        } else if is_wav && path.is_file() {
            found.push(path);
        } else {
            *others += 1;
        }
    }
    Ok(())
}

/// The parts of a file's name between underscores; one called `-` says nothing.
fn by_name(path: &Path, names: &[String]) -> Result<BTreeMap<String, String>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let parts: Vec<&str> = stem.split('_').collect();
    if parts.len() < names.len() {
        return Err(Error::data(format!(
            "--name-labels: expected {} parts between underscores in the name, found {}",
            names.len(),
            parts.len()
        )));
    }
    let named = names.iter().zip(parts).filter(|(name, _)| *name != "-");
    Ok(named.map(|(name, part)| (name.clone(), part.to_owned())).collect())
}

type Labels = BTreeMap<String, BTreeMap<String, String>>;

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
        labels.insert(row[file].to_owned(), others.collect());
    }
    Ok(labels)
}

/// Every label that clips have, with its values in order.
pub(super) fn known_labels(clips: &[Clip]) -> Result<Vec<Label>> {
    let Some(first) = clips.first() else { return Ok(Vec::new()) };
    let of = |name: &String| {
        let mut values = Vec::new();
        for clip in clips {
            let value = clip.labels.get(name).ok_or_else(|| {
                Error::data(format!("label {} is missing", quoted(name))).at(&clip.name)
            })?;
            values.push(value.clone());
        }
        values.sort();
        values.dedup();
        Ok(Label { name: name.clone(), values })
    };
    first.labels.keys().map(of).collect()
}

/// Clips as a model sees them.
pub(super) fn dataset(model: &AudioModel, clips: Vec<Clip>) -> Result<Dataset> {
    let of = |Clip { name, recording, labels }: Clip| {
        signals::check()?;
        model.signal(&name, recording, |label| labels.get(label).cloned())
    };
    let signals: Vec<Signal> = clips.into_iter().map(of).collect::<Result<_>>()?;
    let (units, condition) = (model.spec.units, model.spec.condition.clone());
    Ok(Dataset { units, condition, signals })
}

/// Bits of a sample that is a whole number, by its log-density; `None` where samples were not rounded.
pub(super) fn bits(log_prob: f64, step: f64) -> Option<f64> {
    (step > 0.0).then(|| -(log_prob + step.ln()) / std::f64::consts::LN_2)
}
