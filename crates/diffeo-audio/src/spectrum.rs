//! Short-time spectra.

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Error, Result};

use crate::recording::Recording;

/// Mel powers are never less than this before their logarithm is taken.
const MEL_MIN: f64 = 1e-7;
/// Frames that are looked at together: a recording of hours must not take all memory.
const FRAMES_AT_ONCE: usize = 4096;
/// Frames that the window of one is as long as.
pub(crate) const MEL_HOPS: usize = 4;

/// Short-time Fourier transform: `X[f, k] = sum over t of w[t] x[f hop + t] e^(-2 pi i k t / window)`, with the Hann window `w`, for the frequencies `k = 0 ..= window / 2`.
///
/// A matrix product, so it has gradients by `x`.
#[derive(Clone, Debug)]
pub struct Stft {
    window: usize,
    hop: usize,
    /// Cosines and sines side by side, `[window, 2 frequencies]`.
    basis: Tensor<2>,
}

impl Stft {
    /// Of so many samples at a time, so many apart.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] unless the window is a whole multiple of the hop, of two samples or more.
    pub fn new(window: usize, hop: usize) -> Result<Self> {
        if hop == 0 || window < 2 || !window.is_multiple_of(hop) {
            return Err(Error::config(format!(
                "expected a window that is a multiple of its hop, found {window} and {hop}"
            )));
        }
        let frequencies = window / 2 + 1;
        let turn = std::f64::consts::TAU / window as f64;
        let circle: Vec<(f64, f64)> = (0..window).map(|i| (turn * i as f64).sin_cos()).collect();
        let mut basis = vec![0.0; window * 2 * frequencies];
        for (t, line) in basis.chunks_exact_mut(2 * frequencies).enumerate() {
            let weight = 0.5 - 0.5 * circle[t].1;
            for k in 0..frequencies {
                let (sin, cos) = circle[k * t % window];
                (line[k], line[frequencies + k]) = (weight * cos, -weight * sin);
            }
        }
        let data = TensorData::new(basis, [window, 2 * frequencies]);
        let basis = Tensor::from_data(data, (&Device::flex(), DType::F64));
        Ok(Self { window, hop, basis })
    }

    /// Samples of a window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Frequencies.
    pub fn frequencies(&self) -> usize {
        self.window / 2 + 1
    }

    /// `|X|^2`, `[n frames, frequencies]`, of rows `[n, length]`: a frame for each hop that a whole window starts at.
    ///
    /// # Panics
    /// If rows are shorter than a window, or no multiple of the hop.
    pub fn power(&self, x: Tensor<2>) -> Tensor<2> {
        let ([n, length], overlap) = (x.dims(), self.window / self.hop);
        assert!(length >= self.window && length.is_multiple_of(self.hop), "{length} samples");
        let hops = length / self.hop;
        let (frames, pieces) = (hops - overlap + 1, x.reshape([n, hops, self.hop]));
        let part = |i: usize| pieces.clone().narrow(1, i, frames);
        let windows = Tensor::cat((0..overlap).map(part).collect(), 2);
        let found = windows.reshape([n * frames, self.window]);
        let found = found.clone().matmul(self.basis.clone().cast(found.dtype()));
        let (k, squares) = (self.frequencies(), found.square());
        squares.clone().narrow(1, 0, k) + squares.narrow(1, k, k)
    }
}

/// Logarithms of the power in bands that are as wide as the ear hears them.
///
/// Triangles evenly spaced on the scale `2595 log10(1 + f / 700)` from 0 to half the rate; `ln max(power, 1e-7)`, of sound in units of its root mean square.
#[derive(Clone, Debug)]
pub struct Mel {
    stft: Stft,
    /// `[frequencies, bands]`.
    bands: Tensor<2>,
    count: usize,
}

impl Mel {
    /// So many bands of frames of so many samples, for sound of a rate; each frame is the middle quarter of its window.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] if there are no bands, or so many that one would hold no frequency.
    pub fn new(count: usize, samples: usize, rate: u32) -> Result<Self> {
        let stft = Stft::new(MEL_HOPS * samples, samples)?;
        let edges = mel_edges(count, f64::from(rate));
        let of_frequency = f64::from(rate) / stft.window as f64;
        let mut bands = vec![0.0; stft.frequencies() * count];
        for band in 0..count {
            let [low, middle, high] = [0, 1, 2].map(|i| edges[band + i]);
            let mut sum = 0.0;
            for k in 0..stft.frequencies() {
                let f = k as f64 * of_frequency;
                let height = ((f - low) / (middle - low)).min((high - f) / (high - middle));
                bands[k * count + band] = height.max(0.0);
                sum += height.max(0.0);
            }
            if sum == 0.0 {
                return Err(Error::config(format!(
                    "{count} mel bands are too many for windows of {} samples: band {} holds no frequency; ask for fewer",
                    stft.window,
                    band + 1
                )));
            }
            (0..stft.frequencies()).for_each(|k| bands[k * count + band] /= sum);
        }
        let data = TensorData::new(bands, [stft.frequencies(), count]);
        let bands = Tensor::from_data(data, (&Device::flex(), DType::F32));
        Ok(Self { stft, bands, count })
    }

    /// A line of bands for each frame; sound that is no whole number of frames goes on in silence.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Device`] if numbers cannot be read back.
    pub fn frames(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let hop = self.stft.hop;
        let count = samples.len().div_ceil(hop);
        if count == 0 {
            return Ok(Vec::new());
        }
        let before = (self.stft.window - hop) / 2;
        let length = (count - 1) * hop + self.stft.window;
        let mut padded = vec![0.0; length];
        padded[before..before + samples.len()].copy_from_slice(samples);
        let mut found = Vec::with_capacity(count * self.count);
        for first in (0..count).step_by(FRAMES_AT_ONCE) {
            let frames = FRAMES_AT_ONCE.min(count - first);
            let part = &padded[first * hop..(first + frames - 1) * hop + self.stft.window];
            let x = TensorData::new(part.to_vec(), [1, part.len()]);
            let x = Tensor::from_data(x, (&Device::flex(), DType::F32));
            found.extend(diffeo::host_values(self.log_powers(x))?.into_iter().map(|v| v as f32));
        }
        debug_assert_eq!(found.len(), count * self.count);
        Ok(found)
    }

    /// The same of rows, `[n frames, bands]`: a frame for each hop that a whole window starts at.
    ///
    /// # Panics
    /// As [`Stft::power`].
    pub(crate) fn log_powers(&self, rows: Tensor<2>) -> Tensor<2> {
        let bands = self.bands.clone().cast(rows.dtype());
        // Of white noise the sum of the squared window, as a mean it is 1.
        let power = self.stft.power(rows).mul_scalar(1.0 / (0.375 * self.stft.window as f64));
        power.matmul(bands).clamp_min(MEL_MIN).log()
    }
}

/// Where mel bands begin, have their middle, and end, in hertz: each with the next two is a band.
fn mel_edges(bands: usize, rate: f64) -> Vec<f64> {
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let top = mel(0.5 * rate);
    (0..bands + 2).map(|i| hertz(top * i as f64 / (bands + 1) as f64)).collect()
}

/// The frequency of each band's top, in hertz.
pub(crate) fn mel_middles(bands: usize, rate: f64) -> Vec<f64> {
    mel_edges(bands, rate)[1..=bands].to_vec()
}

/// The power of each frequency in decibels of a full-scale square wave, a frame for each hop, and how many frequencies there are; before and behind the recording is silence.
///
/// # Errors
/// As [`Stft::new`]; [`diffeo::ErrorKind::Device`] if numbers cannot be read back.
pub fn spectrogram(recording: &Recording, [window, hop]: [usize; 2]) -> Result<(Vec<f64>, usize)> {
    let stft = Stft::new(window, hop)?;
    // A frame is what lies around its middle.
    let (frames, before) = (recording.samples.len().max(1).div_ceil(hop), (window - hop) / 2);
    let mut power = Vec::with_capacity(frames * stft.frequencies());
    // A recording of hours must not take all memory.
    for first in (0..frames).step_by(FRAMES_AT_ONCE) {
        let count = FRAMES_AT_ONCE.min(frames - first);
        let sample = |i: usize| {
            let at = (first * hop + i).checked_sub(before);
            at.and_then(|at| recording.samples.get(at)).copied().unwrap_or(0.0)
        };
        let samples: Vec<f64> = (0..(count - 1) * hop + window).map(sample).collect();
        let shape = [1, samples.len()];
        let x = Tensor::from_data(TensorData::new(samples, shape), (&Device::flex(), DType::F64));
        power.extend(diffeo::host_values(stft.power(x))?);
    }
    // A constant 1 gives the square of the window's sum.
    let full = (0.5 * window as f64).powi(2);
    power.iter_mut().for_each(|v| *v = 10.0 * (*v / full).max(1e-15).log10());
    Ok((power, stft.frequencies()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: Vec<f64>) -> Tensor<2> {
        let n = values.len();
        Tensor::from_data(TensorData::new(values, [1, n]), (&Device::flex(), DType::F64))
    }

    #[test]
    fn a_transform_is_what_its_formula_says() {
        let x: Vec<f64> = (0..24).map(|t| (0.7 * t as f64).sin() + 0.1 * t as f64).collect();
        let stft = Stft::new(8, 4).unwrap();
        let found = diffeo::host_values(stft.power(row(x.clone()))).unwrap();
        for frame in 0..5 {
            for k in 0..5 {
                let (mut re, mut im) = (0.0, 0.0);
                for t in 0..8 {
                    let turn = std::f64::consts::TAU / 8.0;
                    let weight = 0.5 - 0.5 * (turn * t as f64).cos();
                    let (sin, cos) = (turn * (k * t) as f64).sin_cos();
                    re += weight * x[frame * 4 + t] * cos;
                    im -= weight * x[frame * 4 + t] * sin;
                }
                assert!((found[frame * 5 + k] - (re * re + im * im)).abs() < 1e-10);
            }
        }
        assert!(Stft::new(10, 4).is_err());
    }

    #[test]
    fn a_tone_is_loudest_in_its_band_and_silence_is_nothing() {
        let mel = Mel::new(20, 80, 8000).unwrap();
        let tone: Vec<f32> =
            (0..805).map(|t| (std::f32::consts::TAU * 1000.0 * t as f32 / 8000.0).sin()).collect();
        let found = mel.frames(&tone).unwrap();
        assert_eq!(found.len(), 11 * 20);
        let middle = &found[5 * 20..6 * 20];
        let loudest = (0..20).max_by(|&a, &b| middle[a].total_cmp(&middle[b])).unwrap();
        // 1000 Hz is 1000 mel of 2146: between the edges 9 and 10 of 21.
        assert!([8, 9].contains(&loudest), "{loudest}");
        let silence = mel.frames(&[0.0; 80]).unwrap();
        assert!(silence.iter().all(|v| (f64::from(*v) - MEL_MIN.ln()).abs() < 1e-3));
        assert!(Mel::new(400, 80, 8000).is_err());
    }
}
