//! Sound in files.

use std::io::Cursor;
use std::path::Path;

use diffeo::file::storage::{Disk, write_atomic};
use diffeo::{Error, ErrorKind, Result};
use hound::{SampleFormat, WavSpec, WavWriter};
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

use crate::wav::Wav;

/// Most samples of one recording: nine hours at 8 kHz.
pub const SAMPLES_MAX: usize = 1 << 28;
/// The largest file.
const BYTES_MAX: u64 = 4 << 30;
/// Rates that sound is kept at, in samples a second.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// The loudest sample that is taken: floats of another unit than this are no sound that could be written again.
const LOUDEST: f64 = 8.0;

/// A sound: one channel of samples, most of them between -1 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The samples.
    pub samples: Vec<f64>,
    /// Samples a second.
    pub rate: u32,
    /// Distance between the levels that samples were rounded to; 0 where they were not.
    pub step: f64,
}

impl Recording {
    /// Reads a WAV file: whole numbers of up to 32 bits, or floats of 32 or 64; the mean of its channels.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Data`] if it is another file, damaged, compressed, or holds numbers that are none, [`ErrorKind::Limit`] if it is longer than
    /// [`SAMPLES_MAX`].
    pub fn read(path: &Path) -> Result<Self> {
        // A pipe or a device has no end that can be known.
        let about = std::fs::metadata(path).map_err(|e| Error::io(path, "read", e))?;
        if !about.is_file() || about.len() > BYTES_MAX {
            return Err(Error::data(format!(
                "expected a WAV file of at most {} GiB; write a pipe to a file first, cut a longer one",
                BYTES_MAX >> 30
            ))
            .at(path));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
        Self::decode(&bytes).map_err(|e| e.at(path))
    }

    /// Reads what a WAV file holds.
    ///
    /// # Errors
    /// As [`Recording::read`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let wav = Wav::open(bytes)?;
        if !RATES.contains(&wav.rate) {
            return Err(Error::data(format!(
                "expected {} to {} samples a second, found {}",
                RATES.start(),
                RATES.end(),
                wav.rate
            )));
        }
        if wav.len() / wav.channels > SAMPLES_MAX {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("more than {SAMPLES_MAX} samples; cut the recording into shorter ones"),
            ));
        }
        let all = wav.numbers();
        if let Some(at) = all.iter().position(|v| v.is_nan() || v.abs() > LOUDEST) {
            return Err(Error::data(format!(
                "sample {} is {}; expected floats about between -1 and 1: divide by the loudest there can be",
                at + 1,
                all[at]
            )));
        }
        let (channels, step) = (wav.channels, wav.step());
        let mean = |samples: &[f64]| samples.iter().sum::<f64>() / channels as f64;
        let samples = all.chunks_exact(channels).map(mean).collect();
        Ok(Self { samples, rate: wav.rate, step: step / channels as f64 })
    }

    /// The same sound at another rate, by a windowed sinc, at the same time to less than a sample; what the new rate cannot carry is filtered out.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a rate out of range, [`ErrorKind::Limit`] if there would be more than [`SAMPLES_MAX`] samples.
    pub fn at_rate(self, rate: u32) -> Result<Self> {
        if !RATES.contains(&rate) {
            return Err(Error::config(format!(
                "expected a rate from {} to {} samples a second, found {rate}",
                RATES.start(),
                RATES.end()
            )));
        }
        if rate == self.rate || self.samples.is_empty() {
            return Ok(Self { rate, ..self });
        }
        let (ratio, count) = (f64::from(rate) / f64::from(self.rate), self.samples.len());
        if ratio * count as f64 > SAMPLES_MAX as f64 {
            return Err(Error::new(ErrorKind::Limit, format!("more than {SAMPLES_MAX} samples")));
        }
        let parameters = SincInterpolationParameters {
            sinc_len: 256,
            f_cutoff: Some(0.95),
            oversampling_factor: 256,
            interpolation: SincInterpolationType::Cubic,
            window: WindowFunction::BlackmanHarris2,
        };
        let made = Async::<f64>::new_sinc(ratio, 1.0, &parameters, 1024, 1, FixedAsync::Input);
        let mut resampler = made.map_err(|e| internal(&e))?;
        let sound = InterleavedOwned::new_from(self.samples, 1, count).map_err(|e| internal(&e))?;
        let found = resampler.process_all(&sound, count, None).map_err(|e| internal(&e))?;
        // Between levels of the old rate lie others.
        Ok(Self { samples: found.take_data(), rate, step: 0.0 })
    }

    /// The bytes of a WAV file of 16 bits; what is beyond -1 and 1 is cut.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if a sample is no number.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: self.rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).map_err(|e| internal(&e))?;
        for (at, &sample) in self.samples.iter().enumerate() {
            if !sample.is_finite() {
                return Err(Error::data(format!("sample {} to write is {sample}", at + 1)));
            }
            let level = (sample * 32768.0).round().clamp(-32768.0, 32767.0);
            writer.write_sample(level as i16).map_err(|e| internal(&e))?;
        }
        writer.finalize().map_err(|e| internal(&e))?;
        Ok(bytes.into_inner())
    }

    /// Writes a WAV file of 16 bits in one step.
    ///
    /// # Errors
    /// As [`Recording::encode`], and [`ErrorKind::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic(&Disk, path, &self.encode().map_err(|e| e.at(path))?)
    }

    /// Seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }
}

fn internal(error: &impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("sound cannot be converted: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, count: usize) -> Vec<f64> {
        let turn = std::f64::consts::TAU * hertz / f64::from(rate);
        (0..count).map(|t| 0.5 * (turn * t as f64).sin()).collect()
    }

    fn written(spec: WavSpec, samples: &[f64]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        let most = (f64::from(spec.bits_per_sample) - 1.0).exp2();
        for &v in samples {
            match spec.sample_format {
                SampleFormat::Float => writer.write_sample(v as f32).unwrap(),
                SampleFormat::Int => writer.write_sample((v * most).round() as i32).unwrap(),
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_encoding_is_read_and_channels_are_averaged() {
        let samples = tone(8000, 440.0, 400);
        let float = (SampleFormat::Float, 32);
        let encodings = [8, 16, 24, 32].map(|bits| (SampleFormat::Int, bits));
        for (sample_format, bits_per_sample) in encodings.into_iter().chain([float]) {
            for channels in [1, 2] {
                let spec = WavSpec { channels, sample_rate: 8000, bits_per_sample, sample_format };
                let found = Recording::decode(&written(spec, &samples)).unwrap();
                let expected: Vec<f64> = samples
                    .chunks_exact(channels.into())
                    .map(|s| s.iter().sum::<f64>() / f64::from(channels))
                    .collect();
                assert_eq!((found.samples.len(), found.rate), (expected.len(), 8000));
                let tolerance = if bits_per_sample == 8 { 4e-3 } else { 2e-5 };
                for (a, b) in found.samples.iter().zip(&expected) {
                    assert!((a - b).abs() < tolerance, "{bits_per_sample} bits: {a} {b}");
                }
                assert_eq!(found.step > 0.0, sample_format == SampleFormat::Int);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let sound = Recording { samples: tone(8000, 100.0, 99), rate: 8000, step: 0.0 };
        let again = Recording::decode(&sound.encode().unwrap()).unwrap();
        assert!(sound.samples.iter().zip(&again.samples).all(|(a, b)| (a - b).abs() < 2e-5));
        let loud = Recording { samples: vec![3.0, -3.0], ..sound.clone() };
        let cut = Recording::decode(&loud.encode().unwrap()).unwrap().samples;
        assert!(cut[0] > 0.99 && cut[1] == -1.0);
        let none = Recording { samples: vec![0.0, f64::NAN], ..sound };
        assert!(none.encode().unwrap_err().to_string().contains("sample 2"));
    }

    #[test]
    fn a_tone_survives_resampling_and_one_too_high_does_not() {
        let of = |hertz: f64| {
            let sound = Recording { samples: tone(22_050, hertz, 22_050), rate: 22_050, step: 0.0 };
            sound.at_rate(8000).unwrap()
        };
        let low = of(440.0);
        assert_eq!(low.samples.len(), 8000);
        let inner = 400..7600;
        // Its amplitude, and its phase to less than a sample.
        let turn = std::f64::consts::TAU * 440.0 / 8000.0;
        let (mut sin, mut cos) = (0.0, 0.0);
        for t in inner.clone() {
            let (s, c) = (turn * t as f64).sin_cos();
            sin += low.samples[t] * s * 2.0 / inner.len() as f64;
            cos += low.samples[t] * c * 2.0 / inner.len() as f64;
        }
        assert!((sin.hypot(cos) - 0.5).abs() < 1e-3, "{sin} {cos}");
        assert!(cos.atan2(sin).abs() < turn, "{sin} {cos}");
        let high = of(6000.0).samples;
        assert!(high[inner].iter().all(|v| v.abs() < 1e-3));
    }

    #[test]
    fn damaged_files_are_errors() {
        let spec = WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let whole = written(spec, &tone(8000, 100.0, 50));
        for end in 0..whole.len() {
            if let Err(e) = Recording::decode(&whole[..end]) {
                assert!(e.to_string().contains("WAV"), "{e}");
            }
        }
        for at in 0..44 {
            for value in [0, 1, 127, 255] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = Recording::decode(&bytes);
            }
        }
        let error = Recording::decode(b"ID3\x03 not sound at all").unwrap_err();
        assert!(error.to_string().contains("ffmpeg"), "{error}");
    }
}
