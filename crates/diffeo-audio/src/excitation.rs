//! Sound as what excites a filter: the part of each sample that the spectrum around it does not foretell.

use diffeo::Result;

use crate::condition::Condition;
use crate::dataset::Signal;
use crate::pitch::Pitch;
use crate::spectrum::mel_middles;

/// An affine autoregressive flow without weights, whose coefficients follow from the mel bands of frames:
///
/// ```text
/// e_t = (x_t - sum over k of a_k x_(t-k)) / g_t,  ln p(x_t | x_<t) = ln p(e_t | e_<t) - ln g_t
/// ```
///
/// Where networks are told of the period of a voice, what it foretells of `e` is taken away, too.
///
/// Bands are a coarse spectrum `P`; `a` predicts sound of this spectrum best, and `g^2` is what is then left of its power: from the autocorrelation that belongs to `P`, by the recursion of Levinson and
/// Durbin, anew for each quarter of a frame. The filters are normalised lattices, whose stages only turn the plane of what they hold: sound stays bounded by its excitation however filters follow on each
/// other. What is left is nearly white and of about unit power in speech and in silence, which is what a network learns easily.
///
/// Reference: Makhoul. *Linear Prediction: A Tutorial Review*. Proceedings of the IEEE 63, 1975; from mel bands before a network, Valin, Skoglund. *LPCNet*. ICASSP 2019, arXiv:1810.11846, section 2.2; as
/// what a WaveNet models, Song, Byun, Kang. *ExcitNet Vocoder*. EUSIPCO 2019, arXiv:1811.04769; lattices, Gray, Markel. *A Normalized Digital Filter Structure*. IEEE Transactions on Acoustics,
/// Speech, and Signal Processing 23, 1975.
#[derive(Clone, Debug)]
pub struct Excitation {
    /// Samples of a frame.
    hop: usize,
    /// Numbers of a frame, of which bands are the last.
    numbers: usize,
    bands: usize,
    order: usize,
    /// For each point of the spectrum, the band at or below it and how far it is from there to the next.
    points: Vec<(usize, f64)>,
    /// The share of each point in each lag of the autocorrelation, `[order + 1, points]`.
    cosines: Vec<f64>,
    /// By the period of the voice, if networks are told of it.
    pitch: Option<Pitch>,
}

/// The prediction of a part of a frame, as the reflection coefficients `k` of a lattice and `c = sqrt(1 - k^2)`.
struct Filter {
    reflections: Vec<[f64; 2]>,
    /// Logarithm of the deviation of the sound that it belongs to.
    log_deviation: f64,
    log_gain: f64,
}

/// Parts of a frame, each with a filter of its own.
const PARTS: usize = 4;
/// Points of a spectrum, and more where there are many coefficients.
const POINTS: usize = 80;
/// Deviation of the Gaussian that spectra are smeared by, in hertz, so that no filter rings for long.
const SMEAR: f64 = 20.0;
/// Added to the power, relative to it.
const WHITE: f64 = 1e-5;

impl Excitation {
    /// By the frames of a condition that has bands, for sound of a rate.
    pub(crate) fn new(condition: &Condition, rate: u32) -> Self {
        let Condition { bands, order, samples: hop, .. } = *condition;
        let (count, rate) = (POINTS.max(2 * order), f64::from(rate));
        let middles = mel_middles(bands, rate);
        let point = |i: usize| {
            let hertz = 0.5 * rate * i as f64 / count as f64;
            let above = middles.partition_point(|middle| *middle <= hertz);
            if above == 0 || above == bands {
                return (above.saturating_sub(1), 0.0);
            }
            let [low, high] = [middles[above - 1], middles[above]];
            (above - 1, (hertz - low) / (high - low))
        };
        let share = |lag: usize, i: usize| {
            let ends = if i == 0 || i == count { 0.5 } else { 1.0 };
            let turn = std::f64::consts::PI * (lag * i) as f64 / count as f64;
            let smear = std::f64::consts::TAU * SMEAR * lag as f64 / rate;
            ends * turn.cos() * (-0.5 * smear * smear).exp() / count as f64
        };
        let shares = (0..=order).flat_map(|lag| (0..=count).map(move |i| (lag, i)));
        Self {
            hop,
            numbers: condition.numbers(),
            bands,
            order,
            points: (0..=count).map(point).collect(),
            cosines: shares.map(|(lag, i)| share(lag, i)).collect(),
            pitch: condition.pitch(),
        }
    }

    /// Samples before one that what is left of it depends on.
    pub(crate) fn reach(&self) -> usize {
        self.order + self.pitch.map_or(0, |pitch| pitch.reach())
    }

    /// The excitation, and the logarithm of the gain, of each of some samples from number `start` of a recording on.
    ///
    /// Where that is not the first, those of as many samples as it reaches back lack what was before them.
    pub(crate) fn of(&self, frames: &[f32], samples: &[f32], start: usize) -> [Vec<f32>; 2] {
        let (mut excitation, mut log_gains) = self.short_term(frames, samples, start);
        if let Some(pitch) = &self.pitch {
            pitch.analyse(frames, (&mut excitation, &mut log_gains), start);
        }
        [excitation.into_iter().map(|e| e as f32).collect(), log_gains]
    }

    /// Writes the period of the voice into the frames of a recording, whose bands are there.
    pub(crate) fn find_pitch(&self, frames: &mut [f32], samples: &[f32]) {
        if let Some(pitch) = &self.pitch {
            let (excitation, _) = self.short_term(frames, samples, 0);
            pitch.find(frames, &excitation);
        }
    }

    /// The same as [`Excitation::of`] by the bands alone.
    fn short_term(&self, frames: &[f32], samples: &[f32], start: usize) -> (Vec<f64>, Vec<f32>) {
        let mut excitation = Vec::with_capacity(samples.len());
        let mut log_gains = Vec::with_capacity(samples.len());
        let mut backward = vec![0.0; self.order];
        self.by_parts(frames, start..start + samples.len(), |place, filter| {
            let scale = (-filter.log_deviation).exp();
            for sample in &samples[place.start - start..place.end - start] {
                let left = filter.analyse(f64::from(*sample), &mut backward);
                excitation.push(left * scale);
                log_gains.push(filter.log_gain as f32);
            }
        });
        (excitation, log_gains)
    }

    /// The sound of an excitation, from the start of a recording on.
    pub fn sound(&self, frames: &[f32], excitation: &[impl Copy + Into<f64>]) -> Vec<f64> {
        let mut samples: Vec<f64> = excitation.iter().map(|e| (*e).into()).collect();
        if let Some(pitch) = &self.pitch {
            pitch.synthesise(frames, &mut samples);
        }
        let mut backward = vec![0.0; self.order];
        self.by_parts(frames, 0..excitation.len(), |place, filter| {
            let scale = filter.log_deviation.exp();
            for sample in &mut samples[place] {
                *sample = filter.synthesise(*sample * scale, &mut backward);
            }
        });
        samples
    }

    /// The gradient by an excitation, given that by its sound.
    pub(crate) fn gradient(&self, frames: &[f32], by_sound: &[f64]) -> Vec<f64> {
        let mut filters = Vec::new();
        self.by_parts(frames, 0..by_sound.len(), |place, filter| filters.push((place, filter)));
        let (mut gradient, mut by_backward) = (vec![0.0; by_sound.len()], vec![0.0; self.order]);
        for (place, filter) in filters.into_iter().rev() {
            let scale = filter.log_deviation.exp();
            for t in place.rev() {
                gradient[t] = scale * filter.synthesise_back(by_sound[t], &mut by_backward);
            }
        }
        if let Some(pitch) = &self.pitch {
            pitch.synthesise_back(frames, &mut gradient);
        }
        gradient
    }

    /// The excitations of whole signals in place of their samples, with the logarithms of the gains.
    pub(crate) fn of_signals(&self, signals: &[&Signal]) -> (Vec<Signal>, Vec<Vec<f32>>) {
        let of = |signal: &&Signal| {
            let [samples, log_gains] = self.of(&signal.frames, &signal.samples, 0);
            (Signal { samples, ..(*signal).clone() }, log_gains)
        };
        signals.iter().map(of).unzip()
    }

    /// Calls with the samples of each part of a frame, and their filter.
    fn by_parts(
        &self,
        frames: &[f32],
        samples: std::ops::Range<usize>,
        mut call: impl FnMut(std::ops::Range<usize>, Filter),
    ) {
        let (part, mut start) = (self.hop.div_ceil(PARTS), samples.start);
        while start < samples.end {
            let (frame, part_of) = (start / self.hop, start % self.hop / part);
            let end = frame * self.hop + ((part_of + 1) * part).min(self.hop);
            let middle = (part_of as f64 + 0.5) * part as f64 / self.hop as f64 - 0.5;
            let end = end.min(samples.end);
            call(start..end, self.filter(frames, frame as f64 + middle));
            start = end;
        }
    }

    /// The filter at a place between the middles of two frames; before the first and behind the last they are as there.
    fn filter(&self, frames: &[f32], place: f64) -> Filter {
        let last = (frames.len() / self.numbers).saturating_sub(1);
        let place = place.clamp(0.0, last as f64);
        let (frame, share) = (place.floor() as usize, place.fract());
        let bands = |frame: usize| {
            let frame = &frames[frame.min(last) * self.numbers..][..self.numbers];
            frame[self.numbers - self.bands..].iter().map(|v| Condition::log_power(*v))
        };
        let levels = bands(frame).zip(bands(frame + 1)).map(|(a, b)| a + share * (b - a));
        let levels: Vec<f64> = levels.collect();
        let power = |&(band, share): &(usize, f64)| {
            let next = levels[(band + 1).min(self.bands - 1)];
            (levels[band] + share * (next - levels[band])).exp()
        };
        let power: Vec<f64> = self.points.iter().map(power).collect();
        let lag = |cosines: &[f64]| cosines.iter().zip(&power).map(|(c, p)| c * p).sum();
        let lags: Vec<f64> = self.cosines.chunks_exact(power.len()).map(lag).collect();
        Filter::best(&lags)
    }
}

impl Filter {
    /// The one that predicts sound of an autocorrelation best (Levinson and Durbin).
    fn best(lags: &[f64]) -> Self {
        let power = (1.0 + WHITE) * lags[0] + f64::MIN_POSITIVE;
        let mut left = power;
        let mut coefficients: Vec<f64> = Vec::with_capacity(lags.len() - 1);
        let mut reflections = Vec::with_capacity(lags.len() - 1);
        for order in 0..lags.len() - 1 {
            let known: f64 =
                coefficients.iter().zip(lags[1..=order].iter().rev()).map(|(a, r)| a * r).sum();
            let k = (lags[order + 1] - known) / left;
            let before = coefficients.clone();
            for (a, b) in coefficients.iter_mut().zip(before.iter().rev()) {
                *a -= k * b;
            }
            coefficients.push(k);
            left *= 1.0 - k * k;
            reflections.push([k, (1.0 - k * k).sqrt()]);
        }
        Self { reflections, log_deviation: 0.5 * power.ln(), log_gain: 0.5 * left.ln() }
    }

    /// What is left of a sample, given the errors of prediction backwards at the one before it, which become those at this one.
    fn analyse(&self, sample: f64, backward: &mut [f64]) -> f64 {
        let (mut forward, mut next) = (sample, sample);
        for ([k, c], backward) in self.reflections.iter().zip(backward) {
            let before = std::mem::replace(backward, next);
            (forward, next) = ((forward - k * before) / c, (before - k * forward) / c);
        }
        forward
    }

    /// The sample of which so much is left.
    fn synthesise(&self, left: f64, backward: &mut [f64]) -> f64 {
        let mut forward = left;
        for stage in (0..self.reflections.len()).rev() {
            let ([k, c], before) = (self.reflections[stage], backward[stage]);
            let behind = c * before - k * forward;
            forward = c * forward + k * before;
            if let Some(next) = backward.get_mut(stage + 1) {
                *next = behind;
            }
        }
        if let Some(first) = backward.first_mut() {
            *first = forward;
        }
        forward
    }
}

impl Filter {
    /// The gradient by what was left, given those by the sample and by the errors of prediction backwards, which become those by the errors before.
    fn synthesise_back(&self, by_sample: f64, by_backward: &mut [f64]) -> f64 {
        let mut by_forward = by_sample + by_backward.first().copied().unwrap_or(0.0);
        for (stage, [k, c]) in self.reflections.iter().enumerate() {
            let by_behind = by_backward.get(stage + 1).copied().unwrap_or(0.0);
            by_backward[stage] = k * by_forward + c * by_behind;
            by_forward = c * by_forward - k * by_behind;
        }
        by_forward
    }
}

/// The samples of a signal by networks, where they are its excitation.
impl Condition {
    /// What networks see in place of samples, if there is a prediction from bands.
    pub fn excitation(&self, rate: u32) -> Option<Excitation> {
        (self.order > 0).then(|| Excitation::new(self, rate))
    }

    /// `ln p(x_t | x_<t)` of each sample of some signals, in their units, by a density of what networks see.
    ///
    /// # Errors
    /// Those of the density.
    pub(crate) fn score(
        &self,
        signals: &[&Signal],
        rate: u32,
        density: impl FnOnce(&[&Signal]) -> Result<Vec<Vec<f64>>>,
    ) -> Result<Vec<Vec<f64>>> {
        let Some(excitation) = self.excitation(rate) else { return density(signals) };
        let (seen, log_gains) = excitation.of_signals(signals);
        let mut found = density(&seen.iter().collect::<Vec<_>>())?;
        for (found, log_gains) in found.iter_mut().flatten().zip(log_gains.iter().flatten()) {
            *found -= f64::from(*log_gains);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffeo::{Purpose, Streams, fill_normal};

    const RATE: u32 = 8000;

    fn condition(order: usize) -> Condition {
        Condition { samples: 80, labels: Vec::new(), bands: 24, order, pitch: true }
    }

    fn noise(count: usize) -> Vec<f32> {
        let mut noise = vec![0.0; count];
        fill_normal(&mut Streams::new(4).rng(Purpose::Check, 0, 0), &mut noise);
        noise.into_iter().map(|v| v as f32).collect()
    }

    /// A resonance whose level jumps by 40 decibels and back.
    fn sound() -> Vec<f32> {
        let mut x = noise(8000);
        for t in 0..x.len() {
            let level = if t / 1600 % 2 == 0 { 0.3 } else { 0.003 };
            let before = |k: usize| if t >= k { x[t - k] } else { 0.0 };
            x[t] = level * x[t] + 1.6 * before(1) - 0.8 * before(2);
        }
        x
    }

    /// The same frames with a voice whose period changes from each to the next.
    fn voiced(mut frames: Vec<f32>) -> Vec<f32> {
        for (i, frame) in frames.chunks_exact_mut(26).enumerate() {
            frame[..2]
                .copy_from_slice(&[(23 + 37 * i % 170) as f32 / 80.0 - 1.0, 0.1 * (i % 9) as f32]);
        }
        frames
    }

    #[test]
    fn an_excitation_is_white_of_unit_power_and_gives_the_sound_back() {
        let (condition, x) = (condition(16), sound());
        let frames = condition.frames(&x, RATE, &[]).unwrap();
        let excitation = condition.excitation(RATE).unwrap();
        let [e, log_gains] = excitation.of(&frames, &x, 0);
        for (part, e) in e.chunks(1600).enumerate() {
            // Away from the jumps.
            let e: Vec<f64> = e[320..1280].iter().map(|v| f64::from(*v)).collect();
            let power = e.iter().map(|v| v * v).sum::<f64>() / e.len() as f64;
            assert!((0.7..1.4).contains(&power), "part {part}: {power}");
            for lag in 1..4 {
                let product: f64 = e.iter().zip(&e[lag..]).map(|(a, b)| a * b).sum();
                let found = product / power / e.len() as f64;
                assert!(found.abs() < 0.15, "part {part}, lag {lag}: {found}");
            }
        }
        let level = |t: usize| f64::from(log_gains[t]).exp();
        assert!((0.2..0.45).contains(&level(800)), "{}", level(800));
        assert!((0.002..0.0045).contains(&level(2400)), "{}", level(2400));
        let again = excitation.sound(&frames, &e);
        for (t, (a, b)) in again.iter().zip(&x).enumerate() {
            assert!((a - f64::from(*b)).abs() < 1e-5 * (1.0 + a.abs()), "{t}: {a} {b}");
        }
    }

    #[test]
    fn a_stretch_has_the_excitation_of_the_whole_and_gives_its_sound_back() {
        let (condition, x) = (condition(16), sound());
        let frames = voiced(condition.frames(&x, RATE, &[]).unwrap());
        let excitation = condition.excitation(RATE).unwrap();
        let [whole, log_gains] = excitation.of(&frames, &x, 0);
        for start in [0, 5, 80, 1000] {
            let before = start.min(excitation.reach());
            let some = &x[start - before..start + 333];
            let [e, g] = excitation.of(&frames, some, start - before);
            assert_eq!(e[before..], whole[start..start + 333]);
            assert_eq!(g[before..], log_gains[start..start + 333]);
        }
        let again = excitation.sound(&frames, &whole);
        for (t, (a, b)) in again.iter().zip(&x).enumerate() {
            assert!((a - f64::from(*b)).abs() < 1e-5 * (1.0 + a.abs()), "{t}: {a} {b}");
        }
    }

    #[test]
    fn gradients_are_those_of_the_sound() {
        let (condition, x) = (condition(16), sound());
        let frames = voiced(condition.frames(&x, RATE, &[]).unwrap());
        let excitation = condition.excitation(RATE).unwrap();
        let wide = |noise: &[f32]| -> Vec<f64> { noise.iter().map(|v| f64::from(*v)).collect() };
        let (e, weights) = (wide(&noise(333)), wide(&noise(666)[333..]));
        let loss = |e: &[f64]| -> f64 {
            excitation.sound(&frames, e).iter().zip(&weights).map(|(x, w)| x * w).sum()
        };
        let gradient = excitation.gradient(&frames, &weights);
        for t in [0, 7, 100, 331, 332] {
            let mut pushed = e.clone();
            pushed[t] += 1.0;
            let found = loss(&pushed) - loss(&e);
            let expected = gradient[t];
            assert!(
                (found - expected).abs() < 1e-9 * (1.0 + expected.abs()),
                "{t}: {found} {expected}"
            );
        }
    }

    #[test]
    fn filters_stay_stable_whatever_the_bands_say() {
        let condition = condition(32);
        let excitation = condition.excitation(RATE).unwrap();
        // Single bands stand out by 130 decibels, others in the next frame.
        let frames: Vec<f32> =
            (0..100 * 24).map(|i| if (i / 24 + i % 24) % 7 == 0 { 5.0 } else { -2.5 }).collect();
        let e = noise(8000);
        let x = excitation.sound(&frames, &e);
        let top = x.iter().fold(0.0f64, |top, v| top.max(v.abs()));
        let x: Vec<f32> = x.into_iter().map(|v| v as f32).collect();
        let [again, log_gains] = excitation.of(&frames, &x, 0);
        assert!(top < 1e6, "{top}");
        assert!(log_gains.iter().all(|g| g.is_finite()));
        let apart = again.iter().zip(&e).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 0.05, "{apart}");
    }

    #[test]
    fn the_density_of_sound_is_that_of_its_excitation_by_the_change_of_variables() {
        let (condition, x) = (condition(8), sound()[..480].to_vec());
        let frames = voiced(condition.frames(&x, RATE, &[]).unwrap());
        let signal = Signal { name: "x".into(), samples: x, frames, values: vec![] };
        let normal = |v: f64| -0.5 * v * v - 0.918_938_533_204_672_8;
        let density = |signals: &[&Signal]| {
            let of = |s: &&Signal| s.samples.iter().map(|v| normal(f64::from(*v))).collect();
            Ok(signals.iter().map(of).collect())
        };
        let found = condition.score(&[&signal], RATE, density).unwrap();
        // The same as a density of each sample: its integral over the sample is one.
        let excitation = condition.excitation(RATE).unwrap();
        let t = 400;
        let step = 1e-3f32;
        let at = |x: f32| {
            let mut samples = signal.samples.clone();
            samples[t] = x;
            let [e, g] = excitation.of(&signal.frames, &samples, 0);
            (normal(f64::from(e[t])) - f64::from(g[t])).exp()
        };
        let grid = (-6000..6000).map(|i| step * i as f32);
        let mass: f64 = grid.map(|x| f64::from(step) * at(x)).sum();
        assert!((mass - 1.0).abs() < 1e-3, "{mass}");
        assert!((found[0][t] - at(signal.samples[t]).ln()).abs() < 1e-6);
    }
}
