//! The period of a voice, by which excitation is foretold from one period before.

use std::ops::RangeInclusive;

/// Numbers of a frame that tell of a period: how long it is, and how much of it comes again.
pub(crate) const NUMBERS: usize = 2;

/// A long-term prediction, an affine autoregressive flow without weights on top of that of [`Excitation`](crate::Excitation):
///
/// ```text
/// r_t = (e_t - b e_(t-T)) / sqrt(1 - b^2),  ln p(e_t | e_<t) = ln p(r_t | r_<t) - ln(1 - b^2) / 2
/// ```
///
/// The period `T` and the share `b` of a frame are those that foretell the excitation around its middle best, by least squares; a frame in which little comes again has none. White noise of unit power comes from
/// white noise of unit power, with the harmonics of `T` between which there is less, and `|b| < 1` keeps it bounded.
///
/// Reference: Atal, Schroeder. *Adaptive Predictive Coding of Speech Signals*. Bell System Technical Journal 49, 1970; period and strength before a network, Valin, Skoglund. *LPCNet*. ICASSP 2019,
/// arXiv:1810.11846, section 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pitch {
    /// Samples of a frame.
    pub(crate) hop: usize,
    /// Numbers of a frame.
    pub(crate) numbers: usize,
    /// Which of these are the two.
    pub(crate) at: usize,
}

/// The period of a frame and how much of it comes again.
#[derive(Clone, Copy)]
struct Period {
    lag: usize,
    share: f64,
    /// `sqrt(1 - share^2)`.
    left: f64,
}

/// Periods in quarters of a frame, which is a hundredth of a second: voices of 40 to 400 hertz.
const QUARTERS: [usize; 2] = [1, 10];
/// Least share that counts as a voice, and the largest, so that no voice rings for long.
const SHARES: [f64; 2] = [0.25, 0.95];

impl Pitch {
    /// Samples before one that it is predicted from.
    pub(crate) fn reach(&self) -> usize {
        *self.lags().end()
    }

    fn lags(&self) -> RangeInclusive<usize> {
        let [least, most] = QUARTERS.map(|quarters| (quarters * self.hop / 4).max(1));
        least..=most
    }

    /// Writes the period and the share of each frame of a recording, whose excitation this is.
    pub(crate) fn find(&self, frames: &mut [f32], excitation: &[f64]) {
        let (half, reach) = (3 * self.hop / 2, self.reach());
        // Before and behind the recording is silence.
        let before = half + reach;
        let mut padded = vec![0.0; before + excitation.len() + half + self.hop];
        padded[before..before + excitation.len()].copy_from_slice(excitation);
        for (frame, numbers) in frames.chunks_exact_mut(self.numbers).enumerate() {
            let middle = before + frame * self.hop + self.hop / 2;
            let period = self.best(&padded[middle - half - reach..middle + half]);
            numbers[self.at..self.at + NUMBERS].copy_from_slice(&period);
        }
    }

    /// The numbers of the best period of what is behind the longest in some samples.
    fn best(&self, samples: &[f64]) -> [f32; NUMBERS] {
        let (reach, mut best) = (self.reach(), (0.0, self.hop, 0.0));
        let now = &samples[reach..];
        for lag in self.lags() {
            let then = &samples[reach - lag..samples.len() - lag];
            let (mut product, mut power) = (0.0, f64::MIN_POSITIVE);
            for (a, b) in now.iter().zip(then) {
                product += a * b;
                power += b * b;
            }
            // What it takes away of the power.
            let gain = product.max(0.0) * product / power;
            if gain > best.0 {
                best = (gain, lag, product / power);
            }
        }
        let (_, lag, share) = best;
        if share < SHARES[0] {
            return [0.0; NUMBERS];
        }
        [lag as f32 / self.hop as f32 - 1.0, share.min(SHARES[1]) as f32]
    }

    /// The period of the frame of a sample.
    fn period(&self, frames: &[f32], t: usize) -> Period {
        let last = (frames.len() / self.numbers).saturating_sub(1);
        let at = (t / self.hop).min(last) * self.numbers + self.at;
        let lag = ((f64::from(frames[at]) + 1.0) * self.hop as f64).round() as usize;
        let share = f64::from(frames[at + 1]).clamp(0.0, SHARES[1]);
        let (least, most) = self.lags().into_inner();
        Period { lag: lag.clamp(least, most), share, left: (1.0 - share * share).sqrt() }
    }

    /// Takes from an excitation, whose first sample is number `start` of the recording, what its period foretells, and adds to the logarithms of the gains.
    pub(crate) fn analyse(
        &self,
        frames: &[f32],
        (excitation, log_gains): (&mut [f64], &mut [f32]),
        start: usize,
    ) {
        for t in (0..excitation.len()).rev() {
            let Period { lag, share, left } = self.period(frames, start + t);
            let before = if t >= lag { excitation[t - lag] } else { 0.0 };
            excitation[t] = (excitation[t] - share * before) / left;
            log_gains[t] += left.ln() as f32;
        }
    }

    /// The excitation of which so much is left, from the start of a recording on.
    pub(crate) fn synthesise(&self, frames: &[f32], left_over: &mut [f64]) {
        for t in 0..left_over.len() {
            let Period { lag, share, left } = self.period(frames, t);
            let before = if t >= lag { left_over[t - lag] } else { 0.0 };
            left_over[t] = left * left_over[t] + share * before;
        }
    }

    /// The gradient by what is left over, in the place of that by the excitation.
    pub(crate) fn synthesise_back(&self, frames: &[f32], gradient: &mut [f64]) {
        for t in (0..gradient.len()).rev() {
            let Period { lag, share, left } = self.period(frames, t);
            if t >= lag {
                gradient[t - lag] += share * gradient[t];
            }
            gradient[t] *= left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_of_pulses_has_its_period_and_silence_has_none() {
        let pitch = Pitch { hop: 80, numbers: 3, at: 1 };
        let mut pulses: Vec<f64> = (0..1600).map(|t| f64::from(u8::from(t % 57 == 0))).collect();
        pulses[800..].fill(0.0);
        let mut frames = vec![7.0; 20 * 3];
        pitch.find(&mut frames, &pulses);
        let Period { lag, share, .. } = pitch.period(&frames, 5 * 80);
        assert_eq!((lag, share), (57, f64::from(SHARES[1] as f32)));
        assert_eq!(frames[15 * 3..16 * 3], [7.0, 0.0, 0.0]);
        // Of a pulse that comes again nothing is left but what exceeds the largest share.
        let (mut left, mut log_gains) = (pulses.clone(), vec![0.0; 1600]);
        pitch.analyse(&frames, (&mut left, &mut log_gains), 0);
        let power = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>();
        let now = power(&left[240..640]) * f64::from(2.0 * log_gains[400]).exp();
        assert!(now < 0.01 * power(&pulses[240..640]), "{now}");
        pitch.synthesise(&frames, &mut left);
        assert!(left.iter().zip(&pulses).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
