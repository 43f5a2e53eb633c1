//! Probability density distillation: a student learns to draw what a teacher would.

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Error, Purpose, Result, Streams, fill_normal, host_values};
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::dataset::{Batch, Dataset, Stretch};
use crate::output::{Output, gaussian};
use crate::spectrum::{MEL_HOPS, Mel, Stft};
use crate::student::Student;
use crate::training::Task;
use crate::wavenet::WaveNet;

/// A density whose factors are normal.
pub trait GaussianTeacher {
    /// Mean and log-scale of `p(x_t | x_<t)` for each sample, both `[n, length]`, of rows that start in silence.
    ///
    /// # Errors
    /// Those of the model.
    fn predict(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<[Tensor<2>; 2]>;
}

impl GaussianTeacher for WaveNet {
    fn predict(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Result<[Tensor<2>; 2]> {
        if self.output() != (Output::Gaussian {}) {
            return Err(Error::config(
                "a teacher must have one Gaussian for each sample, so that divergences have a closed form; fit it with --output gaussian",
            ));
        }
        let dims = x.dims();
        Ok(gaussian(self.parameters(x, context)?).map(|part| part.reshape(dims)))
    }
}

/// What a student is held to beside the divergence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillationOptions {
    /// Weight of the squared difference of log-scales, without which the divergence explodes where the teacher is certain (Ping, Peng, Chen 2019, section 3.3).
    pub spread: f64,
    /// Weight of the difference of spectra from those of recordings under the same frames, without which a student whispers.
    pub spectral: f64,
    /// Windows of these spectra; they lie a quarter of themselves apart.
    pub windows: Vec<usize>,
}

impl Default for DistillationOptions {
    fn default() -> Self {
        Self { spread: 4.0, spectral: 1.0, windows: vec![64, 256, 512] }
    }
}

/// How far a student is from its teacher, means over samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// `KL(q(x_t | z_<t) || p(x_t | x_<t))`, in nats.
    pub kl: f64,
    /// Squared difference of log-scales.
    pub spread: f64,
    /// Difference of spectra, see [`Distillation`].
    pub spectral: f64,
}

/// The same as tensors.
struct Terms {
    kl: Tensor<1>,
    spread: Tensor<1>,
    spectral: Tensor<1>,
}

/// `mean over t of KL(q_t || p_t) + a (L_t - l_t)^2 + b S`, for a draw of the student with means `M`, log-scales `L`, and the teacher's `m`, `l` of that draw:
///
/// ```text
/// KL(q_t || p_t) = l - L + (e^(2 L) + (M - m)^2) / (2 e^(2 l)) - 1/2
/// S = mean over windows of (ln <|X|^2> - ln <|Y|^2>)^2 + | ln |X| - ln |Y| |  +  mean of (U - V)^2,  <..> over the frames of a row
/// ```
///
/// `X` and `Y` are short-time spectra of the sound of the draw and of the recording whose frames it had, `U` and `V` their mel bands where there are such, in logarithms. Recordings serve for these alone, so that without frames and with `b = 0` none is learned from. The
/// gradient goes through the teacher to the draw; the teacher stays as it is.
///
/// Reference: Ping, Peng, Chen. *ClariNet*. ICLR 2019, arXiv:1807.07281, sections 3.3 and 3.4, eq. 7; the first part of `S` after the power loss of van den Oord et al.
/// *Parallel WaveNet*. ICML 2018, arXiv:1711.10433, section 4.2 (there of powers, not of their logarithms), the second after Yamamoto, Song, Kim. *Parallel WaveGAN*. ICASSP 2020, arXiv:1910.11480, eq. 8, the third after Kong, Kim, Bae. *HiFi-GAN*.
/// NeurIPS 2020, arXiv:2010.05646, eq. 3.
pub struct Distillation<T> {
    teacher: T,
    train: Dataset,
    valid: Dataset,
    shape: [usize; 2],
    streams: Streams,
    options: DistillationOptions,
    spectra: Vec<Stft>,
    mel: Option<Mel>,
}

/// Stretches of a validation.
const ROWS_VALIDATED: usize = 64;

impl<T: GaussianTeacher> Distillation<T> {
    /// Of a teacher, under the frames of recordings; in rows of a length that is a multiple of each quarter of a window.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] for windows that do not fit the rows.
    pub fn new(
        teacher: T,
        [train, valid]: [Dataset; 2],
        (shape, streams): ([usize; 2], Streams),
        options: DistillationOptions,
    ) -> Result<Self> {
        let mut spectra = Vec::new();
        for &window in options.windows.iter().filter(|_| options.spectral > 0.0) {
            if !window.is_multiple_of(4)
                || window > shape[1]
                || !shape[1].is_multiple_of(window / 4)
            {
                return Err(Error::config(format!(
                    "windows of {window} samples, a quarter of them apart, do not fit rows of {}",
                    shape[1]
                )));
            }
            spectra.push(Stft::new(window, window / 4)?);
        }
        let Condition { bands, samples, .. } = train.condition;
        let is_told = bands > 0 && options.spectral > 0.0;
        if is_told && (shape[1] < MEL_HOPS * samples || !shape[1].is_multiple_of(samples)) {
            return Err(Error::config(format!(
                "mel bands of frames of {samples} samples do not fit rows of {}: expected a multiple of a frame, {MEL_HOPS} or more",
                shape[1]
            )));
        }
        let mel = is_told.then(|| Mel::new(bands, samples, train.units.rate)).transpose()?;
        Ok(Self { teacher, train, valid, shape, streams, options, spectra, mel })
    }

    /// How far a student is from the teacher, on draws that are the same each time.
    ///
    /// # Errors
    /// Those of student and teacher.
    pub fn divergence(&self, student: &Student) -> Result<Divergence> {
        let stretches = self.stretches();
        let batch = self.valid.rows(&stretches, self.shape[1], |_, _| {});
        let noise = self.noise(Purpose::Validation, 0, stretches.len());
        let terms = self.terms(student, &batch, noise)?;
        let number = |t: Tensor<1>| Ok(host_values(t)?.first().copied().unwrap_or(f64::NAN));
        Ok(Divergence {
            kl: number(terms.kl)?,
            spread: number(terms.spread)?,
            spectral: number(terms.spectral)?,
        })
    }

    /// Stretches of the recordings that validate, evenly from all.
    fn stretches(&self) -> Vec<Stretch> {
        let (hop, length) = (self.valid.condition.samples, self.shape[1]);
        let of = |(signal, s): (usize, &crate::Signal)| {
            let starts = (0..s.samples.len()).step_by(length.next_multiple_of(hop));
            starts.map(move |start| Stretch { signal, start })
        };
        let all: Vec<Stretch> = self.valid.signals.iter().enumerate().flat_map(of).collect();
        let every = all.len().div_ceil(ROWS_VALIDATED).max(1);
        all.into_iter().step_by(every).collect()
    }

    fn noise(&self, purpose: Purpose, step: u64, rows: usize) -> Tensor<2> {
        let shape = [rows, self.shape[1]];
        let mut noise = vec![0.0; rows * self.shape[1]];
        for (row, noise) in noise.chunks_exact_mut(self.shape[1]).enumerate() {
            fill_normal(&mut self.streams.rng(purpose, step, row as u64), noise);
        }
        Tensor::from_data(TensorData::new(noise, shape), (&Device::flex(), DType::F32))
    }

    fn terms(&self, student: &Student, batch: &Batch, noise: Tensor<2>) -> Result<Terms> {
        let dtype = student.dtype();
        let [recorded, mask, noise] =
            [&batch.x, &batch.mask, &noise].map(|t| t.clone().cast(dtype));
        let context = batch.context.clone().map(|context| context.cast(dtype));
        let drawn = student.draw(noise, context.as_ref())?;
        let [mean, log_scale] = self.teacher.predict(drawn.x.clone(), context.as_ref())?;
        let apart = log_scale.clone() - drawn.log_scale.clone();
        let away = (drawn.mean - mean) * log_scale.neg().exp();
        let squares = apart.clone().mul_scalar(-2.0).exp() + away.square();
        let kl = (apart.clone() + squares.mul_scalar(0.5)).sub_scalar(0.5);
        let count = mask.clone().sum();
        let mean = |t: Tensor<2>| (t * mask.clone()).sum() / count.clone();
        let spectral = self.heard(drawn.x * mask.clone(), recorded, batch.context.as_ref())?;
        Ok(Terms { kl: mean(kl), spread: mean(apart.square()), spectral })
    }

    /// The term `S` of what is heard of rows that networks see, with its gradient by those that were drawn.
    fn heard(
        &self,
        drawn: Tensor<2>,
        recorded: Tensor<2>,
        context: Option<&Tensor<2>>,
    ) -> Result<Tensor<1>> {
        let excitation = self.train.condition.excitation(self.train.units.rate);
        let (Some(excitation), Some(context)) = (excitation, context) else {
            return Ok(self.spectral(drawn, recorded));
        };
        if self.spectra.is_empty() && self.mel.is_none() {
            return Ok(self.spectral(drawn, recorded));
        }
        let (dims, options) = (drawn.dims(), (&recorded.device(), recorded.dtype()));
        let [_, width] = context.dims();
        let frames: Vec<f32> =
            host_values(context.clone())?.into_iter().map(|v| v as f32).collect();
        let each = |rows: Tensor<2>, of: &dyn Fn(&[f32], &[f64]) -> Vec<f64>| {
            let rows = host_values(rows)?;
            let rows = rows.chunks_exact(dims[1]).zip(frames.chunks_exact(width));
            let made: Vec<f64> = rows.flat_map(|(row, frames)| of(frames, row)).collect();
            Ok::<_, Error>(Tensor::<2>::from_data(TensorData::new(made, dims), options))
        };
        let sound = |rows| each(rows, &|frames, row| excitation.sound(frames, row));
        let x = sound(drawn.clone().detach())?.autodiff().require_grad();
        let found = self.spectral(x.clone(), sound(recorded)?);
        let Some(by_sound) = x.grad(&found.clone().backward()) else {
            return Ok(found);
        };
        // Sound is linear in what is drawn: this has the value of the term, and its gradient.
        let by_drawn = each(by_sound, &|frames, row| excitation.gradient(frames, row))?;
        let slope = (drawn * by_drawn).sum();
        Ok(found.detach() + slope.clone() - slope.detach())
    }

    /// The term `S`.
    fn spectral(&self, drawn: Tensor<2>, recorded: Tensor<2>) -> Tensor<1> {
        let mut sum = Tensor::<1>::zeros([1], (&recorded.device(), recorded.dtype()));
        for stft in &self.spectra {
            let [x, y] = [drawn.clone(), recorded.clone()].map(|rows| {
                let [n, _] = rows.dims();
                let power = stft.power(rows).add_scalar(SPECTRUM_MIN * SPECTRUM_MIN);
                let frames = power.dims()[0] / n;
                let mean: Tensor<3> = power.clone().reshape([n, frames, stft.frequencies()]);
                [
                    power.log().mul_scalar(0.5),
                    mean.mean_dim(1).log().reshape([n, stft.frequencies()]),
                ]
            });
            let ([x, x_mean], [y, y_mean]) = (x, y);
            sum = sum + (x_mean - y_mean).square().mean() + (x - y).abs().mean();
        }
        let sum = sum.mul_scalar(1.0 / self.spectra.len().max(1) as f64);
        match &self.mel {
            Some(mel) => sum + (mel.log_powers(drawn) - mel.log_powers(recorded)).square().mean(),
            None => sum,
        }
    }
}

/// What is quieter than this, in units of the sound's root mean square, counts as silence in spectra.
const SPECTRUM_MIN: f64 = 1e-2;

impl<T: GaussianTeacher> Task<Student> for Distillation<T> {
    fn loss(&self, student: &Student, step: u64) -> Result<Tensor<1>> {
        let batch = self.train.batch(self.streams, step, self.shape)?;
        let noise = self.noise(Purpose::Draws, step, self.shape[0]);
        let Terms { kl, spread, spectral } = self.terms(student, &batch, noise)?;
        let DistillationOptions { spread: a, spectral: b, .. } = self.options;
        Ok(kl + spread.mul_scalar(a) + spectral.mul_scalar(b))
    }

    fn validate(&self, student: &Student) -> Result<f64> {
        let found = self.divergence(student)?;
        let DistillationOptions { spread: a, spectral: b, .. } = self.options;
        Ok(found.kl + a * found.spread + b * found.spectral)
    }
}
