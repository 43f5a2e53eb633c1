//! What is known of a recording while it sounds.

use diffeo::{Error, Result, quoted};
use serde::{Deserialize, Serialize};

use crate::excitation::Excitation;
use crate::network::FrameSize;
use crate::pitch::{self, Pitch};
use crate::spectrum::Mel;

/// Something that is one of some values for a whole recording, such as who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// What it is called.
    pub name: String,
    /// The values, each once.
    pub values: Vec<String>,
}

/// What networks are told of each frame of a recording: which value each label has, how long the period of the voice is and how much of it comes again, and how loud each mel band is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Samples of a frame.
    pub samples: usize,
    /// Labels.
    pub labels: Vec<Label>,
    /// Mel bands; 0 for none.
    pub bands: usize,
    /// Coefficients of the linear prediction that follows from the bands, of which networks see the [`Excitation`](crate::Excitation); 0 for none, then they see the samples.
    #[serde(default)]
    pub order: usize,
    /// Whether networks are told of the period of a voice, too, and see what it does not foretell; only where there is a prediction.
    #[serde(default)]
    pub pitch: bool,
}

/// Most numbers of a frame.
const NUMBERS_MAX: usize = 1 << 16;
/// Most samples of a frame, and of one with mel bands: what they are made by grows with the square.
const SAMPLES_MAX: usize = 1 << 20;
const SAMPLES_MAX_OF_BANDS: usize = 1 << 11;
/// Most coefficients of a prediction.
const ORDER_MAX: usize = 1 << 9;

/// Log-powers of speech, between -11 and 5, are brought to about the size of a label.
const SLOPE: f32 = 0.25;
const LEVEL: f32 = 0.75;

impl Condition {
    /// Frames of a hundredth of a second that nothing is known of.
    pub fn none(rate: u32) -> Self {
        let samples = (rate / 100).max(1) as usize;
        Self { samples, labels: Vec::new(), bands: 0, order: 0, pitch: false }
    }

    /// Numbers of a frame.
    pub fn numbers(&self) -> usize {
        let periods = if self.pitch { pitch::NUMBERS } else { 0 };
        self.label_numbers() + periods + self.bands
    }

    fn label_numbers(&self) -> usize {
        self.labels.iter().map(|label| label.values.len()).sum()
    }

    /// The prediction by the period of a voice, if networks are told of one.
    pub(crate) fn pitch(&self) -> Option<Pitch> {
        let at = self.label_numbers();
        self.pitch.then(|| Pitch { hop: self.samples, numbers: self.numbers(), at })
    }

    /// What a network is told, if anything.
    pub fn frame_size(&self) -> Option<FrameSize> {
        let numbers = self.numbers();
        (numbers > 0).then_some(FrameSize { numbers, samples: self.samples })
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let most = if self.bands > 0 { SAMPLES_MAX_OF_BANDS } else { SAMPLES_MAX };
        let is_wide = self.bands > NUMBERS_MAX || self.numbers() > NUMBERS_MAX;
        if !(1..=most).contains(&self.samples) || is_wide {
            return Err(Error::config(format!(
                "expected frames of 1 to {most} samples and at most {NUMBERS_MAX} numbers, found {} samples, {} mel bands and {} numbers of labels",
                self.samples,
                self.bands,
                self.label_numbers()
            )));
        }
        if self.order > ORDER_MAX || (self.order > 0 && self.bands < 2) {
            return Err(Error::config(format!(
                "expected a prediction by at most {ORDER_MAX} coefficients from two mel bands or more, found {} from {}",
                self.order, self.bands
            )));
        }
        if self.pitch && self.order == 0 {
            return Err(Error::config(
                "the period of a voice is found in the error of a prediction: give that coefficients, or no period",
            ));
        }
        for label in &self.labels {
            let twice =
                (1..label.values.len()).find(|&i| label.values[..i].contains(&label.values[i]));
            if label.values.is_empty() || twice.is_some() {
                let what = twice.map_or("no value".to_owned(), |i| {
                    format!("the value {} twice", quoted(&label.values[i]))
                });
                return Err(Error::config(format!("label {} has {what}", quoted(&label.name))));
            }
        }
        Ok(())
    }

    /// Which value each label has, by name.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if a label is missing or has another value than those that are known.
    pub fn values(&self, given: impl Fn(&str) -> Option<String>) -> Result<Vec<usize>> {
        let of = |label: &Label| {
            let list = || {
                let shown: Vec<String> = label.values.iter().take(12).map(|v| quoted(v)).collect();
                let more = if label.values.len() > 12 { " and others" } else { "" };
                format!("{}{more}", shown.join(", "))
            };
            let name = quoted(&label.name);
            let Some(value) = given(&label.name) else {
                return Err(Error::data(format!(
                    "label {name} is missing; give one of {}",
                    list()
                )));
            };
            label.values.iter().position(|v| *v == value).ok_or_else(|| {
                Error::data(format!(
                    "label {name} is {}, the model knows {}",
                    quoted(&value),
                    list()
                ))
            })
        };
        self.labels.iter().map(of).collect()
    }

    /// The numbers of each frame of a recording at a rate, given its samples in units of their root mean square and the value of each label.
    ///
    /// # Errors
    /// As [`Mel::new`] and [`Mel::frames`].
    pub fn frames(&self, samples: &[f32], rate: u32, values: &[usize]) -> Result<Vec<f32>> {
        let count = samples.len().div_ceil(self.samples);
        let mut known = Vec::new();
        for (label, &value) in self.labels.iter().zip(values) {
            known.extend((0..label.values.len()).map(|i| f32::from(u8::from(i == value))));
        }
        if self.bands == 0 {
            return Ok(known.repeat(count));
        }
        let bands = Mel::new(self.bands, self.samples, rate)?.frames(samples)?;
        let mut frames = Vec::with_capacity(count * self.numbers());
        known.resize(self.numbers() - self.bands, 0.0);
        for bands in bands.chunks_exact(self.bands) {
            frames.extend_from_slice(&known);
            frames.extend(bands.iter().map(|band| SLOPE * band + LEVEL));
        }
        if self.pitch {
            Excitation::new(self, rate).find_pitch(&mut frames, samples);
        }
        Ok(frames)
    }

    /// The logarithm of a band's power by the number that networks are told.
    pub(crate) fn log_power(number: f32) -> f64 {
        f64::from((number - LEVEL) / SLOPE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_labels_and_bands() {
        let label = |name: &str, values: &[&str]| Label {
            name: name.into(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let labels = vec![label("digit", &["0", "1"]), label("who", &["a", "b", "c"])];
        let condition = Condition { samples: 80, labels, bands: 4, order: 0, pitch: false };
        condition.validate().unwrap();
        let values = condition.values(|name| Some(if name == "who" { "c" } else { "0" }.into()));
        let values = values.unwrap();
        assert_eq!(values, [0, 2]);
        let frames = condition.frames(&[0.5; 161], 8000, &values).unwrap();
        assert_eq!(frames.len(), 3 * 9);
        assert_eq!(frames[9..14], [1.0, 0.0, 0.0, 0.0, 1.0]);
        let error = condition.values(|_| Some("z".into())).unwrap_err();
        assert!(error.to_string().contains("\"digit\" is \"z\""), "{error}");
        assert!(condition.values(|_| None).is_err());
        let twice = Condition { labels: vec![label("x", &["a", "a"])], ..condition.clone() };
        assert!(twice.validate().is_err());
        // What a file says must not ask for all memory, nor wrap around.
        for (samples, bands) in [(1 << 16, 2), (80, usize::MAX), (usize::MAX, 0), (0, 0)] {
            let asked = Condition { samples, bands, ..condition.clone() };
            assert_eq!(asked.validate().unwrap_err().kind(), diffeo::ErrorKind::Config);
        }
        assert!(Condition { order: 4, ..Condition::none(8000) }.validate().is_err());
        let pitched = Condition { order: 4, pitch: true, ..condition.clone() };
        let found = pitched.frames(&[0.5; 161], 8000, &values).unwrap();
        for (with, without) in found.chunks_exact(11).zip(frames.chunks_exact(9)) {
            assert_eq!([&with[..5], &with[7..]].concat(), without);
        }
        assert!(Condition { pitch: true, ..condition.clone() }.validate().is_err());
    }
}
