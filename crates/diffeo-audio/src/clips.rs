//! Recordings with what is known of each by name, in files and folders.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use diffeo::{Error, Purpose, Result, Streams, permutation, quoted};
use serde::{Deserialize, Serialize};

use crate::condition::Label;
use crate::dataset::{Dataset, Signal, digest};
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
    // The same file may be named twice, or be reached by a link.
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
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
        if path.is_dir() {
            if depth == DEPTH_MAX {
                let text = format!("expected folders inside folders no deeper than {DEPTH_MAX}");
                return Err(Error::data(text).at(path));
            }
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

/// Which clips validate: that follows from what they sound like, in whatever order they are named.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The share of the clips.
    pub share: f64,
    /// The seed.
    pub seed: u64,
    /// How many clips there were, once that is known.
    pub clips: u64,
}

impl Split {
    /// The one of a model, by what its file says of the training.
    pub fn of(model: &AudioModel) -> Option<Self> {
        serde_json::from_value(model.summary["split"].clone()).ok()
    }

    /// Which clips validate, as they are before they are brought to another rate.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] for fewer than two clips.
    pub fn held_out(&self, clips: &[Clip]) -> Result<Vec<bool>> {
        let n = clips.len();
        if n < 2 {
            return Err(Error::data(format!(
                "expected two clips at least, one of which validates, found {n}; cut longer recordings into clips"
            )));
        }
        let count = ((n as f64 * self.share).round() as usize).clamp(1, n - 1);
        let of = |clip: &Clip| digest(clip.recording.samples.iter().map(|v| *v as f32));
        let digests: Vec<u64> = clips.iter().map(of).collect();
        let mut by_sound: Vec<usize> = (0..n).collect();
        by_sound.sort_by_key(|i| digests[*i]);
        let mut rng = Streams::new(self.seed).rng(Purpose::Split, 0, 0);
        let mut held = vec![false; n];
        permutation(&mut rng, n as u32)[..count]
            .iter()
            .for_each(|i| held[by_sound[*i as usize]] = true);
        // Of clips that sound alike all are on one side.
        let chosen: HashSet<u64> = (0..n).filter(|i| held[*i]).map(|i| digests[i]).collect();
        if digests.iter().any(|digest| !chosen.contains(digest)) {
            held.iter_mut()
                .zip(&digests)
                .for_each(|(held, digest)| *held = chosen.contains(digest));
        }
        Ok(held)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(name: &str, first: f64) -> Clip {
        let samples = (0..20).map(|t| first + f64::from(t) / 100.0).collect();
        let recording = Recording { samples, rate: 8000, step: 0.0 };
        Clip { name: name.to_owned(), recording, labels: BTreeMap::new() }
    }

    fn held(split: Split, clips: &[Clip]) -> Vec<String> {
        let held = split.held_out(clips).unwrap();
        let named = clips.iter().zip(held).filter(|(_, held)| *held);
        let mut names: Vec<String> = named.map(|(clip, _)| clip.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_same_clips_validate_in_whatever_order_they_are_named() {
        let split = Split { share: 0.3, seed: 5, clips: 20 };
        let mut clips: Vec<Clip> =
            (0..20).map(|i| clip(&format!("{i:02}"), f64::from(i) / 50.0)).collect();
        let first = held(split, &clips);
        assert_eq!(first.len(), 6);
        clips.reverse();
        assert_eq!(held(split, &clips), first);
        assert_ne!(held(Split { seed: 6, ..split }, &clips), first);
        assert!(split.held_out(&clips[..1]).is_err());
    }

    #[test]
    fn clips_that_sound_alike_are_on_one_side() {
        let split = Split { share: 0.5, seed: 1, clips: 12 };
        let clips: Vec<Clip> =
            (0..12).map(|i| clip(&format!("{i:02}"), f64::from(i / 2) / 10.0)).collect();
        let held = split.held_out(&clips).unwrap();
        assert!(held.chunks(2).all(|pair| pair[0] == pair[1]), "{held:?}");
        assert!(held.contains(&false));
    }
}
