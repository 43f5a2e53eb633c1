//! Recordings as networks see them, and batches of stretches of them.

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Error, Purpose, Result, Streams, below, uniform};
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::excitation::Excitation;
use crate::recording::Recording;

/// In which units samples are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Units {
    /// Samples a second.
    pub rate: u32,
    /// Root mean square of the sound that was learned from: 1 in the units of networks.
    pub scale: f64,
    /// Distance between the levels of samples, within which the density is that of a number that was rounded; 0 where it is that of the number itself.
    pub step: f64,
}

impl Units {
    /// Those of some recordings, which have one rate.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if there are none, or all is silence.
    pub fn of(recordings: &[Recording]) -> Result<Self> {
        let Some(first) = recordings.first() else {
            return Err(Error::data("there is no recording to learn from"));
        };
        let count: usize = recordings.iter().map(|r| r.samples.len()).sum();
        let power: f64 = recordings.iter().flat_map(|r| &r.samples).map(|v| v * v).sum();
        let scale = (power / count.max(1) as f64).sqrt();
        if scale.is_nan() || scale <= 0.0 {
            return Err(Error::data("the recordings are silent: every sample is 0"));
        }
        let step = recordings.iter().map(|r| r.step).fold(0.0, f64::max);
        Ok(Self { rate: first.rate, scale, step })
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let Self { scale, step, .. } = *self;
        if self.rate > 0 && scale > 0.0 && scale.is_finite() && step >= 0.0 && step.is_finite() {
            return Ok(());
        }
        Err(Error::config(format!("sound cannot have the units {self:?}")))
    }
}

/// A recording in the units of networks, with its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Where it comes from.
    pub name: String,
    /// Samples in units of [`Units::scale`].
    pub samples: Vec<f32>,
    /// What is known of each frame, frame after frame.
    pub frames: Vec<f32>,
    /// Which value each label has.
    pub values: Vec<usize>,
}

impl Signal {
    /// Takes a recording of the rate of some units, with the values of its labels.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if it has no sample or another rate; those of [`Condition::frames`].
    pub fn new(
        name: impl Into<String>,
        recording: &Recording,
        (units, condition): (&Units, &Condition),
        values: Vec<usize>,
    ) -> Result<Self> {
        let name = name.into();
        if recording.samples.is_empty() || recording.rate != units.rate {
            return Err(Error::data(format!(
                "expected sound of {} samples a second, found {} samples at {}",
                units.rate,
                recording.samples.len(),
                recording.rate
            ))
            .at(&name));
        }
        let samples: Vec<f32> =
            recording.samples.iter().map(|v| (v / units.scale) as f32).collect();
        let frames = condition.frames(&samples, units.rate, &values)?;
        Ok(Self { name, samples, frames, values })
    }
}

/// Stretches of recordings, all of one length.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What networks see of samples, `[n, length]`.
    pub x: Tensor<2>,
    /// Log-gains, `[n, length]`: `ln p` of a sample is that of what is seen of it less this.
    pub log_gain: Tensor<2>,
    /// 1 where a recording is, 0 behind it.
    pub mask: Tensor<2>,
    /// The frames of each row side by side, if anything is known.
    pub context: Option<Tensor<2>>,
}

/// A stretch of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) signal: usize,
    /// Where it starts, a multiple of a frame.
    pub(crate) start: usize,
}

/// Recordings to learn from.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Their units.
    pub units: Units,
    /// What is known of them.
    pub condition: Condition,
    /// The recordings.
    pub signals: Vec<Signal>,
}

impl Dataset {
    /// Samples of all.
    pub fn samples(&self) -> usize {
        self.signals.iter().map(|signal| signal.samples.len()).sum()
    }

    /// Stretches that are drawn at random, a recording the likelier the longer it is.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if there is no recording.
    pub fn batch(&self, streams: Streams, step: u64, [rows, length]: [usize; 2]) -> Result<Batch> {
        let total = self.samples() as u64;
        if total == 0 {
            return Err(Error::data("there is no recording to learn from"));
        }
        let draw = |row: usize| {
            let mut rng = streams.rng(Purpose::Shuffle, step, row as u64);
            let mut place = below(&mut rng, total) as usize;
            let signal = self.signals.iter().position(|signal| {
                let is_here = place < signal.samples.len();
                place -= if is_here { 0 } else { signal.samples.len() };
                is_here
            });
            let signal = signal.unwrap_or(0);
            // The sample that was drawn lies anywhere in its row, as far as there is sound to fill it.
            let hop = self.condition.samples;
            let last = self.signals[signal].samples.len().saturating_sub(length).div_ceil(hop);
            let start = place.saturating_sub(below(&mut rng, length as u64) as usize) / hop;
            Stretch { signal, start: start.min(last) * hop }
        };
        let stretches: Vec<Stretch> = (0..rows).map(draw).collect();
        Ok(self.rows(&stretches, length, |row, rng_row| {
            let mut rng = streams.rng(Purpose::Dequantise, step, rng_row);
            self.add_noise(&mut rng, row);
        }))
    }

    /// The recordings as networks see them.
    pub fn seen(&self) -> Vec<Signal> {
        match self.condition.excitation(self.units.rate) {
            Some(excitation) => excitation.of_signals(&self.signals.iter().collect::<Vec<_>>()).0,
            None => self.signals.clone(),
        }
    }

    /// The recordings with noise within their rounding errors that follows from a seed and from each itself, whichever others there are: their density is then a bound of the probability of the
    /// levels that they were rounded to.
    pub fn unrounded(&self, streams: Streams) -> Vec<Signal> {
        let noisy = |signal: &Signal| {
            let mut signal = signal.clone();
            let mut rng =
                streams.rng(Purpose::Validation, 0, digest(signal.samples.iter().copied()));
            self.add_noise(&mut rng, &mut signal.samples);
            signal
        };
        self.signals.iter().map(noisy).collect()
    }

    /// Adds to samples a number that rounding would take away.
    pub(crate) fn add_noise(&self, rng: &mut diffeo::ChaCha8Rng, row: &mut [f32]) {
        if self.units.step > 0.0 {
            let step = self.units.step / self.units.scale;
            row.iter_mut().for_each(|v| *v += (step * (uniform(rng) - 0.5)) as f32);
        }
    }

    /// The rows of some stretches; `finish` may change the samples that each follows from.
    pub(crate) fn rows(
        &self,
        stretches: &[Stretch],
        length: usize,
        mut finish: impl FnMut(&mut [f32], u64),
    ) -> Batch {
        let (n, hop, numbers) = (stretches.len(), self.condition.samples, self.condition.numbers());
        let mut x = vec![0.0f32; n * length];
        let [mut mask, mut log_gain] = [(); 2].map(|()| vec![0.0f32; n * length]);
        let excitation = self.condition.excitation(self.units.rate);
        let reach = excitation.as_ref().map_or(0, Excitation::reach);
        let mut context = Vec::with_capacity(n * length.div_ceil(hop) * numbers);
        for (row, stretch) in stretches.iter().enumerate() {
            let Signal { samples, frames, .. } = &self.signals[stretch.signal];
            let count = samples.len().saturating_sub(stretch.start).min(length);
            let before = reach.min(stretch.start);
            let mut heard = samples[stretch.start - before..stretch.start + count].to_vec();
            finish(&mut heard, row as u64);
            let place = row * length..row * length + count;
            mask[place.clone()].fill(1.0);
            if let Some(excitation) = &excitation {
                let [seen, gains] = excitation.of(frames, &heard, stretch.start - before);
                x[place.clone()].copy_from_slice(&seen[before..]);
                log_gain[place].copy_from_slice(&gains[before..]);
            } else {
                x[place].copy_from_slice(&heard);
            }
            let last = (frames.len() / numbers.max(1)).saturating_sub(1);
            for frame in 0..length.div_ceil(hop) {
                let at = (stretch.start / hop + frame).min(last);
                context.extend_from_slice(&frames[at * numbers..(at + 1) * numbers]);
            }
        }
        let of = |values: Vec<f32>, width: usize| {
            Tensor::from_data(TensorData::new(values, [n, width]), (&Device::flex(), DType::F32))
        };
        let frames = length.div_ceil(hop) * numbers;
        let context = (numbers > 0).then(|| of(context, frames));
        let [x, mask, log_gain] = [x, mask, log_gain].map(|values| of(values, length));
        Batch { x, log_gain, mask, context }
    }
}

/// A number that tells samples from others (FNV-1a over their bits).
pub(crate) fn digest(samples: impl IntoIterator<Item = f32>) -> u64 {
    let bits = samples.into_iter().map(|v| u64::from(v.to_bits()));
    bits.fold(0xcbf2_9ce4_8422_2325, |hash, bits| (hash ^ bits).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffeo::host_values;

    fn dataset() -> Dataset {
        let condition = Condition {
            samples: 10,
            labels: vec![crate::Label { name: "who".into(), values: vec!["a".into(), "b".into()] }],
            bands: 0,
            order: 0,
            pitch: false,
        };
        let sound = |count: usize, sign: f64| Recording {
            samples: (0..count).map(|t| sign * (1.0 + t as f64)).collect(),
            rate: 1000,
            step: 0.0,
        };
        let recordings = [sound(35, 1.0), sound(120, -1.0)];
        let units = Units { scale: 1.0, ..Units::of(&recordings).unwrap() };
        let of = |(i, r): (usize, &Recording)| {
            Signal::new(i.to_string(), r, (&units, &condition), vec![i]).unwrap()
        };
        let signals = recordings.iter().enumerate().map(of).collect();
        Dataset { units, condition, signals }
    }

    #[test]
    fn rows_hold_what_sounds_and_its_frames() {
        let dataset = dataset();
        let stretches = [Stretch { signal: 0, start: 20 }, Stretch { signal: 1, start: 40 }];
        let Batch { x, mask, context, .. } = dataset.rows(&stretches, 40, |_, _| {});
        let (x, mask) = (host_values(x).unwrap(), host_values(mask).unwrap());
        assert_eq!((x[0], x[14], x[15], x[40], x[79]), (21.0, 35.0, 0.0, -41.0, -80.0));
        assert_eq!((mask[14], mask[15], mask[40]), (1.0, 0.0, 1.0));
        let context = host_values(context.unwrap()).unwrap();
        assert_eq!(context, [[1.0, 0.0].repeat(4), [0.0, 1.0].repeat(4)].concat());
    }

    #[test]
    fn noise_of_a_recording_does_not_depend_on_those_beside_it() {
        let mut both = dataset();
        both.units.step = 0.5;
        let found = both.unrounded(Streams::new(1));
        let apart = found[1].samples.iter().zip(&both.signals[1].samples);
        assert!(
            apart.clone().all(|(a, b)| (a - b).abs() <= 0.25) && apart.clone().any(|(a, b)| a != b)
        );
        let alone = Dataset { signals: vec![both.signals[1].clone()], ..both };
        assert_eq!(alone.unrounded(Streams::new(1))[0], found[1]);
        assert_ne!(alone.unrounded(Streams::new(2))[0], found[1]);
    }

    #[test]
    fn batches_reach_every_sample_and_follow_from_their_step() {
        let dataset = dataset();
        let mut seen = [vec![0; 35], vec![0; 120]];
        for step in 0..40 {
            let x = host_values(dataset.batch(Streams::new(3), step, [8, 40]).unwrap().x).unwrap();
            let again = dataset.batch(Streams::new(3), step, [8, 40]).unwrap().x;
            assert_eq!(x, host_values(again).unwrap());
            for v in x.into_iter().filter(|v| *v != 0.0) {
                seen[usize::from(v < 0.0)][v.abs() as usize - 1] += 1;
            }
        }
        assert!(seen.iter().flatten().all(|&count| count > 0), "{seen:?}");
    }
}
