//! Recordings with what is known of each by name, in files and folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diffeo::{Error, Purpose, Result, Streams, permutation, quoted};

use crate::condition::Label;
use crate::dataset::{Dataset, Signal};
use crate::model::AudioModel;
use crate::recording::Recording;

/// Folders inside folders are looked into so deep.
const DEPTH_MAX: usize = 8;

/// A recording, and the values of its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Where it comes from.
    pub name: String,
    /// The sound.
    pub recording: Recording,
    /// Values of labels, such as `digit` and `7`.
    pub labels: BTreeMap<String, String>,
}

impl Clip {
    /// Reads a WAV file, and labels from the parts of its name between underscores, which are called so; one called `-` says nothing.
    ///
    /// # Errors
    /// As [`Recording::read`]; [`diffeo::ErrorKind::Data`] if there is no sample, or fewer parts than names.
    pub fn read(path: &Path, names: &[String]) -> Result<Self> {
        let recording = Recording::read(path)?;
        if recording.samples.is_empty() {
            return Err(Error::data("the file holds no sample; leave it out").at(path));
        }
        let labels = by_name(path, names).map_err(|e| e.at(path))?;
        Ok(Self { name: path.to_string_lossy().into_owned(), recording, labels })
    }
}

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

/// The WAV files among some paths, those of folders in the order of their names; and how many other files the folders hold.
///
/// # Errors
/// [`diffeo::ErrorKind::Io`] for a folder that cannot be read, [`diffeo::ErrorKind::Data`] if there is no file.
pub fn wav_files(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, u64)> {
    let (mut found, mut others) = (Vec::new(), 0);
    for path in paths {
        match path.is_dir() {
            true => walk(path, 0, &mut found, &mut others)?,
            false => found.push(path.clone()),
        }
    }
    match found.is_empty() {
        true => Err(Error::data("there is no WAV file among the clips")),
        false => Ok((found, others)),
    }
}

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

/// Every label that clips have, with its values in order.
///
/// # Errors
/// [`diffeo::ErrorKind::Data`] for a clip without a label that the first one has.
pub fn known_labels(clips: &[Clip]) -> Result<Vec<Label>> {
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

/// Clips at a rate, or that of the first; and how many had another.
///
/// # Errors
/// As [`Recording::at_rate`].
pub fn at_one_rate(clips: Vec<Clip>, rate: Option<u32>) -> Result<(Vec<Clip>, usize)> {
    let first = clips.first().map_or(0, |clip| clip.recording.rate);
    let rate = rate.unwrap_or(first);
    let others = clips.iter().filter(|clip| clip.recording.rate != rate).count();
    let of = |clip: Clip| {
        let Clip { name, recording, labels } = clip;
        let recording = recording.at_rate(rate).map_err(|e| e.at(&name))?;
        Ok(Clip { name, recording, labels })
    };
    Ok((clips.into_iter().map(of).collect::<Result<_>>()?, others))
}

/// Which of so many clips validate, by a share and a seed.
///
/// # Errors
/// [`diffeo::ErrorKind::Data`] for fewer than two clips.
pub fn held_out(clips: usize, share: f64, seed: u64) -> Result<Vec<bool>> {
    if clips < 2 {
        return Err(Error::data(format!(
            "expected two clips at least, one of which validates, found {clips}; cut longer recordings into clips"
        )));
    }
    let count = ((clips as f64 * share).round() as usize).clamp(1, clips - 1);
    let mut held = vec![false; clips];
    let order = permutation(&mut Streams::new(seed).rng(Purpose::Split, 0, 0), clips as u32);
    order[..count].iter().for_each(|&i| held[i as usize] = true);
    Ok(held)
}

impl AudioModel {
    /// Clips as the model sees them; `look` may end the work between two.
    ///
    /// # Errors
    /// As [`AudioModel::signal`]; those of `look`.
    pub fn dataset(&self, clips: Vec<Clip>, look: impl Fn() -> Result<()>) -> Result<Dataset> {
        let of = |Clip { name, recording, labels }: Clip| {
            look()?;
            self.signal(&name, recording, |label| labels.get(label).cloned())
        };
        let signals: Vec<Signal> = clips.into_iter().map(of).collect::<Result<_>>()?;
        Ok(Dataset { units: self.spec.units, condition: self.spec.condition.clone(), signals })
    }
}

impl Dataset {
    /// The recordings to learn from, and those that are held out.
    pub fn split(&self, held: &[bool]) -> [Self; 2] {
        let of = |wanted: bool| {
            let signals = self.signals.iter().zip(held).filter(|(_, held)| **held == wanted);
            let signals = signals.map(|(signal, _)| signal.clone()).collect();
            Self { signals, condition: self.condition.clone(), units: self.units }
        };
        [of(false), of(true)]
    }
}
